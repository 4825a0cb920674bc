"""Files of records to simulate with: CSV or JSON lines, cut into parts that processes read by themselves."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from ocs.rates.simulation import FIELDS

# Other names for the fields, as other systems export them.
_NAMES: Final[dict[str, tuple[str, ...]]] = {
    "account_id": ("account_id", "account", "customer"),
    "number": ("number", "destination", "dst", "called", "called_number"),
    "used": ("used", "seconds", "duration", "billsec", "units"),
    "amount": ("amount", "cost", "charge", "price"),
}


class Part(NamedTuple):
    """The octets [start, end) of a file: whole lines."""

    path: Path
    start: int
    end: int


class RecordsError(Exception):
    """The file is not one of records; the text says why and what to do."""


def is_json(path: Path) -> bool:
    """Tell JSON lines from CSV by their first octet."""
    with path.open("rb") as file:
        return file.read(1) == b"{"


def places_of(path: Path) -> dict[str, int]:
    """Find the columns of a CSV; of JSON lines the fields in their own order. Raises RecordsError."""
    if is_json(path):
        return {field: at for at, field in enumerate(FIELDS)}
    with path.open(encoding="utf-8-sig") as file:
        names = [name.strip().lower() for name in next(csv.reader(file), [])]
    places = {field: _place(names, _NAMES[field]) for field in FIELDS}
    missing = [field for field, place in places.items() if place < 0]
    if missing:
        has = ", ".join(names) or "nothing"
        raise RecordsError(f"{path} has no column {' and '.join(missing)}: its first line has {has}")
    return places


def _place(names: list[str], wanted: tuple[str, ...]) -> int:
    return next((names.index(name) for name in wanted if name in names), -1)


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


def rows_of(part: Part) -> Iterator[Sequence[str]]:
    """Read the rows of a part."""
    lines = _lines(part)
    if is_json(part.path):
        yield from map(_json_row, lines)
    else:
        yield from csv.reader(line.decode("utf-8", "replace") for line in lines)


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
    return [str(next((record[name] for name in _NAMES[field] if name in record), "")) for field in FIELDS]
