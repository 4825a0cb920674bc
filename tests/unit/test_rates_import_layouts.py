"""The five layouts that suppliers send, each from its file to the deck."""

from __future__ import annotations

from datetime import datetime
from io import BytesIO
from pathlib import Path
from typing import Any

import openpyxl
import pytest

from ocs.rates.intake import Intake, Source, take_over
from ocs.rates.sheets.faults import SheetFaultsError
from ocs.rates.sheets.supplier import Supplier

AT_MS = 1_789_560_000_000  # 2026-09-16T12:00:00Z
NOW = "2026-09-16T12:00:00Z"
CURRENCIES = (Path(__file__).parents[2] / "config" / "currencies.toml").read_bytes()


def workbook(**sheets: list[tuple[Any, ...]]) -> bytes:
    """An XLSX with these sheets."""
    book = openpyxl.Workbook(write_only=True)
    for name, rows in sheets.items():
        sheet = book.create_sheet(name.replace("_", " "))
        for row in rows:
            sheet.append(row)
    out = BytesIO()
    book.save(out)
    return out.getvalue()


def imported(data: str | bytes, live: str = "", at_ms: int = AT_MS, **known: Any) -> Intake:
    """Take a file over into the deck ``d``."""
    files = {"currencies.toml": CURRENCIES} | ({"decks/d.csv": live.encode()} if live else {})
    source = Source("sheet", data.encode() if isinstance(data, str) else data, "acme")
    return take_over(files, source, Supplier(**{"deck": "d", **known}), at_ms, at_ms)


def lines(found: Intake) -> list[str]:
    return found.text.splitlines()


def refused(data: str | bytes, live: str = "", **known: Any) -> list[str]:
    """The reasons for which an import stops."""
    with pytest.raises(SheetFaultsError) as stopped:
        imported(data, live, **known)
    return [str(fault) for fault in stopped.value.faults]


NOTICE: list[tuple[Any, ...]] = [
    ("ACME Carrier Services",),
    ("Product: Premium",),
    ("Issue date: 14/09/2026",),
    ("Currency: EUR",),
    ("Terms: 7 days",),
    (),
    ("Destination", "Dial Codes", "Rate/Min", "Effective", "Billing", "Remark"),
    ("Germany Mobile X", "49151, 49160, 49170-172", 0.031, "21/09/2026", "60/1", "Increase"),
    ("Nigeria Mobile Y", "234805", None, "20/09/2026", None, "Closed"),
]


def test_layout_a_supplier_notice() -> None:
    """[A] A notice in XLSX: header on row 7, lists and a range of codes, d/m/Y, a closed line."""
    live = "prefix,destination,rate,initial,next\n49151,Germany Mobile,0.03,60,1\n234805,Nigeria Mobile,0.1,60,60\n"
    found = imported(workbook(Rates=NOTICE), live, kind="partial")
    assert lines(found) == [
        "prefix,destination,rate,initial,next,from,forbidden",
        "234805,Nigeria Mobile,0.1,60,60,,",
        "234805,Nigeria Mobile Y,,,,2026-09-20,yes",
        "49151,Germany Mobile,0.03,60,1,,",
        *(f"{code},Germany Mobile X,0.031,60,1,2026-09-21," for code in (49151, 49160, 49170, 49171, 49172)),
    ]
    assert found.manifest.counts == {"unchanged": 0, "closed": 1, "increase": 1, "new": 4}
    assert (found.supplier.currency, found.supplier.dates, found.supplier.hyphen) == ("EUR", "day-first", "range")


LAYOUT_B = """\
Destination,City Code(s),Price($),Effective Date,Comments,BI Type,BI Effective Date,Service Level
Freedonia-Mobile A,999-76,0.1520,21-Sep-26,No Change,1/1,19-Oct-07,Standard
Freedonia-Mobile B,"999-77, 999-78",0.1600,21-Sep-26,Increase,30/6,1-Oct-26,Standard
"""


def test_layout_b_city_codes() -> None:
    """[B] A hyphen joins country and area; the increment has a date of its own; the currency stands in the header."""
    live = (
        "prefix,destination,rate,initial,next\n99976,Freedonia-Mobile A,0.152,1,1\n99977,Freedonia-Mobile B,0.15,1,1\n"
    )
    found = imported(LAYOUT_B, live)
    assert lines(found)[1:] == [
        "99976,Freedonia-Mobile A,0.152,1,1,",
        "99977,Freedonia-Mobile B,0.15,1,1,",
        "99977,Freedonia-Mobile B,0.16,1,1,2026-09-21",
        "99977,Freedonia-Mobile B,0.16,30,6,2026-10-01",
        "99978,Freedonia-Mobile B,0.16,30,6,2026-09-21",
    ]
    assert (found.currency.code, found.supplier.hyphen) == ("USD", "join")
    assert "not read: Service Level" in found.notes


LAYOUT_C = """\
Destination;Country Code;Area Code;Current Rate;New Rate;Effective Date;Billing Increment
Spain Mobile;34;6, 7;0,0100;0,0120;03/04/2027;60/60
"""


def test_layout_c_european_columns() -> None:
    """[C] Semicolons, decimal comma, country and area in two columns, old price beside new; the date has to be asked."""
    assert refused(LAYOUT_C, currency="EUR") == [
        "column 'Effective Date': '03/04/2027' can be day or month first (--dates day-first or --dates month-first)"
    ]
    live = "prefix,destination,rate\n346,Spain Mobile,0.0100\n347,Spain Mobile,0.0110\n"
    found = imported(LAYOUT_C, live, currency="EUR", dates="day-first")
    assert lines(found)[1:] == [
        "346,Spain Mobile,0.0100,,,",
        "346,Spain Mobile,0.012,60,60,2027-04-03",
        "347,Spain Mobile,0.0110,,,",
        "347,Spain Mobile,0.012,60,60,2027-04-03",
    ]
    assert found.manifest.warnings == (
        "the sheet's current price is not that of the deck: row 2: 347 is said to cost 0.01 now",
    )


LAYOUT_D = """\
code,duration,increment,interrate,intrarate,ijrate,effective_date
1934226,6,6,0.0070,0.0090,0.0090,8/16/2026
1934227,30,6,0.0071,0.0091,0.0091,10/1/2026
"""


def test_layout_d_jurisdictional_deck() -> None:
    """[D] Three prices: which one has to be said; both increments are in seconds; month first by the 16th."""
    reasons = refused(LAYOUT_D, currency="USD")
    assert reasons == [
        "row 1: 'interrate', 'intrarate', 'ijrate' can all be the price (name one: --column price='interrate')"
    ]
    found = imported(LAYOUT_D, currency="USD", columns={"price": "intrarate"})
    assert lines(found)[1:] == [
        f"1934226,1934226,0.009,6,6,{NOW}",
        "1934227,1934227,0.0091,30,6,2026-10-01",
    ]
    assert found.supplier.dates == "month-first"
    assert "1 codes have a date in the past: their prices begin with this import" in found.notes


LAYOUT_E = """\
Country,Description,Prefix,Effective from,Rate Id,Forbidden,Discontinued,Price 1,Price N,Interval 1,Interval N
,,5511,ASAP,,0,0,0.0098,0.0098,30,6
,,5521,2026-10-01 00:00:00,,0,0,0.0198,0.0098,30,6
,Brazil Special,55300,ASAP,,1,0,0,0,1,1
,,5531,ASAP,,0,1,0.0098,0.0098,30,6
"""


def test_layout_e_switch_upload() -> None:
    """[E] One code a row, flags, ASAP or a timestamp, first and following price and interval; names as the deck has."""
    live = "prefix,destination,rate\n55,Brazil,0.02\n5531,Brazil Minas,0.02\n"
    found = imported(LAYOUT_E, live, currency="USD", kind="partial")
    assert lines(found) == [
        "prefix,destination,rate,initial_rate,initial,next,from,forbidden",
        "55,Brazil,0.02,,,,,",
        f"5511,Brazil,0.0098,,30,6,{NOW},",
        "5521,Brazil,0.0098,0.0198,30,6,2026-10-01,",
        f"55300,Brazil Special,,,,,{NOW},yes",
        "5531,Brazil Minas,0.02,,,,,",
        f"5531,Brazil Minas,,,,,{NOW},yes",
    ]


def test_cells_of_a_spreadsheet_keep_what_they_show() -> None:
    """Numbers, dates and zeros of formatted cells arrive as a person sees them; sums of doubles are rounded back."""
    book = openpyxl.Workbook()
    sheet = book.active
    assert sheet is not None
    sheet.append(("Destination", "Country Code", "Area Code", "Rate", "Effective"))
    sheet.append(("Italy Rome", 39, 6, 0.1 + 0.2, datetime(2026, 10, 1)))  # noqa: DTZ001 - as spreadsheets hold it
    sheet["C2"].number_format = "00"
    out = BytesIO()
    book.save(out)
    for decimal in ("", "comma"):
        found = imported(out.getvalue(), currency="EUR", decimal=decimal)
        assert lines(found)[1:] == ["3906,Italy Rome,0.3,2026-10-01"], "a number is no text with a mark"


def test_removed_codes_on_another_sheet() -> None:
    """A sheet of removed codes closes them; two sheets with rates have to be told apart."""
    rates = [("Code", "Destination", "Rate"), ("491", "Germany", 0.02)]
    gone = [("Code", "Destination", "Effective"), ("492", "Germany Old", "2026-10-01")]
    live = "prefix,destination,rate\n491,Germany,0.02\n492,Germany Old,0.02\n"
    found = imported(workbook(A_Z=rates, Removed=gone), live, currency="EUR", kind="full")
    assert lines(found)[-1] == "492,Germany Old,,2026-10-01,yes"
    assert refused(workbook(Premium=rates, Standard=rates), currency="EUR") == [
        "several sheets hold rates: 'Premium', 'Standard' (choose one with --sheet)"
    ]
    assert (
        imported(workbook(Premium=rates, Standard=rates), currency="EUR", sheet="Standard").reading.sheet == "Standard"
    )
