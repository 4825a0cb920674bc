"""Invoices and payments, brought to the accounts: what is owed and what was paid, in the live balance, exactly once.

The account of a postpaid customer goes down call by call. An invoice asks for more than the calls: tax, fees, and what
rounding makes of it. So that the balance is what the customer owes, issuing it books the rest:

    payer:      what its calls were debited, minus the invoice's total
    others:     what their calls were debited, back: the payer owes it now

and a payment books what came in. A balance is then, at any time, minus the open invoices, minus what was used since.
The books say first what is to be booked, then it is booked under a key of its own, then noted; after a crash in
between, ``settle`` goes on.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import date
from typing import Any, Final

from balance.money import Amount, Currency
from ocs.billing.invoices import book, payments, refunds
from ocs.billing.invoices.book import Invoice, InvoiceKind, InvoiceRefusedError, InvoiceState
from ocs.billing.invoices.calculation import minor_unit
from ocs.billing.invoices.customers import Customer, find_customer
from ocs.billing.invoices.issuers import Issuers
from ocs.billing.invoices.payments import CREDIT_NOTE_METHOD, Payment
from ocs.billing.invoices.refunds import Refund
from ocs.charging.operations import OperationKind, RechargeStatus
from ocs.charging.recharge import AccountDesk
from ocs.dunning import Dunning
from ocs.posted_once import posted_entry

ACTOR: Final = "billing"
_DONE: Final = frozenset({RechargeStatus.APPLIED, RechargeStatus.REPLAYED})


class BookingRefusedError(Exception):
    """An account does not take the booking; the invoice or payment stands, and is booked when the cause is mended."""


class Invoicing:
    """Works on one connection to PostgreSQL and the desk of the accounts."""

    def __init__(
        self,
        connection: Any,
        redis: Any,
        desk: AccountDesk,
        issuers: Issuers,
        currencies: Mapping[str, Currency],
        ways: Collection[str] = (),
    ) -> None:
        self._connection = connection
        self._redis = redis
        self.desk = desk
        self._issuers = issuers
        self._currencies = currencies
        self.dunning = Dunning(connection, desk, issuers, currencies, ways)
        self.ways = ways

    async def issue(self, invoice_id: int, today: date) -> Invoice:
        """Number a draft and book it. Raises InvoiceRefusedError, BookingRefusedError, BackendUnavailable."""
        draft = await book.find_invoice(self._connection, str(invoice_id))
        if draft is None:
            raise InvoiceRefusedError(f"there is no invoice {invoice_id}")
        customer = await self._customer(draft.customer_id)
        invoice = await book.issue(self._connection, invoice_id, customer, self._issuers, today)
        if not invoice.is_booked:
            await self._book_invoice(invoice, customer, is_resumed=draft.state is not InvoiceState.DRAFT)
        return await self._after(invoice, customer)

    async def pay(
        self,
        customer: Customer,
        amount_minor: int,
        received_on: date,
        *,
        today: date,
        method: str,
        reference: str,
        chosen: tuple[int, ...] = (),
    ) -> tuple[Payment, bool]:
        """Write down money that came in, book it, and pay invoices by it; what it unblocks is unblocked at once.

        False: that payment was known. Raises InvoiceRefusedError if its reference is that of another payment.
        """
        assert amount_minor > 0, "a payment brings money"
        payment, is_new = await payments.add_payment(
            self._connection, customer.customer_id, method, reference, customer.currency,
            minor_unit(self._currencies[customer.currency]), amount_minor, received_on,
        )  # fmt: skip
        if (payment.customer_id, payment.amount_minor) != (customer.customer_id, amount_minor):
            raise InvoiceRefusedError(
                f"{method} {reference} is payment {payment.payment_id} of {payment.customer_id}, of another amount or "
                "customer: each payment has a reference of its own"
            )
        if not payment.is_booked:
            await self._book_payment(payment, customer, is_resumed=not is_new)
        await payments.allocate(self._connection, customer.customer_id, customer.currency, chosen)
        await self.dunning.act(customer, today)
        return await payments.find_payment(self._connection, payment.payment_id) or payment, is_new

    async def reverse(self, payment_id: int, reversed_on: date) -> Payment:
        """Take back a payment that was called back. Raises InvoiceRefusedError."""
        payment = await payments.reverse(self._connection, payment_id, reversed_on)
        if payment is None:
            raise InvoiceRefusedError(
                f"payment {payment_id} is unknown, reversed already, given back in part, or a credit note"
            )
        customer = await find_customer(self._connection, payment.customer_id)
        assert customer is not None, "a payment is of a customer"
        # It was booked long ago, perhaps: the store has forgotten the key by now, and only the journal knows.
        await self._book_payment(payment, customer, is_resumed=True)
        return payment

    async def refund(
        self, customer: Customer, amount_minor: int, paid_on: date, *, method: str, reference: str
    ) -> Refund:
        """Give back what a customer has paid in excess. The same reference again changes nothing. Raises InvoiceRefusedError."""
        assert amount_minor > 0, "a refund gives money"
        refund = await refunds.add_refund(
            self._connection, customer.customer_id, method, reference, customer.currency,
            minor_unit(self._currencies[customer.currency]), amount_minor, paid_on,
        )  # fmt: skip
        if not refund.is_booked:
            await self._book_refund(refund, customer)
        return refund

    async def take_from(self, payment: Payment, reference: str, amount_minor: int, paid_on: date) -> Refund:
        """Book what went back of a payment without us, by its reference, once. Raises InvoiceRefusedError.

        What the customer has paid in excess by others pays what is open again.
        """
        refund = await refunds.take_from_payment(self._connection, payment.payment_id, reference, amount_minor, paid_on)
        if not refund.is_booked:
            await self._book_refund(refund, await self._customer(refund.customer_id))
        await payments.allocate(self._connection, refund.customer_id, refund.currency)
        return refund

    async def settle(self) -> int:
        """Book what an interruption left unbooked; how many there were."""
        found = 0
        for row in await self._connection.fetch(
            "SELECT invoice_id FROM invoice WHERE NOT is_booked AND number IS NOT NULL ORDER BY invoice_id"
        ):
            invoice = await book.find_invoice(self._connection, str(row["invoice_id"]))
            assert invoice is not None, "invoices do not go"
            customer = await self._customer(invoice.customer_id)
            await self._book_invoice(invoice, customer, is_resumed=True)
            await self._after(invoice, customer)
            found += 1
        for row in await self._connection.fetch(
            "SELECT payment_id FROM payment WHERE NOT is_booked ORDER BY payment_id"
        ):
            payment = await payments.find_payment(self._connection, row["payment_id"])
            assert payment is not None, "payments do not go"
            customer = await self._customer(payment.customer_id)
            await self._book_payment(payment, customer, is_resumed=True)
            await payments.allocate(self._connection, customer.customer_id, customer.currency)
            found += 1
        for refund in await refunds.unbooked_refunds(self._connection):
            await self._book_refund(refund, await self._customer(refund.customer_id))
            found += 1
        return found

    # --- inside -----------------------------------------------------------------------------------------------------

    async def _customer(self, customer_id: str) -> Customer:
        customer = await find_customer(self._connection, customer_id)
        assert customer is not None, "a document is of a customer"
        return customer

    async def _after(self, invoice: Invoice, customer: Customer) -> Invoice:
        """A credit note is money to pay with; whatever the customer has left pays what is open now."""
        if invoice.kind is InvoiceKind.CREDIT_NOTE:
            assert invoice.number is not None, "it is issued"
            await payments.add_payment(
                self._connection, customer.customer_id, CREDIT_NOTE_METHOD, invoice.number, invoice.currency,
                invoice.minor_unit, -invoice.total_minor, invoice.issued_on or date.min, is_booked=True,
            )  # fmt: skip
        chosen = (invoice.corrects,) if invoice.corrects is not None else ()
        await payments.allocate(self._connection, customer.customer_id, customer.currency, chosen)
        return await book.find_invoice(self._connection, str(invoice.invoice_id)) or invoice

    async def _book_invoice(self, invoice: Invoice, customer: Customer, *, is_resumed: bool) -> None:
        debited: dict[str, Amount] = {customer.payer: 0}
        for line in await book.lines_of(self._connection, invoice.invoice_id):
            if line.is_debited:
                debited[line.account_id] = debited.get(line.account_id, 0) + line.amount
        debited[customer.payer] -= invoice.total_minor * invoice.minor_unit
        for account_id, amount in debited.items():
            key, reason = f"invoice-{invoice.invoice_id}", f"{invoice.kind.value} {invoice.number}"
            await self._book(OperationKind.INVOICE, account_id, amount, invoice.currency, key, reason, is_resumed)
        await self._connection.execute("UPDATE invoice SET is_booked = true WHERE invoice_id = $1", invoice.invoice_id)

    async def _book_payment(self, payment: Payment, customer: Customer, *, is_resumed: bool) -> None:
        amount = payment.amount_minor * payment.minor_unit
        key, reason = f"payment-{payment.payment_id}", f"{payment.method} {payment.reference}"
        kind = OperationKind.PAYMENT
        await self._book(kind, customer.payer, amount, payment.currency, key, reason, is_resumed)
        if payment.reversed_on is not None:
            key, reason = f"{key}-reversed", f"reversed: {reason}"
            await self._book(kind, customer.payer, -amount, payment.currency, key, reason, is_resumed)
        await self._connection.execute("UPDATE payment SET is_booked = true WHERE payment_id = $1", payment.payment_id)

    async def _book_refund(self, refund: Refund, customer: Customer) -> None:
        amount = -refund.amount_minor * refund.minor_unit
        key, reason = f"refund-{refund.refund_id}", f"refund {refund.method} {refund.reference}"
        kind = OperationKind.PAYMENT
        await self._book(kind, customer.payer, amount, refund.currency, key, reason, is_resumed=True)
        await self._connection.execute("UPDATE refund SET is_booked = true WHERE refund_id = $1", refund.refund_id)

    async def _book(
        self,
        kind: OperationKind,
        account_id: str,
        amount: Amount,
        currency: str,
        key: str,
        reason: str,
        is_resumed: bool,
    ) -> None:
        if not amount:
            return
        if is_resumed and await posted_entry(self._connection, self._redis, account_id, key):
            return
        result = await self.desk.adjust(account_id, amount, currency, key=key, actor=ACTOR, reason=reason, kind=kind)
        if result.status not in _DONE:
            raise BookingRefusedError(f"account {account_id} does not take {reason}: {result.status.value}")
