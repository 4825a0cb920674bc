"""Entries of bank statements in PostgreSQL: each once, whichever copy of the file brings it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from enum import StrEnum
from typing import Any, Final

import msgspec

from ocs.billing.bank.camt import BankEntry
from ocs.billing.bank.matching import KnownPayment, OpenInvoice


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
    SELECT i.invoice_id, i.number, i.customer_id, c.name, i.currency, i.total_minor - i.paid_minor
    FROM invoice i JOIN customer c USING (customer_id)
    WHERE i.kind = 'invoice' AND i.state = 'issued' AND i.currency = $1 ORDER BY i.due_on, i.invoice_id
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


async def keep(connection: Any, entry: BankEntry) -> int | None:
    """Write an entry; None if it is there."""
    values = [list(value) if isinstance(value, tuple) else value for value in msgspec.structs.astuple(entry)]
    found: int | None = await connection.fetchval(KEEP, *values)
    return found


async def find_entry(connection: Any, entry_id: int) -> KeptEntry | None:
    row = await connection.fetchrow("SELECT * FROM bank_entry WHERE entry_id = $1", entry_id)
    return _kept(row) if row is not None else None


async def entries_in(connection: Any, state: EntryState, limit: int) -> list[KeptEntry]:
    """The oldest first."""
    rows = await connection.fetch(
        "SELECT * FROM bank_entry WHERE state = $1 ORDER BY booked_on, entry_id LIMIT $2", state.value, limit
    )
    return [_kept(row) for row in rows]


async def settle(connection: Any, entry_id: int, state: EntryState, payment_id: int | None, note: str) -> None:
    """What became of an entry."""
    await connection.execute(
        "UPDATE bank_entry SET state = $2, payment_id = $3, note = $4 WHERE entry_id = $1",
        entry_id,
        state.value,
        payment_id,
        note,
    )


async def open_invoices(connection: Any, currency: str) -> list[OpenInvoice]:
    return [OpenInvoice(*row) for row in await connection.fetch(OPEN_INVOICES, currency)]


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
