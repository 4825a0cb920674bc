"""What has to hold between invoices and the journal, asked of PostgreSQL: whatever comes back is wrong.

    an invoice        its lines add up to its net, its taxes to its tax, both to its total
    the spans         begin where the one before ended, the first one at 0: no record on two invoices, none left out
    what is billed    calls and adjustments on a span's lines = minus the journal's entries in the span
    what is booked    of every invoice, calls debited - total; of every payment, what came in
    what is paid      as much as was allocated, and no more than the payments; what is given back, too

All of it in integers: a difference is never "a rounding".
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from ocs.billing.failures import FAILURES, unavailable

SUMS: Final = """
    SELECT coalesce(i.number, 'draft ' || i.invoice_id) AS name, 'its lines do not add up' AS what FROM invoice i
    WHERE i.net_minor <> (SELECT coalesce(sum(net_minor), 0) FROM invoice_line l WHERE l.invoice_id = i.invoice_id)
       OR i.tax_minor <> (SELECT coalesce(sum((t->>'tax_minor')::bigint), 0) FROM jsonb_array_elements(i.taxes) t)
       OR i.total_minor <> i.net_minor + i.tax_minor
"""
SPANS: Final = """
    SELECT account_id AS name, 'its invoices do not follow one another at entry ' || after_entry AS what FROM (
        SELECT account_id, after_entry,
               coalesce(lag(last_entry) OVER (PARTITION BY account_id ORDER BY after_entry), 0) AS before
        FROM invoice_span
    ) AS s WHERE after_entry <> before
"""
BILLED: Final = """
    SELECT s.account_id AS name, 'invoice ' || coalesce(i.number, i.invoice_id::text) || ' bills ' || s.billed
        || ' and the journal has ' || s.debited AS what
    FROM (
        SELECT p.invoice_id, p.account_id,
               (SELECT coalesce(sum(l.amount), 0) FROM invoice_line l
                WHERE (l.invoice_id = p.invoice_id OR l.invoice_id IN (
                    SELECT e.invoice_id FROM invoice e WHERE e.supplements = p.invoice_id
                )) AND l.account_id = p.account_id AND l.is_debited) AS billed,
               (SELECT coalesce(-sum(j.amount), 0) FROM journal j
                WHERE j.account_id = p.account_id AND j.entry_number > p.after_entry AND j.entry_number <= p.last_entry
                  AND j.kind IN ('session', 'event', 'refund', 'adjustment', 'package')) AS debited
        FROM invoice_span p
    ) AS s JOIN invoice i USING (invoice_id) WHERE s.billed <> s.debited
"""
# Of what has come to the journal: what waits in the outbox is looked at next time.
BOOKED: Final = """
    SELECT i.number AS name, 'booked is ' || j.amount || ' and not ' || d.debited - i.total_minor * i.minor_unit AS what
    FROM invoice i
    JOIN customer_account a ON a.customer_id = i.customer_id AND a.place = 0
    JOIN journal j ON j.account_id = a.account_id AND j.reference = 'invoice-' || i.invoice_id AND j.kind = 'invoice'
    CROSS JOIN LATERAL (
        SELECT coalesce(sum(l.amount), 0) AS debited FROM invoice_line l
        WHERE l.invoice_id = i.invoice_id AND l.account_id = a.account_id AND l.is_debited
    ) AS d
    WHERE i.number IS NOT NULL AND j.amount <> d.debited - i.total_minor * i.minor_unit
"""
PAID: Final = """
    SELECT coalesce(i.number, '') AS name, 'paid is ' || i.paid_minor || ' and allocated ' || s.allocated AS what
    FROM invoice i CROSS JOIN LATERAL (
        SELECT coalesce(sum(a.amount_minor), 0) AS allocated FROM allocation a WHERE a.invoice_id = i.invoice_id
    ) AS s WHERE s.allocated <> i.paid_minor
    UNION ALL
    SELECT 'payment ' || p.payment_id, 'booked is ' || j.amount || ' and not ' || p.amount_minor * p.minor_unit
    FROM payment p JOIN customer_account a ON a.customer_id = p.customer_id AND a.place = 0
    JOIN journal j ON j.account_id = a.account_id AND j.reference = 'payment-' || p.payment_id AND j.kind = 'payment'
    WHERE j.amount <> p.amount_minor * p.minor_unit
    UNION ALL
    SELECT 'payment ' || p.payment_id, 'pays more than it is' FROM payment p
    WHERE p.amount_minor < (
        SELECT coalesce(sum(a.amount_minor), 0) FROM allocation a WHERE a.payment_id = p.payment_id
    ) + (SELECT coalesce(sum(r.amount_minor), 0) FROM refund_part r WHERE r.payment_id = p.payment_id)
    UNION ALL
    SELECT 'refund ' || r.refund_id, 'gives back ' || r.amount_minor || ' and its parts are ' || s.parts
    FROM refund r CROSS JOIN LATERAL (
        SELECT coalesce(sum(p.amount_minor), 0) AS parts FROM refund_part p WHERE p.refund_id = r.refund_id
    ) AS s WHERE s.parts <> r.amount_minor
    UNION ALL
    SELECT 'refund ' || r.refund_id, 'booked is ' || j.amount || ' and not ' || -r.amount_minor * r.minor_unit
    FROM refund r JOIN customer_account a ON a.customer_id = r.customer_id AND a.place = 0
    JOIN journal j ON j.account_id = a.account_id AND j.reference = 'refund-' || r.refund_id AND j.kind = 'payment'
    WHERE j.amount <> -r.amount_minor * r.minor_unit
"""


class Fault(msgspec.Struct, frozen=True):
    """What is wrong with which invoice, payment or account."""

    name: str
    what: str


async def check_invoices(connection: Any) -> tuple[int, list[Fault]]:
    """How many documents there are, and all that is wrong. Raises BackendUnavailable."""
    try:
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            documents: int = await connection.fetchval("SELECT count(*) FROM invoice")
            rows = []
            for statement in (SUMS, SPANS, BILLED, BOOKED, PAID):
                rows += await connection.fetch(statement)
    except FAILURES as error:
        raise unavailable(error) from error
    return documents, [Fault(row["name"], row["what"]) for row in rows]
