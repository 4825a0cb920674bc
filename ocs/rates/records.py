"""Files of records to simulate with: CSV or JSON lines, cut into parts that processes read by themselves."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from operator import itemgetter
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from ocs.rates.simulation import FIELDS, REQUIRED

# Other names for the fields, as other systems export them. A column is taken once, by the first field that knows it.
_NAMES: Final[dict[str, tuple[str, ...]]] = {
    "account_id": ("account_id", "account", "customer"),
    "number": ("number", "called", "called_number", "dst", "destination"),
    "used": ("used", "seconds", "duration", "billsec", "units"),
    "amount": ("amount", "cost", "charge", "price"),
    "started_at": ("started_at", "started", "start", "answered_at", "time"),
    "rate_plan": ("rate_plan", "plan"),
    "origin": ("origin", "caller", "calling_number", "src"),
    "peer": ("peer", "trunk"),
}


class Part(NamedTuple):
    """The octets [start, end) of a file: whole lines."""

    path: Path
    start: int
    end: int


class Columns(NamedTuple):
    """Where FIELDS stand in a line of so many cells; a field that the file does not have stands behind the last."""

    places: tuple[int, ...]
    width: int


class RecordsError(Exception):
    """The file is not one of records; the text says why and what to do."""


def is_json(path: Path) -> bool:
    """Tell JSON lines from CSV by their first octet."""
    with path.open("rb") as file:
        return file.read(1) == b"{"


def columns_of(path: Path) -> Columns:
    """Find the columns of a CSV; of JSON lines the fields in their own order. Raises RecordsError."""
    if is_json(path):
        return Columns(tuple(range(len(FIELDS))), len(FIELDS))
    with path.open(encoding="utf-8-sig") as file:
        names = [name.strip().lower() for name in next(csv.reader(file), [])]
    places: list[int] = []
    for field in FIELDS:
        found = (names.index(name) for name in _NAMES.get(field, (field,)) if name in names)
        places.append(next((place for place in found if place not in places), len(names)))
    missing = [field for field, place in zip(REQUIRED, places, strict=False) if place == len(names)]
    if missing:
        has = ", ".join(names) or "nothing"
        raise RecordsError(f"{path} has no column {' and '.join(missing)}: its first line has {has}")
    return Columns(tuple(places), len(names))


def parts_of(path: Path, count: int) -> list[Part]:
    """Cut a file into about equal parts at line ends, without its header."""
    size = path.stat().st_size
    with path.open("rb") as file:
        if not is_json(path):
            file.readline()
        cuts = [file.tell()]
        for at in range(1, count):
            file.seek(max(cuts[-1], size * at // count))
            file.readline()
            cuts.append(file.tell())
    return [Part(path, start, end) for start, end in zip(cuts, [*cuts[1:], size], strict=True) if start < end]


def rows_of(part: Part, columns: Columns) -> Iterator[Sequence[str]]:
    """Read the rows of a part, their cells as in FIELDS; a line of another width is given as it is."""
    lines = _lines(part)
    if is_json(part.path):
        yield from map(_json_row, lines)
        return
    chosen = itemgetter(*columns.places)
    for row in csv.reader(line.decode("utf-8", "replace") for line in lines):
        if len(row) == columns.width:
            row.append("")
            yield chosen(row)
        elif row:
            yield row


def _lines(part: Part) -> Iterator[bytes]:
    left = part.end - part.start
    with part.path.open("rb") as file:
        file.seek(part.start)
        for line in file:
            if left <= 0:
                return
            left -= len(line)
            yield line


_decoder: Final = msgspec.json.Decoder(dict[str, object])


def _json_row(line: bytes) -> Sequence[str]:
    try:
        record: Mapping[str, object] = _decoder.decode(line)
    except msgspec.MsgspecError:
        return ()
    return [
        _text(next((record[name] for name in _NAMES.get(field, (field,)) if name in record), "")) for field in FIELDS
    ]


def _text(value: object) -> str:
    if isinstance(value, list):
        return " ".join(map(str, value))
    return "" if value is None else str(value)
