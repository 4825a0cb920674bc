"""From the written parts of a price to integers: pure, with every problem of a line found at once."""

from __future__ import annotations

import msgspec

from balance.money import AmountError, parse_amount
from ocs.rating.dated import EVER_MS, FOREVER_MS, instant_ms
from ocs.rating.faults import Problem
from ocs.rating.price import Price
from ocs.rating.rateplan import PriceCells
from ocs.rating.units import UnitKind, parse_quantity


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

    A rate of 0 makes the use free, without the template's setup fee: a toll-free number in a deck with a fee for each
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
    return price, reader.problems


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
