"""Money that is given back: out of what a customer has paid in excess, never more; each reference once."""

from __future__ import annotations

from datetime import date
from typing import Any, Final

import msgspec

from ocs.billing.invoices.book import InvoiceRefusedError
from ocs.billing.invoices.locks import lock_customers
from ocs.billing.invoices.payments import CREDIT_NOTE_METHOD, payments_of


class Refund(msgspec.Struct, frozen=True):
    """``reference`` is the bank's or the gateway's."""

    refund_id: int
    customer_id: str
    method: str
    reference: str
    currency: str
    minor_unit: int
    amount_minor: int
    paid_on: date
    is_booked: bool


_FIELDS: Final = ", ".join(Refund.__struct_fields__)


async def add_refund(
    connection: Any,
    customer_id: str,
    method: str,
    reference: str,
    currency: str,
    minor_unit: int,
    amount_minor: int,
    paid_on: date,
) -> Refund:
    """Write a refund, unless its reference is there already: then that one. Raises InvoiceRefusedError."""
    async with connection.transaction():
        await lock_customers(connection, [customer_id])
        row = await connection.fetchrow(
            f"SELECT {_FIELDS} FROM refund WHERE method = $1 AND reference = $2",  # noqa: S608 - names of our own
            method,
            reference,
        )
        if row is not None:
            found = Refund(**row)
            if (found.customer_id, found.amount_minor) != (customer_id, amount_minor):
                raise InvoiceRefusedError(f"{method} {reference} is refund {found.refund_id} of {found.customer_id}")
            return found
        payments = [each for each in await payments_of(connection, customer_id) if each.currency == currency]
        credit = sum(each.credit_minor for each in payments)
        if amount_minor > credit:
            raise InvoiceRefusedError(
                f"{customer_id} has paid {credit} in excess (in cents): no more can be given back"
            )
        row = await connection.fetchrow(
            "INSERT INTO refund (customer_id, method, reference, currency, minor_unit, amount_minor, paid_on) "  # noqa: S608
            f"VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING {_FIELDS}",
            customer_id, method, reference, currency, minor_unit, amount_minor, paid_on,
        )  # fmt: skip
        refund, left = Refund(**row), amount_minor
        # Real money first: what a credit note left over is given back last.
        for payment in sorted(payments, key=lambda each: each.method == CREDIT_NOTE_METHOD):
            part = min(left, payment.credit_minor)
            if part > 0:
                await connection.execute(
                    "INSERT INTO refund_part VALUES ($1, $2, $3)", refund.refund_id, payment.payment_id, part
                )
                left -= part
    return refund


async def unbooked_refunds(connection: Any) -> list[Refund]:
    rows = await connection.fetch(f"SELECT {_FIELDS} FROM refund WHERE NOT is_booked ORDER BY refund_id")  # noqa: S608
    return [Refund(**row) for row in rows]
