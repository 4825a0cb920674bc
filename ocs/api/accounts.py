"""Accounts: create, read, top up, adjust, packages, change of plan, limits and state."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from litestar import Request, Response, get, post, put
from litestar.params import FromPath, JSONBody

from balance.account import Account
from balance.money import Amount, Currency
from ocs.api.context import Context, Given, actor_of, check_own
from ocs.api.etags import IfMatch, IfNoneMatch, expected, is_known, quoted
from ocs.api.idempotency import (
    IdempotencyKey,
    OptionalKey,
    key_if_any,
    replayed_header,
    respond,
    usable_key,
)
from ocs.api.keys import Scope
from ocs.api.operations import operation
from ocs.api.problems import Kind, Problem, invalid
from ocs.api.schemas import (
    CAP_UNITS,
    STATES,
    Adjustment,
    BucketChoice,
    LimitsChange,
    NewAccount,
    PlanChoice,
    Purchase,
    ResellerChoice,
    StateChange,
    SubscriptionEnd,
    TopUp,
    milliseconds,
)
from ocs.api.trail import note
from ocs.api.views import (
    AccountView,
    BalancesView,
    RechargeView,
    account_view,
    balances_view,
)
from ocs.charging.operations import AccountFault, BucketOptions, CallsChoice, CapChoice, Limits, version_tag
from ocs.charging.plans import PlanOrder
from ocs.charging.recharge import PackageUnknown
from ocs.rating.bundles import SOURCES
from ocs.rating.periods import is_zone
from ocs.rating.units import UnitKind, parse_quantity

PAGE_MAX: Final = 1000

_FAULTS: Final = {
    AccountFault.EXISTS: Kind.ACCOUNT_EXISTS,
    AccountFault.CURRENCY_UNKNOWN: Kind.CURRENCY_UNKNOWN,
    AccountFault.RATE_PLAN_UNKNOWN: Kind.RATE_PLAN_UNKNOWN,
    AccountFault.PARENT_UNKNOWN: Kind.PARENT_UNKNOWN,
    AccountFault.RESELLER_UNKNOWN: Kind.RESELLER_UNKNOWN,
    AccountFault.IN_LEVELS: Kind.ACCOUNT_IN_LEVELS,
    AccountFault.KEY_REUSED: Kind.KEY_REUSED,
}
assert _FAULTS.keys() | {AccountFault.REPLAYED} == set(AccountFault)

_RECHARGE: Final = (Kind.KEY_MISSING, Kind.ACCOUNT_UNKNOWN, Kind.ACCOUNT_CLOSED, Kind.KEY_REUSED)
_MONEY: Final = (*_RECHARGE, Kind.CURRENCY_MISMATCH, Kind.CURRENCY_UNKNOWN, Kind.AMOUNT_TOO_LARGE)


@post(
    "/accounts",
    tags=["accounts"],
    **operation(
        "create_account",
        Scope.ACCOUNTS_WRITE,
        Kind.ACCOUNT_EXISTS,
        Kind.CURRENCY_UNKNOWN,
        Kind.RATE_PLAN_UNKNOWN,
        Kind.PARENT_UNKNOWN,
        Kind.RESELLER_UNKNOWN,
        Kind.ACCOUNT_IN_LEVELS,
        Kind.KEY_MISSING,
        Kind.KEY_REUSED,
        for_tenants=True,
    ),
)
async def create_account(
    data: JSONBody[NewAccount],
    context: Given,
    request: Request[Any, Any, Any],
    idempotency_key: OptionalKey = None,
) -> Response[AccountView]:
    """Open an account with no money in it. One with a `~` in its name is charged along with the one before the last `~`, in one
    step; one with a `reseller` along with that one, wherever it is, in two.
    """
    check_own(request.auth, "account_id", data.account_id)
    if data.reseller is not None:
        check_own(request.auth, "reseller", data.reseller)
    currency = context.currency(data.currency)
    limits = {
        name: _threshold(context, name, getattr(data, name), currency) or 0 for name in ("credit_limit", "low_balance")
    }
    if data.time_zone and not is_zone(data.time_zone):
        raise invalid("time_zone", 'is no time zone: a name such as "Europe/Berlin", or nothing for the plan\'s')
    created = await context.accounts.create_account(
        data.account_id,
        data.currency,
        data.rate_plan,
        **limits,
        actor=actor_of(request.auth),
        time_zone=data.time_zone,
        cycle_day=data.cycle_day,
        reseller=data.reseller or "",
        key=key_if_any(idempotency_key),
    )
    is_replay = created is AccountFault.REPLAYED
    if isinstance(created, AccountFault):
        if not is_replay:
            raise Problem(_FAULTS[created], f"rate_plan {data.rate_plan}, currency {data.currency}")
        created = await existing(context, data.account_id)
    view = account_view(created, currency, context.clock())
    if not is_replay:
        await note(context, request, f"account {created.account_id}", None, view)
    headers = {"Location": f"/v1/accounts/{created.account_id}", **replayed_header(is_replay)}
    return Response(view, headers=headers)


@get(
    "/accounts/{account_id:str}",
    tags=["accounts"],
    **operation("read_account", Scope.ACCOUNTS_READ, Kind.ACCOUNT_UNKNOWN),
)
async def read_account(
    account_id: FromPath[str], context: Given, if_none_match: IfNoneMatch = None
) -> Response[AccountView | None]:
    """Balance, reservations, credit limit, state and buckets as they are now. Its ETag changes with each of them."""
    account = await existing(context, account_id)
    tag = version_tag(account)
    if is_known(if_none_match, tag):
        return Response(None, status_code=304, headers={"ETag": quoted(tag)})
    view = account_view(account, context.currencies[account.currency], context.clock())
    return Response(view, headers={"ETag": quoted(tag)})


@get(
    "/accounts/{account_id:str}/balances",
    tags=["accounts"],
    **operation("read_balances", Scope.ACCOUNTS_READ, Kind.ACCOUNT_UNKNOWN),
)
async def read_balances(account_id: FromPath[str], context: Given) -> BalancesView:
    """Live, invoiced and available, by one sign: + is the customer's money, - what the customer owes."""
    account = await existing(context, account_id)
    invoiced = await context.history.invoiced(account_id)
    balance = None if invoiced is None else invoiced.balance
    return balances_view(account, balance, context.currencies[account.currency], context.clock())


@post(
    "/accounts/{account_id:str}/top-ups",
    tags=["accounts"],
    status_code=200,
    **operation("top_up", Scope.TOPUP, *_MONEY),
)
async def top_up(
    account_id: FromPath[str],
    data: JSONBody[TopUp],
    idempotency_key: IdempotencyKey,
    context: Given,
    request: Request[Any, Any, Any],
) -> Response[RechargeView]:
    """Pay money in. A repeat with the same Idempotency-Key pays nothing in again and says so."""
    key = usable_key(idempotency_key)
    amount = context.amount("amount", data.amount, context.currency(data.currency))
    if amount <= 0:
        raise invalid("amount", "a top-up must be more than zero; use an adjustment to take money away")
    result = await context.accounts.top_up(
        account_id,
        amount,
        data.currency,
        key=key,
        actor=actor_of(request.auth),
        reason=data.reason,
        bucket=_bucket(data.bucket),
    )
    return await respond(context, request, result)


def _bucket(choice: BucketChoice | None) -> BucketOptions | None:
    """An instant in the past is not refused here: a late repeat must find its stored outcome, not a fault."""
    if choice is None:
        return None
    expires_at_ms = milliseconds("bucket.expires_at", choice.expires_at)
    return BucketOptions(choice.priority, expires_at_ms, SOURCES[choice.source])


@post(
    "/accounts/{account_id:str}/adjustments",
    tags=["accounts"],
    status_code=200,
    **operation("adjust", Scope.ACCOUNTS_WRITE, *_MONEY),
)
async def adjust(
    account_id: FromPath[str],
    data: JSONBody[Adjustment],
    idempotency_key: IdempotencyKey,
    context: Given,
    request: Request[Any, Any, Any],
) -> Response[RechargeView]:
    """Correct the main bucket by a signed amount; the reason is mandatory and stands in the journal."""
    key = usable_key(idempotency_key)
    amount = context.amount("amount", data.amount, context.currency(data.currency))
    if amount == 0:
        raise invalid("amount", "must not be zero")
    result = await context.accounts.adjust(
        account_id, amount, data.currency, key=key, actor=actor_of(request.auth), reason=data.reason
    )
    return await respond(context, request, result)


@post(
    "/accounts/{account_id:str}/packages",
    tags=["accounts"],
    status_code=200,
    **operation(
        "buy_package",
        Scope.ACCOUNTS_WRITE,
        *_RECHARGE,
        Kind.PACKAGE_UNKNOWN,
        Kind.NOT_ENOUGH_MONEY,
        Kind.ACCOUNT_SUSPENDED,
    ),
)
async def buy_package(
    account_id: FromPath[str],
    data: JSONBody[Purchase],
    idempotency_key: IdempotencyKey,
    context: Given,
    request: Request[Any, Any, Any],
) -> Response[RechargeView]:
    """Sell a package of the account's plan: its price is debited, and its buckets of units can be used at once."""
    result = await context.accounts.buy(
        account_id, data.package, key=usable_key(idempotency_key), actor=actor_of(request.auth), reason=data.reason
    )
    if isinstance(result, PackageUnknown):
        raise Problem(Kind.PACKAGE_UNKNOWN, f"plan {result.rate_plan}, package {data.package}")
    return await respond(context, request, result)


@post(
    "/accounts/{account_id:str}/subscription-ends",
    tags=["accounts"],
    status_code=200,
    **operation("end_subscription", Scope.ACCOUNTS_WRITE, *_RECHARGE, Kind.SUBSCRIPTION_UNKNOWN),
)
async def end_subscription(
    account_id: FromPath[str],
    data: JSONBody[SubscriptionEnd],
    idempotency_key: IdempotencyKey,
    context: Given,
    request: Request[Any, Any, Any],
) -> Response[RechargeView]:
    """Let a subscription end with its period: what was bought stays until then, and it is not bought anew."""
    result = await context.accounts.cancel(
        account_id,
        data.subscription,
        key=usable_key(idempotency_key),
        actor=actor_of(request.auth),
        reason=data.reason,
    )
    return await respond(context, request, result)


@put(
    "/accounts/{account_id:str}/plan",
    tags=["accounts"],
    **operation(
        "change_plan",
        Scope.ACCOUNTS_WRITE,
        *_RECHARGE,
        Kind.PRECONDITION_FAILED,
        Kind.RATE_PLAN_UNKNOWN,
        Kind.CURRENCY_MISMATCH,
        Kind.COMMITTED,
    ),
)
async def change_plan(
    account_id: FromPath[str],
    data: JSONBody[PlanChoice],
    idempotency_key: IdempotencyKey,
    context: Given,
    request: Request[Any, Any, Any],
    if_match: IfMatch = None,
) -> Response[RechargeView]:
    """Change to another plan, now or when the billing cycle ends. Open sessions keep their prices.

    Subscriptions that the new plan does not sell end, and the days that are left are paid back.
    """
    result = await context.accounts.change_plan(
        account_id,
        PlanOrder(data.rate_plan, data.at == "cycle_end"),
        key=usable_key(idempotency_key),
        actor=actor_of(request.auth),
        reason=data.reason,
        expects=expected(if_match),
    )
    return await respond(context, request, result)


@put(
    "/accounts/{account_id:str}/reseller",
    tags=["accounts"],
    **operation(
        "change_reseller",
        Scope.ACCOUNTS_WRITE,
        *_RECHARGE,
        Kind.PRECONDITION_FAILED,
        Kind.RESELLER_UNKNOWN,
        Kind.RESELLER_IN_CIRCLE,
        Kind.ACCOUNT_IN_LEVELS,
    ),
)
async def change_reseller(
    account_id: FromPath[str],
    data: JSONBody[ResellerChoice],
    idempotency_key: IdempotencyKey,
    context: Given,
    request: Request[Any, Any, Any],
    if_match: IfMatch = None,
) -> Response[RechargeView]:
    """Charge another account along, or none, for whatever begins from now on. Open sessions end with the one they began with."""
    if data.reseller is not None:
        check_own(request.auth, "reseller", data.reseller)
    result = await context.accounts.change_reseller(
        account_id,
        data.reseller or "",
        key=usable_key(idempotency_key),
        actor=actor_of(request.auth),
        reason=data.reason,
        expects=expected(if_match),
    )
    return await respond(context, request, result)


@put(
    "/accounts/{account_id:str}/limits",
    tags=["accounts"],
    **operation("set_limits", Scope.ACCOUNTS_WRITE, *_RECHARGE, Kind.PRECONDITION_FAILED),
)
async def set_limits(
    account_id: FromPath[str],
    data: JSONBody[LimitsChange],
    idempotency_key: IdempotencyKey,
    context: Given,
    request: Request[Any, Any, Any],
    if_match: IfMatch = None,
) -> Response[RechargeView]:
    """Change the credit limit, the threshold, the limits of calls, the spending caps. Grants that are out stay; new ones keep to it."""
    account = await existing(context, account_id)
    currency = context.currencies[account.currency]
    result = await context.accounts.set_limits(
        account_id,
        _limits(context, data, currency),
        key=usable_key(idempotency_key),
        actor=actor_of(request.auth),
        reason=data.reason,
        expects=expected(if_match),
    )
    return await respond(context, request, result)


def _limits(context: Context, data: LimitsChange, currency: Currency) -> Limits:
    calls, caps = data.calls, data.caps
    for field, names in (
        ("calls", [each.service for each in calls or ()]),
        ("caps", [each.name for each in caps or ()]),
    ):
        if len(names) != len(set(names)):
            raise invalid(field, "names one twice")
    found: list[CapChoice] = []
    for cap in caps or ():
        unit = CAP_UNITS.index(cap.unit)
        most = _quantity(cap.most, unit) if unit else context.amount("caps.most", cap.most, currency)
        if most < 0:
            raise invalid("caps.most", "must not be negative")
        found.append(
            CapChoice(
                cap.name, cap.every, most, cap.services, cap.warn_percent, cap.member, unit, cap.destinations,
                cap.networks, cap.not_networks,
            )
        )  # fmt: skip
    return Limits(
        credit_limit=_threshold(context, "credit_limit", data.credit_limit, currency),
        low_balance=_threshold(context, "low_balance", data.low_balance, currency),
        calls=None if calls is None else tuple(CallsChoice(*msgspec.structs.astuple(each)) for each in calls),
        caps=None if caps is None else tuple(found),
    )


def _threshold(context: Context, field: str, text: str | None, currency: Currency) -> Amount | None:
    amount = None if text is None else context.amount(field, text, currency)
    if amount is not None and amount < 0:
        raise invalid(field, "must not be negative")
    return amount


def _quantity(text: str, unit: int) -> int:
    try:
        return parse_quantity(text, UnitKind(unit))
    except ValueError as error:
        raise invalid("caps.most", str(error)) from error


@put(
    "/accounts/{account_id:str}/state",
    tags=["accounts"],
    **operation("set_state", Scope.ACCOUNTS_WRITE, *_RECHARGE, Kind.PRECONDITION_FAILED),
)
async def set_state(
    account_id: FromPath[str],
    data: JSONBody[StateChange],
    idempotency_key: IdempotencyKey,
    context: Given,
    request: Request[Any, Any, Any],
    if_match: IfMatch = None,
) -> Response[RechargeView]:
    """Suspend, limit, activate or close. The key keeps a late repeat of an old change from undoing a newer one.

    `block` names why: activating lifts that block alone, and the account is active when none is left. A limited account gets its
    incoming calls still; its block is shown as `limit:` and the name.
    """
    result = await context.accounts.set_state(
        account_id,
        STATES[data.state],
        key=usable_key(idempotency_key),
        actor=actor_of(request.auth),
        reason=data.reason,
        block=data.block,
        expects=expected(if_match),
    )
    return await respond(context, request, result)


async def existing(context: Context, account_id: str) -> Account:
    account = await context.accounts.account(account_id)
    if account is None:
        raise Problem(Kind.ACCOUNT_UNKNOWN)
    return account


ROUTES: Final = (
    create_account,
    read_account,
    read_balances,
    top_up,
    adjust,
    buy_package,
    end_subscription,
    change_plan,
    change_reseller,
    set_limits,
    set_state,
)
