"""What can be asked and done about customers, invoices and payments: the same for commands and for the API."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Mapping, Sequence
from datetime import date
from typing import Any

from balance.money import Amount, AmountError, Currency, parse_amount
from ocs.billing.failures import FAILURES
from ocs.billing.invoices import book
from ocs.billing.invoices import run as bill_run
from ocs.billing.invoices.annex import annex_csv, records_of
from ocs.billing.invoices.bill_runs import begin_run, end_run, note_progress
from ocs.billing.invoices.book import Invoice, InvoiceRefusedError, InvoiceState, Parties
from ocs.billing.invoices.bookkeeping import Entry, Form, entries, written
from ocs.billing.invoices.calculation import ChargeKind, minor_unit
from ocs.billing.invoices.customers import Agreed, Customer, add_customer, faults_of, find_customer, payer_faults
from ocs.billing.invoices.drafting import Draft, Due, drafts_of, next_dues
from ocs.billing.invoices.issuers import Issuers
from ocs.billing.invoices.payments import Payment
from ocs.billing.invoices.periods import Period
from ocs.billing.invoices.printing.pdf import TemplateError, pdf_of
from ocs.billing.invoices.rounding import quotient
from ocs.billing.invoices.run import RunReport
from ocs.billing.invoices.ubl import ubl_of
from ocs.billing_letters import MAIL, invoice_letter
from ocs.clock import now_ms
from ocs.delivery import queue
from ocs.delivery.queue import Attachment
from ocs.invoicing import Invoicing
from ocs.rating.faults import did_you_mean


class NotThereError(InvoiceRefusedError):
    """There is no customer, invoice or payment of that name."""


class BillingDesk:
    """One caller's view of customers, invoices and payments, on one connection. What cannot be is refused in words."""

    def __init__(
        self, dsn: str, connection: Any, invoicing: Invoicing, issuers: Issuers, currencies: Mapping[str, Currency]
    ) -> None:
        self.dsn = dsn
        self.connection = connection
        self.invoicing = invoicing
        self.issuers = issuers
        self.currencies = currencies

    async def customer(self, customer_id: str) -> Customer:
        found = await find_customer(self.connection, customer_id)
        if found is None:
            raise NotThereError(f"there is no customer {customer_id!r}: ocs customer list")
        return found

    async def account_faults(self, customer: Customer) -> list[str]:
        """What is wrong with the accounts that a customer is to have."""
        faults = []
        for account_id in customer.accounts:
            account = await self.invoicing.desk.account(account_id)
            if account is None:
                faults.append(f"accounts: there is no account {account_id!r}")
            elif account.currency != customer.currency:
                faults.append(
                    f"accounts: {account_id} is kept in {account.currency}, the customer in {customer.currency}"
                )
        return faults

    async def add_customer(self, customer: Customer) -> None:
        """Write a customer. Raises InvoiceRefusedError with all that is wrong with it, a line each."""
        faults = faults_of(customer, self.issuers, self.currencies) or [
            *await self.account_faults(customer),
            *await payer_faults(self.connection, customer),
        ]
        if faults:
            raise InvoiceRefusedError("\n".join(faults))
        refused = await add_customer(self.connection, customer)
        if refused is not None:
            raise InvoiceRefusedError(f"{customer.customer_id}: {refused.value}")

    def agreed(
        self,
        customer: Customer,
        charge_id: str,
        amount: str,
        text: str,
        first: date,
        months: int,
        tax: str,
        currency: str = "",
    ) -> Agreed:
        """A charge as it was typed; in the customer's currency, if none is named."""
        currency = "" if currency == customer.currency else currency
        if currency and (currency, customer.currency) not in self.issuers.exchange:
            raise InvoiceRefusedError(f"exchange.csv has no rate from {currency} to {customer.currency}")
        try:
            exact = parse_amount(amount, self.currencies[currency or customer.currency].scale)
        except AmountError as error:
            raise InvoiceRefusedError(f"{error} ({customer.currency})") from error
        code = tax or self.issuers.entities[customer.legal_entity].usage_tax
        if code not in self.issuers.taxes:
            cure = did_you_mean(code, self.issuers.taxes)
            raise InvoiceRefusedError(f"billing.toml has no tax {code!r} ({cure})")
        kind = ChargeKind.DISCOUNT if exact < 0 else ChargeKind.RECURRING if months else ChargeKind.ONE_TIME
        return Agreed(
            charge_id=charge_id, customer_id=customer.customer_id, kind=kind, text=text, amount=exact, tax_code=code,
            first=first, months=months, currency=currency,
        )  # fmt: skip

    async def invoice(self, name: str) -> Invoice:
        found = await book.find_invoice(self.connection, name)
        if found is None:
            raise NotThereError(f"there is no invoice {name!r}: ocs bill list")
        return found

    async def drafts(self, names: Sequence[str]) -> list[Invoice]:
        """Those that are named, or all drafts."""
        if names:
            return [await self.invoice(name) for name in names]
        return await book.list_invoices(self.connection, state=InvoiceState.DRAFT.value, limit=10**9)

    async def preview(self, customer_id: str, until: date | None) -> Draft:
        """The next invoice, of its whole period or as if it ended on ``until``."""
        customer = await self.customer(customer_id)
        if customer.paid_by:
            raise InvoiceRefusedError(f"{customer_id} is a site of {customer.paid_by}: its invoice bears what it uses")
        (due,) = await next_dues(self.connection, [customer])
        if until is not None:
            if until <= due.period.first:
                raise InvoiceRefusedError(f"{customer_id} is billed until {due.period.first} already")
            due = Due(customer, Period(due.period.first, until))
        drafts, failed = await drafts_of(self.connection, [due], self.issuers, self.currencies)
        if failed:
            raise InvoiceRefusedError(f"{customer_id}: {failed[customer_id]}")
        return drafts[customer_id][0]

    async def run(
        self, until: date, progress: bill_run.Progress, today: date, *, is_issuing: bool, run_id: int = 0
    ) -> RunReport:
        """Draft all invoices that are due, issue them if that is wanted, and note how it gets on. ``run_id`` 0: a new one."""
        run_id = run_id or await begin_run(self.connection, until, is_issuing=is_issuing)
        state, report = "failed", RunReport()
        try:
            report = await bill_run.run(self.dsn, until, self.issuers, self.currencies, progress, run_id)
            if is_issuing:
                await self._issue_due(report, until, today, progress, run_id)
            state = "done"
        finally:
            with contextlib.suppress(*FAILURES):
                await end_run(self.connection, run_id, state, report.cut, report.failed)
        return report

    async def void(self, invoice: Invoice, reason: str, today: date) -> list[Invoice]:
        """Take a whole invoice back: a draft goes, an issued one becomes void by credit notes; these."""
        if invoice.state is InvoiceState.DRAFT:
            await book.discard(self.connection, invoice.invoice_id)
            return []
        return await self.invoicing.void(invoice, reason, today)

    async def _issue_due(
        self, report: RunReport, until: date, today: date, progress: bill_run.Progress, run_id: int
    ) -> None:
        """Issue what is due, also what an earlier run has drafted and was interrupted before it could issue it."""
        await self.invoicing.settle(today)
        due = await book.unissued_until(self.connection, until)
        async for issued in self.invoicing.issue_all(due, today):
            report.issued += len(issued.invoices)
            report.kept += issued.kept.values()
            report.failed |= {
                each.customer_id: why for each in issued.invoices if (why := issued.refused.get(each.invoice_id))
            }
            await note_progress(self.connection, run_id, report)
            progress("invoices issued", report.issued, len(due))

    async def pay(
        self,
        customer_id: str,
        amount: str,
        received_on: date,
        today: date,
        method: str,
        reference: str,
        chosen: tuple[int, ...],
    ) -> tuple[Payment, bool]:
        customer = await self.customer(customer_id)
        minor = self.minor(amount, customer.currency)
        if minor <= 0:
            raise InvoiceRefusedError(f"{amount} is no payment: an amount above zero")
        return await self.invoicing.pay(
            customer, minor, received_on, today=today, method=method, reference=reference, chosen=chosen
        )

    async def ubl(self, invoice: Invoice) -> bytes:
        """An issued invoice or credit note as UBL 2.1."""
        corrected = await book.find_invoice(self.connection, str(invoice.corrects)) if invoice.corrects else None
        lines = await book.lines_of(self.connection, invoice.invoice_id)
        return ubl_of(invoice, lines, self.currencies[invoice.currency], corrected)

    async def to_be_sent(self, names: Sequence[str]) -> list[Invoice]:
        """Those that are named, or all that are issued and were never sent."""
        if names:
            return [await self.invoice(name) for name in names]
        return await book.unsent_invoices(self.connection)

    async def send(
        self, invoice: Invoice, today: date, *, has_annex: bool, has_ubl: bool = False, again: bool = False
    ) -> str:
        """Post an invoice to its customer by mail, with its files; "" or why not. It is sent once, unless ``again``."""
        if invoice.parties is None:
            return "it is a draft: issue it first"
        if MAIL not in self.invoicing.ways:
            return "delivery.toml has no mail server"
        if not invoice.parties.customer.email:
            return "the customer has no email"
        _, paper = await self.paper(str(invoice.invoice_id), has_annex=has_annex)
        octets = await self.set_in_type(invoice, paper)
        files = [Attachment(f"{invoice.number}.pdf", "application/pdf", octets)]
        if has_ubl:
            files.append(Attachment(f"{invoice.number}.xml", "application/xml", await self.ubl(invoice)))
        letter = invoice_letter(invoice, invoice.parties, self.currencies[invoice.currency], tuple(files))
        async with self.connection.transaction():
            if not await queue.post(self.connection, letter, now_ms(), again=again):
                return "it was sent before: --again sends it once more"
            await book.set_sent(self.connection, invoice.invoice_id, today)
        return ""

    def entries(self, first: date, after: date) -> AsyncGenerator[Entry, None]:
        """The double entries of these days."""
        return entries(self.connection, first, after, self.issuers.bookkeeping, self._exchange_difference)

    def bookkeeping(self, first: date, after: date, form: Form) -> AsyncGenerator[str, None]:
        """The same as text, piece by piece."""
        return written(self.entries(first, after), self.currencies, form)

    def _exchange_difference(
        self, entity: str, amount: Amount, currency: str, issued_on: date, paid_on: date
    ) -> tuple[int, str] | None:
        """What an amount is worth more on the day it was paid, in cents of the issuer's books; None where it is theirs."""
        home = self.issuers.entities[entity].currency
        if home in ("", currency):
            return None
        then, now = (self.issuers.exchanged(amount, currency, home, day)[0] for day in (issued_on, paid_on))
        return quotient(now - then, minor_unit(self.currencies[home])), home

    def minor(self, text: str, currency: str) -> int:
        """An amount as it is paid: in cents."""
        try:
            return parse_amount(text, self.currencies[currency].digits)
        except AmountError as error:
            raise InvoiceRefusedError(f"{error} ({currency})") from error

    async def set_in_type(self, invoice: Invoice, paper: dict[str, Any]) -> bytes:
        """The paper as PDF, by the template of who issues it. Raises InvoiceRefusedError for one that cannot be set."""
        template = self.issuers.template_of(invoice.legal_entity)
        try:
            return await asyncio.to_thread(pdf_of, paper, template)
        except TemplateError as error:
            raise InvoiceRefusedError(f"the template {template} cannot be set: {error}") from error

    async def annex(self, invoice: Invoice, *, in_words: bool) -> AsyncGenerator[str, None]:
        """An invoice's records as CSV, piece by piece."""
        customer = invoice.parties.customer if invoice.parties else await self.customer(invoice.customer_id)
        currency = self.currencies[invoice.currency]
        async with contextlib.aclosing(
            annex_csv(self.connection, invoice, customer, currency, in_words=in_words)
        ) as pieces:
            async for piece in pieces:
                yield piece

    async def paper(self, name: str, *, has_annex: bool) -> tuple[Invoice, dict[str, Any]]:
        """An invoice and all that is printed of it."""
        from ocs.billing.invoices.printing.paper import paper_of

        found = await self.invoice(name)
        customer = await self.customer(found.customer_id)
        parties = found.parties or Parties(self.issuers.entities[found.legal_entity], customer)
        details = []
        if has_annex:
            details = [each async for each in records_of(self.connection, found, customer.time_zone)]
        corrected = await book.find_invoice(self.connection, str(found.corrects)) if found.corrects else None
        number = (corrected.number or "") if corrected is not None else ""
        lines = await book.lines_of(self.connection, found.invoice_id)
        return found, paper_of(found, parties, lines, self.currencies[found.currency], number, details)
