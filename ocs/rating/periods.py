"""When a counter's period ends: at midnight where the account is, after the day, the week, the month or its billing cycle.

Like ``calendar.py`` it knows time zones. The answer is kept per zone, since it changes once a day at most.
"""

from __future__ import annotations

from calendar import monthrange
from datetime import date, datetime, time, timedelta
from typing import Final, Literal, NamedTuple, TypeAlias
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

Every: TypeAlias = Literal["day", "week", "month", "cycle"]

_KEPT_MAX: Final = 4096


class _Span(NamedTuple):
    from_ms: int
    to_ms: int


_kept: Final[dict[tuple[str, str, int], _Span]] = {}


def period_end_ms(every: str, zone: str, at_ms: int, cycle_day: int = 0) -> int:
    """Give the first instant (UTC milliseconds) after the period in which an instant lies.

    A week begins on Monday. A cycle begins on that day of the month, or on its last where it has fewer days; 0 is the
    first. Raises ZoneInfoNotFoundError for a zone that is not known.
    """
    key = (every, zone, cycle_day if every == "cycle" else 0)
    span = _kept.get(key)
    if span is None or not span.from_ms <= at_ms < span.to_ms:
        if len(_kept) >= _KEPT_MAX:
            _kept.clear()
        span = _kept[key] = _span(every, ZoneInfo(zone), at_ms, cycle_day or 1)
    return span.to_ms


def local_day(zone: str, at_ms: int) -> int:
    """Give the day of the month that an instant lies in."""
    return local_date(zone or "UTC", at_ms).day


def local_date(zone: str, at_ms: int) -> date:
    """Give the local day that an instant lies in."""
    return datetime.fromtimestamp(at_ms // 1000, ZoneInfo(zone)).date()


def day_end_ms(zone: str, at_ms: int, days: int) -> int:
    """Give the end of the local day that is so many days after the one of an instant; 0 days: of that day itself."""
    info = ZoneInfo(zone)
    return _midnight_ms(datetime.fromtimestamp(at_ms // 1000, info).date() + timedelta(days=days + 1), info)


def cycle_of(zone: str, at_ms: int, cycle_day: int) -> tuple[int, int]:
    """Give the first instant of the billing cycle that an instant lies in, and the first one after it."""
    span = _span("cycle", ZoneInfo(zone), at_ms, cycle_day or 1)
    return span.from_ms, span.to_ms


def days_between(zone: str, from_ms: int, to_ms: int) -> int:
    """Count the local days from the one of an instant on, which counts in whole, to the midnight ``to_ms``."""
    return (local_date(zone, to_ms) - local_date(zone, from_ms)).days


def is_zone(name: str) -> bool:
    """Tell whether there is a time zone of that name."""
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True


def _span(every: str, zone: ZoneInfo, at_ms: int, cycle_day: int) -> _Span:
    today = datetime.fromtimestamp(at_ms // 1000, zone).date()
    if every == "day":
        first, after = today, today + timedelta(days=1)
    elif every == "week":
        first = today - timedelta(days=today.weekday())
        after = first + timedelta(days=7)
    else:
        first, after = _cycle(today, cycle_day if every == "cycle" else 1)
    return _Span(_midnight_ms(first, zone), _midnight_ms(after, zone))


def _cycle(today: date, day: int) -> tuple[date, date]:
    """The days on which the cycle that holds today began, and on which the next one begins."""
    begins = _in_month(today, day)
    if today >= begins:
        return begins, _in_month(begins.replace(day=1) + timedelta(days=31), day)
    return _in_month(begins.replace(day=1) - timedelta(days=1), day), begins


def _in_month(month: date, day: int) -> date:
    return month.replace(day=min(day, monthrange(month.year, month.month)[1]))


def _midnight_ms(day: date, zone: ZoneInfo) -> int:
    """The first instant of a local day; where clocks jump over midnight, that after the jump."""
    return int(datetime.combine(day, time(), zone).timestamp()) * 1000
