"""What is known of a supplier's sheets: ``suppliers/<name>.toml``, written by the first import, read by each later one."""

from __future__ import annotations

import json
import re
from typing import Any, Final, Literal, TypeAlias

import msgspec

from ocs.rates.sheets.header import FIELDS, is_field
from ocs.rates.sheets.values import DateOrder, DecimalMark, PricePer, increments_of
from ocs.rating.faults import ConfigFault, FaultList, did_you_mean
from ocs.rating.tomlfile import TomlFile

SUPPLIERS: Final = "suppliers"
_BARE_KEY: Final = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)

Kind: TypeAlias = Literal["", "full", "country", "partial"]
Withdrawn: TypeAlias = Literal["forbid", "fall-back"]


class IncrementException(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``[[exceptions]]``: destinations that begin so are billed otherwise, as footnotes say."""

    destination: str
    increments: str


class Supplier(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The answers to what a sheet leaves open. Empty: not known yet, and asked when a sheet needs it."""

    deck: str = ""
    currency: str = ""
    kind: Kind = (
        ""  # what a missing code means: full = withdrawn, country = withdrawn in its country, partial = unchanged
    )
    sheet: str = ""
    dates: DateOrder = ""
    zone: str = "UTC"
    decimal: DecimalMark = ""
    hyphen: Literal["", "range", "join"] = ""
    per: PricePer = "minute"
    prepend: str = ""  # digits before each code, such as 1 for NPANXX without it
    increments: str = ""  # where the sheet names none
    withdrawn: Withdrawn = "forbid"
    increase_notice_days: int = 0
    headerless: bool = False  # the sheet has no header: columns are called by their numbers, from 1
    columns: dict[str, str] = {}
    origins: dict[
        str, str
    ] = {}  # what words of an origin column mean in our decks: EEA = "zone:EEA", "" for all others
    exceptions: tuple[IncrementException, ...] = ()


def supplier_file(name: str) -> str:
    """Name the file of a supplier, relative to the configuration directory."""
    return f"{SUPPLIERS}/{name}.toml"


def read_supplier(file: str, text: str) -> tuple[Supplier, list[ConfigFault]]:
    """Read a supplier's file and every fault in it."""
    faults = FaultList(file)
    toml = TomlFile(text, faults)
    table: dict[str, Any] = dict(toml.table)
    raw = table.pop("exceptions", [])
    columns = table.get("columns", {})
    for field in filter(lambda name: not is_field(name), columns if isinstance(columns, dict) else ()):
        toml.fault(("columns", field), "is no field of a sheet", did_you_mean(field, FIELDS))
    found = toml.decode(table, Supplier, ()) or Supplier()
    exceptions = [
        toml.decode(each, IncrementException, ("exceptions", at))
        for at, each in enumerate(raw if isinstance(raw, list) else [])
    ]
    found = msgspec.structs.replace(found, exceptions=tuple(filter(None, exceptions)))
    for at, (path, text_) in enumerate([(("increments",), found.increments), *_exception_increments(found)]):
        _check_increments(toml, path, text_, is_optional=at == 0)
    return found, faults.sorted()


def _exception_increments(found: Supplier) -> list[tuple[tuple[str | int, ...], str]]:
    return [(("exceptions", at, "increments"), each.increments) for at, each in enumerate(found.exceptions)]


def _check_increments(toml: TomlFile, path: tuple[str | int, ...], text: str, *, is_optional: bool) -> None:
    if text or not is_optional:
        try:
            increments_of(text)
        except ValueError as error:
            toml.fault(path, str(error), "write initial/next in seconds, such as 60/1")


def write_supplier(supplier: Supplier) -> str:
    """Write a supplier's file: what is as it would be anyway is left out."""
    lines = [
        "# What was settled for this supplier's sheets. `ocs rates import --supplier` reads it and keeps it up to date."
    ]
    tables: list[str] = []
    for field in msgspec.structs.fields(Supplier):
        value = getattr(supplier, field.name)
        if field.name in {"columns", "origins"}:
            rows = [f"{_key(name)} = {_quoted(title)}" for name, title in value.items()]
            tables += ["", f"[{field.name}]", *rows] if rows else []
        elif field.name == "exceptions":
            for each in value:
                tables += ["", "[[exceptions]]", f"destination = {_quoted(each.destination)}"]
                tables.append(f"increments = {_quoted(each.increments)}")
        elif value and value != field.default:
            lines.append(f"{field.name} = {str(value).lower() if isinstance(value, int) else _quoted(value)}")
    return "\n".join(lines + tables) + "\n"


def _key(name: str) -> str:
    return name if _BARE_KEY.fullmatch(name) else _quoted(name)


def _quoted(text: str) -> str:
    """TOML's basic strings are escaped as JSON's are."""
    return json.dumps(text, ensure_ascii=False)
