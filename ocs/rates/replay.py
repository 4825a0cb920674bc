"""Uses whose price depends on what their account used before, priced in the order of their time. Pure.

Tiers over a period are filled by all uses of an account. A simulation cuts its records into parts and has them priced by
several processes, so such uses wait until all of them are there; each account then has a counter for each period again.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import Final, NamedTuple

import msgspec

from balance.account import NO_LIMIT
from balance.counters import added, laid
from balance.money import Amount
from ocs.rating.charge import back_at, billed_beyond
from ocs.rating.periods import period_end_ms
from ocs.rating.price import Price, cost_of
from ocs.rating.terms import Period, sizes_of, terms_of

_REPLAYED: Final = -1  # a counter's slot, which says that its price is of an account


class Turn(NamedTuple):
    """A use in its turn: whose count it fills, and when. ``place`` is what to do with its cost."""

    account_id: str
    counter: str
    ends_at_ms: int
    at_ms: int
    place: int
    price: Price
    used: int


def turn_of(price: Price, period: Period, account_id: str, at_ms: int, place: int, used: int) -> Turn:
    """Say in which period of its account a use lies, by the clocks of the plan: a record knows of no others."""
    ends_at_ms = period_end_ms(period.every, period.zone, at_ms)
    return Turn(account_id, period.counter, ends_at_ms, at_ms, place, price, used)


def after_count(price: Price, counted: int) -> Price:
    """Give the price of a use in a period of which so many units are counted: for explanations."""
    terms = terms_of(price)
    if terms.period is None:
        return price
    sizes = sizes_of(terms.tiers)
    before = laid(counted, sizes)
    free = tuple(size if size == NO_LIMIT else size - units for size, units in zip(sizes, before, strict=True))
    tiers = tuple(
        msgspec.structs.replace(tier, fee=0 if units else tier.fee)
        for tier, units in zip(terms.tiers, before, strict=True)
    )
    period = msgspec.structs.replace(terms.period, slot=_REPLAYED, free=free, most=tiers)
    return msgspec.structs.replace(price, terms=msgspec.structs.replace(terms, period=period))


def comes_back(price: Price, counted: int, used: int) -> Amount:
    """Say what a use brings back of the count before it, and of itself, as it reaches a tier for volume."""
    after = counted + billed_beyond(price, used)
    return _back(price, after) - _back(price, counted)


def _back(price: Price, count: int) -> Amount:
    terms = terms_of(price)
    assert terms.period is not None, "asked for tiers over a period"
    period = msgspec.structs.replace(terms.period, laid=laid(count, sizes_of(terms.tiers)))
    return back_at(msgspec.structs.replace(price, terms=msgspec.structs.replace(terms, period=period)), count)


def costs_in_order(turns: list[Turn]) -> Iterator[tuple[int, Amount]]:
    """Give each use's place and cost; the turns are sorted by this. What volume gives back is taken off each use."""
    turns.sort(key=lambda turn: turn[:5])
    for _, uses in groupby(turns, key=lambda turn: turn[:3]):
        yield from _of_period(list(uses))


def _of_period(turns: list[Turn]) -> list[tuple[int, Amount]]:
    sizes = sizes_of(terms_of(turns[0].price).tiers)  # the first use of a period says them
    count: tuple[int, ...] = (0,) * len(sizes)
    placed: list[Price] = []
    for turn in turns:
        free = [size if size == NO_LIMIT else size - units for size, units in zip(sizes, count, strict=True)]
        parts = laid(billed_beyond(turn.price, turn.used), free)
        opened = tuple(int(part > 0 and not before) for part, before in zip(parts, count, strict=True))
        count = added(count, parts)
        terms = terms_of(turn.price)
        assert terms.period is not None, "only tiers over a period wait for their turn"
        period = msgspec.structs.replace(terms.period, slot=_REPLAYED, laid=parts, opened=opened)
        placed.append(msgspec.structs.replace(turn.price, terms=msgspec.structs.replace(terms, period=period)))
    total = sum(count)
    return [
        (turn.place, cost_of(price, turn.used) - back_at(price, total))
        for turn, price in zip(turns, placed, strict=True)
    ]
