"""The invoices themselves: drafts discarded, numbers given, states set. Each in one transaction.

    draft ──(review)──issue──► issued ──payments──► paid
      │                          └────────void───────┴──► void (a credit note takes it back, its records are free again)
      └──discard──► (gone, its records are free again)

An issued invoice never changes and never goes; what was wrong in it is corrected by a credit note of its own series.
Numbers come from a row that is locked until the state has changed with it: without gaps, whatever crashes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Any, Final, NamedTuple

import msgspec

from balance.money import Amount
from ocs.billing.invoices.calculation import TaxLine
from ocs.billing.invoices.customers import Customer
from ocs.billing.invoices.issuers import Issuers, LegalEntity
from ocs.billing.invoices.locks import lock_customers
from ocs.billing.invoices.usage import Span

NUMBER_DIGITS: Final = 6


class InvoiceKind(StrEnum):
    INVOICE = "invoice"
    CREDIT_NOTE = "credit_note"


class InvoiceState(StrEnum):
    DRAFT = "draft"
    ISSUED = "issued"
    PAID = "paid"
    VOID = "void"


class InvoiceRefusedError(Exception):
    """It cannot be done with this invoice; the text says why and what to do."""


class InvoiceLine(msgspec.Struct, frozen=True):
    """A line as it stands in the book; see ``calculation.Charge`` for the meaning of the fields."""

    line_number: int
    kind: str
    text: str
    account_id: str
    charge_id: str
    service: str
    destination: str
    records: int
    used: int
    unit: str
    amount: Amount
    included_rate: int
    is_debited: bool
    tax_code: str
    rate: int
    net_minor: int
    first: date
    after: date
    source_currency: str = ""
    source_amount: Amount = 0
    exchange: str = ""


class Parties(msgspec.Struct, frozen=True):
    """Who issued it to whom, as both were on that day."""

    issuer: LegalEntity
    customer: Customer


class Invoice(msgspec.Struct, frozen=True):
    """One invoice or credit note. Amounts are minor; ``residue`` and ``debited`` exact. A credit note's are negative."""

    invoice_id: int
    customer_id: str
    legal_entity: str
    kind: InvoiceKind
    state: InvoiceState
    number: str | None
    currency: str
    minor_unit: int
    first: date
    after: date
    issued_on: date | None
    due_on: date | None
    net_minor: int
    tax_minor: int
    total_minor: int
    paid_minor: int
    residue: Amount
    debited: Amount
    corrects: int | None
    reason: str
    taxes: tuple[TaxLine, ...]
    parties: Parties | None
    is_booked: bool
    supplements: int | None = None
    reviewed_by: str = ""
    reviewed_at: datetime | None = None
    held_by: str = ""
    held_reason: str = ""

    @property
    def name(self) -> str:
        """Of its files."""
        return self.number or f"draft-{self.invoice_id}"

    @property
    def open_minor(self) -> int:
        """What is to be paid, yet."""
        return 0 if self.state is InvoiceState.VOID else self.total_minor - self.paid_minor

    def why_kept(self, reviewing: Collection[str]) -> str:
        """Why a draft may not be issued; "" if it may. ``reviewing`` are the issuers who demand reviews of invoices."""
        if self.state is not InvoiceState.DRAFT or self.kind is not InvoiceKind.INVOICE:
            return ""
        if self.held_reason:
            return f"invoice {self.invoice_id} is held: {self.held_reason} (ocs bill release {self.invoice_id})"
        if self.reviewed_at is None and self.legal_entity in reviewing:
            return f"invoice {self.invoice_id} is not reviewed: ocs bill review {self.invoice_id}"
        return ""


_FIELDS: Final = ", ".join(Invoice.__struct_fields__)
LINE_FIELDS: Final = InvoiceLine.__struct_fields__
INSERT_LINE: Final = (
    f"INSERT INTO invoice_line (invoice_id, {', '.join(LINE_FIELDS)}) "  # noqa: S608 - names of our own
    f"VALUES ({', '.join(f'${number}' for number in range(1, len(LINE_FIELDS) + 2))})"
)
INSERT: Final = """
    INSERT INTO invoice (customer_id, legal_entity, kind, state, currency, minor_unit, first, after, net_minor, tax_minor,
        total_minor, residue, debited, corrects, reason, taxes, supplements)
    VALUES ($1, $2, $3, 'draft', $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16) RETURNING invoice_id
"""
# Locked until the transaction ends: whoever comes meanwhile waits, and a crash gives the numbers back.
_TAKE_NUMBERS: Final = """
    INSERT INTO invoice_counter (legal_entity, series, year, last) VALUES ($1, $2, $3, $4)
    ON CONFLICT (legal_entity, series, year) DO UPDATE SET last = invoice_counter.last + $4 RETURNING last
"""
_ISSUE: Final = """
    UPDATE invoice i SET state = 'issued', number = n.number, issued_on = n.issued_on, due_on = n.due_on, parties = n.parties
    FROM unnest($1::bigint[], $2::text[], $3::date[], $4::date[], $5::jsonb[])
        AS n (invoice_id, number, issued_on, due_on, parties)
    WHERE i.invoice_id = n.invoice_id
"""


async def discard(connection: Any, invoice_id: int) -> None:
    """Take a draft back. Only the customer's last one: the spans of a later one begin where this one's end."""
    async with connection.transaction():
        found = await locked(connection, invoice_id)
        if found.state is not InvoiceState.DRAFT:
            raise InvoiceRefusedError(f"invoice {found.number} is issued: correct it by a credit note")
        await lock_customers(connection, [found.customer_id])
        if found.supplements is not None:
            raise InvoiceRefusedError(f"its records are those of invoice {found.supplements}: discard that one")
        later = await later_invoice(connection, found)
        if later is not None and found.kind is InvoiceKind.INVOICE:
            raise InvoiceRefusedError(f"invoice {later} follows it: discard that one first")
        supplement = await supplement_of(connection, invoice_id)
        if supplement is not None and (await locked(connection, supplement)).state is not InvoiceState.DRAFT:
            raise InvoiceRefusedError(
                f"invoice {supplement} has its late records and is issued: issue it, then void it"
            )
        await connection.execute("DELETE FROM invoice WHERE supplements = $1", invoice_id)
        await connection.execute("DELETE FROM invoice WHERE invoice_id = $1", invoice_id)


# --- issue ------------------------------------------------------------------------------------------------------


class _Issue(NamedTuple):
    """What becomes of a draft."""

    invoice_id: int
    number: str
    issued_on: date
    due_on: date
    parties: str


async def issue(
    connection: Any, invoice_ids: Sequence[int], customers: Mapping[str, Customer], issuers: Issuers, today: date
) -> list[Invoice]:
    """Give drafts their numbers, in their order; from now on they stand. What is issued already stays as it is, and so do
    drafts that are held or wait for their review.

    Raises InvoiceRefusedError if one of them is not there: then none is issued.
    """
    async with connection.transaction():
        found = await _locked_all(connection, invoice_ids)
        drafts = [each for each in found if each.state is InvoiceState.DRAFT and not each.why_kept(issuers.reviewing)]
        series = [_series(each, issuers) for each in drafts]
        lasts = {
            each: await connection.fetchval(_TAKE_NUMBERS, *each, today.year, count)
            for each, count in sorted(Counter(series).items())
        }
        firsts = {each: last - series.count(each) for each, last in lasts.items()}
        issues = []
        for draft, (entity_id, name) in zip(drafts, series, strict=True):
            firsts[entity_id, name] += 1
            number = f"{name}-{today.year}-{firsts[entity_id, name]:0{NUMBER_DIGITS}d}"
            issues.append(_issue_of(draft, number, issuers.entities[entity_id], customers[draft.customer_id], today))
        if issues:
            await connection.execute(_ISSUE, *map(list, zip(*issues, strict=True)))
        return await _locked_all(connection, invoice_ids)


def _series(draft: Invoice, issuers: Issuers) -> tuple[str, str]:
    entity = issuers.entities[draft.legal_entity]
    is_credit = draft.kind is InvoiceKind.CREDIT_NOTE
    return entity.id, entity.credit_note_series if is_credit else entity.invoice_series


def _issue_of(draft: Invoice, number: str, entity: LegalEntity, customer: Customer, today: date) -> _Issue:
    terms_days = customer.terms_days if customer.terms_days >= 0 else entity.terms_days
    due_on = today + timedelta(days=0 if draft.kind is InvoiceKind.CREDIT_NOTE else terms_days)
    return _Issue(draft.invoice_id, number, today, due_on, as_json(Parties(entity, customer)))


async def set_disputed(connection: Any, invoice_id: int, is_disputed: bool) -> bool:
    """Let an invoice not count for dunning, or count again; how it was before."""
    was: bool = await connection.fetchval(
        "UPDATE invoice i SET is_disputed = $2 FROM invoice o "
        "WHERE i.invoice_id = $1 AND o.invoice_id = $1 RETURNING o.is_disputed",
        invoice_id,
        is_disputed,
    )
    return was


async def sent_on(connection: Any, invoice_id: int) -> date | None:
    """When it went on its way to the customer last."""
    day: date | None = await connection.fetchval("SELECT sent_on FROM invoice WHERE invoice_id = $1", invoice_id)
    return day


async def set_sent(connection: Any, invoice_id: int, day: date) -> None:
    """Note that it is on its way to the customer."""
    await connection.execute("UPDATE invoice SET sent_on = $2 WHERE invoice_id = $1", invoice_id, day)


# --- read -------------------------------------------------------------------------------------------------------


async def find_invoice(connection: Any, name: str) -> Invoice | None:
    """By its number, or (a draft) by its id."""
    is_id = name.isascii() and name.isdigit() and len(name) < 19
    condition = "invoice_id = $1" if is_id else "number = $1"
    row = await connection.fetchrow(
        f"SELECT {_FIELDS} FROM invoice WHERE {condition}",  # noqa: S608 - names of our own
        int(name) if is_id else name,
    )
    return _invoice(row) if row is not None else None


async def find_invoices(connection: Any, invoice_ids: Sequence[int]) -> list[Invoice]:
    """Those of these ids that are there, in the order of their ids."""
    rows = await connection.fetch(
        f"SELECT {_FIELDS} FROM invoice WHERE invoice_id = ANY($1::bigint[]) ORDER BY invoice_id",  # noqa: S608 - names of our own
        invoice_ids,
    )
    return [_invoice(row) for row in rows]


async def list_invoices(
    connection: Any,
    customer_id: str = "",
    state: str = "",
    after: int = 0,
    limit: int = 100,
    *,
    is_unreviewed: bool = False,
) -> list[Invoice]:
    """Invoices in the order in which they were drafted; of one customer or state where that is named, or without a review."""
    rows = await connection.fetch(
        f"SELECT {_FIELDS} FROM invoice "  # noqa: S608 - names of our own
        "WHERE invoice_id > $1 AND ($2 = '' OR customer_id = $2) AND ($3 = '' OR state = $3) "
        "AND (NOT $5 OR state = 'draft' AND kind = 'invoice' AND reviewed_at IS NULL) ORDER BY invoice_id LIMIT $4",
        after,
        customer_id,
        state,
        limit,
        is_unreviewed,
    )
    return [_invoice(row) for row in rows]


async def unsent_invoices(connection: Any) -> list[Invoice]:
    """Issued invoices and credit notes that were never sent to a customer who has an address."""
    rows = await connection.fetch(
        f"SELECT {_FIELDS} FROM invoice i WHERE number IS NOT NULL AND sent_on IS NULL AND state <> 'void' "  # noqa: S608 - names of our own
        "AND EXISTS (SELECT FROM customer c WHERE c.customer_id = i.customer_id AND c.email <> '') ORDER BY invoice_id"
    )
    return [_invoice(row) for row in rows]


async def lines_of(connection: Any, invoice_id: int) -> list[InvoiceLine]:
    rows = await connection.fetch("SELECT * FROM invoice_line WHERE invoice_id = $1 ORDER BY line_number", invoice_id)
    return [InvoiceLine(**{name: row[name] for name in LINE_FIELDS}) for row in rows]


async def debited_of(connection: Any, invoice_ids: Sequence[int]) -> dict[int, dict[str, Amount]]:
    """What the accounts were debited, call by call, of what these invoices bill: by invoice and account."""
    rows = await connection.fetch(
        "SELECT invoice_id, account_id, sum(amount)::bigint AS amount FROM invoice_line "
        "WHERE invoice_id = ANY($1::bigint[]) AND is_debited GROUP BY 1, 2",
        invoice_ids,
    )
    found: dict[int, dict[str, Amount]] = {}
    for row in rows:
        found.setdefault(row["invoice_id"], {})[row["account_id"]] = row["amount"]
    return found


async def unissued_until(connection: Any, until: date) -> list[int]:
    """Drafts of periods that are over on that day, in the order in which they were made."""
    rows = await connection.fetch(
        "SELECT invoice_id FROM invoice WHERE state = 'draft' AND kind = 'invoice' AND after <= $1 ORDER BY invoice_id",
        until,
    )
    return [row["invoice_id"] for row in rows]


async def supplement_of(connection: Any, invoice_id: int) -> int | None:
    """The invoice that bears this one's late records, if there is one."""
    found: int | None = await connection.fetchval("SELECT invoice_id FROM invoice WHERE supplements = $1", invoice_id)
    return found


async def later_invoice(connection: Any, found: Invoice) -> int | None:
    """The customer's next invoice, whose spans begin where this one's end; void ones have none."""
    later: int | None = await connection.fetchval(
        "SELECT min(invoice_id) FROM invoice WHERE customer_id = $1 AND kind = 'invoice' AND invoice_id > $2 "
        "AND supplements IS DISTINCT FROM $2 AND state <> 'void'",
        found.customer_id,
        found.invoice_id,
    )
    return later


async def spans_of(connection: Any, invoice_id: int) -> list[Span]:
    """Which entries it bills; of a void one, which it had billed."""
    rows = await connection.fetch(
        "SELECT account_id, after_entry, last_entry FROM invoice_span WHERE invoice_id = $1 "
        "UNION ALL SELECT account_id, after_entry, last_entry FROM void_span WHERE invoice_id = $1 ORDER BY account_id",
        invoice_id,
    )
    return [Span(*row) for row in rows]


# --- inside -----------------------------------------------------------------------------------------------------


async def locked(connection: Any, invoice_id: int) -> Invoice:
    return (await _locked_all(connection, [invoice_id]))[0]


async def _locked_all(connection: Any, invoice_ids: Sequence[int]) -> list[Invoice]:
    """In the order of their ids, which is that of their locks. Raises InvoiceRefusedError for one that is not there."""
    rows = await connection.fetch(
        f"SELECT {_FIELDS} FROM invoice WHERE invoice_id = ANY($1::bigint[]) ORDER BY invoice_id FOR UPDATE",  # noqa: S608 - names of our own
        invoice_ids,
    )
    missing = set(invoice_ids) - {row["invoice_id"] for row in rows}
    if missing:
        raise InvoiceRefusedError(f"there is no invoice {min(missing)}")
    return [_invoice(row) for row in rows]


def _invoice(row: Mapping[str, Any]) -> Invoice:
    values = dict(row)
    values["kind"], values["state"] = InvoiceKind(row["kind"]), InvoiceState(row["state"])
    values["taxes"] = msgspec.json.decode(row["taxes"], type=tuple[TaxLine, ...])
    values["parties"] = msgspec.json.decode(row["parties"], type=Parties) if row["parties"] else None
    return Invoice(**values)


def as_json(value: object) -> str:
    return msgspec.json.encode(value).decode().replace("\\u0000", "\\ufffd")
