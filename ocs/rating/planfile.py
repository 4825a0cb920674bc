"""Plan files into rate sources: what the format cannot say by itself is checked here."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from balance.money import Currency
from ocs.rating.dated import EVER_MS, FOREVER_MS, Clash, Version, settle
from ocs.rating.deckfile import Deck, DeckTemplate
from ocs.rating.faults import Problem, did_you_mean
from ocs.rating.origins import EVERYWHERE, NO_ZONES, OriginRule, is_contradiction, parse_rule
from ocs.rating.price import Price, Tariff
from ocs.rating.pricing import finished, interval, priced
from ocs.rating.ratebook import ANY_GROUP, NO_GROUP, PlanRates, ServiceRates, Timeline
from ocs.rating.rateplan import DestinationRate, Finish, Pricing, RatePlan, TariffEntry
from ocs.rating.tariffs import BARRED, NO_PRICE, DeckRate, FlatRate, Labels, OriginRate, RateSource
from ocs.rating.tomlfile import Path, TomlFile
from ocs.rating.units import PRICE_UNITS, UnitKind

_SOURCES: Final = ("rate", "free", "deck", "destinations")

_ANY_IDENTIFIER: Final = -1
_Selector = tuple[str, int, int]  # service, rating group, service identifier


class Entry(NamedTuple):
    """One version of one selector: the source of its prices, whom it is for, the place of its ``[[tariffs]]``."""

    source: RateSource
    at: int
    rule: OriginRule
    priority: int


class Library(NamedTuple):
    """What plans refer to. The two functions give None for a file that does not exist."""

    currencies: dict[str, Currency]
    deck: Callable[[str, DeckTemplate], Deck | None]
    destinations: Callable[[str], Deck | None]
    deck_names: tuple[str, ...]
    destination_names: tuple[str, ...]
    version: str
    zones: Mapping[str, OriginRule] = NO_ZONES


class PlanReader:
    """Reads one file."""

    def __init__(self, file: TomlFile, library: Library) -> None:
        self._file = file
        self._library = library
        self._versions: dict[_Selector, list[Version[Entry]]] = {}
        self._plan = ""
        self._finish = Finish()
        self._scale = 0

    def read(self) -> tuple[str, PlanRates] | None:
        """Give the plan's name and rates; None if not even its head is right."""
        if not self._file.is_sound:
            return None
        table = dict(self._file.table)
        entries = table.pop("tariffs", [])
        head = self._file.decode(table, RatePlan, ())
        if not isinstance(entries, list) or not entries:
            self._file.fault(("tariffs",), "the plan has no tariffs", "add [[tariffs]]")
            entries = []
        self._read_head(head)
        for at, raw in enumerate(entries):
            self._read_entry(at, raw)
        if head is None:
            return None
        return head.name, PlanRates(head.currency, self._services())

    def _read_head(self, head: RatePlan | None) -> None:
        if head is None:
            return
        if not head.name.strip():
            self._file.fault(("name",), "is empty", "accounts refer to the plan by it")
        self._plan = head.name
        self._finish = head
        currency = self._library.currencies.get(head.currency)
        if currency is None:
            cure = did_you_mean(head.currency, self._library.currencies)
            self._file.fault(("currency",), f"{head.currency!r} is not in currencies.toml", cure)
        self._scale = currency.scale if currency else 9
        plain = Price(UnitKind.EVENTS, setup=0, initial=1, next=1, initial_rate=0, next_rate=0, per=1)
        self._add_all((), finished(plain, head, self._scale)[1])

    def _read_entry(self, at: int, raw: Any) -> None:
        path: Path = ("tariffs", at)
        table = dict(raw) if isinstance(raw, dict) else {}
        rates = table.pop("rates", [])
        entry = self._file.decode(table, TariffEntry, path)
        if entry is None:
            return
        template = self._template(entry, path)
        source = self._source(entry, template, self._rates(rates, path), path)
        from_ms, to_ms, problems = interval(entry.from_, entry.to)
        self._add_all(path, problems)
        rule = EVERYWHERE
        try:
            rule = parse_rule(entry.origin, self._library.zones)
        except ValueError as error:
            self._file.fault((*path, "origin"), str(error), did_you_mean(entry.origin, self._library.zones))
        if source is not None:
            version = Version(from_ms, to_ms, Entry(source, at, rule, entry.priority))
            for selector in self._selectors(entry, path):
                self._versions.setdefault(selector, []).append(version)

    def _template(self, entry: TariffEntry, path: Path) -> Price:
        """Read the price of the tariff itself: whole, or what the lines of its deck inherit."""
        kind, units = PRICE_UNITS[entry.per]
        plain = Price(kind=kind, setup=0, initial=1, next=1, initial_rate=0, next_rate=0, per=units)
        return self._read_price(entry, finished(plain, self._finish, self._scale)[0], path)

    def _read_price(self, written: Pricing, template: Price, path: Path) -> Price:
        """Read what is written at one place; all else is as in the template."""
        price, problems = priced(written.cells(), template, self._scale)
        self._add_all(path, problems)
        price, problems = finished(price, written, self._scale)
        self._add_all(path, problems)
        return price

    def _rates(self, raw: Any, path: Path) -> list[tuple[int, DestinationRate]]:
        """Decode ``[[tariffs.rates]]``, each with its place."""
        if not isinstance(raw, list):
            self._file.fault((*path, "rates"), "has to be a list of tables", "write [[tariffs.rates]]")
            return []
        decoded = [(at, self._file.decode(row, DestinationRate, (*path, "rates", at))) for at, row in enumerate(raw)]
        return [(at, row) for at, row in decoded if row is not None]

    def _source(
        self, entry: TariffEntry, template: Price, rates: list[tuple[int, DestinationRate]], path: Path
    ) -> RateSource | None:
        named = [field for field in _SOURCES if getattr(entry, field)]
        if len(named) != 1:
            message = f"{' and '.join(named)} contradict each other" if named else "the tariff has no price"
            self._file.fault(path, message, f"write exactly one of {', '.join(_SOURCES)}")
            return None
        if rates and named != ["destinations"]:
            self._file.fault((*path, "rates"), "stand without destinations", 'add destinations = "..."')
        for fee in ("setup", "attempt_fee", "minimum_charge") if entry.free else ():
            if getattr(entry, fee):
                self._file.fault((*path, fee), "a free tariff has a fee", 'write rate = "0" with the fee, or no fee')
        labels = Labels(self._plan, entry.name, self._library.version)
        if entry.deck:
            return self._deck(entry.deck, template, labels, path)
        if entry.destinations:
            return self._zones(entry.destinations, template, labels, rates, path)
        source = f"{self._file.faults.file}:{self._file.line(path)}"
        return FlatRate(Tariff(template, labels.plan, labels.name, "", "", source, labels.version))

    def _deck(self, name: str, template: Price, labels: Labels, path: Path) -> RateSource | None:
        deck = self._library.deck(name, DeckTemplate(template, self._scale))
        if deck is None:
            cure = did_you_mean(name, self._library.deck_names)
            self._file.fault((*path, "deck"), f"there is no decks/{name}.csv", cure)
            return None
        return DeckRate(labels, deck.codes, deck.prices, deck.price_of)

    def _zones(
        self, name: str, template: Price, labels: Labels, rates: list[tuple[int, DestinationRate]], path: Path
    ) -> RateSource | None:
        """Price a destination list by name; a name without a rate is not sold."""
        deck = self._library.destinations(name)
        if deck is None:
            cure = did_you_mean(name, self._library.destination_names)
            self._file.fault((*path, "destinations"), f"there is no destinations/{name}.csv", cure)
            return None
        if not rates:
            self._file.fault(path, "no destination has a rate", "add [[tariffs.rates]]")
        codes = deck.codes
        place_of = {destination: place for place, destination in enumerate(codes.destinations)}
        prices: list[Price] = []
        price_of_place = [NO_PRICE] * len(place_of)
        for at, row in rates:
            here = (*path, "rates", at)
            place = place_of.get(row.destination)
            price = self._read_price(row, template, here)
            if place is None:
                message = f"{row.destination!r} is not in destinations/{name}.csv"
                self._file.fault((*here, "destination"), message, did_you_mean(row.destination, place_of))
                continue
            if price_of_place[place] != NO_PRICE:
                self._file.fault((*here, "destination"), f"{row.destination!r} has a rate above", "keep one of them")
            if not row.rate and not row.forbidden:
                self._file.fault(here, "the destination has no rate", 'write rate = "..." or forbidden = true')
            price_of_place[place] = BARRED if row.forbidden else len(prices)
            prices.append(price)
        return DeckRate(labels, codes, tuple(prices), array("I", map(price_of_place.__getitem__, codes.destination_of)))

    def _selectors(self, entry: TariffEntry, path: Path) -> list[_Selector]:
        """List what the tariff is for. No group and no identifier: all that nothing else is for."""
        for field in ("rating_groups", "service_identifiers"):
            numbers = getattr(entry, field)
            if any(not 0 <= number < 2**32 for number in numbers):
                self._file.fault((*path, field), "has a number out of range", "0 to 4294967295")
            if len(set(numbers)) != len(numbers):
                self._file.fault((*path, field), "names a number twice", "name it once")
        groups = sorted(set(entry.rating_groups)) or [ANY_GROUP]
        if entry.default and entry.rating_groups:
            groups.append(NO_GROUP)
        identifiers = sorted(set(entry.service_identifiers)) or [_ANY_IDENTIFIER]
        return [(entry.service, group, identifier) for group in groups for identifier in identifiers]

    def _services(self) -> dict[str, ServiceRates]:
        services: dict[str, ServiceRates] = {}
        for (service, group, identifier), versions in self._versions.items():
            timeline = self._timeline(versions, (service, group, identifier))
            rates = services.setdefault(service, ServiceRates({}, {}))
            if identifier != _ANY_IDENTIFIER:
                rates.by_service_id[group, identifier] = timeline
            elif group != ANY_GROUP:
                rates.by_group[group] = timeline
            else:
                services[service] = ServiceRates(rates.by_service_id, rates.by_group, timeline)
        return services

    def _timeline(self, versions: list[Version[Entry]], selector: _Selector) -> Timeline:
        """Settle the versions of each origin for themselves; a tariff without one is for all others."""
        timelines: dict[OriginRule, Timeline] = {}
        firsts: dict[OriginRule, Entry] = {}
        for version in versions:
            firsts.setdefault(version.what.rule, version.what)
        for rule, first in firsts.items():
            settled = settle((each for each in versions if each.what.rule == rule), lambda entry: entry.priority)
            for clash in settled.clashes:
                self._clash(clash, selector)
            for other in timelines:
                if is_contradiction(rule, other):
                    self._clash(Clash(firsts[other], first), selector)
            timelines[rule] = tuple(Version(v.from_ms, v.to_ms, v.what.source) for v in settled.versions)
        otherwise = timelines.pop(EVERYWHERE, ())
        if not timelines:
            return otherwise
        return (Version(EVER_MS, FOREVER_MS, OriginRate(tuple(timelines.items()), otherwise)),)

    def _clash(self, clash: Clash[Entry], selector: _Selector) -> None:
        service, group, identifier = selector
        what = {ANY_GROUP: "all rating groups", NO_GROUP: "requests without a rating group"}.get(
            group, f"rating group {group}"
        )
        also = "" if identifier == _ANY_IDENTIFIER else f" with service identifier {identifier}"
        other = self._file.line(("tariffs", clash.earlier.at))
        self._file.fault(
            ("tariffs", clash.later.at),
            f"a second tariff for {service}, {what}{also}, beside line {other} at the same time",
            "give them different rating_groups, origins, priorities, or from and to",
        )

    def _add_all(self, path: Path, problems: list[Problem]) -> None:
        for problem in problems:
            self._file.fault((*path, problem.field), problem.message, problem.cure)
