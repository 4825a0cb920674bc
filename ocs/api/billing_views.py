"""Customers, invoices, payments and dunning as the API shows them: amounts as decimal strings, days as ISO 8601."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from balance.money import Currency, format_amount
from ocs.api.schemas import DecimalString
from ocs.billing.invoices.bill_runs import BillRun
from ocs.billing.invoices.book import Invoice, InvoiceLine
from ocs.billing.invoices.customers import Agreed, Customer
from ocs.billing.invoices.drafting import Draft
from ocs.billing.invoices.payments import Payment
from ocs.dunning import Finding

CustomerId = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:@+-]{0,63}$", examples=["bakery"])]
Name = Annotated[str, Meta(min_length=1, max_length=200)]


class _Body(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a client sends: a misspelt field is a fault, not a default."""


class NewCharge(_Body, frozen=True):
    """``amount`` is net, a discount negative; ``months`` 0: once, else in advance for each period of so many months."""

    charge_id: CustomerId
    text: Name
    amount: DecimalString
    first: date
    months: Annotated[int, Meta(ge=0, le=120)] = 0
    tax_code: str = ""
    currency: str = ""  # of the amount, if it is not the customer's


class NewNote(_Body, frozen=True):
    text: Annotated[str, Meta(min_length=1, max_length=10_000)]


class NoteView(msgspec.Struct, frozen=True, kw_only=True):
    note_id: int


class ChargeEnd(_Body, frozen=True):
    """``after`` is the first day that it is no longer for."""

    after: date


class CreditLine(_Body, frozen=True):
    line: Annotated[int, Meta(ge=1)]
    net: DecimalString


class NewCreditNote(_Body, frozen=True):
    """Without ``lines``: all that is left of the invoice."""

    reason: Name
    lines: tuple[CreditLine, ...] = ()


class Voiding(_Body, frozen=True):
    """Why; it is printed on the credit note."""

    reason: Name


class VoidView(msgspec.Struct, frozen=True, kw_only=True):
    """``credit_notes`` are the numbers of what took it back; none for a draft, which is gone."""

    invoice_id: int
    number: str
    credit_notes: tuple[str, ...]


class Hold(_Body, frozen=True):
    """Why the draft is not to be issued; empty: it may be."""

    reason: Annotated[str, Meta(max_length=200)]


class Sending(_Body, frozen=True):
    """``annex``: with the list of all records; ``ubl``: with the machine-readable form."""

    annex: bool = False
    ubl: bool = False
    again: bool = False


class NewPayment(_Body, frozen=True):
    """``reference`` is the bank's or the gateway's, one for each payment; ``invoices`` are paid first, then the oldest."""

    amount: DecimalString
    reference: Name
    method: Annotated[str, Meta(min_length=1, max_length=40)] = "bank"
    received_on: date | None = None
    invoices: tuple[str, ...] = ()


class NewRefund(_Body, frozen=True):
    """``reference`` is the bank's, or one of your own, one for each refund. ``payment``: give this one back by the way it came,
    through the gateway, today; without it money is booked that you have given back by ``method``.
    """

    amount: DecimalString
    reference: Name
    method: Annotated[str, Meta(min_length=1, max_length=40)] = "bank"
    paid_on: date | None = None
    payment: int | None = None


class NewRun(_Body, frozen=True):
    """Periods that are over on ``until``; ``is_issuing``: numbers and books at once."""

    until: date
    is_issuing: bool = False


class Leniency(_Body, frozen=True):
    """No dunning until a day, or none at all; both empty: as usual."""

    promised_until: date | None = None
    is_exempt: bool = False


class Dispute(_Body, frozen=True):
    """A disputed invoice does not count for dunning until that is settled."""

    is_disputed: bool


class LineView(msgspec.Struct, frozen=True, kw_only=True):
    line: int
    kind: str
    text: str
    account_id: str
    service: str
    destination: str
    first: date
    after: date
    records: int
    used: int
    unit: str
    net: DecimalString
    tax_code: str
    tax_percent: DecimalString
    exchange: str


class TaxView(msgspec.Struct, frozen=True, kw_only=True):
    code: str
    name: str
    percent: DecimalString
    base: DecimalString
    tax: DecimalString
    note: str


class InvoiceView(msgspec.Struct, frozen=True, kw_only=True):
    """``number`` is empty for a draft. A credit note's amounts are negative, and ``corrects`` is its invoice's id.

    A draft with a ``held_reason`` is not issued, nor one without a review where its issuer demands one.
    """

    invoice_id: int
    number: str
    kind: str
    state: str
    customer_id: str
    legal_entity: str
    currency: str
    first: date
    after: date
    issued_on: date | None
    due_on: date | None
    net: DecimalString
    tax: DecimalString
    total: DecimalString
    paid: DecimalString
    open: DecimalString
    corrects: int | None
    reason: str
    taxes: tuple[TaxView, ...]
    reviewed_by: str
    reviewed_at: datetime | None
    held_by: str
    held_reason: str
    lines: tuple[LineView, ...] = ()


class InvoiceList(msgspec.Struct, frozen=True, kw_only=True):
    """In the order in which they were drafted. ``next_cursor`` empty: this was the last page."""

    invoices: tuple[InvoiceView, ...]
    next_cursor: str


class PreviewView(msgspec.Struct, frozen=True, kw_only=True):
    """The next invoice as it would be. ``waiting`` names accounts of which a record is missing in the books."""

    customer_id: str
    currency: str
    first: date
    after: date
    net: DecimalString
    tax: DecimalString
    total: DecimalString
    lines: tuple[LineView, ...]
    waiting: tuple[str, ...]


class CustomerList(msgspec.Struct, frozen=True, kw_only=True):
    customers: tuple[Customer, ...]
    next_cursor: str


class ChargeView(msgspec.Struct, frozen=True, kw_only=True):
    charge_id: str
    kind: str
    text: str
    amount: DecimalString
    currency: str
    tax_code: str
    months: int
    first: date
    after: date | None


class PaymentView(msgspec.Struct, frozen=True, kw_only=True):
    """``credit`` is what pays no invoice yet. ``is_new`` false: the reference was known, and nothing was changed."""

    payment_id: int
    customer_id: str
    method: str
    reference: str
    amount: DecimalString
    credit: DecimalString
    currency: str
    received_on: date
    reversed_on: date | None
    is_new: bool = True


class RefundView(msgspec.Struct, frozen=True, kw_only=True):
    """``gateway_reference`` is the gateway's name of it; empty: it was booked only."""

    refund_id: int
    customer_id: str
    amount: DecimalString
    currency: str
    gateway_reference: str = ""


class ActionView(msgspec.Struct, frozen=True, kw_only=True):
    step: str
    invoice: str


class StandingView(msgspec.Struct, frozen=True, kw_only=True):
    """Where a customer stands in dunning: ``actions`` are due and not done, ``block`` is what his accounts are to be in."""

    customer_id: str
    state: str
    owed: DecimalString
    currency: str
    oldest_due_on: date | None
    actions: tuple[ActionView, ...]
    block: str
    block_now: str


class StandingList(msgspec.Struct, frozen=True, kw_only=True):
    """Those of whom there is something to say. ``next_cursor`` empty: this was the last page."""

    standings: tuple[StandingView, ...]
    next_cursor: str


class RunList(msgspec.Struct, frozen=True, kw_only=True):
    runs: tuple[BillRun, ...]


def invoice_view(invoice: Invoice, currency: Currency, lines: tuple[InvoiceLine, ...] = ()) -> InvoiceView:
    return InvoiceView(
        invoice_id=invoice.invoice_id,
        number=invoice.number or "",
        kind=invoice.kind.value,
        state=invoice.state.value,
        customer_id=invoice.customer_id,
        legal_entity=invoice.legal_entity,
        currency=invoice.currency,
        first=invoice.first,
        after=invoice.after,
        issued_on=invoice.issued_on,
        due_on=invoice.due_on,
        net=_minor(invoice.net_minor, currency),
        tax=_minor(invoice.tax_minor, currency),
        total=_minor(invoice.total_minor, currency),
        paid=_minor(invoice.paid_minor, currency),
        open=_minor(invoice.open_minor, currency),
        corrects=invoice.corrects,
        reason=invoice.reason,
        reviewed_by=invoice.reviewed_by,
        reviewed_at=invoice.reviewed_at,
        held_by=invoice.held_by,
        held_reason=invoice.held_reason,
        taxes=tuple(
            TaxView(
                code=tax.code, name=tax.name, percent=_percent(tax.rate), base=_minor(tax.base_minor, currency),
                tax=_minor(tax.tax_minor, currency), note=tax.note,
            )
            for tax in invoice.taxes
        ),
        lines=tuple(_line(line.line_number, line, line.net_minor, line.rate, currency) for line in lines),
    )  # fmt: skip


def preview_view(draft: Draft, currency: Currency) -> PreviewView:
    calculation = draft.calculation
    return PreviewView(
        customer_id=draft.customer.customer_id,
        currency=draft.customer.currency,
        first=draft.period.first,
        after=draft.period.after,
        net=_minor(calculation.net_minor, currency),
        tax=_minor(calculation.tax_minor, currency),
        total=_minor(calculation.total_minor, currency),
        lines=tuple(
            _line(number, line.charge, line.net_minor, line.rate, currency)
            for number, line in enumerate(calculation.lines, start=1)
        ),
        waiting=tuple(span.account_id for span in draft.spans if span.is_cut),
    )


def charge_view(agreed: Agreed, currency: Currency) -> ChargeView:
    return ChargeView(
        charge_id=agreed.charge_id,
        kind=agreed.kind.value,
        text=agreed.text,
        amount=format_amount(agreed.amount, currency.scale, currency.digits),
        currency=agreed.currency or currency.code,
        tax_code=agreed.tax_code,
        months=agreed.months,
        first=agreed.first,
        after=agreed.after,
    )


def payment_view(payment: Payment, currency: Currency, *, is_new: bool = True) -> PaymentView:
    return PaymentView(
        payment_id=payment.payment_id,
        customer_id=payment.customer_id,
        method=payment.method,
        reference=payment.reference,
        amount=_minor(payment.amount_minor, currency),
        credit=_minor(payment.credit_minor, currency),
        currency=payment.currency,
        received_on=payment.received_on,
        reversed_on=payment.reversed_on,
        is_new=is_new,
    )


def standing_view(finding: Finding, currencies: Mapping[str, Currency]) -> StandingView:
    verdict, currency = finding.verdict, finding.customer.currency
    return StandingView(
        customer_id=finding.customer.customer_id,
        state=verdict.state,
        owed=_minor(verdict.owed_minor, currencies[currency]),
        currency=currency,
        oldest_due_on=verdict.oldest_due_on,
        actions=tuple(ActionView(step=task.step.name, invoice=task.debt.number) for task in verdict.tasks),
        block=verdict.block,
        block_now=finding.was,
    )


def _line(number: int, line: Any, net_minor: int, rate: int, currency: Currency) -> LineView:
    """``line`` is a charge, or a line as it stands in the book: both have these fields."""
    return LineView(
        line=number,
        kind=str(line.kind),
        text=line.text,
        account_id=line.account_id,
        service=line.service,
        destination=line.destination,
        first=line.first,
        after=line.after,
        records=line.records,
        used=line.used,
        unit=line.unit,
        net=_minor(net_minor, currency),
        tax_code=line.tax_code,
        tax_percent=_percent(rate),
        exchange=line.exchange,
    )


def _minor(amount: int, currency: Currency) -> str:
    return format_amount(amount, currency.digits, currency.digits)


def _percent(rate: int) -> str:
    return format_amount(rate, 4, 0)  # millionths of the base are ten-thousandths of a percent
