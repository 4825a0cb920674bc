"""Accounts on two stores for a state machine: how they begin, what has to hold after each step, how it all ends."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Final

import asyncpg
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
)
from msgspec import structs

from balance.account import Account, AccountState
from balance.levels import levels_of
from balance.valkey.keys import PARTITIONS_KEY
from balance.valkey.store import ValkeyStore, open_store
from ocs.auditor import audit
from ocs.charging.operations import BucketOptions, RechargeStatus
from ocs.charging.request import TERMINATING, ChargingAnswer, ChargingRequest, ChargingStatus, EventAction, RequestKind
from ocs.charging.rules import (
    NO_RULES,
    AccountRules,
    CapRule,
    ExpiryNotice,
    Lifecycle,
    PlanChangeRule,
    VelocityRule,
)
from ocs.charging.session import CreditSession, Tombstone, decode_session
from ocs.charging.subscribers import SubscriberStatus
from tests.integration.books import flush_all
from tests.property.sides import (
    PARTITIONS,
    Sides,
    Worker,
    check_books,
    check_bounds,
    check_cover,
    check_entry,
    check_transfers,
    held_of,
)
from tests.scenario.table import TARIFFS
from tests.scenario.traffic import diameter, group
from tests.scenario.world import POLICY, Clock, amount

PLANS: Final = {
    "A": "test-eur",
    "B": "test-eur",
    "D": "test-eur",
    "R": "test-resale-eur",
    "R~C": "test-eur",
    "U": "wholesale-usd",
}
SUBSCRIBERS: Final = {"anna": "A", "ben": "A", "carl": "B", "dirk": "D", "dora": "R~C", "rita": "R", "ulf": "U"}
LIVING: Final = AccountRules(
    lifecycles=(
        Lifecycle(
            plans=("test-eur",), first_use_days=40, valid_days=20, top_up_days=30, grace_days=3, suspended_days=4,
            recycled_days=9,
        ),
    ),
    velocity=(
        VelocityRule(currency="EUR", spend_per_minute="0.70", short_percent=60, calls_min=4, plans=("test-eur",)),
        VelocityRule(currency="EUR", spend_per_minute="0.40", action="shrink", shrink_to_s=7),
    ),
    plan_changes=(PlanChangeRule(plans=("test-resale-eur",), packages=("resale-monthly",)),),
    expiry_notices=(ExpiryNotice(days=2),),
    caps=(CapRule(name="opening", currency="EUR", every="week", most="2.00", plans=("test-eur",), warn_percent=50),),
)  # fmt: skip


@dataclass
class Call:
    """A session as its client knows it."""

    name: str
    who: str
    tariff: str
    is_radius: bool = False
    number: int = 0
    used: int = 0
    granted: int = 0
    is_over: bool = False
    account_id: str = ""
    is_received: bool = False


@dataclass
class Sent:
    """A request that may be sent again, and what was answered."""

    operation: Callable[[Worker], Awaitable[ChargingAnswer]]
    answer: ChargingAnswer
    call: Call
    number: int


class AccountsMachine(RuleBasedStateMachine):
    """Accounts of every sort on both sides, and what has to hold after each step; the rules are its heirs'."""

    url = ""
    dsn = ""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.clock = Clock()
        self.valkey: ValkeyStore = self.run(self._open())
        self.calls: list[Call] = []
        self.sent: list[Sent] = []
        self.loose: set[str] = set()
        self.told: set[tuple[object, ...]] = set()
        self.paid_in: dict[str, int] = {}
        self.keys = 0
        self.sides: Sides

    async def _open(self) -> ValkeyStore:
        store = await open_store(self.url, PARTITIONS)
        await store.client.flushall()
        await store.client.set(PARTITIONS_KEY, PARTITIONS)
        connection = await asyncpg.connect(self.dsn)
        await connection.execute("TRUNCATE journal, cdr, account_event")
        await connection.close()
        return store

    def run(self, task: Coroutine[Any, Any, Any]) -> Any:
        return self.loop.run_until_complete(task)

    def both(self, operation: Callable[[Worker], Awaitable[Any]], turn: int = 0, stored: Any = None) -> Any:
        answer = self.run(self.sides.both(operation, turn, stored))
        self.look()
        return answer

    def key(self) -> dict[str, Any]:
        self.keys += 1
        return {"key": f"k{self.keys}", "actor": "test", "reason": "why"}

    @initialize(rules=st.sampled_from([NO_RULES, LIVING]))
    def begin(self, rules: AccountRules) -> None:
        """Accounts of every sort: one with two members, one alone, a reseller with a customer, one in another currency."""
        policy = structs.replace(POLICY, rules=rules, watches=bool(rules.velocity))
        self.sides = Sides(self.clock, policy, self.valkey)
        for name, plan in PLANS.items():
            currency = "USD" if name == "U" else "EUR"
            self._open_account(name, currency, plan)
            self.pay_in(name, amount("2.00"), currency=currency)
        for at, (name, account_id) in enumerate(SUBSCRIBERS.items()):
            self._add_subscriber(name, account_id, f"e164:491510000010{at}")
        self.run(self.sides.print_codes(4))

    # --- what holds after each step -----------------------------------------------------------------------------------

    @invariant()
    def the_books_balance(self) -> None:
        """A1 to A4."""
        if hasattr(self, "sides"):
            check_books(self.sides)
            check_cover(self.sides)
            check_bounds(self.sides, self.loose)
            check_transfers(self.sides)

    def teardown(self) -> None:
        try:
            if hasattr(self, "sides"):
                self._end()
        finally:
            self.run(self.valkey.close())
            self.loop.run_until_complete(asyncio.sleep(0))
            self.loop.close()

    def _end(self) -> None:
        """Everybody goes silent: nothing is held any more, and what was paid in is what the journal says."""
        self.run(self._audit())
        for _ in range(3):
            self.clock.now_ms += 7_300_000
            self.both(lambda each: each.supervise())
        self.the_books_balance()
        assert not self.sides.open()
        for name, account in self.sides.store.accounts.items():
            assert not any(held_of(account)), account
            tops = [entry for entry in self.sides.entries[name] if entry.kind == "top_up"]
            assert sum(change.amount for entry in tops for change in entry.changes) == self.paid_in.get(name, 0)
        assert not any(self.sides.on_the_way(currency) for currency in ("EUR", "USD"))
        self.run(self._audit())

    async def _audit(self) -> None:
        """`ocs audit` over the Valkey of two processes and the journal that the flusher has written: with sessions open, and none."""
        await flush_all(self.url, self.dsn)
        report = await audit(self.url, self.dsn)
        assert report.is_clean, report.findings
        assert (report.accounts, report.in_motion, report.buried) == (len(self.sides.store.accounts), [], 0)
        assert (report.open_sessions, report.waiting_entries) == (len(self.sides.open()), 0)

    # --- for the rules -----------------------------------------------------------------------------------------------------

    def look(self) -> None:
        for entry in self.sides.fresh:
            check_entry(entry, self.told)
        self.sides.fresh = []

    def _open_account(self, name: str, currency: str, plan: str) -> None:
        create = lambda each: each.desk.create_account(name, currency, plan, 0, amount("0.30"), actor="test")  # noqa: E731
        assert isinstance(self.both(create), Account)

    def _add_subscriber(self, name: str, account_id: str, identity: str) -> None:
        create = lambda each: each.desk.subscribers.create(name, account_id, (identity,), "")  # noqa: E731
        assert self.both(create).status is SubscriberStatus.DONE

    def pay_in(
        self, name: str, nano: int, bucket: BucketOptions | None = None, turn: int = 0, currency: str = "EUR"
    ) -> None:
        key = self.key()
        once = lambda each: each.desk.top_up(name, nano, currency, bucket=bucket, **key)  # noqa: E731
        if self.both(once, turn).status is RechargeStatus.APPLIED:
            self.note_paid(name, nano)
            assert self.both(once, turn + 1).status is RechargeStatus.REPLAYED

    def note_paid(self, name: str, nano: int) -> None:
        self.paid_in[name] = self.paid_in.get(name, 0) + nano

    def send(self, call: Call, kind: RequestKind, used: int | None, ask: int | None, turn: int) -> None:
        call.number = call.number + 1 if kind is not RequestKind.INITIAL else 0
        answer = self.charge(call, call.number, self.maker(call, kind, call.number, self.group_of(call, used, ask)), turn)  # fmt: skip
        call.granted = sum(each.granted for each in answer.groups)
        own = self.sides.store.accounts[call.account_id]
        if own.state is AccountState.LIMITED and not call.is_received and call.tariff != "free":
            assert not call.granted, "an account that is limited begins nothing, and goes on with nothing that it began"

    def maker(
        self, call: Call, kind: RequestKind, number: int, asked: Any, action: EventAction = EventAction.DIRECT_DEBITING
    ) -> Callable[[Worker], ChargingRequest]:
        service, destination, _, _ = TARIFFS[call.tariff]
        identity = self.identity_of(call.who)
        role = (TERMINATING,) if call.is_received and kind is RequestKind.INITIAL else ()

        def make(each: Worker) -> ChargingRequest:
            request = diameter(
                each.world, kind, call.name, number, asked, service=service, destination=destination, identity=identity,
                action=action,
            )  # fmt: skip
            request.details = role
            return request

        return make

    def group_of(self, call: Call, used: int | None, ask: int | None) -> Any:
        _, _, rating_group, unit = TARIFFS[call.tariff]
        return group(used, ask, rating_group=rating_group, unit=unit)

    def quantity(self, call: Call, used: int) -> int:
        if used > call.granted:
            self.loosen(call)
        return used

    def charge(self, call: Call, number: int, maker: Callable[[Worker], ChargingRequest], turn: int) -> ChargingAnswer:
        """The request is made once, so that a repeat is the same request."""
        call.account_id = call.account_id or self.account_of(call.who)
        operation = charging(maker, self.clock())
        answer = self.both(operation, turn)
        assert isinstance(answer, ChargingAnswer)
        self.sent.append(Sent(operation, answer, call, number))
        return answer

    def identity_of(self, who: str) -> str:
        return self.sides.subscriber(who).identities[0]

    def account_of(self, who: str) -> str:
        return self.sides.subscriber(who).account_id

    def loosen(self, call: Call) -> None:
        """More is used than was granted: its accounts may go below zero, at every level."""
        self.loose |= set(levels_of(call.account_id or self.account_of(call.who)))

    def is_known(self, call: Call) -> bool:
        """Whether its session is open still, or has ended with its own last report, and is not forgotten since.

        What comes again when all of it is forgotten is answered so, and that answer is remembered, too.
        """
        value = self.sides.state().records.get(f"{'ra' if call.is_radius else 'gy'}:{call.name}")
        record = decode_session(value) if value is not None else None
        if isinstance(record, Tombstone):
            gone = {
                each.request_number for each in record.answers if each.answer.status is ChargingStatus.SESSION_UNKNOWN
            }
            return call.is_over and not gone
        return isinstance(record, CreditSession)

    def last_of(self, call: Call) -> Sent | None:
        return next((each for each in reversed(self.sent) if each.call.name == call.name), None)

    def open_calls(self) -> list[Call]:
        return [call for call in self.calls if not call.is_over and not call.is_radius]

    def pick(self, found: Any, at: int) -> Any:
        return found[at % len(found)]


def charging(
    maker: Callable[[Worker], ChargingRequest], at_ms: int = 0
) -> Callable[[Worker], Awaitable[ChargingAnswer]]:
    async def charged(each: Worker) -> ChargingAnswer:
        request = maker(each)
        request.event_at_ms = at_ms or request.event_at_ms
        return await each.world.charge(request)

    return charged
