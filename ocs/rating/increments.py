"""The arithmetic under every price: increments of a use, and the one rounding."""

from __future__ import annotations

from typing import Final

from ocs.rating.terms import Price, Rounding

_UP: Final = Rounding.UP
_DOWN: Final = Rounding.DOWN


def increments(price: Price, units: int) -> int:
    """Fill up the increments of a price: the initial one whole, then every started following one."""
    if units <= 0:
        return 0
    initial = price.initial
    units = max(units, price.minimum)
    if units <= initial:
        return initial
    step = price.next
    return initial - (initial - units) // step * step


def rounded(exact: int, divisor: int, rounding: Rounding) -> int:
    """Divide, and round as the price says."""
    if rounding is _UP:
        return -(-exact // divisor)
    if rounding is _DOWN:
        return exact // divisor
    return (2 * exact + divisor) // (2 * divisor)
