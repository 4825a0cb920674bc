"""From the written parts of a price to integers: pure, with every problem of a line found at once."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import Final

import msgspec

from balance.money import AmountError, parse_amount
from ocs.rating.dated import EVER_MS, FOREVER_MS, instant_ms
from ocs.rating.faults import Problem
from ocs.rating.rateplan import Finish, PriceCells, TariffEntry, TierEntry
from ocs.rating.terms import (
    TAX_UNIT,
    Clock,
    Grace,
    Period,
    Price,
    Rounding,
    SubSecond,
    Tax,
    Terms,
    Tier,
    Tiering,
    terms_of,
    with_terms,
)
from ocs.rating.units import UnitKind, parse_quantity

_ROUNDINGS: Final = {"up": Rounding.UP, "half-up": Rounding.HALF_UP, "down": Rounding.DOWN}
_SUB_SECONDS: Final = {
    "up": SubSecond.UP,
    "half-up": SubSecond.HALF_UP,
    "down": SubSecond.DOWN,
    "calendar": SubSecond.CALENDAR,
}
_GRACES: Final = {
    "free_up_to": Grace.FREE_UP_TO,
    "deducted": Grace.DEDUCTED,
    "free_units": Grace.FREE_UNITS,
    "added": Grace.ADDED,
}
_PERCENT: Final = re.compile(r"(\d{1,3}(?:\.\d{1,4})?) ?%?", re.ASCII)


class _Reader:
    """Reads cells and gathers what is wrong with them."""

    def __init__(self, scale: int, kind: UnitKind) -> None:
        self.problems: list[Problem] = []
        self._scale = scale
        self._kind = kind

    def amount(self, field: str, text: str, otherwise: int) -> int:
        if not text:
            return otherwise
        try:
            amount = parse_amount(text, self._scale)
        except AmountError as error:
            cure = "write a point, not a comma" if "," in text else f"at most {self._scale} decimals"
            self.problems.append(Problem(field, str(error), cure))
            return otherwise
        if amount < 0:
            self.problems.append(Problem(field, f"{text} is negative", "prices are 0 or more"))
        return amount

    def units(self, field: str, text: str, otherwise: int, least: int) -> int:
        if not text:
            return otherwise
        try:
            units = parse_quantity(text, self._kind)
        except ValueError as error:
            self.problems.append(Problem(field, str(error), "write seconds, octets or events, or add their unit"))
            return otherwise
        if units < least:
            self.problems.append(Problem(field, f"{text} is too small", f"at least {least}"))
        return units


def priced(cells: PriceCells, template: Price, scale: int) -> tuple[Price, list[Problem]]:
    """Read a price whose empty cells are those of ``template``. With problems, the price is not to be used.

    A rate of 0 makes the use free, without the template's fees: a toll-free number in a deck with a fee for each
    call is meant to cost nothing. Who wants a fee and no rate, writes the fee beside the rate.
    """
    reader = _Reader(scale, template.kind)
    next_rate = reader.amount("rate", cells.rate, template.next_rate)
    initial_rate = reader.amount("initial_rate", cells.initial_rate, next_rate)
    is_free = bool(cells.rate) and next_rate == initial_rate == 0
    price = msgspec.structs.replace(
        template,
        setup=reader.amount("setup", cells.setup, 0 if is_free else template.setup),
        initial=reader.units("initial", cells.initial, template.initial, 0),
        next=reader.units("next", cells.next, template.next, 1),
        initial_rate=initial_rate,
        next_rate=next_rate,
        minimum=reader.units("minimum", cells.minimum, template.minimum, 0),
    )
    if cells.initial_rate and not cells.rate:
        reader.problems.append(
            Problem("initial_rate", "stands without a rate", "add rate, the price after the first increment")
        )
    if type(template.terms) is Terms or any(cells[_FIRST_TERM:]):
        price = with_terms(price, _terms(reader, cells, terms_of(template), is_free))
    return price, reader.problems


_FIRST_TERM: Final = PriceCells._fields.index("attempt_fee")


def _terms(reader: _Reader, cells: PriceCells, template: Terms, is_free: bool) -> Terms:
    terms = msgspec.structs.replace(
        template,
        time=None if is_free else template.time,
        attempt_fee=reader.amount("attempt_fee", cells.attempt_fee, 0 if is_free else template.attempt_fee),
        charge_min=reader.amount("minimum_charge", cells.minimum_charge, 0 if is_free else template.charge_min),
        charge_max=reader.amount("maximum_charge", cells.maximum_charge, template.charge_max),
    )
    if 0 < terms.charge_max < terms.charge_min:
        message = "is less than the minimum charge"
        reader.problems.append(Problem("maximum_charge", message, "raise it, or lower minimum_charge"))
    written = [name for name in _GRACES if getattr(cells, name)]
    if not written:
        return terms
    if len(written) > 1:
        message = f"{' and '.join(written)} are two rules for the same seconds"
        reader.problems.append(Problem(written[1], message, "keep one of them"))
    name, text = written[0], getattr(cells, written[0])
    share = _permille(text) if name == "added" and "%" in text else None
    if share is not None:
        return msgspec.structs.replace(terms, grace=Grace.ADDED_PERMILLE, grace_units=share)
    units = reader.units(name, text, 0, 0)
    return msgspec.structs.replace(terms, grace=_GRACES[name] if units else Grace.NONE, grace_units=units)


def _permille(text: str) -> int | None:
    """Read ``2.5 %`` as 25 thousandths."""
    rate = _millionths(text)
    return None if rate is None or rate % 1000 else rate // 1000


def _millionths(text: str) -> int | None:
    match = _PERCENT.fullmatch(text.strip())
    return None if match is None else parse_amount(match[1], 4)


def finished(price: Price, finish: Finish, scale: int) -> tuple[Price, list[Problem]]:
    """Give a price the rounding, sub-second rule and tax that are written here; what is not, stays."""
    reader = _Reader(scale, price.kind)
    terms = terms_of(price)
    quantum = reader.amount("round_to", finish.round_to, price.quantum)
    if not quantum:
        cure = 'leave it out to keep all decimals, or write "0.01"'
        reader.problems.append(Problem("round_to", "is zero", cure))
    terms = msgspec.structs.replace(
        terms,
        rounding=_ROUNDINGS[finish.rounding] if finish.rounding else terms.rounding,
        sub_second=_SUB_SECONDS[finish.sub_second] if finish.sub_second else terms.sub_second,
        tax=_tax(reader, finish, terms.tax),
    )
    return with_terms(msgspec.structs.replace(price, quantum=quantum or 1), terms), reader.problems


def _tax(reader: _Reader, finish: Finish, around: Tax | None) -> Tax | None:
    rate, is_included, code = (around.rate, around.is_included, around.code) if around else (None, None, "")
    rate = _millionths(finish.tax) if finish.tax else rate
    is_included = is_included if finish.tax_included is None else finish.tax_included
    if finish.tax and (rate is None or rate >= TAX_UNIT):
        cure = 'write tax = "19 %", with at most four decimals'
        reader.problems.append(Problem("tax", f"{finish.tax!r} is no rate below 100 per cent", cure))
    elif finish.tax and is_included is None:
        cure = "write tax_included = true if the prices have the tax inside, else false"
        reader.problems.append(Problem("tax", "does not say whether the prices include it", cure))
    elif rate is None and finish.tax_included is not None:
        reader.problems.append(Problem("tax_included", "stands without a tax", 'add tax = "19 %"'))
    elif rate:
        return Tax(rate, bool(is_included), finish.tax_code or code)
    return None


def tiered(
    written: Sequence[TierEntry], tiering: str, price: Price, scale: int
) -> tuple[Price, list[tuple[int, Problem]]]:
    """Give a price tiers in the place of its rates. Problems come with the place of their tier, -1 for all of them."""
    problems: list[tuple[int, Problem]] = []
    tiers: list[Tier] = []
    below = 0
    for at, entry in enumerate(written):
        reader = _Reader(scale, price.kind)
        end = reader.units("up_to", str(entry.up_to), 0, 1)
        tier = Tier(end, reader.amount("rate", entry.rate, 0), reader.amount("fee", entry.fee, 0), entry.status)
        if at < len(written) - 1 and not end and not reader.problems:
            reader.problems.append(Problem("up_to", "only the last tier has no end", "write how far this one goes"))
        elif at == len(written) - 1 and end:
            reader.problems.append(Problem("up_to", "what costs a use beyond the last tier?", "leave up_to out there"))
        elif end and end <= below:
            reader.problems.append(Problem("up_to", "is not above the tier before", "write the tiers in rising order"))
        problems += [(at, problem) for problem in reader.problems]
        tiers.append(tier)
        below = end
    if tiering and not tiers:
        problems.append((-1, Problem("tiering", "stands without tiers", "add [[tariffs.tiers]]")))
    if not tiers or problems:
        return price, problems
    price = msgspec.structs.replace(price, initial_rate=tiers[0].rate, next_rate=tiers[0].rate)
    kind = Tiering.VOLUME if tiering == "volume" else Tiering.GRADUATED
    return with_terms(price, msgspec.structs.replace(terms_of(price), tiering=kind, tiers=tuple(tiers))), []


def without_statuses(price: Price) -> list[tuple[int, Problem]]:
    """Find statuses of tiers that no counter has: one call cannot be slowed down by a word."""
    cure = 'add tiers_over = "month", or leave it out'
    return [
        (at, Problem("status", "is for tiers over a period", cure))
        for at, tier in enumerate(terms_of(price).tiers)
        if tier.status
    ]


def spilling(price: Price, spill: str) -> Price:
    """Give a price the rule for what is used beyond a bundle."""
    return price if spill == "continue" else with_terms(price, msgspec.structs.replace(terms_of(price), restarts=True))


def clocked(price: Price, entry: TariffEntry) -> tuple[Price, list[Problem]]:
    """Give a price the instant that chooses it. Only a call has an answer, and what is split at a switch begins once."""
    clock = Clock[entry.clock.upper()]
    if clock is Clock.SETUP:
        return price, []
    problems: list[Problem] = []
    if price.kind is not UnitKind.SECONDS:
        problems.append(Problem("clock", "is for calls, which are priced by time", "leave it out"))
    if clock is Clock.END and entry.price_at == "split":
        cure = 'write price_at = "start": the whole call has the price of its end'
        problems.append(Problem("clock", "and a split at the switch contradict each other", cure))
    if entry.tiers_over != "call":
        cure = "leave the clock out where tiers go over a period"
        problems.append(Problem("clock", "would move units that are counted already", cure))
    return with_terms(price, msgspec.structs.replace(terms_of(price), clock=clock)), problems


def counted_over(entry: TariffEntry, zone: str, has_tiers: bool) -> tuple[Period | None, list[Problem]]:
    """Say whether a tariff's tiers are filled by one use, or by all uses of a period: then by which counter."""
    if entry.tiers_over == "call":
        cure = 'add tiers_over = "month", or leave the counter out'
        return None, [Problem("counter", "stands without a period", cure)] if entry.counter else []
    cure = 'write time_zone = "Europe/Berlin" at the head of the plan'
    problems = [] if zone else [Problem("tiers_over", "does not say by which clock a day begins", cure)]
    if not has_tiers and not entry.deck:
        problems.append(Problem("tiers_over", "stands without tiers", "add [[tariffs.tiers]]"))
    return Period(entry.counter or entry.name, entry.tiers_over, zone), problems


def over_period(price: Price, period: Period) -> tuple[Price, list[tuple[int, Problem]]]:
    """Give the tiers of a price to a counter of the account. Problems come with the place of their tier, -1 for all."""
    terms = terms_of(price)
    tiers, problems = terms.tiers, []
    if terms.tiering is Tiering.VOLUME:
        problems = _beyond_volume(terms)
        # The fee of the tier that is reached takes the place of the one before: all are one, due with the first unit.
        tiers = (tiers[0], *(msgspec.structs.replace(tier, fee=0) for tier in tiers[1:]))
    return with_terms(price, msgspec.structs.replace(terms, period=period, tiers=tiers)), problems


def _beyond_volume(terms: Terms) -> list[tuple[int, Problem]]:
    """Find what cannot be when all units of a period have the price of the tier that they reach.

    A step down is given back when it is reached. A step up would be due for units that are paid already.
    """
    problems: list[tuple[int, Problem]] = []
    for at, (before, tier) in enumerate(pairwise(terms.tiers), start=1):
        if tier.rate > before.rate:
            cure = f"write graduated tiers: the fee of this one is what the {before.up_to} units before it cost more"
            problems.append((at, Problem("rate", "would make units dearer that are paid already", cure)))
        if tier.fee != before.fee:
            cure = "write the same fee in all tiers: it is due once in a period"
            problems.append((at, Problem("fee", "is another one than in the tier before", cure)))
    for is_there, field in (
        (terms.charge_min, "minimum_charge"),
        (terms.charge_max, "maximum_charge"),
        (terms.grace is Grace.FREE_UNITS, "free_units"),
    ):
        if is_there:
            message = "is for one call, and what it changes would be given back for all units of the period"
            problems.append((-1, Problem(field, message, "leave it out, or write graduated tiers")))
    return problems


def interval(from_text: str, to_text: str) -> tuple[int, int, list[Problem]]:
    """Read the half-open interval [from, to) of a price; empty cells leave it open."""
    problems: list[Problem] = []
    ends = []
    for field, text, otherwise in (("from", from_text, EVER_MS), ("to", to_text, FOREVER_MS)):
        try:
            ends.append(instant_ms(text) if text else otherwise)
        except ValueError:
            problems.append(Problem(field, f"{text!r} is no date", "write 2026-09-21 or 2026-09-21T18:00:00Z"))
            ends.append(otherwise)
    if not problems and ends[1] <= ends[0]:
        problems.append(
            Problem("to", f"{to_text} is not after {from_text}", "the price holds from 'from' until before 'to'")
        )
    return ends[0], ends[1], problems
