"""The price of one service use, and its exact inverse.

Both are integers at the currency's scale and cost a constant handful of operations, however long the call.
"""

from __future__ import annotations

from enum import IntEnum

import msgspec

from balance.money import Amount
from ocs.rating.units import UnitKind


class Rounding(IntEnum):
    """How the amount of a call, rounded once, is brought to its digits."""

    UP = 1
    HALF_UP = 2
    DOWN = 3


class Price(msgspec.Struct, array_like=True, frozen=True):
    """Use u > 0 is billed as ``initial`` units, then in steps of ``next`` units, never less than ``minimum``.

    ``initial_rate`` and ``next_rate`` are amounts per ``per`` units (60 for a price per minute). ``setup`` is due
    with the first use. ``quantum`` is what the total is rounded to: 1 is the currency's full scale.
    """

    kind: UnitKind
    setup: Amount
    initial: int
    next: int
    initial_rate: Amount
    next_rate: Amount
    per: int
    minimum: int = 0
    quantum: int = 1
    rounding: Rounding = Rounding.UP


class Tariff(msgspec.Struct, array_like=True, frozen=True):
    """The price that applies, and where it comes from: plan, tariff name, destination, matched prefix, file:line."""

    price: Price
    plan: str
    name: str
    destination: str
    prefix: str
    source: str
    version: str
    valid_until_ms: int = 0
