"""Decks and destination lists: CSV lines into prefix tables.

A deck line has a prefix (or several), the destination's name and the price; a destination list has no price, which
the plans give by name. Equal cells are read once, so half a million lines hold a few thousand prices and names.
"""

from __future__ import annotations

import csv
import re
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from io import StringIO
from operator import itemgetter
from typing import Final, Literal, NamedTuple

import msgspec

from ocs.rating.dated import EVER_MS, FOREVER_MS, Clash
from ocs.rating.faults import FaultList, Problem, did_you_mean
from ocs.rating.origins import EVERYWHERE, NO_ZONES, ZONE, OriginRule, parse_length, parse_rule
from ocs.rating.prefixes import KEY_DIGITS, PrefixIndexBuilder
from ocs.rating.price import Price
from ocs.rating.pricing import interval, over_period, priced, tiered
from ocs.rating.rateplan import BAND_CELLS, PriceCells, TierEntry, TieringMode
from ocs.rating.tariffs import BARRED, CodeTable
from ocs.rating.terms import Band, Period
from ocs.rating.timetable import banded

PREFIX_DIGITS_MAX: Final = KEY_DIGITS
CODE_COLUMNS: Final = ("prefix", "destination", "from", "to")
PRICE_COLUMNS: Final = (*PriceCells._fields, "forbidden")
CHOICE_COLUMNS: Final = ("origin", "priority", "length")
DECK_COLUMNS: Final = CODE_COLUMNS + PRICE_COLUMNS + CHOICE_COLUMNS
PRIORITY_MAX: Final = 1_000_000

TIER: Final = "rate>"  # a column "rate>60" has the rate of what is used beyond 60 units

_SEPARATORS: Final = re.compile(r"[\s,;]+")
_FLAGS: Final = {"": False, "0": False, "no": False, "false": False, "1": True, "yes": True, "true": True}


class DeckTemplate(NamedTuple):
    """What a tariff gives to its deck's lines: the price that empty cells inherit, scale, bands, tiering and their period."""

    price: Price
    scale: int
    bands: tuple[str, ...] = ()
    tiering: TieringMode | Literal[""] = ""
    period: Period | None = None

    @property
    def columns(self) -> tuple[str, ...]:
        """All columns that a deck of this tariff may have."""
        return DECK_COLUMNS + tuple(f"{cell}:{band}" for band in self.bands for cell in BAND_CELLS)


class Deck(msgspec.Struct, frozen=True):
    """``price_of`` is a place in ``prices`` by row number; both are empty for a list without prices.

    ``cuts`` are pairs of rows of which the earlier one's written end reaches into the later one.
    """

    codes: CodeTable
    prices: tuple[Price, ...]
    price_of: Sequence[int]
    cuts: tuple[Clash[int], ...] = ()


class _Columns(NamedTuple):
    """Places of the columns in a line; a column that is not there reads the empty cell added to each line."""

    prefix: int
    destination: int
    from_: int
    to: int
    choice: tuple[int, int, int] | None  # origin, priority and length, where the file has one of them
    price_names: tuple[str, ...]
    prices: Callable[[list[str]], tuple[str, ...]]


class DeckReader:
    """Reads one file for one tariff."""

    def __init__(
        self, faults: FaultList, template: DeckTemplate | None, now_ms: int, zones: Mapping[str, OriginRule] = NO_ZONES
    ) -> None:
        self._faults = faults
        self._template = template
        self._zones = zones
        self._builder = PrefixIndexBuilder(now_ms)
        self._destinations: dict[str, int] = {}
        self._destination_of = array("I")
        self._line_of = array("I")
        self._length_of = array("B")
        self._prices: list[Price] = []
        self._price_of = array("I")
        self._price_read: dict[tuple[str, ...], tuple[int, list[Problem]]] = {}
        self._choice_read: dict[tuple[str, ...], tuple[OriginRule, int, list[Problem]]] = {}
        self._interval_read: dict[tuple[str, str], tuple[int, int, list[Problem]]] = {}

    def read(self, text: str) -> Deck:
        """Read all lines; the faults are in the list given at the start."""
        for line, cells, columns in self._lines(text):
            self._read_line(line, cells, columns)
        index, clashes = self._builder.build()
        for clash in clashes:
            self._fault(
                self._line_of[clash.later],
                Problem(
                    "prefix",
                    f"the same prefix as in line {self._line_of[clash.earlier]}, at the same time",
                    "remove one of them, let one begin later, or give one an origin, a length or a higher priority",
                ),
            )
        codes = CodeTable(
            self._faults.file, index, tuple(self._destinations), self._destination_of, self._line_of, self._length_of
        )
        return Deck(codes, tuple(self._prices), self._price_of, tuple(self._builder.cuts))

    def _fault(self, line: int, problem: Problem) -> None:
        self._faults.add(line, problem.field, problem.message, problem.cure)

    def _lines(self, text: str) -> Iterator[tuple[int, list[str], _Columns]]:
        """Yield the data lines, all of the header's width plus the empty cell. Comments start with #."""
        header_line = text[: text.find("\n")] if "\n" in text else text
        delimiter = ";" if ";" in header_line and "," not in header_line else ","
        reader = csv.reader(StringIO(text, newline=""), delimiter=delimiter)
        columns: _Columns | None = None
        width = 0
        try:
            for cells in reader:
                if not any(cells) or cells[0].startswith("#"):
                    continue
                if columns is None:
                    width = len(cells)
                    columns = self._header(reader.line_num, cells)
                    if columns is None:
                        return
                elif len(cells) != width:
                    self._fault(
                        reader.line_num,
                        Problem("line", f"has {len(cells)} cells, the header {width}", 'quote cells with "," inside'),
                    )
                else:
                    cells.append("")
                    yield reader.line_num, cells, columns
        except csv.Error as error:
            self._fault(reader.line_num, Problem("line", f"is no CSV: {error}", "save it as comma-separated text"))
        if columns is None and not self._faults.sorted():
            self._fault(1, Problem("file", "has no header", f"first line: {','.join(CODE_COLUMNS[:2])},..."))

    def _header(self, line: int, cells: list[str]) -> _Columns | None:
        names = [column_name(cell) for cell in cells]
        known = CODE_COLUMNS if self._template is None else self._template.columns
        is_sound = True
        for at, name in enumerate(names):
            if name not in known and not (name.startswith(TIER) and self._template is not None):
                self._fault(
                    line, Problem(name or f"column {at + 1}", "is not a known column", did_you_mean(name, known))
                )
                is_sound = False
            elif name in names[:at]:
                self._fault(line, Problem(name, "is there twice", "keep one of the columns"))
                is_sound = False
        for name in ("prefix", "destination") + (() if self._template is None else ("rate",)):
            if name not in names:
                self._fault(line, Problem(name, "the column is missing", f"add {name} to the header"))
                is_sound = False
        if not is_sound:
            return None
        place = {name: names.index(name) if name in names else len(names) for name in DECK_COLUMNS}
        prices = [name for name in names if name not in CODE_COLUMNS + CHOICE_COLUMNS]
        places = [names.index(name) for name in prices]
        return _Columns(
            place["prefix"],
            place["destination"],
            place["from"],
            place["to"],
            None if set(CHOICE_COLUMNS).isdisjoint(names) else (place["origin"], place["priority"], place["length"]),
            tuple(prices),
            itemgetter(*places, len(names), len(names)),  # two empty cells: a tuple, whatever the columns
        )

    def _read_line(self, line: int, cells: list[str], columns: _Columns) -> None:
        from_ms, to_ms = self._interval(line, cells[columns.from_], cells[columns.to])
        rule, priority = EVERYWHERE, 0
        if columns.choice is not None:
            rule, priority = self._choice(line, *(cells[place] for place in columns.choice))
        price = self._price(line, columns, columns.prices(cells)) if self._template else None
        name = cells[columns.destination].strip()
        if not name:
            self._fault(line, Problem("destination", "is empty", "name it: bills and reports show it"))
        destination = self._destinations.setdefault(name, len(self._destinations))
        prefixes = _SEPARATORS.split(cells[columns.prefix].strip())
        for prefix in prefixes:
            if not (prefix.isascii() and prefix.isdigit() and len(prefix) <= PREFIX_DIGITS_MAX):
                self._fault(line, _prefix_problem(prefix))
                continue
            self._builder.add(prefix, from_ms, to_ms, rule, priority)
            self._destination_of.append(destination)
            self._line_of.append(line)
            self._length_of.append(len(prefix))
            if price is not None:
                self._price_of.append(price)

    def _interval(self, line: int, from_text: str, to_text: str) -> tuple[int, int]:
        if not from_text and not to_text:
            return EVER_MS, FOREVER_MS
        key = (from_text, to_text)
        found = self._interval_read.get(key)
        if found is None:
            found = self._interval_read[key] = interval(from_text.strip(), to_text.strip())
        for problem in found[2]:
            self._fault(line, problem)
        return found[0], found[1]

    def _choice(self, line: int, *written: str) -> tuple[OriginRule, int]:
        found = self._choice_read.get(written)
        if found is None:
            found = self._choice_read[written] = _read_choice(*map(str.strip, written), zones=self._zones)
        for problem in found[2]:
            self._fault(line, problem)
        return found[0], found[1]

    def _price(self, line: int, columns: _Columns, cells: tuple[str, ...]) -> int:
        found = self._price_read.get(cells)
        if found is None:
            written = {name: cell.strip() for name, cell in zip(columns.price_names, cells, strict=False)}
            found = self._price_read[cells] = self._read_price(written)
        for problem in found[1]:
            self._fault(line, problem)
        return found[0]

    def _read_price(self, written: dict[str, str]) -> tuple[int, list[Problem]]:
        assert self._template is not None
        flag_text = written.pop("forbidden", "")
        flag = _FLAGS.get(flag_text.lower())
        if flag is None:
            return 0, [Problem("forbidden", f"{flag_text!r} is neither yes nor no", "write 1 or 0")]
        cells = {name: cell for name, cell in written.items() if ":" not in name and not name.startswith(TIER)}
        price, problems = priced(PriceCells(**cells), self._template.price, self._template.scale)
        if flag:
            return BARRED, problems
        if not written.get("rate"):
            problems.append(Problem("rate", "is empty", "write the price, 0 for free, or forbid the destination"))
        price = self._with_tiers(self._with_bands(price, written, problems), written, problems)
        self._prices.append(price)
        return len(self._prices) - 1, problems

    def _with_bands(self, price: Price, written: dict[str, str], problems: list[Problem]) -> Price:
        """Read the columns of bands; a band without any cell costs what the line says."""
        assert self._template is not None
        bands: list[Band] = []
        for band in self._template.bands:
            cells = {cell: written[name] for cell in BAND_CELLS if written.get(name := f"{cell}:{band}")}
            if cells:
                other, found = priced(PriceCells(**cells), price, self._template.scale)
                problems += [problem._replace(field=f"{problem.field}:{band}") for problem in found]
                bands.append(Band(band, other))
        return banded(price, tuple(bands)) if bands else price

    def _with_tiers(self, price: Price, written: dict[str, str], problems: list[Problem]) -> Price:
        """Read the columns of tiers: ``rate`` until the first begins, then theirs; a tier without a cell is none."""
        assert self._template is not None
        names = [name for name, cell in written.items() if cell and name.startswith(TIER)]
        if not names:
            return price
        other = next((name for name, cell in written.items() if cell and (":" in name or name == "initial_rate")), "")
        if other:
            problems.append(
                Problem(names[0], f"tiers and {other} are two prices for the same units", "keep one of them")
            )
        ends = [name.removeprefix(TIER) for name in names]
        rates = [written["rate"], *(written[name] for name in names)]
        rows = [TierEntry(rate=rate, up_to=end) for rate, end in zip(rates, [*ends, ""], strict=True)]
        price, found = tiered(rows, self._template.tiering, price, self._template.scale)
        if self._template.period is not None and not found:
            price, found = over_period(price, self._template.period)
            missing = next((name for name, cell in written.items() if not cell and name.startswith(TIER)), "")
            if missing:
                message = "is empty, but all tiers of a period count together"
                problems.append(Problem(missing, message, "write the rate in all columns of tiers, or in none"))
        problems += [problem._replace(field=names[min(at, len(names) - 1)]) for at, problem in found]
        return price


def column_name(cell: str) -> str:
    """Case does not matter, but to units: ``rate>1 MB``."""
    name, is_tier, end = cell.strip().partition(">")
    return f"{name.strip().lower()}{is_tier}{end.strip()}"


def _read_choice(
    origin: str, priority: str, length: str, *, zones: Mapping[str, OriginRule]
) -> tuple[OriginRule, int, list[Problem]]:
    problems: list[Problem] = []
    rule = EVERYWHERE
    try:
        rule = parse_rule(origin, zones)
    except ValueError as error:
        problems.append(Problem("origin", str(error), did_you_mean(origin.removeprefix(ZONE), zones) if zones else ""))
    rank = int(priority) if priority.isascii() and priority.isdigit() else 0
    if (priority and not priority.isdigit()) or rank > PRIORITY_MAX:
        problems.append(Problem("priority", f"{priority!r} is no priority", f"0 to {PRIORITY_MAX}; the higher first"))
    try:
        if length:
            digits_min, digits_max = parse_length(length)
            rule = rule._replace(digits_min=digits_min, digits_max=digits_max)
    except ValueError as error:
        problems.append(Problem("length", str(error), "write how many digits: 11, 10-13, 10- or -13"))
    return rule, rank, problems


def _prefix_problem(prefix: str) -> Problem:
    if not prefix:
        return Problem("prefix", "is empty", "write the digits that the number starts with")
    if prefix.startswith("+"):
        return Problem("prefix", f"{prefix!r} has a plus sign", "write digits only, country code first")
    if "-" in prefix:
        return Problem("prefix", f"{prefix!r} has a hyphen", "write a range out, or join country and area code")
    if prefix.isdigit() and prefix.isascii():
        return Problem("prefix", f"{prefix!r} is too long", f"at most {PREFIX_DIGITS_MAX} digits")
    return Problem(
        "prefix", f"{prefix!r} is not made of digits", "spreadsheets turn long codes into 4.47E+11: format as text"
    )
