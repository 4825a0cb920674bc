"""The price of one service use, and its exact inverse.

Both are integers at the currency's scale and cost a handful of operations for each segment of the price, however long
the call. The ordinary price has one segment:

    billed(u) = 0                                          for u <= 0
    billed(u) = initial + ceil((u - initial) / next) x next, never below initial; u is at least ``minimum``
    cost(u)   = round(setup + initial x initial_rate / per + (billed - initial) x next_rate / per)

The sum is kept as a fraction over ``per`` until the end, so it is rounded once per call: a price per minute that is
billed by the second does not drift, and the debits of a session add up to C(total) whatever the number of updates.
A price with more to it (fees for attempts, grace, tiers, bands, tax) has ``Terms``; ``charge.py`` computes it.
Callers hold the result against 63 bits; the functions themselves never wrap.
"""

from __future__ import annotations

from typing import Final

from balance.money import Amount
from ocs.rating.charge import charge_of, held_with_terms, is_never_charged
from ocs.rating.increments import increments, rounded
from ocs.rating.terms import Price, Rounding, Tariff, Terms, terms_of

__all__ = [
    "Price",
    "Rounding",
    "Tariff",
    "Terms",
    "billed_units",
    "cost_of",
    "dearer",
    "held_for",
    "is_free",
    "units_within",
    "units_within_both",
]

_UP: Final = Rounding.UP
_DOWN: Final = Rounding.DOWN


def billed_units(price: Price, used_units: int) -> int:
    """Bring a use to the increments it is billed by: d <= I is I, else I + ceil((d - I) / N) x N."""
    if type(price.terms) is Terms:
        return charge_of(price, used_units).billed
    return increments(price, used_units)


def cost_of(price: Price, used_units: int) -> Amount:
    """Price a session's total use, rounded once. Charge the difference to what was debited before.

    A use of nothing costs nothing, unless the price has a fee for attempts.
    """
    if type(price.terms) is Terms:
        return charge_of(price, used_units).total
    billed = increments(price, used_units)
    if billed == 0:
        return 0
    initial, per, quantum = price.initial, price.per, price.quantum
    exact = price.setup * per + initial * price.initial_rate + (billed - initial) * price.next_rate
    if quantum == 1 and price.terms is _UP:  # the usual case: the currency's full scale
        return -(-exact // per)
    return rounded(exact, per * quantum, price.rounding) * quantum


def held_for(price: Price, used_units: int) -> Amount:
    """Give the most that a use of at most so many units can cost: what has to be set aside for a grant.

    That is ``cost_of``, but for volume tiers: there the hundredth unit can make all others cheaper.
    """
    if type(price.terms) is Terms:
        return held_with_terms(price, used_units)
    return cost_of(price, used_units)


def units_within(price: Price, budget: Amount, limit: int) -> int:
    """Find the largest use in 0..limit that never costs more than ``budget``: the exact inverse of ``held_for``.

    An increment that is paid may be used to its end: 0.50 buys 60 s at 0.30 per started minute.
    """
    if limit <= 0 or budget < 0:
        return 0
    if held_for(price, limit) <= budget:
        return limit
    if held_for(price, 1) > budget:
        return 0
    if type(price.terms) is Terms:
        return _bisected(price, budget, limit)
    # The price of the limit is above the budget and that of the first unit is not: so the following increments
    # have a price, and the end of the last one that is paid lies below the limit.
    divisor = price.per * price.quantum
    exact_max = _largest_rounding_to(budget // price.quantum, divisor, price.rounding)
    left = exact_max - price.setup * price.per - price.initial * price.initial_rate
    return price.initial + left // (price.next * price.next_rate) * price.next


def dearer(later: Price, price: Price, used_units: int) -> Amount:
    """Give the most that a use of at most so many units can cost if at some point in it ``later`` takes over.

    The increment that is open then is paid, so as a rule that is what all of it costs by the dearer price. Prices of
    different increments may fit less well into each other, and each side is rounded by itself.
    """
    slack = 0 if price.next == later.next else price.next + later.next
    most = max(held_for(price, used_units + slack), held_for(later, used_units + slack))
    return most + max(_rounding_of(price), _rounding_of(later))


def units_within_both(later: Price, price: Price, budget: Amount, limit: int) -> int:
    """Find the largest use that never costs more than ``budget``, whenever ``later`` takes over: the inverse of ``dearer``."""
    slack = 0 if price.next == later.next else price.next + later.next
    budget -= max(_rounding_of(price), _rounding_of(later))
    return max(0, min(units_within(each, budget, limit + slack) for each in (price, later)) - slack)


def _rounding_of(price: Price) -> Amount:
    """Say by how much a part can cost more than its share of the whole: increments of an even price are not rounded."""
    terms = terms_of(price)
    is_plain = terms.exchange is None and terms.tax is None and not terms.tiers
    return 0 if is_plain and price.next * price.next_rate % (price.per * price.quantum) == 0 else price.quantum


def is_free(price: Price) -> bool:
    """Tell whether no use ever costs anything: no credit control is needed then."""
    return (
        price.setup == 0
        and price.next_rate == 0
        and (price.initial == 0 or price.initial_rate == 0)
        and (type(price.terms) is not Terms or is_never_charged(price))
    )


def _bisected(price: Price, budget: Amount, limit: int) -> int:
    """Halve what lies between a use that can be paid and one that cannot: ``held_for`` never falls."""
    paid, unpaid = 1, limit
    while unpaid - paid > 1:
        middle = (paid + unpaid) // 2
        if held_for(price, middle) <= budget:
            paid = middle
        else:
            unpaid = middle
    return paid


def _largest_rounding_to(steps: int, divisor: int, rounding: Rounding) -> int:
    """Invert ``rounded``: the largest exact sum that comes to no more than ``steps``."""
    if rounding is _UP:
        return steps * divisor
    if rounding is _DOWN:
        return (steps + 1) * divisor - 1
    return ((2 * steps + 1) * divisor - 1) // 2
