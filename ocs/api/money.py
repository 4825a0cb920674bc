"""Money that moves beside calls: transfers, vouchers, and entries that are taken back."""

from __future__ import annotations

from typing import Annotated, Any, Final

from litestar import Request, Response, post
from litestar.params import FromPath, JSONBody
from msgspec import Meta

from balance.money import Amount
from ocs.api.context import Given, actor_of, check_own
from ocs.api.idempotency import IdempotencyKey, respond, usable_key
from ocs.api.keys import Scope
from ocs.api.operations import operation
from ocs.api.problems import Kind, Problem, invalid
from ocs.api.schemas import AccountId, Body, CurrencyCode, DecimalString, Reason
from ocs.api.views import RechargeView
from ocs.charging.money_desk import reversal_key
from ocs.vouchers import VoucherFault

_RECHARGE: Final = (Kind.KEY_MISSING, Kind.ACCOUNT_UNKNOWN, Kind.ACCOUNT_CLOSED, Kind.KEY_REUSED)

_FAULTS: Final = {
    VoucherFault.UNKNOWN: Kind.VOUCHER_UNKNOWN,
    VoucherFault.USED: Kind.VOUCHER_USED,
    VoucherFault.EXPIRED: Kind.VOUCHER_VOID,
    VoucherFault.VOID: Kind.VOUCHER_VOID,
    VoucherFault.LOCKED: Kind.VOUCHER_LOCKED,
}
assert _FAULTS.keys() == set(VoucherFault)


class NewTransfer(Body, frozen=True):
    """``to`` is the account that gets it; both are in the same currency."""

    to: AccountId
    amount: DecimalString
    currency: CurrencyCode
    reason: Reason = ""


class NewMerger(Body, frozen=True):
    """``into`` is the account that has all of it afterwards."""

    into: AccountId
    reason: Annotated[Reason, Meta(min_length=1)]


class Redemption(Body, frozen=True):
    """``code`` as it is printed, with or without hyphens."""

    code: Annotated[str, Meta(min_length=1, max_length=60)]


class Reversal(Body, frozen=True):
    """``entry_number`` of a record or another entry of this account; ``amount``: no more than so much of it."""

    entry_number: Annotated[int, Meta(ge=1)]
    reason: Annotated[Reason, Meta(min_length=1)]
    amount: DecimalString | None = None


@post(
    "/accounts/{account_id:str}/transfers",
    tags=["accounts"],
    status_code=200,
    **operation(
        "transfer",
        Scope.ACCOUNTS_WRITE,
        *_RECHARGE,
        Kind.CURRENCY_MISMATCH,
        Kind.CURRENCY_UNKNOWN,
        Kind.AMOUNT_TOO_LARGE,
        Kind.NOT_ENOUGH_MONEY,
        Kind.ACCOUNT_SUSPENDED,
        Kind.PAYEE_UNKNOWN,
        Kind.PAYEE_CLOSED,
    ),
)
async def transfer(
    account_id: FromPath[str],
    data: JSONBody[NewTransfer],
    idempotency_key: IdempotencyKey,
    context: Given,
    request: Request[Any, Any, Any],
) -> Response[RechargeView]:
    """Move money to another account: what is free in the main bucket, never credit. The answer shows this account.

    If the other account does not take it, it is back before the answer leaves.
    """
    amount = context.amount("amount", data.amount, context.currency(data.currency))
    if amount <= 0:
        raise invalid("amount", "must be more than zero")
    check_own(request.auth, "to", data.to)
    if data.to == account_id:
        raise invalid("to", "is the account itself")
    result = await context.money.transfer(
        account_id,
        data.to,
        amount,
        data.currency,
        key=usable_key(idempotency_key),
        actor=actor_of(request.auth),
        reason=data.reason,
    )
    return await respond(context, request, result)


@post(
    "/accounts/{account_id:str}/mergers",
    tags=["accounts"],
    status_code=200,
    **operation(
        "merge_account",
        Scope.ACCOUNTS_WRITE,
        *_RECHARGE,
        Kind.CURRENCY_MISMATCH,
        Kind.PAYEE_UNKNOWN,
        Kind.PAYEE_CLOSED,
        Kind.ACCOUNT_IN_USE,
        Kind.ACCOUNT_IN_LEVELS,
        Kind.INVOICES_OPEN,
    ),
)
async def merge(
    account_id: FromPath[str],
    data: JSONBody[NewMerger],
    idempotency_key: IdempotencyKey,
    context: Given,
    request: Request[Any, Any, Any],
) -> Response[RechargeView]:
    """Move all that this account has into another one and close it: money, units, counters, subscriptions, blocks, its contact
    if the other has none. Its subscribers are charged to the other account from then on. The answer shows this account.
    """
    check_own(request.auth, "into", data.into)
    if data.into == account_id:
        raise invalid("into", "is the account itself")
    invoiced = await context.history.invoiced(account_id)
    if invoiced is not None and invoiced.owed:
        raise Problem(Kind.INVOICES_OPEN, f"{account_id} owes by invoices: GET /v1/accounts/{account_id}/balances")
    result = await context.money.merge(
        account_id, data.into, key=usable_key(idempotency_key), actor=actor_of(request.auth), reason=data.reason
    )
    return await respond(context, request, result)


@post(
    "/accounts/{account_id:str}/redemptions",
    tags=["accounts"],
    status_code=200,
    **operation(
        "redeem_voucher",
        Scope.TOPUP,
        Kind.ACCOUNT_UNKNOWN,
        Kind.ACCOUNT_CLOSED,
        Kind.CURRENCY_MISMATCH,
        Kind.VOUCHER_UNKNOWN,
        Kind.VOUCHER_USED,
        Kind.VOUCHER_VOID,
        Kind.VOUCHER_LOCKED,
    ),
)
async def redeem(
    account_id: FromPath[str], data: JSONBody[Redemption], context: Given, request: Request[Any, Any, Any]
) -> Response[RechargeView]:
    """Pay a voucher in, once: the code is its own key, and a repeat by the same account is told the same.

    After ten wrong codes an account has to wait a quarter of an hour.
    """
    result = await context.vouchers.redeem(account_id, data.code, actor=actor_of(request.auth))
    if isinstance(result, VoucherFault):
        raise Problem(_FAULTS[result], f"it is {result.value}" if result is not VoucherFault.UNKNOWN else "")
    return await respond(context, request, result)


@post(
    "/accounts/{account_id:str}/reversals",
    tags=["accounts"],
    status_code=200,
    **operation(
        "reverse",
        Scope.ACCOUNTS_WRITE,
        Kind.ACCOUNT_UNKNOWN,
        Kind.ACCOUNT_CLOSED,
        Kind.KEY_REUSED,
        Kind.ENTRY_UNKNOWN,
        Kind.NOT_REVERSIBLE,
    ),
)
async def reverse(
    account_id: FromPath[str], data: JSONBody[Reversal], context: Given, request: Request[Any, Any, Any]
) -> Response[RechargeView]:
    """Refund a record, or take another entry back, by a new entry that names it: to the buckets it came from, once.

    The entry is its own key: a repeat is told so, another amount is refused.
    """
    account = await context.accounts.account(account_id)
    if account is None:
        raise Problem(Kind.ACCOUNT_UNKNOWN)
    entry = await context.history.find_entry(account_id, data.entry_number)
    if entry is None:
        raise Problem(Kind.ENTRY_UNKNOWN, f"{account_id} has no entry {data.entry_number} in its journal")
    amount: Amount = 0
    if data.amount is not None:
        amount = context.amount("amount", data.amount, context.currencies[account.currency])
        if amount <= 0:
            raise invalid("amount", "must be more than zero, or left out for all of it")
    known = await context.history.find_reference(account_id, reversal_key(data.entry_number))
    if known is not None and context.clock() - known.at_ms > _KEYS_LAST_MS:
        raise Problem(Kind.NOT_REVERSIBLE, f"entry {known.entry_number} has taken it back")
    result = await context.money.take_back(
        account_id, data.entry_number, entry, amount, actor=actor_of(request.auth), reason=data.reason
    )
    return await respond(context, request, result)


_KEYS_LAST_MS: Final = 6 * 86_400_000
"""For so long the store itself knows a repeat; then the journal does."""

ROUTES: Final = (transfer, merge, redeem, reverse)
