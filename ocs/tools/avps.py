"""The AVPs by name, for people: ``avps.csv`` beside this file, drawn from RFC 6733, RFC 8506 and TS 32.299.

The server's own dictionary (``protocols/diameter/dictionary.py``) knows names and types only; enumerations are for
reading, and reading is done here.
"""

from __future__ import annotations

import csv
from functools import cache
from importlib.resources import files
from typing import Final, NamedTuple

GROUPED: Final = "Grouped"


class AvpEntry(NamedTuple):
    """``key`` has the vendor in its upper 32 bits; ``values`` are the names of an enumeration."""

    key: int
    name: str
    kind: str
    values: dict[int, str]


@cache
def avp_entries() -> dict[int, AvpEntry]:
    """All AVPs by key."""
    text = files("ocs.tools").joinpath("avps.csv").read_text(encoding="utf-8")
    found = {}
    for row in csv.DictReader(text.splitlines()):
        key = int(row["vendor_id"]) << 32 | int(row["code"])
        pairs = (part.split("=", 1) for part in row["values"].split(";") if part)
        found[key] = AvpEntry(key, row["name"], row["type"], {int(number): name for number, name in pairs})
    return found
