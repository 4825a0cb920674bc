"""Code cells: lists, ranges, joined country and area codes, international prefixes, and what spreadsheets break.

    "4470, 4475"        two codes
    "447400-447409"     ten codes: a range
    "49170-172"         49170, 49171, 49172: a range whose end leaves out what is the same
    "82-10"             8210: country and area code, joined
    "61 38,39"          6138 and 6139: the country once
    "+49 151", "0049.." the international prefix goes

A hyphen that can be read both ways is not guessed: the column's other cells decide, else the operator.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final, Literal, TypeAlias

from ocs.rates.countries import country_code
from ocs.rates.sheets.faults import CellError
from ocs.rating.deckfile import PREFIX_DIGITS_MAX

RANGE_CODES_MAX: Final = 10_000

Hyphen: TypeAlias = Literal["", "range", "join"]

_LISTED: Final = re.compile(r"[,;/\n|]+")
_COUNTRY_ONCE: Final = re.compile(r"(\d{1,3}) ((?:\d+(?:-\d+)?)(?: ?[,;/] ?\d+(?:-\d+)?)+)", re.ASCII)
_TWO_GROUPS: Final = re.compile(r"(\d+) (\d+)", re.ASCII)
_HYPHENS: Final = str.maketrans("\u2010\u2011\u2012\u2013\u2014\u2212", "------")
_NUMBER_FORMAT: Final = re.compile(r"-?\d+(?:[.,]\d+)?[eE]\+?\d+")
_ITALY_LOST: Final = frozenset({"392", "396", "399"})  # Italian area codes keep their zero: 39 02, 39 06, 39 09


def hyphen_readings(cells: Iterable[str]) -> tuple[set[Hyphen], dict[Hyphen, str]]:
    """Say how the hyphens of a column can be read, and name a cell that allows each reading alone.

    The set is what all cells allow. Two entries in the witnesses and an empty set: the column is mixed.
    """
    allowed: set[Hyphen] = {"range", "join"}
    witnesses: dict[Hyphen, str] = {}
    for cell in cells:
        for part in _LISTED.split(cell.translate(_HYPHENS)):
            if part.count("-") != 1:
                continue
            here = _readings(*_ends(part))
            if len(here) == 1:
                witnesses.setdefault(next(iter(here)), cell)
            if here:
                allowed &= here
    return allowed, witnesses


def _ends(part: str) -> tuple[str, str]:
    left, _, right = part.partition("-")
    return _bare(left), right.strip().replace(" ", "")


def _bare(text: str) -> str:
    """Take the international prefix off. No country code begins with 0, so 00 and 011 are nothing else."""
    digits = text.strip().replace(" ", "").removeprefix("+")
    for prefix in ("00", "011"):
        if digits.startswith(prefix):
            return digits[len(prefix) :]
    return digits


def _readings(left: str, right: str) -> set[Hyphen]:
    found: set[Hyphen] = set()
    if not (left.isdigit() and right.isdigit()):
        return found
    if len(right) <= len(left) and left[-len(right) :] < right:
        found.add("range")
    if country_code(left) == left:
        found.add("join")
    return found


class CodeReader:
    """Reads the cells of one column by the reading that was settled for its hyphens."""

    def __init__(self, hyphen: Hyphen, prepend: str = "") -> None:
        self._hyphen = hyphen
        self._prepend = prepend

    def read(self, cell: str, country: str = "") -> list[str]:
        """Give the dial codes of a cell, with the country code of a column of its own. Raises CellError."""
        if cell.isdigit() and cell.isascii() and cell[0] != "0" and not country and len(cell) < PREFIX_DIGITS_MAX:
            return [self._prepend + cell]  # most cells of most sheets
        text = " ".join(cell.translate(_HYPHENS).split())
        if _NUMBER_FORMAT.fullmatch(text):
            raise CellError(f"{text!r} is a rounded number, not a code", "format the column as text and fill it anew")
        once = _COUNTRY_ONCE.fullmatch(text)
        if once and not country and country_code(once[1]) == once[1]:
            country, text = once[1], once[2]
        head = _bare(country)
        codes: list[str] = []
        for part in _LISTED.split(text):
            if part.strip():
                codes += [self._whole(head, code, cell) for code in self._part(part.strip(), head)]
        if not codes and head:
            codes.append(self._whole("", head, cell))
        if not codes:
            raise CellError("the code is empty", "write the digits that the number starts with")
        return codes

    def _part(self, part: str, head: str) -> Iterator[str]:
        if "-" in part:
            yield from self._hyphened(part)
            return
        groups = _TWO_GROUPS.fullmatch(part)
        if groups and not head and country_code(groups[1]) == groups[1]:
            raise CellError(
                f"{part!r} may be two codes or one with a space",
                "write a comma between codes, or the code without the space",
            )
        yield from part.split(" ") if not part.startswith("+") and not head and " " in part else (part,)

    def _hyphened(self, part: str) -> Iterator[str]:
        left, right = _ends(part)
        readings = _readings(left, right)
        reading = self._hyphen if self._hyphen in readings else ""
        if not reading or part.count("-") != 1:
            can = " and ".join(sorted(filter(None, readings))) or "neither a range nor country and area code"
            raise CellError(f"{part!r} can be {can}", "say hyphen = range or join, or write the codes out")
        if reading == "join":
            yield left + right
            return
        first, last, width = int(left), int(left[: -len(right)] + right), len(left)
        if last - first >= RANGE_CODES_MAX:
            raise CellError(f"{part!r} has {last - first + 1} codes", f"at most {RANGE_CODES_MAX}: use shorter codes")
        yield from (f"{code:0{width}d}" for code in range(first, last + 1))

    def _whole(self, head: str, part: str, cell: str) -> str:
        code = self._prepend + (head + part.replace(" ", "") if head else _bare(part))
        if not (code.isascii() and code.isdigit()):
            raise CellError(f"{cell!r} is not made of digits", "write digits, country code first")
        if code.startswith("0"):
            raise CellError(f"{cell!r} begins with 0: no country code does", "write the country code first")
        if len(code) > PREFIX_DIGITS_MAX:
            raise CellError(f"{cell!r} is too long", f"at most {PREFIX_DIGITS_MAX} digits")
        if head == "39" and code[:3] in _ITALY_LOST:
            raise CellError(f"{cell!r} in Italy has lost its zero", "format the column as text: 39 06, not 39 6")
        return code
