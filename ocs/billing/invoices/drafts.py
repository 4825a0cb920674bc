"""Drafts written, many at once: rows go over by COPY, under numbers that were fetched before."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from ocs.billing.invoices.book import LINE_FIELDS, InvoiceKind, InvoiceState, as_json
from ocs.billing.invoices.calculation import Line
from ocs.billing.invoices.drafting import Draft

IDS: Final = "SELECT nextval('invoice_invoice_id_seq') FROM generate_series(1, $1::int)"
INVOICE_COLUMNS: Final = (
    "invoice_id", "customer_id", "legal_entity", "kind", "state", "currency", "minor_unit", "first", "after",
    "net_minor", "tax_minor", "total_minor", "residue", "debited", "taxes", "supplements",
)  # fmt: skip
LINE_COLUMNS: Final = ("invoice_id", *LINE_FIELDS)
SPAN_COLUMNS: Final = ("account_id", "after_entry", "last_entry", "invoice_id")


async def write_drafts(connection: Any, drafts: Sequence[Sequence[Draft]]) -> list[tuple[int, Draft]]:
    """Keep drafts, and count their records as billed. The caller holds the customers' locks (``lock_customers``).

    Each customer's are together: those that come after the first one supplement it, and its spans are theirs.
    """
    ids = iter(await connection.fetch(IDS, sum(map(len, drafts))))
    written: list[tuple[int, Draft]] = []
    invoices: list[tuple[Any, ...]] = []
    for together in drafts:
        main_id = None
        for draft in together:
            invoice_id = next(ids)[0]
            invoices.append(_invoice_row(invoice_id, draft, main_id))
            written.append((invoice_id, draft))
            main_id = main_id or invoice_id
    lines = [row for invoice_id, draft in written for row in _line_rows(invoice_id, draft.calculation.lines)]
    spans = [
        (*span[:3], invoice_id)
        for invoice_id, draft in written
        for span in draft.spans
        if span.last_entry > span.after_entry
    ]
    for table, columns, rows in (
        ("invoice", INVOICE_COLUMNS, invoices),
        ("invoice_line", LINE_COLUMNS, lines),
        ("invoice_span", SPAN_COLUMNS, spans),
    ):
        await connection.copy_records_to_table(table, columns=columns, records=rows)
    return written


def _invoice_row(invoice_id: int, draft: Draft, supplements: int | None) -> tuple[Any, ...]:
    customer, made = draft.customer, draft.calculation
    return (
        invoice_id, customer.customer_id, customer.legal_entity, InvoiceKind.INVOICE.value, InvoiceState.DRAFT.value,
        customer.currency, draft.minor_unit, *draft.period, made.net_minor, made.tax_minor, made.total_minor, made.residue,
        draft.debited, as_json(made.taxes), supplements,
    )  # fmt: skip


def _line_rows(invoice_id: int, lines: Sequence[Line]) -> list[tuple[Any, ...]]:
    rows = []
    for number, line in enumerate(lines, start=1):
        values = msgspec.structs.asdict(line.charge)
        values |= {
            "invoice_id": invoice_id,
            "line_number": number,
            "rate": line.rate,
            "net_minor": line.net_minor,
            "kind": line.charge.kind.value,
        }
        rows.append(tuple(values[name] for name in LINE_COLUMNS))
    return rows
