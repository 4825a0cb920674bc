"""How many digits a called number has [3.8, 3.19]: limits of lines, from the sheet to the price and its explanation."""

from __future__ import annotations

import pytest

from balance.money import Currency
from ocs.rates.difference import compare_timelines
from ocs.rates.sheets.faults import SheetFaultsError
from ocs.rates.sheets.values import length_of
from ocs.rates.trace import Query, trace
from ocs.rating.origins import Origin
from ocs.rating.price import Tariff
from ocs.rating.ratebook import RateBook, Timeline
from tests.unit.test_rate_choice import NOW_MS, book_of, load
from tests.unit.test_rates_import_prices import imported

EUR = Currency("EUR", 978, 9, 2)
DECK = book_of(
    """prefix,destination,rate,origin,length,from,forbidden
49,Germany,0.01,,,,
4915,Mobile,0.10,,11-13,,
4915,From trunk 1,0.20,trunk:sbc1,11-13,,
4916,Short,0.30,,-6,,
4916,Whole,0.40,,7-,,
4917,Any length,0.50,,,,
4917,Eleven,0.60,,11,,
4918,Not so long,0,,13-,,yes
44,First,0.70,,5-9,2026-01-01,
44,Then,0.80,,5-12,2026-06-01,
"""
)


@pytest.mark.parametrize(
    ("number", "trunk", "destination"),
    [
        ("49151234567", "", "Mobile"),
        ("4915123456789", "", "Mobile"),
        ("4915123456", "", "Germany"),  # too short, so that line is none for it
        ("49151234567890", "", "Germany"),
        ("49151234567", "sbc1", "From trunk 1"),
        ("4915123456", "sbc1", "Germany"),
        ("491612", "", "Short"),
        ("4916123", "", "Whole"),
        ("49171234567", "", "Eleven"),
        ("491712345678", "", "Any length"),
        ("4918123456", "", "Germany"),
        ("4918123456789", "", "destination_barred"),
        ("4412345", "", "Then"),  # both fit: the newest date
        ("441234567890", "", "Then"),
        ("4412345678901", "", "no_destination"),
    ],
)
def test_3_8_number_length_limits(number: str, trunk: str, destination: str) -> None:
    """A line is for numbers of its length; for others the next shorter prefix is asked, as with origins."""
    query = _query(number, trunk)
    found = DECK.tariff_for("p", "voice", -1, (), number, NOW_MS, query.origin)
    assert (found.destination if isinstance(found, Tariff) else found.value) == destination
    chosen = [each.destination for each in trace(DECK, EUR, query).candidates if each.is_chosen]
    assert chosen == ([found.destination] if isinstance(found, Tariff) else chosen)


def test_3_8_explain_says_which_lengths_a_line_is_for() -> None:
    """A line that lost by the length of the number says so, and one that lost to it."""
    found = {
        (each.destination, each.length): each.outcome
        for number in ("4915123456", "49171234567")
        for each in trace(DECK, EUR, _query(number, "")).candidates
    }
    assert found["Mobile", "11-13"] == "for numbers of 11-13 digits; this has 10"
    assert found["Any length", ""] == "a line for numbers of this length goes first"
    assert found["Eleven", "11"] == "applies: the longest prefix in force"


@pytest.mark.parametrize(
    ("lengths", "fault"),
    [
        (("10-12", "12-13"), "the same prefix as in line 2, at the same time"),
        (("10-12", "11"), "the same prefix as in line 2, at the same time"),
        (("10-12", "13-"), ""),
        (("10-12", ""), ""),
        (("12-10", "5"), "'12-10' is no length that a number can have"),
        (("0", "5"), "'0' is no length that a number can have"),
        (("ten", "5"), "'ten' is no length of a number"),
        (("-", "5"), "'-' is no length of a number"),
        (("10-12-14", "5"), "'10-12-14' is no length of a number"),
    ],
)
def test_3_8_lengths_that_overlap_or_are_none(lengths: tuple[str, str], fault: str) -> None:
    """Two lines that fit a number equally well are a fault: nothing is decided by chance."""
    deck = "prefix,destination,rate,length\n" + "".join(f"49,D,0.0{at},{each}\n" for at, each in enumerate(lengths, 1))
    found = [str(each) for each in load(deck).faults]
    assert len(found) == bool(fault)
    assert not fault or fault in found[0]


@pytest.mark.parametrize(
    ("cells", "length"),
    [
        (("",), ""),
        (("11",), "11"),
        (("10-13",), "10-13"),
        (("10 to 13",), "10-13"),
        (("10 - 13 digits",), "10-13"),
        (("10,11,12",), "10-12"),
        (("", "10", "13"), "10-13"),
        (("", "", "13"), "-13"),
        (("", "10", ""), "10-"),
        (("", "0", "0"), ""),
    ],
)
def test_5_1_length_cells(cells: tuple[str, ...], length: str) -> None:
    """What suppliers write, in one column or in two."""
    assert length_of(*cells) == length


SHEET = "Prefix,Destination,Rate,Number length\n49,Germany,0.02,\n4915,Mobile,0.11,11-13\n4915,Mobile short,0.09,-10\n"


def test_5_1_a_sheet_with_lengths() -> None:
    """The column is found by its words; one code may have a line for each length, and the difference names them."""
    found = imported(SHEET, "prefix,destination,rate\n49,Germany,0.01\n")
    assert "4915,Mobile,0.11" in found.text
    assert [(change.kind.value, change.prefix, change.origin) for change in found.difference.changes] == [
        ("increase", "49", ""),
        ("new", "4915", "-10 digits"),
        ("new", "4915", "11-13 digits"),
    ]
    assert found.supplier.columns["length"] == "Number length"


def test_5_1_a_sheet_without_lengths_leaves_them() -> None:
    """What a sheet does not say stays; where a code has several lengths, it has to say which is meant."""
    live = "prefix,destination,rate,length\n4915,Mobile,0.10,11-13\n"
    found = imported("Prefix,Destination,Rate\n4915,Mobile,0.12\n", live)
    assert [line.split(",")[2] + " " + line.split(",")[-1] for line in found.text.splitlines()[1:]] == [
        "0.10 11-13",
        "0.12 11-13",
    ]
    with pytest.raises(SheetFaultsError, match="4915 has lines for several lengths of numbers in the deck"):
        imported("Prefix,Destination,Rate\n4915,Mobile,0.12\n", live + "4915,Short,0.05,-10\n")


@pytest.mark.parametrize("cell", ["ten", "10,12", "13-10"])
def test_5_6_lengths_that_stop(cell: str) -> None:
    """With row and column."""
    with pytest.raises(SheetFaultsError, match="row 2, column 'Number length'"):
        imported(f'Prefix,Destination,Rate,Number length\n49,Germany,0.02,"{cell}"\n')


def test_a_difference_by_length() -> None:
    """Lines of a length are compared with those of the same length, below other decks, too."""
    head = "prefix,destination,rate,length\n49,A,0.01,\n49,B,0.02,11\n"
    old, new = (_timeline(book_of(f"{head}49,C,{rate},12\n")) for rate in ("3", "4"))
    changes, _ = compare_timelines(old, new, NOW_MS)
    assert [(each.prefix, each.destination, each.origin) for each in changes] == [("49", "C", "12 digits")]


def _query(number: str, trunk: str) -> Query:
    return Query(number, "p", "voice", NOW_MS, origin=Origin("", trunk))


def _timeline(book: RateBook) -> Timeline:
    rates = book.rates_of("p")
    assert rates is not None
    return rates.services["voice"].otherwise
