"""What holds from one instant to another: half-open intervals in UTC milliseconds, and their order.

Versions of one thing (a prefix's price, a group's tariff) never overlap once they are settled: one without an end is
ended by its successor; an end that is written out and reaches into the successor is a contradiction in the file.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from typing import Final, Generic, NamedTuple, TypeVar

T = TypeVar("T")

EVER_MS: Final = 0
FOREVER_MS: Final = 2**63 - 1
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)


class Version(NamedTuple, Generic[T]):
    """``what`` holds for from_ms <= t < to_ms."""

    from_ms: int
    to_ms: int
    what: T


class Clash(NamedTuple, Generic[T]):
    """Two versions that claim the same instant, the one that starts earlier first."""

    earlier: T
    later: T


def settle(versions: Iterable[Version[T]]) -> tuple[tuple[Version[T], ...], list[Clash[T]]]:
    """Order versions by their start and end each open one where its successor starts."""
    ordered = sorted(versions, key=lambda version: version.from_ms)
    clashes: list[Clash[T]] = []
    for at, (earlier, later) in enumerate(pairwise(ordered)):
        if earlier.from_ms == later.from_ms or later.from_ms < earlier.to_ms != FOREVER_MS:
            clashes.append(Clash(earlier.what, later.what))
        ordered[at] = earlier._replace(to_ms=min(earlier.to_ms, later.from_ms))
    return tuple(ordered), clashes


def instant_ms(value: str | date) -> int:
    """Read ``2026-09-21`` (its midnight UTC) or an ISO 8601 date and time (UTC unless it names an offset)."""
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    elif not isinstance(value, datetime):
        value = datetime.combine(value, time())
    if value.tzinfo is None:
        value = value.replace(tzinfo=UTC)
    instant = (value - _EPOCH) // _MILLISECOND
    if instant < 0:
        raise ValueError("lies before 1970")
    return instant
