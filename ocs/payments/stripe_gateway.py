"""Stripe through its own library: Checkout, signed webhooks, refunds."""

from __future__ import annotations

from typing import Any, Final

import stripe

from balance.store import BackendUnavailable
from ocs.payments.gateway import Checkout, GatewayRefusedError, Paid, SignatureError
from ocs.settings import Stripe

TIMEOUT_S: Final = 15
RETRIES_MAX: Final = 2
PAID_EVENTS: Final = frozenset({"checkout.session.completed", "checkout.session.async_payment_succeeded"})
FINAL: Final = (stripe.CardError, stripe.InvalidRequestError)
"""What is certain not to have been done. All else may have been, or may be when it is tried again: a key that is just in
use (IdempotencyError), a rate limit, a connection that broke, our own wrong key."""
OTHER_COINS: Final = frozenset({"ISK", "UGX"})
"""Stripe counts these in hundredths, ISO 4217 in wholes (Stripe, "Supported currencies", special cases)."""
UNDONE: Final = frozenset({"failed", "canceled"})
KEY: Final = "ocs_key"


class StripeGateway:
    """One account at Stripe. ``secret_key`` and ``webhook_secret`` are never shown."""

    name = "stripe"

    def __init__(self, settings: Stripe, secret_key: str, webhook_secret: str) -> None:
        self._settings = settings
        self._webhook_secret = webhook_secret
        self._http = stripe.HTTPXClient(timeout=TIMEOUT_S)
        self._client = stripe.StripeClient(
            secret_key,
            base_addresses={"api": settings.api} if settings.api else {},
            http_client=self._http,
            max_network_retries=RETRIES_MAX,
        )

    async def close(self) -> None:
        await self._http.close_async()  # type: ignore[no-untyped-call]  # of the library

    async def start_checkout(self, account_id: str, currency: str, minor: int, *, key: str) -> Checkout:
        params: Any = {
            "mode": "payment",
            "line_items": [
                {
                    "quantity": 1,
                    "price_data": {
                        "currency": _coins(currency),
                        "unit_amount": minor,
                        "product_data": {"name": self._settings.product},
                    },
                }
            ],
            "client_reference_id": account_id,
            "metadata": {"account_id": account_id},
            "success_url": self._settings.success_url,
            "cancel_url": self._settings.cancel_url or self._settings.success_url,
        }
        try:
            session = await self._client.v1.checkout.sessions.create_async(params, {"idempotency_key": key})
        except stripe.StripeError as error:
            raise _failure(error) from error
        return Checkout(session.id, session.url or "")

    async def refund(self, payment: str, minor: int, *, key: str) -> str:
        """Stripe forgets keys after a day, but not refunds: one that bears ours is the one that was asked for before."""
        params: Any = {"payment_intent": payment, "amount": minor, "metadata": {KEY: key}}
        try:
            known = await self._client.v1.refunds.list_async({"payment_intent": payment, "limit": 100})
            async for each in known.auto_paging_iter():
                if each.to_dict().get("metadata", {}).get(KEY) == key:
                    return _given_back(each)
            return _given_back(await self._client.v1.refunds.create_async(params, {"idempotency_key": key}))
        except stripe.StripeError as error:
            raise _failure(error) from error

    def read(self, body: bytes, signature: str) -> Paid | None:
        """The signature covers an instant, and is good for five minutes (Stripe, "Verify webhook signatures manually")."""
        try:
            event = self._client.construct_event(body, signature, self._webhook_secret)
        except (ValueError, stripe.SignatureVerificationError) as error:
            raise SignatureError("the signature does not fit, or is too old") from error
        if event.type not in PAID_EVENTS:
            return None
        session: dict[str, Any] = event.data.object.to_dict()
        metadata = session.get("metadata") or {}
        # A bank debit completes the checkout days before it is paid; and others may use this account of Stripe, too.
        if session.get("payment_status") != "paid" or "account_id" not in metadata:
            return None
        return Paid(
            payment=str(session["payment_intent"]),
            account_id=str(metadata["account_id"]),
            currency=str(session["currency"]).upper(),
            minor=int(session["amount_total"]),
            told_at_ms=event.created * 1000,
        )


def _coins(currency: str) -> str:
    if currency in OTHER_COINS:
        raise GatewayRefusedError(f"{currency} is counted otherwise at Stripe, and is not supported")
    return currency.lower()


def _given_back(refund: stripe.Refund) -> str:
    if refund.status in UNDONE:
        raise GatewayRefusedError(f"refund {refund.id} {refund.status}: {refund.failure_reason or 'no reason given'}")
    return refund.id


def _failure(error: stripe.StripeError) -> Exception:
    words = error.user_message or type(error).__name__
    return GatewayRefusedError(words) if isinstance(error, FINAL) else BackendUnavailable(f"Stripe: {words}")
