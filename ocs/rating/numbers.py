"""The files about numbers that every plan obeys: emergency numbers and named zones of origin."""

from __future__ import annotations

from typing import Final

from ocs.rating.faults import FaultList
from ocs.rating.origins import ZONE, Facts, OriginRule, parse_fact
from ocs.rating.prefixes import KEY_DIGITS
from ocs.rating.rateplan import Numbers, Zone
from ocs.rating.tomlfile import TomlFile

NUMBERS_FILE: Final = "numbers.toml"
ZONES_FILE: Final = "zones.toml"

# The lists of a zone, each with the label of what it lists.
_FIELDS: Final = (
    ("numbers", ""),
    ("trunks", "trunk:"),
    ("locations", "location:"),
    ("serving", "serving:"),
    ("networks", "network:"),
    ("apns", "apn:"),
    ("rats", "rat:"),
)
_CURES: Final = {
    "numbers": "digits in quotes",
    "networks": "digits in quotes",
    "trunks": "the peer's or client's name in quotes",
}
_OTHERS: Final = ", ".join(field for field, _ in _FIELDS[1:])


def parse_numbers(text: str, faults: FaultList) -> Numbers:
    """Read the emergency numbers; with faults, what is returned is not to be used."""
    file = TomlFile(text, faults)
    numbers = file.decode(file.table, Numbers, ()) if file.is_sound else None
    if numbers is None:
        return Numbers()
    for number in numbers.emergency:
        if not (number.isascii() and number.isdigit() and len(number) <= KEY_DIGITS):
            file.fault(("emergency",), f"{number!r} is no number", 'digits in quotes, as they are dialled: "112"')
    if len(set(numbers.emergency)) != len(numbers.emergency):
        file.fault(("emergency",), "names a number twice", "name it once")
    return numbers


def parse_zones(text: str, faults: FaultList) -> dict[str, OriginRule]:
    """Read the zones; one with faults is left out."""
    file = TomlFile(text, faults)
    zones: dict[str, OriginRule] = {}
    for name, raw in file.table.items():
        zone = file.decode(raw, Zone, (name,))
        if zone is None:
            continue
        members: list[Facts] = []
        for field, label in _FIELDS:
            for value in getattr(zone, field):
                try:
                    members.append((parse_fact(label + value),))
                except ValueError as error:
                    file.fault((name, field), f"{value!r} is none of these", _CURES.get(field, str(error)))
        if not members:
            file.fault((name,), "the zone has no members", f'add numbers = ["49", "33"] or {_OTHERS}')
        zones[name] = OriginRule(ZONE + name, tuple(members), is_by_zone=True)
    return zones
