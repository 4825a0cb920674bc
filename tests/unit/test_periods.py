"""Where a period ends: midnights of a zone, months of every length, days on which clocks change."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocs.rating.periods import day_end_ms, period_end_ms


def instant(text: str, zone: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp() * 1000)


@pytest.mark.parametrize(
    ("every", "zone", "cycle_day", "at", "end"),
    [
        ("day", "Europe/Berlin", 0, "2026-09-21T14:00:00", "2026-09-22T00:00:00"),
        ("day", "Europe/Berlin", 0, "2026-10-25T01:00:00", "2026-10-26T00:00:00"),  # 25 hours
        ("day", "Asia/Tokyo", 0, "2026-09-21T23:59:59.999", "2026-09-22T00:00:00"),
        ("week", "Europe/Berlin", 0, "2026-09-21T00:00:00", "2026-09-28T00:00:00"),  # a Monday
        ("week", "Europe/Berlin", 0, "2026-09-27T23:59:59", "2026-09-28T00:00:00"),
        ("month", "Europe/Berlin", 15, "2026-12-31T23:59:59", "2027-01-01T00:00:00"),
        ("month", "Europe/Berlin", 0, "2027-02-01T00:00:00", "2027-03-01T00:00:00"),
        ("cycle", "Europe/Berlin", 0, "2026-09-21T00:00:00", "2026-10-01T00:00:00"),
        ("cycle", "Europe/Berlin", 15, "2026-09-14T23:59:59", "2026-09-15T00:00:00"),
        ("cycle", "Europe/Berlin", 15, "2026-09-15T00:00:00", "2026-10-15T00:00:00"),
        ("cycle", "Europe/Berlin", 31, "2027-02-27T12:00:00", "2027-02-28T00:00:00"),  # the last day there is [3.13]
        ("cycle", "Europe/Berlin", 31, "2027-02-28T00:00:00", "2027-03-31T00:00:00"),
        ("cycle", "Europe/Berlin", 31, "2027-03-31T00:00:00", "2027-04-30T00:00:00"),
    ],
)
def test_a_period_ends_where_its_zone_has_midnight(every: str, zone: str, cycle_day: int, at: str, end: str) -> None:
    """Half-open: the instant of the end is in the next period."""
    assert period_end_ms(every, zone, instant(at, zone), cycle_day) == instant(end, zone)


def test_a_validity_ends_with_a_local_day() -> None:
    """Thirty days from any time of a day end at the same midnight, an hour apart where clocks have changed."""
    begun = instant("2026-10-01T00:00:01", "Europe/Berlin")
    assert day_end_ms("Europe/Berlin", begun, 0) == instant("2026-10-02T00:00:00", "Europe/Berlin")
    assert day_end_ms("Europe/Berlin", begun, 30) == instant("2026-11-01T00:00:00", "Europe/Berlin")


@given(
    st.sampled_from(["day", "week", "month", "cycle"]),
    st.sampled_from(["UTC", "Europe/Berlin", "America/Sao_Paulo", "Pacific/Apia", "Asia/Kathmandu"]),
    st.integers(1_000_000_000_000, 2_500_000_000_000),
    st.integers(0, 31),
)
def test_periods_follow_each_other_without_gap(every: str, zone: str, at_ms: int, cycle_day: int) -> None:
    """Of every instant the end lies after it, and the last instant before that end has the same one."""
    end_ms = period_end_ms(every, zone, at_ms, cycle_day)
    assert at_ms < end_ms <= at_ms + 32 * 86_400_000
    assert period_end_ms(every, zone, end_ms - 1, cycle_day) == end_ms
    assert period_end_ms(every, zone, end_ms, cycle_day) > end_ms
