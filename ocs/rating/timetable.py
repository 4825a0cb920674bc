"""A price by the time of day: the bands of a tariff, brought to what one session is charged by.

A session pins its tariff when it begins. So it gets the price of the band it begins in, and where the tariff is split at
the switch, the bands to come with the second at which each takes over. From then on its cost depends on its use alone.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import msgspec

from balance.money import Amount
from ocs.rating.calendar import Calendar
from ocs.rating.dated import EVER_MS, FOREVER_MS, Version
from ocs.rating.increments import increments
from ocs.rating.terms import (
    Band,
    Carried,
    Exchange,
    Grace,
    NextBand,
    Price,
    Tariff,
    Terms,
    terms_of,
    with_terms,
)
from ocs.rating.units import UnitKind

HORIZON_S: Final = 3 * 86_400
"""So far ahead are switches pinned; a session that lasts longer sees further in time (``seeing_until``)."""


class Timetable(NamedTuple):
    """What of a tariff depends on the instant: the bands of its calendar, split at the switch or not, its exchange rates."""

    calendar: Calendar | None
    is_split: bool
    exchange: tuple[Version[Exchange], ...] = ()

    def as_at(self, at_ms: int) -> Timetable:
        """The rates of exchange of one instant for ever; the bands stay bands."""
        in_force = (each for each in self.exchange if each.from_ms <= at_ms < each.to_ms)
        return self._replace(exchange=tuple(each._replace(from_ms=EVER_MS, to_ms=FOREVER_MS) for each in in_force))

    def pinned(self, tariff: Tariff, at_ms: int) -> Tariff:
        """Give the tariff that a session is charged by which begins at an instant."""
        for from_ms, to_ms, exchange in self.exchange:
            if from_ms <= at_ms < to_ms:
                tariff = _ending(tariff, with_terms(tariff.price, _exchanged(tariff.price, exchange)), to_ms)
        terms = tariff.price.terms
        if self.calendar is None or not isinstance(terms, Terms) or not terms.bands:
            return tariff
        return self._in_band(tariff, terms, self.calendar, at_ms)

    def _in_band(self, tariff: Tariff, terms: Terms, calendar: Calendar, at_ms: int) -> Tariff:
        name = calendar.band_at(at_ms)
        price = _priced(tariff.price, terms, name)
        if self.is_split:
            bands = tuple(Band(each, _plain(_priced(tariff.price, terms, each))) for each in calendar.bands)
            pinned = msgspec.structs.replace(terms, bands=bands, band=name, calendar=calendar.name)
            return _ending(tariff, seeing_until(with_terms(price, pinned), calendar, at_ms, HORIZON_S), FOREVER_MS)
        switch = next(calendar.switches(at_ms, at_ms + 1000 * HORIZON_S), None)
        pinned = msgspec.structs.replace(terms, bands=(), band=name)
        return _ending(tariff, with_terms(price, pinned), FOREVER_MS if switch is None else switch.at_ms)


def seeing_until(price: Price, calendar: Calendar, began_ms: int, until_s: int) -> Price:
    """Give a pinned price the switches of its calendar until so many seconds after the session's beginning.

    The prices are those that were pinned; a band that the calendar had not then keeps the price before it.
    """
    terms = price.terms
    assert isinstance(terms, Terms), "a price that is split has bands"
    prices = {band.name: band.price for band in terms.bands}
    switches = list(terms.switches)
    # A second back: the beginning may have been moved by a part of one, and no switch may be lost between.
    known_ms = began_ms + 1000 * (terms.known_s - 1) if terms.known_s else began_ms
    for switch in calendar.switches(known_ms, began_ms + 1000 * until_s):
        last = switches[-1].name if switches else terms.band
        if switch.band != last and switch.band in prices:
            after_s = -(-(switch.at_ms - began_ms) // 1000)
            switches.append(NextBand(after_s, switch.band, prices[switch.band]))
    return with_terms(price, msgspec.structs.replace(terms, switches=tuple(switches), known_s=until_s))


def _ending(tariff: Tariff, price: Price, until_ms: int) -> Tariff:
    """Give a tariff another price, which holds until an instant at most."""
    until_ms = min(until_ms, tariff.valid_until_ms or FOREVER_MS)
    return msgspec.structs.replace(tariff, price=price, valid_until_ms=0 if until_ms == FOREVER_MS else until_ms)


def _exchanged(price: Price, exchange: Exchange) -> Terms:
    return msgspec.structs.replace(terms_of(price), exchange=exchange)


def begun_later(price: Price, seconds: int) -> Price:
    """Move the beginning of a pinned price: a call was answered so long after it was authorized."""
    terms = price.terms
    if seconds <= 0 or not isinstance(terms, Terms) or not terms.known_s:
        return price
    terms = msgspec.structs.replace(terms, known_s=max(1, terms.known_s - seconds))
    passed = [switch for switch in terms.switches if switch.at_s <= seconds]
    to_come = tuple(
        NextBand(switch.at_s - seconds, switch.name, switch.price) for switch in terms.switches[len(passed) :]
    )
    if not passed:
        return with_terms(price, msgspec.structs.replace(terms, switches=to_come))
    begun = msgspec.structs.replace(terms, band=passed[-1].name, switches=to_come)
    return with_terms(passed[-1].price, begun)


def carried_over(price: Price, passed_s: int, used_units: int, cost: Amount) -> Price:
    """Give the price of what is used from now on, so many seconds after the session's beginning.

    Data and events are reported in sums: what they cost until a switch stays, and the fee is that of the beginning.
    """
    terms = price.terms
    if not isinstance(terms, Terms):
        return price
    passed = [switch for switch in terms.switches if switch.at_s <= passed_s]
    if not passed:
        return price
    begun = msgspec.structs.replace(terms, band=passed[-1].name, switches=terms.switches[len(passed) :])
    then = with_terms(msgspec.structs.replace(passed[-1].price, setup=price.setup), begun)
    return going_on(then, paid_until(price, used_units), cost)


def going_on(price: Price, paid_units: int, cost: Amount) -> Price:
    """Give a price to a session that has used and paid by another one: it is for what is used beyond."""
    if not paid_units and not cost:
        return price
    price = in_progress(price) if paid_units else price
    return with_terms(
        price, msgspec.structs.replace(terms_of(price), attempt_fee=0, carried=Carried(paid_units, cost), covered=0)
    )


def in_progress(price: Price) -> Price:
    """Give a price without what is due at the beginning of a use: fees, first increment, least use and charge."""
    begun = msgspec.structs.replace(price, setup=0, initial=price.next, initial_rate=price.next_rate, minimum=0)
    if not isinstance(price.terms, Terms):
        return begun
    return with_terms(begun, msgspec.structs.replace(price.terms, attempt_fee=0, charge_min=0))


def paid_until(price: Price, used_units: int) -> int:
    """Say up to which unit a use is paid: an increment has the price of its start, to its end (statement 84)."""
    terms = terms_of(price)
    before = terms.carried.units if terms.carried is not None else 0
    if used_units <= before:
        return before
    billed = increments(price, used_units - before) if terms.grace is Grace.NONE else used_units - before
    return before + billed


def next_switch_s(price: Price) -> int:
    """Say after how many seconds of the session the price of data and events changes; 0 if it does not."""
    terms = price.terms
    if price.kind is UnitKind.SECONDS or not isinstance(terms, Terms) or not terms.switches:
        return 0
    return terms.switches[0].at_s


def second_switch_s(price: Price) -> int:
    """Say when it changes once more after the next switch; 0 if it does not."""
    switches = terms_of(price).switches
    return switches[1].at_s if len(switches) > 1 else 0


def _priced(price: Price, terms: Terms, name: str) -> Price:
    return next((band.price for band in terms.bands if band.name == name), price)


def _plain(price: Price) -> Price:
    """Give a price without its terms: those of the price it follows go on."""
    return msgspec.structs.replace(price, terms=price.rounding)


def banded(price: Price, bands: tuple[Band, ...]) -> Price:
    """Give a price others for some bands."""
    terms = msgspec.structs.replace(terms_of(price), bands=tuple(Band(band.name, _plain(band.price)) for band in bands))
    return with_terms(price, terms)
