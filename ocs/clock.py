"""The only place where wall-clock time is read. Everything else takes ``now_ms`` as an argument."""

from __future__ import annotations

import time


def now_ms() -> int:
    """UTC milliseconds since 1970."""
    return time.time_ns() // 1_000_000
