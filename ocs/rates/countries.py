"""Which country a number or a dial code belongs to: ITU-T E.164 country codes, told by their first digits."""

from __future__ import annotations

from typing import Final

# One digit: 1 and 7. Two digits: these. All others have three (ITU-T E.164, list of assigned country codes).
_TWO: Final = frozenset(
    [
        "20",
        "27",
        "30",
        "31",
        "32",
        "33",
        "34",
        "36",
        "39",
        "40",
        "41",
        "43",
        "44",
        "45",
        "46",
        "47",
        "48",
        "49",
        "51",
        "52",
        "53",
        "54",
        "55",
        "56",
        "57",
        "58",
        "60",
        "61",
        "62",
        "63",
        "64",
        "65",
        "66",
        "81",
        "82",
        "84",
        "86",
        "90",
        "91",
        "92",
        "93",
        "94",
        "95",
        "98",
    ]
)
_NORTH_AMERICA_DIGITS: Final = 4  # 1 and the area code: +1 is twenty-five countries


def country_code(digits: str) -> str:
    """Give the country code that digits begin with; empty if they are too few or begin with 0."""
    if digits[:1] in {"1", "7"}:
        return digits[:1]
    length = 2 if digits[:2] in _TWO else 3
    return digits[:length] if len(digits) >= length and digits[:1] != "0" else ""


def country_of(digits: str) -> str:
    """Give what prices are compared within: the country code, in North America with the area code."""
    return digits[:_NORTH_AMERICA_DIGITS] if digits.startswith("1") else country_code(digits)
