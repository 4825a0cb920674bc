"""Rows of switches' CDR files to charging requests: what a switch calls its columns is data (``mediation.toml``). Pure.

A row is charged in one piece, like an EVENT record of Rf: at the prices of its own time, all or nothing, and never refused
for want of money, because it has been delivered. Its fingerprint names it for ever: the same row again is no new use.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from decimal import ROUND_CEILING, Decimal, InvalidOperation
from hashlib import sha256
from typing import Final, Literal, NamedTuple, TypeAlias
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from ocs.charging.request import ChargingRequest, GroupKey, GroupRequest, Quantity, RequestKind
from ocs.gateways.numbering import Numbering
from ocs.rating.faults import FaultList, did_you_mean
from ocs.rating.tomlfile import TomlFile
from ocs.rating.units import UnitKind
from ocs.rating.whereabouts import whereabouts_of

MEDIATION_FILE: Final = "mediation.toml"
PREFIX: Final = "md:"  # of session keys
DIGEST_OCTETS: Final = 16
FUTURE_MS_MAX: Final = 86_400_000
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)
_UNITS: Final = {"seconds": UnitKind.SECONDS, "octets": UnitKind.OCTETS, "events": UnitKind.EVENTS}

Cells: TypeAlias = Mapping[str, str]
"""A row by the names of its columns; without a header by their numbers, from "1"."""


class _Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    pass


class Columns(_Section, frozen=True):
    """What the switch calls what. ``began`` is the answer, ``ended`` the end; one of ``used`` and ``ended`` has to be there
    for what is counted in seconds."""

    began: str
    called: str = ""
    caller: str = ""
    used: str = ""
    ended: str = ""
    session: str = ""
    cause: str = ""
    network: str = ""  # MCC and MNC
    rat: str = ""
    apn: str = ""


class Charged(_Section, frozen=True):
    """Whose subscriber pays: the identity of this kind with the column's value (``e164``: as a number)."""

    column: str
    identity: str = "e164"


class Switch(_Section, frozen=True):
    """One switch and how it writes its files. Its name is the trunk in rules of origin and the client of ``[[numbering]]``.

    ``times`` is ``iso``, ``unix`` (seconds), ``unix_ms``, or a format as ``%d.%m.%Y %H:%M:%S``; those without an offset are
    of ``zone``. ``key`` are the columns that name a row; empty: all of them. Rows count only where each column of ``only``
    has one of its values. ``details`` are kept with the record.
    """

    name: str
    columns: Columns
    charged: tuple[Charged, ...]
    folder: str = ""
    files: str = "*.csv"
    service: str = "voice"
    unit: Literal["seconds", "octets", "events"] = "seconds"
    delimiter: str = ","
    header: bool = True
    encoding: str = "utf-8"
    zone: str = "UTC"
    times: str = "iso"
    key: tuple[str, ...] = ()
    only: dict[str, tuple[str, ...]] = {}
    details: tuple[str, ...] = ()

    @property
    def named(self) -> list[str]:
        """All columns that a file has to have."""
        columns = [value for value in msgspec.structs.astuple(self.columns) if value]
        return list(
            dict.fromkeys([*columns, *(each.column for each in self.charged), *self.key, *self.only, *self.details])
        )


class Row(NamedTuple):
    """One line of a file; a row with quoted line breaks is named by its last one."""

    line: int
    cells: Cells


class UnreadableFileError(Exception):
    """Nothing of the file can be taken; the text says why."""


def parse_switches(text: str, faults: FaultList) -> dict[str, Switch]:
    """Read ``[[switch]]`` tables; one that has a fault is left out."""
    file = TomlFile(text, faults)
    for name in file.table.keys() - {"switch"}:
        file.fault((name,), "is not a known table", did_you_mean(name, ("switch",)))
    tables = file.table.get("switch", [])
    if not isinstance(tables, list):
        file.fault(("switch",), "has to be a list of tables", "write [[switch]]")
        return {}
    found: dict[str, Switch] = {}
    for place, raw in enumerate(tables):
        path = ("switch", place)
        switch = file.decode(raw, Switch, path)
        if switch is None:
            continue
        for field, message, cure in _senseless(switch):
            file.fault((*path, field), message, cure)
        if switch.name in found:
            file.fault((*path, "name"), f"{switch.name!r} is there already", "one table for each switch")
        found[switch.name] = switch
    return found


def _senseless(switch: Switch) -> Iterator[tuple[str, str, str]]:
    if not switch.name or "/" in switch.name or switch.name.startswith("."):
        yield "name", f"{switch.name!r} is no name", "letters, digits, - and _"
    if len(switch.delimiter) != 1:
        yield "delimiter", f"{switch.delimiter!r} is not one character", 'such as ";" or "\\t"'
    if switch.unit == "seconds" and not (switch.columns.used or switch.columns.ended):
        yield "columns", "says neither used nor ended", "name the column of the duration, or of the end"
    if switch.unit == "octets" and not switch.columns.used:
        yield "columns", "does not say used", "name the column of the octets"
    if not switch.charged:
        yield "charged", "is empty", 'say who pays: charged = [{ column = "src" }]'
    try:
        ZoneInfo(switch.zone)
    except (ZoneInfoNotFoundError, ValueError):
        yield "zone", f"{switch.zone!r} is no zone", "such as Europe/Berlin"
    try:
        "".encode(switch.encoding)
    except LookupError:
        yield "encoding", f"{switch.encoding!r} is no encoding", "such as utf-8 or latin-1"


# --- files ----------------------------------------------------------------------------------------------------------


def rows_of(switch: Switch, octets: bytes) -> Iterator[Row]:
    """The rows of a file. Raises UnreadableFileError: a wrong encoding, or a column that is not there."""
    try:
        text = octets.decode(switch.encoding).removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        raise UnreadableFileError(f"is not {switch.encoding}: octet {error.start}: {error.reason}") from error
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=switch.delimiter)
    names: list[str] | None = None
    try:
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                continue
            if names is None:
                names = cells if switch.header else [str(number) for number in range(1, len(cells) + 1)]
                _check_columns(switch, names)
                if switch.header:
                    continue
            yield Row(reader.line_num, dict(zip(names, (cell.strip() for cell in cells), strict=False)))
    except csv.Error as error:
        raise UnreadableFileError(f"line {reader.line_num}: {error}") from error


def _check_columns(switch: Switch, names: list[str]) -> None:
    missing = [name for name in switch.named if name not in names]
    if missing:
        raise UnreadableFileError(
            f"has no column {', '.join(map(repr, missing))}; it has {', '.join(map(repr, names[:50]))}"
        )


def fingerprint_of(switch: Switch, cells: Cells) -> bytes:
    """Names the row among all of its switch."""
    values = [cells.get(name, "") for name in switch.key] if switch.key else [f"{k}={v}" for k, v in cells.items()]
    return sha256("\x1f".join(values).encode()).digest()[:DIGEST_OCTETS]


# --- rows -----------------------------------------------------------------------------------------------------------


def is_record(switch: Switch, cells: Cells) -> bool:
    """Whether the row tells of something that is charged."""
    return all(cells.get(name, "") in values for name, values in switch.only.items())


def charge_of(switch: Switch, cells: Cells, numbering: Numbering, now_ms: int) -> ChargingRequest | str:
    """What is to be charged for a row, or what is wrong with it."""
    columns = switch.columns
    try:
        identities = _identities(switch, cells, numbering)
        began_ms = _instant_ms(switch, _cell(cells, columns.began))
        used = _used(switch, cells, began_ms)
    except ValueError as error:
        return str(error)
    if not 0 < began_ms <= now_ms + FUTURE_MS_MAX:
        return f"{columns.began} {cells.get(columns.began)!r} is not in the past"
    network = cells.get(columns.network, "")
    if network and not (network.isascii() and network.isdigit()):
        return f"{columns.network} {network!r} is no MCC and MNC"
    digest = fingerprint_of(switch, cells)
    session = cells.get(columns.session, "") or digest.hex()
    return ChargingRequest(
        kind=RequestKind.EVENT,
        # Two legs of a call may have one name; the fingerprint tells them apart.
        session_key=f"{PREFIX}{switch.name}:{session}:{digest.hex()[:8]}",
        request_number=0,
        identities=identities,
        service=switch.service,
        event_at_ms=began_ms,
        groups=(GroupRequest(GroupKey(), (Quantity(_UNITS[switch.unit], used),)),),
        destination=numbering.called(switch.name, cells.get(columns.called, "")),
        origin=numbering.calling(switch.name, cells.get(columns.caller, "")),
        fingerprint=int.from_bytes(digest[:4]),
        cumulative=True,
        peer=switch.name,
        cause=cells.get(columns.cause, ""),
        details=tuple((name, cells[name]) for name in switch.details if cells.get(name)),
        whereabouts=whereabouts_of(network, cells.get(columns.rat, ""), cells.get(columns.apn, ""), "", ""),
    )


def _identities(switch: Switch, cells: Cells, numbering: Numbering) -> tuple[str, ...]:
    found = []
    for each in switch.charged:
        if value := cells.get(each.column, ""):
            name = numbering.calling(switch.name, value) if each.identity == "e164" else value
            found.append(f"{each.identity}:{name}")
    if not found:
        raise ValueError(f"{' and '.join(each.column for each in switch.charged)} empty: who pays is not said")
    return tuple(found)


def _used(switch: Switch, cells: Cells, began_ms: int) -> int:
    """Seconds (a part counts as one), octets or events."""
    columns = switch.columns
    if switch.unit == "events":
        return _whole(cells, columns.used) if columns.used else 1
    if columns.used:
        return _whole(cells, columns.used)
    lasted_ms = _instant_ms(switch, _cell(cells, columns.ended)) - began_ms
    if lasted_ms < 0:
        raise ValueError(f"{columns.ended} {cells[columns.ended]!r} is before {columns.began}")
    return -(-lasted_ms // 1000)


def _whole(cells: Cells, column: str) -> int:
    text = _cell(cells, column)
    try:
        value = Decimal(text)
    except InvalidOperation:
        raise ValueError(f"{column} {text!r} is no number") from None
    if not value.is_finite() or value < 0 or value > 1 << 53:
        raise ValueError(f"{column} {text!r} cannot be")
    return int(value.to_integral_value(ROUND_CEILING))


def _cell(cells: Cells, column: str) -> str:
    text = cells.get(column, "")
    if not text:
        raise ValueError(f"{column} is empty")
    return text


def _instant_ms(switch: Switch, text: str) -> int:
    try:
        if switch.times in {"unix", "unix_ms"}:
            return int(Decimal(text) * (1000 if switch.times == "unix" else 1))  # NaN and infinity are refused, too
        at = datetime.fromisoformat(text) if switch.times == "iso" else datetime.strptime(text, switch.times)  # noqa: DTZ007
        if at.tzinfo is None:
            at = at.replace(tzinfo=ZoneInfo(switch.zone))
        return (at - _EPOCH) // _MILLISECOND
    except (ValueError, InvalidOperation, OverflowError):
        raise ValueError(f"{text!r} is no time ({switch.times})") from None
