"""What a price with terms makes of a use, step by step: the amount of a call and its explanation are the same record.

    use -> grace -> increments -> pieces at their rates, setup fee -> least and most -> attempt fee -> exchange
        -> rounding -> tax

Everything up to the rounding is one exact fraction. No step makes a longer use cheaper (but for volume tiers, see
``held_with_terms``), so a quota can be found by halving.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import zip_longest
from typing import Final, NamedTuple

from balance.account import NO_LIMIT
from balance.counters import laid
from balance.money import Amount
from ocs.rating.increments import increments, rounded
from ocs.rating.terms import (
    TAX_UNIT,
    Grace,
    Period,
    Price,
    SubSecond,
    Tax,
    Terms,
    Tier,
    Tiering,
    sizes_of,
    terms_of,
)
from ocs.rating.units import UnitKind

BY_BUNDLES: Final = "from bundles"


class Piece(NamedTuple):
    """Billed units at one rate (an amount per ``price.per``) and the fee of their tier; ``label`` says which these are."""

    units: int
    rate: Amount
    label: str = ""
    fee: Amount = 0


class Charge(NamedTuple):
    """One call's price. ``exact`` is a numerator over ``price.per``: pieces and setup fee, between least and most.

    ``carried`` is what the use before a switch has cost; all else is about the use since then.
    """

    counted: int
    billed: int
    pieces: tuple[Piece, ...]
    setup: Amount
    exact: int
    attempt_fee: Amount
    net: Amount
    tax: Amount
    carried: Amount

    @property
    def total(self) -> Amount:
        """What the customer pays."""
        return self.carried + self.net + self.tax


def charge_of(price: Price, used_units: int) -> Charge:
    """Price a use in steps. Works for every price; the ordinary ones have a shorter way to the same amount."""
    terms = terms_of(price)
    carried = 0
    if terms.carried is not None:
        carried, used_units = terms.carried.cost, used_units - terms.carried.units
    if terms.restarts:
        used_units = max(0, used_units - terms.covered)
    counted = counted_units(terms, used_units)
    found = _pieces_of(terms)(price, terms, counted)
    billed = sum(piece.units for piece in found)
    if terms.restarts:
        billed += terms.covered
    pieces: tuple[Piece, ...] = ()
    setup = exact = 0
    if is_charged(terms, used_units) and not 0 < billed <= terms.covered:
        pieces = tuple(_without_free(terms, found))
        setup = price.setup
        exact = setup * price.per + sum(piece.units * piece.rate + piece.fee * price.per for piece in pieces)
        exact = max(exact, terms.charge_min * price.per)
        exact = min(exact, terms.charge_max * price.per) if terms.charge_max else exact
    due, divisor = exact + terms.attempt_fee * price.per, price.per * price.quantum
    if terms.exchange is not None:
        due, divisor = due * terms.exchange.numerator, divisor * terms.exchange.denominator
    amount = rounded(due, divisor, terms.rounding) * price.quantum
    net, tax = net_and_tax(terms.tax, amount)
    return Charge(counted, billed, pieces, setup, exact, terms.attempt_fee, net, tax, carried)


def held_with_terms(price: Price, used_units: int) -> Amount:
    """Give the most that a use of at most so many units can cost.

    Where a higher tier makes all units cheaper, that may be the use that just fills a lower one.
    """
    terms = terms_of(price)
    most = charge_of(price, used_units).total
    if terms.tiering is Tiering.VOLUME and not _is_of_account(terms.period):
        for tier in terms.tiers:
            fills = _use_that_fills(price, terms, tier.up_to)
            if 0 < fills < used_units:
                most = max(most, charge_of(price, fills).total)
    return most


def _use_that_fills(price: Price, terms: Terms, up_to: int) -> int:
    """Find the longest use whose billed units are in a tier; 0 if none is, or the tier is the last."""
    paid = increments(price, up_to)
    if paid > up_to:  # the tier ends within an increment: the one before is the last in it
        paid = up_to - (up_to - price.initial) % price.next if up_to >= price.initial else 0
    if terms.grace is Grace.DEDUCTED:
        return paid + terms.grace_units
    if terms.grace is Grace.ADDED:
        return paid - terms.grace_units
    if terms.grace is Grace.ADDED_PERMILLE:
        return paid * 1000 // (1000 + terms.grace_units)
    return paid


def is_charged(terms: Terms, used_units: int) -> bool:
    """Tell whether a use is charged at all, apart from the fee for the attempt."""
    return used_units > (terms.grace_units if terms.grace is Grace.FREE_UP_TO else 0)


def counted_units(terms: Terms, used_units: int) -> int:
    """Bring a use to the units that fill increments: what the grace rule takes off or adds."""
    grace, units = terms.grace, terms.grace_units
    if used_units <= 0 or (grace is Grace.FREE_UP_TO and used_units <= units):
        return 0
    if grace is Grace.DEDUCTED:
        return max(0, used_units - units)
    if grace is Grace.ADDED:
        return used_units + units
    if grace is Grace.ADDED_PERMILLE:
        return used_units - (-used_units * units // 1000)
    return used_units


def billed_beyond(price: Price, used_units: int) -> int:
    """Say how many billed units of a use have not been laid into the tiers of its period yet, nor paid by buckets."""
    terms = terms_of(price)
    if terms.restarts:
        billed = increments(price, counted_units(terms, max(0, used_units - terms.covered)))
    else:
        billed = billed_in_all(price, used_units) - terms.covered
    return max(0, billed - sum(terms.period.laid if terms.period is not None else ()))


def billed_in_all(price: Price, used_units: int) -> int:
    """Say how many units of a use are billed, whoever pays for them: what buckets of units are asked for."""
    terms = price.terms
    if not isinstance(terms, Terms):
        return increments(price, used_units)
    if terms.carried is not None:
        used_units -= terms.carried.units
    counted = counted_units(terms, used_units)
    if terms.switches and price.kind is UnitKind.SECONDS:
        return sum(piece.units for piece in _pieces_in_time(price, terms, counted))
    return increments(price, counted)


def whole_seconds(price: Price, from_ms: int, to_ms: int) -> int:
    """Bring an answered call that is known in milliseconds to the seconds that are priced."""
    rule, taken_ms = terms_of(price).sub_second, max(0, to_ms - from_ms)
    if rule is SubSecond.UP:
        return -(-taken_ms // 1000)
    if rule is SubSecond.HALF_UP:
        return (taken_ms + 500) // 1000
    return taken_ms // 1000 if rule is SubSecond.DOWN else max(0, to_ms // 1000 - from_ms // 1000)


def net_and_tax(tax: Tax | None, amount: Amount) -> tuple[Amount, Amount]:
    """Split an amount, or add to it: net and tax, rounded half up to the currency's last digit."""
    if tax is None:
        return amount, 0
    if not tax.is_included:
        return amount, (2 * amount * tax.rate + TAX_UNIT) // (2 * TAX_UNIT)
    whole = TAX_UNIT + tax.rate
    net = (2 * amount * TAX_UNIT + whole) // (2 * whole)
    return net, amount - net


def is_never_charged(price: Price) -> bool:
    """Tell whether the terms of a price without fee and rates leave it without any."""
    terms = terms_of(price)
    if any(tier.rate or tier.fee for tier in terms.tiers):
        return False
    others = [band.price for band in terms.bands] + [switch.price for switch in terms.switches]
    carried = 0 if terms.carried is None else terms.carried.cost
    return terms.attempt_fee == terms.charge_min == carried == 0 and not any(
        other.setup or other.next_rate or (other.initial and other.initial_rate) for other in others
    )


def _pieces(price: Price, terms: Terms, counted: int) -> list[Piece]:
    """Cut the billed units by the rates they have."""
    if terms.switches and price.kind is UnitKind.SECONDS:
        return _pieces_in_time(price, terms, counted)
    billed = increments(price, counted)
    pieces: list[Piece] = []
    _add(pieces, min(billed, price.initial), price.initial_rate, terms.band)
    _add(pieces, billed - price.initial, price.next_rate, terms.band)
    return pieces


def _pieces_by_tier(price: Price, terms: Terms, counted: int) -> list[Piece]:
    """Lay the billed units into the tiers; the end of a tier belongs to it."""
    billed = increments(price, counted)
    pieces: list[Piece] = []
    below = 0
    for at, tier in enumerate(terms.tiers, start=1):
        if billed > below:
            end = min(billed, tier.up_to) if tier.up_to else billed
            pieces.append(Piece(end - below, tier.rate, f"tier {at}", tier.fee))
            below = end
    return pieces


def _pieces_by_period(price: Price, terms: Terms, counted: int) -> list[Piece]:
    """Take the units that were laid into the tiers, then lay the rest into what the tiers have left for it.

    A book's price knows of no account: it is that of a period without other use.
    """
    period, billed = terms.period, increments(price, counted)
    assert period is not None, "asked for tiers of a period"
    paid = 0 if terms.restarts else min(terms.covered, billed)  # units of buckets fill no tier
    billed -= paid
    known = laid(min(billed, sum(period.laid)), period.laid) if period.laid else ()
    rest = billed - sum(known)
    pieces = [Piece(paid, 0, BY_BUNDLES)] if paid else []
    pieces += _pieces_in_tiers(terms.tiers, known, period.opened, period.every)
    if rest:
        tiers = period.most or terms.tiers
        parts = laid(rest, period.free or _left_of(sizes_of(terms.tiers), period.laid))
        begun = (0,) * len(parts) if period.most else period.laid
        opened = tuple(int(not was) for _, was in zip_longest(parts, begun, fillvalue=0))
        for piece in _pieces_in_tiers(tiers, parts, opened, period.every):
            _add(pieces, piece.units, piece.rate, piece.label, piece.fee)
    return pieces


def _pieces_in_tiers(
    tiers: tuple[Tier, ...], parts: tuple[int, ...], opened: tuple[int, ...], every: str
) -> list[Piece]:
    """Price what lies in each tier; who was the first in it has paid its fee."""
    pieces: list[Piece] = []
    for at, (units, times) in enumerate(zip_longest(parts, opened[: len(parts)], fillvalue=0)):
        tier = tiers[min(at, len(tiers) - 1)]
        if units:
            pieces.append(Piece(units, tier.rate, f"tier {at + 1} of the {every}", times * tier.fee))
    return pieces


def owed_by(price: Price) -> tuple[Amount, ...]:
    """Say what a use that was laid into tiers for volume gets back once each tier is reached: the step between the prices.

    Rounded down once, as the use is rounded up; with the tax on it. Nothing for other tiers.
    """
    terms = terms_of(price)
    if terms.tiering is not Tiering.VOLUME or terms.period is None:
        return ()
    below, owed = 0, []
    for at, units in enumerate(terms.period.laid):
        step = terms.tiers[at - 1].rate - terms.tiers[at].rate if 0 < at < len(terms.tiers) else 0
        due, divisor = below * step, price.per * price.quantum
        if terms.exchange is not None:
            due, divisor = due * terms.exchange.numerator, divisor * terms.exchange.denominator
        owed.append(sum(net_and_tax(terms.tax, due // divisor * price.quantum)))
        below += units
    return tuple(owed)


def back_at(price: Price, counted: int) -> Amount:
    """Say what of a use is given back in a period in which so many units are counted in all."""
    terms = terms_of(price)
    if terms.tiering is not Tiering.VOLUME:
        return 0
    ends = (0, *(tier.up_to for tier in terms.tiers))
    return sum(owed for owed, end in zip(owed_by(price), ends, strict=False) if end < counted)


def _is_of_account(period: Period | None) -> bool:
    """Tell whether the tiers are filled in an account, not just told by a book."""
    return period is not None and bool(period.slot or period.laid)


def _left_of(sizes: tuple[int, ...], taken: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(
        size if size == NO_LIMIT else max(0, size - units) for size, units in zip_longest(sizes, taken, fillvalue=0)
    )


def _piece_by_volume(price: Price, terms: Terms, counted: int) -> list[Piece]:
    """Give all billed units the price of the tier that they reach."""
    billed = increments(price, counted)
    if not billed:
        return []
    at = next(at for at, tier in enumerate(terms.tiers) if billed <= tier.up_to or not tier.up_to)
    return [Piece(billed, terms.tiers[at].rate, f"all in tier {at + 1}", terms.tiers[at].fee)]


def _pieces_in_time(price: Price, terms: Terms, counted: int) -> list[Piece]:
    """Cut a call at the switches: an increment has the price of the band in which it begins, to its end."""
    pieces: list[Piece] = []
    if counted <= 0:
        return pieces
    counted = max(counted, price.minimum)
    # Increments begin after what is deducted, the bands with the call.
    begin = terms.grace_units if terms.grace is Grace.DEDUCTED else 0
    _add(pieces, price.initial, price.initial_rate, terms.band)
    at, current, name = price.initial, price, terms.band
    for switch in (*terms.switches, None):
        until = counted if switch is None else min(counted, switch.at_s - begin)
        if at < until:
            units = -((at - until) // current.next) * current.next
            at += units
            _add(pieces, units, current.next_rate, name)
        if switch is not None:
            current, name = switch.price, switch.name
    return pieces


def _pieces_of(terms: Terms) -> Callable[[Price, Terms, int], list[Piece]]:
    """Choose how a use is cut: by increments and bands, by tiers of the use, or by tiers of a period."""
    if not terms.tiers:
        return _pieces
    if terms.tiering is Tiering.VOLUME and not _is_of_account(terms.period):
        return _piece_by_volume
    return _pieces_by_tier if terms.period is None else _pieces_by_period


def _add(pieces: list[Piece], units: int, rate: Amount, label: str, fee: Amount = 0) -> None:
    """Add a piece, if it has units; it joins one before it that is the same."""
    if units <= 0:
        return
    if pieces and (pieces[-1].rate, pieces[-1].label) == (rate, label):
        units, fee = units + pieces[-1].units, fee + pieces.pop().fee
    pieces.append(Piece(units, rate, label, fee))


def _without_free(terms: Terms, pieces: list[Piece]) -> list[Piece]:
    """Let the first units of a use go free: those that buckets have paid, and those that the price says."""
    if terms.covered and not terms.restarts:
        pieces = _freed(pieces, terms.covered, BY_BUNDLES)
    return _freed(pieces, terms.grace_units, "free units of the call") if terms.grace is Grace.FREE_UNITS else pieces


def _freed(pieces: list[Piece], units: int, label: str) -> list[Piece]:
    left = units
    charged: list[Piece] = []
    for piece in pieces:
        free = min(left, piece.units)
        left -= free
        if free:
            charged.append(Piece(free, 0, label))
        if piece.units > free:
            charged.append(piece._replace(units=piece.units - free))
        elif piece.fee:
            charged[-1] = charged[-1]._replace(fee=piece.fee)
    return charged
