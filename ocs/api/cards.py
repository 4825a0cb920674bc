"""Payments by card: begin one, take the gateway's messages, give money back."""

from __future__ import annotations

from typing import Annotated, Any, Final

import msgspec
from litestar import Request, post
from litestar.params import FromPath, JSONBody
from msgspec import Meta

from balance.money import AmountError, Currency, parse_amount
from ocs.api.accounts import existing
from ocs.api.context import Context, Given, actor_of
from ocs.api.idempotency import IdempotencyKey, check_done, usable_key
from ocs.api.keys import Scope
from ocs.api.operations import operation, problem_responses
from ocs.api.problems import Kind, Problem, invalid
from ocs.api.schemas import Body, DecimalString
from ocs.api.trail import note
from ocs.charging.operations import RechargeStatus
from ocs.payments.desk import CardFault
from ocs.payments.gateway import GatewayRefusedError, SignatureError
from ocs.payments.payments import Payments

SIGNATURE_HEADER: Final = "stripe-signature"


class NewCheckout(Body, frozen=True):
    """So much is to be paid, in the account's currency, to its smallest coin."""

    amount: DecimalString


class CheckoutView(msgspec.Struct, frozen=True, kw_only=True):
    """Send the payer to ``url``. The money is in the account when the gateway has said that it was paid."""

    checkout_id: str
    url: str


class NewCardRefund(Body, frozen=True):
    """``payment`` is the reference of the account's top-up, without its ``stripe:``."""

    payment: Annotated[str, Meta(pattern="^[A-Za-z0-9_-]{1,100}$", examples=["pi_3MtwBwLkdIwHu7ix28a3tqPa"])]
    amount: DecimalString
    reason: Annotated[str, Meta(max_length=100, description="Kept in the journal")] = ""


class CardRefundView(msgspec.Struct, frozen=True, kw_only=True):
    """``entry_number`` is that of the journal entry that took the money from the account."""

    refund_id: str
    entry_number: int
    replayed: bool


class Received(msgspec.Struct, frozen=True, kw_only=True):
    """``booked``: it tells of money, which is booked now."""

    booked: bool


_CARDS: Final = (Kind.KEY_MISSING, Kind.ACCOUNT_UNKNOWN, Kind.CARDS_OFF, Kind.CARD_REFUSED)


@post(
    "/accounts/{account_id:str}/checkouts",
    tags=["cards"],
    **operation("start_checkout", Scope.TOPUP, *_CARDS),
)
async def start_checkout(
    account_id: FromPath[str],
    data: JSONBody[NewCheckout],
    idempotency_key: IdempotencyKey,
    context: Given,
    request: Request[Any, Any, Any],
) -> CheckoutView:
    """Begin a payment by card; the payer types the card at the gateway. A repeat of the key gives the same page."""
    key = usable_key(idempotency_key)
    account = await existing(context, account_id)
    minor = minor_of("amount", data.amount, context.currencies[account.currency])
    try:
        found = await payments_of(context).cards.start_checkout(account, minor, key=key)
    except GatewayRefusedError as error:
        raise Problem(Kind.CARD_REFUSED, str(error)) from error
    facts = {"checkout_id": found.checkout_id, "amount": data.amount}
    await note(context, request, f"account {account_id}", None, facts)
    return CheckoutView(checkout_id=found.checkout_id, url=found.url)


@post(
    "/accounts/{account_id:str}/card-refunds",
    tags=["cards"],
    status_code=200,
    **operation(
        "refund_card",
        Scope.ACCOUNTS_WRITE,
        *_CARDS,
        Kind.PAYMENT_UNKNOWN,
        Kind.KEY_REUSED,
        Kind.ACCOUNT_CLOSED,
        Kind.NOT_ENOUGH_MONEY,
    ),
)
async def refund_card(
    account_id: FromPath[str],
    data: JSONBody[NewCardRefund],
    idempotency_key: IdempotencyKey,
    context: Given,
    request: Request[Any, Any, Any],
) -> CardRefundView:
    """Take money from the account and give it back to the card it came from. Repeat with the same key until it answers.

    The account pays first; if the gateway refuses, the money is put back by another entry.
    """
    key = usable_key(idempotency_key)
    account = await existing(context, account_id)
    minor = minor_of("amount", data.amount, context.currencies[account.currency])
    try:
        done = await payments_of(context).cards.refund(
            account, data.payment, minor, key=key, actor=actor_of(request.auth), reason=data.reason
        )
    except GatewayRefusedError as error:
        raise Problem(Kind.CARD_REFUSED, str(error)) from error
    if isinstance(done, CardFault):
        raise Problem(Kind.PAYMENT_UNKNOWN, f"{account_id} has no top-up by payment {data.payment}")
    check_done(done.taken)
    facts = {"refund_id": done.refund_id, "payment": data.payment, "amount": data.amount}
    await note(context, request, f"account {account_id}", None, facts)
    is_replayed = done.taken.status is RechargeStatus.REPLAYED
    return CardRefundView(refund_id=done.refund_id, entry_number=done.taken.entry_number, replayed=is_replayed)


@post(
    "/webhooks/stripe",
    name="stripe_webhook",
    operation_id="stripe_webhook",
    summary="Stripe's messages",
    tags=["cards"],
    status_code=200,
    security=[],
    responses=problem_responses(
        Kind.BAD_REQUEST,
        Kind.CARDS_OFF,
        Kind.CARD_REFUSED,
        Kind.BILLING_REFUSED,
        Kind.ACCOUNT_UNKNOWN,
        Kind.ACCOUNT_CLOSED,
        Kind.CURRENCY_MISMATCH,
        Kind.UNAVAILABLE,
    ),
)
async def stripe_webhook(request: Request[Any, Any, Any], context: Given) -> Received:
    """Book what was paid or taken back, once. The signature is the key. What cannot be booked is refused, so that Stripe
    shows it.
    """
    payments = payments_of(context)
    try:
        told = payments.gateway.read(await request.body(), request.headers.get(SIGNATURE_HEADER, ""))
    except SignatureError as error:
        raise Problem(Kind.BAD_REQUEST, str(error)) from error
    try:
        result = await payments.take(told) if told is not None else None
    except GatewayRefusedError as error:
        raise Problem(Kind.CARD_REFUSED, str(error)) from error
    if result is not None:
        check_done(result)
    return Received(booked=result is not None)


def payments_of(context: Context) -> Payments:
    """What is built on the gateway. Raises Problem where there is none."""
    if context.payments is None:
        raise Problem(Kind.CARDS_OFF)
    return context.payments


def minor_of(field: str, text: str, currency: Currency) -> int:
    """An amount in the currency's smallest coin. Raises Problem."""
    try:
        minor = parse_amount(text, currency.digits)
    except AmountError as error:
        raise invalid(field, str(error)) from error
    if minor <= 0:
        raise invalid(field, "must be more than zero")
    return minor


ROUTES: Final = (start_checkout, refund_card)
OPEN_ROUTES: Final = (stripe_webhook,)
