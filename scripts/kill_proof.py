"""Whether every acknowledged answer is true: the clients' ledgers against the books, entry by entry.

The expectation is computed from what the clients were told and from the rate files alone; nothing of the server's own
bookkeeping is believed. Nothing here raises: what is wrong is a line of ``faults``.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
from bench_world import CALLED
from kill_clients import SCALE, Payment

from balance.money import Amount, parse_amount
from ocs.clock import now_ms
from ocs.rating.load import load_ratebook
from ocs.rating.price import Price, Tariff, cost_of

SUCCESS: Final = 2001
NO_CREDIT: Final = 4012
ASK_AGAIN: Final = frozenset({3002, 3004})
INITIAL, UPDATE, TERMINATION = 1, 2, 3
STOP: Final = 2
FAULTS_MAX: Final = 50
KINDS: Final = frozenset({"opened", "top_up", "session", "refused"})
CALL_ID: Final = re.compile(r"\d{10}-\d{10}")


class Call(msgspec.Struct):
    """One session as its client saw it. ``used`` holds each acknowledged request's use once."""

    account_id: str
    used: dict[int, int] = msgspec.field(default_factory=dict)
    is_open: bool = False
    is_refused: bool = False
    is_ended: bool = False

    @property
    def used_s(self) -> int:
        return sum(self.used.values())


class Record(NamedTuple):
    """One row of the books' CDRs."""

    session_id: str
    account_id: str
    kind: str
    used_s: int
    cost: Amount
    flags: int


class Standing(NamedTuple):
    """An account in the store at the end."""

    balance: Amount
    reserved: Amount
    credit_limit: Amount
    entry_number: int


class Books(NamedTuple):
    """All that PostgreSQL and Valkey say after the storm."""

    records: list[Record]
    entries: list[tuple[str, int, str, Amount, str]]  # account, number, kind, amount, reference
    accounts: dict[str, Standing]
    open_sessions: set[str]
    buried: int


class Figures(msgspec.Struct):
    answers: int = 0
    sessions: int = 0
    refused: int = 0
    unfinished: int = 0
    records: int = 0
    payments: int = 0


class Proof:
    """Collects what is wrong."""

    def __init__(self, price: Price) -> None:
        self._price = price
        self.calls: dict[str, Call] = {}
        self.radius: dict[str, Call] = {}
        self.figures = Figures()
        self.faults: list[str] = []
        self.fault_count = 0

    def fault(self, text: str) -> None:
        self.fault_count += 1
        if len(self.faults) < FAULTS_MAX:
            self.faults.append(text)

    # --- what the clients were told ---------------------------------------------------------------------------------

    def read_ccr_ledger(self, lines: Iterable[str]) -> None:
        for line in lines:
            session_id, account_id, *numbers = line.rstrip("\n").split("\t")
            kind, number, result, group_result, used_s, granted_s, _ = map(int, numbers)
            self.figures.answers += 1
            if result in ASK_AGAIN:
                continue
            call = self.calls.setdefault(session_id, Call(account_id))
            self._credit_control(session_id, call, kind, number, result, group_result, used_s, granted_s)

    def _credit_control(
        self, name: str, call: Call, kind: int, number: int, result: int, group_result: int, used_s: int, granted_s: int
    ) -> None:
        if number in call.used:
            self.fault(f"{name}: number {number} was decided twice")
        if result == NO_CREDIT and kind == INITIAL:
            call.is_refused = True
            return
        if result != SUCCESS or group_result not in {0, SUCCESS, NO_CREDIT}:
            self.fault(f"{name}: request {number} of type {kind} was answered {result}, group {group_result}")
            return
        if granted_s and group_result == NO_CREDIT:
            self.fault(f"{name}: request {number} was refused and granted {granted_s} s")
        call.used[number] = used_s
        call.is_open = True
        call.is_ended = kind == TERMINATION

    def read_radius_ledger(self, lines: Iterable[str]) -> None:
        for line in lines:
            call_id, account_id, record, used_s, _ = line.rstrip("\n").split("\t")
            self.figures.answers += 1
            call = self.radius.setdefault(call_id, Call(account_id, is_open=True))
            call.used[0] = max(call.used.get(0, 0), int(used_s))  # cumulative
            call.is_ended = call.is_ended or int(record) == STOP

    # --- what the books say -----------------------------------------------------------------------------------------

    def compare(self, books: Books, payments: Mapping[Payment, int]) -> None:
        """Everything that was promised, in turn."""
        self._count()
        self.figures.records = len(books.records)
        self.figures.payments = len(payments)
        self._records(books)
        self._payments(books, payments)
        self._numbering(books)
        self._balances(books, payments)
        if books.buried:
            self.fault(f"{books.buried} entries were buried by the flusher")

    def _count(self) -> None:
        calls = [*self.calls.values(), *self.radius.values()]
        self.figures.sessions = sum(call.is_ended for call in calls)
        self.figures.refused = sum(call.is_refused for call in calls)
        self.figures.unfinished = sum(call.is_open and not call.is_ended for call in calls)

    def _records(self, books: Books) -> None:
        """Exactly one for each call that was ended, with its use and its price; none for one that was refused."""
        found: defaultdict[str, list[Record]] = defaultdict(list)
        for record in books.records:
            found[_call_id(record.session_id)].append(record)
        for name, call in (*self.calls.items(), *self.radius.items()):
            records = found.pop(name, [])
            still_open = name in books.open_sessions
            if call.is_ended and (len(records) != 1 or still_open):
                self.fault(f"{name} was ended: {len(records)} records, {'open' if still_open else 'closed'}")
            elif call.is_refused and (records or still_open):
                self.fault(f"{name} was refused: {len(records)} records, {'open' if still_open else 'closed'}")
            elif len(records) + still_open > 1:
                self.fault(f"{name}: {len(records)} records, {'open' if still_open else 'closed'}")
            for record in records:
                self._record(name, call, record)
        for name, records in found.items():
            # Its first answer was still under way when the client stopped: then it is there once.
            if len(records) != 1:
                self.fault(f"{name}: {len(records)} records of a call that no client was told of")

    def _record(self, name: str, call: Call, record: Record) -> None:
        if record.kind != "session" or record.account_id != call.account_id or record.flags:
            self.fault(f"{name} of {call.account_id}: {record}")
        if call.is_ended and record.used_s != call.used_s:
            self.fault(f"{name}: {call.used_s} s were reported and acknowledged, the record says {record.used_s}")
        if record.cost != cost_of(self._price, record.used_s):
            self.fault(f"{name}: {record.used_s} s cost {cost_of(self._price, record.used_s)}, not {record.cost}")

    def _payments(self, books: Books, payments: Mapping[Payment, int]) -> None:
        """Each acknowledged one once, under the number that was told; and no other."""
        expected = {
            (payment.account_id, number, parse_amount(payment.amount, SCALE), payment.key)
            for payment, number in payments.items()
        }
        found = Counter(
            (account, n, amount, key) for account, n, kind, amount, key in books.entries if kind == "top_up"
        )
        for missing in expected - found.keys():
            self.fault(f"acknowledged and not in the journal: top-up {missing}")
        for extra in found.keys() - expected:
            self.fault(f"in the journal and never acknowledged: top-up {extra}")
        keys = Counter((account, key) for account, _, _, key in found.elements())
        for twice in (name for name, count in keys.items() if count > 1):
            self.fault(f"paid twice: {twice}")

    def _numbering(self, books: Books) -> None:
        numbers: defaultdict[str, list[int]] = defaultdict(list)
        for account, number, kind, _, _ in books.entries:
            numbers[account].append(number)
            if kind not in KINDS:
                self.fault(f"entry {number} of {account} is of kind {kind}")
        for account, standing in books.accounts.items():
            if sorted(numbers[account]) != list(range(1, standing.entry_number + 1)):
                self.fault(f"the journal of {account} has gaps or goes not up to {standing.entry_number}")

    def _balances(self, books: Books, payments: Mapping[Payment, int]) -> None:
        """Paid in less what the calls cost, as the clients know it; unfinished calls as the books have them."""
        expected: defaultdict[str, Amount] = defaultdict(int)
        uncertain: set[str] = set()
        for payment in payments:
            expected[payment.account_id] += parse_amount(payment.amount, SCALE)
        for call in (*self.calls.values(), *self.radius.values()):
            expected[call.account_id] -= cost_of(self._price, call.used_s)
            if call.is_open and not call.is_ended:
                uncertain.add(call.account_id)
        known = self.calls.keys() | self.radius.keys()
        uncertain |= {record.account_id for record in books.records if _call_id(record.session_id) not in known}
        for account, standing in books.accounts.items():
            if standing.balance - standing.reserved + standing.credit_limit < 0:
                self.fault(f"{account} is oversold: {standing}")
            if account in uncertain:
                continue
            if standing.balance != expected[account] or standing.reserved:
                self.fault(f"{account}: {standing}, and its clients were told {expected[account]} and nothing reserved")


def _call_id(session_id: str) -> str:
    """A RADIUS record's name holds the gateway's, too; the call's own number is unique."""
    found = CALL_ID.search(session_id)
    return found[0] if found else session_id


def price_of(config: Path) -> Price:
    """The price of the calls of this load, from the rate files alone."""
    book = load_ratebook(config.parent, now_ms()).book
    assert book is not None, "the daemons have started by it"
    tariff: Any = book.tariff_for("bench", "voice", -1, (), CALLED, 0)
    assert isinstance(tariff, Tariff), f"the benchmark's plan rates its own calls: {tariff}"
    price: Price = tariff.price
    return price
