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

import asyncio
from collections.abc import AsyncIterator, Awaitable, Collection, Mapping, Sequence
from datetime import date
from typing import Any, Final, NamedTuple

from balance.money import Amount, Currency
from ocs.billing.invoices import book, payments, refunds, voiding
from ocs.billing.invoices.book import Invoice, InvoiceKind, InvoiceRefusedError, InvoiceState
from ocs.billing.invoices.calculation import minor_unit
from ocs.billing.invoices.customers import Customer, find_customer, find_customers
from ocs.billing.invoices.issuers import Issuers
from ocs.billing.invoices.payments import CREDIT_NOTE_METHOD, Payment
from ocs.billing.invoices.refunds import Refund
from ocs.charging.operations import OperationKind, RechargeStatus
from ocs.charging.recharge import AccountDesk
from ocs.dunning import Dunning
from ocs.posted_once import posted_entry

ACTOR: Final = "billing"
TOGETHER: Final = 100
"""Invoices that are issued in one transaction; their bookings go to the accounts at the same time."""
_DONE: Final = frozenset({RechargeStatus.APPLIED, RechargeStatus.REPLAYED})


class BookingRefusedError(Exception):
    """An account does not take the booking; the invoice or payment stands, and is booked when the cause is mended."""


class Issued(NamedTuple):
    """Invoices that are issued, why an account did not take the booking of some, and why others stayed drafts."""

    invoices: list[Invoice]
    refused: dict[int, str]
    kept: dict[int, str]


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
        self._asking = asyncio.Lock()  # a connection answers one question at a time

    async def issue(self, invoice_id: int, today: date) -> Invoice:
        """Number a draft and book it. Raises InvoiceRefusedError, BookingRefusedError, BackendUnavailable."""
        issued = await self._issue([invoice_id], today)
        for why in issued.kept.values():
            raise InvoiceRefusedError(why)
        for why in issued.refused.values():
            raise BookingRefusedError(why)
        (invoice,) = issued.invoices
        if invoice.kind is InvoiceKind.CREDIT_NOTE:
            await self.dunning.relent(await self._customer(invoice.customer_id), today)
        return invoice

    async def void(self, invoice: Invoice, reason: str, today: date) -> list[Invoice]:
        """Take an issued invoice back as a whole, by credit notes, which are booked; its records are free again.

        Again: the notes that there are. Raises InvoiceRefusedError, BookingRefusedError, BackendUnavailable.
        """
        customer = await self._customer(invoice.customer_id)
        notes = await voiding.void(self._connection, invoice.invoice_id, reason, customer, self._issuers, today)
        return [await self.issue(note, today) for note in notes]

    async def issue_all(self, invoice_ids: Sequence[int], today: date) -> AsyncIterator[Issued]:
        """The same for many, TOGETHER at a time. An account that does not take a booking holds up no other customer's."""
        for first in range(0, len(invoice_ids), TOGETHER):
            yield await self._issue(invoice_ids[first : first + TOGETHER], today)

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
        await self.dunning.relent(customer, today)
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
        await self.book_refund(refund)
        return refund

    async def book_refund(self, refund: Refund) -> None:
        """Book a refund that was written before, once; what the customer has in excess pays what is open again."""
        if not refund.is_booked:
            await self._book_refund(refund, await self._customer(refund.customer_id))
        await payments.allocate(self._connection, refund.customer_id, refund.currency)

    async def settle(self, today: date) -> int:
        """Book what an interruption left unbooked; how many there were."""
        found = 0
        unbooked = await self._connection.fetch(
            "SELECT invoice_id FROM invoice WHERE NOT is_booked AND number IS NOT NULL ORDER BY invoice_id"
        )
        for row in unbooked:
            await self.issue(row["invoice_id"], today)
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

    async def _issue(self, invoice_ids: Sequence[int], today: date) -> Issued:
        before = await book.find_invoices(self._connection, invoice_ids)
        resumed = {each.invoice_id for each in before if each.state is not InvoiceState.DRAFT}
        names = sorted({each.customer_id for each in before})
        customers = {each.customer_id: each for each in await find_customers(self._connection, names)}
        found = await book.issue(self._connection, invoice_ids, customers, self._issuers, today)
        kept = {each.invoice_id: why for each in found if (why := each.why_kept(self._issuers.reviewing))}
        invoices = [each for each in found if each.invoice_id not in kept]
        refused = await self._book_invoices(invoices, customers, resumed)
        await self._after(invoices, customers)
        issued = await book.find_invoices(self._connection, [each.invoice_id for each in invoices])
        return Issued(issued, refused, kept)

    async def _after(self, invoices: Sequence[Invoice], customers: Mapping[str, Customer]) -> None:
        """A credit note is money to pay with, unless it voids; whatever customers have left pays what is open now."""
        chosen: dict[str, tuple[int, ...]] = {}
        corrected = [each.corrects for each in invoices if each.corrects is not None]
        voided = {
            each.invoice_id
            for each in await book.find_invoices(self._connection, corrected)
            if each.state is InvoiceState.VOID
        }
        for invoice in invoices:
            if invoice.kind is not InvoiceKind.CREDIT_NOTE or invoice.corrects in voided:
                continue
            assert invoice.number is not None, "it is issued"
            await payments.add_payment(
                self._connection, invoice.customer_id, CREDIT_NOTE_METHOD, invoice.number, invoice.currency,
                invoice.minor_unit, -invoice.total_minor, invoice.issued_on or date.min, is_booked=True,
            )  # fmt: skip
            if invoice.corrects is not None:
                chosen[invoice.customer_id] = (*chosen.get(invoice.customer_id, ()), invoice.corrects)
        for name in await payments.able_to_pay(self._connection, sorted(customers)):
            await payments.allocate(self._connection, name, customers[name].currency, chosen.get(name, ()))

    async def _book_invoices(
        self, invoices: Sequence[Invoice], customers: Mapping[str, Customer], resumed: Collection[int]
    ) -> dict[int, str]:
        """Book what is not booked yet; of which invoices an account did not take it, and why."""
        unbooked = [each for each in invoices if not each.is_booked]
        debited = await book.debited_of(self._connection, [each.invoice_id for each in unbooked])
        bookings: dict[tuple[int, str], Awaitable[None]] = {}
        for invoice in unbooked:
            payer = customers[invoice.customer_id].payer
            amounts = {payer: 0} | debited.get(invoice.invoice_id, {})
            amounts[payer] -= invoice.total_minor * invoice.minor_unit
            for account_id, amount in amounts.items():
                bookings[invoice.invoice_id, account_id] = self._book(
                    OperationKind.INVOICE, account_id, amount, invoice.currency, f"invoice-{invoice.invoice_id}",
                    f"{invoice.kind.value} {invoice.number}", invoice.invoice_id in resumed,
                )  # fmt: skip
        # All are awaited, whatever becomes of one of them: nobody books any more when we say how it went.
        results = await asyncio.gather(*bookings.values(), return_exceptions=True)
        refused = {}
        for (invoice_id, _), result in zip(bookings, results, strict=True):
            if isinstance(result, BookingRefusedError):
                refused[invoice_id] = str(result)
            elif isinstance(result, BaseException):
                raise result
        await self._connection.execute(
            "UPDATE invoice SET is_booked = true WHERE invoice_id = ANY($1::bigint[])",
            [each.invoice_id for each in unbooked if each.invoice_id not in refused],
        )
        return refused

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
        if is_resumed:
            async with self._asking:
                if await posted_entry(self._connection, self._redis, account_id, key):
                    return
        result = await self.desk.adjust(account_id, amount, currency, key=key, actor=ACTOR, reason=reason, kind=kind)
        if result.goes_on_at:
            # What its customer owes and pays has gone there, too.
            await self._book(kind, result.goes_on_at, amount, currency, key, reason, is_resumed)
        elif result.status not in _DONE:
            raise BookingRefusedError(f"account {account_id} does not take {reason}: {result.status.value}")
