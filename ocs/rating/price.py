"""The price of one service use, and its exact inverse.

Both are integers at the currency's scale and cost a constant handful of operations, however long the call.

    billed(u) = 0                                          for u <= 0
    billed(u) = initial + ceil((u - initial) / next) x next, never below initial; u is at least ``minimum``
    cost(u)   = round(setup + initial x initial_rate / per + (billed - initial) x next_rate / per)

The sum is kept as a fraction over ``per`` until the end, so it is rounded once per call: a price per minute that is
billed by the second does not drift, and the debits of a session add up to C(total) whatever the number of updates.
Callers hold the result against 63 bits; the functions themselves never wrap.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final

import msgspec

from balance.money import Amount
from ocs.rating.units import UnitKind


class Rounding(IntEnum):
    """How the amount of a call, rounded once, is brought to its digits."""

    UP = 1
    HALF_UP = 2
    DOWN = 3


_UP: Final = Rounding.UP
_DOWN: Final = Rounding.DOWN


class Price(msgspec.Struct, array_like=True, frozen=True, gc=False):
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


class Tariff(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """The price that applies, and where it comes from: plan, tariff name, destination, matched prefix, file:line."""

    price: Price
    plan: str
    name: str
    destination: str
    prefix: str
    source: str
    version: str
    valid_until_ms: int = 0


def billed_units(price: Price, used_units: int) -> int:
    """Bring a use to the increments it is billed by: d <= I is I, else I + ceil((d - I) / N) x N."""
    if used_units <= 0:
        return 0
    initial = price.initial
    used_units = max(used_units, price.minimum)
    if used_units <= initial:
        return initial
    step = price.next
    return initial - (initial - used_units) // step * step


def cost_of(price: Price, used_units: int) -> Amount:
    """Price a session's total use, rounded once. Charge the difference to what was debited before."""
    billed = billed_units(price, used_units)
    if billed == 0:
        return 0
    initial, per, quantum = price.initial, price.per, price.quantum
    exact = price.setup * per + initial * price.initial_rate + (billed - initial) * price.next_rate
    if quantum == 1 and price.rounding is _UP:  # the usual case: the currency's full scale
        return -(-exact // per)
    return _rounded(exact, per * quantum, price.rounding) * quantum


def units_within(price: Price, budget: Amount, limit: int) -> int:
    """Find the largest use in 0..limit that costs no more than ``budget``: the exact inverse of ``cost_of``.

    An increment that is paid may be used to its end: 0.50 buys 60 s at 0.30 per started minute.
    """
    if limit <= 0 or budget < 0:
        return 0
    if cost_of(price, limit) <= budget:
        return limit
    if cost_of(price, 1) > budget:
        return 0
    # The price of the limit is above the budget and that of the first unit is not: so the following increments
    # have a price, and the end of the last one that is paid lies below the limit.
    divisor = price.per * price.quantum
    exact_max = _largest_rounding_to(budget // price.quantum, divisor, price.rounding)
    left = exact_max - price.setup * price.per - price.initial * price.initial_rate
    return price.initial + left // (price.next * price.next_rate) * price.next


def next_step(price: Price, used_units: int) -> int:
    """Count the units from a use to the end of the first increment that it has not paid.

    A grant is final when what the account has left cannot pay ``cost_of(used + step) - cost_of(used)``.
    """
    paid = billed_units(price, used_units)
    return billed_units(price, paid + 1) - max(used_units, 0)


def is_free(price: Price) -> bool:
    """Tell whether no use ever costs anything: no credit control is needed then."""
    return price.setup == 0 and price.next_rate == 0 and (price.initial == 0 or price.initial_rate == 0)


def _rounded(exact: int, divisor: int, rounding: Rounding) -> int:
    if rounding is _UP:
        return -(-exact // divisor)
    if rounding is _DOWN:
        return exact // divisor
    return (2 * exact + divisor) // (2 * divisor)


def _largest_rounding_to(steps: int, divisor: int, rounding: Rounding) -> int:
    """Invert ``_rounded``: the largest exact sum that comes to no more than ``steps``."""
    if rounding is _UP:
        return steps * divisor
    if rounding is _DOWN:
        return (steps + 1) * divisor - 1
    return ((2 * steps + 1) * divisor - 1) // 2
