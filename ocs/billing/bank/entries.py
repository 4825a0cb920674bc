"""Entries of bank statements in PostgreSQL: each once, whichever copy of the file brings it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import date
from enum import StrEnum
from typing import Any, Final

import msgspec

from ocs.billing.bank.camt import BankEntry
from ocs.billing.bank.matching import KnownPayment, OpenInvoice
from ocs.billing.bank.open_book import OpenBook
from ocs.billing.invoices.book import InvoiceRefusedError

TOGETHER: Final = 1000
LOCK_KEY: Final = 0x0C5_BA2C
"""Our advisory lock: a statement that is sent again while it is still being booked is not booked beside itself."""


class EntryState(StrEnum):
    OPEN = "open"
    BOOKED = "booked"
    IGNORED = "ignored"


class KeptEntry(msgspec.Struct, frozen=True, kw_only=True):
    """An entry as it stands in the books; ``payment_id`` is what it was booked as, or took back."""

    entry_id: int
    entry: BankEntry
    state: EntryState
    payment_id: int | None
    note: str


_COLUMNS: Final = BankEntry.__struct_fields__
KEEP: Final = f"""
    INSERT INTO bank_entry ({", ".join(f'"{name}"' for name in _COLUMNS)}) VALUES ({", ".join(f"${n}" for n in range(1, len(_COLUMNS) + 1))})
    ON CONFLICT (iban, reference) DO NOTHING RETURNING entry_id
"""  # noqa: S608 - names of our own
OPEN_INVOICES: Final = """
    SELECT i.invoice_id, i.number, i.customer_id, c.name, i.currency, i.total_minor - i.paid_minor, i.due_on
    FROM invoice i JOIN customer c USING (customer_id)
    WHERE i.kind = 'invoice' AND i.state = 'issued' AND i.currency = $1
"""
IN_ORDER: Final = " ORDER BY i.due_on, i.invoice_id"
OPEN_ENTRIES: Final = """
    SELECT * FROM bank_entry WHERE state = 'open' AND (booked_on, entry_id) > ($1, $2) ORDER BY booked_on, entry_id LIMIT $3
"""
PAYMENTS: Final = """
    SELECT payment_id, customer_id, reference, amount_minor, currency FROM payment
    WHERE reversed_on IS NULL AND method = $1 AND currency = $2 AND amount_minor = $3 ORDER BY payment_id DESC
"""
# Which customer paid from an account: from the entries that were booked. Two customers of one account: neither.
PAYERS: Final = """
    SELECT b.party_iban, min(p.customer_id) AS customer_id FROM bank_entry b JOIN payment p USING (payment_id)
    WHERE b.party_iban = $1 AND p.reversed_on IS NULL GROUP BY b.party_iban HAVING count(DISTINCT p.customer_id) = 1
"""


@asynccontextmanager
async def alone(connection: Any) -> AsyncIterator[None]:
    """Nobody else loads a statement meanwhile. Raises InvoiceRefusedError if somebody does."""
    if not await connection.fetchval("SELECT pg_try_advisory_lock($1)", LOCK_KEY):
        raise InvoiceRefusedError("a statement is being loaded: load this one when that is done")
    try:
        yield
    finally:
        await connection.execute("SELECT pg_advisory_unlock($1)", LOCK_KEY)


async def keep(connection: Any, found: Sequence[BankEntry]) -> int:
    """Write entries, and say how many of them are new."""
    rows = [
        [list(value) if isinstance(value, tuple) else value for value in msgspec.structs.astuple(each)]
        for each in found
    ]
    return len(await connection.fetchmany(KEEP, rows))


async def find_entry(connection: Any, entry_id: int) -> KeptEntry | None:
    row = await connection.fetchrow("SELECT * FROM bank_entry WHERE entry_id = $1", entry_id)
    return _kept(row) if row is not None else None


async def open_entries(connection: Any, limit: int, after: KeptEntry | None = None) -> list[KeptEntry]:
    """The oldest first; those that come after one of them."""
    day, entry_id = (after.entry.booked_on, after.entry_id) if after is not None else (date.min, 0)
    return [_kept(row) for row in await connection.fetch(OPEN_ENTRIES, day, entry_id, limit)]


async def count_open(connection: Any) -> int:
    found: int = await connection.fetchval("SELECT count(*) FROM bank_entry WHERE state = 'open'")
    return found


async def settle(connection: Any, entry_id: int, state: EntryState, payment_id: int | None, note: str) -> None:
    """What became of an entry."""
    await connection.execute(
        "UPDATE bank_entry SET state = $2, payment_id = $3, note = $4 WHERE entry_id = $1",
        entry_id,
        state.value,
        payment_id,
        note,
    )


async def open_book(connection: Any, currency: str) -> OpenBook:
    """All open invoices of a currency, read some at a time."""
    book = OpenBook()
    async with connection.transaction():
        async for row in connection.cursor(OPEN_INVOICES + IN_ORDER, currency, prefetch=TOGETHER):
            book.add(OpenInvoice(*row))
    return book


async def open_invoices_of(connection: Any, currency: str, customer_id: str) -> list[OpenInvoice]:
    rows = await connection.fetch(OPEN_INVOICES + "AND i.customer_id = $2" + IN_ORDER, currency, customer_id)
    return [OpenInvoice(*row) for row in rows]


async def payers_of(connection: Any, iban: str) -> dict[str, str]:
    return {row["party_iban"]: row["customer_id"] for row in await connection.fetch(PAYERS, iban)}


async def payments_like(connection: Any, method: str, entry: BankEntry) -> Sequence[KnownPayment]:
    rows = await connection.fetch(PAYMENTS, method, entry.currency, -entry.amount_minor)
    return [KnownPayment(*row) for row in rows]


def _kept(row: Any) -> KeptEntry:
    values = {name: row[name] for name in _COLUMNS}
    entry = BankEntry(**{**values, "references": tuple(row["references"])})
    return KeptEntry(
        entry_id=row["entry_id"], entry=entry, state=EntryState(row["state"]), payment_id=row["payment_id"],
        note=row["note"],
    )  # fmt: skip


def today_or(day: date, today: date) -> date:
    """A bank may book ahead by a day: a payment is not received in the future."""
    return min(day, today)
