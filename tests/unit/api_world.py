"""The API on small in-memory parts: what its unit tests run against."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, cast

import httpx
import msgspec
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

from balance.account import Account, AccountState, Bucket, CallLimit, Cap, Extras, PlanChange, UnitBucket, with_extras
from balance.allowances import with_units
from balance.memory import MemoryStore
from balance.money import AMOUNT_MAX, Currency
from balance.store import BackendUnavailable
from ocs.api.app import create_app
from ocs.api.context import Context
from ocs.api.keys import KeyRing, Scope, new_token, store_key
from ocs.api.ports import PeerView
from ocs.billing.cdrs import JournalRow
from ocs.charging.enquiry import Enquired, Use, enquire
from ocs.charging.operations import (
    AccountFault,
    BucketOptions,
    Limits,
    RechargeResult,
    RechargeStatus,
    limits_tag,
    state_tag,
    version_tag,
)
from ocs.charging.plans import PlanOrder, plan_tag
from ocs.charging.policy import quota_policy
from ocs.charging.recharge import PackageUnknown
from ocs.charging.session_search import Position, SessionPage, SessionQuery, SessionView
from ocs.charging.subscribers import SubscriberDesk
from ocs.observe.counters import Counters
from ocs.observe.metrics import Metrics
from ocs.rates.versions import VersionError
from ocs.rating.faults import ConfigFault
from ocs.rating.load import load_ratebook
from ocs.rating.ratebook import RateBook
from ocs.settings import Settings
from ocs.vouchers import VoucherFault
from tests.unit.api_deliveries import MemoryDeliveries, MemoryTrail
from tests.unit.api_history import MemoryHistory
from tests.unit.away_billing import AwayBilling
from tests.unit.fake_redis import FakeRedis

CURRENCIES = {
    "EUR": Currency("EUR", 978, 9, 2),
    "USD": Currency("USD", 840, 9, 2),
    "JPY": Currency("JPY", 392, 6, 0),
}
NOW_MS = 1_767_225_600_000  # 2026-01-01T00:00:00Z


def open_session(key: str, account_id: str = "alice") -> SessionView:
    """A call that has cost 0.50 and holds 1.00."""
    return SessionView(
        key, "gy", NOW_MS, "voice", "4930", 10**9, 5 * 10**8, NOW_MS + 1500, account_id, "EUR", "s1", "pgw", "49151"
    )


@dataclass
class MemoryAccounts:
    """Follows the protocol of ocs.api.ports to the letter, without a store."""

    accounts: dict[str, Account] = field(default_factory=dict)
    sessions: list[SessionView] = field(default_factory=list)
    asked: list[SessionQuery] = field(default_factory=list)
    done: dict[tuple[str, str], tuple[object, int]] = field(default_factory=dict)
    actors: list[str] = field(default_factory=list)
    is_away: bool = False

    def _touch(self) -> None:
        if self.is_away:
            raise BackendUnavailable

    async def create_account(
        self,
        account_id: str,
        currency: str,
        rate_plan: str,
        credit_limit: int,
        low_balance: int,
        *,
        actor: str,
        time_zone: str = "",
        cycle_day: int = 0,
        reseller: str = "",
        key: str = "",
    ) -> Account | AccountFault:
        self._touch()
        if reseller and reseller not in self.accounts:
            return AccountFault.RESELLER_UNKNOWN
        content = (currency, rate_plan, credit_limit, low_balance)
        if account_id in self.accounts:
            known = self.done.get((account_id, key))
            if known is None:
                return AccountFault.EXISTS
            return AccountFault.REPLAYED if known[0] == content else AccountFault.KEY_REUSED
        self.done |= {(account_id, key): (content, 1)} if key else {}
        if rate_plan != "retail-eur":
            return AccountFault.RATE_PLAN_UNKNOWN
        self.actors.append(actor)
        account = Account(
            account_id,
            1,
            currency,
            rate_plan,
            AccountState.ACTIVE,
            credit_limit,
            low_balance,
            1,
            (Bucket(0, 0),),
            NOW_MS,
        )
        extras = Extras(time_zone=time_zone, cycle_day=cycle_day, reseller=reseller or None)
        account = with_extras(account, extras)
        self.accounts[account_id] = account
        return account

    async def account(self, account_id: str) -> Account | None:
        self._touch()
        return self.accounts.get(account_id)

    async def top_up(
        self,
        account_id: str,
        amount: int,
        currency: str,
        *,
        key: str,
        actor: str,
        reason: str,
        bucket: BucketOptions | None = None,
    ) -> RechargeResult:
        def pay_in(account: Account) -> Account | RechargeStatus:
            if account.currency != currency:
                return RechargeStatus.CURRENCY_MISMATCH
            if account.buckets[0].balance + amount > AMOUNT_MAX:
                return RechargeStatus.AMOUNT_TOO_LARGE
            buckets = list(account.buckets)
            if bucket is None:
                buckets[0] = msgspec.structs.replace(buckets[0], balance=buckets[0].balance + amount)
            else:
                buckets.append(Bucket(len(buckets), amount, 0, bucket.priority, bucket.expires_at_ms))
            return msgspec.structs.replace(account, buckets=tuple(buckets))

        return self._change(account_id, key, (amount, currency, reason, bucket), actor, pay_in)

    async def adjust(
        self, account_id: str, amount: int, currency: str, *, key: str, actor: str, reason: str
    ) -> RechargeResult:
        return await self.top_up(account_id, amount, currency, key=key, actor=actor, reason=reason)

    async def buy(
        self, account_id: str, package: str, *, key: str, actor: str, reason: str
    ) -> RechargeResult | PackageUnknown:
        if package != "Starter":
            return PackageUnknown("retail-eur")

        def sold(account: Account) -> Account | RechargeStatus:
            if account.buckets[0].balance < 10**9:
                return RechargeStatus.NOT_ENOUGH_MONEY
            return with_units(account, UnitBucket(7, "minutes", 1, 60, 20, 10, NOW_MS + 1000, NOW_MS, size=100))

        return self._change(account_id, key, (package, reason), actor, sold)

    async def cancel(self, account_id: str, subscription: int, *, key: str, actor: str, reason: str) -> RechargeResult:
        def ended(account: Account) -> Account | RechargeStatus:
            return account if subscription == 7 else RechargeStatus.SUBSCRIPTION_UNKNOWN

        return self._change(account_id, key, (subscription, reason), actor, ended)

    async def change_plan(
        self,
        account_id: str,
        order: PlanOrder,
        *,
        key: str,
        actor: str,
        reason: str,
        expects: frozenset[str] = frozenset(),
    ) -> RechargeResult:
        def changed(account: Account) -> Account | RechargeStatus:
            if expects and plan_tag(account) not in expects:
                return RechargeStatus.CHANGED_MEANWHILE
            if order.plan == "acme-usd":
                return RechargeStatus.CURRENCY_MISMATCH
            if order.plan not in {"retail-eur", "hours-eur"}:
                return RechargeStatus.RATE_PLAN_UNKNOWN
            change = PlanChange(order.plan, NOW_MS + 1000, key, actor)
            return with_extras(account, msgspec.structs.replace(account.extras or Extras(), plan_change=change))

        return self._change(account_id, key, (order, reason), actor, changed)

    async def change_reseller(
        self,
        account_id: str,
        reseller: str,
        *,
        key: str,
        actor: str,
        reason: str,
        expects: frozenset[str] = frozenset(),
    ) -> RechargeResult:
        def changed(account: Account) -> Account | RechargeStatus:
            if expects and version_tag(account) not in expects:
                return RechargeStatus.CHANGED_MEANWHILE
            if reseller == account_id:
                return RechargeStatus.IN_CIRCLE
            if reseller and reseller not in self.accounts:
                return RechargeStatus.RESELLER_UNKNOWN
            return with_extras(account, msgspec.structs.replace(account.extras or Extras(), reseller=reseller))

        return self._change(account_id, key, (reseller, reason), actor, changed)

    async def set_limits(
        self,
        account_id: str,
        limits: Limits,
        *,
        key: str,
        actor: str,
        reason: str,
        expects: frozenset[str] = frozenset(),
    ) -> RechargeResult:
        def limited(account: Account) -> Account | RechargeStatus:
            if expects and limits_tag(account) not in expects:
                return RechargeStatus.CHANGED_MEANWHILE
            caps = tuple(Cap(each.name, each.every, "UTC", *each[2:]) for each in limits.caps or ())
            calls = tuple(CallLimit(-1, *each, open=1) for each in limits.calls or ())
            account = with_extras(account, Extras(calls=calls, caps=caps))
            return msgspec.structs.replace(account, credit_limit=limits.credit_limit or account.credit_limit)

        return self._change(account_id, key, (limits, reason), actor, limited)

    async def set_state(
        self,
        account_id: str,
        state: AccountState,
        *,
        key: str,
        actor: str,
        reason: str,
        block: str = "operator",
        expects: frozenset[str] = frozenset(),
    ) -> RechargeResult:
        def moved(account: Account) -> Account | RechargeStatus:
            if expects and state_tag(account) not in expects:
                return RechargeStatus.CHANGED_MEANWHILE
            return msgspec.structs.replace(account, state=state)

        return self._change(account_id, key, (state, reason, block), actor, moved)

    def _change(
        self,
        account_id: str,
        key: str,
        content: object,
        actor: str,
        change: Callable[[Account], Account | RechargeStatus],
    ) -> RechargeResult:
        self._touch()
        account = self.accounts.get(account_id)
        if account is None:
            return RechargeResult(RechargeStatus.ACCOUNT_UNKNOWN)
        if (account_id, key) in self.done:
            before, entry_number = self.done[account_id, key]
            if before != content:
                return RechargeResult(RechargeStatus.KEY_REUSED, account)
            return RechargeResult(RechargeStatus.REPLAYED, account, entry_number)
        if account.state is AccountState.CLOSED:
            return RechargeResult(RechargeStatus.ACCOUNT_CLOSED, account)
        after = change(account)
        if isinstance(after, RechargeStatus):
            return RechargeResult(after, account)
        after = msgspec.structs.replace(after, version=after.version + 1, entry_number=after.entry_number + 1)
        self.accounts[account_id] = after
        self.actors.append(actor)
        self.done[account_id, key] = (content, after.entry_number)
        return RechargeResult(RechargeStatus.APPLIED, after, after.entry_number, account)

    async def enquire(self, account_id: str, use: Use) -> Enquired | None:
        self._touch()
        book = sample_book()
        assert book is not None
        return enquire(use, [self.accounts[account_id]], book, quota_policy(Settings()), NOW_MS)

    async def find_sessions(self, query: SessionQuery, after: Position, limit: int) -> SessionPage:
        self._touch()
        self.asked.append(query)
        page = [each for each in self.sessions if each.session_key > after.member][: limit + 1]
        more = Position(0, page[limit - 1].session_key) if len(page) > limit else None
        return SessionPage(page[:limit], more)

    async def abort_session(self, account_id: str, session_key: str, *, actor: str, reason: str) -> bool:
        self._touch()
        self.actors.append(actor)
        return account_id in self.accounts and any(session.session_key == session_key for session in self.sessions)


@dataclass
class MemoryMoney:
    """Transfers and reversals on the accounts above: what the handlers make of the outcomes is what is tested."""

    accounts: MemoryAccounts
    taken_back: list[tuple[int, int]] = field(default_factory=list)

    async def transfer(
        self, payer: str, payee: str, amount: int, currency: str, *, key: str, actor: str, reason: str
    ) -> RechargeResult:
        if payee not in self.accounts.accounts:
            return RechargeResult(RechargeStatus.PAYEE_UNKNOWN, self.accounts.accounts.get(payer))
        return await self.accounts.adjust(payer, -amount, currency, key=key, actor=actor, reason=reason)

    async def merge(self, giver: str, taker: str, *, key: str, actor: str, reason: str) -> RechargeResult:
        if taker not in self.accounts.accounts:
            return RechargeResult(RechargeStatus.PAYEE_UNKNOWN, self.accounts.accounts.get(giver))
        return await self.accounts.set_state(giver, AccountState.CLOSED, key=key, actor=actor, reason=reason)

    async def take_back(
        self, account_id: str, entry_number: int, entry: JournalRow, amount: int, *, actor: str, reason: str
    ) -> RechargeResult:
        self.taken_back.append((entry_number, amount))
        back = amount or -entry.amount
        return await self.accounts.adjust(
            account_id, back, entry.currency, key=f"reversal:{entry_number}", actor=actor, reason=reason
        )


@dataclass
class MemoryVouchers:
    """One good code."""

    accounts: MemoryAccounts

    async def redeem(self, account_id: str, code: str, *, actor: str) -> RechargeResult | VoucherFault:
        faults = {"used": VoucherFault.USED, "expired": VoucherFault.EXPIRED, "many": VoucherFault.LOCKED}
        if code != GOOD_CODE:
            return faults.get(code, VoucherFault.UNKNOWN)
        return await self.accounts.top_up(account_id, 10**10, "EUR", key="voucher:1", actor=actor, reason="")


GOOD_CODE = "1234-5678-9012-3456-7890"
SAMPLE_CONFIG = Path(__file__).parents[2] / "config"


@dataclass
class MemoryRates:
    """The sample's rates; ``faults`` are what the files have when they are read again."""

    faults: tuple[ConfigFault, ...] = ()
    activated: list[tuple[str, str, int]] = field(default_factory=list)

    def book(self) -> RateBook | None:
        return sample_book()

    async def reload(self) -> tuple[ConfigFault, ...]:
        return self.faults

    async def activate(self, deck: str, version: str, at_ms: int) -> tuple[ConfigFault, ...]:
        if deck == "unknown":
            raise VersionError("unknown has no version")
        self.activated.append((deck, version, at_ms))
        return self.faults


@cache
def sample_book() -> RateBook | None:
    """The book of the sample configuration."""
    return load_ratebook(SAMPLE_CONFIG, NOW_MS).book


@dataclass
class World:
    """The application with its parts, and a client for it."""

    accounts: MemoryAccounts
    history: MemoryHistory
    deliveries: MemoryDeliveries
    trail: MemoryTrail
    rates: MemoryRates
    redis: FakeRedis
    counters: Counters
    context: Context
    client: httpx.AsyncClient
    now_ms: int = NOW_MS
    rate_version: str = "abc"
    peers: tuple[PeerView, ...] = ()

    async def token(self, *scopes: Scope) -> str:
        """A new key's token."""
        token = new_token()
        await store_key(cast(Redis, self.redis), token, "test", scopes, self.now_ms)
        return str(token)

    async def login(self, *scopes: Scope) -> None:
        """Let the client use a new key with these scopes."""
        self.client.headers["Authorization"] = f"Bearer {await self.token(*scopes)}"

    async def post(self, path: str, body: Any, key: str = "") -> httpx.Response:
        return await self.client.post(path, json=body, headers={"Idempotency-Key": key} if key else {})


def make_world(requests_per_minute: int = 60_000) -> World:
    redis, accounts, history, counters = FakeRedis(), MemoryAccounts(), MemoryHistory(), Counters()
    rates, deliveries, trail = MemoryRates(), MemoryDeliveries(), MemoryTrail()

    def clock() -> int:
        return world.now_ms

    async def store_check() -> str:
        try:
            await redis.ping()
        except RedisConnectionError as error:
            return str(error)
        return ""

    async def rates_check() -> str:
        return "" if world.rate_version else "no rate book is loaded"

    async def peers() -> tuple[PeerView, ...]:
        return world.peers

    client_redis = cast(Redis, redis)
    context = Context(
        accounts=accounts,
        subscribers=SubscriberDesk(MemoryStore(clock), accounts.account, lambda: None, clock),
        history=history,
        deliveries=deliveries,
        money=MemoryMoney(accounts),
        vouchers=MemoryVouchers(accounts),
        trail=trail,
        keys=KeyRing(client_redis, clock),
        metrics=Metrics(counters, client_redis, clock),
        currencies=CURRENCIES,
        rates=rates,
        billing=AwayBilling(),
        clock=clock,
        checks={"valkey": store_check, "rates": rates_check},
        peers=peers,
        requests_per_minute=requests_per_minute,
    )
    transport = httpx.ASGITransport(app=cast(Any, create_app(context)))
    client = httpx.AsyncClient(transport=transport, base_url="http://ocs.test")
    world = World(accounts, history, deliveries, trail, rates, redis, counters, context, client)
    return world
