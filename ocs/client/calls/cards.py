"""Calls of the API, tag cards. Written by scripts/client.py from its routes: change those."""

from __future__ import annotations

from ocs.api import automatic_top_ups, cards, payment_methods
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

    def set_up_account_method(
        self, account_id: str, data: payment_methods.NewSetup, *, idempotency_key: str | None = None
    ) -> cards.CheckoutView:
        """Let the payer store a method for automatic top-ups, at the gateway. It is in the list when the gateway has said so."""
        answer: cards.CheckoutView = self._call(
            "POST",
            f"/v1/accounts/{segment(account_id)}/payment-method-setups",
            cards.CheckoutView,
            headers={"Idempotency-Key": idempotency_key or new_key()},
            content=data,
        )
        return answer

    def list_account_methods(self, account_id: str) -> payment_methods.MethodList:
        """The stored methods of an account."""
        answer: payment_methods.MethodList = self._call(
            "GET", f"/v1/accounts/{segment(account_id)}/payment-methods", payment_methods.MethodList
        )
        return answer

    def choose_account_method(self, account_id: str, method_id: str) -> payment_methods.MethodList:
        """Make a method the one that is charged where none is named."""
        answer: payment_methods.MethodList = self._call(
            "PUT",
            f"/v1/accounts/{segment(account_id)}/payment-methods/{segment(method_id)}/default",
            payment_methods.MethodList,
        )
        return answer

    def remove_account_method(self, account_id: str, method_id: str) -> payment_methods.MethodList:
        """Forget a method, here and at the gateway; what is left."""
        answer: payment_methods.MethodList = self._call(
            "DELETE",
            f"/v1/accounts/{segment(account_id)}/payment-methods/{segment(method_id)}",
            payment_methods.MethodList,
        )
        return answer

    def set_up_customer_method(
        self, customer_id: str, data: payment_methods.NewSetup, *, idempotency_key: str | None = None
    ) -> cards.CheckoutView:
        """Let a customer store the method by which his invoices are collected."""
        answer: cards.CheckoutView = self._call(
            "POST",
            f"/v1/customers/{segment(customer_id)}/payment-method-setups",
            cards.CheckoutView,
            headers={"Idempotency-Key": idempotency_key or new_key()},
            content=data,
        )
        return answer

    def list_customer_methods(self, customer_id: str) -> payment_methods.MethodList:
        """The stored methods of a customer."""
        answer: payment_methods.MethodList = self._call(
            "GET", f"/v1/customers/{segment(customer_id)}/payment-methods", payment_methods.MethodList
        )
        return answer

    def choose_customer_method(self, customer_id: str, method_id: str) -> payment_methods.MethodList:
        """Make a method the one by which invoices are collected."""
        answer: payment_methods.MethodList = self._call(
            "PUT",
            f"/v1/customers/{segment(customer_id)}/payment-methods/{segment(method_id)}/default",
            payment_methods.MethodList,
        )
        return answer

    def remove_customer_method(self, customer_id: str, method_id: str) -> payment_methods.MethodList:
        """Forget a method, here and at the gateway; what is left."""
        answer: payment_methods.MethodList = self._call(
            "DELETE",
            f"/v1/customers/{segment(customer_id)}/payment-methods/{segment(method_id)}",
            payment_methods.MethodList,
        )
        return answer

    def set_automatic_top_up(
        self, account_id: str, data: automatic_top_ups.NewAutomaticTopUp, *, idempotency_key: str | None = None
    ) -> automatic_top_ups.AutomaticTopUpView:
        """Have an account topped up by itself when its balance falls below a threshold. Putting it again lifts a stop."""
        answer: automatic_top_ups.AutomaticTopUpView = self._call(
            "PUT",
            f"/v1/accounts/{segment(account_id)}/automatic-top-up",
            automatic_top_ups.AutomaticTopUpView,
            headers={"Idempotency-Key": idempotency_key or new_key()},
            content=data,
        )
        return answer

    def read_automatic_top_up(self, account_id: str) -> automatic_top_ups.AutomaticTopUpView:
        """The account's rule, and whether it has stopped."""
        answer: automatic_top_ups.AutomaticTopUpView = self._call(
            "GET", f"/v1/accounts/{segment(account_id)}/automatic-top-up", automatic_top_ups.AutomaticTopUpView
        )
        return answer

    def remove_automatic_top_up(self, account_id: str) -> None:
        """Charge nothing by itself any more. What is under way comes to its end; the threshold stays, and warns."""
        answer: None = self._call("DELETE", f"/v1/accounts/{segment(account_id)}/automatic-top-up", None)
        return answer

    def list_automatic_top_ups(self, account_id: str, *, limit: int = 100) -> automatic_top_ups.ChargeList:
        """What was charged by itself, what is under way, and what failed and why."""
        answer: automatic_top_ups.ChargeList = self._call(
            "GET",
            f"/v1/accounts/{segment(account_id)}/automatic-top-ups",
            automatic_top_ups.ChargeList,
            query={"limit": limit},
        )
        return answer
