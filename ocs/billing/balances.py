"""What an account owes by its invoices: the part of its balance that is on paper."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from balance.money import Amount
from ocs.billing.failures import FAILURES, unavailable

# A customer's invoices and payments are booked to the first of its accounts; credit notes are payments there.
INVOICED: Final = """
    SELECT
        coalesce((SELECT sum((i.total_minor - i.paid_minor) * i.minor_unit) FROM invoice i
            WHERE i.customer_id = a.customer_id AND i.kind = 'invoice' AND i.state = 'issued' AND i.is_booked), 0)::bigint,
        coalesce((SELECT sum((p.amount_minor - coalesce((
                SELECT sum(l.amount_minor) FROM allocation l WHERE l.payment_id = p.payment_id), 0)) * p.minor_unit)
            FROM payment p
            WHERE p.customer_id = a.customer_id AND p.is_booked AND p.reversed_on IS NULL), 0)::bigint
    FROM customer_account a WHERE a.account_id = $1 AND a.place = 0
"""


class Invoiced(NamedTuple):
    """``owed`` on invoices that are not paid; ``credit`` that was paid and pays no invoice yet."""

    owed: Amount
    credit: Amount

    @property
    def balance(self) -> Amount:
        """By the one sign that all balances have: + is the customer's."""
        return self.credit - self.owed


async def invoiced(pool: Any, account_id: str) -> Invoiced | None:
    """What stands on an account's invoices; None if no customer pays by it. Raises BackendUnavailable."""
    try:
        row = await pool.fetchrow(INVOICED, account_id)
    except FAILURES as error:
        raise unavailable(error) from error
    return Invoiced(*row) if row is not None else None
