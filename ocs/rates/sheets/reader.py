"""From a supplier's file to lines of rates: sniff, map, expand, normalize. What is not certain stops it, with its place."""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

import msgspec

from ocs.rates.sheets.codes import CodeReader
from ocs.rates.sheets.faults import CellError, Place, SheetFault, SheetFaultsError
from ocs.rates.sheets.header import (
    FEE_FIELDS,
    FIELDS,
    GRACE_FIELDS,
    PRICE_AT_BAND,
    PRICE_FROM,
    Table,
    choose,
    find_table,
    name_columns,
    table_without_header,
)
from ocs.rates.sheets.prices import deck_column, price_columns
from ocs.rates.sheets.questions import Answers, flags
from ocs.rates.sheets.supplier import Supplier
from ocs.rates.sheets.values import (
    AS_SOON_AS_POSSIBLE,
    Increments,
    Status,
    increments_of,
    length_of,
    moment_of,
    per_minute,
    price_text,
    status_of,
    written_price,
)
from ocs.rates.sheets.workbook import DELIMITERS, Cell, Row, Sheet, csv_sheet, is_workbook, text_of, workbook_sheets

Progress = Callable[[str, int, int], None]

_PROGRESS_ROWS: Final = 5000
_REMOVALS: Final = re.compile(r"remov|delet|clos|withdraw|discontinu|cancel", re.IGNORECASE)


class SheetRate(NamedTuple):
    """What one row says of one code. Texts are as decks write them; empty: the sheet does not say.

    Instants are UTC milliseconds, AS_SOON_AS_POSSIBLE, or 0 for "not said".
    """

    row: int
    code: str
    name: str
    price: str
    initial_price: str
    setup: str
    increments: Increments
    from_ms: int
    to_ms: int
    increments_from_ms: int
    is_closed: bool
    status: Status
    old_price: str
    origin: str = ""
    bands: tuple[tuple[str, str], ...] = ()  # further columns of the deck, such as rate:peak, with their cells
    length: str = ""  # of the called numbers


class Reading(msgspec.Struct):
    """All that a file says, and the supplier with what was concluded from it."""

    rates: list[SheetRate]
    supplier: Supplier
    notes: list[str]
    sheet: str = ""
    by_origin: bool = False  # the sheet tells origins apart: lines of the deck for origins are a matter of it
    by_length: bool = False  # the sheet tells lengths of numbers apart


def read_file(
    data: bytes, supplier: Supplier, scale: int, progress: Progress = lambda *_: None, bands: tuple[str, ...] = ()
) -> Reading:
    """Read a supplier's file. ``scale`` is how many decimals a price may have. Raises SheetFaultsError.

    ``bands`` are those of the calendar by which a plan reads the deck.
    """
    progress("opening", 0, 0)
    tables, notes = _tables(data, supplier)
    rating, removing = _sorted_out(tables, supplier)
    reading = _TableReader(rating, supplier, scale, progress, bands).read()
    for table in removing:
        notes.append(f"the codes of sheet {table.sheet.name!r} are taken as withdrawn")
        known = msgspec.structs.replace(reading.supplier, columns={})
        reading.rates += _TableReader(table, known, scale, progress, (), is_removal=True).read().rates
    reading.notes[:0] = notes
    return reading


def _tables(data: bytes, supplier: Supplier) -> tuple[list[Table], list[str]]:
    notes: list[str] = []
    if is_workbook(data):
        sheets = workbook_sheets(data)
        found = [table for sheet in sheets if (table := _find(sheet, supplier))]
    else:
        text, encoding = text_of(data)
        if encoding == "cp1252":
            notes.append("the text is no UTF-8; it is read as Windows-1252")
        head = "".join(text.splitlines(keepends=True)[:100])
        tries = [(table, mark) for mark in DELIMITERS if (table := _find(csv_sheet(head, mark), supplier))]
        best = max(tries, key=lambda each: len(each[0].fields), default=None)
        whole = _find(csv_sheet(text, best[1]), supplier) if best else None
        found = [whole] if whole else []
    if not found and supplier.headerless:
        cure = "name columns by their numbers: --column code=1 --column price=3"
        raise SheetFaultsError([SheetFault(Place(), "no sheet has a column for the codes", cure)])
    if not found:
        words = "a header with a column of dial codes and one of prices has to be in the first 60 rows"
        raise SheetFaultsError(
            [SheetFault(Place(), f"no table was found: {words}", "--column code=... --column price=...")]
        )
    return found, notes


def _find(sheet: Sheet, supplier: Supplier) -> Table | None:
    if supplier.headerless:
        return table_without_header(sheet, supplier.columns)
    return find_table(sheet, supplier.columns)


def _sorted_out(tables: list[Table], supplier: Supplier) -> tuple[Table, list[Table]]:
    """Choose the table with the rates; sheets that list removed codes go with it."""
    removing = [table for table in tables if _REMOVALS.search(table.sheet.name)]
    rating = [table for table in tables if table.has_prices and table not in removing]
    if supplier.sheet:
        rating = [table for table in tables if table.sheet.name == supplier.sheet]
        removing = [table for table in removing if table not in rating]
    if len(rating) == 1:
        return rating[0], removing
    names = ", ".join(repr(table.sheet.name) for table in (rating or tables))
    if rating:
        fault = SheetFault(Place(), f"several sheets hold rates: {names}", "choose one with --sheet")
    elif supplier.sheet:
        fault = SheetFault(Place(), f"there is no sheet {supplier.sheet!r} with rates: {names}", "correct --sheet")
    else:
        place = tables[0].place(tables[0].header_row)
        fault = SheetFault(place, "the header names no price", f"--column price=...{_has(tables[0])}")
        if title := supplier.columns.get("price"):
            fault = _lost(tables[0], "price", title)
    raise SheetFaultsError([fault])


def _lost(table: Table, field: str, title: str) -> SheetFault:
    """A supplier's sheet has changed: what a column was called is not there any more."""
    cure = f"correct [columns] of the supplier, or --column {field}=...{_has(table)}"
    return SheetFault(table.place(table.header_row), f"the column {title!r} for the {field} is not there", cure)


def _has(table: Table) -> str:
    return f"; the header has {', '.join(str(cell) for cell in table.header if cell)}"


class _TableReader:
    """Reads one table. Cells that are alike are read once."""

    def __init__(
        self,
        table: Table,
        supplier: Supplier,
        scale: int,
        progress: Progress,
        bands: tuple[str, ...],
        *,
        is_removal: bool = False,
    ) -> None:
        self._table = table
        self._bands = bands
        self._supplier = supplier
        self._scale = scale
        self._progress = progress
        self._is_removal = is_removal
        self._terms: tuple[str, ...] = ()
        self._faults: list[SheetFault] = []
        self._fault_count = 0
        self._unknown_words: dict[str, int] = {}
        self._known: dict[tuple[str, Cell], object] = {}

    def read(self) -> Reading:
        """Read all rows. Raises SheetFaultsError with every fault that was found."""
        columns = self._columns()
        answers = Answers(self._table, self._supplier, columns)
        supplier = answers.settle() if not self._is_removal else self._supplier
        self._faults += answers.faults
        self._stop_on_faults()
        self._supplier = supplier
        self._zone = ZoneInfo(supplier.zone)
        codes = CodeReader(supplier.hyphen, supplier.prepend)
        names = name_columns(self._table)
        rates: list[SheetRate] = []
        rows = self._table.sheet.rows
        for at in range(self._table.header_row, len(rows)):
            if rows[at] and any(rows[at]):
                rates += self._row(at + 1, rows[at], columns, names, codes)
            if at % _PROGRESS_ROWS == 0:
                self._progress("reading", at, len(rows))
        self._stop_on_faults()
        by_origin = columns["origin"] >= 0 or any(PRICE_FROM in field for field in columns)
        notes = [*answers.notes, *self._notes()]
        by_length = any(columns[field] >= 0 for field in ("length", "length_min", "length_max"))
        return Reading(rates, self._remembered(columns), notes, self._table.sheet.name, by_origin, by_length)

    def _notes(self) -> list[str]:
        words = [
            f"{count} times {word!r} in the status column says nothing to us"
            for word, count in self._unknown_words.items()
        ]
        unread = self._table.unread
        return words + ([f"not read: {', '.join(unread)}"] if unread else [])

    def _columns(self) -> dict[str, int]:
        columns: dict[str, int] = {}
        for field in FIELDS:
            columns[field], fault = choose(self._table, field) if field != "price" else (-1, None)
            self._faults += [fault] if fault else []
        found, faults = price_columns(self._table, self._bands, self._supplier.currency)
        columns |= found
        self._faults += faults
        for field, title in self._supplier.columns.items():
            if field not in self._table.fields:
                self._faults.append(_lost(self._table, field, title))
        self._terms = tuple(field for field in (*FEE_FIELDS, *GRACE_FIELDS) if columns[field] >= 0)
        self._ask_about_grace(columns["grace"])
        if columns["country_code"] < 0 and columns["code"] < 0:
            columns["code"], columns["area_code"] = columns["area_code"], -1
        if columns["code"] < 0 and columns["country_code"] >= 0:
            columns["code"] = columns["area_code"]
        return columns

    def _ask_about_grace(self, place: int) -> None:
        """Four rules have this name, and none of them is the usual one."""
        rows = self._table.sheet.rows[self._table.header_row :]
        if place >= 0 and any(str(row[place]).strip() not in {"", "0"} for row in rows if place < len(row)):
            title = self._table.title(place)
            cure = (
                f"--column free_up_to={title!r} if so short a call is free, deducted={title!r} if that is taken off each "
                f"call, free_units={title!r} if its first seconds are free, added={title!r} if it is added"
            )
            header = self._table.place(self._table.header_row, place)
            self._faults.append(SheetFault(header, f"{title!r} can be one of four rules", cure))

    def _remembered(self, columns: dict[str, int]) -> Supplier:
        """Keep which column was what: the next sheet has to have the same."""
        if self._is_removal:
            return self._supplier
        used = {
            field: self._table.title(place)
            for field, place in columns.items()
            if place >= 0 and field not in {"name", "status", "area_code"}
        }
        if any(columns[field] == columns["price"] for field in columns if field.startswith(f"price{PRICE_AT_BAND}")):
            used.pop("price")  # it stands in for all bands, and is no column of its own
        if columns["country_code"] >= 0:
            used["area_code"] = used.pop("code", "")
        elif self._table.fields.get("area_code"):
            used = {"code": used["code"], **used}
        return msgspec.structs.replace(self._supplier, columns={field: title for field, title in used.items() if title})

    def _stop_on_faults(self) -> None:
        if self._faults:
            raise SheetFaultsError(self._faults, max(self._fault_count, len(self._faults)))

    def _fault(self, row: int, column: int, error: CellError) -> None:
        self._fault_count += 1
        if len(self._faults) < 100:
            self._faults.append(SheetFault(self._table.place(row, column), str(error), error.cure))

    # --- rows -------------------------------------------------------------------------------------------------------

    def _row(
        self, number: int, row: Row, columns: dict[str, int], names: list[int], codes: CodeReader
    ) -> list[SheetRate]:
        width = len(row)

        def cell(field: str) -> Cell:
            place = columns[field]
            return row[place] if 0 <= place < width else ""

        def text(field: str) -> str:
            return str(cell(field))

        if self._is_footnote(row, text("code") or text("country_code")):
            return []
        try:
            field = "code"
            found = codes.read(text("code"), text("country_code"))
            field = "status"
            status, is_closed = self._status(text("status"), text("forbidden"), text("discontinued"))
            field = "increment"
            increments = self._increments(
                text("increment"), text("initial"), text("next"), str(row[names[0]]) if names else ""
            )
            field = "price"
            others = self._others(row, columns, increments)
            price = self._price(cell("price"), increments, is_optional=is_closed or any(each[0] for each in others))
            initial = self._price(cell("initial_price"), increments, is_optional=True)
            field = "setup"
            setup = self._price(cell("setup"), Increments(), is_optional=True, is_rate=False)
            field = "old_price"
            old = self._price(cell("old_price"), increments, is_optional=True)
            field = "origin"
            origins = self._origins(text("origin"))
            more: list[tuple[str, str]] = []
            for field in self._terms:
                more += self._term(field, cell(field))
            field = "length"
            length = length_of(text("length"), text("length_min"), text("length_max"))
            field = "effective"
            from_ms = self._from(cell("effective"), columns["effective"] >= 0 and status is not Status.UNCHANGED)
            field = "end"
            to_ms = self._moment(cell("end")) if cell("end") else 0
            field = "increment_effective"
            increments_ms = self._moment(cell("increment_effective")) if cell("increment_effective") else 0
        except CellError as error:
            self._fault(number, columns[field], error)
            return []
        name = next((str(row[at]) for at in names if at < width and row[at]), "")
        bands = (*((column, price) for origin, column, price in others if not origin), *more)
        prices = [(origin, price, initial, bands) for origin in origins] if price or is_closed else []
        prices += [(origin, price, "", tuple(more)) for origin, _, price in others if origin]
        return [
            SheetRate(
                number, code, name, price, initial, setup, increments, from_ms, to_ms, increments_ms, is_closed, status,
                old, origin, bands, length,
            )
            for code in found
            for origin, price, initial, bands in prices
        ]  # fmt: skip

    def _others(self, row: Row, columns: dict[str, int], increments: Increments) -> list[tuple[str, str, str]]:
        """Read the prices of bands and origins: origin (empty for a band), the deck's column, the price."""
        found: list[tuple[str, str, str]] = []
        for field, place in columns.items():
            if PRICE_AT_BAND not in field and PRICE_FROM not in field:
                continue
            price = self._price(row[place] if place < len(row) else "", increments, is_optional=True)
            origin = field.partition(PRICE_FROM)[2]
            if price:
                found.append((origin, "" if origin else deck_column(field), price))
        return found

    def _term(self, field: str, written: Cell) -> list[tuple[str, str]]:
        """Read a fee, a bound or a grace: the deck's column of that name, with its cell."""
        if field in FEE_FIELDS:
            found = self._price(written, Increments(), is_optional=True, is_rate=False)
        else:
            found = str(written).strip()
            if found and not (found.isascii() and found.isdigit()):
                raise CellError(f"{found!r} is no number of seconds", "write whole seconds")
        return [(field, found)] if found else []

    def _origins(self, written: str) -> list[str]:
        """Read a cell of origins: what the supplier's words mean in our decks, or callers' prefixes."""
        if not written:
            return [""]
        known = self._supplier.origins.get(written)
        if known is not None:
            return [known]
        if not written.lstrip("+")[:1].isdigit():
            cure = f'--origin "{written}=zone:NAME" (or =49, =trunk:NAME, =network:262, or nothing for all others)'
            raise CellError(f"{written!r} is an origin that has to be explained", cure)
        return CodeReader(self._supplier.hyphen or "range").read(written)

    def _is_footnote(self, row: Row, code: str) -> bool:
        """A row with one text and no code is for people."""
        filled = [value for value in row if value]
        return len(filled) == 1 and not any(letter.isdigit() for letter in code[:1].removeprefix("+"))

    def _status(self, word: str, *flag_cells: str) -> tuple[Status, bool]:
        flag = flags(flag_cells)
        if flag is None:
            raise CellError(f"{' '.join(flag_cells)!r} is neither yes nor no", "write 1 or 0")
        status = status_of(word)
        if status is None:
            self._unknown_words[word] = self._unknown_words.get(word, 0) + 1
        is_closed = flag or status is Status.CLOSED or self._is_removal
        return status or Status.NONE, is_closed

    def _increments(self, both: str, initial: str, following: str, name: str) -> Increments:
        key = ("increments", f"{both}\0{initial}\0{following}\0{name if self._supplier.exceptions else ''}")
        found = self._known.get(key)
        if not isinstance(found, Increments):
            found = self._known[key] = self._read_increments(both, initial, following, name)
        return found

    def _read_increments(self, both: str, initial: str, following: str, name: str) -> Increments:
        if initial and (following or both):
            return increments_of(f"{initial}/{following or both}")
        written = both or following or initial
        if written:
            return increments_of(written)
        for each in self._supplier.exceptions:
            if name.lower().startswith(each.destination.lower()):
                return increments_of(each.increments)
        return increments_of(self._supplier.increments) if self._supplier.increments else Increments()

    def _price(self, written: Cell, increments: Increments, *, is_optional: bool, is_rate: bool = True) -> str:
        if not written:
            if not is_optional:
                raise CellError("the price is empty", "write the price, or Closed in the status")
            return ""
        key = ("price", f"{written!r}\0{increments.next if is_rate and self._supplier.per == 'increment' else is_rate}")
        found = self._known.get(key)
        if not isinstance(found, str):
            # A spreadsheet's number has no mark that could be read in two ways.
            is_text = not isinstance(written, Decimal)
            digits = written_price(str(written)).digits if is_text else str(written)
            found = price_text(digits, self._supplier.decimal if is_text else "point")
            found = per_minute(found, self._supplier.per, int(increments.next or 0)) if is_rate else found
            if len(found.partition(".")[2]) > self._scale:
                raise CellError(f"{found} has more than {self._scale} decimals", "the currency keeps no more")
            self._known[key] = found
        return found

    def _from(self, cell: Cell, is_needed: bool) -> int:
        if cell:
            return self._moment(cell)
        if is_needed:
            raise CellError("the date is empty", "write the date from which the price holds, or ASAP")
        return AS_SOON_AS_POSSIBLE

    def _moment(self, cell: Cell) -> int:
        key = ("moment", cell)
        found = self._known.get(key)
        if not isinstance(found, int):
            date = str(cell) if isinstance(cell, Decimal) else cell
            found = self._known[key] = moment_of(date, self._supplier.dates, self._zone)
        return found


__all__ = ["Progress", "Reading", "Sheet", "SheetRate", "read_file"]
