"""The kinds of quantity that are granted, reported and priced."""

from __future__ import annotations

from enum import IntEnum


class UnitKind(IntEnum):
    """SECONDS of time, OCTETS of volume, EVENTS (service-specific units: messages, downloads), MONEY asked as such."""

    SECONDS = 1
    OCTETS = 2
    EVENTS = 3
    MONEY = 4
