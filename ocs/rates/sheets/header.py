"""Where a table begins and what its columns mean: the trade's many words for a few things."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from ocs.rates.sheets.faults import Place, SheetFault
from ocs.rates.sheets.workbook import Cell, Row, Sheet

HEADER_ROWS_MAX: Final = 60  # a notice above the table is not longer

# The first word of a field goes first where several columns fit and one is to be taken.
SYNONYMS: Final[dict[str, tuple[str, ...]]] = {
    "code": (
        "dial codes", "dial code", "dialcode", "dialcodes", "dialled code", "dst code", "dst codes", "destination code",
        "destination codes", "breakout codes", "breakout code", "prefix", "prefixes", "dialprefix", "dial prefix",
        "code", "codes", "npanxx", "npa nxx", "number prefix",
    ),
    "country_code": ("country code", "country codes", "country prefix", "cc"),
    "area_code": ("area code", "area codes", "city code", "city codes"),
    "name": (
        "destination", "destination name", "code name", "zone", "zone name", "breakout", "description", "country name",
        "country", "name",
    ),
    "origin": (
        "src code", "src codes", "origin", "origin code", "origin group", "origin set", "eea non eea", "inter intra ij",
    ),
    "price": (
        "new rate", "new price", "rate", "price", "rate min", "price min", "cost min", "rate per minute",
        "price per minute", "cost per minute", "rate minute", "price minute", "price n", "rate n", "next rate", "next price",
        "peak", "off peak", "weekend", "peak rate", "off peak rate", "weekend rate", "interrate", "intrarate", "ijrate",
        "inter rate", "intra rate", "ij rate", "inter", "intra", "cost",
    ),
    "old_price": ("current rate", "old rate", "current price", "old price", "previous rate", "previous price"),
    "initial_price": ("price 1", "rate 1", "initial rate", "initial price", "first rate", "first price", "rateinitial"),
    "setup": (
        "setup fee", "setup", "sf", "connection cost", "connection fee", "connect fee", "connect charge", "connectcharge",
    ),
    "increment": (
        "billing increment", "billing increments", "billing", "increment", "increments", "pulse", "bi type", "bi",
        "min int", "billing interval", "rounding rules", "charging interval",
    ),
    "initial": (
        "interval 1", "initial increment", "first interval", "initial interval", "initial", "duration", "initblock",
        "minimum duration", "min duration",
    ),
    "next": ("interval n", "next interval", "next increment", "billingblock", "subsequent increment", "next"),
    "effective": (
        "effective date", "effective", "effective from", "effective time", "date effective", "start date", "start",
        "valid from", "from", "effective since",
    ),
    "end": ("end date", "end", "valid till", "valid to", "valid until", "expiry date", "until", "to"),
    "increment_effective": ("bi effective date", "billing increment effective date", "increment effective date"),
    "status": ("status", "change", "rate change", "change type", "changes", "remark", "remarks", "comments", "comment"),
    "forbidden": ("forbidden", "blocked"),
    "discontinued": ("discontinued", "closed", "deleted"),
    "currency": ("currency", "curr", "ccy"),
    "attempt_fee": ("attempt fee", "attempt charge", "fee per attempt"),
    "minimum_charge": ("minimum charge", "min charge"),
    "maximum_charge": ("maximum charge", "max charge"),
    "free_up_to": ("minimal time charge", "free up to"),
    "deducted": ("deducted", "included seconds"),
    "free_units": ("free units",),
    "added": ("added", "additional grace"),
    "grace": ("grace", "grace time", "grace period", "free seconds", "free sec", "free time"),
    "length": (
        "number length", "number lengths", "length", "digits", "number of digits", "dst number length", "num length",
    ),
    "length_min": (
        "min number length", "number min length", "minimum number length", "min length", "min digits",
        "dst number min length", "number length min",
    ),
    "length_max": (
        "max number length", "number max length", "maximum number length", "max length", "max digits",
        "dst number max length", "number length max",
    ),
}  # fmt: skip

FIELDS: Final = tuple(SYNONYMS)
FEE_FIELDS: Final = ("attempt_fee", "minimum_charge", "maximum_charge")
GRACE_FIELDS: Final = ("free_up_to", "deducted", "free_units", "added")
PRICE_AT_BAND: Final = ":"  # price:peak
PRICE_FROM: Final = "@"  # price@zone:EEA
_FIELD_OF: Final = {word: field for field, words in SYNONYMS.items() for word in words}
_CURRENCY_WORD: Final = re.compile(r"\b(usd|eur|gbp|chf|cad|aud|us|euro)\b")
# Columns that may be several, since all are read: a name is the first that is not empty.
_MANY: Final = frozenset({"name", "status"})


def is_field(name: str) -> bool:
    """Tell whether a column can be named so: one of FIELDS, or a price of a band or an origin."""
    return name in FIELDS or (
        name.partition(PRICE_FROM)[0] == "price" or name.partition(PRICE_AT_BAND)[0] in {"price", "initial_price"}
    )


def plain(text: str) -> str:
    """Bring a header to words: case, punctuation and currencies do not matter."""
    words = " ".join(re.sub(r"[^a-z0-9]+", " ", text.lower().replace("(s)", "s")).split())
    return " ".join(_CURRENCY_WORD.sub(" ", words).split()) or words


class Table(NamedTuple):
    """A sheet with the place of its header: 0 is none, then the columns are called by their numbers, from 1.

    ``fields`` holds the columns by field, in the order of the sheet.
    """

    sheet: Sheet
    header_row: int
    fields: dict[str, list[int]]

    @property
    def header(self) -> Row:
        return self.sheet.rows[self.header_row - 1] if self.header_row else _numbers(self.sheet)

    def place(self, row: int = 0, column: int = -1) -> Place:
        """Name a cell for people."""
        return Place(f"sheet {self.sheet.name}" if self.sheet.name else "", row, self.title(column))

    def title(self, column: int) -> str:
        """Give a column's header as it is written."""
        return str(self.header[column]) if 0 <= column < len(self.header) else ""

    @property
    def has_codes(self) -> bool:
        return bool({"code", "area_code", "country_code"} & self.fields.keys())

    @property
    def has_prices(self) -> bool:
        return any(field.startswith("price") for field in self.fields)

    @property
    def unread(self) -> list[str]:
        """The columns that mean nothing to us, as they are written."""
        known = {column for columns in self.fields.values() for column in columns}
        return [str(cell) for column, cell in enumerate(self.header) if cell and column not in known]


def find_table(sheet: Sheet, named: Mapping[str, str]) -> Table | None:
    """Find the header: the row with the most columns that we know, codes among them. ``named`` goes before synonyms."""
    best: Table | None = None
    for at, row in enumerate(sheet.rows[:HEADER_ROWS_MAX]):
        fields = _fields(row, named)
        table = Table(sheet, at + 1, fields)
        if table.has_codes and len(fields) > 1 and (best is None or len(fields) > len(best.fields)):
            best = table
    return best


def table_without_header(sheet: Sheet, named: Mapping[str, str]) -> Table | None:
    """Take all rows for rates, the columns by their numbers; None where the sheet has not enough of them."""
    fields: dict[str, list[int]] = {}
    header = [str(number) for number in _numbers(sheet)]
    for field, number in named.items():
        if number in header:
            fields.setdefault(field, []).append(header.index(number))
    table = Table(sheet, 0, fields)
    return table if table.has_codes else None


def _numbers(sheet: Sheet) -> Row:
    return [str(number) for number in range(1, 1 + max(map(len, sheet.rows), default=0))]


def _fields(row: Iterable[Cell], named: Mapping[str, str]) -> dict[str, list[int]]:
    by_title = {title: field for field, title in named.items()}
    found: dict[str, list[int]] = {}
    for column, cell in enumerate(row):
        title = str(cell)
        field = by_title.get(title) or _FIELD_OF.get(plain(title), "")
        if field and (by_title.get(title) == field or field not in named):
            found.setdefault(field, []).append(column)
    if "code" in found and "country_code" not in named and "area_code" not in named:
        found.pop("area_code", None)
        found.pop("country_code", None)
    return found


def choose(table: Table, field: str) -> tuple[int, SheetFault | None]:
    """Take the column of a field: -1 if there is none, a fault if there are several that differ in meaning."""
    columns = table.fields.get(field, [])
    if len(columns) < 2 or field in _MANY:
        return (columns[0] if columns else -1), None
    titles = ", ".join(repr(table.title(column)) for column in columns)
    option = f"--column {field}={table.title(columns[0])!r}"
    message = f"{titles} can all be the {field.replace('_', ' ')}"
    return -1, SheetFault(table.place(table.header_row), message, f"name one: {option}")


def name_columns(table: Table) -> list[int]:
    """Order the name columns: a destination before its country."""
    order = SYNONYMS["name"]
    columns = table.fields.get("name", [])
    return sorted(columns, key=lambda at: order.index(word) if (word := plain(table.title(at))) in order else -1)


def hinted_currency(rows: Iterable[Row]) -> set[str]:
    """Gather the currencies that a notice above the table names: ``Currency: USD``, ``all rates in EUR``."""
    found: set[str] = set()
    for row in rows:
        text = " ".join(str(cell) for cell in row if cell)
        if re.search(r"currency|rates? (?:are )?in|prices? (?:are )?in", text, re.IGNORECASE):
            found.update(re.findall(r"\b(USD|EUR|GBP|CHF|CAD|AUD|JPY|SEK|NOK|DKK|PLN|AED|INR|ZAR|BRL)\b", text))
    return found
