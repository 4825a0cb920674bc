"""Money that is given back: out of what a customer has paid in excess, never more; each reference once."""

from __future__ import annotations

from datetime import date
from typing import Any, Final

import msgspec

from ocs.billing.invoices.book import InvoiceRefusedError
from ocs.billing.invoices.locks import lock_customers
from ocs.billing.invoices.payments import CREDIT_NOTE_METHOD, NOT_ASKED_FOR, find_payment, free, payments_of


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
        found = await _known(connection, customer_id, method, reference, amount_minor)
        if found is not None:
            return found
        payments = [each for each in await payments_of(connection, customer_id) if each.currency == currency]
        credit = sum(each.credit_minor for each in payments)
        if amount_minor > credit:
            raise InvoiceRefusedError(
                f"{customer_id} has paid {credit} in excess (in cents): no more can be given back"
            )
        refund = await _written(connection, customer_id, method, reference, currency, minor_unit, amount_minor, paid_on)
        left = amount_minor
        # Real money first: what a credit note left over is given back last.
        for payment in sorted(payments, key=lambda each: each.method == CREDIT_NOTE_METHOD):
            part = min(left, payment.credit_minor)
            if part > 0:
                await _add_part(connection, refund.refund_id, payment.payment_id, part)
                left -= part
    return refund


async def take_from_payment(
    connection: Any, payment_id: int, reference: str, amount_minor: int, paid_on: date
) -> Refund:
    """Write what went back of a payment without us; what it had paid by that is open again. Once for each reference.

    Raises InvoiceRefusedError where it is more than the payment has left.
    """
    async with connection.transaction():
        payment = await find_payment(connection, payment_id)
        assert payment is not None, "payments do not go"
        await lock_customers(connection, [payment.customer_id])
        found = await _known(connection, payment.customer_id, payment.method, reference, amount_minor)
        if found is not None:
            return found
        payment = await find_payment(connection, payment_id)
        assert payment is not None, "payments do not go"
        if payment.reversed_on is not None or amount_minor > payment.amount_minor - payment.refunded_minor:
            raise InvoiceRefusedError(f"payment {payment_id} has less than {amount_minor} (in cents) left")
        if amount_minor > payment.credit_minor:
            await free(connection, payment_id, amount_minor - payment.credit_minor, paid_on)
        refund = await _written(
            connection, payment.customer_id, payment.method, reference, payment.currency, payment.minor_unit, amount_minor,
            paid_on,
        )  # fmt: skip
        await _add_part(connection, refund.refund_id, payment_id, amount_minor)
    return refund


async def _known(connection: Any, customer_id: str, method: str, reference: str, amount_minor: int) -> Refund | None:
    found = await find_refund(connection, method, reference)
    if found is not None and (found.customer_id, found.amount_minor) != (customer_id, amount_minor):
        raise InvoiceRefusedError(f"{method} {reference} is refund {found.refund_id} of {found.customer_id}")
    return found


async def _written(connection: Any, *values: Any) -> Refund:
    row = await connection.fetchrow(
        "INSERT INTO refund (customer_id, method, reference, currency, minor_unit, amount_minor, paid_on) "  # noqa: S608
        f"VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING {_FIELDS}",
        *values,
    )
    return Refund(**row)


async def _add_part(connection: Any, refund_id: int, payment_id: int, part_minor: int) -> None:
    await connection.execute("INSERT INTO refund_part VALUES ($1, $2, $3)", refund_id, payment_id, part_minor)


async def find_refund(connection: Any, method: str, reference: str) -> Refund | None:
    """A refund by its reference."""
    row = await connection.fetchrow(
        f"SELECT {_FIELDS} FROM refund WHERE method = $1 AND reference = $2",  # noqa: S608 - names of our own
        method,
        reference,
    )
    return Refund(**row) if row is not None else None


async def discard_refund(connection: Any, refund_id: int) -> None:
    """It was not booked, and will not be: the payment has the money again."""
    await connection.execute("DELETE FROM refund_part WHERE refund_id = $1", refund_id)
    await connection.execute("DELETE FROM refund WHERE refund_id = $1", refund_id)


async def unbooked_refunds(connection: Any) -> list[Refund]:
    """Those of which the gateway has not said yet that it gives them are not to be booked."""
    rows = await connection.fetch(
        f"SELECT {_FIELDS} FROM refund r WHERE NOT is_booked AND {NOT_ASKED_FOR} ORDER BY refund_id"  # noqa: S608
    )
    return [Refund(**row) for row in rows]
