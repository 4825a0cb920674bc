"""A supplier's rates into a live deck: what changes gets a new dated line, everything else stays as it stands.

For each code of the sheet, the lines in force now and before are kept; what the sheet says begins at its date, or at
the instant of the import where the date has passed: nobody is charged a price that was not known. Later lines of the
same code give way to what the sheet says. A sheet that repeats what is in force changes nothing. Lines with a priority are
ours and no supplier's: they stay as they are; so do lines for some origins alone, unless the sheet tells origins apart.
What stands beside a code (``49 zone:EEA``, ``49 10-13 digits``) is its origin and the length of its numbers: its lines are
those of these alone. A sheet without lengths leaves each code the one that it has.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator, Mapping
from io import StringIO
from typing import Final, NamedTuple

from ocs.rates.countries import country_of
from ocs.rates.moments import moment_text
from ocs.rates.sheets.faults import Place, SheetFault, SheetFaultsError
from ocs.rates.sheets.reader import Reading, SheetRate
from ocs.rates.sheets.supplier import Kind, Withdrawn
from ocs.rating.dated import EVER_MS, FOREVER_MS, instant_ms
from ocs.rating.deckfile import column_name

COLUMNS: Final = (
    "prefix", "destination", "rate", "initial_rate", "initial", "next", "setup", "minimum", "from", "to", "forbidden",
    "origin", "length",
)  # fmt: skip
_ALWAYS: Final = COLUMNS[:3]
_PLACE: Final = {name: at for at, name in enumerate(COLUMNS)}
_DESTINATION, _RATE, _INITIAL_RATE, _INITIAL, _NEXT, _SETUP, _MINIMUM, _FROM, _TO, _FORBIDDEN, _ORIGIN, _LENGTH = (
    _PLACE[name] for name in COLUMNS[1:]
)

_FRACTION: Final = re.compile(r"\d*\.\d+", re.ASCII)

Line = tuple[str, ...]  # the cells of a deck line: COLUMNS, then the deck's other columns


class _Version(NamedTuple):
    """A line of one code; the ends are those of its cells."""

    from_ms: int
    to_ms: int
    cells: Line


class Merged(NamedTuple):
    """The new deck's text; ``kept_later`` counts codes whose later change the sheet does not mention."""

    text: str
    withdrawn: int
    past: int
    kept_later: int


def merge(deck: str, reading: Reading, at_ms: int, kind: Kind, withdrawn: Withdrawn) -> Merged:
    """Merge a sheet into a deck. Raises SheetFaultsError on two prices for one code, or when ``kind`` is needed."""
    bands = dict.fromkeys(column for rate in reading.rates for column, _ in rate.bands)
    others, live, aside = read_lines(deck, tuple(bands), by_origin=reading.by_origin, by_length=reading.by_length)
    said = _by_code(reading)
    if not reading.by_length:
        _check_lengths(live, said)
    missing = [code for code in live if code not in said and _is_open(live[code], at_ms)]
    gone = _gone(missing, said, kind)
    merged: dict[str, list[_Version]] = dict(live)
    past = kept = 0
    names = _Names(live)
    for code, rates in said.items():
        before = live.get(code, [])
        after = _timeline(before, rates, at_ms, withdrawn, names, others)
        past += after != before and all(0 <= rate.from_ms < at_ms for rate in rates)
        is_later = any(rate.from_ms > at_ms for rate in rates)
        kept += after == before and not is_later and any(version.from_ms > at_ms for version in before)
        merged[code] = after
    for code in gone:
        merged[code] = _closed(live[code], at_ms, withdrawn)
    return Merged(_write(others, merged, aside), len(gone), past, kept)


class Lines(NamedTuple):
    """A deck as lines: the names of its columns beyond COLUMNS, the lines by code, and those that are set aside."""

    others: tuple[str, ...]
    live: dict[str, list[_Version]]
    aside: list[Line]


def read_lines(deck: str, more: tuple[str, ...] = (), *, by_origin: bool = True, by_length: bool = True) -> Lines:
    """Read a deck that has no faults. ``more`` are columns to be added; without ``by_origin`` lines for origins are aside."""
    head = deck.partition("\n")[0]
    reader = csv.reader(StringIO(deck, newline=""), delimiter=";" if ";" in head and "," not in head else ",")
    live: dict[str, list[_Version]] = {}
    header: list[str] | None = None
    others = more
    aside: list[Line] = []
    for cells in reader:
        if not any(cells) or cells[0].startswith("#"):
            continue
        if header is None:
            header = [column_name(cell) for cell in cells]
            others = tuple(dict.fromkeys((*(name for name in header if name not in COLUMNS), *more)))
            place = [header.index(name) if name in header else -1 for name in (*COLUMNS, *others)]
            ours = [header.index(name) for name in ("priority", *_aside(by_origin)) if name in header]
            continue
        if any(cells[at].strip() for at in ours):
            aside.append(tuple(cells[at].strip() if at >= 0 else "" for at in place))
            continue
        line = [cells[at].strip() if at >= 0 else "" for at in place]
        ends = instant_ms(line[_FROM]) if line[_FROM] else EVER_MS, instant_ms(line[_TO]) if line[_TO] else FOREVER_MS
        for code in line[0].replace(",", " ").replace(";", " ").split():
            key = _key(code, line[_ORIGIN], line[_LENGTH] if by_length else "")
            live.setdefault(key, []).append(_Version(*ends, (code, *line[1:])))
    for versions in live.values():
        versions.sort(key=lambda version: version.from_ms)
    return Lines(others, live, aside)


def _aside(by_origin: bool) -> tuple[str, ...]:
    return () if by_origin else ("origin",)


def _key(code: str, origin: str, length: str) -> str:
    return " ".join(filter(None, (code, origin, f"{length} digits" if length else "")))


def _check_lengths(live: Mapping[str, list[_Version]], said: Mapping[str, list[SheetRate]]) -> None:
    """Stop where a code has lines for several lengths, and a sheet without lengths has a price for it."""
    several = [code for code in said if len({each.cells[_LENGTH] for each in live.get(code, ())}) > 1]
    if several:
        message = f"{several[0]} has lines for several lengths of numbers in the deck ({len(several)} codes have)"
        raise SheetFaultsError([SheetFault(Place(), message, "--column length=..., or one line for all in the deck")])


def _by_code(reading: Reading) -> dict[str, list[SheetRate]]:
    """Gather the rows of each code in the order of their dates; the same row twice is one."""
    said: dict[str, list[SheetRate]] = {}
    faults: list[SheetFault] = []
    for rate in reading.rates:
        known = said.setdefault(_key(rate.code, rate.origin, rate.length), [])
        twin = next((other for other in known if other.from_ms == rate.from_ms), None)
        if twin is None:
            known.append(rate)
        elif _says(twin) != _says(rate):
            place = Place(f"sheet {reading.sheet}" if reading.sheet else "", rate.row)
            message = f"{rate.code} has {twin.price or 'closed'} in row {twin.row} and {rate.price or 'closed'} here"
            faults.append(SheetFault(place, message, "remove one: two prices at one time are not guessed"))
    if faults:
        raise SheetFaultsError(faults)
    for rates in said.values():
        rates.sort(key=lambda rate: rate.from_ms)
    return said


def _says(rate: SheetRate) -> tuple[object, ...]:
    return rate.price, rate.initial_price, rate.setup, rate.increments, rate.is_closed, rate.bands


def _gone(missing: list[str], said: Mapping[str, object], kind: Kind) -> list[str]:
    if not missing or kind == "partial":
        return []
    if kind == "full":
        return missing
    if kind == "country":
        countries = {country_of(code.partition(" ")[0]) for code in said}
        return [code for code in missing if country_of(code.partition(" ")[0]) in countries]
    shown = ", ".join(sorted(missing)[:5])
    message = f"{len(missing)} codes of the deck are not in the sheet: {shown}{', ..' * (len(missing) > 5)}"
    cure = "--kind full: they are withdrawn; partial: they stay; country: withdrawn in the sheet's countries"
    raise SheetFaultsError([SheetFault(Place(), message, cure)])


def _in_force(versions: Iterable[_Version], at_ms: int) -> _Version | None:
    """The version that answers at an instant: an open one is ended by its successor, one with an end goes on after it."""
    found = None
    for version in versions:
        if version.from_ms > at_ms:
            break
        if at_ms < version.to_ms:
            found = version
        elif found is not None and found.to_ms == FOREVER_MS:
            found = None
    return found


def _is_open(versions: list[_Version], at_ms: int) -> bool:
    if any(version.from_ms > at_ms for version in versions):
        return True
    found = _in_force(versions, at_ms)
    return found is not None and not _is_forbidden(found.cells)


def _is_forbidden(cells: Line) -> bool:
    return cells[_FORBIDDEN].lower() in {"1", "yes", "true"}


class _Names:
    """Names for codes that a sheet does not name: as the longest known code that they begin with."""

    def __init__(self, live: Mapping[str, list[_Version]]) -> None:
        self._live = live

    def of(self, code: str) -> str:
        for length in range(len(code), 0, -1):
            known = self._live.get(code[:length])
            if known:
                return known[-1].cells[_DESTINATION]
        return code


def _timeline(
    before: list[_Version],
    rates: list[SheetRate],
    at_ms: int,
    withdrawn: Withdrawn,
    names: _Names,
    others: tuple[str, ...],
) -> list[_Version]:
    """What was until now, then what the sheet says; the same list if the sheet says nothing new."""
    past = [version for version in before if version.from_ms <= at_ms]
    base = list(past)
    for rate in _split_increments(rates, at_ms) if before else rates:
        from_ms = max(rate.from_ms, at_ms)
        if rate.is_closed:
            base = _closed(base, from_ms, withdrawn, rate.name or names.of(rate.code), _blank(rate, others))
            continue
        last = _in_force(base, from_ms)
        model = last or (base[-1] if base else None)
        cells = _cells(rate, model.cells if model else None, names, others)
        if last is None or _content(last.cells) != _content(cells):
            base = [*_ended(base, from_ms), _dated(cells, from_ms, rate.to_ms or FOREVER_MS)]
    return before if base == past and not any(rate.from_ms > at_ms for rate in rates) else base


def _split_increments(rates: list[SheetRate], at_ms: int) -> Iterator[SheetRate]:
    """A row whose increments begin later than its price is two changes."""
    for rate in rates:
        if rate.increments_from_ms > max(rate.from_ms, at_ms):
            yield rate._replace(increments=type(rate.increments)())
            yield rate._replace(from_ms=rate.increments_from_ms)
        else:
            yield rate


def _blank(rate: SheetRate, others: tuple[str, ...]) -> Line:
    cells = [rate.code, *[""] * (len(COLUMNS) - 1 + len(others))]
    cells[_ORIGIN], cells[_LENGTH] = rate.origin, rate.length
    return tuple(cells)


def _cells(rate: SheetRate, model: Line | None, names: _Names, others: tuple[str, ...]) -> Line:
    """A line for a rate: what the sheet does not say is as it was."""
    cells = list(model or _blank(rate, others))
    cells[_DESTINATION] = rate.name or cells[_DESTINATION] or names.of(rate.code)
    cells[_RATE] = rate.price
    cells[_INITIAL_RATE] = rate.initial_price if rate.initial_price != rate.price else ""
    if rate.increments.next:
        cells[_INITIAL], cells[_NEXT] = rate.increments
    if rate.setup:
        cells[_SETUP] = rate.setup
    cells[_FORBIDDEN] = ""
    for column, price in rate.bands:
        place = len(COLUMNS) + others.index(column)
        if cells[place] or price.strip("0."):  # nothing where nothing was is no change
            cells[place] = price
    return tuple(cells)


def _content(cells: Line) -> Line:
    """What a line says, apart from when, with prices that are written otherwise brought together."""
    rest = (*cells[2:_FROM], *cells[_FORBIDDEN + 1 :])
    plain = (cell.rstrip("0").rstrip(".") if _FRACTION.fullmatch(cell) else cell for cell in rest)
    return (*cells[:2], *plain, "yes" if _is_forbidden(cells) else "")


def _dated(cells: Line, from_ms: int, to_ms: int) -> _Version:
    return _Version(from_ms, to_ms, (*cells[:_FROM], moment_text(from_ms), moment_text(to_ms), *cells[_FORBIDDEN:]))


def _ended(versions: list[_Version], at_ms: int) -> list[_Version]:
    """Drop what begins then or later; what reaches beyond is ended by its successor."""
    kept = [version for version in versions if version.from_ms < at_ms]
    if kept and at_ms < kept[-1].to_ms < FOREVER_MS:
        kept[-1] = _Version(kept[-1].from_ms, FOREVER_MS, (*kept[-1].cells[:_TO], "", *kept[-1].cells[_FORBIDDEN:]))
    return kept


def _closed(
    versions: list[_Version], at_ms: int, withdrawn: Withdrawn, name: str = "", blank: Line = ()
) -> list[_Version]:
    """Bar a code from an instant on, or end it so that a shorter code answers. ``blank``: its line, if it has none yet."""
    last = _in_force(versions, at_ms)
    if last is not None and _is_forbidden(last.cells) and last is versions[-1]:
        return versions
    kept = _ended(versions, at_ms)
    if withdrawn == "fall-back":
        if kept and kept[-1].to_ms > at_ms:
            kept[-1] = _dated(kept[-1].cells, kept[-1].from_ms, at_ms)
        return kept
    model = versions[-1].cells if versions else blank
    cells = ["" for _ in model]
    cells[0], cells[_DESTINATION] = model[0], name or model[_DESTINATION] or model[0]
    cells[_ORIGIN], cells[_LENGTH] = model[_ORIGIN], model[_LENGTH]
    cells[_FORBIDDEN] = "yes"
    return [*kept, _dated(tuple(cells), at_ms, FOREVER_MS)]


def _write(others: tuple[str, ...], merged: Mapping[str, list[_Version]], aside: list[Line]) -> str:
    """Write a deck: a line per code and time, by code; columns that nothing uses are left out."""
    lines = [version.cells for code in sorted(merged) for version in merged[code]]
    lines = sorted([*lines, *aside], key=lambda line: line[0]) if aside else lines
    names = (*COLUMNS, *others)
    used = [at for at, name in enumerate(names) if name in _ALWAYS or any(line[at] for line in lines)]
    out = StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([names[at] for at in used])
    writer.writerows([[line[at] for at in used] for line in lines])
    return out.getvalue()
