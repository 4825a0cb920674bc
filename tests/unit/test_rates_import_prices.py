"""Sheets with more than one price a line: bands of the week, currencies, origins; and sheets without a header."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from ocs.cli.app import app
from ocs.errors import EXIT_CONFIG
from ocs.rates.intake import Intake, Source, take_over
from ocs.rates.sheets.faults import SheetFaultsError
from ocs.rates.sheets.supplier import Supplier, read_supplier, write_supplier
from tests.unit.test_rates_import_layouts import AT_MS, CURRENCIES, NOW

PLAN = b"""
name = "acme"
currency = "EUR"
[[tariffs]]
service = "voice"
name = "Calls"
per = "minute"
deck = "d"
calendar = "week"
"""
CALENDAR = b"""
zone = "Europe/Berlin"
[[bands]]
name = "peak"
days = ["mon-fri"]
times = ["08:00-18:00"]
[[bands]]
name = "weekend"
days = ["sat", "sun"]
[[bands]]
name = "off-peak"
"""
FILES = {
    "currencies.toml": CURRENCIES,
    "rateplans/acme.toml": PLAN,
    "calendars/week.toml": CALENDAR,
    "zones.toml": b'[EEA]\nnumbers = ["33", "49"]\n',
}


def imported(sheet: str, live: str = "", **known: Any) -> Intake:
    """Take a sheet over into the deck ``d``, which a plan reads by a calendar."""
    files = FILES | ({"decks/d.csv": live.encode()} if live else {})
    supplier = Supplier(**{"deck": "d", **known})
    return take_over(files, Source("sheet.csv", sheet.encode(), "acme"), supplier, AT_MS, AT_MS)


def again(found: Intake, sheet: str, live: str) -> Intake:
    """The next sheet, with nothing but what was kept of the first."""
    kept, faults = read_supplier("acme.toml", write_supplier(found.supplier))
    assert not faults
    return take_over(
        FILES | {"decks/d.csv": live.encode()}, Source("sheet.csv", sheet.encode(), "acme"), kept, AT_MS, AT_MS
    )


def reasons(sheet: str, **known: Any) -> list[str]:
    """Why an import stops."""
    with pytest.raises(SheetFaultsError) as stopped:
        imported(sheet, **known)
    return [str(fault) for fault in stopped.value.faults]


@pytest.mark.parametrize(
    ("header", "cells", "expected"),
    [
        ("Peak,Off-peak,Weekend", "0.3,0.2,0.1", ("rate,from,rate:peak,rate:off-peak,rate:weekend", "0.3,{now},0.3,0.2,0.1")),
        ("Peak Rate,Rate,Weekend rate/min", "0.3,0.2,0.1", ("rate,from,rate:peak,rate:weekend", "0.2,{now},0.3,0.1")),
        ("Rate,Weekend", "0.2,", ("rate,from", "0.2,{now}")),
    ],
)  # fmt: skip
def test_a_column_for_each_band(header: str, cells: str, expected: tuple[str, str]) -> None:
    """[5.1] Peak, off-peak and weekend beside each other go into one deck, where the plan's calendar has such bands."""
    found = imported(f"Code,Destination,{header}\n49,Germany,{cells}\n")
    columns, line = expected
    live = f"prefix,destination,{columns}\n49,Germany,{line.format(now=NOW)}\n"
    assert found.text == live
    assert again(found, f"Code,Destination,{header}\n49,Germany,{cells}\n", live).text == live


def test_first_and_next_price_of_each_band() -> None:
    """[5.5] A switch that exports first and next price for peak and off-peak: named once, kept for the next sheet."""
    sheet = "Prefix,Name,P First,P Next,O First,O Next\n49,Germany,0.4,0.3,0.25,0.2\n"
    columns = {
        "price:peak": "P Next",
        "initial_price:peak": "P First",
        "price": "O Next",
        "initial_price": "O First",
    }
    found = imported(sheet, columns=columns)
    assert found.text.splitlines() == [
        "prefix,destination,rate,initial_rate,from,rate:peak,initial_rate:peak",
        f"49,Germany,0.2,0.25,{NOW},0.3,0.4",
    ]
    assert again(found, sheet, found.text).text == found.text


@pytest.mark.parametrize(
    ("sheet", "known", "said"),
    [
        ("Code,Peak,Off-peak\n49,0.3,0.2\n", {}, "the sheet has no price for the band weekend of the calendar"),
        ("Code,Peak,Off-peak,Price,Rate\n49,1,1,1,1\n", {}, "can all be the price"),
        ("Code,Rate,Night\n49,1,1\n", {"columns": {"price:night": "Night"}}, "no calendar has a band 'night'"),
        ("Code,Rate USD,Rate GBP\n49,1,1\n", {}, "can all be the price"),
        ("Code,Origin,Rate\n49,EEA,1\n", {"origins": {"EEA": "zone:Europe"}}, "'zone:Europe' names no zone"),
        ("49,Germany,0.1\n", {"headerless": True}, "no sheet has a column for the codes"),
    ],
)
def test_what_is_left_open_is_asked(sheet: str, known: dict[str, Any], said: str) -> None:
    """Nothing is guessed: a band without a price, two of one kind, a band or zone that does not exist."""
    assert any(said in reason for reason in reasons(sheet, **known)), reasons(sheet, **known)


def test_the_column_in_the_decks_currency() -> None:
    """[5.1] Prices in several currencies beside each other: the deck's is taken."""
    sheet = "Code,Destination,Rate USD,Rate EUR,Rate GBP\n49,Germany,0.3,0.2,0.1\n"
    assert imported(sheet).text == f"prefix,destination,rate,from\n49,Germany,0.2,{NOW}\n"


LIVE = """\
prefix,destination,rate,from,origin,priority
44,UK,0.1,,,
44,UK,0.3,,zone:EEA,
44,UK,0.9,,trunk:sbc1,7
33,France,0.1,,,
33,France,0.2,,49,
"""


def test_prices_by_origin() -> None:
    """[5.1] An origin column: words as they were explained once, callers' prefixes as they are; each origin for itself."""
    sheet = 'Code,Destination,Origin,Rate\n44,UK,EEA,0.4\n44,UK,Other,0.1\n33,France,"49, 32",0.2\n'
    found = imported(sheet, LIVE, kind="full", origins={"EEA": "zone:EEA", "Other": ""})
    assert found.text.splitlines() == [
        "prefix,destination,rate,from,forbidden,origin,priority",
        "33,France,0.1,,,,",
        f"33,France,,{NOW},yes,,",
        f"33,France,0.2,{NOW},,32,",
        "33,France,0.2,,,49,",
        "44,UK,0.1,,,,",
        "44,UK,0.3,,,zone:EEA,",
        f"44,UK,0.4,{NOW},,zone:EEA,",
        "44,UK,0.9,,,trunk:sbc1,7",
    ]
    assert again(found, sheet, found.text).text == found.text


def test_a_column_for_each_origin() -> None:
    """[5.1] EEA and non-EEA prices beside each other, named by where the call comes from."""
    sheet = "Code,Destination,Non-EEA,EEA price\n44,UK,0.4,0.1\n33,France,0.2,\n"
    columns = {"price": "Non-EEA", "price@zone:EEA": "EEA price"}
    found = imported(sheet, columns=columns)
    assert found.text.splitlines() == [
        "prefix,destination,rate,from,origin",
        f"33,France,0.2,{NOW},",
        f"44,UK,0.4,{NOW},",
        f"44,UK,0.1,{NOW},zone:EEA",
    ]
    assert again(found, sheet, found.text).text == found.text


def test_a_sheet_without_origins_leaves_those_of_the_deck() -> None:
    """What is for some origins alone is ours, as long as the supplier does not speak of origins."""
    found = imported("Code,Destination,Rate\n44,UK,0.5\n", LIVE, kind="full")
    kept = [line for line in found.text.splitlines() if "zone" in line or "trunk" in line or ",49," in line]
    assert kept == ["33,France,0.2,,,49,", "44,UK,0.3,,,zone:EEA,", "44,UK,0.9,,,trunk:sbc1,7"]


HEADERLESS = "44,United Kingdom,0.0100,60,6,3,0,0,0\r\n4420,UK London,0.0090,60,6,3,0,0,0\r\n"


def test_a_sheet_without_a_header() -> None:
    """[5.5] Columns are called by their numbers, said once and kept; rows keep their numbers in faults."""
    columns = {"code": "1", "name": "2", "price": "3", "initial": "4", "next": "5", "setup": "7"}
    found = imported(HEADERLESS, headerless=True, columns=columns)
    assert found.text.splitlines() == [
        "prefix,destination,rate,initial,next,setup,from",
        f"44,United Kingdom,0.01,60,6,0,{NOW}",
        f"4420,UK London,0.009,60,6,0,{NOW}",
    ]
    assert again(found, HEADERLESS, found.text).text == found.text
    assert reasons("44,UK,0.01\nx,UK,0.01\n", headerless=True, columns={"code": "1", "price": "3"}) == [
        "row 2, column '1': 'x' is not made of digits (write digits, country code first)"
    ]


def test_said_on_the_command_line(sample_config: Path, tmp_path: Path) -> None:
    """--headerless, --column and --origin are kept in the supplier's file; a field that is none is refused."""
    sheet = tmp_path / "magnus.csv"
    sheet.write_bytes(b"44,United Kingdom,0.0100,EU\r\n")
    common = ["rates", "import", str(sheet), "-s", "magnus", "--deck", "magnus", "--currency", "EUR", "-c"]
    common.append(str(sample_config))
    numbers = ["--column", "code=1", "--column", "price=3", "--column", "origin=4", "--origin", "EU=33"]
    result = CliRunner().invoke(app, [*common, "--headerless", *numbers])
    assert result.exit_code == 0, result.output
    kept = (sample_config.parent / "suppliers" / "magnus.toml").read_text(encoding="utf-8")
    assert "headerless = true" in kept
    assert '[origins]\nEU = "33"' in kept
    assert CliRunner().invoke(app, common).exit_code == 0
    wrong = CliRunner().invoke(app, [*common, "--column", "prize=3"])
    assert (wrong.exit_code, "did you mean price" in wrong.output) == (EXIT_CONFIG, True), wrong.output


TERMS = "Prefix,Destination,Rate,Attempt Fee,Min Charge,Max Charge,Grace\n49,Germany,0.02,0.001,0.01,0,3\n44,Britain,0.03,0,0,0,0\n"


def test_5_1_fees_bounds_and_grace() -> None:
    """Columns of fees and bounds go to the deck's own; zero where nothing was says nothing new."""
    found = imported(TERMS, "prefix,destination,rate\n44,Britain,0.03\n", columns={"deducted": "Grace"})
    lines = [line.split(",") for line in found.text.splitlines()]
    (germany,) = (dict(zip(lines[0], line, strict=True)) for line in lines if line[0] == "49")
    assert {name: germany[name] for name in ("attempt_fee", "minimum_charge", "deducted")} == {
        "attempt_fee": "0.001",
        "minimum_charge": "0.01",
        "deducted": "3",
    }
    assert [change.prefix for change in found.difference.changes] == ["49"]
    assert found.supplier.columns["deducted"] == "Grace"


def test_5_1_a_fee_that_ends_is_said() -> None:
    """Zero where there was a fee is a change."""
    live = "prefix,destination,rate,attempt_fee\n44,Britain,0.03,0.01\n"
    found = imported("Prefix,Destination,Rate,Attempt Fee\n44,Britain,0.03,0\n", live)
    assert [(change.kind.value, change.prefix) for change in found.difference.changes] == [("terms change", "44")]


def test_3_5_a_column_of_grace_is_asked_about() -> None:
    """Four rules have this name [3.5]; a column of zeros is none of them."""
    with pytest.raises(SheetFaultsError, match="'Grace' can be one of four rules"):
        imported(TERMS)
    assert imported(TERMS.replace(",3\n", ",0\n")).difference.changes


def test_5_6_terms_that_stop() -> None:
    """A fee that is none and seconds that are none, with their places."""
    with pytest.raises(SheetFaultsError, match="row 2, column 'Attempt Fee'"):
        imported(TERMS.replace("0.001", "free"), columns={"deducted": "Grace"})
    with pytest.raises(SheetFaultsError, match="'3s' is no number of seconds"):
        imported(TERMS.replace(",3\n", ",3s\n"), columns={"deducted": "Grace"})
