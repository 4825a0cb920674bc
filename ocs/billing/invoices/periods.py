"""Billing periods as local dates: when they begin, which instant that is, and what a part of one costs.

A period is ``[first, after)``: half-open, in the customer's time zone. Nothing here counts hours, so a day of 23 or 25
of them is a day like all others; only ``instant_ms`` knows the zone.
"""

from __future__ import annotations

import calendar
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

from balance.money import Amount
from ocs.billing.invoices.rounding import quotient

MONTHS_PER_YEAR = 12


class Period(NamedTuple):
    """Local dates, the last one not in it."""

    first: date
    after: date

    @property
    def days(self) -> int:
        return (self.after - self.first).days


def anchored(year: int, month: int, day: int) -> date:
    """The date in a month on which a cycle of that day begins: the month's last one where it is shorter."""
    return date(year, month, min(day, calendar.monthrange(year, month)[1]))


def _shifted(year: int, month: int, months: int) -> tuple[int, int]:
    count = year * MONTHS_PER_YEAR + month - 1 + months
    return count // MONTHS_PER_YEAR, count % MONTHS_PER_YEAR + 1


def period_of(day: date, cycle_day: int, months: int = 1) -> Period:
    """The period that ``day`` lies in, of a cycle that begins on ``cycle_day`` (1 to 31) every ``months`` months.

    Cycles of several months are counted from January: quarters begin in January, April, July and October.
    """
    assert 1 <= cycle_day <= 31, "a month has at most 31 days"
    year, month = day.year, day.month
    if day < anchored(year, month, cycle_day):
        year, month = _shifted(year, month, -1)
    month -= (month - 1) % months
    first = anchored(year, month, cycle_day)
    return Period(first, anchored(*_shifted(year, month, months), cycle_day))


def periods_between(since: date, until: date, cycle_day: int, months: int = 1) -> list[Period]:
    """The periods that have a day in ``[since, until)``, whole, in their order."""
    found: list[Period] = []
    day = since
    while day < until:
        found.append(period_of(day, cycle_day, months))
        day = found[-1].after
    return found


def overlap(one: Period, other: Period) -> Period | None:
    """The days that lie in both."""
    first, after = max(one.first, other.first), min(one.after, other.after)
    return Period(first, after) if first < after else None


def prorated(amount: Amount, used: Period, whole: Period) -> Amount:
    """The part of a period's price for some of its days: the divisor is the whole period, never what is left of it."""
    assert whole.first <= used.first <= used.after <= whole.after, "the days lie in the period"
    return amount if used == whole else quotient(amount * used.days, whole.days)


def instant_ms(day: date, zone: str) -> int:
    """When a local date begins, in UTC milliseconds. Where that clock hour is left out, the day begins after it."""
    begins = datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(zone))
    return int(begins.astimezone(UTC).timestamp()) * 1000


def local_date(at_ms: int, zone: str) -> date:
    """The date that an instant has in a zone."""
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=at_ms)).astimezone(ZoneInfo(zone)).date()
