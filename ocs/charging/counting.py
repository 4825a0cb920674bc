"""Tiers over a period: what a session uses fills an account's counter, what it is granted keeps its places there.

A report lays what was used since the last one into the tiers as they are then, so each unit of a tier is sold once,
however many sessions use it and in whatever order they report. A grant is priced by what the tiers have left, and keeps
the places of those tiers that a dearer one follows: else another session could take them, and what was set aside would
not pay for the use. Where rates only fall, nothing is kept: the count can but make the use cheaper.
"""

from __future__ import annotations

from itertools import takewhile, zip_longest

from msgspec import structs

from balance.account import Account, Counter
from balance.counters import added, counted, counter_in, counter_of, laid
from ocs.charging.session import GroupState
from ocs.rating.charge import billed_beyond, owed_by
from ocs.rating.periods import period_end_ms
from ocs.rating.terms import Counted, Period, Price, Terms, Tier, sizes_of, terms_of


def period_of(price: Price) -> Period | None:
    """The period over which a price's tiers are filled; None for nearly all prices."""
    terms = price.terms
    return terms.period if isinstance(terms, Terms) else None


def placed(account: Account, state: GroupState, period: Period, now_ms: int) -> tuple[Account, GroupState]:
    """Price what is used from now on by what the tiers of the running period have left. Nothing is held."""
    assert not any(period.held), "places are given back before others are looked for"
    account, counter = _running(account, state, period, now_ms)
    free = tuple(tier.free for tier in counter.tiers)
    most = _most(terms_of(state.tariff.price).tiers, counter)
    return account, _with_period(state, structs.replace(period, slot=counter.slot, free=free, held=(), most=most))


def until_next_status(state: GroupState, units: int) -> int:
    """So much of a grant has one status: the client is to be back when the counter comes to another, and that is told."""
    period = period_of(state.tariff.price)
    assert period is not None, "asked for a group whose places were looked up"
    rooms = [(tier.status, room) for tier, room in zip(period.most, period.free, strict=True) if room]
    alike = list(takewhile(lambda each: each[0] == rooms[0][0], rooms))
    return units if len(alike) == len(rooms) else min(units, sum(room for _, room in alike))


def keep_places(
    account: Account, state: GroupState, price: Price, period: Period, granted: int
) -> tuple[Account, GroupState]:
    """Keep the places that a grant was priced by: of the price, which knows what buckets of units pay of it."""
    counter = counter_of(account, period.slot)
    assert counter is not None, "the counter was looked up for this very grant"
    places = laid(billed_beyond(price, state.used + granted), period.free)
    held = tuple(units if is_kept else 0 for units, is_kept in zip(places, _kept(price, len(places)), strict=True))
    if any(held):
        account = counted(account, counter, (0,) * len(held), held)
    return account, _with_period(state, structs.replace(period, free=(), most=(), held=held if any(held) else ()))


def give_back_places(account: Account, state: GroupState, period: Period) -> tuple[Account, GroupState]:
    """Free the places that a grant kept."""
    if not period.held:
        return account, state
    counter = counter_of(account, period.slot)
    if counter is not None:
        account = counted(account, counter, (0,) * len(period.held), [-units for units in period.held])
    return account, _with_period(state, structs.replace(period, held=()))


def count_use(
    account: Account, state: GroupState, period: Period, total: int, now_ms: int, keeps_places: bool
) -> tuple[Account, GroupState]:
    """Lay what was used since the last report into the tiers, in the period that its grant was made in.

    The use of a grant that kept places gives those back first, and so finds at least as much room as it was promised.
    """
    units = billed_beyond(state.tariff.price, total)
    counter = counter_of(account, period.slot) if period.slot else None
    if counter is None:
        account, counter = _running(account, state, period, now_ms)
    held = () if keeps_places else period.held
    if not units and not held:
        return account, state
    reserved = tuple(-(held[at] if at < len(held) else 0) for at in range(len(counter.tiers)))
    free = [
        structs.replace(tier, reserved=tier.reserved + kept).free
        for tier, kept in zip(counter.tiers, reserved, strict=True)
    ]
    parts = laid(units, free)
    first = tuple(int(bool(part and not tier.used)) for part, tier in zip(parts, counter.tiers, strict=True))
    before = owed_by(state.tariff.price)
    state = _with_period(
        state,
        structs.replace(
            period,
            slot=counter.slot,
            laid=added(period.laid, parts),
            held=period.held if keeps_places else (),
            free=(),
            counted=_noted(period.counted, counter, units) if units else period.counted,
            opened=added(period.opened, first) if any(first) else period.opened,
            most=(),
        ),
    )
    owed = tuple(after - known for after, known in zip_longest(owed_by(state.tariff.price), before, fillvalue=0))
    return counted(account, counter, parts, reserved, owed), state


def without_counts(state: GroupState) -> GroupState:
    """The same group as if it had used no units yet: those are in the journal. Where they lie is kept."""
    if state.units is not None:
        state = structs.replace(state, units=structs.replace(state.units, taken=(), held=(), spent=()))
    period = period_of(state.tariff.price)
    return state if period is None else _with_period(state, structs.replace(period, counted=()))


def ends_at_ms(account: Account, period: Period) -> int:
    """When the counter that a grant was priced by begins anew: until then the client has to come back."""
    counter = counter_of(account, period.slot)
    return counter.ends_at_ms if counter is not None else 0


def _running(account: Account, state: GroupState, period: Period, now_ms: int) -> tuple[Account, Counter]:
    extras = account.extras
    zone = extras.time_zone if extras is not None else ""
    end_ms = period_end_ms(period.every, zone or period.zone, now_ms, extras.cycle_day if extras is not None else 0)
    tiers = terms_of(state.tariff.price).tiers
    return counter_in(account, period.counter, end_ms, sizes_of(tiers), [tier.status for tier in tiers])


def _kept(price: Price, count: int) -> list[bool]:
    """Which tiers a dearer one follows, or one with a fee."""
    tiers = terms_of(price).tiers
    tiers = tuple(tiers[min(at, len(tiers) - 1)] for at in range(count))
    return [any(later.rate > tier.rate or later.fee for later in tiers[at + 1 :]) for at, tier in enumerate(tiers)]


def _most(tiers: tuple[Tier, ...], counter: Counter) -> tuple[Tier, ...]:
    """The tiers as dear as they can become for a grant that is priced by what they have left.

    Places that others hold may be given back, and the use lie in those: at their rate, and with their fee if nobody has
    paid it yet. What else can happen makes it cheaper: a tier that a dearer one follows is kept.
    """
    most: list[Tier] = []
    rate = fee = 0
    for at, places in enumerate(counter.tiers):
        tier = tiers[min(at, len(tiers) - 1)]
        fee += 0 if places.used else tier.fee
        most.append(Tier(tier.up_to, max(rate, tier.rate), fee if places.free else 0, places.status))
        fee = 0 if places.free else fee
        rate = max(rate, tier.rate) if places.reserved else rate
    return tuple(most)


def _noted(counts: tuple[Counted, ...], counter: Counter, units: int) -> tuple[Counted, ...]:
    after = counter.used + units
    if counts and counts[-1].slot == counter.slot:
        last = counts[-1]
        return (*counts[:-1], Counted(last.slot, last.ends_at_ms, last.before, after, last.units + units))
    return (*counts, Counted(counter.slot, counter.ends_at_ms, counter.used, after, units))


def _with_period(state: GroupState, period: Period) -> GroupState:
    tariff = state.tariff
    terms = structs.replace(terms_of(tariff.price), period=period)
    changed: GroupState = structs.replace(
        state, tariff=structs.replace(tariff, price=structs.replace(tariff.price, terms=terms))
    )
    return changed
