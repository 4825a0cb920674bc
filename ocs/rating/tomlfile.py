"""TOML with line numbers: where each key stands, and tables decoded so that every fault is found, not the first."""

from __future__ import annotations

import re
import tomllib
from datetime import date
from typing import Any, Final, Literal, TypeVar, get_args, get_origin, get_type_hints

import msgspec

from ocs.rating.faults import FaultList, did_you_mean

StructT = TypeVar("StructT", bound=msgspec.Struct)
Path = tuple[str | int, ...]

_HEADER: Final = re.compile(r"\s*(\[{1,2})\s*([^\[\]]+?)\s*\]{1,2}\s*(?:#.*)?")
_KEY: Final = re.compile(r"""\s*(["']?)([A-Za-z0-9_-]+)\1\s*=""")
_DECODE_LINE: Final = re.compile(r" ?\(at line (\d+), column \d+\)| ?\(at end of document\)")
_NO_VALUE: Final = object()


class TomlFile:
    """One file's content. If the text is no TOML, ``is_sound`` is False and the fault is in the list."""

    def __init__(self, text: str, faults: FaultList) -> None:
        self.faults = faults
        self._lines = _scan(text)
        self.table: dict[str, Any] = {}
        self.is_sound = True
        try:
            self.table = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            self.is_sound = False
            at = _DECODE_LINE.search(str(error))
            line = int(at[1]) if at and at[1] else text.count("\n") + 1
            faults.add(line, "file", f"is no TOML: {_DECODE_LINE.sub('', str(error))}", "text values stand in quotes")

    def line(self, path: Path) -> int:
        """Find the line of a key, or of the nearest table around it."""
        while path and path not in self._lines:
            path = path[:-1]
        return self._lines.get(path, 1)

    def fault(self, path: Path, message: str, cure: str = "") -> None:
        """Add a fault at a key."""
        names = [part for part in path if isinstance(part, str)]
        self.faults.add(self.line(path), ".".join(names), message, cure)

    def decode(self, raw: object, shape: type[StructT], path: Path) -> StructT | None:
        """Decode a table field by field; None if it has faults, of which none is left out."""
        if not isinstance(raw, dict):
            self.fault(path, "has to be a table", f"write [{'.'.join(map(str, path))}]")
            return None
        fields = {field.encode_name: field for field in msgspec.structs.fields(shape)}
        hints = get_type_hints(shape)
        is_sound = True
        for name in raw.keys() - fields.keys():
            self.fault((*path, name), "is not a known field", did_you_mean(name, fields))
            is_sound = False
        values: dict[str, Any] = {}
        for name, field in fields.items():
            value = self._field(raw.get(name, _NO_VALUE), hints[field.name], field.required, (*path, name))
            if value is not _NO_VALUE:
                values[field.name] = value
            is_sound = is_sound and (value is not _NO_VALUE or (name not in raw and not field.required))
        return shape(**values) if is_sound else None

    def _field(self, raw: object, hint: Any, is_required: bool, path: Path) -> object:
        if raw is _NO_VALUE:
            if is_required:
                self.fault(path, "is missing", f"add a line {path[-1]} = ...")
            return _NO_VALUE
        if isinstance(raw, date):
            raw = raw.isoformat()
        try:
            return msgspec.convert(raw, hint)
        except msgspec.ValidationError as error:
            self.fault(path, _because(error), _cure(raw, hint))
            return _NO_VALUE


def _because(error: msgspec.ValidationError) -> str:
    message = str(error).replace("`", "")
    return message[:1].lower() + message[1:]


def _cure(raw: object, hint: Any) -> str:
    if get_origin(hint) is Literal:
        return did_you_mean(str(raw), get_args(hint))
    if hint is str and not isinstance(raw, (list, dict)):
        return f'write it in quotes: "{raw}"'
    return ""


def _scan(text: str) -> dict[Path, int]:
    """Map each key and table header to its line. Values that span lines keep the line of their key."""
    lines: dict[Path, int] = {}
    counts: dict[Path, int] = {}
    here: Path = ()
    for number, line in enumerate(text.splitlines(), start=1):
        header = _HEADER.fullmatch(line)
        if header:
            here = _enter(header[2], header[1] == "[[", counts)
            lines.setdefault(here, number)
            if isinstance(here[-1], int):
                lines.setdefault(here[:-1], number)
            continue
        key = _KEY.match(line)
        if key:
            lines.setdefault((*here, key[2]), number)
    return lines


def _enter(name: str, is_array: bool, counts: dict[Path, int]) -> Path:
    """Resolve a header to a path: the last entry of each array of tables on the way, and a new one if it is an array."""
    path: Path = ()
    parts = [part.strip().strip("\"'") for part in name.split(".")]
    for at, part in enumerate(parts):
        path = (*path, part)
        if is_array and at == len(parts) - 1:
            counts[path] = counts.get(path, -1) + 1
        if path in counts:
            path = (*path, counts[path])
    return path
