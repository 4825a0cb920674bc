"""A price in words: one line for each part, and the parts add up to the cost exactly."""

from __future__ import annotations

from typing import NamedTuple

from balance.money import Amount, Currency, format_amount
from ocs.rating.price import Price, Rounding, billed_units, cost_of, is_free
from ocs.rating.units import price_unit_name, quantity_text

_ROUNDED = {Rounding.UP: "rounded up", Rounding.HALF_UP: "rounded half up", Rounding.DOWN: "rounded down"}


class Part(NamedTuple):
    """One summand of a cost."""

    amount: Amount
    words: str


def parts_of(price: Price, used_units: int, cost: Amount, currency: Currency) -> list[Part]:
    """Take a cost apart; the amounts of the parts add up to ``cost``.

    Increments are shown cut to whole units of the currency's scale; what that and the rounding of the call make
    is a part of its own. A cost that is not the price of the use (a repaired record) ends with the difference.
    """
    parts: list[Part] = []
    billed = billed_units(price, used_units)
    if billed and price.setup:
        parts.append(Part(price.setup, "setup fee"))
    beyond = billed - price.initial
    if billed and price.initial_rate == price.next_rate:
        words = quantity_text(price.kind, billed) + _steps(price, billed)
        parts.append(_share(price, billed, price.next_rate, words, currency))
    elif billed:
        words = f"first {quantity_text(price.kind, price.initial)}"
        parts.append(_share(price, price.initial, price.initial_rate, words, currency))
    if beyond > 0 and price.initial_rate != price.next_rate:
        words = f"next {quantity_text(price.kind, beyond)}{_steps(price, beyond)}"
        parts.append(_share(price, beyond, price.next_rate, words, currency))
    total = cost_of(price, used_units)
    rest = total - sum(part.amount for part in parts)
    if rest:
        parts.append(Part(rest, f"{_ROUNDED[price.rounding]} to {_text(price.quantum, currency)}"))
    if cost != total:
        parts.append(Part(cost - total, "difference to the price of this use"))
    return parts


def explain(price: Price, used_units: int, cost: Amount, currency: Currency) -> list[str]:
    """Say how the cost came about: what was used and billed, each part, and the total."""
    used = quantity_text(price.kind, max(used_units, 0))
    billed = billed_units(price, used_units)
    lines = [f"used {used}, billed {quantity_text(price.kind, billed)}{_why(price, used_units, billed)}"]
    lines += [f"{_text(part.amount, currency)} {part.words}" for part in parts_of(price, used_units, cost, currency)]
    lines.append(f"{_text(cost, currency)} in all" + (": free of charge" if is_free(price) and cost == 0 else ""))
    return lines


def _share(price: Price, units: int, rate: Amount, words: str, currency: Currency) -> Part:
    unit = price_unit_name(price.kind, price.per)
    return Part(units * rate // price.per, f"{words} at {_text(rate, currency)} per {unit}")


def _steps(price: Price, units: int) -> str:
    """Count the increments, where they are more than one and not single units."""
    steps, left = divmod(units, price.next)
    return "" if price.next == 1 or steps < 2 or left else f" ({steps} x {quantity_text(price.kind, price.next)})"


def _why(price: Price, used_units: int, billed: int) -> str:
    if used_units <= 0:
        return ": nothing was used"
    if billed == used_units:
        return ""
    increments = (
        f"{quantity_text(price.kind, price.initial)}, then every started {quantity_text(price.kind, price.next)}"
    )
    if used_units < price.minimum:
        return f": at least {quantity_text(price.kind, price.minimum)}, {increments}"
    return f": {increments}"


def _text(amount: Amount, currency: Currency) -> str:
    return f"{format_amount(amount, currency.scale, currency.digits)} {currency.code}"
