"""Usage for an invoice, out of the books: which entries it covers, and what they come to by service and destination.

An account's entries are numbered without gaps, in the order in which they were decided. An invoice covers a span of
them: from where the invoice before ended to the last one decided before the period's end. A record that comes late has
a higher number than all that came before, so it lies in a later span by itself; one that is missing in the books (the
outbox has not brought it yet) ends the span in front of the gap.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from datetime import date
from typing import Any, Final, NamedTuple

import msgspec

from ocs.billing.failures import FAILURES, unavailable
from ocs.billing.groups import TERMS
from ocs.billing.invoices.calculation import Charge, ChargeKind
from ocs.billing.invoices.periods import local_date
from ocs.billing.moments import milliseconds, moment
from ocs.rating.units import UnitKind

UNITS: Final = {UnitKind.SECONDS: "s", UnitKind.OCTETS: "octets", UnitKind.EVENTS: "events"}
PREFETCHED: Final = 500
ADJUSTED: Final = ("adjustment", "refund", "package", "tier")

# The journal is read once: how far an account's entries go, how many there are, and which are no records.
SPANS: Final = """
    SELECT a.account_id, b.after_entry, j.last_entry, j.entries, j.others
    FROM unnest($1::text[], $2::timestamptz[]) AS a (account_id, until)
    CROSS JOIN LATERAL (
        SELECT coalesce(max(s.last_entry), 0) AS after_entry FROM invoice_span s WHERE s.account_id = a.account_id
    ) AS b
    CROSS JOIN LATERAL (
        SELECT coalesce(max(entry_number), b.after_entry) AS last_entry, count(*) AS entries,
               array_agg(entry_number) FILTER (WHERE kind = ANY($3::text[]) AND amount <> 0) AS others
        FROM journal WHERE account_id = a.account_id AND entry_number > b.after_entry AND at < a.until
    ) AS j
"""
FIRST_GAP: Final = """
    SELECT n.number - 1 AS last FROM (
        SELECT entry_number, row_number() OVER (ORDER BY entry_number) + $2 AS number
        FROM journal WHERE account_id = $1 AND entry_number > $2 AND entry_number <= $3
    ) AS n WHERE n.entry_number <> n.number ORDER BY n.number LIMIT 1
"""
# One line for each service, destination, kind of unit and tax; amounts are what the records cost, tax inside or not.
# LATERAL: each account's records are found by the key, however many accounts the planner expects.
USAGE: Final = f"""
    SELECT s.account_id, u.*
    FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::timestamptz[])
        AS s (account_id, after_entry, last_entry, late_before)
    CROSS JOIN LATERAL (
        SELECT c.started_at < s.late_before AS is_late, c.service, g->>'destination' AS destination,
               (g->>'unit_kind')::int AS unit_kind,
               coalesce(({TERMS}->'tax'->>0)::int, 0) AS tax_rate,
               coalesce({TERMS}->'tax'->>2, '') AS tax_code,
               count(*) AS records, sum((g->>'used')::bigint)::bigint AS used,
               sum((g->>'cost')::bigint)::bigint AS amount, min(c.started_at) AS first, max(c.started_at) AS last
        FROM cdr c CROSS JOIN LATERAL jsonb_array_elements(c.groups) AS g
        WHERE c.account_id = s.account_id AND c.entry_number > s.after_entry AND c.entry_number <= s.last_entry
        GROUP BY 1, 2, 3, 4, 5, 6
    ) AS u
    ORDER BY 1, 2, 3, 4, 5, 6, 7
"""  # noqa: S608 - our own
OTHERS: Final = """
    SELECT j.account_id, j.kind, j.at, j.amount, j.reason
    FROM unnest($1::text[], $2::bigint[]) AS o (account_id, entry_number)
    JOIN journal j USING (account_id, entry_number)
    WHERE NOT EXISTS (SELECT FROM cdr c WHERE c.account_id = j.account_id AND c.entry_number = j.entry_number)
    ORDER BY j.account_id, j.entry_number
"""


class Span(NamedTuple):
    """Entries ``(after_entry, last_entry]`` of one account; ``is_cut`` if the next one is missing in the books.

    ``others`` are those among them that may be no records: adjustments, packages.
    """

    account_id: str
    after_entry: int
    last_entry: int
    is_cut: bool = False
    others: tuple[int, ...] = ()


class Wanted(NamedTuple):
    """Whose entries are to be billed, and how: those decided before ``until_ms``, with days in ``zone``.

    Records from before ``late_before_ms`` are lines of their own, and late.
    """

    account_id: str
    until_ms: int
    zone: str
    usage_tax: str
    late_before_ms: int = 0


async def next_spans(connection: Any, wanted: Sequence[Wanted]) -> dict[str, Span]:
    """Of each account the entries that no invoice covers yet."""
    accounts, untils = [each.account_id for each in wanted], [moment(each.until_ms) for each in wanted]
    spans = {}
    for account_id, after, last, entries, others in await connection.fetch(SPANS, accounts, untils, ADJUSTED):
        gap = await connection.fetchval(FIRST_GAP, account_id, after, last) if last - after != entries else None
        end = gap if gap is not None else last
        kept = tuple(number for number in others or () if number <= end)
        spans[account_id] = Span(account_id, after, end, gap is not None, kept)
    return spans


async def usage_charges(
    connection: Any, wanted: Sequence[Wanted], spans: Mapping[str, Span]
) -> dict[str, list[Charge]]:
    """What the records of each account's span cost, by service and destination; then its adjustments and packages."""
    by_account = {each.account_id: each for each in wanted}
    charges: dict[str, list[Charge]] = {each.account_id: [] for each in wanted}
    filled = [(*spans[name][:3], moment(each.late_before_ms)) for name, each in by_account.items()]
    for row in await connection.fetch(USAGE, *map(list, zip(*filled, strict=True))):
        account_id = row["account_id"]
        charges[account_id].append(_usage_charge(by_account[account_id], row))
    others = [(span.account_id, number) for span in spans.values() for number in span.others]
    if others:
        for row in await connection.fetch(OTHERS, *map(list, zip(*others, strict=True))):
            account_id = row["account_id"]
            charges[account_id].append(_other_charge(by_account[account_id], row))
    return charges


def _usage_charge(wanted: Wanted, row: Mapping[str, Any]) -> Charge:
    return Charge(
        kind=ChargeKind.USAGE,
        text=row["destination"] or row["service"],
        account_id=wanted.account_id,
        amount=row["amount"],
        tax_code=row["tax_code"] or wanted.usage_tax,
        first=local_date(milliseconds(row["first"]), wanted.zone),
        after=_day_after(local_date(milliseconds(row["last"]), wanted.zone)),
        is_debited=True,
        included_rate=row["tax_rate"],
        service=row["service"],
        destination=row["destination"],
        records=row["records"],
        used=row["used"],
        unit=UNITS.get(UnitKind(row["unit_kind"]), ""),
        is_late=row["is_late"],
    )


def _other_charge(wanted: Wanted, row: Mapping[str, Any]) -> Charge:
    day = local_date(milliseconds(row["at"]), wanted.zone)
    return Charge(
        kind=ChargeKind.ADJUSTMENT,
        text=row["reason"] or row["kind"],
        account_id=wanted.account_id,
        amount=-row["amount"],
        tax_code=wanted.usage_tax,
        first=day,
        after=_day_after(day),
        is_debited=True,
        records=1,
    )


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


async def details_of(connection: Any, spans: Sequence[Span], first_ms: int) -> AsyncGenerator[Detail, None]:
    """The records behind an invoice, by account and time, as they are read; those from before ``first_ms`` are late ones.

    Raises BackendUnavailable.
    """
    try:
        async with connection.transaction():
            for span in spans:
                async for row in connection.cursor(DETAILS, *span[:3], prefetch=PREFETCHED):
                    yield _detail(row, first_ms)
    except FAILURES as error:
        raise unavailable(error) from error


def _detail(row: Mapping[str, Any], first_ms: int) -> Detail:
    started_at_ms = milliseconds(row["started_at"])
    return Detail(
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


def _day_after(day: date) -> date:
    return date.fromordinal(day.toordinal() + 1)
