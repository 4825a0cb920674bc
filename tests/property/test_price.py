"""Properties that hold for every price: monotone, exactly invertible, independent of the number of updates."""

from __future__ import annotations

from fractions import Fraction

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from balance.money import Currency, parse_amount
from ocs.rating.charge import charge_of
from ocs.rating.explain import explain, parts_of
from ocs.rating.price import (
    Price,
    Rounding,
    billed_units,
    cost_of,
    dearer,
    held_for,
    is_free,
    units_within,
    units_within_both,
)
from ocs.rating.terms import Exchange, Grace, NextBand, Tax, Terms, Tier, Tiering, terms_of, with_terms
from ocs.rating.timetable import begun_later, going_on, paid_until
from ocs.rating.units import UnitKind

USE_MAX = 400


@st.composite
def prices(draw: st.DrawFn) -> Price:
    """Small numbers, so that every boundary is near and brute force can judge."""
    price = Price(
        kind=UnitKind.SECONDS,
        setup=draw(st.sampled_from([0, 0, 1, 7, 50])),
        initial=draw(st.sampled_from([0, 1, 6, 10, 30, 60])),
        next=draw(st.sampled_from([1, 2, 6, 7, 30, 60])),
        initial_rate=draw(st.integers(0, 40)),
        next_rate=draw(st.integers(0, 40)),
        per=draw(st.sampled_from([1, 3, 60, 100])),
        minimum=draw(st.sampled_from([0, 0, 5, 30, 61])),
        quantum=draw(st.sampled_from([1, 1, 5, 10])),
        terms=draw(st.sampled_from(list(Rounding))),
    )
    if not draw(st.booleans()):
        return price
    more = draw(terms(price.rounding))
    if draw(st.booleans()):
        found = draw(tiers())
        price = msgspec.structs.replace(price, initial_rate=found[0].rate, next_rate=found[0].rate)
        return with_terms(price, msgspec.structs.replace(more, tiers=found, tiering=draw(st.sampled_from(Tiering))))
    return with_terms(price, msgspec.structs.replace(more, switches=draw(switches(price))))


@st.composite
def tiers(draw: st.DrawFn) -> tuple[Tier, ...]:
    """Rising ends, an open last tier, any rates and fees: volume tiers may get cheaper, or dearer."""
    ends = [*sorted(draw(st.sets(st.integers(1, 200), max_size=3))), 0]
    return tuple(Tier(end, draw(st.integers(0, 40)), draw(st.sampled_from([0, 0, 9]))) for end in ends)


@st.composite
def switches(draw: st.DrawFn, price: Price) -> tuple[NextBand, ...]:
    """Bands to come, with increments and rates of their own."""
    instants = sorted(draw(st.sets(st.integers(1, 200), max_size=3)))
    return tuple(
        NextBand(
            at_s,
            f"band {at_s}",
            msgspec.structs.replace(
                price, next=draw(st.sampled_from([1, 7, 60])), next_rate=draw(st.integers(0, 40)), terms=Rounding.UP
            ),
        )
        for at_s in instants
    )


@st.composite
def terms(draw: st.DrawFn, rounding: Rounding) -> Terms:
    """Every rule that a price may have, most of them absent."""
    least = draw(st.sampled_from([0, 0, 30, 200]))
    return Terms(
        rounding=rounding,
        attempt_fee=draw(st.sampled_from([0, 0, 3])),
        charge_min=least,
        charge_max=draw(st.sampled_from([0, 0, 250, 900])),
        grace=draw(st.sampled_from(list(Grace))),
        grace_units=draw(st.sampled_from([0, 1, 5, 70, 333])),
        exchange=draw(st.sampled_from([None, None, Exchange("XXX", 4, "0.37", 37, 100)])),
        tax=draw(st.sampled_from([None, None, Tax(190_000, is_included=False), Tax(77_000, is_included=True)])),
    )


@given(prices(), st.integers(-5, USE_MAX))
def test_cost_is_monotone(price: Price, used: int) -> None:
    """One more unit never costs less, and a use that is not there costs nothing but the fee for the attempt."""
    assert 0 <= cost_of(price, used) <= held_for(price, used) <= held_for(price, used + 1)
    if terms_of(price).tiering is Tiering.GRADUATED:
        assert held_for(price, used) == cost_of(price, used) <= cost_of(price, used + 1)
    assert used > 0 or cost_of(price, used) == cost_of(price, 0)
    assert cost_of(price, 0) == 0 or terms_of(price).attempt_fee


@given(prices(), st.integers(0, USE_MAX))
def test_what_is_held_is_the_most_that_any_shorter_use_costs(price: Price, used: int) -> None:
    """A client may stop anywhere within its grant: what was set aside pays for it."""
    assert held_for(price, used) == max(cost_of(price, units) for units in range(used + 1))


@given(prices(), st.integers(-10, 500), st.integers(-2, USE_MAX))
def test_units_within_is_the_exact_inverse(price: Price, budget: int, limit: int) -> None:
    """units_within agrees with trying every use from the limit down."""
    brute = max((units for units in range(max(limit, 0) + 1) if held_for(price, units) <= budget), default=0)
    assert units_within(price, budget, limit) == brute


@given(prices(), st.lists(st.integers(0, 90), max_size=8))
def test_the_number_of_updates_cannot_change_the_price(price: Price, reports: list[int]) -> None:
    """The debits C(new) - C(old) of any series of reports add up to the price of the whole call (statement 58) [R-62]."""
    used, debited = 0, cost_of(price, 0)
    for report in reports:
        debited += cost_of(price, used + report) - cost_of(price, used)
        used += report
    assert debited == cost_of(price, sum(reports))


@given(prices(), st.integers(0, USE_MAX))
def test_a_paid_increment_may_be_used_to_its_end(price: Price, used: int) -> None:
    """What is billed costs as much as what was used, and billing it again changes nothing."""
    ordinary = msgspec.structs.replace(price, terms=price.rounding)
    paid = billed_units(ordinary, used)
    assert billed_units(ordinary, paid) == paid
    assert cost_of(ordinary, paid) == cost_of(ordinary, used)


@given(prices().filter(lambda price: price.quantum == 1 and not terms_of(price).tiers), st.integers(0, USE_MAX))
def test_splitting_at_a_switch_is_the_sum_of_its_parts(price: Price, used: int) -> None:
    """Increments laid one after another, each at the price of the band in which it begins, come to the same amount."""
    terms = terms_of(price)
    plain = msgspec.structs.replace(
        terms, attempt_fee=0, charge_min=0, charge_max=0, exchange=None, tax=None, grace=Grace.NONE
    )
    price = with_terms(price, plain)
    at = exact = 0
    while at < max(used, price.minimum) and used:
        current = [price, *(switch.price for switch in plain.switches if switch.at_s <= at)][-1]
        units, rate = (
            (current.next, current.next_rate) if at or not price.initial else (price.initial, price.initial_rate)
        )
        exact += units * rate
        at += units
    expected = Fraction(exact, price.per) + (price.setup if used else 0)
    assert -1 < cost_of(price, used) - expected < 1
    assert billed_units(price, used) == at


@given(prices(), st.integers(0, USE_MAX), st.integers(0, 150))
def test_a_call_that_begins_later_is_moved_whole(price: Price, used: int, later: int) -> None:
    """Moving twice is moving once by the sum, and prices of bands that have passed are gone."""
    once = begun_later(begun_later(price, later), 17)
    assert cost_of(once, used) == cost_of(begun_later(price, later + 17), used)


@given(prices())
def test_free_means_that_nothing_ever_costs(price: Price) -> None:
    """is_free says exactly whether the price stays at zero."""
    exactly = msgspec.structs.replace(price, quantum=1)
    exactly = with_terms(exactly, msgspec.structs.replace(terms_of(price), rounding=Rounding.UP))
    assert is_free(price) == (cost_of(exactly, 1_000_000) == 0)


@given(prices(), st.integers(-5, USE_MAX))
def test_both_ways_to_an_ordinary_price_agree(price: Price, used: int) -> None:
    """The short formula of the hot path and the steps of the explanation come to the same amount."""
    ordinary = msgspec.structs.replace(price, terms=price.rounding)
    assert cost_of(ordinary, used) == charge_of(ordinary, used).total
    assert billed_units(ordinary, used) == charge_of(ordinary, used).billed


@given(prices(), st.integers(0, 300), st.integers(0, 300))
def test_a_larger_budget_buys_no_less(price: Price, budget: int, more: int) -> None:
    """The inverse is monotone too."""
    assert units_within(price, budget, USE_MAX) <= units_within(price, budget + more, USE_MAX)


@given(prices(), st.integers(-5, USE_MAX), st.integers(-3, 3))
def test_explain_adds_up(price: Price, used: int, difference: int) -> None:
    """The parts of an explanation add up to the cost exactly, as numbers and as they are printed (statement 7)."""
    currency = Currency("XTS", 963, 4, 2)
    cost = cost_of(price, used) + difference
    parts = parts_of(price, used, cost, currency)
    assert sum(part.amount for part in parts) == cost
    printed = [parse_amount(line.split()[0], currency.scale) for line in explain(price, used, cost, currency)[1:]]
    assert sum(printed[:-1]) == printed[-1] == cost


@st.composite
def changes(draw: st.DrawFn) -> tuple[Price, Price]:
    """A price of data, and the one that follows it: as bands of one tariff may differ."""
    before = Price(
        kind=UnitKind.OCTETS,
        setup=draw(st.sampled_from([0, 7])),
        initial=draw(st.sampled_from([1, 6, 30])),
        next=draw(st.sampled_from([1, 7, 30])),
        initial_rate=draw(st.integers(0, 40)),
        next_rate=draw(st.integers(0, 40)),
        per=draw(st.sampled_from([1, 3, 100])),
        minimum=draw(st.sampled_from([0, 0, 5])),
        quantum=draw(st.sampled_from([1, 1, 5])),
        terms=draw(st.sampled_from(list(Rounding))),
    )
    step = draw(st.sampled_from([before.next, 1, 60]))
    return before, msgspec.structs.replace(
        before, next=step, initial_rate=draw(st.integers(0, 40)), next_rate=draw(st.integers(0, 40))
    )


@given(changes(), st.integers(0, 60), st.integers(0, 80), st.integers(0, 80))
def test_85_what_is_set_aside_covers_every_change_within_the_grant(
    prices: tuple[Price, Price], used: int, before: int, after: int
) -> None:
    """Wherever in the grant the price changes, the use costs no more than the dearer of both sides [G-70] (statement 3)."""
    first, then = prices
    total = used + before + after
    held = dearer(going_on(then, paid_until(first, used), cost_of(first, used)), first, total)
    at_change = used + before
    assert cost_of(going_on(then, paid_until(first, at_change), cost_of(first, at_change)), total) <= held


@given(changes(), st.integers(0, 60), st.integers(0, 600), st.integers(0, 200))
def test_85_units_within_both_prices(prices: tuple[Price, Price], used: int, budget: int, limit: int) -> None:
    """What fits the money fits it at either price; where both have the same even increments, not one unit more does."""
    first, then = prices
    later = going_on(then, paid_until(first, used), cost_of(first, used))
    found = units_within_both(later, first, budget, used + limit)
    assert found == 0 or dearer(later, first, found) <= budget
    if first.next == later.next and found < used + limit:
        assert dearer(later, first, found + 1) > budget
