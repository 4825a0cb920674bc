"""The text forms inside Cisco's ``h323-*`` attributes and their kin: call ids, times, causes."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MONTHS: Final = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_ZONES_OF_UTC: Final = frozenset(("utc", "gmt", "z", ""))

_CISCO: Final = re.compile(
    r"(?P<hour>\d{1,2}):(?P<minute>\d\d):(?P<second>\d\d)(?:\.(?P<fraction>\d{1,9}))?"
    r"\s+(?P<zone>[A-Za-z]+|(?:GMT|UTC)?[+-]\d\d?(?::?\d\d)?)(?:\s+[A-Za-z]{3})?\s+(?P<month>[A-Za-z]{3})\s+(?P<day>\d{1,2})\s+(?P<year>\d{4})",
    re.ASCII,
)
_ISO: Final = re.compile(
    r"(?P<year>\d{4})-(?P<month>\d\d)-(?P<day>\d\d)[T _](?P<hour>\d\d):(?P<minute>\d\d):(?P<second>\d\d)"
    r"(?:\.(?P<fraction>\d{1,9}))?\s*(?P<zone>[A-Za-z]*|[+-]\d\d:?\d\d)",
    re.ASCII,
)
_EPOCH_SECONDS: Final = re.compile(r"(?P<seconds>\d{1,11})(?:\.(?P<fraction>\d{1,9}))?", re.ASCII)
_CONF_ID: Final = re.compile(r"[0-9A-Fa-f]{1,8}(?:[ \t]+[0-9A-Fa-f]{1,8}){3}", re.ASCII)


class CallTime(NamedTuple):
    """``at_ms`` as UTC; ``is_trusted`` False if the gateway's clock had no source, or if its zone's name is ambiguous."""

    at_ms: int
    is_trusted: bool


def parse_time(text: str) -> CallTime | None:
    """``09:33:37.657 UTC Tue Dec 8 2015`` (``GMT+4`` is four hours east), ISO 8601, or epoch seconds with a fraction.

    A leading ``*`` (clock never set) or ``.`` (clock lost its source) makes the time untrusted. A zone given as an
    abbreviation other than UTC and GMT is read as UTC and untrusted: differences within one record stay right.
    """
    stripped = text.strip()
    marked = stripped[:1] in ("*", ".")
    if marked:
        stripped = stripped[1:].lstrip()
    seconds = _EPOCH_SECONDS.fullmatch(stripped)
    if seconds is not None:
        return CallTime(int(seconds["seconds"]) * 1000 + _milliseconds(seconds["fraction"]), not marked)
    match = _CISCO.fullmatch(stripped) or _ISO.fullmatch(stripped)
    return None if match is None else _call_time(match, is_marked=marked)


def _call_time(match: re.Match[str], *, is_marked: bool) -> CallTime | None:
    month = match["month"]
    if not month.isdigit():
        if month.lower() not in _MONTHS:
            return None
        month = str(_MONTHS.index(month.lower()) + 1)
    numbers = [
        int(part) for part in (match["year"], month, match["day"], match["hour"], match["minute"], match["second"])
    ]
    try:
        local = datetime(*numbers, tzinfo=UTC)  # type: ignore[arg-type,misc]  # six ints in the order of datetime's
    except ValueError:
        return None
    offset_minutes, is_zone_known = _zone(match["zone"])
    at_ms = (local - _EPOCH) // timedelta(milliseconds=1) + _milliseconds(match["fraction"]) - offset_minutes * 60_000
    return CallTime(at_ms, is_zone_known and not is_marked)


def _milliseconds(fraction: str | None) -> int:
    return int(fraction[:3].ljust(3, "0")) if fraction else 0


def _zone(zone: str) -> tuple[int, bool]:
    """Minutes east of UTC, and whether they are known."""
    offset = zone.removeprefix("GMT").removeprefix("UTC")
    if offset[:1] in ("+", "-"):
        digits = offset[1:].replace(":", "")
        minutes = int(digits[:2]) * 60 + int(digits[2:] or 0)
        return (-minutes if offset[0] == "-" else minutes), True
    return 0, zone.lower() in _ZONES_OF_UTC


def normal_conf_id(text: str) -> str:
    """An h323-conf-id as 32 lower-case digits: four groups of hex, whose leading zeros may be missing.

    What has another form stays as it is: it is compared octet by octet then [R-74].
    """
    stripped = text.strip()
    if _CONF_ID.fullmatch(stripped) is None:
        return stripped
    return "".join(group.zfill(8) for group in stripped.lower().split())


def cause_of_hex(text: str) -> int | None:
    """h323-disconnect-cause is a Q.850 cause in hex: ``10`` is 16, normal clearing."""
    if not text:  # as of every client that gives none: an exception would cost more than the rest of its record's cause
        return None
    try:
        cause = int(text.strip(), 16)
    except ValueError:
        return None
    return cause if 0 <= cause <= 127 else None


def cause_of_decimal(text: str) -> int | None:
    """The products that write it in decimal; some add the hex in brackets, ``22 (0x16)``."""
    number = text.strip().partition(" ")[0]
    return int(number) if number.isascii() and number.isdigit() and len(number) <= 3 and int(number) <= 127 else None


def dialled_digits(text: str) -> str:
    """gw-rxd-cdn has the form ``ton:x,npi:y,#:digits``; any other text is the number itself."""
    _, marker, digits = text.rpartition("#:")
    return digits if marker else text
