"""Prices in words, as a biller reads them."""

from __future__ import annotations

import msgspec
import pytest

from balance.money import Currency, parse_amount
from ocs.rating.explain import explain
from ocs.rating.price import Price, Rounding, cost_of
from ocs.rating.units import UnitKind, parse_quantity, price_unit_name, quantity_text

EUR = Currency("EUR", 978, 9, 2)
MIB = 1_048_576


def eur(text: str) -> int:
    return parse_amount(text, EUR.scale)


CALL = Price(UnitKind.SECONDS, eur("0.10"), 60, 6, eur("0.30"), eur("0.20"), 60)
MINUTES = Price(UnitKind.SECONDS, eur("0.10"), 60, 60, eur("0.30"), eur("0.30"), 60)
EXACT = Price(UnitKind.SECONDS, 0, 1, 1, eur("0.10"), eur("0.10"), 60)
CENTS = msgspec.structs.replace(EXACT, quantum=eur("0.01"))
DATA = Price(UnitKind.OCTETS, 0, MIB, MIB, eur("0.05"), eur("0.05"), MIB)
MESSAGES = Price(UnitKind.EVENTS, 0, 1, 1, eur("0.08"), eur("0.08"), 1)
LONG = Price(UnitKind.SECONDS, 0, 1, 1, eur("0.10"), eur("0.10"), 90, minimum=45)
FREE = Price(UnitKind.SECONDS, 0, 1, 1, 0, 0, 60)


@pytest.mark.parametrize(
    ("price", "used", "lines"),
    [
        (
            CALL,
            70,
            [
                "used 70 s, billed 72 s: 60 s, then every started 6 s",
                "0.10 EUR setup fee",
                "0.30 EUR first 60 s at 0.30 EUR per minute",
                "0.04 EUR next 12 s (2 x 6 s) at 0.20 EUR per minute",
                "0.44 EUR in all",
            ],
        ),
        (
            CALL,
            10,
            [
                "used 10 s, billed 60 s: 60 s, then every started 6 s",
                "0.10 EUR setup fee",
                "0.30 EUR first 60 s at 0.30 EUR per minute",
                "0.40 EUR in all",
            ],
        ),
        (
            MINUTES,
            61,
            [
                "used 61 s, billed 120 s: 60 s, then every started 60 s",
                "0.10 EUR setup fee",
                "0.60 EUR 120 s (2 x 60 s) at 0.30 EUR per minute",
                "0.70 EUR in all",
            ],
        ),
        (
            EXACT,
            1,
            [
                "used 1 s, billed 1 s",
                "0.001666666 EUR 1 s at 0.10 EUR per minute",
                "0.000000001 EUR rounded up to 0.000000001 EUR",
                "0.001666667 EUR in all",
            ],
        ),
        (
            CENTS,
            7,
            [
                "used 7 s, billed 7 s",
                "0.011666666 EUR 7 s at 0.10 EUR per minute",
                "0.008333334 EUR rounded up to 0.01 EUR",
                "0.02 EUR in all",
            ],
        ),
        (
            msgspec.structs.replace(CENTS, terms=Rounding.DOWN),
            7,
            [
                "used 7 s, billed 7 s",
                "0.011666666 EUR 7 s at 0.10 EUR per minute",
                "-0.001666666 EUR rounded down to 0.01 EUR",
                "0.01 EUR in all",
            ],
        ),
        (
            DATA,
            MIB + 1,
            [
                "used 1048577 octets, billed 2 MiB: 1 MiB, then every started 1 MiB",
                "0.10 EUR 2 MiB (2 x 1 MiB) at 0.05 EUR per MiB",
                "0.10 EUR in all",
            ],
        ),
        (MESSAGES, 1, ["used 1 event, billed 1 event", "0.08 EUR 1 event at 0.08 EUR per event", "0.08 EUR in all"]),
        (
            LONG,
            5,
            [
                "used 5 s, billed 45 s: at least 45 s, 1 s, then every started 1 s",
                "0.05 EUR 45 s at 0.10 EUR per 90 seconds",
                "0.05 EUR in all",
            ],
        ),
        (
            FREE,
            600,
            ["used 600 s, billed 600 s", "0.00 EUR 600 s at 0.00 EUR per minute", "0.00 EUR in all: free of charge"],
        ),
        (CALL, 0, ["used 0 s, billed 0 s: nothing was used", "0.00 EUR in all"]),
    ],
)
def test_explanations(price: Price, used: int, lines: list[str]) -> None:
    """Setup, increments, rounding and total, in this order, with what does not apply left out."""
    assert explain(price, used, cost_of(price, used), EUR) == lines


def test_a_cost_that_is_not_the_price_is_told() -> None:
    """A repaired record does not hide that it was repaired."""
    assert explain(MESSAGES, 2, eur("0.10"), EUR)[-2:] == [
        "-0.06 EUR difference to the price of this use",
        "0.10 EUR in all",
    ]


def test_units_in_words() -> None:
    """Units are written as they are read."""
    assert [price_unit_name(UnitKind.OCTETS, units) for units in (1, 1000, 2**20, 10**9, 7)] == [
        "octet",
        "kB",
        "MiB",
        "GB",
        "7 octets",
    ]
    assert [quantity_text(UnitKind.OCTETS, units) for units in (5, 2048, 3 * 2**30)] == ["5 octets", "2 KiB", "3 GiB"]
    assert quantity_text(UnitKind.EVENTS, 3) == "3 events"


@pytest.mark.parametrize(
    ("text", "kind", "units"),
    [
        ("60", UnitKind.SECONDS, 60),
        ("60 s", UnitKind.SECONDS, 60),
        ("2min", UnitKind.SECONDS, 120),
        ("100 kB", UnitKind.OCTETS, 100_000),
        ("1 MiB", UnitKind.OCTETS, MIB),
        (" 3 ", UnitKind.EVENTS, 3),
    ],
)
def test_quantities(text: str, kind: UnitKind, units: int) -> None:
    """Increments carry a unit or are in the base unit."""
    assert parse_quantity(text, kind) == units
