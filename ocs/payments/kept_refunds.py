"""What is given back of a customer's payment through the gateway, in PostgreSQL: written down before the gateway is asked.

    asking ──► given ──► booked    the gateway gives it; the account has it
       └────► refused              the payment has the money again, and pays what it had paid

The refund that takes the money from the payment is written in the same transaction, and is booked only when it is given.
"""

from __future__ import annotations

from datetime import date
from enum import StrEnum
from typing import Any, Final

import msgspec

from ocs.billing.invoices.book import InvoiceRefusedError
from ocs.billing.invoices.locks import lock_customers
from ocs.billing.invoices.payments import Payment, allocate
from ocs.billing.invoices.refunds import discard_refund, find_refund, take_from_payment
from ocs.billing.moments import moment
from ocs.payments import charges


class RefundState(StrEnum):
    ASKING = "asking"
    GIVEN = "given"
    BOOKED = "booked"
    REFUSED = "refused"


class KeptRefund(msgspec.Struct, frozen=True, kw_only=True):
    """``key`` is the caller's, ``reference`` the gateway's, empty until it has answered; ``paid_as``: the payment's reference.

    ``invoices`` are those that the payment paid before. ``refund_id`` is None once it is refused.
    """

    gateway_refund_id: int
    payment_id: int
    key: str
    amount_minor: int
    state: RefundState
    refund_id: int | None
    invoices: tuple[int, ...]
    reference: str
    why: str
    customer_id: str
    method: str
    currency: str
    paid_as: str

    @property
    def payment(self) -> str:
        """The gateway's name of the payment."""
        return self.paid_as.partition(":")[2]

    @property
    def gateway_key(self) -> str:
        """Names the wish at the gateway: whoever asks again gets the same refund."""
        return f"refund:{self.payment}:{self.gateway_refund_id}"


_SELECT: Final = """
    SELECT g.gateway_refund_id, g.payment_id, g.key, g.amount_minor, g.state, g.refund_id, g.invoices, g.reference, g.why,
        p.customer_id, p.method, p.currency, p.reference AS paid_as
    FROM gateway_refund g JOIN payment p USING (payment_id)
"""
_ADD: Final = """
    INSERT INTO gateway_refund (payment_id, key, amount_minor, refund_id, invoices, due_at, made_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7)
"""
_CLAIM: Final = """
    UPDATE gateway_refund SET due_at = $2 WHERE gateway_refund_id = (
        SELECT gateway_refund_id FROM gateway_refund WHERE state IN ('asking', 'given') AND due_at <= $1
        ORDER BY due_at LIMIT 1 FOR UPDATE SKIP LOCKED
    ) RETURNING gateway_refund_id
"""


async def file(connection: Any, payment: Payment, key: str, amount_minor: int, today: date, now_ms: int) -> KeptRefund:
    """Take it from the payment and write down that the gateway is to give it; the same key again: what there is.

    Raises InvoiceRefusedError where the payment has less left, or the key is that of something else.
    """
    async with connection.transaction():
        await lock_customers(connection, [payment.customer_id])
        found = await _find(connection, "g.key = $1", key)
        if found is None:
            await _add(connection, payment, key, amount_minor, today, now_ms)
            found = await _find(connection, "g.key = $1", key)
            assert found is not None, "it was written just now"
    if (found.payment_id, found.amount_minor) != (payment.payment_id, amount_minor):
        raise InvoiceRefusedError(
            f"{key} is a refund of payment {found.payment_id} of {found.customer_id}, or of another amount: each refund "
            "has a reference of its own"
        )
    return found


async def claim(connection: Any, now_ms: int) -> KeptRefund | None:
    """One that somebody has not brought to its end, for us alone until the lease is over."""
    number = await connection.fetchval(_CLAIM, moment(now_ms), moment(now_ms + charges.LEASE_MS))
    return await find(connection, number) if number is not None else None


async def find(connection: Any, gateway_refund_id: int) -> KeptRefund | None:
    return await _find(connection, "g.gateway_refund_id = $1", gateway_refund_id)


async def note_given(connection: Any, kept: KeptRefund, reference: str, today: date) -> KeptRefund:
    """The gateway gives it, from today on; whatever was noted before stands."""
    async with connection.transaction():
        held = await _held(connection, kept)
        if held.state is RefundState.ASKING:
            await connection.execute(
                "UPDATE gateway_refund SET state = 'given', reference = $2 WHERE gateway_refund_id = $1",
                kept.gateway_refund_id,
                reference,
            )
            await connection.execute("UPDATE refund SET paid_on = $2 WHERE refund_id = $1", held.refund_id, today)
        return await _held(connection, kept)


async def note_refused(connection: Any, kept: KeptRefund, why: str, now_ms: int) -> KeptRefund:
    """The gateway does not give it: the money goes back to the payment, and pays what it had paid."""
    async with connection.transaction():
        held = await _held(connection, kept)
        if held.state is RefundState.ASKING:
            await connection.execute(
                "UPDATE gateway_refund SET state = 'refused', refund_id = NULL, why = $2, ended_at = $3 "
                "WHERE gateway_refund_id = $1",
                kept.gateway_refund_id, why, moment(now_ms),
            )  # fmt: skip
            assert held.refund_id is not None, "it is not refused yet"
            await discard_refund(connection, held.refund_id)
            await charges.note_kept(connection, kept.payment, kept.payment_id)
            await allocate(connection, kept.customer_id, kept.currency, kept.invoices)
        return await _held(connection, kept)


async def note_booked(connection: Any, kept: KeptRefund, now_ms: int) -> None:
    await connection.execute(
        "UPDATE gateway_refund SET state = 'booked', ended_at = $2 WHERE gateway_refund_id = $1 AND state = 'given'",
        kept.gateway_refund_id,
        moment(now_ms),
    )


# --- inside -----------------------------------------------------------------------------------------------------------


async def _add(connection: Any, payment: Payment, key: str, amount_minor: int, today: date, now_ms: int) -> None:
    if await find_refund(connection, payment.method, key) is not None:
        raise InvoiceRefusedError(
            f"{payment.method} {key} was booked before, by hand: a refund has a reference of its own"
        )
    rows = await connection.fetch(
        "SELECT invoice_id FROM allocation WHERE payment_id = $1 ORDER BY invoice_id", payment.payment_id
    )
    refund = await take_from_payment(connection, payment.payment_id, key, amount_minor, today)
    await connection.execute(
        _ADD, payment.payment_id, key, amount_minor, refund.refund_id, [row["invoice_id"] for row in rows],
        moment(now_ms + charges.LEASE_MS), moment(now_ms),
    )  # fmt: skip
    # Nobody gives back to have it collected again.
    await charges.note_given_back(connection, payment.reference.partition(":")[2])


async def _held(connection: Any, kept: KeptRefund) -> KeptRefund:
    """As it is now; nobody else goes on with it before our transaction is over."""
    found = await _find(connection, "g.gateway_refund_id = $1 FOR UPDATE OF g", kept.gateway_refund_id)
    assert found is not None, "refunds do not go"
    return found


async def _find(connection: Any, where: str, value: int | str) -> KeptRefund | None:
    row = await connection.fetchrow(f"{_SELECT} WHERE {where}", value)
    if row is None:
        return None
    return KeptRefund(**{**row, "state": RefundState(row["state"]), "invoices": tuple(row["invoices"])})
