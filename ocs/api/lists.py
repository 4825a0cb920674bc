"""All accounts page by page, and what they have: buckets, counters, subscriptions, with the filters that a CRM asks by."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Final, Literal, NamedTuple, TypeAlias, TypeVar

import msgspec
from litestar import Request, get
from litestar.params import FromPath, FromQuery, QueryParameter

from balance.account import Account
from ocs.api.accounts import existing
from ocs.api.context import Context, Given, prefix_of
from ocs.api.cursors import Cursor, Limit, not_ours
from ocs.api.keys import Scope
from ocs.api.operations import operation
from ocs.api.problems import Kind
from ocs.api.schemas import Instant, milliseconds
from ocs.api.views import AccountView, BucketView, CounterView, SubscriptionView, UnitBucketView, account_view
from ocs.billing.search import FAR_FUTURE_MS

SCANS_MAX: Final = 20
SCANNED_MIN: Final = 100
"""A page that is not full yet looks at so many accounts more, so often at most: then its cursor goes on."""

FoundT = TypeVar("FoundT")
Tenant: TypeAlias = Annotated[
    str, QueryParameter(description="Of this tenant: those whose names begin with it and a colon")
]
AnyState: TypeAlias = Literal["", "active", "suspended", "limited", "closed", "created", "grace", "recycled"]
AnySource: TypeAlias = Literal["", "paid", "promotional", "recurring"]
Bundle: TypeAlias = Annotated[str, QueryParameter(description="Units of this bundle alone, and no money")]
Before: TypeAlias = FromQuery[Instant | None]


class AccountList(msgspec.Struct, frozen=True, kw_only=True):
    """In the order of their names. ``next_cursor`` empty: this was the last page."""

    accounts: tuple[AccountView, ...]
    next_cursor: str


class BucketList(msgspec.Struct, frozen=True, kw_only=True):
    """Of money, and of units."""

    buckets: tuple[BucketView, ...]
    units: tuple[UnitBucketView, ...]


class CounterList(msgspec.Struct, frozen=True, kw_only=True):
    counters: tuple[CounterView, ...]


class SubscriptionList(msgspec.Struct, frozen=True, kw_only=True):
    subscriptions: tuple[SubscriptionView, ...]


class OwnedBuckets(BucketList, frozen=True, kw_only=True):
    account_id: str
    currency: str


class OwnedCounter(CounterView, frozen=True, kw_only=True):
    """A counter with the account that has it."""

    account_id: str


class OwnedSubscription(SubscriptionView, frozen=True, kw_only=True):
    """A subscription with the account that has it."""

    account_id: str


class AllBuckets(msgspec.Struct, frozen=True, kw_only=True):
    """Accounts in the order of their names, each with its buckets. ``next_cursor`` empty: this was the last page."""

    accounts: tuple[OwnedBuckets, ...]
    next_cursor: str


class AllCounters(msgspec.Struct, frozen=True, kw_only=True):
    """In the order of the accounts' names. ``next_cursor`` empty: this was the last page."""

    counters: tuple[OwnedCounter, ...]
    next_cursor: str


class AllSubscriptions(msgspec.Struct, frozen=True, kw_only=True):
    """In the order of the accounts' names. ``next_cursor`` empty: this was the last page."""

    subscriptions: tuple[OwnedSubscription, ...]
    next_cursor: str


class Walk(NamedTuple):
    """Which accounts are looked at: after a name, those whose names begin so, opened in [since, until)."""

    after: str
    prefix: str
    limit: int
    since_ms: int = 0
    until_ms: int = FAR_FUTURE_MS


class BucketFilter(NamedTuple):
    source: str = ""
    bundle: str = ""
    expires_before_ms: int = 0

    def of(self, view: AccountView) -> BucketList:
        """The account's buckets that fit."""
        money = () if self.bundle else tuple(each for each in view.buckets if self._fits(each))
        units = [each for each in view.units if self.bundle in {"", each.bundle} and self._fits(each)]
        return BucketList(buckets=money, units=tuple(units))

    def _fits(self, bucket: BucketView | UnitBucketView) -> bool:
        return self.source in {"", bucket.source} and _is_before(bucket.expires_at, self.expires_before_ms)


class SubscriptionFilter(NamedTuple):
    package: str = ""
    renews_before_ms: int = 0
    ends: bool | None = None

    def of(self, view: AccountView) -> tuple[SubscriptionView, ...]:
        """The account's subscriptions that fit."""
        return tuple(
            each
            for each in view.subscriptions
            if self.package in {"", each.package}
            and self.ends in {None, each.ends}
            and _is_before(each.renews_at, self.renews_before_ms)
        )


def counters_of(view: AccountView, counter: str) -> tuple[CounterView, ...]:
    """The account's counters, or the one of a name in its periods."""
    return tuple(each for each in view.counters if counter in {"", each.counter})


@get("/accounts", tags=["accounts"], **operation("list_accounts", Scope.ACCOUNTS_READ, for_tenants=True))
async def list_accounts(
    context: Given,
    request: Request[Any, Any, Any],
    limit: Limit = 100,
    cursor: Cursor = "",
    account_state: Annotated[AnyState, QueryParameter(name="state", description="In this state alone")] = "",
    rate_plan: Annotated[str, QueryParameter(description="Charged by this plan now")] = "",
    currency: FromQuery[str] = "",
    block: Annotated[str, QueryParameter(description="Blocked by this name, such as fraud or limit:dunning")] = "",
    created_from: Before = None,
    created_to: Before = None,
    tenant: Tenant = "",
) -> AccountList:
    """All accounts as they are now, in the order of their names. A new one is here a moment after it was created.

    A page of an enquiry that few accounts fit may have fewer than ``limit``, even none, and not be the last.
    """

    def fits(view: AccountView) -> list[AccountView]:
        is_wanted = (
            account_state in {"", view.state}
            and rate_plan in {"", view.rate_plan}
            and currency in {"", view.currency}
            and (not block or block in view.blocks)
        )
        return [view] if is_wanted else []

    since_ms = milliseconds("created_from", created_from)
    until_ms = milliseconds("created_to", created_to) or FAR_FUTURE_MS
    walk = _walk(request, cursor, limit, tenant)
    if walk is None:
        return AccountList(accounts=(), next_cursor="")
    found, next_cursor = await _walked(context, walk._replace(since_ms=since_ms, until_ms=until_ms), fits)
    return AccountList(accounts=tuple(found), next_cursor=next_cursor)


@get("/buckets", tags=["accounts"], **operation("find_buckets", Scope.ACCOUNTS_READ, for_tenants=True))
async def find_buckets(
    context: Given,
    request: Request[Any, Any, Any],
    limit: Limit = 100,
    cursor: Cursor = "",
    source: FromQuery[AnySource] = "",
    bundle: Bundle = "",
    expires_before: Before = None,
    tenant: Tenant = "",
) -> AllBuckets:
    """Buckets of all accounts: those that end soon, those of a bundle, those that were given for promotion."""
    wanted = BucketFilter(source, bundle, milliseconds("expires_before", expires_before))

    def of(view: AccountView) -> list[OwnedBuckets]:
        found = wanted.of(view)
        owned = OwnedBuckets(
            account_id=view.account_id, currency=view.currency, buckets=found.buckets, units=found.units
        )
        return [owned] if found.buckets or found.units else []

    walk = _walk(request, cursor, limit, tenant)
    found, next_cursor = await _walked(context, walk, of) if walk is not None else ([], "")
    return AllBuckets(accounts=tuple(found), next_cursor=next_cursor)


@get("/counters", tags=["accounts"], **operation("find_counters", Scope.ACCOUNTS_READ, for_tenants=True))
async def find_counters(
    context: Given,
    request: Request[Any, Any, Any],
    limit: Limit = 100,
    cursor: Cursor = "",
    counter: Annotated[str, QueryParameter(description="Of this name alone")] = "",
    tenant: Tenant = "",
) -> AllCounters:
    """What all accounts have used in their periods, where prices depend on it."""

    def of(view: AccountView) -> list[OwnedCounter]:
        own = view.account_id
        return [OwnedCounter(account_id=own, **_fields(each)) for each in counters_of(view, counter)]

    walk = _walk(request, cursor, limit, tenant)
    found, next_cursor = await _walked(context, walk, of) if walk is not None else ([], "")
    return AllCounters(counters=tuple(found), next_cursor=next_cursor)


@get("/subscriptions", tags=["accounts"], **operation("find_subscriptions", Scope.ACCOUNTS_READ, for_tenants=True))
async def find_subscriptions(
    context: Given,
    request: Request[Any, Any, Any],
    limit: Limit = 100,
    cursor: Cursor = "",
    package: FromQuery[str] = "",
    renews_before: Before = None,
    ends: FromQuery[bool | None] = None,
    tenant: Tenant = "",
) -> AllSubscriptions:
    """The packages that accounts buy anew: of a name, due soon, or about to end."""
    wanted = SubscriptionFilter(package, milliseconds("renews_before", renews_before), ends)

    def of(view: AccountView) -> list[OwnedSubscription]:
        return [OwnedSubscription(account_id=view.account_id, **_fields(each)) for each in wanted.of(view)]

    walk = _walk(request, cursor, limit, tenant)
    found, next_cursor = await _walked(context, walk, of) if walk is not None else ([], "")
    return AllSubscriptions(subscriptions=tuple(found), next_cursor=next_cursor)


@get(
    "/accounts/{account_id:str}/buckets",
    tags=["accounts"],
    **operation("list_buckets", Scope.ACCOUNTS_READ, Kind.ACCOUNT_UNKNOWN),
)
async def list_buckets(
    account_id: FromPath[str],
    context: Given,
    source: FromQuery[AnySource] = "",
    bundle: Bundle = "",
    expires_before: Before = None,
) -> BucketList:
    """The account's buckets of money and of units, those that are used first at the head; all of them in one answer."""
    wanted = BucketFilter(source, bundle, milliseconds("expires_before", expires_before))
    return wanted.of(await _view(context, account_id))


@get(
    "/accounts/{account_id:str}/counters",
    tags=["accounts"],
    **operation("list_counters", Scope.ACCOUNTS_READ, Kind.ACCOUNT_UNKNOWN),
)
async def list_counters(
    account_id: FromPath[str],
    context: Given,
    counter: Annotated[str, QueryParameter(description="Of this name alone")] = "",
) -> CounterList:
    """What the account has used in its periods, where prices depend on it; all of it in one answer."""
    return CounterList(counters=counters_of(await _view(context, account_id), counter))


@get(
    "/accounts/{account_id:str}/subscriptions",
    tags=["accounts"],
    **operation("list_subscriptions", Scope.ACCOUNTS_READ, Kind.ACCOUNT_UNKNOWN),
)
async def list_subscriptions(
    account_id: FromPath[str],
    context: Given,
    package: FromQuery[str] = "",
    renews_before: Before = None,
    ends: FromQuery[bool | None] = None,
) -> SubscriptionList:
    """The packages that are bought anew; all of them in one answer."""
    wanted = SubscriptionFilter(package, milliseconds("renews_before", renews_before), ends)
    return SubscriptionList(subscriptions=wanted.of(await _view(context, account_id)))


# --- inside -----------------------------------------------------------------------------------------------------


def _walk(request: Request[Any, Any, Any], cursor: str, limit: int, tenant: str) -> Walk | None:
    """None: what is asked for is another tenant's, which does not exist for this key."""
    if "\x00" in cursor + tenant:
        raise not_ours()
    own, asked = prefix_of(request.auth), f"{tenant}:" if tenant else ""
    return None if own and asked not in {"", own} else Walk(cursor, own or asked, limit)


async def _walked(
    context: Context, walk: Walk, of: Callable[[AccountView], Sequence[FoundT]]
) -> tuple[list[FoundT], str]:
    """Whole accounts, until ``limit`` things are found, all were looked at, or it takes too long; and the next cursor."""
    found: list[FoundT] = []
    after, size = walk.after, walk.limit
    for _ in range(SCANS_MAX):
        names = await context.history.account_ids(
            after, size + 1, tenant=walk.prefix, since_ms=walk.since_ms, until_ms=walk.until_ms
        )
        page = names[:size]
        for name, account in zip(page, await asyncio.gather(*map(context.accounts.account, page)), strict=True):
            found += of(_shown(context, account)) if account is not None else ()
            after = name
            if len(found) >= walk.limit:
                return found, after if name != names[-1] else ""
        if len(names) <= size:
            return found, ""
        size = max(size, SCANNED_MIN)
    return found, after


def _shown(context: Context, account: Account) -> AccountView:
    return account_view(account, context.currencies[account.currency], context.clock())


async def _view(context: Context, account_id: str) -> AccountView:
    return _shown(context, await existing(context, account_id))


def _fields(view: msgspec.Struct) -> dict[str, Any]:
    return msgspec.structs.asdict(view)


def _is_before(at: Instant | None, before_ms: int) -> bool:
    """Whether an instant that is shown lies before another one; 0: whatever it is."""
    return not before_ms or (at is not None and milliseconds("at", at) < before_ms)


ROUTES: Final = (
    list_accounts,
    find_buckets,
    find_counters,
    find_subscriptions,
    list_buckets,
    list_counters,
    list_subscriptions,
)
