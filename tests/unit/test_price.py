"""The price arithmetic against tables that a biller can check by hand."""

from __future__ import annotations

from fractions import Fraction

import msgspec
import pytest

from balance.money import parse_amount
from ocs.rating.price import Price, Rounding, billed_units, cost_of, is_free, units_within
from ocs.rating.units import UnitKind

SCALE = 9
MIB = 1_048_576


def eur(text: str) -> int:
    return parse_amount(text, SCALE)


def per_minute(rate: str, increments: str, setup: str = "0", minimum: int = 0) -> Price:
    initial, following = (int(part) for part in increments.split("/"))
    return Price(UnitKind.SECONDS, eur(setup), initial, following, eur(rate), eur(rate), 60, minimum)


T1 = Price(UnitKind.SECONDS, 0, 1, 1, eur("0.01"), eur("0.01"), 1)
T2 = Price(UnitKind.SECONDS, 0, 60, 60, eur("0.30"), eur("0.30"), 60)
T3 = Price(UnitKind.SECONDS, eur("0.10"), 1, 1, eur("0.01"), eur("0.01"), 1)
D1 = Price(UnitKind.OCTETS, 0, MIB, MIB, eur("0.05"), eur("0.05"), MIB)
S1 = Price(UnitKind.EVENTS, 0, 1, 1, eur("0.08"), eur("0.08"), 1)
FREE = Price(UnitKind.SECONDS, 0, 1, 1, 0, 0, 60)

BILLED = {
    "60/60": {1: 60, 11: 60, 30: 60, 31: 60, 37: 60, 61: 120, 65: 120},
    "1/1": {1: 1, 11: 11, 30: 30, 31: 31, 37: 37, 61: 61, 65: 65},
    "30/6": {1: 30, 11: 30, 30: 30, 31: 36, 37: 42, 61: 66, 65: 66},
    "60/1": {1: 60, 11: 60, 30: 60, 31: 60, 37: 60, 61: 61, 65: 65},
    "10/6": {1: 10, 11: 16, 30: 34, 31: 34, 37: 40, 61: 64, 65: 70},
    "30/60": {1: 30, 11: 30, 30: 30, 31: 90, 37: 90, 61: 90, 65: 90},
}


@pytest.mark.parametrize("increments", BILLED)
def test_3_1_increments(increments: str) -> None:
    """The initial increment is billed whole, then every started following one."""
    price = per_minute("0.12", increments)
    assert {used: billed_units(price, used) for used in BILLED[increments]} == BILLED[increments]
    assert billed_units(price, 0) == billed_units(price, -7) == 0


@pytest.mark.parametrize(
    ("price", "used", "cost"),
    [
        (per_minute("0.12", "60/60"), 61, "0.24"),
        (per_minute("0.12", "1/1"), 61, "0.122"),
        (per_minute("0.12", "30/6"), 31, "0.072"),
        (per_minute("0.12", "60/1"), 61, "0.122"),
        (per_minute("0.12", "1/1", setup="0.05"), 1, "0.052"),
        (per_minute("0.12", "1/1", setup="0.05"), 0, "0"),
        (per_minute("0.12", "1/1", minimum=30), 1, "0.06"),
        (per_minute("0.12", "30/6", minimum=40), 1, "0.084"),
        (per_minute("0.00137", "6/6"), 205, "0.004795"),  # 3.2: 35 increments of 6 s; a price per minute, not per 6 s
        (per_minute("0.0137", "6/6"), 205, "0.04795"),  # 3.2: the same sheet, if its prices are per increment of 6 s
        (per_minute("0.02", "1/1"), 3600, "1.20"),  # 3.3: not 1.08, as with a per-second price cut to 4 decimals
        (Price(UnitKind.SECONDS, 0, 60, 1, eur("0.60"), eur("0.12"), 60), 61, "0.602"),  # 3.2: price 1 and price N
        (T1, 30, "0.30"),
        (T2, 1, "0.30"),
        (T2, 60, "0.30"),
        (T2, 61, "0.60"),
        (T3, 1, "0.11"),
        (D1, 1, "0.05"),
        (D1, MIB, "0.05"),
        (D1, MIB + 1, "0.10"),
        (S1, 3, "0.24"),
        (FREE, 10**9, "0"),
    ],
)
def test_3_18_price_vectors(price: Price, used: int, cost: str) -> None:
    """Each row is one line of a rate sheet and what it makes of a use."""
    assert cost_of(price, used) == eur(cost)


@pytest.mark.parametrize(
    ("price", "budget", "limit", "units"),
    [
        (T1, "1.00", 30, 30),
        (T1, "1.00", 3600, 100),
        (T2, "0.20", 3600, 0),
        (T2, "0.50", 3600, 60),
        (T2, "0.50", 30, 30),
        (T2, "0.60", 3600, 120),
        (T3, "0.10", 3600, 0),
        (T3, "0.11", 3600, 1),
        (per_minute("0.60", "60/1"), "0.30", 3600, 0),  # 3.17: the first minute costs 0.60
        (per_minute("0.60", "60/1"), "0.61", 3600, 61),
        (D1, "0.14", 10 * MIB, 2 * MIB),
        (S1, "0.25", 10, 3),
        (FREE, "0", 3600, 3600),
        (T1, "-1.00", 3600, 0),
        (T1, "1.00", 0, 0),
        (T1, "1.00", -5, 0),
    ],
)
def test_3_17_units_within(price: Price, budget: str, limit: int, units: int) -> None:
    """The largest quota that the money pays for, and the next increment is not affordable."""
    assert units_within(price, eur(budget), limit) == units
    if 0 < units < limit:
        assert cost_of(price, units) <= eur(budget) < cost_of(price, billed_units(price, units) + 1)


@pytest.mark.parametrize(
    ("rounding", "expected"),
    [(Rounding.UP, "0.0051"), (Rounding.HALF_UP, "0.005"), (Rounding.DOWN, "0.005")],
)
def test_3_11_rounding_modes(rounding: Rounding, expected: str) -> None:
    """A call of 3 s at 0.1003 per minute is 0.005015: up is the next digit, half up the nearest, down the lower."""
    rounded = msgspec.structs.replace(per_minute("0.1003", "1/1"), quantum=eur("0.0001"), terms=rounding)
    assert cost_of(rounded, 3) == eur(expected)


def test_3_11_rounding_up_leaves_exact_amounts_alone() -> None:
    """0.10000 stays 0.10 under rounding up to two decimals."""
    rounded = msgspec.structs.replace(per_minute("0.10", "60/60"), quantum=eur("0.01"))
    assert cost_of(rounded, 60) == eur("0.10")


def test_one_rounding_per_call() -> None:
    """A price per minute that has no exact price per second comes to the exact fraction, rounded up once."""
    price = per_minute("0.10", "1/1")
    for used in (1, 7, 59, 60, 3_601):
        exact = Fraction(eur("0.10")) * used / 60
        assert cost_of(price, used) - exact < 1
        assert cost_of(price, used) >= exact


def test_cost_needs_no_more_work_for_ten_hours() -> None:
    """Very long uses and very large budgets are the same closed formula."""
    assert cost_of(T2, 10**15) == -(-(10**15) // 60) * eur("0.30")
    assert units_within(T1, eur("1000000000"), 10**15) == 10**11


@pytest.mark.parametrize(("price", "free"), [(FREE, True), (T1, False), (T3, False)])
def test_is_free(price: Price, free: bool) -> None:
    """Only a price that can never come to anything is free."""
    assert is_free(price) is free
