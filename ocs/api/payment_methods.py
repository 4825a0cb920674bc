"""Stored payment methods of accounts and customers: begin to store one, list, choose the default, remove."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal, TypeAlias

import msgspec
from litestar import Request, delete, get, post, put
from litestar.params import FromPath, JSONBody
from msgspec import Meta

from ocs.api.accounts import existing
from ocs.api.cards import CheckoutView, payments_of
from ocs.api.context import Context, Given
from ocs.api.idempotency import IdempotencyKey, usable_key
from ocs.api.keys import Scope
from ocs.api.operations import noted, operation
from ocs.api.problems import Kind, Problem, invalid
from ocs.api.schemas import AccountId, Body
from ocs.api.trail import note
from ocs.payments.gateway import GatewayRefusedError, MethodKind, Owner, OwnerKind
from ocs.payments.methods import Method

KindName: TypeAlias = Literal["card", "direct_debit"]
MethodId: TypeAlias = Annotated[str, Meta(pattern="^[A-Za-z0-9_-]{1,100}$", examples=["pm_1MqLiJLkdIwHu7ixUEgbFdYF"])]
DEBIT_CURRENCY: Final = "EUR"
"""SEPA is in euros alone."""


class NewSetup(Body, frozen=True):
    """What may be stored; all that there is for the currency, if nothing is named. A direct debit (SEPA) is in euros."""

    kinds: Annotated[tuple[KindName, ...], Meta(max_length=2)] = ()


class MethodView(msgspec.Struct, frozen=True, kw_only=True):
    """``method_id`` is the gateway's. ``expires`` is a month such as "2027-04", or empty. No number is kept here."""

    method_id: str
    kind: KindName
    brand: str
    last4: str
    expires: str
    is_default: bool


class MethodList(msgspec.Struct, frozen=True, kw_only=True):
    """The default one first."""

    methods: tuple[MethodView, ...]


_ASKS: Final = (Kind.CARDS_OFF, Kind.ACCOUNT_UNKNOWN)
_ASKS_CUSTOMER: Final = (Kind.CARDS_OFF, Kind.BILLING_UNKNOWN)
_SETS_UP: Final = (Kind.KEY_MISSING, Kind.CARD_REFUSED)


# --- of accounts ------------------------------------------------------------------------------------------------------


@post(
    "/accounts/{account_id:str}/payment-method-setups",
    tags=["cards"],
    **operation("set_up_account_method", Scope.TOPUP, *_ASKS, *_SETS_UP),
)
async def set_up_account_method(
    account_id: FromPath[AccountId],
    data: JSONBody[NewSetup],
    idempotency_key: IdempotencyKey,
    context: Given,
    request: Request[Any, Any, Any],
) -> CheckoutView:
    """Let the payer store a method for automatic top-ups, at the gateway. It is in the list when the gateway has said so."""
    account = await existing(context, account_id)
    found = await _set_up(context, _account(account_id), account.currency, data, usable_key(idempotency_key))
    await note(context, request, f"account {account_id}", None, {"checkout_id": found.checkout_id})
    return found


@get(
    "/accounts/{account_id:str}/payment-methods",
    tags=["cards"],
    **operation("list_account_methods", Scope.ACCOUNTS_READ, *_ASKS),
)
async def list_account_methods(account_id: FromPath[AccountId], context: Given) -> MethodList:
    """The stored methods of an account."""
    await existing(context, account_id)
    return await _list(context, _account(account_id))


@put(
    "/accounts/{account_id:str}/payment-methods/{method_id:str}/default",
    tags=["cards"],
    **noted(operation("choose_account_method", Scope.ACCOUNTS_WRITE, *_ASKS, Kind.METHOD_UNKNOWN)),
)
async def choose_account_method(
    account_id: FromPath[AccountId], method_id: FromPath[MethodId], context: Given
) -> MethodList:
    """Make a method the one that is charged where none is named."""
    await existing(context, account_id)
    return await _choose(context, _account(account_id), method_id)


@delete(
    "/accounts/{account_id:str}/payment-methods/{method_id:str}",
    status_code=200,
    tags=["cards"],
    **noted(operation("remove_account_method", Scope.ACCOUNTS_WRITE, *_ASKS, Kind.METHOD_UNKNOWN, Kind.CARD_REFUSED)),
)
async def remove_account_method(
    account_id: FromPath[AccountId], method_id: FromPath[MethodId], context: Given
) -> MethodList:
    """Forget a method, here and at the gateway; what is left."""
    await existing(context, account_id)
    return await _remove(context, _account(account_id), method_id)


# --- of customers -----------------------------------------------------------------------------------------------------


@post(
    "/customers/{customer_id:str}/payment-method-setups",
    tags=["cards"],
    **noted(operation("set_up_customer_method", Scope.BILLING_WRITE, *_ASKS_CUSTOMER, *_SETS_UP)),
)
async def set_up_customer_method(
    customer_id: FromPath[str], data: JSONBody[NewSetup], idempotency_key: IdempotencyKey, context: Given
) -> CheckoutView:
    """Let a customer store the method by which his invoices are collected."""
    currency = await _currency_of(context, customer_id)
    return await _set_up(context, _customer(customer_id), currency, data, usable_key(idempotency_key))


@get(
    "/customers/{customer_id:str}/payment-methods",
    tags=["cards"],
    **operation("list_customer_methods", Scope.BILLING_READ, *_ASKS_CUSTOMER),
)
async def list_customer_methods(customer_id: FromPath[str], context: Given) -> MethodList:
    """The stored methods of a customer."""
    await _currency_of(context, customer_id)
    return await _list(context, _customer(customer_id))


@put(
    "/customers/{customer_id:str}/payment-methods/{method_id:str}/default",
    tags=["cards"],
    **noted(operation("choose_customer_method", Scope.BILLING_WRITE, *_ASKS_CUSTOMER, Kind.METHOD_UNKNOWN)),
)
async def choose_customer_method(
    customer_id: FromPath[str], method_id: FromPath[MethodId], context: Given
) -> MethodList:
    """Make a method the one by which invoices are collected."""
    await _currency_of(context, customer_id)
    return await _choose(context, _customer(customer_id), method_id)


@delete(
    "/customers/{customer_id:str}/payment-methods/{method_id:str}",
    status_code=200,
    tags=["cards"],
    **noted(
        operation(
            "remove_customer_method", Scope.BILLING_WRITE, *_ASKS_CUSTOMER, Kind.METHOD_UNKNOWN, Kind.CARD_REFUSED
        )
    ),
)
async def remove_customer_method(
    customer_id: FromPath[str], method_id: FromPath[MethodId], context: Given
) -> MethodList:
    """Forget a method, here and at the gateway; what is left."""
    await _currency_of(context, customer_id)
    return await _remove(context, _customer(customer_id), method_id)


# --- inside -----------------------------------------------------------------------------------------------------------


def _account(account_id: str) -> Owner:
    return Owner(OwnerKind.ACCOUNT, account_id)


def _customer(customer_id: str) -> Owner:
    return Owner(OwnerKind.CUSTOMER, customer_id)


async def _currency_of(context: Context, customer_id: str) -> str:
    payments_of(context)
    async with context.billing.desk() as desk:
        return (await desk.customer(customer_id)).currency


async def _set_up(context: Context, owner: Owner, currency: str, data: NewSetup, key: str) -> CheckoutView:
    wanted = frozenset(MethodKind(each) for each in data.kinds) or frozenset(MethodKind)
    if currency != DEBIT_CURRENCY:
        if MethodKind.DIRECT_DEBIT.value in data.kinds:
            raise invalid("kinds", f"a direct debit is in {DEBIT_CURRENCY}, and this is kept in {currency}")
        wanted -= {MethodKind.DIRECT_DEBIT}
    try:
        found = await payments_of(context).methods.start_setup(owner, currency, wanted, key=key)
    except GatewayRefusedError as error:
        raise Problem(Kind.CARD_REFUSED, str(error)) from error
    return CheckoutView(checkout_id=found.checkout_id, url=found.url)


async def _list(context: Context, owner: Owner) -> MethodList:
    return MethodList(methods=tuple(map(_view, await payments_of(context).methods.list(owner))))


async def _choose(context: Context, owner: Owner, method_id: str) -> MethodList:
    if not await payments_of(context).methods.choose(owner, method_id):
        raise Problem(Kind.METHOD_UNKNOWN, f"{owner.kind.value} {owner.owner_id} has no method {method_id}")
    return await _list(context, owner)


async def _remove(context: Context, owner: Owner, method_id: str) -> MethodList:
    try:
        if await payments_of(context).methods.remove(owner, method_id) is None:
            raise Problem(Kind.METHOD_UNKNOWN, f"{owner.kind.value} {owner.owner_id} has no method {method_id}")
    except GatewayRefusedError as error:
        raise Problem(Kind.CARD_REFUSED, str(error)) from error
    return await _list(context, owner)


def _view(method: Method) -> MethodView:
    facts = {name: getattr(method, name) for name in MethodView.__struct_fields__}
    return MethodView(**{**facts, "kind": method.kind.value})


ROUTES: Final = (
    set_up_account_method,
    list_account_methods,
    choose_account_method,
    remove_account_method,
    set_up_customer_method,
    list_customer_methods,
    choose_customer_method,
    remove_customer_method,
)
