"""A price in words: one line for each part, and the parts add up to the cost exactly."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from balance.money import Amount, Currency, format_amount
from ocs.rating.charge import BY_BUNDLES, Charge, Piece, charge_of
from ocs.rating.price import is_free
from ocs.rating.terms import Exchange, Grace, Price, Rounding, Tax, Terms, terms_of, with_terms
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
    charge, terms = charge_of(price, used_units), terms_of(price)
    theirs = price_currency(price, currency)
    parts = [Part(charge.setup, "setup fee")] if charge.setup else []
    parts += _shares(price, charge, theirs)
    parts += _bounds(price, charge, terms, sum(part.amount for part in parts), theirs)
    if charge.attempt_fee:
        parts.append(Part(charge.attempt_fee, "fee for the attempt"))
    if terms.exchange is not None and parts:
        theirs_exact = charge.exact + charge.attempt_fee * price.per
        parts = _converted(price, terms.exchange, theirs_exact, theirs)
    if terms.restarts and terms.covered:
        parts.insert(0, Part(0, f"first {use_text(price, terms.covered)} {BY_BUNDLES}"))
    if terms.carried:
        units = use_text(price, terms.carried.units)
        parts.insert(0, Part(charge.carried, f"first {units}, at the prices of the bands before"))
    included = charge.tax if terms.tax and terms.tax.is_included else 0
    rest = charge.carried + charge.net + included - sum(part.amount for part in parts)
    if rest:
        parts.append(Part(rest, f"{_ROUNDED[price.rounding]} to {_text(price.quantum, currency)}"))
    if terms.tax and not terms.tax.is_included and charge.net:
        parts.append(Part(charge.tax, f"{tax_name(terms.tax)} on {_text(charge.net, currency)}"))
    if cost != charge.total:
        parts.append(Part(cost - charge.total, "difference to the price of this use"))
    return parts


def explain(price: Price, used_units: int, cost: Amount, currency: Currency) -> list[str]:
    """Say how the cost came about: what was used and billed, each part, and the total."""
    used = use_text(price, max(used_units, 0))
    charge, carried = charge_of(price, used_units), terms_of(price).carried
    before = carried.units if carried else 0
    lines = [f"used {used}, billed {use_text(price, before + charge.billed)}{_why(price, used_units - before, charge)}"]
    lines += _counts(price)
    exchange = terms_of(price).exchange
    if exchange is not None:  # first what it costs in the other currency, part by part
        own = _unexchanged(price)
        theirs = price_currency(price, currency)
        foreign = charge_of(own, used_units - before).total
        details = [
            f"{_text(part.amount, theirs)} {part.words}" for part in parts_of(own, used_units - before, foreign, theirs)
        ]
        lines[0] += "".join(f"; {each}" for each in details)
    lines += [f"{_text(part.amount, currency)} {part.words}" for part in parts_of(price, used_units, cost, currency)]
    lines.append(f"{_text(cost, currency)} in all{_closing(price, cost, charge, currency)}")
    return lines


def _counts(price: Price) -> list[str]:
    """Say what stood in the counter of each period before the first use and after the last."""
    period = terms_of(price).period
    if period is None:
        return []
    return [
        f"counted in the {period.every}: {use_text(price, each.before)} before, {use_text(price, each.after)} after"
        for each in period.counted
    ]


def price_currency(price: Price, currency: Currency) -> Currency:
    """Say what currency the amounts of a price are in: the account's, or another that is exchanged."""
    exchange = terms_of(price).exchange
    return currency if exchange is None else Currency(exchange.currency, 0, exchange.scale, currency.digits)


def _unexchanged(price: Price) -> Price:
    """Give the price in its own currency, unrounded and before tax."""
    terms = msgspec.structs.replace(terms_of(price), exchange=None, tax=None, carried=None)
    return with_terms(msgspec.structs.replace(price, quantum=1), terms)


def _converted(price: Price, exchange: Exchange, exact: int, theirs: Currency) -> list[Part]:
    """Say the sum in the price's own currency and what it is in the account's; its parts are said by ``explain``."""
    amount = exact * exchange.numerator // (price.per * exchange.denominator)
    return [Part(amount, f"{_text(exact // price.per, theirs)} at {exchange.rate} per {exchange.currency}")]


def _shares(price: Price, charge: Charge, currency: Currency) -> list[Part]:
    """Say each piece of the use; the first increment by that name where it has a price of its own."""
    has_two = price.initial_rate != price.next_rate
    parts: list[Part] = []
    for at, piece in enumerate(charge.pieces):
        words = use_text(price, piece.units)
        if piece.label == BY_BUNDLES:
            parts.append(Part(piece.fee, f"{words} {BY_BUNDLES}"))
            continue
        is_first = has_two and at == 0 and piece.units == price.initial
        if has_two and not piece.label:
            words = f"{'first' if is_first else 'next'} {words}"
        words += "" if is_first or terms_of(price).switches else _steps(price, piece.units)
        parts.append(_share(price, piece, words, currency))
        if piece.fee:
            parts.append(Part(piece.fee, f"fee of {piece.label}"))
    return parts


def _share(price: Price, piece: Piece, words: str, currency: Currency) -> Part:
    unit = per_text(price)
    label = f", {piece.label}" if piece.label else ""
    return Part(piece.units * piece.rate // price.per, f"{words} at {_text(piece.rate, currency)} per {unit}{label}")


def _bounds(price: Price, charge: Charge, terms: Terms, so_far: Amount, currency: Currency) -> list[Part]:
    """Say what the least or the most of a call adds or takes off."""
    for bound, words in ((terms.charge_min, "raised to the minimum"), (terms.charge_max, "lowered to the maximum")):
        if bound and charge.exact == bound * price.per and so_far != bound:
            return [Part(bound - so_far, f"{words} of {_text(bound, currency)}")]
    return []


def _steps(price: Price, units: int) -> str:
    """Count the increments, where they are more than one and not single units."""
    steps, left = divmod(units, price.next)
    return "" if price.next == 1 or steps < 2 or left else f" ({steps} x {use_text(price, price.next)})"


def _why(price: Price, used_units: int, charge: Charge) -> str:
    if used_units <= 0:
        return ": nothing was used"
    grace = _grace(price, used_units, charge)
    if charge.billed == charge.counted:
        return f": {grace}" if grace else ""
    increments = f"{use_text(price, price.initial)}, then every started {use_text(price, price.next)}"
    if charge.counted < price.minimum:
        increments = f"at least {use_text(price, price.minimum)}, {increments}"
    return f": {grace}; {increments}" if grace else f": {increments}"


def _grace(price: Price, used_units: int, charge: Charge) -> str:
    terms = terms_of(price)
    units = use_text(price, terms.grace_units)
    if terms.grace is Grace.FREE_UP_TO and used_units <= terms.grace_units:
        return f"a use of up to {units} is free"
    if terms.grace is Grace.DEDUCTED:
        return f"{units} are taken off"
    if terms.grace in {Grace.ADDED, Grace.ADDED_PERMILLE}:
        return f"{use_text(price, charge.counted - used_units)} are added"
    return ""


def _closing(price: Price, cost: Amount, charge: Charge, currency: Currency) -> str:
    if is_free(price) and cost == 0:
        return ": free of charge"
    tax = terms_of(price).tax
    if tax and tax.is_included and charge.tax:
        return f", in which {_text(charge.tax, currency)} {tax_name(tax)}"
    return ""


def use_text(price: Price, units: int) -> str:
    """Write a quantity as the tariff counts it: ``61 s``, ``3 stickers``."""
    unit = terms_of(price).unit
    return quantity_text(price.kind, units) if unit is None else f"{units} {unit[0] if units == 1 else unit[1]}"


def per_text(price: Price) -> str:
    """Write what a price is per: ``minute``, ``sticker``."""
    unit = terms_of(price).unit
    return price_unit_name(price.kind, price.per) if unit is None else unit[0]


def tax_name(tax: Tax) -> str:
    """Write ``tax 19 %``, with the code for invoices if there is one."""
    return f"tax {format_amount(tax.rate, 4, 0)} %" + (f" ({tax.code})" if tax.code else "")


def _text(amount: Amount, currency: Currency) -> str:
    return f"{format_amount(amount, currency.scale, currency.digits)} {currency.code}"
