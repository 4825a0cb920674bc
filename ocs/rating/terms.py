"""The records that say a price, as sessions and call detail records keep them. They only ever gain fields at their end.

The ordinary price is compact: ten numbers, of which the last is how its amount is rounded. A price with more to it has
``Terms`` in that place, which name only what differs from the ordinary. So the many sessions of ordinary tariffs stay
small, and the fast path of ``price.cost_of`` does not know that there is anything else.
"""

from __future__ import annotations

from enum import IntEnum
from itertools import pairwise
from typing import Final

import msgspec

from balance.account import NO_LIMIT
from balance.money import Amount
from ocs.rating.units import UnitKind


class Rounding(IntEnum):
    """How the amount of a call, rounded once, is brought to its digits."""

    UP = 1
    HALF_UP = 2
    DOWN = 3


class SubSecond(IntEnum):
    """How an answered call that is known in milliseconds comes to whole seconds."""

    UP = 1  # every started second counts
    HALF_UP = 2
    DOWN = 3  # a call of 0.9 s is a call of 0 s
    CALENDAR = 4  # the second of the end minus the second of the beginning


class Clock(IntEnum):
    """Which instant of a call chooses its price: effective date, rate of exchange and band."""

    SETUP = 1  # the first request
    ANSWER = 2
    END = 3


class Grace(IntEnum):
    """Four rules that the trade calls "grace" or "free seconds". A price has one of them at most."""

    NONE = 0
    FREE_UP_TO = 1  # so short a use is free with its fees; a longer one is charged whole
    DEDUCTED = 2  # taken off the use before the increments; the setup fee stays
    FREE_UNITS = 3  # of the billed units the first ones cost nothing; the setup fee stays
    ADDED = 4  # added to every use before the increments
    ADDED_PERMILLE = 5  # the same, in thousandths of the use


TAX_UNIT: Final = 1_000_000
"""Tax rates are counted in millionths: 19 % is 190,000."""


class Tax(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """``rate`` in millionths of the net amount; whether the prices have it inside; the code for invoices."""

    rate: int
    is_included: bool
    code: str = ""


class Band(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """What a tariff costs in one band of its calendar, without terms: those of the tariff hold in all of them."""

    name: str
    price: Price


class NextBand(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """After so many seconds of the session, what is used then has this price; no other setup fee is due."""

    at_s: int
    name: str
    price: Price


class Tier(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """Units up to and with ``up_to`` (0: all further ones) at a rate; ``fee`` is due once the tier is reached.

    ``status`` is what the counter of a period is called then: for whoever sets speeds by it.
    """

    up_to: int
    rate: Amount
    fee: Amount = 0
    status: str = ""


class Tiering(IntEnum):
    """What the tiers of a price are for."""

    GRADUATED = 1  # each slice of the use has the price of its tier
    VOLUME = 2  # the whole use has the price of the tier that it reaches


class Exchange(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """The price is in another ``currency``, of ``scale`` digits: an amount of it times ``numerator / denominator`` is due.

    ``rate`` is what one unit of it costs, as it is written.
    """

    currency: str
    scale: int
    rate: str
    numerator: int
    denominator: int


class Carried(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """What a session had used and cost when its price changed: the price is for what is used beyond."""

    units: int
    cost: Amount


class Counted(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """What one session added to a counter in one period, and the count before its first use and after its last."""

    slot: int
    ends_at_ms: int
    before: int
    after: int
    units: int


class Period(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """The tiers are filled by all sessions of an account over a period, not by one use.

    In the book: which counter, and when its periods end (``zone`` is the plan's; an account may have its own). In a
    session, too: how many of its billed units were ``laid`` into each tier, the places that are ``held`` for its grant
    in the counter ``slot``, how many are ``free`` for what comes next (NO_LIMIT: all), and what it counted. It was the
    first in a tier so many times as ``opened`` says, which pays the tier's fee. ``most`` are the tiers as dear as they can
    become for a grant.
    """

    counter: str
    every: str
    zone: str
    slot: int = 0
    laid: tuple[int, ...] = ()
    held: tuple[int, ...] = ()
    free: tuple[int, ...] = ()
    counted: tuple[Counted, ...] = ()
    opened: tuple[int, ...] = ()
    most: tuple[Tier, ...] = ()


class Terms(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """What makes a price more than increments, rates and rounding.

    ``attempt_fee`` is due for every attempt, answered or not. ``charge_min`` and ``charge_max`` bound what an answered
    call costs, without that fee and before tax; 0 is no bound. ``grace_units`` is in units, or in thousandths.
    ``bands`` are what a tariff costs in each. A session has ``band``, the one it began in, and, where the price is split,
    ``switches``, those to come in its first ``known_s`` seconds; ``calendar`` says what comes after (``timetable.py``).
    ``tiers`` take the place of the rates: the billed units of the use are
    laid into them, counted from its first. ``unit`` is what an event is called, one and several.
    With ``exchange`` all amounts of the price are in another currency; rounding and tax are in the account's.
    ``time`` is what the seconds of a data session cost beside its octets, as an ordinary price (``price_of_time``).
    Data and events do not say when they were used: at a switch what they cost so far is ``carried``, and goes on.
    With ``period`` the tiers are those of an account's counter.
    Of a session ``covered`` billed units were paid by buckets of units. They are the first ones: beyond them the increments
    of the call go on; with ``restarts`` what is used beyond them is priced as if it were a call of its own.
    """

    rounding: Rounding = Rounding.UP
    sub_second: SubSecond = SubSecond.UP
    attempt_fee: Amount = 0
    charge_min: Amount = 0
    charge_max: Amount = 0
    grace: Grace = Grace.NONE
    grace_units: int = 0
    tax: Tax | None = None
    bands: tuple[Band, ...] = ()
    band: str = ""
    switches: tuple[NextBand, ...] = ()
    tiering: Tiering = Tiering.GRADUATED
    tiers: tuple[Tier, ...] = ()
    unit: tuple[str, str] | None = None
    exchange: Exchange | None = None
    carried: Carried | None = None
    calendar: str = ""
    known_s: int = 0
    time: Price | None = None
    period: Period | None = None
    covered: int = 0
    restarts: bool = False
    clock: Clock = Clock.SETUP


class Price(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """Use u > 0 is billed as ``initial`` units, then in steps of ``next`` units, never less than ``minimum``.

    ``initial_rate`` and ``next_rate`` are amounts per ``per`` units (60 for a price per minute). ``setup`` is due
    with the first use. ``quantum`` is what the total is rounded to: 1 is the currency's full scale.
    ``terms`` is the rounding alone, or all that is not ordinary.
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
    terms: Rounding | Terms = Rounding.UP

    @property
    def rounding(self) -> Rounding:
        """How the amount is brought to its digits."""
        return self.terms.rounding if isinstance(self.terms, Terms) else self.terms


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


def chosen_at_ms(price: Price, from_ms: int, to_ms: int, used_units: int) -> int:
    """Say which instant of a use from one to another chooses its price: it was answered when its seconds began to count."""
    clock = terms_of(price).clock
    if clock is Clock.END:
        return to_ms
    return from_ms if clock is Clock.SETUP else max(from_ms, to_ms - 1000 * used_units)


def terms_of(price: Price) -> Terms:
    """Give a price's terms; those of an ordinary price have nothing but its rounding."""
    return price.terms if isinstance(price.terms, Terms) else Terms(rounding=price.terms)


def with_terms(price: Price, terms: Terms) -> Price:
    """Give the price other terms; where nothing in them is out of the ordinary, the price is an ordinary one."""
    is_ordinary = terms == Terms(rounding=terms.rounding)
    return msgspec.structs.replace(price, terms=terms.rounding if is_ordinary else terms)


def price_of_time(price: Price) -> Price | None:
    """Give the price of the seconds of a use that pays for volume and time: rounded, exchanged and taxed as its volume is."""
    terms = price.terms
    if not isinstance(terms, Terms) or terms.time is None:
        return None
    time = msgspec.structs.replace(terms.time, quantum=price.quantum)
    return with_terms(time, Terms(rounding=terms.rounding, tax=terms.tax, exchange=terms.exchange))


def price_in(price: Price, kind: UnitKind) -> Price | None:
    """Give the price of what is counted in a unit: the price, or that of the time beside it; None where there is none."""
    if price.kind == kind:
        return price
    return price_of_time(price) if kind == UnitKind.SECONDS else None


def as_used(price: Price, before: Price) -> Price | None:
    """Give a price for a use that was charged by another: with what bundles paid of it, and the tiers its units lay in.

    None where the use was not counted over a period and this price's tiers are: where it would lie is not known.
    """
    terms, used = terms_of(price), terms_of(before)
    period = terms.period
    if period is not None:
        if used.period is None:
            return None
        was = used.period
        period = msgspec.structs.replace(period, slot=was.slot, laid=was.laid, counted=was.counted, opened=was.opened)
    elif not used.covered:
        return price
    return with_terms(price, msgspec.structs.replace(terms, covered=used.covered, period=period))


def sizes_of(tiers: tuple[Tier, ...]) -> tuple[int, ...]:
    """Say how many units each tier takes; NO_LIMIT for the last."""
    ends = [0, *(tier.up_to for tier in tiers)]
    return tuple(end - begin if end else NO_LIMIT for begin, end in pairwise(ends))
