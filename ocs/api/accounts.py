"""Accounts: create, read, top up, adjust, change of state, open sessions."""

from __future__ import annotations

from typing import Annotated, Any, Final

from litestar import Request, Response, get, post, put
from litestar.params import FromPath, JSONBody, QueryParameter

from balance.account import Account
from ocs.api.context import Context, Given, actor_of
from ocs.api.idempotency import IdempotencyKey, respond, usable_key
from ocs.api.keys import Scope
from ocs.api.operations import operation
from ocs.api.problems import Kind, Problem, invalid
from ocs.api.schemas import (
    STATES,
    AccountView,
    Adjustment,
    BucketChoice,
    NewAccount,
    RechargeView,
    SessionClosing,
    SessionClosure,
    SessionList,
    StateChange,
    TopUp,
    account_view,
    milliseconds,
    session_view,
)
from ocs.charging.operations import AccountFault, BucketOptions

PAGE_MAX: Final = 1000

_FAULTS: Final = {
    AccountFault.EXISTS: Kind.ACCOUNT_EXISTS,
    AccountFault.CURRENCY_UNKNOWN: Kind.CURRENCY_UNKNOWN,
    AccountFault.RATE_PLAN_UNKNOWN: Kind.RATE_PLAN_UNKNOWN,
}
assert _FAULTS.keys() == set(AccountFault)

_RECHARGE: Final = (Kind.KEY_MISSING, Kind.ACCOUNT_UNKNOWN, Kind.ACCOUNT_CLOSED, Kind.KEY_REUSED)
_MONEY: Final = (*_RECHARGE, Kind.CURRENCY_MISMATCH, Kind.CURRENCY_UNKNOWN, Kind.AMOUNT_TOO_LARGE)


@post(
    "/accounts",
    tags=["accounts"],
    **operation(
        "create_account", Scope.ACCOUNTS_WRITE, Kind.ACCOUNT_EXISTS, Kind.CURRENCY_UNKNOWN, Kind.RATE_PLAN_UNKNOWN
    ),
)
async def create_account(
    data: JSONBody[NewAccount], context: Given, request: Request[Any, Any, Any]
) -> Response[AccountView]:
    """Open an account with no money in it."""
    currency = context.currency(data.currency)
    limits = {name: context.amount(name, getattr(data, name), currency) for name in ("credit_limit", "low_balance")}
    for name, amount in limits.items():
        if amount < 0:
            raise invalid(name, "must not be negative")
    created = await context.accounts.create_account(
        data.account_id, data.currency, data.rate_plan, **limits, actor=actor_of(request.auth)
    )
    if isinstance(created, AccountFault):
        raise Problem(_FAULTS[created], f"rate_plan {data.rate_plan}, currency {data.currency}")
    return Response(
        account_view(created, currency, context.clock()), headers={"Location": f"/v1/accounts/{created.account_id}"}
    )


@get(
    "/accounts/{account_id:str}",
    tags=["accounts"],
    **operation("read_account", Scope.ACCOUNTS_READ, Kind.ACCOUNT_UNKNOWN),
)
async def read_account(account_id: FromPath[str], context: Given) -> AccountView:
    """Balance, reservations, credit limit, state and buckets as they are now."""
    account = await _existing(context, account_id)
    return account_view(account, context.currencies[account.currency], context.clock())


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
    return respond(context, result)


def _bucket(choice: BucketChoice | None) -> BucketOptions | None:
    """An instant in the past is not refused here: a late repeat must find its stored outcome, not a fault."""
    if choice is None:
        return None
    return BucketOptions(choice.priority, milliseconds("bucket.expires_at", choice.expires_at))


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
    return respond(context, result)


@put(
    "/accounts/{account_id:str}/state",
    tags=["accounts"],
    **operation("set_state", Scope.ACCOUNTS_WRITE, *_RECHARGE),
)
async def set_state(
    account_id: FromPath[str],
    data: JSONBody[StateChange],
    idempotency_key: IdempotencyKey,
    context: Given,
    request: Request[Any, Any, Any],
) -> Response[RechargeView]:
    """Suspend, activate or close. The key keeps a late repeat of an old change from undoing a newer one."""
    result = await context.accounts.set_state(
        account_id,
        STATES[data.state],
        key=usable_key(idempotency_key),
        actor=actor_of(request.auth),
        reason=data.reason,
    )
    return respond(context, result)


@get(
    "/accounts/{account_id:str}/sessions",
    tags=["accounts"],
    **operation("list_sessions", Scope.ACCOUNTS_READ, Kind.ACCOUNT_UNKNOWN),
)
async def list_sessions(
    account_id: FromPath[str], context: Given, limit: Annotated[int, QueryParameter(ge=1, le=PAGE_MAX)] = 100
) -> SessionList:
    """The account's open credit-control sessions, with what each has reserved and cost so far."""
    account = await _existing(context, account_id)
    currency = context.currencies[account.currency]
    sessions = await context.accounts.open_sessions(account_id, limit + 1)
    return SessionList(
        sessions=tuple(session_view(session, currency) for session in sessions[:limit]),
        truncated=len(sessions) > limit,
    )


@post(
    "/accounts/{account_id:str}/session-closures",
    tags=["accounts"],
    status_code=202,
    **operation("close_session", Scope.ACCOUNTS_WRITE, Kind.ACCOUNT_UNKNOWN, Kind.SESSION_UNKNOWN),
)
async def close_session(
    account_id: FromPath[str], data: JSONBody[SessionClosure], context: Given, request: Request[Any, Any, Any]
) -> SessionClosing:
    """Ask the network element to end a session (Diameter: Abort-Session-Request).

    It ends with its last report, which is charged; if none comes, by supervision after twice its Validity-Time.
    Asking twice is no harm.
    """
    await _existing(context, account_id)
    actor = actor_of(request.auth)
    if not await context.accounts.abort_session(account_id, data.session_key, actor=actor, reason=data.reason):
        raise Problem(Kind.SESSION_UNKNOWN)
    return SessionClosing(session_key=data.session_key)


async def _existing(context: Context, account_id: str) -> Account:
    account = await context.accounts.account(account_id)
    if account is None:
        raise Problem(Kind.ACCOUNT_UNKNOWN)
    return account


ROUTES: Final = (create_account, read_account, top_up, adjust, set_state, list_sessions, close_session)
