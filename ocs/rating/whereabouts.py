"""Where a user is, as a session keeps it in one text: ``26201 rat:eutran apn:internet location:26201-1a2b serving:192.0.2.1``.

The first word is the network (MCC and MNC) where it is known; the others are labelled as in rules (see origins.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

_VALUE_LENGTH_MAX: Final = 100
_TECHNOLOGIES: Final[Mapping[str, str]] = {
    "1": "utran", "2": "geran", "3": "wlan", "4": "gan", "5": "hspa-evolution", "6": "eutran", "7": "virtual", "8": "nb-iot",
    "9": "lte-m", "10": "nr", "51": "nr",
}  # fmt: skip
"""3GPP-RAT-Type (TS 29.061, 16.4.7)."""

TECHNOLOGIES: Final = tuple(dict.fromkeys(_TECHNOLOGIES.values()))


def technology(written: str) -> str:
    """The radio access technology by its name, from a name or the number of 3GPP-RAT-Type; what we have no name for: as it is."""
    return _TECHNOLOGIES.get(written, written.lower())


def whereabouts_of(network: str, rat: str, apn: str, location: str, serving: str) -> str:
    """Write down where a user is; empty where nothing is known."""
    if not (rat or apn or location or serving):
        return network
    facts = (("rat", technology(rat)), ("apn", apn.lower()), ("location", location), ("serving", serving))
    return " ".join(([network] if network else []) + [f"{label}:{_one_word(value)}" for label, value in facts if value])


def facts_of(whereabouts: str) -> dict[str, str]:
    """The facts by their names."""
    facts = {}
    for word in whereabouts.split():
        label, colon, value = word.partition(":")
        facts[label if colon else "network"] = value if colon else label
    return facts


def moved(known: str, said: str) -> str:
    """Where the user is now: what is said anew, and what was known of the rest."""
    if not said or said == known:
        return known
    if ":" not in said and ":" not in known:
        return said
    facts = facts_of(known) | facts_of(said)
    network = facts.pop("network", "")
    return " ".join(([network] if network else []) + [f"{label}:{value}" for label, value in facts.items()])


def _one_word(value: str) -> str:
    return "_".join(value.split())[:_VALUE_LENGTH_MAX]
