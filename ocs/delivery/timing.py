"""When a message may leave: after quiet hours of its receiver's clock, and after longer and longer waits. Pure."""

from __future__ import annotations

from datetime import datetime, time, timedelta
from hashlib import blake2b
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

from ocs.billing.moments import EPOCH, milliseconds

DOUBLINGS_MAX: Final = 40
SPREAD_PERCENT: Final = 20


class Quiet(NamedTuple):
    """Hours in which people are left in peace, ``[begins, ends)`` by their clock; the same time twice: none."""

    begins: time
    ends: time


def clock_of(text: str) -> time | None:
    """A time of day such as ``21:00``; None: it is none."""
    try:
        return time.fromisoformat(text)
    except ValueError:
        return None


def quiet_of(begins: str, ends: str, others: Quiet) -> Quiet:
    """Somebody's own quiet hours; both empty: the others."""
    own_begins, own_ends = clock_of(begins), clock_of(ends)
    return others if own_begins is None or own_ends is None else Quiet(own_begins, own_ends)


class Patience(NamedTuple):
    """How often a message is tried, and how long it waits in between: ``first_s``, twice that, ... up to ``longest_s``."""

    attempts_max: int = 16
    first_s: int = 5
    longest_s: int = 14_400


def out_of_quiet_ms(at_ms: int, quiet: Quiet, zone: str) -> int:
    """The instant itself, or the end of the quiet hours that it lies in."""
    if quiet.begins == quiet.ends:
        return at_ms
    info = ZoneInfo(zone)
    local = (EPOCH + timedelta(milliseconds=at_ms)).astimezone(info)
    wraps = quiet.begins > quiet.ends
    is_late, is_early = local.time() >= quiet.begins, local.time() < quiet.ends
    if not (is_late or is_early if wraps else is_late and is_early):
        return at_ms
    day = local.date() + timedelta(days=1) if wraps and is_late else local.date()
    # Where the clocks leave out the end of the quiet hours, it is over when they have passed it.
    return max(at_ms, milliseconds(datetime.combine(day, quiet.ends, info)))


def wait_ms(patience: Patience, attempts: int, message_id: str) -> int | None:
    """How long to wait after so many attempts; None: it is given up.

    Up to a fifth longer, by the message's name, so that what failed together does not come again together.
    """
    if attempts >= patience.attempts_max:
        return None
    doublings = min(max(0, attempts - 1), DOUBLINGS_MAX)
    base_ms = min(patience.longest_s, patience.first_s << doublings) * 1000
    chance = int.from_bytes(blake2b(f"{message_id} {attempts}".encode(), digest_size=4).digest(), "big")
    return base_ms + base_ms * (chance % (SPREAD_PERCENT + 1)) // 100
