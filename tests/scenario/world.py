"""One account, a clock that is moved by hand and a way to charge: the world in which a scenario table is played."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from decimal import Decimal
from functools import lru_cache
from pathlib import Path
from typing import Protocol
from zlib import crc32

from balance.account import MAIN_BUCKET, Account, AccountState, Bucket, Hold
from balance.burn import available
from balance.levels import levels_of
from balance.memory import MemoryStore
from balance.valkey.store import ValkeyStore
from ocs.charging.cdr import JournalEntry, decode_entry
from ocs.charging.life import blocks_of
from ocs.charging.money_desk import MoneyDesk
from ocs.charging.operations import BucketOptions, Limits, RechargeResult, RechargeStatus
from ocs.charging.plans import PlanOrder
from ocs.charging.policy import COST_MAX, QuotaPolicy
from ocs.charging.recharge import AccountDesk
from ocs.charging.request import ChargingAnswer, ChargingRequest
from ocs.charging.service import OnlineCharging
from ocs.charging.session import CreditSession, decode_session
from ocs.charging.supervision import Supervision
from ocs.rating.load import load_currencies, load_ratebook
from ocs.rating.ratebook import RateBook
from ocs.rating.units import UnitKind

CONFIG = Path(__file__).parents[2] / "config"
APART = "apart"
"""A reseller's account, in another partition than A, of two and of four."""
IDENTITY = "e164:4915100000001"
START_MS = 1_790_000_000_000
SCALE = 9

POLICY = QuotaPolicy(
    quota={UnitKind.SECONDS: 30, UnitKind.OCTETS: 1_048_576, UnitKind.EVENTS: 1, UnitKind.MONEY: COST_MAX},
    validity_s=300,
    threshold_percent=0,
    maximum_is_quota=True,
    supervision_factor=2,
)


class Clock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.now_ms = START_MS

    def __call__(self) -> int:
        return self.now_ms


@lru_cache
def rate_book() -> RateBook:
    """The shipped rates: they never change, so they are read once."""
    result = load_ratebook(CONFIG, START_MS)
    assert result.book is not None, result.faults
    return result.book


class World:
    """An account ``A`` on one store, and everything that can happen to it."""

    def __init__(self, store: MemoryStore | ValkeyStore, clock: Clock, policy: QuotaPolicy = POLICY) -> None:
        self.store = store
        self.clock = clock
        self.charging = OnlineCharging(store, rate_book(), policy, clock)
        self.desk = AccountDesk(self.charging, store, clock, load_currencies(CONFIG / "currencies.toml"))
        self.supervision = Supervision(self.charging, store, clock)
        self.money = MoneyDesk(self.desk, clock)
        self.supervision.on_transfer = self.money.finish
        self.supervision.on_merger = self.money.finish_merger
        self.keys = 0
        self.account_id = "A"
        self.beside = "B"
        self.reseller = ""
        self.is_apart = False

    async def open_reseller(self, balance: str, *, is_apart: bool = False) -> None:
        """An account above A, which is a customer of it from now on; in a partition of its own, where it is apart."""
        self.is_apart = is_apart
        if is_apart:
            self.reseller = APART
        else:
            self.reseller = self.account_id
            self.account_id = f"{self.reseller}~A"
        created = await self.desk.create_account(self.reseller, "EUR", "test-resale-eur", 0, 0, actor="test")
        assert isinstance(created, Account)
        await self.desk.top_up(self.reseller, amount(balance), "EUR", key="first", actor="test", reason="")

    async def open(self, balance: str, credit_limit: str = "0", low_balance: str = "0", time_zone: str = "") -> None:
        account = await self.desk.create_account(
            self.account_id,
            "EUR",
            "test-eur",
            amount(credit_limit),
            amount(low_balance),
            actor="test",
            time_zone=time_zone,
            reseller=self.reseller if self.is_apart else "",
        )
        assert isinstance(account, Account)
        made = await self.desk.subscribers.create("S", self.account_id, (IDENTITY,), "")
        assert made.subscriber is not None
        if amount(balance):
            await self.change(balance)

    async def change(self, text: str, bucket: BucketOptions | None = None) -> None:
        """Top up, or take away with a minus sign."""
        self.keys += 1
        key = f"k{self.keys}"
        if amount(text) > 0:
            await self.desk.top_up(
                self.account_id, amount(text), "EUR", key=key, actor="test", reason="", bucket=bucket
            )
        else:
            await self.desk.adjust(self.account_id, amount(text), "EUR", key=key, actor="test", reason="")

    async def set_state(self, state: AccountState, block: str = "operator") -> None:
        self.keys += 1
        await self.desk.set_state(self.account_id, state, key=f"k{self.keys}", actor="test", reason="", block=block)

    async def state(self) -> str:
        """Its state, and the names of what blocks it."""
        account = await self.account()
        return " ".join((account.state.name.lower(), *blocks_of(account)))

    async def charge(self, request: ChargingRequest) -> ChargingAnswer:
        future: asyncio.Future[ChargingAnswer] = asyncio.get_running_loop().create_future()
        self.charging.submit(request, future.set_result)
        return await future

    async def charge_all(self, requests: Sequence[ChargingRequest]) -> list[ChargingAnswer]:
        """All at the same moment."""
        return list(await asyncio.gather(*(self.charge(request) for request in requests)))

    async def account(self, account_id: str = "") -> Account:
        account = await self.desk.account(account_id or self.account_id)
        assert account is not None
        return account

    async def figures(self, account_id: str = "") -> tuple[int, int, int]:
        """Booked, reserved and available now."""
        account = await self.account(account_id)
        booked = sum(bucket.balance for bucket in account.buckets)
        return booked, sum(bucket.reserved for bucket in account.buckets), available(account, self.clock())

    async def counts(self) -> tuple[int, int]:
        """Counted in the newest period, and kept there for grants."""
        extras = (await self.account()).extras
        newest = extras.counters[-1] if extras is not None and extras.counters else None
        return (newest.used, newest.reserved) if newest is not None else (0, 0)

    async def units(self) -> tuple[int, int]:
        """Left in buckets of units, and held there for grants."""
        extras = (await self.account()).extras
        buckets = extras.units if extras is not None else ()
        return sum(bucket.balance for bucket in buckets), sum(bucket.reserved for bucket in buckets)

    async def add_member(self, name: str) -> str:
        """A further subscriber of the account; its identity."""
        identity = f"e164:4915200{crc32(name.encode()):010d}"
        assert (await self.desk.subscribers.create(name, self.account_id, (identity,), "")).subscriber is not None
        return identity

    async def buy(self, package: str) -> None:
        """Sell the account a package of its plan."""
        self.keys += 1
        result = await self.desk.buy(self.account_id, package, key=f"k{self.keys}", actor="test", reason="")
        assert isinstance(result, RechargeResult)
        assert result.status is RechargeStatus.APPLIED, result

    async def cancel(self, subscription: int) -> None:
        self.keys += 1
        result = await self.desk.cancel(self.account_id, subscription, key=f"k{self.keys}", actor="test", reason="")
        assert result.status is RechargeStatus.APPLIED, result

    async def change_plan(self, plan: str, *, at_cycle_end: bool) -> None:
        self.keys += 1
        order = PlanOrder(plan, at_cycle_end)
        result = await self.desk.change_plan(self.account_id, order, key=f"k{self.keys}", actor="test", reason="")
        assert result.status is RechargeStatus.APPLIED, result

    async def open_beside(self, balance: str) -> None:
        """Another account, which may be in another partition."""
        created = await self.desk.create_account(self.beside, "EUR", "test-eur", 0, 0, actor="test")
        assert isinstance(created, Account)
        await self.desk.top_up(self.beside, amount(balance), "EUR", key="first", actor="test", reason="")

    async def send(self, text: str) -> str:
        """Move money to that account; what it comes to."""
        self.keys += 1
        result = await self.money.transfer(
            self.account_id, self.beside, amount(text), "EUR", key=f"k{self.keys}", actor="test", reason=""
        )
        return result.status.value

    async def set_limits(self, limits: Limits) -> None:
        self.keys += 1
        result = await self.desk.set_limits(self.account_id, limits, key=f"k{self.keys}", actor="test", reason="")
        assert result.status is RechargeStatus.APPLIED, result

    async def entries(self) -> list[JournalEntry]:
        """The journal as it left through the outbox."""
        if isinstance(self.store, MemoryStore):
            return [decode_entry(value) for value in self.store.entries]
        found: list[JournalEntry] = []
        for partition in range(self.store.partitions):
            for _, fields in await self.store.client.xrange(f"{{p{partition}}}outbox"):
                found.append(decode_entry(fields[b"e"]))
        return found

    async def close_silent_sessions(self) -> int:
        """Close those whose time has run out; how many that were (a round has a bound)."""
        return await self.supervision.close_due()

    async def check_books(self) -> None:
        """Invariants 1 and 2: the journal less open use is the balance; reservations add up."""
        entries = await self.entries()
        for name in (*levels_of(self.account_id), *((self.reseller,) if self.is_apart else ())):
            account, sessions = await self.account(name), await self.store.open_sessions(name)
            assert_books(account, [entry for entry in entries if entry.account_id == name], sessions)


def assert_books(account: Account, entries: Sequence[JournalEntry], values: Sequence[bytes]) -> None:
    """``values`` are the records of the account's open sessions, possibly among others."""
    records = [decode_session(value) for value in values]
    own = account.account_id
    sessions = [each for each in records if isinstance(each, CreditSession) and each.account_id == own]
    assert [entry.entry_number for entry in entries] == list(range(1, account.entry_number + 1))
    booked: dict[int, int] = {MAIN_BUCKET: 0}
    reserved: dict[int, int] = {}
    for entry in entries:
        _add(booked, (*entry.changes, *entry.units), 1)
    for session in sessions:
        _add(booked, (*session.debits, *session.unit_debits), -1)
        _add(reserved, (*session.reservation, *session.unit_reservation), 1)
    for units in account.extras.units if account.extras is not None else ():
        assert units.balance == booked.pop(units.bucket_id, 0), units
        assert units.reserved == reserved.pop(units.bucket_id, 0), units
    for limit in account.extras.calls if account.extras is not None else ():
        assert limit.open == reserved.pop(limit.slot, 0), limit
    for counter in account.extras.counters if account.extras is not None else ():
        assert -counter.used == booked.pop(counter.slot, 0), counter
        assert counter.reserved == reserved.pop(counter.slot, 0), counter
    for bucket in account.buckets:
        assert bucket.balance == booked.pop(bucket.bucket_id, 0), bucket
        assert bucket.reserved == reserved.pop(bucket.bucket_id, 0), bucket
    assert not any(booked.values())
    assert not any(reserved.values())


class OpensWorld(Protocol):
    """A fixture that makes a world on some store."""

    async def __call__(self, policy: QuotaPolicy = POLICY) -> World: ...


def amount(text: str) -> int:
    return int(Decimal(text) * 10**SCALE)


def bucket(bucket_id: int, balance: str, *, expires_at_ms: int = 0) -> Bucket:
    return Bucket(bucket_id, amount(balance), expires_at_ms=expires_at_ms)


def _add(totals: dict[int, int], holds: Sequence[Hold], sign: int) -> None:
    for hold in holds:
        totals[hold.bucket_id] = totals.get(hold.bucket_id, 0) + sign * hold.amount
