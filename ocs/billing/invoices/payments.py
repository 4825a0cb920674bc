"""What was paid, and which invoices it pays: the oldest first, or those that were chosen. The rest is a credit.

A credit note pays the invoice that it corrects, and whatever is left of it pays others, as money would.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any, Final

import asyncpg
import msgspec

from ocs.billing.invoices.locks import lock_customers

CREDIT_NOTE_METHOD: Final = "credit_note"
NOT_ASKED_FOR: Final = (
    "NOT EXISTS (SELECT 1 FROM gateway_refund g WHERE g.refund_id = r.refund_id AND g.state = 'asking')"
)
"""Of a refund ``r``: it is none of which the gateway has to say yet whether it gives it."""


class Payment(msgspec.Struct, frozen=True):
    """Money that came in. ``reference`` is the bank's or the gateway's: there is one payment of each."""

    payment_id: int
    customer_id: str
    method: str
    reference: str
    currency: str
    minor_unit: int
    amount_minor: int
    received_on: date
    reversed_on: date | None
    is_booked: bool
    allocated_minor: int = 0
    refunded_minor: int = 0

    @property
    def credit_minor(self) -> int:
        """What pays no invoice yet, and was not given back."""
        return 0 if self.reversed_on is not None else self.amount_minor - self.allocated_minor - self.refunded_minor


_SELECT: Final = """
    SELECT p.payment_id, p.customer_id, p.method, p.reference, p.currency, p.minor_unit, p.amount_minor, p.received_on, p.reversed_on,
        p.is_booked, (SELECT coalesce(sum(amount_minor), 0)::bigint FROM allocation a WHERE a.payment_id = p.payment_id)
        AS allocated_minor,
        (SELECT coalesce(sum(amount_minor), 0)::bigint FROM refund_part r WHERE r.payment_id = p.payment_id)
        AS refunded_minor
    FROM payment p
"""
_OPEN: Final = """
    SELECT invoice_id, total_minor - paid_minor AS open FROM invoice
    WHERE customer_id = $1 AND currency = $2 AND kind = 'invoice' AND state = 'issued'
    ORDER BY invoice_id = ANY($3::bigint[]) DESC, due_on, invoice_id FOR UPDATE
"""
_ABLE_TO_PAY: Final = """
    SELECT customer_id FROM customer c WHERE customer_id = ANY($1::text[]) AND (
        EXISTS (
            SELECT FROM payment p WHERE p.customer_id = c.customer_id AND p.reversed_on IS NULL AND p.amount_minor >
                (SELECT coalesce(sum(amount_minor), 0) FROM allocation a WHERE a.payment_id = p.payment_id)
                + (SELECT coalesce(sum(amount_minor), 0) FROM refund_part r WHERE r.payment_id = p.payment_id)
        ) OR EXISTS (
            SELECT FROM invoice i WHERE i.customer_id = c.customer_id AND i.kind = 'invoice' AND i.state = 'issued'
                AND i.paid_minor >= i.total_minor
        )
    ) ORDER BY customer_id
"""


async def add_payment(
    connection: Any,
    customer_id: str,
    method: str,
    reference: str,
    currency: str,
    minor_unit: int,
    amount_minor: int,
    received_on: date,
    *,
    is_booked: bool = False,
) -> tuple[Payment, bool]:
    """Write a payment, unless its reference is there already: then that one, and False."""
    try:
        async with connection.transaction():
            payment_id: int = await connection.fetchval(
                "INSERT INTO payment (customer_id, method, reference, currency, minor_unit, amount_minor, "
                "received_on, is_booked) VALUES ($1, $2, $3, $4, $5, $6, $7, $8) RETURNING payment_id",
                customer_id, method, reference, currency, minor_unit, amount_minor, received_on, is_booked,
            )  # fmt: skip
    except asyncpg.UniqueViolationError:
        row = await connection.fetchrow(_SELECT + "WHERE method = $1 AND reference = $2", method, reference)
        return Payment(**row), False
    found = await find_payment(connection, payment_id)
    assert found is not None, "it was written just now"
    return found, True


async def find_payment(connection: Any, payment_id: int) -> Payment | None:
    row = await connection.fetchrow(_SELECT + "WHERE payment_id = $1", payment_id)
    return Payment(**row) if row is not None else None


async def find_reference(connection: Any, reference: str) -> Payment | None:
    """A payment by the gateway's name for it."""
    row = await connection.fetchrow(_SELECT + "WHERE method IN ('card', 'direct_debit') AND reference = $1", reference)
    return Payment(**row) if row is not None else None


async def payments_of(connection: Any, customer_id: str) -> list[Payment]:
    """A customer's payments, credit notes among them, in the order in which they came."""
    rows = await connection.fetch(_SELECT + "WHERE customer_id = $1 ORDER BY received_on, payment_id", customer_id)
    return [Payment(**row) for row in rows]


async def able_to_pay(connection: Any, names: Sequence[str]) -> list[str]:
    """Which of these customers have paid what pays no invoice yet, or have an invoice that asks for nothing."""
    rows = await connection.fetch(_ABLE_TO_PAY, names)
    return [row["customer_id"] for row in rows]


async def allocate(connection: Any, customer_id: str, currency: str, chosen: tuple[int, ...] = ()) -> None:
    """Let what the customer has paid pay what is open: ``chosen`` invoices first, then the oldest. Idempotent."""
    async with connection.transaction():
        await lock_customers(connection, [customer_id])
        open_of: dict[int, int] = {
            row["invoice_id"]: row["open"] for row in await connection.fetch(_OPEN, customer_id, currency, chosen)
        }
        for payment in await payments_of(connection, customer_id):
            left = payment.credit_minor if payment.currency == currency else 0
            for invoice_id, is_open in open_of.items():
                part = min(left, is_open)
                if part > 0:
                    await _allocate(connection, payment.payment_id, invoice_id, part)
                    open_of[invoice_id] -= part
                    left -= part
        await connection.execute(
            "UPDATE invoice SET state = 'paid' WHERE customer_id = $1 AND state = 'issued' AND kind = 'invoice' "
            "AND paid_minor >= total_minor",
            customer_id,
        )


async def _allocate(connection: Any, payment_id: int, invoice_id: int, part: int) -> None:
    await connection.execute(
        "INSERT INTO allocation (payment_id, invoice_id, amount_minor) VALUES ($1, $2, $3) "
        "ON CONFLICT (payment_id, invoice_id) DO UPDATE SET amount_minor = allocation.amount_minor + $3",
        payment_id,
        invoice_id,
        part,
    )
    await connection.execute("UPDATE invoice SET paid_minor = paid_minor + $2 WHERE invoice_id = $1", invoice_id, part)


async def free(connection: Any, payment_id: int, amount_minor: int, on: date) -> None:
    """Let a payment pay so much less, the newest invoice first: it is open again, and its age counts from now."""
    left = amount_minor
    for row in await connection.fetch(
        "SELECT invoice_id, amount_minor FROM allocation WHERE payment_id = $1 ORDER BY invoice_id DESC", payment_id
    ):
        part = min(left, row["amount_minor"])
        left -= part
        if part == row["amount_minor"]:
            await connection.execute(
                "DELETE FROM allocation WHERE payment_id = $1 AND invoice_id = $2", payment_id, row["invoice_id"]
            )
        elif part:
            await connection.execute(
                "UPDATE allocation SET amount_minor = amount_minor - $3 WHERE payment_id = $1 AND invoice_id = $2",
                payment_id, row["invoice_id"], part,
            )  # fmt: skip
        if part:
            await connection.execute(
                "UPDATE invoice SET paid_minor = paid_minor - $2, state = 'issued', reopened_on = $3 WHERE invoice_id = $1",
                row["invoice_id"], part, on,
            )  # fmt: skip


async def reverse(connection: Any, payment_id: int, reversed_on: date) -> Payment | None:
    """A payment that was called back: the invoices it paid are open again. None if it is unknown or was reversed."""
    async with connection.transaction():
        status: str = await connection.execute(
            "UPDATE payment SET reversed_on = $2, is_booked = false "
            "WHERE payment_id = $1 AND reversed_on IS NULL AND method <> $3 "
            "AND NOT EXISTS (SELECT FROM refund_part r WHERE r.payment_id = payment.payment_id)",
            payment_id, reversed_on, CREDIT_NOTE_METHOD,
        )  # fmt: skip
        if not status.endswith("1"):
            return None
        rows: list[Mapping[str, Any]] = await connection.fetch(
            "DELETE FROM allocation WHERE payment_id = $1 RETURNING invoice_id, amount_minor", payment_id
        )
        for row in rows:
            await connection.execute(
                "UPDATE invoice SET paid_minor = paid_minor - $2, state = 'issued' WHERE invoice_id = $1", *row.values()
            )
    return await find_payment(connection, payment_id)
