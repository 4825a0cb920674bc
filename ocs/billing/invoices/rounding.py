"""Rounding of invoices: half up by magnitude, then the sign; and parts that add up to their whole."""

from __future__ import annotations

from collections.abc import Sequence


def quotient(numerator: int, divisor: int) -> int:
    """``numerator / divisor`` to the nearest whole number, a half away from zero, so that a credit mirrors a charge."""
    assert divisor > 0, "a divisor is above zero"
    magnitude = (2 * abs(numerator) + divisor) // (2 * divisor)
    return -magnitude if numerator < 0 else magnitude


def shares(whole: int, weights: Sequence[int]) -> list[int]:
    """Split ``whole`` by weight into whole numbers that add up to it: the largest remainders get the units left over.

    Of equal remainders the first ones do. Weights may be negative (credits beside charges), but their sum is not zero.
    """
    total = sum(weights)
    assert total, "something that weighs nothing cannot be split by weight"
    parts = [whole * weight // total for weight in weights]
    remainders = [whole * weight % total * (1 if total > 0 else -1) for weight in weights]
    left = whole - sum(parts)
    for place in sorted(range(len(weights)), key=lambda at: -remainders[at])[:left]:
        parts[place] += 1
    return parts
