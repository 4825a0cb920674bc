"""A supplier's file as tables of cells: CSV of any delimiter and encoding, or XLSX. No meaning yet."""

from __future__ import annotations

import csv
import zipfile
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from io import BytesIO, StringIO
from typing import Any, Final, NamedTuple, TypeAlias

from ocs.rates.sheets.faults import Place, SheetFault, SheetFaultsError

Cell: TypeAlias = str | date | Decimal
Row: TypeAlias = list[Cell]

DELIMITERS: Final = (",", ";", "\t", "|")
_ZIP_MAGIC: Final = b"PK\x03\x04"
_BOMS: Final = ((b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"), (b"\xef\xbb\xbf", "utf-8-sig"))


class Sheet(NamedTuple):
    """A table; the row with index 0 is row 1. A cell is text; a date or a fraction where a spreadsheet holds one."""

    name: str
    rows: list[Row]


def is_workbook(data: bytes) -> bool:
    """Tell an XLSX file from text."""
    return data.startswith(_ZIP_MAGIC)


def text_of(data: bytes) -> tuple[str, str]:
    """Decode text; also the encoding. What is no UTF-8 is taken for what Western spreadsheets write."""
    for bom, encoding in _BOMS:
        if data.startswith(bom):
            return data.decode(encoding, "replace"), encoding
    try:
        return data.decode("utf-8"), "utf-8"
    except UnicodeDecodeError:
        return data.decode("cp1252", "replace"), "cp1252"


def csv_sheet(text: str, delimiter: str) -> Sheet:
    """Read text with a delimiter. Raises SheetFaultsError where it is no CSV."""
    rows: list[Row] = []
    reader = csv.reader(StringIO(text, newline=""), delimiter=delimiter)
    try:
        for cells in reader:
            rows += [[]] * (reader.line_num - len(rows) - 1)  # a quoted cell may hold line ends: rows stay lines
            rows.append([cell.strip() for cell in cells])
    except csv.Error as error:
        fault = SheetFault(Place("", reader.line_num), f"is no CSV: {error}", "save it as CSV or XLSX again")
        raise SheetFaultsError([fault]) from error
    return Sheet("", rows)


def workbook_sheets(data: bytes) -> list[Sheet]:
    """Read all visible sheets of an XLSX. Raises SheetFaultsError where it is none."""
    import openpyxl
    from openpyxl.utils.exceptions import InvalidFileException

    try:
        book = openpyxl.load_workbook(BytesIO(data), read_only=True, data_only=True)
        return [Sheet(sheet.title, list(_rows(sheet))) for sheet in book.worksheets if sheet.sheet_state == "visible"]
    except (InvalidFileException, zipfile.BadZipFile, KeyError, ValueError) as error:
        raise SheetFaultsError([SheetFault(Place(), f"is no XLSX: {error}", "save it as XLSX or CSV")]) from error


def _rows(sheet: Any) -> Iterator[Row]:
    sheet.reset_dimensions()  # some writers name a wrong size, and rows beyond it would be lost
    for row in sheet.iter_rows():
        yield [_cell(cell) for cell in row]


def _cell(cell: Any) -> Cell:
    value = cell.value
    if type(value) is str:
        return value.strip()
    if value is None:
        return ""
    if isinstance(value, bool):
        return "1" if value else "0"
    if isinstance(value, int):
        return _padded(str(value), cell.number_format)
    if isinstance(value, float):
        # A double has fifteen decimal digits that can be trusted: 0.1 + 0.2 is 0.3 again.
        return _padded(str(int(value)), cell.number_format) if value.is_integer() else Decimal(f"{value:.15g}")
    return value if isinstance(value, date) else str(value)


def _padded(digits: str, number_format: str) -> str:
    """A column formatted as 0000 shows zeros that the number has not: they are part of the code."""
    return digits.zfill(len(number_format)) if len(number_format) > 1 and set(number_format) == {"0"} else digits
