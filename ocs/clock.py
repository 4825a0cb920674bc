"""The only place where wall-clock time is read. Everything else takes ``now_ms`` as an argument."""

from __future__ import annotations

import time
from datetime import UTC, date, datetime
from datetime import time as time_of_day


def now_ms() -> int:
    """UTC milliseconds since 1970."""
    return time.time_ns() // 1_000_000


def local_date() -> date:
    """Today, in the zone of this machine: the operator's day."""
    return day_of(now_ms())


def day_of(at_ms: int) -> date:
    """The operator's day at an instant."""
    return datetime.fromtimestamp(at_ms // 1000, UTC).astimezone().date()


def noon_ms(day: date) -> int:
    """An instant that is on that day of the operator."""
    return int(datetime.combine(day, time_of_day(12)).astimezone().timestamp()) * 1000
