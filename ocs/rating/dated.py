"""What holds from one instant to another: half-open intervals in UTC milliseconds, and their order.

Versions of one thing (a prefix's price, a group's tariff) never overlap once they are settled: the one that started last
holds, so one without an end is ended by its successor.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, date, datetime, time, timedelta
from heapq import heappop, heappush
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
    """Two versions of equal rank that claim the same instant, in the order of the file."""

    earlier: T
    later: T


class Settled(NamedTuple, Generic[T]):
    """What holds when. ``cuts`` are lawful: a written end reached into a version that started later, and was cut."""

    versions: tuple[Version[T], ...]
    clashes: list[Clash[T]]
    cuts: list[Clash[T]]


def settle(versions: Iterable[Version[T]], priority_of: Callable[[T], int] = lambda _: 0) -> Settled[T]:
    """Find what holds at each instant: of the versions in force the one that started last, then of the highest priority.

    One without an end is ended by its successor. Equal start and equal priority is a clash.
    """
    ordered = sorted(versions, key=lambda version: (version.from_ms, priority_of(version.what)))
    clashes: list[Clash[T]] = []
    cuts: list[Clash[T]] = []
    for earlier, later in pairwise(ordered):
        if earlier.from_ms == later.from_ms and priority_of(earlier.what) == priority_of(later.what):
            clashes.append(Clash(earlier.what, later.what))
        elif earlier.from_ms < later.from_ms < earlier.to_ms != FOREVER_MS:
            cuts.append(Clash(earlier.what, later.what))
    return Settled(tuple(_swept(_ended(ordered))), clashes, cuts)


def _ended(ordered: list[Version[T]]) -> list[Version[T]]:
    """End each version without an end where the next one starts: it does not come back when that one ends."""
    starts = [*sorted({version.from_ms for version in ordered}), FOREVER_MS]
    return [
        version._replace(to_ms=min(version.to_ms, starts[bisect_right(starts, version.from_ms)]))
        if version.to_ms == FOREVER_MS
        else version
        for version in ordered
    ]


def _swept(ordered: list[Version[T]]) -> Iterator[Version[T]]:
    """Go from instant to instant; the newest version that has begun and not ended holds."""
    points = sorted({instant for version in ordered for instant in (version.from_ms, version.to_ms)})
    begun: list[int] = []  # a heap of negated places in ``ordered``: the newest is on top
    at = 0
    held: Version[T] | None = None
    for point, following in pairwise(points):
        while at < len(ordered) and ordered[at].from_ms <= point:
            heappush(begun, -at)
            at += 1
        while begun and ordered[-begun[0]].to_ms <= point:
            heappop(begun)
        newest = ordered[-begun[0]].what if begun else None
        if held is not None and newest is held.what:
            held = held._replace(to_ms=following)
            continue
        if held is not None:
            yield held
        held = None if newest is None else Version(point, following, newest)
    if held is not None:
        yield held


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
