"""What a column leaves open for all its cells at once, and its answer: from the cells, from the operator, or none."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

import msgspec

from ocs.rates.sheets.codes import hyphen_readings
from ocs.rates.sheets.faults import CellError, SheetFault
from ocs.rates.sheets.header import Table, hinted_currency
from ocs.rates.sheets.supplier import Supplier
from ocs.rates.sheets.values import date_orders, decimal_marks, has_numeric_date, written_price
from ocs.rates.sheets.workbook import Cell

_INCREMENT_NOTE: Final = re.compile(r"\b\d{1,3} ?/ ?\d{1,3}\b(?!/)")


class Answers:
    """Settles the open questions of one table; what stays open is in ``faults``, what was concluded in ``notes``."""

    def __init__(self, table: Table, supplier: Supplier, columns: dict[str, int]) -> None:
        self.faults: list[SheetFault] = []
        self.notes: list[str] = []
        self.supplier = supplier
        self._table = table
        self._columns = columns

    def settle(self) -> Supplier:
        """Ask each question; the supplier with the answers."""
        self._hyphens()
        self._dates()
        self._decimals()
        self._currency()
        self._footnotes()
        return self.supplier

    def _cells(self, *fields: str) -> list[Cell]:
        places = [self._columns[field] for field in fields if self._columns[field] >= 0]
        rows = self._table.sheet.rows[self._table.header_row :]
        return [row[place] for place in places for row in rows if place < len(row) and row[place]]

    def _texts(self, *fields: str) -> list[str]:
        return list(dict.fromkeys(cell for cell in self._cells(*fields) if isinstance(cell, str)))

    def _fault(self, field: str, message: str, cure: str) -> None:
        self.faults.append(SheetFault(self._table.place(0, self._columns.get(field, -1)), message, cure))

    def _answer(self, field: str, value: str, note: str) -> None:
        self.supplier = msgspec.structs.replace(self.supplier, **{field: value})
        self.notes.append(note)

    def _prices(self) -> list[str]:
        """The fields that are prices: the one, those of bands and of origins."""
        return [field for field in self._columns if field.startswith("price")]

    def _hyphens(self) -> None:
        cells = [cell for cell in self._texts("code", "area_code") if "-" in cell]
        if not cells or self.supplier.hyphen or self._columns["country_code"] >= 0:
            return
        allowed, witnesses = hyphen_readings(cells)
        if len(witnesses) == 2:
            message = f"{witnesses['range']!r} is a range, {witnesses['join']!r} joins country and area code"
            self._fault("code", message, "write one of the two another way: mixed hyphens are not guessed")
        elif len(witnesses) == 1:
            meaning, cell = next(iter(witnesses.items()))
            words = {"range": "are ranges", "join": "join country and area code"}[meaning]
            self._answer("hyphen", meaning, f"hyphens {words}: {cell!r} can be nothing else")
        elif len(allowed) == 2:
            self._fault(
                "code", f"{cells[0]!r} can be a range or country and area code", "--hyphen range or --hyphen join"
            )

    def _dates(self) -> None:
        fields = ("effective", "end", "increment_effective")
        cells = self._texts(*fields)
        if self.supplier.dates:
            return
        allowed, witnesses = date_orders(cells)
        if len(witnesses) == 2:
            first, second = witnesses.values()
            self._fault("effective", f"{first!r} and {second!r} have different orders", "write dates as 2026-09-21")
        elif len(witnesses) == 1:
            order, cell = next(iter(witnesses.items()))
            self._answer("dates", order, f"dates are {order}: {cell!r} can be nothing else")
        elif len(allowed) == 2 and (cell := has_numeric_date(cells)):
            self._fault("effective", f"{cell!r} can be day or month first", "--dates day-first or --dates month-first")

    def _decimals(self) -> None:
        prices = [
            digits
            for cell in self._texts("initial_price", "old_price", "setup", *self._prices())
            if (digits := _digits(cell))
        ]
        if self.supplier.decimal:
            return
        allowed, witnesses = decimal_marks(prices)
        if len(witnesses) == 2:
            first, second = witnesses.values()
            self._fault("price", f"{first!r} and {second!r} have different decimal marks", "write all with a point")
        elif len(witnesses) == 1:
            mark, digits = next(iter(witnesses.items()))
            self._answer("decimal", mark, f"the decimal mark is a {mark}: {digits!r} can be nothing else")
        elif len(allowed) == 2 and (open_ := next((p for p in prices if "," in p or "." in p), "")):
            message = f"{open_!r} can be a thousand or a decimal fraction"
            self._fault("price", message, "--decimal point or --decimal comma")

    def _currency(self) -> None:
        written = {text for cell in self._texts("initial_price", *self._prices()) if (text := _currency_of(cell))}
        found = written | {cell.upper() for cell in self._texts("currency")}
        for field in self._prices():
            title = self._table.title(self._columns[field])
            found |= set(re.findall(r"\b(?:USD|EUR|GBP|CHF|CAD|AUD)\b", title.upper()))
            found |= {code for symbol, code in (("$", "USD"), ("€", "EUR")) if symbol in title}
        found |= hinted_currency(self._table.sheet.rows[: max(0, self._table.header_row - 1)])
        if len(found) > 1:
            self._fault(
                "price", f"the sheet speaks of {' and '.join(sorted(found))}", "split it: a deck has one currency"
            )
        elif found and self.supplier.currency and found != {self.supplier.currency}:
            message = f"the sheet is in {found.pop()}, the supplier's currency is {self.supplier.currency}"
            self._fault("price", message, "ask the supplier, or correct --currency")
        elif found:
            self._answer("currency", found.pop(), "the currency stands in the sheet")
        elif not self.supplier.currency:
            self._fault("price", "the sheet does not say its currency", "--currency, such as --currency USD")

    def _footnotes(self) -> None:
        """Increments in words ("all 1/1 except Mexico 60/60") are for people: they have to be written down once."""
        if self.supplier.increments or {self._columns["increment"], self._columns["next"]} != {-1}:
            return
        for at, row in enumerate(self._table.sheet.rows, start=1):
            texts = [cell for cell in row if isinstance(cell, str) and cell]
            if len(texts) == 1 and _INCREMENT_NOTE.search(texts[0]):
                cure = 'set increments = "1/1" and [[exceptions]] in the supplier\'s file, or --increments'
                self.faults.append(SheetFault(self._table.place(at), f"increments stand in a text: {texts[0]!r}", cure))


def _digits(cell: str) -> str:
    try:
        return written_price(cell).digits
    except CellError:
        return ""  # the row that holds it is the better place to say so


def _currency_of(cell: str) -> str:
    try:
        return written_price(cell).currency
    except CellError:
        return ""


def flags(cells: Iterable[str]) -> bool | None:
    """Whether any of the flag cells is set; None if one is neither yes nor no."""
    is_set = False
    for cell in cells:
        word = cell.lower()
        if word in {"1", "yes", "true", "y", "x"}:
            is_set = True
        elif word not in {"", "0", "no", "false", "n"}:
            return None
    return is_set
