"""Bands of the week in a named zone: which one holds at an instant, and when the next one begins. To the second, in UTC.

A day is a weekday or, where the calendar has bands for them, a holiday. A band holds by the local clock: where clocks go
back it may hold twice, where they go forward it may begin late; no second has two bands or none. The only module that
knows time zones.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from ocs.rating.faults import did_you_mean
from ocs.rating.rateplan import BandEntry, CalendarFile
from ocs.rating.tomlfile import TomlFile

HOLIDAY: Final = 7
DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun", "holiday")
DAY_S: Final = 86_400
BAND_NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]*")
_TIMES: Final = re.compile(r"(\d\d):(\d\d)(?::(\d\d))? ?- ?(\d\d):(\d\d)(?::(\d\d))?", re.ASCII)
_DAYS_KEPT_MAX: Final = 4096


class Span(NamedTuple):
    """A band from one second of the local day to another, half-open."""

    from_s: int
    to_s: int
    band: str


class Switch(NamedTuple):
    """From this instant on the band holds."""

    at_ms: int
    band: str


class Calendar:
    """``spans`` has eight lists, one for each of DAYS, each covering its day without gap. Look-ups only."""

    __slots__ = ("_days", "_holidays", "_spans", "_zone", "bands", "name")

    def __init__(
        self, name: str, zone: ZoneInfo, holidays: frozenset[date], spans: tuple[tuple[Span, ...], ...]
    ) -> None:
        self.name = name
        self.bands = tuple(dict.fromkeys(span.band for day in spans for span in day))
        self._zone = zone
        self._holidays = holidays
        self._spans = spans
        self._days: dict[date, tuple[Switch, ...]] = {}

    @property
    def zone(self) -> str:
        """The name of its clock."""
        return self._zone.key

    def band_at(self, at_ms: int) -> str:
        """Say which band holds at an instant."""
        local = datetime.fromtimestamp(at_ms // 1000, self._zone)
        return self._band(local)

    def switches(self, at_ms: int, until_ms: int) -> Iterator[Switch]:
        """List the changes of band after an instant and before another."""
        band = self.band_at(at_ms)
        day = datetime.fromtimestamp(at_ms // 1000, self._zone).date()
        last = datetime.fromtimestamp(until_ms // 1000, self._zone).date()
        while day <= last:
            for switch in self._day(day):
                if at_ms < switch.at_ms < until_ms and switch.band != band:
                    band = switch.band
                    yield switch
            day += timedelta(days=1)

    def _band(self, local: datetime) -> str:
        second = local.hour * 3600 + local.minute * 60 + local.second
        for span in self._spans[self._kind(local.date())]:
            if second < span.to_s:
                return span.band
        raise AssertionError("the spans of a day cover it")

    def _kind(self, day: date) -> int:
        return HOLIDAY if day in self._holidays else day.weekday()

    def _day(self, day: date) -> tuple[Switch, ...]:
        """Cut a local day at every instant at which the local clock shows a border, or jumps."""
        found = self._days.get(day)
        if found is None:
            if len(self._days) >= _DAYS_KEPT_MAX:
                self._days.clear()
            borders = {span.from_s for span in self._spans[self._kind(day)]}
            instants = {self._instant(day, second, fold) for second in borders for fold in (0, 1)}
            begin, end = self._instant(day, 0, 0), self._instant(day + timedelta(days=1), 0, 0)
            instants |= {begin, *self._jumps(begin, end)}
            found = self._days[day] = tuple(
                Switch(second * 1000, self._band(datetime.fromtimestamp(second, self._zone)))
                for second in sorted(instants)
                if begin <= second < end
            )
        return found

    def _instant(self, day: date, second: int, fold: int) -> int:
        local = datetime.combine(day, time(), self._zone) + timedelta(seconds=second)
        return int(local.replace(fold=fold).timestamp())

    def _jumps(self, begin: int, end: int) -> Iterator[int]:
        """Find the second at which the zone's offset changes between two others, if it does."""
        if self._offset(begin) == self._offset(end):
            return
        before, after = begin, end
        while after - before > 1:
            middle = (before + after) // 2
            if self._offset(middle) == self._offset(begin):
                before = middle
            else:
                after = middle
        yield after

    def _offset(self, second: int) -> timedelta | None:
        return datetime.fromtimestamp(second, UTC).astimezone(self._zone).utcoffset()


def parse_calendar(name: str, file: TomlFile) -> Calendar | None:
    """Read one file of ``calendars/``; None if it has faults, all of which are in the file's list."""
    table = dict(file.table)
    raw = table.pop("bands", [])
    head = file.decode(table, CalendarFile, ()) if file.is_sound else None
    zone = _zone(head.zone, file) if head is not None else None
    if not isinstance(raw, list) or not raw:
        file.fault(("bands",), "the calendar has no bands", "add [[bands]] with name, days and times")
        return None
    entries = [(at, file.decode(each, BandEntry, ("bands", at))) for at, each in enumerate(raw)]
    spans = _spans([(at, entry) for at, entry in entries if entry is not None], file)
    holidays = _holidays(head, file) if head is not None else frozenset()
    if holidays and not spans[HOLIDAY]:
        file.fault(("holidays",), "no band is for holidays", 'add "holiday" to the days of one')
    return None if zone is None or file.faults.sorted() else Calendar(name, zone, holidays, spans)


def _zone(name: str, file: TomlFile) -> ZoneInfo | None:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        file.fault(("zone",), f"{name!r} is no time zone", 'a name such as "Europe/Berlin"')
        return None


def _holidays(head: CalendarFile, file: TomlFile) -> frozenset[date]:
    days = set()
    for text in head.holidays:
        try:
            days.add(date.fromisoformat(text))
        except ValueError:
            file.fault(("holidays",), f"{text!r} is no date", 'write "2026-12-25"')
    return frozenset(days)


def _spans(entries: list[tuple[int, BandEntry]], file: TomlFile) -> tuple[tuple[Span, ...], ...]:
    """Lay the bands over the eight kinds of day; what is left over is the band without days and times."""
    days: list[list[Span]] = [[] for _ in DAYS]
    rest = [(at, entry) for at, entry in entries if not entry.days and not entry.times]
    has_holidays = any("holiday" in entry.days for _, entry in entries)
    for at, _ in rest[1:]:
        file.fault(("bands", at), "a second band for all that is left", "give it days or times")
    for at, entry in entries:
        if not BAND_NAME.fullmatch(entry.name):
            file.fault(("bands", at, "name"), f"{entry.name!r} is no name", "small letters, digits and hyphens")
        if not entry.days and not entry.times:
            continue
        for day in _days(entry, ("bands", at, "days"), file):
            for from_s, to_s in _times(entry, ("bands", at, "times"), file):
                clash = next((span for span in days[day] if from_s < span.to_s and span.from_s < to_s), None)
                if clash is not None and clash.band != entry.name:
                    message = f"{DAYS[day]} {_clock(max(from_s, clash.from_s))} is in {clash.band}, too"
                    file.fault(("bands", at), message, "let each time belong to one band")
                days[day].append(Span(from_s, to_s, entry.name))
    filled = [_filled(day, rest[0][1].name if rest else "") for day in days]
    if not has_holidays:
        filled[HOLIDAY] = ()
    for day, spans in enumerate(filled):
        gap = next((span for span in spans if not span.band), None)
        if gap is not None:
            message = f"{DAYS[day]} {_clock(gap.from_s)} to {_clock(gap.to_s)} is in no band"
            file.fault(("bands",), message, "add a band without days and times: it takes all that is left")
    return tuple(filled)


def _filled(spans: list[Span], rest: str) -> tuple[Span, ...]:
    """Sort a day's spans and fill what they leave."""
    points = sorted({0, DAY_S, *(span.from_s for span in spans), *(span.to_s for span in spans)})
    cut = [
        Span(begin, end, next((span.band for span in spans if span.from_s <= begin < span.to_s), rest))
        for begin, end in pairwise(points)
    ]
    merged: list[Span] = []
    for span in cut:
        if merged and merged[-1].band == span.band:
            merged[-1] = merged[-1]._replace(to_s=span.to_s)
        else:
            merged.append(span)
    return tuple(merged)


def _days(entry: BandEntry, path: tuple[str | int, ...], file: TomlFile) -> list[int]:
    """Read ``["mon-fri", "holiday"]``; left out, every weekday."""
    if not entry.days:
        return list(range(HOLIDAY))
    found: list[int] = []
    for text in entry.days:
        first, _, last = text.partition("-")
        unknown = [name for name in (first, last or first) if name not in DAYS or ("-" in text and name == "holiday")]
        if unknown:
            file.fault(path, f"{text!r} is no day", did_you_mean(unknown[0], DAYS))
            continue
        begin, end = DAYS.index(first), DAYS.index(last or first)
        found += range(begin, end + 1) if begin <= end else [*range(begin, HOLIDAY), *range(end + 1)]
    return sorted(set(found))


def _times(entry: BandEntry, path: tuple[str | int, ...], file: TomlFile) -> list[tuple[int, int]]:
    """Read ``["08:00-18:00"]``; left out, the whole day."""
    found: list[tuple[int, int]] = []
    for text in entry.times or ("00:00-24:00",):
        match = _TIMES.fullmatch(text.strip())
        parts = [int(part or 0) for part in match.groups()] if match else []
        begin, end = (
            (parts[0] * 3600 + parts[1] * 60 + parts[2], parts[3] * 3600 + parts[4] * 60 + parts[5])
            if parts
            else (0, 0)
        )
        if not parts or max(parts[1], parts[2], parts[4], parts[5]) > 59 or end > DAY_S:
            file.fault(path, f"{text!r} is no time of day", 'write "08:00-18:00"; a day ends at 24:00')
        elif begin >= end:
            file.fault(
                path, f"{text!r} ends before it begins", 'over midnight write both: "22:00-24:00", "00:00-06:00"'
            )
        else:
            found.append((begin, end))
    return found


def _clock(second: int) -> str:
    return f"{second // 3600:02d}:{second // 60 % 60:02d}"
