"""The sample configuration: what README and demo promise about it."""

from __future__ import annotations

from pathlib import Path

import pytest

from balance.money import parse_amount
from ocs.rating.dated import instant_ms
from ocs.rating.load import check_config, load_currencies, load_ratebook
from ocs.rating.price import Tariff, cost_of, is_free
from ocs.rating.ratebook import RateBook, RatingFault

CONFIG = Path(__file__).resolve().parents[2] / "config"
NOW_MS = instant_ms("2026-09-21")
MIB = 1_048_576


@pytest.fixture(scope="module")
def book() -> RateBook:
    result = load_ratebook(CONFIG, NOW_MS)
    assert result.warnings == ()
    assert result.book is not None, result.faults
    return result.book


def test_the_samples_have_no_faults() -> None:
    """What is shipped passes its own check."""
    assert check_config(CONFIG) == []


def test_currencies() -> None:
    """ISO codes, digits and scales: 9 decimals, 6 where the unit is worth less than about a cent."""
    currencies = load_currencies(CONFIG / "currencies.toml")
    assert len(currencies) >= 40
    assert [
        (currencies[code].numeric, currencies[code].scale, currencies[code].digits) for code in ("EUR", "JPY", "KWD")
    ] == [
        (978, 9, 2),
        (392, 6, 0),
        (414, 9, 3),
    ]


@pytest.mark.parametrize(
    ("plan", "service", "group", "number", "used", "cost"),
    [
        ("test-eur", "voice", 1, "100", 30, "0.30"),
        ("test-eur", "voice", -1, "1005551234", 100, "1.00"),
        ("test-eur", "voice", 1, "200", 1, "0.30"),
        ("test-eur", "voice", 1, "200", 61, "0.60"),
        ("test-eur", "voice", 1, "300", 1, "0.11"),
        ("test-eur", "voice", 1, "400", 0, "0.05"),
        ("test-eur", "voice", 1, "400", 6, "0.11"),
        ("test-eur", "voice", 1, "500", 60, "0.60"),
        ("test-eur", "voice", 1, "600", 60, "0.60"),
        ("test-eur", "voice", 1, "112", 600, "0"),
        ("test-eur", "stickers", -1, "", 11, "0.55"),
        ("hours-eur", "voice", 1, "49", 60, "0.60"),
        ("hours-eur", "sms", 1, "49", 1, "0.05"),
        ("test-eur", "voice", 1, "800", 600, "0"),
        ("test-eur", "sms", -1, "4915", 1, "0.08"),
        ("test-eur", "data", 10, "", 1, "0.05"),
        ("test-eur", "data", 20, "", MIB + 1, "0.10"),
        ("test-eur", "data", -1, "", MIB, "0.05"),
        ("test-eur", "data", 99, "", MIB, "0"),
        ("retail-eur", "voice", -1, "4930901820", 60, "0.05"),
        ("retail-eur", "voice", -1, "4915112345678", 90, "0.18"),
        ("retail-eur", "voice", -1, "442071234567", 60, "0.045"),
        ("retail-eur", "voice", -1, "441611234567", 60, "0.06"),
        ("retail-eur", "voice", -1, "4980012345", 600, "0"),
        ("retail-eur", "voice", -1, "112", 600, "0"),
        ("retail-eur", "voice", -1, "110", 600, "0"),
        ("retail-eur", "sms", -1, "4915112345678", 2, "0.16"),
        ("retail-eur", "data", 10, "", 3 * MIB, "0.15"),
        ("retail-eur", "data", 20, "", 3 * MIB, "0"),
        ("retail-eur", "data", -1, "", 1_000_000, "0.10"),
        ("retail-eur", "data", 30, "", 1_000_000, "0.10"),
        ("wholesale-usd", "voice", 1, "4915112345678", 61, "0.0316"),
        ("wholesale-usd", "voice", 1, "5215512345678", 61, "0.0520"),
        ("wholesale-usd", "sms", 1, "4915112345678", 1, "0.0620"),
    ],
)
def test_prices(book: RateBook, plan: str, service: str, group: int, number: str, used: int, cost: str) -> None:
    """One row a use; T1, T2, T3, D1 and S1 are test-eur's 100, 200, 300, data and sms."""
    tariff = book.tariff_for(plan, service, group, (), number, NOW_MS)
    assert isinstance(tariff, Tariff)
    assert cost_of(tariff.price, used) == parse_amount(cost, 9)
    assert is_free(tariff.price) == (cost == "0")


@pytest.mark.parametrize(
    ("plan", "service", "group", "number", "fault"),
    [
        ("test-eur", "data", 77, "", RatingFault.NO_RATING_GROUP),
        ("test-eur", "voice", 1, "900", RatingFault.DESTINATION_BARRED),
        ("test-eur", "voice", 1, "5", RatingFault.NO_DESTINATION),
        ("test-eur", "mms", 1, "", RatingFault.NO_SERVICE),
        ("retail-eur", "voice", 1, "49900123", RatingFault.DESTINATION_BARRED),
        ("wholesale-usd", "sms", 1, "1876123", RatingFault.NO_DESTINATION),
        ("wholesale-usd", "sms", 1, "8816123", RatingFault.DESTINATION_BARRED),
        ("none", "voice", 1, "100", RatingFault.UNKNOWN_PLAN),
    ],
)
def test_refusals(book: RateBook, plan: str, service: str, group: int, number: str, fault: RatingFault) -> None:
    """What the samples do not sell, and why."""
    assert book.tariff_for(plan, service, group, (), number, NOW_MS) is fault
