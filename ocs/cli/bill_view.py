"""Invoices, payments and customers on a terminal and for programs: the same fields, amounts as decimal strings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from balance.money import format_amount
from ocs.billing.invoices.bill_runs import BillRun
from ocs.billing.invoices.book import Invoice, InvoiceLine
from ocs.billing.invoices.calculation import RATE_UNIT
from ocs.billing.invoices.customers import Agreed, Customer
from ocs.billing.invoices.drafting import Draft
from ocs.billing.invoices.payments import Payment
from ocs.billing.invoices.run import RunReport
from ocs.cli.bill_world import BillWorld
from ocs.cli.rates_view import console, print_json
from ocs.dunning import Finding

Row = dict[str, Any]


def print_draft(draft: Draft, world: BillWorld, *, as_json: bool) -> None:
    """A preview: the lines, the tax, the total."""
    calculation, currency = draft.calculation, draft.customer.currency
    lines = [
        _line_row(number, line.charge, line.net_minor, line.rate, currency, world)
        for number, line in enumerate(calculation.lines, start=1)
    ]
    head = {
        "customer": draft.customer.customer_id,
        "first": draft.period.first.isoformat(),
        "after": draft.period.after.isoformat(),
        **_sums(calculation, currency, world),
        "waiting_accounts": [span.account_id for span in draft.spans if span.is_cut],
    }
    _print_document(head, lines, as_json=as_json)


def print_invoice(invoice: Invoice, lines: Sequence[InvoiceLine], world: BillWorld, *, as_json: bool) -> None:
    """An invoice with its lines."""
    rows = [_line_row(line.line_number, line, line.net_minor, line.rate, invoice.currency, world) for line in lines]
    _print_document(invoice_row(invoice, world), rows, as_json=as_json)


def print_invoices(invoices: Sequence[Invoice], world: BillWorld, *, as_json: bool) -> None:
    """A list of invoices and credit notes."""
    print_rows("invoices", [invoice_row(each, world) for each in invoices], as_json=as_json)


def print_payments(payments: Sequence[Payment], world: BillWorld, *, as_json: bool, note: str = "") -> None:
    """A list of payments."""
    print_rows("payments", [_payment_row(each, world) for each in payments], as_json=as_json)
    if note and not as_json:
        console().print(Text(note))


def print_report(report: RunReport, *, is_issued: bool, as_json: bool) -> None:
    """What a bill run did, and what had to wait."""
    if as_json:
        print_json(
            {
                "customers": report.customers,
                "drafts": report.drafts,
                "issued": report.issued,
                "cut": report.cut,
                "kept": report.kept,
                "failed": report.failed,
            }
        )
        return
    out = console()
    issued = f", {report.issued:,} invoices issued" if is_issued else ""
    out.print(Text(f"{report.customers:,} customers, {len(report.drafts):,} drafts{issued}"))
    for account_id in report.cut:
        out.print(
            Text(f"{account_id}: a record is missing in the books; what comes after it waits (is `ocs flush` up?)")
        )
    for why in report.kept:
        out.print(Text(why))
    for customer_id, why in report.failed.items():
        out.print(Text(f"{customer_id}: {why}"))
    if report.drafts and not is_issued:
        out.print(Text("Look at them with `ocs bill list --state draft`, then `ocs bill issue`."))


def invoice_row(invoice: Invoice, world: BillWorld) -> Row:
    return {
        "id": invoice.invoice_id,
        "number": invoice.number or "",
        "kind": invoice.kind.value,
        "state": invoice.state.value,
        "customer": invoice.customer_id,
        "first": invoice.first.isoformat(),
        "after": invoice.after.isoformat(),
        "due": invoice.due_on.isoformat() if invoice.due_on else "",
        "review": f"held: {invoice.held_reason}" if invoice.held_reason else invoice.reviewed_by,
        **_sums(invoice, invoice.currency, world),
        "open": _minor(invoice.open_minor, invoice.currency, world) if invoice.number else "",
    }


def customer_row(customer: Customer) -> Row:
    return {
        "customer": customer.customer_id,
        "name": customer.name,
        "issuer": customer.legal_entity,
        "currency": customer.currency,
        "tax": customer.tax_status,
        "zone": customer.time_zone,
        "cycle_day": customer.cycle_day,
        "since": customer.since.isoformat(),
        "accounts": " ".join(customer.accounts),
    }


def run_row(run: BillRun) -> Row:
    return {
        "run": run.run_id,
        "until": run.until.isoformat(),
        "issues": "yes" if run.is_issuing else "",
        "state": run.state,
        "customers": run.customers,
        "of": run.payers,
        "drafts": run.drafts,
        "issued": run.issued,
        "waiting": len(run.waiting),
        "failed": len(run.failed),
        "began": f"{run.began_at:%Y-%m-%d %H:%M:%S}",
        "ended": f"{run.ended_at:%Y-%m-%d %H:%M:%S}" if run.ended_at else "",
    }


def agreed_row(agreed: Agreed, currency: str, world: BillWorld) -> Row:
    kept = world.currencies[currency]
    return {
        "charge": agreed.charge_id,
        "text": agreed.text,
        "amount": format_amount(agreed.amount, kept.scale, kept.digits),
        "currency": currency,
        "tax": agreed.tax_code,
        "every": f"{agreed.months} months" if agreed.months else "once",
        "first": agreed.first.isoformat(),
        "after": agreed.after.isoformat() if agreed.after else "",
    }


def dunning_row(finding: Finding, world: BillWorld) -> Row:
    """Where a customer stands, what is due for which invoice, and what changes for the accounts."""
    verdict, currency = finding.verdict, finding.customer.currency
    change = ""
    if verdict.block != finding.was:
        change = f"{finding.was or 'open'} -> {verdict.block or 'open'}"
    return {
        "customer": finding.customer.customer_id,
        "state": verdict.state,
        "owed": _minor(verdict.owed_minor, currency, world),
        "currency": currency,
        "oldest_due": verdict.oldest_due_on.isoformat() if verdict.oldest_due_on else "",
        "actions": ", ".join(f"{task.step.name} {task.debt.number}" for task in verdict.tasks),
        "accounts": change,
    }


def print_rows(name: str, rows: Sequence[Row], *, as_json: bool) -> None:
    """Rows with the same fields, as a table."""
    if as_json:
        print_json({name: list(rows)})
        return
    if not rows:
        console().print(Text(f"no {name}"))
        return
    table = Table(box=None, pad_edge=False)
    for field in rows[0]:
        table.add_column(field, justify="right" if field in _AMOUNTS else "left", overflow="fold")
    for row in rows:
        table.add_row(*[Text(str(value)) for value in row.values()])
    console().print(table)


# --- inside -----------------------------------------------------------------------------------------------------

_AMOUNTS = frozenset({"net", "tax_amount", "total", "open", "owed", "amount", "records", "used", "credit"})


def _minor(amount: int, currency: str, world: BillWorld) -> str:
    digits = world.currencies[currency].digits
    return format_amount(amount, digits, digits)


def _sums(amounts: Any, currency: str, world: BillWorld) -> Row:
    return {
        "net": _minor(amounts.net_minor, currency, world),
        "tax_amount": _minor(amounts.tax_minor, currency, world),
        "total": _minor(amounts.total_minor, currency, world),
        "currency": currency,
    }


def _line_row(number: int, line: Any, net_minor: int, rate: int, currency: str, world: BillWorld) -> Row:
    return {
        "line": number,
        "kind": str(line.kind),
        "text": line.text,
        "account": line.account_id,
        "first": line.first.isoformat(),
        "after": line.after.isoformat(),
        "records": line.records,
        "used": line.used,
        "unit": line.unit,
        "net": _minor(net_minor, currency, world),
        "tax": f"{line.tax_code} {format_amount(rate * 100, len(str(RATE_UNIT)) - 1, 0)} %",
    }


def _payment_row(payment: Payment, world: BillWorld) -> Row:
    return {
        "id": payment.payment_id,
        "customer": payment.customer_id,
        "method": payment.method,
        "reference": payment.reference,
        "received": payment.received_on.isoformat(),
        "reversed": payment.reversed_on.isoformat() if payment.reversed_on else "",
        "amount": _minor(payment.amount_minor, payment.currency, world),
        "credit": _minor(payment.credit_minor, payment.currency, world),
        "currency": payment.currency,
    }


def _print_document(head: Row, lines: list[Row], *, as_json: bool) -> None:
    if as_json:
        print_json({**head, "lines": lines})
        return
    out = console()
    for field, value in head.items():
        if value not in ("", []):
            out.print(Text(f"{field:17}{value}"))
    out.print()
    print_rows("lines", lines, as_json=False)
