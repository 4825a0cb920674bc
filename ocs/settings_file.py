"""Reading ``config/ocs.toml``: shape first, then sense, and every fault at once with its line and its cure."""

from __future__ import annotations

import types
from pathlib import Path
from typing import Any, Final, TypeVar, get_args, get_origin, get_type_hints

import msgspec

from ocs.rating.faults import ConfigFault, FaultList
from ocs.rating.tomlfile import TomlFile
from ocs.settings import Settings

StructT = TypeVar("StructT", bound=msgspec.Struct)
SETTINGS_OCTETS_MAX: Final = 1 << 20
_Path = tuple[str | int, ...]


def read_settings(path: Path) -> Settings | tuple[ConfigFault, ...]:
    """Decode and check one file."""
    settings, faults = decode_settings(path)
    return settings if settings is not None and not faults else faults


def decode_settings(path: Path) -> tuple[Settings | None, tuple[ConfigFault, ...]]:
    """The same for who looks at all that a file says: settings that have the right shape, and what is wrong all the same."""
    from ocs.settings_sense import check_sense

    faults = FaultList(str(path))
    text = _text(path, faults)
    file = TomlFile(text, faults)
    settings = decode_table(file, file.table, Settings, ())
    if settings is not None:
        check_sense(settings, file.fault)
    return settings, tuple(faults.sorted())


def _text(path: Path, faults: FaultList) -> str:
    try:
        if path.stat().st_size > SETTINGS_OCTETS_MAX:
            faults.add(0, "file", f"is larger than {SETTINGS_OCTETS_MAX} octets", "is it the right file?")
            return ""
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        faults.add(0, "file", "does not exist", "run from the checkout, or name it with --config")
    except (OSError, UnicodeDecodeError) as error:
        faults.add(0, "file", f"cannot be read: {error}", "it has to be UTF-8 text that this user may read")
    return ""


def decode_table(file: TomlFile, raw: object, shape: type[StructT], path: _Path) -> StructT | None:
    """Decode a table and the tables in it, each field by itself, so that no fault hides another."""
    if not isinstance(raw, dict):
        file.fault(path, "has to be a table", f"write [{'.'.join(map(str, path))}]")
        return None
    inner: dict[str, Any] = {}
    is_sound = True
    for name, hint in get_type_hints(shape).items():
        if name not in raw or not (element := _struct_in(hint)):
            continue
        value = _decode_inner(file, raw[name], hint, element, (*path, name))
        is_sound = is_sound and value is not None
        inner[name] = value
    flat = file.decode({name: value for name, value in raw.items() if name not in inner}, shape, path)
    return msgspec.structs.replace(flat, **inner) if flat is not None and is_sound else None


def _decode_inner(file: TomlFile, raw: object, hint: Any, element: type[msgspec.Struct], path: _Path) -> Any:
    if get_origin(hint) is not tuple:
        return decode_table(file, raw, element, path)
    if not isinstance(raw, list):
        file.fault(path, "has to be a list of tables", f"write [[{'.'.join(map(str, path))}]]")
        return None
    values = [decode_table(file, each, element, (*path, at)) for at, each in enumerate(raw)]
    return None if None in values else tuple(values)


def _struct_in(hint: Any) -> type[msgspec.Struct] | None:
    """The record that a field is, or is a list of."""
    candidate = get_args(hint)[0] if get_origin(hint) is tuple else hint
    is_record = isinstance(candidate, type) and not isinstance(candidate, types.GenericAlias)
    return candidate if is_record and issubclass(candidate, msgspec.Struct) else None
