"""What breaks in suppliers' cells, and what an import must ask instead of guessing."""

from __future__ import annotations

import pytest

from ocs.rates.sheets.codes import CodeReader, Hyphen
from ocs.rates.sheets.faults import CellError
from ocs.rates.sheets.merge import merge
from ocs.rates.sheets.supplier import IncrementException, Supplier, read_supplier, write_supplier
from ocs.rates.sheets.values import per_minute, price_text
from tests.unit.test_rates_import_layouts import AT_MS, imported, lines, refused


@pytest.mark.parametrize(
    ("cell", "country", "hyphen", "codes"),
    [
        ("4470, 4475", "", "", ["4470", "4475"]),
        ("4470;4475 / 4476", "", "", ["4470", "4475", "4476"]),
        ("447400-447403", "", "range", ["447400", "447401", "447402", "447403"]),
        ("49170-172", "", "range", ["49170", "49171", "49172"]),
        ("49151,49170\u2013172", "", "range", ["49151", "49170", "49171", "49172"]),
        ("82-10", "", "join", ["8210"]),
        ("999-76", "", "join", ["99976"]),
        ("61 38,39", "", "", ["6138", "6139"]),
        ("+49 151", "", "", ["49151"]),
        ("0049151", "", "", ["49151"]),
        ("01149151", "", "", ["49151"]),
        ("6, 7", "34", "", ["346", "347"]),
        ("6-8", "34", "range", ["346", "347", "348"]),
        ("", "34", "", ["34"]),
        ("02", "+39", "", ["3902"]),
    ],
)
def test_code_cells(cell: str, country: str, hyphen: Hyphen, codes: list[str]) -> None:
    """Lists, ranges, joined codes and international prefixes, each as the trade means it."""
    assert CodeReader(hyphen).read(cell, country) == codes


@pytest.mark.parametrize(
    ("cell", "country", "hyphen", "why"),
    [
        ("4.47E+11", "", "", "is a rounded number"),
        ("44-46", "", "", "'44-46' can be join and range"),
        ("82-10", "", "range", "'82-10' can be join"),
        ("1-2-3", "", "range", "neither a range nor"),
        ("44 20", "", "", "may be two codes or one with a space"),
        ("151", "0", "", "begins with 0"),
        ("0151", "", "", "begins with 0"),
        ("4915x", "", "", "is not made of digits"),
        ("6", "39", "", "has lost its zero"),
        ("4400000-4499999", "", "range", "has 100000 codes"),
        (" , ", "", "", "the code is empty"),
        ("1" * 25, "", "", "is too long"),
    ],
)
def test_code_cells_that_stop(cell: str, country: str, hyphen: Hyphen, why: str) -> None:
    """What a spreadsheet broke, or what can be read in two ways, is said with its cure."""
    with pytest.raises(CellError, match=why) as error:
        CodeReader(hyphen).read(cell, country)
    assert error.value.cure


HEAD = "Code,Destination,Rate,Effective\n"


@pytest.mark.parametrize(
    ("sheet", "expected"),
    [
        (HEAD + "82-10,A,0.1,ASAP\n44700-44709,B,0.1,ASAP\n", "'44700-44709' is a range, '82-10' joins country"),
        (
            HEAD + "44-46,A,0.1,ASAP\n",
            "'44-46' can be a range or country and area code (--hyphen range or --hyphen join)",
        ),
        (HEAD + "44,A,0.1,13/04/2026\n45,B,0.1,04/13/2026\n", "have different orders"),
        (HEAD + '44,A,"1,200",ASAP\n', "'1,200' can be a thousand or a decimal fraction"),
        (HEAD + '44,A,"0,1200",ASAP\n45,B,0.1200,ASAP\n', "have different decimal marks"),
        (HEAD + "44,A,USD 0.1,ASAP\n", "the sheet is in USD, the supplier's currency is EUR"),
        (HEAD + "44,A,$0.1,ASAP\n45,B,GBP 0.1,ASAP\n", "the sheet speaks of GBP and USD"),
        (HEAD + "44,A,,ASAP\n", "row 2, column 'Rate': the price is empty"),
        (HEAD + "44,A,free,ASAP\n", "row 2, column 'Rate': 'free' is no price"),
        (HEAD + "44,A,0.12345678901,ASAP\n", "0.12345678901 has more than 9 decimals"),
        (HEAD + "44,A,0.1,\n", "row 2, column 'Effective': the date is empty"),
        (HEAD + "44,A,0.1,soon\n", "row 2, column 'Effective': 'soon' is no date"),
        (HEAD + "4.47E+11,A,0.1,ASAP\n", "row 2, column 'Code': '4.47E+11' is a rounded number"),
        (HEAD + "44,A,0.1,ASAP\n44,A,0.2,ASAP\n", "row 3: 44 has 0.1 in row 2 and 0.2 here"),
        (HEAD + "44,A,0.1,ASAP\n,all 1/1 except Mexico 60/60,,\n", "increments stand in a text"),
        ("Code,Rate,Price\n44,0.1,0.1\n", "'Rate', 'Price' can all be the price"),
        ("Code,Destination,Origin Set,Rate\n44,A,EEA,0.1\n", "'EEA' is an origin that has to be explained (--origin"),
        ("Some,Words\n1,2\n", "no table was found"),
        ("Code,Destination\n44,A\n", "the header names no price"),
        ("Code,Rate,Forbidden\n44,0.1,maybe\n", "'maybe ' is neither yes nor no"),
    ],
)
def test_imports_that_stop(sheet: str, expected: str) -> None:
    """Each ambiguity and each broken cell names its place and its cure, and nothing is written."""
    reasons = refused(sheet, currency="EUR")
    assert any(expected in reason for reason in reasons), reasons
    assert all(reason.endswith(")") for reason in reasons), "each has its cure"


def test_an_unknown_currency_stops() -> None:
    """A sheet without a currency is not taken to be in anybody's."""
    assert refused(HEAD + "44,A,0.1,ASAP\n") == [
        "column 'Rate': the sheet does not say its currency (--currency, such as --currency USD)"
    ]


def test_all_faults_come_at_once() -> None:
    """Who repairs a sheet sees all that is wrong with it, not the first."""
    assert len(refused(HEAD + "4.4E+9,A,0.1,ASAP\n45,B,,ASAP\n46,C,0.1,soon\n", currency="EUR")) == 3


def test_increments_in_footnotes_are_kept_with_the_supplier() -> None:
    """What a footnote says in words is written down once, and used from then on."""
    sheet = HEAD + "44,United Kingdom,0.1,ASAP\n52,Mexico City,0.1,ASAP\n,all 1/1 except Mexico 60/60,,\n"
    known = (IncrementException(destination="Mexico", increments="60/60"),)
    found = imported(sheet, currency="EUR", increments="1/1", exceptions=known)
    assert [line.split(",")[:5] for line in lines(found)[1:]] == [
        ["44", "United Kingdom", "0.1", "1", "1"],
        ["52", "Mexico City", "0.1", "60", "60"],
    ]


def test_a_price_far_below_its_country_is_flagged() -> None:
    """A digit that was lost is told, not repaired."""
    rows = "".join(f"49{at},Germany {at},0.03,ASAP\n" for at in range(1, 5)) + "499,Germany 9,0.003,ASAP\n"
    assert imported(HEAD + rows, currency="EUR").manifest.warnings == (
        "the price is far from its country's: row 6: 499 Germany 9 at 0.003 is 10 times below the middle",
    )


def test_words_and_notice_are_held_against_prices() -> None:
    """A decrease that is an increase, and an increase that comes sooner than agreed, are told."""
    live = "prefix,destination,rate\n49,Germany,0.02\n"
    sheet = "Code,Destination,Rate,Effective,Status\n49,Germany,0.03,2026-09-18,Decrease\n"
    assert imported(sheet, live, currency="EUR", increase_notice_days=7).manifest.warnings == (
        "the status does not fit the price: row 2: 49 is called decrease and is increase against the deck",
        "an increase with less than 7 days' notice: row 2: 49 Germany",
    )


LIVE = "prefix,destination,rate\n49,Germany,0.02\n491,Germany Mobile,0.03\n33,France,0.02\n"
ONE = "Code,Destination,Rate\n49,Germany,0.02\n"


@pytest.mark.parametrize(
    ("kind", "withdrawn", "changed"),
    [
        ("partial", "forbid", {}),
        ("full", "forbid", {"491": "closed", "33": "closed"}),
        ("country", "forbid", {"491": "closed"}),
        ("full", "fall-back", {"491": "gone", "33": "gone"}),
    ],
)
def test_what_a_missing_code_means(kind: str, withdrawn: str, changed: dict[str, str]) -> None:
    """A full list withdraws what it does not name, a country's list in its country, an amendment nothing."""
    found = imported(ONE, LIVE, currency="EUR", kind=kind, withdrawn=withdrawn)
    assert {change.prefix: change.kind.value for change in found.difference.changes} == changed


def test_a_missing_code_is_asked_about() -> None:
    """Whether a list is full is not guessed."""
    assert refused(ONE, LIVE, currency="EUR")[0].startswith("2 codes of the deck are not in the sheet: 33, 491 (--kind")


def test_reopened_and_repeated() -> None:
    """A code that was barred opens again; the same sheet a second time changes nothing."""
    live = "prefix,destination,rate,forbidden\n49,Germany,,yes\n"
    first = imported(ONE, live, currency="EUR")
    assert [change.kind.value for change in first.difference.changes] == ["reopened"]
    again = imported(ONE, first.text, currency="EUR")
    assert (again.text, again.difference.changes) == (first.text, ())


def test_a_later_sheet_replaces_what_was_to_come() -> None:
    """The newest notice holds: an announced price that has not begun gives way to the one announced now."""
    live = "prefix,destination,rate,from\n49,Germany,0.02,2026-01-01\n49,Germany,0.05,2026-12-01\n"
    found = imported(HEAD + "49,Germany,0.03,2026-11-01\n", live, currency="EUR")
    assert lines(found)[1:] == ["49,Germany,0.02,2026-01-01", "49,Germany,0.03,2026-11-01"]
    kept = imported(HEAD + "49,Germany,0.02,2026-01-01\n", live, currency="EUR")
    assert "1 codes keep a later change of the deck that the sheet does not mention" in kept.notes


def test_lines_for_some_origins_and_other_columns_stay() -> None:
    """What no supplier's sheet can know of is kept: lines by origin as they are, other cells with the price that follows."""
    live = "prefix,destination,rate,origin,tax_code\n49,Germany,0.02,,A\n49,Germany,0.09,48,B\n"
    reading = imported(HEAD + "49,Germany,0.03,2026-11-01\n", currency="EUR").reading
    assert merge(live, reading, AT_MS, "partial", "forbid").text.splitlines() == [
        "prefix,destination,rate,from,origin,tax_code",
        "49,Germany,0.02,,,A",
        "49,Germany,0.03,2026-11-01,,A",
        "49,Germany,0.09,,48,B",
    ]


@pytest.mark.parametrize(
    ("price", "per", "increment", "expected"),
    [("0.00137", "increment", 6, "0.0137"), ("0.002", "second", 1, "0.12"), ("0.5", "minute", 0, "0.5")],
)
def test_prices_per_something_else(price: str, per: str, increment: int, expected: str) -> None:
    """A price per increment or second becomes one per minute, exactly or not at all."""
    assert per_minute(price, per, increment) == expected  # type: ignore[arg-type]
    with pytest.raises(CellError, match="no exact price per minute"):
        per_minute("0.01", "increment", 7)


def test_thousands_and_decimals() -> None:
    """Both marks in one price tell which is which."""
    assert [price_text("1.234,50", "comma"), price_text("1,234.50", "point"), price_text("1.2E-3", "point")] == [
        "1234.5",
        "1234.5",
        "0.0012",
    ]


def test_a_supplier_file_reads_as_it_was_written() -> None:
    """What was settled is found again; faults in it name their line."""
    known = Supplier(
        deck="d", currency="USD", dates="day-first", increase_notice_days=7, columns={"price": 'New "Rate"'},
        exceptions=(IncrementException(destination="Mexico", increments="60/60"),),
    )  # fmt: skip
    assert read_supplier("suppliers/a.toml", write_supplier(known)) == (known, [])
    faults = read_supplier(
        "a.toml", 'dates = "us"\n[columns]\npricee = "X"\n[[exceptions]]\ndestination = "M"\nincrements = "x"\n'
    )[1]
    assert [fault.line for fault in faults] == [1, 3, 6]


def test_a_saved_column_that_is_gone_is_asked_for() -> None:
    """A supplier that renames a column is noticed."""
    reasons = refused(HEAD + "49,Germany,0.02,ASAP\n", currency="EUR", columns={"price": "New Rate"})
    assert any("the column 'New Rate' for the price is not there" in reason for reason in reasons)
