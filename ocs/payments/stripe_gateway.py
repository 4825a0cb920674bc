"""Stripe through its own library: Checkout, stored methods and charges by them, refunds, signed webhooks."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any, Final, TypeVar

import stripe

from balance.store import BackendUnavailable
from ocs.payments import stripe_words as words
from ocs.payments.gateway import (
    Charge,
    Charged,
    Checkout,
    GatewayRefusedError,
    MethodKind,
    Owner,
    Purpose,
    PurposeKind,
    SignatureError,
    StoredMethod,
    Told,
)
from ocs.settings import Stripe

ResultT = TypeVar("ResultT")
TIMEOUT_S: Final = 15
RETRIES_MAX: Final = 2
FINAL: Final = (stripe.CardError, stripe.InvalidRequestError)
"""What is certain not to have been done. All else may have been, or may be when it is tried again: a key that is just in
use (IdempotencyError), a rate limit, a connection that broke, our own wrong key."""
OTHER_COINS: Final = frozenset({"ISK", "UGX"})
"""Stripe counts these in hundredths, ISO 4217 in wholes (Stripe, "Supported currencies", special cases)."""
MISSING: Final = "resource_missing"


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

    # --- payments with the payer there ----------------------------------------------------------------------------------

    async def start_checkout(self, account_id: str, currency: str, minor: int, *, key: str) -> Checkout:
        product = {"name": self._settings.product}
        price = {"currency": _coins(currency), "unit_amount": minor, "product_data": product}
        metadata = words.metadata_of(Purpose(PurposeKind.TOP_UP, account_id))
        params: Any = {
            "mode": "payment",
            "line_items": [{"quantity": 1, "price_data": price}],
            "client_reference_id": account_id,
            "metadata": metadata,
            "payment_intent_data": {"metadata": metadata},
            **self._way_back(),
        }
        return await self._session(params, key)

    async def start_setup(
        self, owner: Owner, payer: str, currency: str, kinds: frozenset[MethodKind], *, key: str
    ) -> Checkout:
        params: Any = {
            "mode": "setup",
            "customer": payer,
            "currency": _coins(currency),
            "payment_method_types": sorted(words.TYPES[kind] for kind in kinds),
            "setup_intent_data": {"metadata": _owner(owner)},
            **self._way_back(),
        }
        return await self._session(params, key)

    async def refund(self, payment: str, minor: int, *, key: str) -> str:
        """Stripe forgets keys after a day, but not refunds: one that bears ours is the one that was asked for before."""
        params: Any = {"payment_intent": payment, "amount": minor, "metadata": {words.KEY: key}}
        try:
            known = await self._client.v1.refunds.list_async({"payment_intent": payment, "limit": 100})
            async for each in known.auto_paging_iter():
                if each.to_dict().get("metadata", {}).get(words.KEY) == key:
                    return _given_back(each)
            return _given_back(await self._client.v1.refunds.create_async(params, {"idempotency_key": key}))
        except stripe.StripeError as error:
            raise _failure(error) from error

    # --- stored methods -------------------------------------------------------------------------------------------------

    async def new_payer(self, owner: Owner) -> str:
        params: Any = {"name": owner.owner_id, "metadata": _owner(owner)}
        key = f"payer:{owner.kind}:{owner.owner_id}"
        return str((await _done(self._client.v1.customers.create_async(params, {"idempotency_key": key}))).id)

    async def method(self, method_id: str) -> StoredMethod | None:
        try:
            found = await self._client.v1.payment_methods.retrieve_async(method_id)
        except stripe.StripeError as error:
            if error.code == MISSING:
                return None
            raise _failure(error) from error
        return words.stored(found.to_dict())

    async def forget_method(self, method_id: str) -> None:
        if await self.method(method_id) is not None:
            await _done(self._client.v1.payment_methods.detach_async(method_id))

    # --- charges without the payer ---------------------------------------------------------------------------------------

    async def charge(self, charge: Charge, *, key: str, is_repeat: bool) -> Charged:
        """Stripe forgets keys after a day, but not payments: one that bears ours is the one that was asked for before."""
        params: Any = {
            "amount": charge.minor,
            "currency": _coins(charge.currency),
            "customer": charge.payer,
            "payment_method": charge.method_id,
            "payment_method_types": [words.TYPES[charge.kind]],
            "confirm": True,
            "off_session": True,
            "metadata": {**words.metadata_of(charge.purpose), words.KEY: key},
        }
        try:
            found = await self._find_intent(charge.payer, key) if is_repeat else None
            if found is None:
                made = await self._client.v1.payment_intents.create_async(params, {"idempotency_key": key})
                found = made.to_dict()
        except stripe.CardError as error:
            return _declined(error)
        except stripe.StripeError as error:
            raise _failure(error) from error
        return words.charged(found)

    async def find_charge(self, payment: str) -> Charged:
        return words.charged((await _done(self._client.v1.payment_intents.retrieve_async(payment))).to_dict())

    async def purpose_of(self, payment: str) -> Purpose | None:
        """Payments that were begun before purposes were kept bear none: their checkout does."""
        intent = (await _done(self._client.v1.payment_intents.retrieve_async(payment))).to_dict()
        found = words.purpose_in(intent.get("metadata"))
        if found is None:
            query: Any = {"payment_intent": payment, "limit": 1}
            for session in (await _done(self._client.v1.checkout.sessions.list_async(query))).data:
                found = words.purpose_in(session.to_dict().get("metadata"))
        return found

    # --- messages ---------------------------------------------------------------------------------------------------------

    def read(self, body: bytes, signature: str) -> Told | None:
        """The signature covers an instant, and is good for five minutes (Stripe, "Verify webhook signatures manually")."""
        try:
            event = self._client.construct_event(body, signature, self._webhook_secret)
        except (ValueError, stripe.SignatureVerificationError) as error:
            raise SignatureError("the signature does not fit, or is too old") from error
        return words.told(event.type, event.data.object.to_dict(), event.created)

    # --- inside -----------------------------------------------------------------------------------------------------------

    def _way_back(self) -> dict[str, str]:
        url = self._settings.success_url
        return {"success_url": url, "cancel_url": self._settings.cancel_url or url}

    async def _session(self, params: Any, key: str) -> Checkout:
        session = await _done(self._client.v1.checkout.sessions.create_async(params, {"idempotency_key": key}))
        return Checkout(session.id, session.url or "")

    async def _find_intent(self, payer: str, key: str) -> dict[str, Any] | None:
        known = await self._client.v1.payment_intents.list_async({"customer": payer, "limit": 100})
        async for each in known.auto_paging_iter():
            intent: dict[str, Any] = each.to_dict()
            if intent.get("metadata", {}).get(words.KEY) == key:
                return intent
        return None


async def _done(call: Awaitable[ResultT]) -> ResultT:
    """Do a call, with its faults in our words."""
    try:
        return await call
    except stripe.StripeError as error:
        raise _failure(error) from error


def _owner(owner: Owner) -> dict[str, str]:
    return {words.OWNER_KIND: owner.kind.value, words.OWNER_ID: owner.owner_id}


def _coins(currency: str) -> str:
    if currency in OTHER_COINS:
        raise GatewayRefusedError(f"{currency} is counted otherwise at Stripe, and is not supported")
    return currency.lower()


def _declined(error: stripe.CardError) -> Charged:
    """The payment that was made and declined comes with the error."""
    body = error.json_body if isinstance(error.json_body, dict) else {}
    intent = (body.get("error") or {}).get("payment_intent")
    if intent is None:
        raise _failure(error) from error
    return words.charged(intent)


def _given_back(refund: stripe.Refund) -> str:
    if refund.status in words.UNDONE:
        raise GatewayRefusedError(f"refund {refund.id} {refund.status}: {refund.failure_reason or 'no reason given'}")
    return refund.id


def _failure(error: stripe.StripeError) -> Exception:
    text = error.user_message or type(error).__name__
    return GatewayRefusedError(text) if isinstance(error, FINAL) else BackendUnavailable(f"Stripe: {text}")
