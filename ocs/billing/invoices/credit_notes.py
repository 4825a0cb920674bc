"""Credit notes: an issued invoice is never changed, it is taken back, in part or whole, by a document of its own.

Tax comes back by the codes and rates it was charged at. Rounded parts of a tax do not add up to it by themselves, so
what credits the rest of a rate's base credits the rest of its tax: an invoice that was credited in parts is credited to
the last cent, and to no more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from balance.money import Amount
from ocs.billing.invoices.book import (
    INSERT,
    INSERT_LINE,
    Invoice,
    InvoiceKind,
    InvoiceLine,
    InvoiceRefusedError,
    InvoiceState,
    as_json,
    lines_of,
    locked,
)
from ocs.billing.invoices.calculation import TaxLine
from ocs.billing.invoices.rounding import quotient


async def draft_credit_note(
    connection: Any, invoice_id: int, reason: str, lines: Mapping[int, int] | None = None, key: str | None = None
) -> int:
    """Draft a credit note over lines of an issued invoice: line number -> net, minor; None: all that is left of it.

    ``key`` names the wish: the same again is the note that was made then. Raises InvoiceRefusedError.
    """
    async with connection.transaction():
        found = await locked(connection, invoice_id)
        if key is not None:
            known = await connection.fetchrow("SELECT invoice_id, corrects FROM invoice WHERE request_key = $1", key)
            if known is not None and known["corrects"] != invoice_id:
                raise InvoiceRefusedError(f"the key {key} was used for another invoice: a new wish needs a new key")
            if known is not None:
                return int(known["invoice_id"])
        if found.state is InvoiceState.VOID:
            raise InvoiceRefusedError(f"invoice {found.number} is void: nothing is left of it")
        if found.state is InvoiceState.DRAFT or found.kind is not InvoiceKind.INVOICE:
            raise InvoiceRefusedError("a credit note corrects an issued invoice; a draft is discarded instead")
        there = await lines_of(connection, invoice_id)
        wanted = _wanted(found, there, await _credited_lines(connection, invoice_id), lines)
        kept = [line for line in there if line.line_number in wanted]
        taxes = await _credited_taxes(connection, found, kept, wanted)
        rows = [
            msgspec.structs.replace(
                line, net_minor=-wanted[line.line_number], amount=0, is_debited=False, records=0, used=0, charge_id=""
            )
            for line in kept
        ]
        credit_id = await write_note(connection, found, reason, rows, taxes)
        await connection.execute("UPDATE invoice SET request_key = $2 WHERE invoice_id = $1", credit_id, key)
        return credit_id


async def write_note(
    connection: Any,
    found: Invoice,
    reason: str,
    lines: Sequence[InvoiceLine],
    taxes: Sequence[TaxLine],
    residue: Amount = 0,
    debited: Amount = 0,
) -> int:
    """The draft of a credit note with these lines and taxes, whose signs are turned already."""
    net_minor, tax_minor = sum(line.net_minor for line in lines), sum(each.tax_minor for each in taxes)
    note_id: int = await connection.fetchval(
        INSERT,
        found.customer_id, found.legal_entity, InvoiceKind.CREDIT_NOTE.value, found.currency, found.minor_unit,
        found.first, found.after, net_minor, tax_minor, net_minor + tax_minor, residue, debited, found.invoice_id, reason,
        as_json(taxes), None,
    )  # fmt: skip
    await connection.executemany(INSERT_LINE, [(note_id, *msgspec.structs.astuple(line)) for line in lines])
    return note_id


def _wanted(
    found: Invoice, there: Sequence[InvoiceLine], credited: Mapping[int, int], lines: Mapping[int, int] | None
) -> dict[int, int]:
    """The net to be credited of each line, checked against what is left of it."""
    left = {line.line_number: line.net_minor + credited.get(line.line_number, 0) for line in there}
    wanted = dict(lines) if lines is not None else {number: net for number, net in left.items() if net}
    for number, net in wanted.items():
        if number not in left:
            raise InvoiceRefusedError(f"invoice {found.number} has no line {number}")
        if not net or abs(net) > abs(left[number]) or (net < 0) != (left[number] < 0):
            raise InvoiceRefusedError(f"line {number} of {found.number} has {left[number]} left to be credited")
    if not wanted:
        raise InvoiceRefusedError(f"invoice {found.number} is credited in full already")
    return wanted


async def _credited_lines(connection: Any, invoice_id: int) -> dict[int, int]:
    rows = await connection.fetch(
        "SELECT line_number, sum(l.net_minor)::bigint AS net FROM invoice_line l JOIN invoice i USING (invoice_id) "
        "WHERE i.corrects = $1 GROUP BY line_number",
        invoice_id,
    )
    return {row["line_number"]: row["net"] for row in rows}


async def _credited_taxes(
    connection: Any, found: Invoice, kept: Sequence[InvoiceLine], wanted: Mapping[int, int]
) -> list[TaxLine]:
    """The tax that comes back, per code and rate."""
    base_left = {(tax.code, tax.rate): tax.base_minor for tax in found.taxes}
    tax_left = {(tax.code, tax.rate): tax.tax_minor for tax in found.taxes}
    for row in await connection.fetch("SELECT taxes FROM invoice WHERE corrects = $1", found.invoice_id):
        for each in msgspec.json.decode(row["taxes"], type=tuple[TaxLine, ...]):
            base_left[each.code, each.rate] += each.base_minor
            tax_left[each.code, each.rate] += each.tax_minor
    taxes = []
    for tax in found.taxes:
        key = tax.code, tax.rate
        nets = [wanted[line.line_number] for line in kept if (line.tax_code, line.rate) == key]
        if not nets:
            continue
        base = sum(nets)
        if base == base_left[key]:
            back = tax_left[key]
        else:
            back = quotient(tax.tax_minor * base, tax.base_minor) if tax.base_minor > 0 else 0
        taxes.append(msgspec.structs.replace(tax, base_minor=-base, tax_minor=-back))
    return taxes
