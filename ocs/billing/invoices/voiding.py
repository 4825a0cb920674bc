"""Voiding: an issued invoice that was wrong as a whole is taken back by a credit note, and its records are free again.

The invoice and its number stay, the note has a number of its own series: nothing is missing in either. The note's lines are
the invoice's with the signs turned, what the accounts were debited among them, so that booking it books back all that
the invoice booked. What had been paid is the customer's credit. The next bill run bills the period anew.
"""

from __future__ import annotations

from datetime import date
from typing import Any, Final

import msgspec

from ocs.billing.invoices.book import (
    Invoice,
    InvoiceKind,
    InvoiceRefusedError,
    InvoiceState,
    find_invoices,
    issue,
    later_invoice,
    lines_of,
    locked,
)
from ocs.billing.invoices.credit_notes import write_note
from ocs.billing.invoices.customers import Customer
from ocs.billing.invoices.issuers import Issuers
from ocs.billing.invoices.locks import lock_customers

_FREE_SPANS: Final = """
    WITH freed AS (DELETE FROM invoice_span WHERE invoice_id = $1 RETURNING invoice_id, account_id, after_entry, last_entry)
    INSERT INTO void_span (invoice_id, account_id, after_entry, last_entry) SELECT * FROM freed
"""


async def void(
    connection: Any, invoice_id: int, reason: str, customer: Customer, issuers: Issuers, today: date
) -> list[int]:
    """Void an issued invoice with its supplementary one, in one transaction; the ids of the notes, which are issued.

    Again: the notes that there are. Raises InvoiceRefusedError.
    """
    async with connection.transaction():
        await lock_customers(connection, [customer.customer_id])
        found = await locked(connection, invoice_id)
        if found.state is InvoiceState.VOID:
            return await _notes_of(connection, [invoice_id, *await _supplements(connection, invoice_id)])
        supplements = await find_invoices(connection, await _supplements(connection, invoice_id))
        await _check(connection, found, supplements)
        notes = []
        for each in (found, *supplements):
            if each.state is InvoiceState.DRAFT:
                await connection.execute("DELETE FROM invoice WHERE invoice_id = $1", each.invoice_id)
            else:
                notes.append(await _void(connection, each, reason))
        await connection.execute(_FREE_SPANS, invoice_id)
        await issue(connection, notes, {customer.customer_id: customer}, issuers, today)
        return notes


async def _check(connection: Any, found: Invoice, supplements: list[Invoice]) -> None:
    if found.kind is not InvoiceKind.INVOICE or found.state is InvoiceState.DRAFT:
        raise InvoiceRefusedError("what is voided is an issued invoice; a draft is discarded instead")
    if found.supplements is not None:
        raise InvoiceRefusedError(f"its records are those of invoice {found.supplements}: void that one")
    later = await later_invoice(connection, found)
    if later is not None:
        raise InvoiceRefusedError(f"invoice {later} follows it, with the records after its own: void that one first")
    if await _notes_of(connection, [each.invoice_id for each in (found, *supplements)]):
        raise InvoiceRefusedError(
            f"invoice {found.number} is credited in part already: credit the rest of it, its records stay billed"
        )


async def _void(connection: Any, found: Invoice, reason: str) -> int:
    """Turn an invoice around by a note, give free what was paid on it, and set its state."""
    lines = [
        msgspec.structs.replace(line, net_minor=-line.net_minor, amount=-line.amount, records=0, used=0, charge_id="")
        for line in await lines_of(connection, found.invoice_id)
    ]
    taxes = [msgspec.structs.replace(tax, base_minor=-tax.base_minor, tax_minor=-tax.tax_minor) for tax in found.taxes]
    note = await write_note(connection, found, reason, lines, taxes, residue=-found.residue, debited=-found.debited)
    await connection.execute("DELETE FROM allocation WHERE invoice_id = $1", found.invoice_id)
    await connection.execute(
        "UPDATE invoice SET state = 'void', paid_minor = 0 WHERE invoice_id = $1", found.invoice_id
    )
    return note


async def _supplements(connection: Any, invoice_id: int) -> list[int]:
    rows = await connection.fetch("SELECT invoice_id FROM invoice WHERE supplements = $1", invoice_id)
    return [row["invoice_id"] for row in rows]


async def _notes_of(connection: Any, invoice_ids: list[int]) -> list[int]:
    rows = await connection.fetch(
        "SELECT invoice_id FROM invoice WHERE corrects = ANY($1::bigint[]) ORDER BY invoice_id", invoice_ids
    )
    return [row["invoice_id"] for row in rows]
