"""The kinds of quantity that are granted, reported and priced, and how rate files write them."""

from __future__ import annotations

import re
from enum import IntEnum
from typing import Final


class UnitKind(IntEnum):
    """SECONDS of time, OCTETS of volume, EVENTS (service-specific units: messages, downloads), MONEY asked as such."""

    SECONDS = 1
    OCTETS = 2
    EVENTS = 3
    MONEY = 4


# The unit of a price, in a file always named, because "0.30" alone has been read as per second, minute and increment.
PRICE_UNITS: Final[dict[str, tuple[UnitKind, int]]] = {
    "second": (UnitKind.SECONDS, 1),
    "minute": (UnitKind.SECONDS, 60),
    "hour": (UnitKind.SECONDS, 3600),
    "octet": (UnitKind.OCTETS, 1),
    "kB": (UnitKind.OCTETS, 10**3),
    "KiB": (UnitKind.OCTETS, 2**10),
    "MB": (UnitKind.OCTETS, 10**6),
    "MiB": (UnitKind.OCTETS, 2**20),
    "GB": (UnitKind.OCTETS, 10**9),
    "GiB": (UnitKind.OCTETS, 2**30),
    "event": (UnitKind.EVENTS, 1),
}

_SUFFIXES: Final[dict[str, tuple[UnitKind, int]]] = PRICE_UNITS | {
    "s": (UnitKind.SECONDS, 1),
    "min": (UnitKind.SECONDS, 60),
}
_QUANTITY: Final = re.compile(r"(\d{1,15}) ?([A-Za-z]*)", re.ASCII)


def parse_quantity(text: str, kind: UnitKind) -> int:
    """Read an increment such as ``60``, ``60 s`` or ``1 MiB`` in the base unit of ``kind``; ValueError says what is wrong."""
    match = _QUANTITY.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is not a whole number of units such as 60, 60 s or 1 MiB")
    if not match[2]:
        return int(match[1])
    suffix = _SUFFIXES.get(match[2])
    if suffix is None or suffix[0] is not kind:
        raise ValueError(f"{match[2]!r} is not a unit of {kind.name.lower()}")
    return int(match[1]) * suffix[1]


def price_unit_name(kind: UnitKind, units: int) -> str:
    """Say per what a price is: ``minute``, ``MiB``, or ``90 seconds`` where the unit has no name."""
    for name, unit in PRICE_UNITS.items():
        if unit == (kind, units):
            return name
    return f"{units} {kind.name.lower()}"


def quantity_text(kind: UnitKind, units: int) -> str:
    """Write a quantity for people: ``61 s``, ``2 MiB``, ``1 event``."""
    if kind is UnitKind.SECONDS:
        return f"{units} s"
    if kind is UnitKind.OCTETS:
        for name in ("GiB", "MiB", "KiB"):
            size = PRICE_UNITS[name][1]
            if units >= size and units % size == 0:
                return f"{units // size} {name}"
        return f"{units} octets"
    name = kind.name.lower()
    return f"{units} {name.removesuffix('s') if units == 1 else name}"
