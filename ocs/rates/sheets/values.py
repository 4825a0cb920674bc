"""Prices, increments, dates and status words as suppliers write them, into exact text and instants."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import date, datetime, time
from decimal import Decimal, InvalidOperation
from enum import Enum
from itertools import pairwise
from typing import Final, Literal, NamedTuple, TypeAlias
from zoneinfo import ZoneInfo

from ocs.rates.sheets.faults import CellError
from ocs.rating.dated import instant_ms
from ocs.rating.origins import EVERYWHERE, length_text, parse_length

DateOrder: TypeAlias = Literal["", "day-first", "month-first"]
DecimalMark: TypeAlias = Literal["", "point", "comma"]
PricePer: TypeAlias = Literal["minute", "second", "increment"]

PRICE_DECIMALS_MAX: Final = 12
AS_SOON_AS_POSSIBLE: Final = -1  # an instant that the import itself names

_SYMBOLS: Final = {"$": "USD", "€": "EUR", "£": "GBP", "¥": "JPY"}
_NUMBER: Final = re.compile(r"[\d.,]+(?:[eE]-?\d+)?", re.ASCII)
_NUMERIC_DATE: Final = re.compile(
    r"(\d{1,2})[/.\-](\d{1,2})[/.\-](\d{4}|\d{2})(?:[ T]+(\d{1,2}:\d\d(?::\d\d)?))?", re.ASCII
)
_NAMED_DATE: Final = re.compile(r"(\d{1,2})[ \-/.]?([A-Za-z]{3,9})[ \-/.,]*(\d{4}|\d{2})", re.ASCII)
_NAMED_US_DATE: Final = re.compile(r"([A-Za-z]{3,9})[ \-/.]?(\d{1,2})[ \-/.,]+(\d{4}|\d{2})", re.ASCII)
_ISO: Final = re.compile(r"\d{4}-\d\d-\d\d(?:[ T]\d\d:\d\d(?::\d\d)?(?:Z|[+-]\d\d:\d\d)?)?", re.ASCII)
_SOON: Final = frozenset({"asap", "immediate", "immediately", "now", "at once"})
_MONTHS: Final = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")


class Status(Enum):
    """What a sheet says about a line."""

    NONE = ""
    NEW = "new"
    INCREASE = "increase"
    DECREASE = "decrease"
    UNCHANGED = "unchanged"
    CLOSED = "closed"


_STATUS_WORDS: Final[dict[str, Status]] = {
    "": Status.NONE,
    "pending": Status.NONE,
    "change": Status.NONE,
    "changed": Status.NONE,
    **dict.fromkeys(("new", "added", "opened", "new code"), Status.NEW),
    **dict.fromkeys(("increase", "increased", "up", "rate increase", "inc"), Status.INCREASE),
    **dict.fromkeys(("decrease", "decreased", "down", "rate decrease", "dec"), Status.DECREASE),
    **dict.fromkeys(("no change", "unchanged", "current", "same", "nochange"), Status.UNCHANGED),
    **dict.fromkeys(
        (
            "closed",
            "close",
            "deleted",
            "delete",
            "removed",
            "remove",
            "blocked",
            "discontinued",
            "withdrawn",
            "obsolete",
        ),
        Status.CLOSED,
    ),
}


def status_of(text: str) -> Status | None:
    """Read a status word; None if it is none of the trade's."""
    return _STATUS_WORDS.get(" ".join(text.lower().replace("-", " ").split()))


class WrittenPrice(NamedTuple):
    """A price's digits with their separators, and the currency that stands beside it."""

    digits: str
    currency: str


def written_price(text: str) -> WrittenPrice:
    """Take currency signs and codes off a price. Raises CellError."""
    rest = text.strip().replace("\u00a0", " ")
    currency = ""
    for symbol, code in _SYMBOLS.items():
        if symbol in rest:
            rest, currency = rest.replace(symbol, " "), code
    named = re.search(r"\b[A-Z]{3}\b", rest)
    if named:
        rest, currency = rest.replace(named[0], " "), named[0]
    rest = rest.strip()
    if not _NUMBER.fullmatch(rest):
        raise CellError(f"{text!r} is no price", "write a decimal number of 0 or more")
    return WrittenPrice(rest, currency)


def decimal_marks(prices: Iterable[str]) -> tuple[set[DecimalMark], dict[DecimalMark, str]]:
    """Say which marks the prices of a column allow, and name a price that allows each alone."""
    allowed: set[DecimalMark] = {"point", "comma"}
    witnesses: dict[DecimalMark, str] = {}
    for digits in prices:
        here = _marks(digits)
        if len(here) == 1:
            witnesses.setdefault(next(iter(here)), digits)
        allowed &= here
    return allowed, witnesses


def _marks(digits: str) -> set[DecimalMark]:
    """1,234 may be a thousand or one and a bit; 0,123 and 1,2345 cannot be a thousand."""
    point, comma = digits.rfind("."), digits.rfind(",")
    if point >= 0 and comma >= 0:
        return {"point"} if point > comma else {"comma"}
    if point < 0 and comma < 0:
        return {"point", "comma"}
    mark: DecimalMark = "point" if point >= 0 else "comma"
    other: DecimalMark = "comma" if point >= 0 else "point"
    groups = re.split(r"[.,]", digits)
    is_thousands = all(len(group) == 3 for group in groups[1:]) and 1 <= len(groups[0]) <= 3 and groups[0][0] != "0"
    if not is_thousands:
        return {mark}
    return {mark, other} if len(groups) == 2 else {other}


def price_text(digits: str, mark: DecimalMark) -> str:
    """Write a price as decks do: a plain decimal. Raises CellError."""
    plain = digits.replace(",", "") if mark != "comma" else digits.replace(".", "").replace(",", ".")
    try:
        value = Decimal(plain)
    except InvalidOperation as error:
        raise CellError(f"{digits!r} is no price", "write a decimal number of 0 or more") from error
    return decimal_text(value)


def decimal_text(value: Decimal) -> str:
    """Write a decimal without an exponent and without trailing zeros."""
    text = format(value, "f")
    return (text.rstrip("0").rstrip(".") or "0") if "." in text else text


def per_minute(price: str, per: PricePer, next_seconds: int) -> str:
    """Bring a price to a minute exactly. Raises CellError where that has no end of digits."""
    if per == "minute":
        return price
    seconds = 1 if per == "second" else next_seconds
    value = Decimal(price) * 60
    if per == "increment" and not seconds:
        raise CellError("the price is per increment, and there is no increment", "map a column, or set increments")
    if value * 10**PRICE_DECIMALS_MAX % seconds:
        raise CellError(f"{price} per {seconds} s has no exact price per minute", "ask for prices per minute")
    return decimal_text(value / seconds)


# --- increments -------------------------------------------------------------------------------------------------


class Increments(NamedTuple):
    """Seconds as decks write them; empty: as in the tariff."""

    initial: str = ""
    next: str = ""


def increments_of(text: str) -> Increments:
    """Read ``60/1``, ``1+1``, ``30-6`` or ``60``. Raises CellError."""
    parts = re.split(r"\s*[/+\-:]\s*", text.strip().removesuffix("s").strip())
    if not 1 <= len(parts) <= 2 or not all(part.isascii() and part.isdigit() for part in parts):
        raise CellError(f"{text!r} is no increment", "write initial/next in seconds, such as 60/1")
    initial, following = parts[0], parts[-1]
    if int(following) == 0:
        raise CellError(f"{text!r}: the next increment is 0", "write initial/next in seconds, such as 60/1")
    return Increments(str(int(initial)), str(int(following)))


# --- lengths of numbers ---------------------------------------------------------------------------------------


def length_of(text: str, least: str = "", most: str = "") -> str:
    """Read ``11``, ``10-13``, ``10 to 13``, ``10,11,12``, or two cells for the least and the most. Raises CellError."""
    text = text.removesuffix("digits").strip() or f"{least}-{most}"
    text = re.sub(r"\s*(?:-|to|\.\.|\u2013|/)\s*", "-", text)
    if text in {"", "-", "0", "0-0"}:
        return ""
    listed = [part.strip() for part in text.split(",")]
    try:
        spans = [parse_length(part) for part in listed]
    except ValueError as error:
        raise CellError(str(error), "write how many digits a number has, such as 10-13") from error
    if any(later[0] != earlier[1] + 1 for earlier, later in pairwise(spans)):
        raise CellError(f"{text!r} leaves lengths out", "write a row for each run of lengths")
    return length_text(EVERYWHERE._replace(digits_min=spans[0][0], digits_max=spans[-1][1]))


# --- dates ------------------------------------------------------------------------------------------------------


def date_orders(cells: Iterable[str]) -> tuple[set[DateOrder], dict[DateOrder, str]]:
    """Say which orders the dates of a column allow, and name a date that allows each alone."""
    allowed: set[DateOrder] = {"day-first", "month-first"}
    witnesses: dict[DateOrder, str] = {}
    for cell in cells:
        match = _NUMERIC_DATE.fullmatch(cell.strip())
        if match is None or match[1] == match[2]:
            continue
        here: set[DateOrder] = set()
        if int(match[2]) <= 12:
            here.add("day-first")
        if int(match[1]) <= 12:
            here.add("month-first")
        if len(here) == 1:
            witnesses.setdefault(next(iter(here)), cell)
        allowed &= here
    return allowed, witnesses


def has_numeric_date(cells: Iterable[str]) -> str:
    """Name a date whose order matters; empty if there is none."""
    for cell in cells:
        match = _NUMERIC_DATE.fullmatch(cell.strip())
        if match and match[1] != match[2]:
            return cell
    return ""


def moment_of(cell: str | date, order: DateOrder, zone: ZoneInfo) -> int:
    """Read a date (its midnight in ``zone``), a date and time, or ASAP, as UTC milliseconds. Raises CellError."""
    if isinstance(cell, str):
        text = " ".join(cell.split())
        if text.lower() in _SOON:
            return AS_SOON_AS_POSSIBLE
        cell = _date(text, order)
    moment = cell if isinstance(cell, datetime) else datetime.combine(cell, time())
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=zone)
    try:
        return instant_ms(moment)
    except ValueError as error:
        raise CellError(f"{cell} {error}", "write a date of this century") from error


def _date(text: str, order: DateOrder) -> date:
    try:
        if _ISO.fullmatch(text):
            return datetime.fromisoformat(text)
        numeric = _NUMERIC_DATE.fullmatch(text)
        if numeric:
            day, month = (2, 1) if order == "month-first" else (1, 2)
            found = date(_year(numeric[3]), int(numeric[month]), int(numeric[day]))
            return datetime.combine(found, time.fromisoformat(numeric[4].zfill(5))) if numeric[4] else found
        named, us = _NAMED_DATE.fullmatch(text), _NAMED_US_DATE.fullmatch(text)
        if named:
            return date(_year(named[3]), _month(named[2]), int(named[1]))
        if us:
            return date(_year(us[3]), _month(us[1]), int(us[2]))
    except ValueError as error:
        raise CellError(f"{text!r} is no date: {error}", "write 2026-09-21") from error
    raise CellError(f"{text!r} is no date", "write 2026-09-21 or ASAP")


def _year(text: str) -> int:
    return int(text) if len(text) == 4 else 2000 + int(text)


def _month(text: str) -> int:
    return _MONTHS.index(text[:3].lower()) + 1
