"""Properties that hold for every price: monotone, exactly invertible, independent of the number of updates."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from balance.money import Currency, parse_amount
from ocs.rating.explain import explain, parts_of
from ocs.rating.price import Price, Rounding, billed_units, cost_of, is_free, next_step, units_within
from ocs.rating.units import UnitKind

USE_MAX = 400


@st.composite
def prices(draw: st.DrawFn) -> Price:
    """Small numbers, so that every boundary is near and brute force can judge."""
    return Price(
        kind=UnitKind.SECONDS,
        setup=draw(st.sampled_from([0, 0, 1, 7, 50])),
        initial=draw(st.sampled_from([0, 1, 6, 10, 30, 60])),
        next=draw(st.sampled_from([1, 2, 6, 7, 30, 60])),
        initial_rate=draw(st.integers(0, 40)),
        next_rate=draw(st.integers(0, 40)),
        per=draw(st.sampled_from([1, 3, 60, 100])),
        minimum=draw(st.sampled_from([0, 0, 5, 30, 61])),
        quantum=draw(st.sampled_from([1, 1, 5, 10])),
        rounding=draw(st.sampled_from(list(Rounding))),
    )


@given(prices(), st.integers(-5, USE_MAX))
def test_cost_is_monotone(price: Price, used: int) -> None:
    """One more unit never costs less, and a use that is not there costs nothing."""
    assert 0 <= cost_of(price, used) <= cost_of(price, used + 1)
    assert used > 0 or cost_of(price, used) == 0


@given(prices(), st.integers(-10, 500), st.integers(-2, USE_MAX))
def test_units_within_is_the_exact_inverse(price: Price, budget: int, limit: int) -> None:
    """units_within agrees with trying every use from the limit down."""
    brute = max((units for units in range(max(limit, 0) + 1) if cost_of(price, units) <= budget), default=0)
    assert units_within(price, budget, limit) == brute


@given(prices(), st.lists(st.integers(0, 90), max_size=8))
def test_the_number_of_updates_cannot_change_the_price(price: Price, reports: list[int]) -> None:
    """The debits C(new) - C(old) of any series of reports add up to the price of the whole call (statement 58) [R-62]."""
    used = debited = 0
    for report in reports:
        debited += cost_of(price, used + report) - cost_of(price, used)
        used += report
    assert debited == cost_of(price, sum(reports))


@given(prices(), st.integers(0, USE_MAX))
def test_next_step_ends_the_next_increment(price: Price, used: int) -> None:
    """The step leads to the end of an increment, and from there the paid units are used up."""
    step = next_step(price, used)
    assert step > 0
    assert billed_units(price, used + step) == used + step
    paid = billed_units(price, used)
    assert billed_units(price, paid) == paid
    assert cost_of(price, paid + 1) == cost_of(price, used + step)


@given(prices())
def test_free_means_that_nothing_ever_costs(price: Price) -> None:
    """is_free says exactly whether the price stays at zero."""
    exactly = msgspec.structs.replace(price, quantum=1, rounding=Rounding.UP)
    assert is_free(price) == (cost_of(exactly, 1_000_000) == 0)


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
