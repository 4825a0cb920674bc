"""Calls of the API, tag cards. Written by scripts/client.py from its routes: change those."""

from __future__ import annotations

from ocs.api import cards
from ocs.client.transport import Transport, new_key, segment


class CardsCalls(Transport):
    """What the API has under the tag cards."""

    def start_checkout(
        self, account_id: str, data: cards.NewCheckout, *, idempotency_key: str | None = None
    ) -> cards.CheckoutView:
        """Begin a payment by card; the payer types the card at the gateway. A repeat of the key gives the same page."""
        answer: cards.CheckoutView = self._call(
            "POST",
            f"/v1/accounts/{segment(account_id)}/checkouts",
            cards.CheckoutView,
            headers={"Idempotency-Key": idempotency_key or new_key()},
            content=data,
        )
        return answer

    def refund_card(
        self, account_id: str, data: cards.NewCardRefund, *, idempotency_key: str | None = None
    ) -> cards.CardRefundView:
        """Take money from the account and give it back to the card it came from. Repeat with the same key until it answers."""
        answer: cards.CardRefundView = self._call(
            "POST",
            f"/v1/accounts/{segment(account_id)}/card-refunds",
            cards.CardRefundView,
            headers={"Idempotency-Key": idempotency_key or new_key()},
            content=data,
        )
        return answer
