"""The only place where wall-clock time is read. Everything else takes ``now_ms`` as an argument."""

from __future__ import annotations

import time
from datetime import UTC, date, datetime


def now_ms() -> int:
    """UTC milliseconds since 1970."""
    return time.time_ns() // 1_000_000


def local_date() -> date:
    """Today, in the zone of this machine: the operator's day."""
    return datetime.fromtimestamp(now_ms() // 1000, UTC).astimezone().date()
