"""What is lawful in rate files and probably not meant. Each warning has its file, line and cure. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Final, NamedTuple

from ocs.rates.moments import moment_text
from ocs.rates.sheets.sense import far_prices
from ocs.rates.sheets.supplier import SUPPLIERS, read_supplier
from ocs.rating.build import LoadResult
from ocs.rating.dated import EVER_MS, FOREVER_MS, Version
from ocs.rating.faults import ConfigFault, FaultList
from ocs.rating.origins import ANY_LENGTH, NOWHERE
from ocs.rating.prefixes import Versions
from ocs.rating.price import Price, Tariff
from ocs.rating.ratebook import RateBook
from ocs.rating.tariffs import DeckRate, LayeredRate, OriginRate, RateSource, RatingFault

STALE_DAYS: Final = 365
_DAY_MS: Final = 86_400_000
_DAY_ALONE: Final = re.compile(r"\d{4}-\d\d-\d\d(?=[\s,;\"']|$)")
_NO_OFFSET: Final = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?=[\s,;\"']|$)")


def lint(files: Mapping[str, bytes], loaded: LoadResult, now_ms: int) -> list[ConfigFault]:
    """List the warnings of rate files; those of decks only where a book could be made."""
    found = list(loaded.warnings)
    for file, data in sorted(files.items()):
        found += _times_without_offset(file, data)
    if loaded.book is not None:
        for file, uses in sorted(_decks(loaded.book).items()):
            found += _DeckLint(file, uses[0].deck, now_ms).warnings()
            found += _currencies(file, uses)
            found += _days_without_time(file, uses, files.get(file, b""))
        for source in _all_sources(loaded.book):
            found += _later_in_layers(source, now_ms)
    return sorted(set(found))


def check_suppliers(files: Mapping[str, bytes]) -> list[ConfigFault]:
    """List the faults of suppliers' files, by their names relative to the configuration directory."""
    return [
        fault
        for file, data in sorted(files.items())
        if file.startswith(f"{SUPPLIERS}/")
        for fault in read_supplier(file, data.decode("utf-8", "replace"))[1]
    ]


class _Use(NamedTuple):
    """A plan that prices by a deck, and the currency that it reads its figures in."""

    plan: str
    currency: str
    deck: DeckRate


def _decks(book: RateBook) -> dict[str, list[_Use]]:
    """The decks by file, with the plans that use them; a heir's are those of its parent."""
    decks: dict[str, list[_Use]] = {}
    for deck in _all_sources(book):
        if isinstance(deck, DeckRate):
            plan = deck.labels.plan
            exchange = deck.timetable.exchange if deck.timetable else ()
            currency = exchange[0].what.currency if exchange else book.currency_of(plan) or ""
            decks.setdefault(deck.codes.file, []).append(_Use(plan, currency, deck))
    return decks


def _all_sources(book: RateBook) -> list[RateSource]:
    """List each source of prices once, however many tariffs and heirs share it."""
    return list(dict.fromkeys(each for source in dict.fromkeys(book.sources()) for each in _walk(source)))


def _walk(source: RateSource) -> Iterator[RateSource]:
    """Go through a source and all that it is made of: layers, and tariffs for origins."""
    yield source
    if isinstance(source, LayeredRate):
        yield from _walk(source.upper)
        for version in source.lower:
            yield from _walk(version.what)
    elif isinstance(source, OriginRate):
        for timeline in (*(timeline for _, timeline in source.choices), source.otherwise):
            for version in timeline:
                yield from _walk(version.what)


def _later_in_layers(source: RateSource, now_ms: int) -> Iterator[ConfigFault]:
    """Warn of prefixes to come of a deck over others, where what lies below is cheaper until then."""
    if not isinstance(source, LayeredRate) or not isinstance(source.upper, DeckRate):
        return
    deck, codes = source.upper, source.upper.codes
    for prefix, row in codes.index.future_prefixes(now_ms):
        price, (shorter, _) = deck.price_of_row(row), codes.index.find_for(prefix[:-1], now_ms)
        now = source.offer(prefix, now_ms, NOWHERE, ANY_LENGTH).answer if shorter < 0 else None
        if isinstance(price, Price) and isinstance(now, Tariff) and now.price.next_rate < price.next_rate:
            message = f"{prefix} is not in force yet; until then the cheaper {now.source} applies"
            cure = "add a line for now, or forbid the prefix until then"
            yield ConfigFault(codes.file, codes.line_of[row], "from", message, cure)


def _times_without_offset(file: str, data: bytes) -> Iterator[ConfigFault]:
    faults = FaultList(file)
    for number, line in enumerate(data.decode("utf-8", "replace").splitlines(), start=1):
        match = None if line.startswith("#") else _NO_OFFSET.search(line)
        if match:
            cure = f"write {match[0]}Z, or the offset that is meant, such as +02:00"
            faults.add(number, "from, to", f"{match[0]} says no offset and is read as UTC", cure)
    yield from faults.sorted()


def _currencies(file: str, uses: list[_Use]) -> Iterator[ConfigFault]:
    by_currency = {use.currency: use.plan for use in uses}
    if len(by_currency) > 1:
        told = " and ".join(f"{currency} by {plan}" for currency, plan in sorted(by_currency.items()))
        cure = "give each currency its own deck, or write currency in the tariff"
        yield ConfigFault(file, 1, "currency", f"the same figures are read in {told}", cure)


def _days_without_time(file: str, uses: list[_Use], data: bytes) -> Iterator[ConfigFault]:
    """Warn where days begin at midnight UTC, and the calendar of a tariff has a clock of its own."""
    zones = {use.deck.timetable.calendar.zone for use in uses if use.deck.timetable and use.deck.timetable.calendar}
    elsewhere = sorted(zones - {"UTC", "Etc/UTC"})
    for number, line in enumerate(data.decode("utf-8", "replace").splitlines(), start=1) if elsewhere else ():
        match = None if line.startswith("#") else _DAY_ALONE.search(line)
        if match:
            message = f"{match[0]} begins at midnight UTC, which is another hour in {elsewhere[0]}"
            yield ConfigFault(file, number, "from, to", message, f"write {match[0]}T00:00+HH:MM with the offset there")
            return


class _DeckLint:
    """One deck as its first user reads it."""

    def __init__(self, file: str, source: DeckRate, now_ms: int) -> None:
        self._faults = FaultList(file)
        self._source = source
        self._codes = source.codes
        self._now_ms = now_ms

    def warnings(self) -> list[ConfigFault]:
        newest_ms, newest = EVER_MS, -1
        quotes: list[tuple[str, str, int, int]] = []
        for prefix, versions in self._codes.index.entries():
            for version in versions:
                for instant_ms in (version.from_ms, version.to_ms):
                    if newest_ms < instant_ms != FOREVER_MS:
                        newest_ms, newest = instant_ms, version.what
            for alike in self._by_origin(prefix, versions) if len(versions) > 1 else (versions,):
                self._gaps(prefix, alike)
            for version in versions:
                price = self._source.price_of_row(version.what)
                if version.from_ms <= self._now_ms < version.to_ms and isinstance(price, Price):
                    quotes.append((prefix, self._name(version.what), price.next_rate, version.what))
        self._far(quotes)
        self._stale(newest_ms, newest)
        return self._faults.sorted()

    def _name(self, row: int) -> str:
        return self._codes.destinations[self._codes.destination_of[row]]

    def _by_origin(self, prefix: str, versions: Versions) -> list[Versions]:
        """Lines of a prefix follow each other for the same origin and length only."""
        rules = self._codes.index.rules(prefix)
        found: dict[str, list[Version[int]]] = {}
        for version in versions:
            found.setdefault(rules[version.what].label, []).append(version)
        return [tuple(alike) for alike in found.values()]

    def _gaps(self, prefix: str, versions: Versions) -> None:
        """Between two lines of a prefix, and after its last: what answers there is hardly ever meant."""
        for earlier, later in pairwise(versions):
            if earlier.to_ms < later.from_ms and later.from_ms > self._now_ms:
                self._gap(prefix, earlier.what, earlier.to_ms, later.from_ms)
        last = versions[-1]
        if last.to_ms != FOREVER_MS and not isinstance(self._source.price_of_row(last.what), RatingFault):
            shorter, _ = self._codes.index.find_for(prefix[:-1], last.to_ms)
            if shorter >= 0 and isinstance(self._source.price_of_row(shorter), Price):
                self._gap(prefix, last.what, last.to_ms, FOREVER_MS)

    def _gap(self, prefix: str, row: int, from_ms: int, to_ms: int) -> None:
        until = "" if to_ms == FOREVER_MS else f" until {moment_text(to_ms)}"
        shorter, _ = self._codes.index.find_for(prefix[:-1], from_ms)
        answers = (
            f"line {self._codes.line_of[shorter]} ({prefix[: self._codes.length_of[shorter]]})"
            if shorter >= 0
            else "nothing"
        )
        message = f"{prefix} ends {moment_text(from_ms)}; from then{until} {answers} answers"
        self._faults.add(self._codes.line_of[row], "to", message, "add a line from then on, or forbid the prefix")

    def _far(self, quotes: list[tuple[str, str, int, int]]) -> None:
        for row, rate, middle in far_prices(quotes):
            times = f"{middle // rate} times below" if rate < middle else f"{rate // middle} times above"
            message = f"{self._name(row)} is {times} the middle of its country's destinations"
            self._faults.add(self._codes.line_of[row], "rate", message, "look for a lost or added digit")

    def _stale(self, newest_ms: int, row: int) -> None:
        days = (self._now_ms - newest_ms) // _DAY_MS
        if newest_ms != EVER_MS and days > STALE_DAYS:
            message = f"no line begins or ends after {moment_text(newest_ms)}, {days} days ago"
            self._faults.add(self._codes.line_of[row], "from", message, "ask the supplier for the present list")
