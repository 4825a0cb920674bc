"""The same operations on the memory store and on Valkey, and what has to be true of both after each of them."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from functools import lru_cache
from typing import Any, Final, NamedTuple, TypeVar

from msgspec import structs

from balance.account import MAIN_BUCKET, NO_EXTRAS, Account
from balance.burn import total_of
from balance.memory import MemoryStore
from balance.money import Currency
from balance.store import Due, Subscriber
from balance.valkey import keys
from balance.valkey.store import ValkeyStore
from ocs.audit import audit_account
from ocs.billing.cdrs import JournalRow
from ocs.charging.account_events import TYPE_FACT
from ocs.charging.cdr import JournalEntry, decode_entry
from ocs.charging.money_desk import MoneyDesk
from ocs.charging.policy import QuotaPolicy
from ocs.charging.session import CreditSession, GroupState, Merger, Record, Transfer, decode_session
from ocs.payments.desk import CardDesk
from ocs.payments.gateway import GatewayRefusedError
from ocs.rating.price import cost_of
from ocs.rating.terms import Rounding
from ocs.vouchers import Batch, VoucherDesk
from tests.scenario.world import Clock, World, amount
from tests.unit.fake_redis import FakeRedis

ResultT = TypeVar("ResultT")

PARTITIONS: Final = 4
TTL_GRAIN_MS: Final = 60_000
CURRENCIES: Final = {"EUR": Currency("EUR", 978, 9, 2), "USD": Currency("USD", 840, 9, 2)}


class OrderedMemory(MemoryStore):
    """Tells what is due in the order in which Valkey does, partition by partition, and remembers what has expired."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self.gone: set[str] = set()

    def _session(self, key: str) -> bytes | None:
        was_there = key in self.sessions
        value = super()._session(key)
        if was_there and value is None:
            self.gone.add(key)
        return value

    async def due(self, until_ms: int, limit: int) -> list[Due]:
        found = await super().due(until_ms, limit)
        return sorted(found, key=lambda each: (_partition_of(each.value), self.deadlines[each.key], each.key))


def _partition_of(value: bytes | None) -> int:
    return keys.partition_of(decode_session(value).account_id, PARTITIONS) if value is not None else 0


class CodesInMemory(FakeRedis):
    """What vouchers ask of Valkey, too; nothing expires, as the tests' time is not the server's."""

    async def set(self, key: str, value: bytes, nx: bool = False) -> bool:
        return not (nx and key in self.values) and await super().set(key, value)

    async def mget(self, names: Sequence[str]) -> list[bytes | None]:
        return [self.values.get(name) for name in names]

    async def eval(self, _script: str, _count: int, key: str, before: bytes, after: bytes) -> int:
        if self.values.get(key) != before:
            return 0
        self.values[key] = after
        return 1

    async def incr(self, key: str) -> int:
        count = int(self.values.get(key, b"0")) + 1
        self.values[key] = str(count).encode()
        return count

    async def expire(self, _key: str, _seconds: int) -> None: ...


class Worker:
    """One process on a store, with a memory of its own."""

    def __init__(self, store: MemoryStore | ValkeyStore, codes: Any, clock: Clock, policy: QuotaPolicy) -> None:
        self.world = World(store, clock, policy)
        self.desk = self.world.desk
        self.money = MoneyDesk(self.desk, clock)
        self.vouchers = VoucherDesk(codes, self.desk, clock)
        self.cards: CardDesk
        self.world.supervision.on_transfer = self.money.finish
        self.world.supervision.on_merger = self.money.finish_merger

    async def supervise(self) -> None:
        """Until nothing is due any more."""
        while await self.world.close_silent_sessions():
            pass


class Till:
    """The gateway's side of a refund: it says the same to whoever asks for the same."""

    name = "till"

    def __init__(self, sides: Sides) -> None:
        self._sides = sides

    async def refund(self, payment: str, minor: int, *, key: str) -> str:
        assert minor > 0, "a refund gives something"
        if self._sides.is_till_closed:
            raise GatewayRefusedError(f"{payment} is not given back")
        return f"re_{key}"


class State(NamedTuple):
    """What stands in a store: accounts, all records beside them, the deadlines, and whose account each of those is held by."""

    accounts: dict[str, Account]
    records: dict[str, bytes]
    deadlines: dict[str, int]
    holders: dict[str, str]


class Sides:
    """The memory store with one worker, a Valkey store with two."""

    def __init__(self, clock: Clock, policy: QuotaPolicy, valkey: ValkeyStore) -> None:
        self.clock = clock
        self.store = OrderedMemory(clock)
        self.valkey = valkey
        self.memory = Worker(self.store, CodesInMemory(), clock, policy)
        self.workers = [Worker(valkey, valkey.client, clock, policy) for _ in range(2)]
        self.codes: dict[Worker, list[str]] = {}
        for each in (self.memory, *self.workers):
            each.cards = CardDesk(Till(self), each.desk, self, self.posted, CURRENCIES, clock)  # type: ignore[arg-type]
        self.entries: dict[str, list[JournalEntry]] = defaultdict(list)
        self.fresh: list[JournalEntry] = []
        self._read = ["-"] * PARTITIONS
        self._known = 0
        self.is_till_closed = False

    async def find_reference(self, account_id: str, reference: str) -> JournalRow | None:
        """The journal, as both sides have written it."""
        found = next((each for each in self.entries[account_id] if each.reference == reference), None)
        if found is None:
            return None
        return JournalRow(
            account_id=account_id, entry_number=found.entry_number, at_ms=found.at_ms, kind=found.kind,
            currency=found.currency, amount=total_of(found.changes), changes=found.changes, reference=reference,
            actor=found.actor, reason=found.reason,
        )  # fmt: skip

    async def posted(self, account_id: str, reference: str) -> int | None:
        """The entry's number."""
        row = await self.find_reference(account_id, reference)
        return row.entry_number if row is not None else None

    def subscriber(self, subscriber_id: str) -> Subscriber:
        """One as both sides have him."""
        return self.store.directory.known[subscriber_id]

    async def print_codes(self, count: int) -> None:
        """A batch of vouchers on each side; its codes are chance."""
        for worker in (self.memory, self.workers[0]):
            batch = Batch("spring", count, amount("0.50"), "EUR", self.clock(), "test")
            self.codes[worker] = [each.code async for page in worker.vouchers.make(batch) for each in page]
        self.codes[self.workers[1]] = self.codes[self.workers[0]]

    async def both(
        self, operation: Callable[[Worker], Awaitable[ResultT]], turn: int, stored: ResultT | None = None
    ) -> ResultT:
        """Do it on both sides: the same answer, the same state afterwards.

        A process may remember the answer to an older request than the store does, and repeat it: ``stored``. On either side: after
        steps in the same moment the memory store's process has not read what it took over.
        """
        self.clock.now_ms += 7
        await self._expire()
        expected = await operation(self.memory)
        found = await operation(self.workers[turn % 2])
        if found != expected and stored is not None and stored in (found, expected):
            await self._adopt()  # who remembers posts nothing for it
            return found
        assert found == expected, (found, expected)
        await self.compare()
        return expected

    async def at_once(self, operations: Sequence[Callable[[Worker], Awaitable[ResultT]]]) -> list[ResultT]:
        """Do all of them at the same moment, here and there on Valkey. Any order is right, so memory takes over the result."""
        self.clock.now_ms += 7
        await self._expire()
        doing = [operation(self.workers[at % 2]) for at, operation in enumerate(operations)]
        answers = list(await asyncio.gather(*doing))
        await self._adopt()
        return answers

    def forget(self) -> None:
        """Numbers have moved: other processes find that out within a minute."""
        for worker in (self.memory, *self.workers):
            worker.world.charging.forget_subscribers()

    async def compare(self) -> None:
        """Both stores hold the same, octet by octet, and have written the same entries."""
        here, there = self.state(), await self._state()
        for part in State._fields:
            differences = _differences(getattr(there, part), getattr(here, part))
            assert not differences, differences
        expected = self.store.entries[self._known :]
        self._known = len(self.store.entries)
        self._take([decode_entry(each) for each in expected])
        written = [decode_entry(each) for each in await self._written()]
        for entry in written:
            assert any(_is_same(entry, each) for each in self.fresh), entry
        assert len(written) == len(self.fresh), self.fresh

    def state(self) -> State:
        """What memory holds now."""
        records = {key: value for key in list(self.store.sessions) if (value := self.store._session(key)) is not None}
        holders = {key: holder for key, holder in self.store.holders.items() if key in self.store.deadlines}
        return State(dict(self.store.accounts), records, dict(self.store.deadlines), holders)

    def open(self) -> list[CreditSession]:
        """All open sessions."""
        found = (_decoded(value) for value in self.state().records.values())
        return [each for each in found if isinstance(each, CreditSession)]

    def on_the_way(self, currency: str) -> int:
        """Money that has left an account and not arrived."""
        found = [_decoded(value) for value in self.state().records.values()]
        amounts = [each.amount for each in found if isinstance(each, Transfer) and each.currency == currency]
        whole = [each.account for each in found if isinstance(each, Merger) and each.account.currency == currency]
        return sum(amounts) + sum(bucket.balance for account in whole for bucket in account.buckets)

    # --- inside -----------------------------------------------------------------------------------------------------

    def _take(self, entries: list[JournalEntry]) -> None:
        self.fresh = entries
        for entry in entries:
            self.entries[entry.account_id].append(entry)

    async def _state(self) -> State:
        found = {each.account_id: each async for each in self.valkey.accounts()}
        names = await self.valkey.client.keys("{p*}s:*")
        values = await self.valkey.client.mget(names) if names else []
        records = {name.decode().partition("s:")[2]: value for name, value in zip(names, values, strict=True)}
        deadlines: dict[str, int] = {}
        holders: dict[str, str] = {}
        for partition in range(PARTITIONS):
            for member in await self.valkey.client.zrange(keys.holders_key(partition), 0, -1):
                holder, _, key = member.decode().partition("\0")
                holders[key] = holder
            for name, score in await self.valkey.client.zrange(keys.deadlines_key(partition), 0, -1, withscores=True):
                deadlines[name.decode()] = int(score)
        return State(found, {key: value for key, value in records.items() if value is not None}, deadlines, holders)

    async def _written(self) -> list[bytes]:
        found: list[bytes] = []
        for partition, start in enumerate(self._read):
            for number, fields in await self.valkey.client.xrange(keys.outbox_key(partition), min=start):
                found.append(fields[keys.OUTBOX_FIELD])
                self._read[partition] = f"({number.decode()}"
        return found

    async def _expire(self) -> None:
        """Records live by the server's clock, and the tests' clock runs faster: what is over there goes here, too."""
        self.state()
        gone = [keys.session_key(partition, key) for key in self.store.gone for partition in range(PARTITIONS)]
        if gone:
            await self.valkey.client.delete(*gone)
        self.store.gone.clear()

    async def _adopt(self) -> None:
        before, there = self.store.expiries, await self._state()
        del self.store.entries[self._known :]
        self.store.accounts = dict(there.accounts)
        self.store.sessions = dict(there.records)
        self.store.deadlines = dict(there.deadlines)
        self.store.holders = dict(there.holders)
        self.store.expiries = {}
        for key in there.records:
            left_ms = before.get(key) or await self._end_ms(key, there)
            if left_ms:
                self.store.expiries[key] = left_ms
        written = await self._written()
        self.store.entries += written
        self._known = len(self.store.entries)
        self._take([decode_entry(each) for each in written])

    async def _end_ms(self, key: str, there: State) -> int:
        partition = _partition_of(there.records[key])
        left_ms = await self.valkey.client.pttl(keys.session_key(partition, key))
        return self.clock() + -(-left_ms // TTL_GRAIN_MS) * TTL_GRAIN_MS if left_ms > 0 else 0


def _is_same(there: JournalEntry, here: JournalEntry) -> bool:
    """A process that took a session for open, while another one closed it days ago, does not look for its subscriber."""
    if there.cdr is None or here.cdr is None or there.cdr.subscriber:
        return there == here
    unnamed = structs.replace(here.cdr, subscriber="")
    return there == structs.replace(here, cdr=unnamed)


def _differences(there: dict[str, Any], here: dict[str, Any]) -> list[tuple[str, Any, Any]]:
    """What stands on Valkey and in memory under the names that differ."""
    names = sorted({*there, *here})
    return [(name, there.get(name), here.get(name)) for name in names if there.get(name) != here.get(name)]


@lru_cache(maxsize=4096)
def _decoded(value: bytes) -> Record:
    return decode_session(value)


# --- what has to be true (charging-behaviours, section A) ------------------------------------------------------------------


def check_books(sides: Sides) -> None:
    """A1, A2: every account is what its journal and its open sessions say, and nothing of it is reserved below zero."""
    sessions: dict[str, list[CreditSession]] = defaultdict(list)
    for session in sides.open():
        sessions[session.account_id].append(session)
    assert sessions.keys() <= sides.store.accounts.keys()
    for name, account in sides.store.accounts.items():
        entries = sides.entries[name]
        assert sorted(entry.entry_number for entry in entries) == list(range(1, account.entry_number + 1)), name
        sums: dict[int, int] = defaultdict(int)
        for entry in entries:
            for change in (*entry.changes, *entry.units):
                sums[change.bucket_id] += change.amount
        count = len(entries)
        assert audit_account(account, sums, count, count, sessions[name]) == [], name
        extras = account.extras or NO_EXTRAS
        assert all(held >= 0 for held in held_of(account)), account
        assert all(place.reserved >= 0 for counter in extras.counters for place in counter.tiers)


def held_of(account: Account) -> list[int]:
    """What sessions hold of an account: money, units, places in tiers, places for calls."""
    extras = account.extras or NO_EXTRAS
    return [
        *(bucket.reserved for bucket in account.buckets),
        *(bucket.reserved for bucket in extras.units),
        *(counter.reserved for counter in extras.counters),
        *(limit.open for limit in extras.calls),
    ]


def check_cover(sides: Sides) -> None:
    """A3: whatever is granted, what it will cost is set aside."""
    for session in sides.open():
        for group in session.groups:
            if group.granted and _is_plain(group):
                held = sum(hold.amount for hold in group.reservation)
                price = group.tariff.price
                assert held >= cost_of(price, group.used + group.granted) - cost_of(price, group.used), session


def _is_plain(group: GroupState) -> bool:
    """Priced by its use alone: no tiers of a period, no bundle, no price that changes on the way."""
    return isinstance(group.tariff.price.terms, Rounding) and group.units is None and group.course is None


def check_bounds(sides: Sides, loose: set[str]) -> None:
    """A4: no bucket promises more than is in it, the main one no more than its credit limit allows."""
    for name, account in sides.store.accounts.items():
        for bucket in account.buckets:
            room = account.credit_limit if bucket.bucket_id == MAIN_BUCKET else 0
            assert name in loose or bucket.balance - bucket.reserved + room >= 0, (name, bucket)
        for units in (account.extras or NO_EXTRAS).units:
            assert 0 <= units.reserved <= units.balance, (name, units)


def check_transfers(sides: Sides) -> None:
    """Money that moves between accounts is in one of them, or on its way."""
    for currency in ("EUR", "USD"):
        moved = sum(
            change.amount
            for entries in sides.entries.values()
            for entry in entries
            if entry.kind in {"transfer", "merge"} and entry.currency == currency
            for change in entry.changes
        )
        assert moved + sides.on_the_way(currency) == 0


def check_entry(entry: JournalEntry, told: set[tuple[object, ...]]) -> None:
    """A6, A7: a record's cost is what its prices say of its use, and what was debited; a crossing is told once."""
    if entry.cdr is not None:
        assert sum(group.cost for group in entry.cdr.groups) == entry.cdr.cost
        for group in entry.cdr.groups:
            assert group.cost == cost_of(group.price, group.used), group
        if entry.kind != "refund":
            assert sum(change.amount for change in entry.changes) == -entry.cdr.cost, entry
    facts = dict(entry.facts)
    if facts.get(TYPE_FACT) in {"fraud_suspected", "cap_reached", "cap_warning"}:
        # A cap that was lifted meanwhile may be passed once more, in another posting.
        crossing = (entry.account_id, entry.at_ms, entry.reference, entry.reason)
        assert crossing not in told, entry
        told.add(crossing)
