"""Names, types and codes of the AVPs we know, from ``avp_table``."""

from __future__ import annotations

from typing import Final, NamedTuple

from protocols.diameter.avp_table import IETF, TGPP
from protocols.diameter.codes import VENDOR_3GPP

FIXED_OCTETS: Final = {"u32": 4, "i32": 4, "enum": 4, "time": 4, "u64": 8, "i64": 8, "address": 6}


class AvpDefinition(NamedTuple):
    """``kind`` is one of text, octets, identity, uri, filter, group, address and the keys of FIXED_OCTETS."""

    vendor_id: int
    code: int
    name: str
    kind: str


def _read(table: str, vendor_id: int) -> dict[int, AvpDefinition]:
    definitions = {}
    for entry in table.split():
        code, name, kind = entry.split(":")
        definitions[vendor_id << 32 | int(code)] = AvpDefinition(vendor_id, int(code), name, kind)
    return definitions


BY_KEY: Final = _read(IETF, 0) | _read(TGPP, VENDOR_3GPP)
BY_NAME: Final = {definition.name: definition for definition in BY_KEY.values()}
KNOWN_KEYS: Final = frozenset(BY_KEY)

assert len(BY_NAME) == len(BY_KEY), "a name means one AVP"


def name_of(key: int) -> str:
    """The AVP's name, or vendor:code when it is unknown."""
    definition = BY_KEY.get(key)
    return definition.name if definition is not None else f"{key >> 32}:{key & 0xFFFF_FFFF}"


def octets_min(key: int) -> int:
    """The least data an AVP of this type has: what a sample in Failed-AVP is filled with (RFC 6733, 7.1.5)."""
    definition = BY_KEY.get(key)
    return FIXED_OCTETS.get(definition.kind, 0) if definition is not None else 0
