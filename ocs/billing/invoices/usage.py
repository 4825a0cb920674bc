"""Usage for an invoice, out of the books: which entries it covers, and what they come to by service and destination.

An account's entries are numbered without gaps, in the order in which they were decided. An invoice covers a span of
them: from where the invoice before ended to the last one decided before the period's end. A record that comes late has
a higher number than all that came before, so it lies in a later span by itself; one that is missing in the books (the
outbox has not brought it yet) ends the span in front of the gap.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any, Final, NamedTuple

import msgspec

from ocs.billing.invoices.calculation import Charge, ChargeKind
from ocs.billing.invoices.periods import local_date
from ocs.billing.moments import milliseconds, moment
from ocs.rating.units import UnitKind

UNITS: Final = {UnitKind.SECONDS: "s", UnitKind.OCTETS: "octets", UnitKind.EVENTS: "events"}
ADJUSTED: Final = ("adjustment", "refund", "package", "tier")

SPAN: Final = """
    SELECT coalesce(max(entry_number), $2) AS last, count(*) AS entries FROM journal
    WHERE account_id = $1 AND entry_number > $2 AND at < $3
"""
FIRST_GAP: Final = """
    SELECT n.number - 1 AS last FROM (
        SELECT entry_number, row_number() OVER (ORDER BY entry_number) + $2 AS number
        FROM journal WHERE account_id = $1 AND entry_number > $2 AND entry_number <= $3
    ) AS n WHERE n.entry_number <> n.number ORDER BY n.number LIMIT 1
"""
# One line for each service, destination, kind of unit and tax; amounts are what the records cost, tax inside or not.
USAGE: Final = """
    SELECT c.started_at < $4 AS is_late, c.service, g->>'destination' AS destination, (g->>'unit_kind')::int AS unit_kind,
           coalesce((g->'price'->'terms'->'tax'->>0)::int, 0) AS tax_rate,
           coalesce(g->'price'->'terms'->'tax'->>2, '') AS tax_code,
           count(*) AS records, sum((g->>'used')::numeric)::bigint AS used, sum((g->>'cost')::numeric)::bigint AS amount,
           min(c.started_at) AS first, max(c.started_at) AS last
    FROM cdr c CROSS JOIN LATERAL jsonb_array_elements(c.groups) AS g
    WHERE c.account_id = $1 AND c.entry_number > $2 AND c.entry_number <= $3
    GROUP BY 1, 2, 3, 4, 5, 6 ORDER BY 1, 2, 3, 4, 5, 6
"""
OTHERS: Final = """
    SELECT j.entry_number, j.kind, j.at, j.amount, j.reason, j.reference FROM journal j
    WHERE j.account_id = $1 AND j.entry_number > $2 AND j.entry_number <= $3 AND j.kind = ANY($4::text[])
      AND j.amount <> 0
      AND NOT EXISTS (SELECT FROM cdr c WHERE c.account_id = j.account_id AND c.entry_number = j.entry_number)
    ORDER BY j.entry_number
"""


class Span(NamedTuple):
    """Entries ``(after_entry, last_entry]`` of one account; ``is_cut`` if the next one is missing in the books."""

    account_id: str
    after_entry: int
    last_entry: int
    is_cut: bool = False


async def next_span(connection: Any, account_id: str, until_ms: int) -> Span:
    """The entries that no invoice covers yet and that were decided before ``until_ms``."""
    after: int = await connection.fetchval(
        "SELECT coalesce(max(last_entry), 0) FROM invoice_span WHERE account_id = $1", account_id
    )
    row = await connection.fetchrow(SPAN, account_id, after, moment(until_ms))
    last: int = row["last"]
    if last - after == row["entries"]:
        return Span(account_id, after, last)
    gap = await connection.fetchval(FIRST_GAP, account_id, after, last)
    return Span(account_id, after, gap if gap is not None else last, is_cut=gap is not None)


async def usage_charges(
    connection: Any, span: Span, zone: str, usage_tax: str, late_before_ms: int = 0
) -> list[Charge]:
    """What the records of a span cost, by service and destination, and the adjustments and packages among its entries.

    Records from before ``late_before_ms`` are lines of their own, and late.
    """
    charges = [
        Charge(
            kind=ChargeKind.USAGE,
            text=row["destination"] or row["service"],
            account_id=span.account_id,
            amount=row["amount"],
            tax_code=row["tax_code"] or usage_tax,
            first=local_date(milliseconds(row["first"]), zone),
            after=_day_after(local_date(milliseconds(row["last"]), zone)),
            is_debited=True,
            included_rate=row["tax_rate"],
            service=row["service"],
            destination=row["destination"],
            records=row["records"],
            used=row["used"],
            unit=UNITS.get(UnitKind(row["unit_kind"]), ""),
            is_late=row["is_late"],
        )
        for row in await connection.fetch(USAGE, *span[:3], moment(late_before_ms))
    ]
    for row in await connection.fetch(OTHERS, *span[:3], ADJUSTED):
        day = local_date(milliseconds(row["at"]), zone)
        charges.append(
            Charge(
                kind=ChargeKind.ADJUSTMENT,
                text=row["reason"] or row["kind"],
                account_id=span.account_id,
                amount=-row["amount"],
                tax_code=usage_tax,
                first=day,
                after=_day_after(day),
                is_debited=True,
                records=1,
            )
        )
    return charges


class Detail(msgspec.Struct, frozen=True):
    """One record of the annex. ``is_late``: it was made before the invoice's period and came after it had been billed."""

    account_id: str
    entry_number: int
    started_at_ms: int
    subscriber: str
    service: str
    number: str
    destination: str
    used: int
    unit: str
    amount: int
    is_late: bool = False


DETAILS: Final = """
    SELECT c.account_id, c.entry_number, c.started_at, c.subscriber, c.service, c.destination AS number,
           g->>'destination' AS destination, (g->>'used')::bigint AS used, (g->>'unit_kind')::int AS unit_kind,
           (g->>'cost')::bigint AS amount
    FROM cdr c CROSS JOIN LATERAL jsonb_array_elements(c.groups) AS g
    WHERE c.account_id = $1 AND c.entry_number > $2 AND c.entry_number <= $3
    ORDER BY c.started_at, c.entry_number
"""


async def details_of(connection: Any, spans: Sequence[Span], first_ms: int) -> list[Detail]:
    """The records behind an invoice, by account and time; those from before ``first_ms`` are late ones."""
    found: list[Detail] = []
    for span in spans:
        for row in await connection.fetch(DETAILS, *span[:3]):
            started_at_ms = milliseconds(row["started_at"])
            found.append(
                Detail(
                    row["account_id"],
                    row["entry_number"],
                    started_at_ms,
                    row["subscriber"],
                    row["service"],
                    row["number"],
                    row["destination"],
                    row["used"],
                    UNITS.get(UnitKind(row["unit_kind"]), ""),
                    row["amount"],
                    started_at_ms < first_ms,
                )
            )
    return found


def _day_after(day: date) -> date:
    return date.fromordinal(day.toordinal() + 1)
