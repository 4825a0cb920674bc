"""The desk: accounts as the HTTP API and the tools see them, subscribers with them. Same lanes, same posting as a call."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final, Generic, NamedTuple, Protocol, TypeVar

from msgspec import structs

from balance.account import MAIN_BUCKET, OPERATOR, Account, AccountState, Bucket, Extras, with_extras
from balance.levels import LEVEL_MARK, levels_of, parent_of
from balance.money import Amount
from balance.store import BackendUnavailable, Snapshot
from ocs.charging.answers import asked
from ocs.charging.caps import capped
from ocs.charging.decision import Decision
from ocs.charging.enquiry import Enquired, Use, enquire
from ocs.charging.lanes import Lanes
from ocs.charging.life import born, zone_of
from ocs.charging.links import LEVELS_MAX
from ocs.charging.notices import Change
from ocs.charging.notifier import Notifier
from ocs.charging.operations import (
    AccountFault,
    BucketOptions,
    Limits,
    Opening,
    Operation,
    OperationKind,
    RechargeResult,
    RechargeStatus,
    decide_operation,
    open_account,
)
from ocs.charging.plans import PlanOrder
from ocs.charging.resellers import is_over, resold
from ocs.charging.rules import AccountRules
from ocs.charging.service import OnlineCharging
from ocs.charging.session import CreditSession, Record, decode_session
from ocs.charging.session_search import Position, SessionPage, SessionQuery, SessionView, view_of
from ocs.charging.subscribers import SubscriberDesk, SubscriberStore

ResultT = TypeVar("ResultT")

SCAN_BATCH: Final = 500
SCANS_MAX: Final = 10
"""So many batches are looked through for one page; the next page goes on from there."""


class PackageUnknown(NamedTuple):
    """The account's plan sells nothing of that name."""

    rate_plan: str


class DeskStore(SubscriberStore, Protocol):
    """What the desk needs of the store beyond the hot path."""

    async def sessions_after(
        self, account_id: str, prefix: str, partition: int, member: str, limit: int
    ) -> list[tuple[int, str, bytes | None]]: ...

    async def has_below(self, account_id: str) -> bool: ...


class AccountDesk:
    """Every method raises BackendUnavailable when the store is away; then nothing of the call is known to be done."""

    def __init__(
        self,
        charging: OnlineCharging,
        store: DeskStore,
        clock: Callable[[], int],
        currencies: Mapping[str, Any],
        notifier: Notifier | None = None,
    ) -> None:
        self._charging = charging
        self._store = store
        self._clock = clock
        self._currencies = currencies
        self._notifier = notifier
        self.subscribers = SubscriberDesk(store, self.account, charging.forget_subscribers, clock)

    @property
    def rules(self) -> AccountRules:
        """What holds for accounts by their plans, now."""
        return self._charging.policy.rules

    async def has_below(self, account_id: str) -> bool:
        """Whether accounts are charged along with this one. Looks at all names of its partition: for what is done seldom."""
        return await self._store.has_below(account_id)

    async def create_account(
        self,
        account_id: str,
        currency: str,
        rate_plan: str,
        credit_limit: Amount,
        low_balance: Amount,
        *,
        actor: str,
        time_zone: str = "",
        cycle_day: int = 0,
        reseller: str = "",
        key: str = "",
    ) -> Account | AccountFault:
        """``time_zone`` empty: that of the plan; ``cycle_day`` 0: its billing cycle is the month; ``key`` empty: it has none.

        An account in levels, ``acme~alice``, is charged along with the one above it, which has to be there; another one along
        with its ``reseller``, if it has one.
        """
        if currency not in self._currencies:
            return AccountFault.CURRENCY_UNKNOWN
        if self._charging.rates.currency_of(rate_plan) != currency:
            return AccountFault.RATE_PLAN_UNKNOWN
        parent = parent_of(account_id)
        if parent and await self.account(parent) is None:
            return AccountFault.PARENT_UNKNOWN
        refusal = await self._against(account_id, reseller)
        if refusal is not None:
            is_name = refusal is RechargeStatus.IN_LEVELS
            return AccountFault.IN_LEVELS if is_name else AccountFault.RESELLER_UNKNOWN
        account = Account(
            account_id,
            0,
            currency,
            rate_plan,
            AccountState.ACTIVE,
            credit_limit,
            low_balance,
            0,
            (Bucket(MAIN_BUCKET, 0, 0, created_at_ms=self._clock()),),
        )
        extras = Extras(time_zone=time_zone, cycle_day=cycle_day, reseller=reseller or None)
        account = with_extras(account, extras)
        zone = zone_of(account, self._charging.rates.time_zone_of(rate_plan))
        scale = self._currencies[currency].scale
        caps = tuple(capped(rule, zone, scale) for rule in self._charging.policy.rules.caps_of(rate_plan, currency))
        if caps:
            account = with_extras(account, structs.replace(account.extras or Extras(), caps=caps))
        account = born(account, self._charging.policy.rules.lifecycle_of(rate_plan), zone, self._clock())
        wanted: tuple[object, ...] = (currency, rate_plan, credit_limit, low_balance, time_zone, cycle_day)
        wanted = (*wanted, reseller) if reseller else wanted
        opening = Opening(account, actor, key, wanted)
        return await self.do(account_id, opening.record_keys, partial(open_account, opening), AccountFault.EXISTS)

    async def account(self, account_id: str) -> Account | None:
        return (await self._load(account_id)).account

    async def top_up(
        self,
        account_id: str,
        amount: Amount,
        currency: str,
        *,
        key: str,
        actor: str,
        reason: str,
        bucket: BucketOptions | None = None,
        kind: OperationKind = OperationKind.TOP_UP,
    ) -> RechargeResult:
        """Pay money in; ``kind`` is what the journal calls it."""
        assert amount > 0, "a top-up adds money"
        return await self._operate(Operation(kind, account_id, key, actor, reason, amount, currency, bucket))

    async def take_back(self, operation: Operation) -> RechargeResult:
        """Undo what ``takes_back`` says."""
        assert operation.takes_back, "of which there is something"
        return await self._operate(operation)

    async def adjust(
        self,
        account_id: str,
        amount: Amount,
        currency: str,
        *,
        key: str,
        actor: str,
        reason: str,
        kind: OperationKind = OperationKind.ADJUSTMENT,
        is_covered: bool = False,
    ) -> RechargeResult:
        """Add a signed amount to the main bucket; ``kind`` is what the journal calls it.

        ``is_covered``: take it only if it is there, which is looked at in the posting itself.
        """
        operation = Operation(kind, account_id, key, actor, reason, amount, currency, is_covered=is_covered)
        return await self._operate(operation)

    async def set_state(
        self,
        account_id: str,
        state: AccountState,
        *,
        key: str,
        actor: str,
        reason: str,
        block: str = OPERATOR,
        expects: frozenset[str] = frozenset(),
    ) -> RechargeResult:
        """Suspend (SUSPENDED) or limit to incoming calls (LIMITED) by a block of a name, lift that one (ACTIVE), or close; other
        blocks hold on.

        ``expects``: only if its state is tagged so now.
        """
        operation = Operation(
            OperationKind.STATE, account_id, key, actor, reason, state=state, block=block, expects=expects
        )
        return await self._operate(operation)

    async def buy(
        self, account_id: str, package: str, *, key: str, actor: str, reason: str
    ) -> RechargeResult | PackageUnknown:
        """Sell a package of the account's plan: its price is debited, its buckets of units are there, in one step."""
        account = await self.account(account_id)
        if account is None:
            return RechargeResult(RechargeStatus.ACCOUNT_UNKNOWN)
        found = self._charging.rates.package(account.rate_plan, package, self._clock())
        if found is None:
            return PackageUnknown(account.rate_plan)
        return await self._operate(Operation(OperationKind.PACKAGE, account_id, key, actor, reason, package=found))

    async def cancel(self, account_id: str, subscription: int, *, key: str, actor: str, reason: str) -> RechargeResult:
        """Let a subscription end with its period."""
        operation = Operation(OperationKind.CANCEL, account_id, key, actor, reason, subscription=subscription)
        return await self._operate(operation)

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
        """Give an account another rate plan; ``expects``: only if its plan is tagged so now."""
        operation = Operation(OperationKind.PLAN, account_id, key, actor, reason, plan=order, expects=expects)
        return await self._operate(operation)

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
        """Have what begins from now on charged along with another account, or (empty) with none; open sessions stay as they are.

        ``expects``: only if the account is tagged so now.
        """
        kind = OperationKind.RESELLER
        operation = Operation(kind, account_id, key, actor, reason, payee=reseller, expects=expects)
        refusal = await self._against(account_id, reseller)
        return await self.do(
            account_id, (operation.record_key,), lambda account, records, now_ms: None
            if account is None
            else resold(operation, refusal, account, records.get(operation.record_key), now_ms),
            RechargeResult(RechargeStatus.ACCOUNT_UNKNOWN),
        )  # fmt: skip

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
        """Change what an account may spend and how many calls it may have; zone and scale are filled in here.

        ``expects``: only if its limits are tagged so now.
        """
        account = await self.account(account_id)
        if account is None:
            return RechargeResult(RechargeStatus.ACCOUNT_UNKNOWN)
        zone = self._charging.rates.time_zone_of(account.rate_plan) or "UTC"
        limits = limits._replace(zone=zone, scale=self._currencies[account.currency].scale)
        operation = Operation(OperationKind.LIMITS, account_id, key, actor, reason, limits=limits, expects=expects)
        return await self._operate(operation)

    async def enquire(self, account_id: str, use: Use) -> Enquired | None:
        """What a use would cost, and whether it could begin now; None: there is no such account."""
        levels = await asyncio.gather(*map(self.account, levels_of(account_id)))
        found = [each for each in levels if each is not None]
        if len(found) < len(levels):
            return None
        found = [*await self._resellers_of(found[0]), *found]
        return enquire(use, found, self._charging.rates, self._charging.policy, self._clock())

    async def find_sessions(self, query: SessionQuery, after: Position, limit: int) -> SessionPage:
        """Open sessions in the order of the store; a page may be short, even empty, where few of many are asked for."""
        found: list[SessionView] = []
        size = max(limit, SCAN_BATCH) if query.is_filtered else limit
        for _ in range(SCANS_MAX):
            chunk = await self._store.sessions_after(query.account_id, query.tenant, *after, size)
            for partition, member, value in chunk:
                after = Position(partition, member)
                session = decode_session(value) if value is not None else None
                if isinstance(session, CreditSession) and query.fits(session):
                    found.append(view_of(session))
                if len(found) == limit:
                    return SessionPage(found, after)
            if len(chunk) < size:
                return SessionPage(found, None)
        return SessionPage(found, after)

    async def abort_session(self, account_id: str, session_key: str, *, actor: str, reason: str) -> bool:
        """Ask the client to end a session of the account; False when it has none open under that key.

        The session ends with the client's last report, or by its supervision if none comes (statement 80).
        """
        assert self._notifier is not None, "the daemon gives one"
        value = (await self._load(account_id, session_key)).sessions[session_key]
        session = decode_session(value) if value is not None else None
        if not isinstance(session, CreditSession) or session.account_id != account_id:
            return False
        await self._notifier.abort(session, f"{actor}: {reason}".rstrip(": "))
        return True

    # --- inside -----------------------------------------------------------------------------------------------------

    async def _against(self, account_id: str, reseller: str) -> RechargeStatus | None:
        """What stands against a reseller, looked at all the way up."""
        if not reseller:
            return None
        if LEVEL_MARK in account_id or LEVEL_MARK in reseller:
            return RechargeStatus.IN_LEVELS
        account = await self.account(reseller)
        if account is None or is_over(account):
            return RechargeStatus.RESELLER_UNKNOWN
        above = [account, *await self._resellers_of(account)]
        return RechargeStatus.IN_CIRCLE if any(each.account_id == account_id for each in above) else None

    async def _resellers_of(self, account: Account) -> list[Account]:
        """Who is charged along with it in other partitions, from the top; two changes at once can have made a circle."""
        found: list[Account] = []
        below: Account | None = account
        while below is not None and below.extras is not None and below.extras.reseller and len(found) < LEVELS_MAX:
            below = await self.account(below.extras.reseller)
            found += [below] if below is not None else []
        return found[::-1]

    async def _load(self, account_id: str, *session_keys: str) -> Snapshot:
        return await asked(partial(self._store.load, account_id, session_keys))

    async def _operate(self, operation: Operation) -> RechargeResult:
        key = operation.record_key

        def decide(
            account: Account | None, records: Mapping[str, Record | None], now_ms: int
        ) -> Decision[RechargeResult] | None:
            if account is None:
                return None
            return decide_operation(
                operation, account, records.get(key), now_ms, self._charging.rates, self._charging.policy.rules
            )

        unknown = RechargeResult(RechargeStatus.ACCOUNT_UNKNOWN)
        result = await self.do(operation.account_id, (key,), decide, unknown)
        if operation.change is not None and result.status is RechargeStatus.APPLIED:
            self.tell_sessions(operation.account_id, operation.change)
        return result

    def tell_sessions(self, account_id: str, change: Change) -> None:
        """Have the clients of the account's open sessions hear of a change."""
        if self._notifier is not None:
            self._notifier.account_changed(account_id, change)

    async def do(
        self,
        account_id: str,
        keys: tuple[str, ...],
        decide: Callable[[Account | None, Mapping[str, Record | None], int], Decision[ResultT] | None],
        unknown: ResultT,
    ) -> ResultT:
        """Decide in the account's lane, on these records beside it; ``unknown`` is the outcome if there is no such account."""
        future: asyncio.Future[ResultT] = asyncio.get_running_loop().create_future()
        lanes: Lanes = self._charging.lanes
        lanes.submit(account_id, _Errand(keys, decide, future, unknown))
        return await future


class _Errand(Generic[ResultT]):
    """One operation as work for its account's lane; its outcome goes into a future."""

    __slots__ = ("_decide", "_future", "_unknown", "expects_new", "keys", "may_be_new")

    keys: tuple[str, ...]

    def __init__(
        self,
        keys: tuple[str, ...],
        decide: Callable[[Account | None, Mapping[str, Record | None], int], Decision[ResultT] | None],
        future: asyncio.Future[ResultT],
        unknown: ResultT,
    ) -> None:
        self.keys = keys
        self.expects_new = True
        self.may_be_new = True
        self._decide = decide
        self._future = future
        self._unknown = unknown

    def decide(
        self, account: Account | None, records: Mapping[str, Record | None], now_ms: int
    ) -> Decision[ResultT] | None:
        return self._decide(account, records, now_ms)

    def answer(self, answer: ResultT) -> None:
        if not self._future.done():
            self._future.set_result(answer)

    def unknown_account(self) -> None:
        self.answer(self._unknown)

    def unavailable(self) -> None:
        self.failed(BackendUnavailable("the balance store is away; try again with the same key"))

    def busy(self) -> None:
        self.failed(BackendUnavailable("too much is going on with this account; try again with the same key"))

    def failed(self, error: Exception) -> None:
        if not self._future.done():
            self._future.set_exception(error)
