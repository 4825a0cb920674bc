"""Periods are local dates: month's ends, leap years and clock changes do not move them, and parts add up."""

from __future__ import annotations

from datetime import UTC, date, datetime
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocs.billing.invoices.periods import Period, instant_ms, local_date, period_of, periods_between, prorated
from ocs.billing.invoices.rounding import quotient, shares

DAYS = st.dates(date(2000, 1, 1), date(2100, 1, 1))


@pytest.mark.parametrize(
    ("day", "cycle_day", "months", "first", "after"),
    [
        ("2026-10-15", 1, 1, "2026-10-01", "2026-11-01"),
        ("2026-10-14", 15, 1, "2026-09-15", "2026-10-15"),
        ("2026-10-15", 15, 1, "2026-10-15", "2026-11-15"),
        ("2026-02-10", 31, 1, "2026-01-31", "2026-02-28"),  # a day that the month does not have
        ("2026-02-28", 31, 1, "2026-02-28", "2026-03-31"),
        ("2028-02-29", 30, 1, "2028-02-29", "2028-03-30"),
        ("2026-12-31", 1, 1, "2026-12-01", "2027-01-01"),
        ("2026-05-05", 1, 3, "2026-04-01", "2026-07-01"),
        ("2026-01-05", 10, 3, "2025-10-10", "2026-01-10"),
        ("2026-08-09", 1, 12, "2026-01-01", "2027-01-01"),
    ],
)
def test_a_day_lies_in_one_period(day: str, cycle_day: int, months: int, first: str, after: str) -> None:
    """A cycle that begins on the 31st begins on the last day of shorter months, and on the 31st again after them."""
    found = period_of(date.fromisoformat(day), cycle_day, months)
    assert found == Period(date.fromisoformat(first), date.fromisoformat(after))


@given(DAYS, st.integers(1, 31), st.sampled_from([1, 2, 3, 6, 12]), st.integers(0, 800))
def test_periods_follow_one_another(since: date, cycle_day: int, months: int, days: int) -> None:
    """The periods of any span touch, cover it, and each is that of all its days."""
    until = date.fromordinal(since.toordinal() + days)
    found = periods_between(since, until, cycle_day, months)
    assert all(one.after == other.first for one, other in pairwise(found))
    if days:
        assert found[0].first <= since < found[0].after
        assert found[-1].first < until <= found[-1].after
    for period in found:
        assert period_of(period.first, cycle_day, months) == period
        assert period_of(date.fromordinal(period.after.toordinal() - 1), cycle_day, months) == period


def test_a_part_costs_by_the_whole_periods_days() -> None:
    """10 days of October's 31, not of the days that are left; the whole month costs its price."""
    october = Period(date(2026, 10, 1), date(2026, 11, 1))
    assert prorated(31_000, Period(date(2026, 10, 22), date(2026, 11, 1)), october) == 10_000
    assert prorated(1_000, october, october) == 1_000
    assert prorated(-31_000, Period(date(2026, 10, 22), date(2026, 11, 1)), october) == -10_000


@pytest.mark.parametrize(
    ("day", "zone", "instant"),
    [
        ("2026-03-29", "Europe/Berlin", "2026-03-28T23:00:00"),
        ("2026-03-30", "Europe/Berlin", "2026-03-29T22:00:00"),  # the day before had 23 hours
        ("2026-10-26", "Europe/Berlin", "2026-10-25T23:00:00"),  # and this one 25
        ("2026-10-01", "Asia/Tokyo", "2026-09-30T15:00:00"),
        ("2026-09-06", "America/Santiago", "2026-09-06T04:00:00"),  # midnight is left out: it begins at 01:00
    ],
)
def test_a_local_day_begins_at_an_instant(day: str, zone: str, instant: str) -> None:
    """Midnight by the zone's clock; where a change of the clock leaves it out, what comes instead."""
    begins = datetime.fromisoformat(instant).replace(tzinfo=UTC)
    assert instant_ms(date.fromisoformat(day), zone) == int(begins.timestamp()) * 1000
    assert local_date(instant_ms(date.fromisoformat(day), zone), zone) == date.fromisoformat(day)


@given(st.integers(-(10**12), 10**12), st.integers(1, 10**6))
def test_halves_go_away_from_zero(numerator: int, divisor: int) -> None:
    """A credit is rounded as the charge that it takes back."""
    assert quotient(-numerator, divisor) == -quotient(numerator, divisor)
    assert abs(2 * quotient(numerator, divisor) * divisor - 2 * numerator) <= divisor


@given(
    st.integers(-(10**9), 10**9), st.lists(st.integers(-1000, 10**6), min_size=1).filter(lambda found: sum(found) != 0)
)
def test_shares_add_up(whole: int, weights: list[int]) -> None:
    """Whatever is split, nothing is lost, and no share is further than one from its exact part."""
    parts = shares(whole, weights)
    assert sum(parts) == whole
    total = sum(weights)
    for part, weight in zip(parts, weights, strict=True):
        assert abs(part * total - whole * weight) <= abs(total)
