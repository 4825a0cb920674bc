"""Plan files into rate sources: what the format cannot say by itself is checked here."""

from __future__ import annotations

from array import array
from itertools import pairwise
from typing import Any, Final, Literal, NamedTuple

import msgspec

from ocs.rating.bundlefile import BundleReader
from ocs.rating.dated import EVER_MS, FOREVER_MS, Clash, Version, settle
from ocs.rating.deckfile import DeckTemplate
from ocs.rating.exchange import EXCHANGE_FILE
from ocs.rating.faults import FaultList, Problem, did_you_mean
from ocs.rating.finals import VALIDITY_S_MIN, FinalUnits, faults_of
from ocs.rating.origins import EVERYWHERE, OriginRule, is_contradiction, parse_rule
from ocs.rating.periods import is_zone
from ocs.rating.planparts import Entry, Library, ReadPlan
from ocs.rating.price import Price, Tariff
from ocs.rating.pricing import (
    clocked,
    counted_over,
    finished,
    interval,
    over_period,
    priced,
    spilling,
    tiered,
    without_statuses,
)
from ocs.rating.ratebook import ANY_GROUP, NO_GROUP, PlanRates, ServiceRates, Timeline
from ocs.rating.rateplan import (
    BandRate,
    DestinationRate,
    Finish,
    Pricing,
    RatePlan,
    TariffEntry,
    TierEntry,
    TieringMode,
    TimeRate,
)
from ocs.rating.tariffs import BARRED, NO_PRICE, DeckRate, FlatRate, Labels, LayeredRate, OriginRate, RateSource
from ocs.rating.terms import Band, Exchange, Period, Terms, price_of_time, terms_of, with_terms
from ocs.rating.timetable import Timetable, banded
from ocs.rating.tomlfile import Path, TomlFile
from ocs.rating.units import PRICE_UNITS, UnitKind

_SOURCES: Final = ("rate", "free", "deck", "destinations", "tiers")

# What a session of data or events that is split at a switch cannot have: its parts do not know of each other.
_WHOLE_SESSION: Final = (
    "attempt_fee", "minimum_charge", "maximum_charge", "free_up_to", "deducted", "free_units", "added", "minimum",
)  # fmt: skip

_ANY_IDENTIFIER: Final = -1
_Selector = tuple[str, int, int]  # service, rating group, service identifier


class _Terms(NamedTuple):
    """What a tariff gives to its prices: the parts that they inherit, when their bands hold, what their tiers count."""

    template: Price
    tiering: TieringMode | Literal[""]
    timetable: Timetable | None
    period: Period | None


class _Rate(NamedTuple):
    """One ``[[tariffs.rates]]``: its place, what it says, and its bands and tiers as they are written."""

    at: int
    row: DestinationRate
    bands: Any
    tiers: Any


class PlanReader:
    """Reads one file. ``warnings`` are lawful and probably not meant."""

    def __init__(self, file: TomlFile, library: Library) -> None:
        self.warnings = FaultList(file.faults.file)
        self._file = file
        self._has_parent = False
        self.timed_services: set[str] = set()
        self._library = library
        self._versions: dict[_Selector, list[Version[Entry]]] = {}
        self._plan = ""
        self._finish = Finish()
        self._currency = ""
        self._zone = ""
        self._plan_scale = 0
        self._scale = 0  # of the tariff that is read: its prices may be in another currency

    def read(self) -> ReadPlan | None:
        """Give the plan's name, its parent's, and its own rates; None if not even its head is right."""
        if not self._file.is_sound:
            return None
        table = dict(self._file.table)
        entries, bundles, packages = (table.pop(name, []) for name in ("tariffs", "bundles", "packages"))
        head = self._file.decode(table, RatePlan, ())
        if not isinstance(entries, list) or not (entries or (head is not None and head.parent)):
            self._file.fault(("tariffs",), "the plan has no tariffs", "add [[tariffs]]")
            entries = []
        self._has_parent = head is not None and bool(head.parent)
        self._read_head(head)
        for at, raw in enumerate(entries):
            self._read_entry(at, raw)
        if head is None:
            return None
        from_ms, to_ms, problems = interval(head.from_, head.to)
        self._add_all((), problems)
        authorization = () if head.authorization is None else (Version(from_ms, to_ms, head.authorization),)
        units = BundleReader(self._file, self._library.zones, self._library.calendars, self._plan_scale, self._zone)
        rates = PlanRates(
            head.currency,
            self._services(),
            authorization,
            self._finals(head),
            (Version(EVER_MS, FOREVER_MS, units.read(bundles, packages)),),
            self._zone,
        )
        return ReadPlan(head.name, head.parent, rates, from_ms, to_ms)

    def _read_head(self, head: RatePlan | None) -> None:
        if head is None:
            return
        if not head.name.strip():
            self._file.fault(("name",), "is empty", "accounts refer to the plan by it")
        self._plan = head.name
        limit = head.authorization
        if limit is not None and limit.share < 1:
            self._file.fault(("authorization", "share"), f"is {limit.share}", "4 for a quarter, 1 for all")
        if limit is not None and limit.cap_s < 0:
            self._file.fault(("authorization", "cap_s"), f"is {limit.cap_s}", "seconds, 0 for all")
        self._finish = head
        currency = self._library.currencies.get(head.currency)
        if currency is None:
            cure = did_you_mean(head.currency, self._library.currencies)
            self._file.fault(("currency",), f"{head.currency!r} is not in currencies.toml", cure)
        self._currency = head.currency
        self._zone = head.time_zone
        if head.time_zone and not is_zone(head.time_zone):
            self._file.fault(("time_zone",), f"{head.time_zone!r} is no time zone", 'a name such as "Europe/Berlin"')
        self._plan_scale = currency.scale if currency else 9
        plain = Price(UnitKind.EVENTS, setup=0, initial=1, next=1, initial_rate=0, next_rate=0, per=1)
        self._add_all((), finished(plain, head, self._plan_scale)[1])

    def _finals(self, head: RatePlan) -> dict[str, FinalUnits]:
        found: dict[str, FinalUnits] = {}
        for at, final in enumerate(head.final_units):
            path: Path = ("final_units", at)
            for field, message, cure in faults_of(final):
                self._file.fault((*path, field), message, cure)
            if final.validity_s < VALIDITY_S_MIN:
                self._file.fault((*path, "validity_s"), f"is {final.validity_s}", f"choose {VALIDITY_S_MIN} or more")
            if final.service in found:
                self._file.fault((*path, "service"), f"{final.service} stands here twice", "remove one")
            found[final.service] = final
        return found

    def _read_entry(self, at: int, raw: Any) -> None:
        path: Path = ("tariffs", at)
        table = dict(raw) if isinstance(raw, dict) else {}
        rates, bands, tiers = (table.pop(name, []) for name in ("rates", "bands", "tiers"))
        raw_time = table.pop("time", None)
        entry = self._file.decode(table, TariffEntry, path)
        if entry is None:
            return
        exchange = self._exchange(entry, path)
        timetable = self._timetable(entry, exchange, path)
        template = self._with_bands(self._template(entry, exchange, path), bands, timetable, path)
        written = self._rates(rates, path)
        period, problems = counted_over(entry, self._zone, bool(tiers) or any(rate.tiers for rate in written))
        self._add_all(path, problems)
        template, problems = clocked(template, entry)
        self._add_all(path, problems)
        template = self._with_tiers(template, tiers, entry, period, path)
        template = self._with_time(spilling(template, entry.spill), raw_time, (*path, "time"))
        if price_of_time(template) is not None:
            self.timed_services.add(entry.service)
        source = self._source(entry, _Terms(template, entry.tiering, timetable, period), written, path)
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

    def _template(self, entry: TariffEntry, exchange: tuple[Version[Exchange], ...], path: Path) -> Price:
        """Read the price of the tariff itself: whole, or what the lines of its deck inherit."""
        kind, units = PRICE_UNITS[entry.per]
        plain = Price(kind=kind, setup=0, initial=1, next=1, initial_rate=0, next_rate=0, per=units)
        if entry.unit is not None:
            if kind is not UnitKind.EVENTS or not all(entry.unit):
                cure = 'per = "event" and unit = ["sticker", "stickers"]'
                self._file.fault((*path, "unit"), "names events, one and several", cure)
            plain = with_terms(plain, Terms(unit=entry.unit))
        if exchange:  # the newest, so that the price says its currency; a session gets the one of its day
            plain = with_terms(plain, msgspec.structs.replace(terms_of(plain), exchange=exchange[-1].what))
        return self._read_price(entry, finished(plain, self._finish, self._plan_scale)[0], path)

    def _exchange(self, entry: TariffEntry, path: Path) -> tuple[Version[Exchange], ...]:
        """Find the exchange rates of a tariff whose prices are in another currency, and read them at its scale."""
        self._scale = self._plan_scale
        if entry.currency in {"", self._currency}:
            return ()
        currency = self._library.currencies.get(entry.currency)
        if currency is None:
            cure = did_you_mean(entry.currency, self._library.currencies)
            self._file.fault((*path, "currency"), f"{entry.currency!r} is not in currencies.toml", cure)
            return ()
        self._scale = currency.scale
        rates = self._library.exchange.get((entry.currency, self._currency), ())
        if not rates:
            message = f"there is no rate from {entry.currency} to {self._currency}"
            self._file.fault((*path, "currency"), message, f"add it to {EXCHANGE_FILE}")
        return rates

    def _timetable(self, entry: TariffEntry, exchange: tuple[Version[Exchange], ...], path: Path) -> Timetable | None:
        if not entry.calendar:
            if entry.price_at:
                self._file.fault((*path, "price_at"), "stands without a calendar", 'add calendar = "..."')
            return Timetable(None, is_split=False, exchange=exchange) if exchange else None
        calendar = self._library.calendars.get(entry.calendar)
        if calendar is None:
            cure = did_you_mean(entry.calendar, self._library.calendars)
            self._file.fault((*path, "calendar"), f"there is no calendars/{entry.calendar}.toml", cure)
            return None
        is_split = entry.price_at == "split"
        if is_split and PRICE_UNITS[entry.per][0] is not UnitKind.SECONDS:
            for field in _WHOLE_SESSION:
                if getattr(entry, field):
                    message = "is for a whole session, which is split at the switch"
                    self._file.fault((*path, field), message, 'leave it out, or write price_at = "start"')
        return Timetable(calendar, is_split, exchange)

    def _with_bands(self, price: Price, raw: Any, timetable: Timetable | None, path: Path) -> Price:
        """Read ``[[tariffs.bands]]``, or those of a destination: what differs in a band of the calendar."""
        if not isinstance(raw, list):
            self._file.fault((*path, "bands"), "has to be a list of tables", "write [[tariffs.bands]]")
            return price
        bands: list[Band] = []
        for at, each in enumerate(raw):
            here: Path = (*path, "bands", at)
            row = self._file.decode(each, BandRate, here)
            if row is None:
                continue
            known = timetable.calendar.bands if timetable and timetable.calendar else ()
            if row.band not in known:
                cure = did_you_mean(row.band, known) if known else 'add calendar = "..." to the tariff'
                self._file.fault((*here, "band"), f"{row.band!r} is no band of the tariff's calendar", cure)
            if any(band.name == row.band for band in bands):
                self._file.fault((*here, "band"), f"{row.band!r} has a price above", "keep one of them")
            other, problems = priced(row.cells(), price, self._scale)
            self._add_all(here, problems)
            bands.append(Band(row.band, other))
        return banded(price, tuple(bands)) if bands else price

    def _with_time(self, price: Price, raw: Any, path: Path) -> Price:
        """Read ``[tariffs.time]``: data that costs by volume and by time at once."""
        entry = None if raw is None else self._file.decode(raw, TimeRate, path)
        if entry is None:
            return price
        if price.kind is not UnitKind.OCTETS:
            self._file.fault(path, "stands beside a price that is not per volume", 'write per = "MB", or no time')
        plain = Price(UnitKind.SECONDS, setup=0, initial=1, next=1, initial_rate=0, next_rate=0, per=0)
        plain = msgspec.structs.replace(plain, per=PRICE_UNITS[entry.per][1])
        time, problems = priced(entry.cells(), plain, self._scale)
        self._add_all(path, problems)
        return with_terms(price, msgspec.structs.replace(terms_of(price), time=time))

    def _with_tiers(
        self, price: Price, raw: Any, around: TariffEntry | DestinationRate, period: Period | None, path: Path
    ) -> Price:
        """Read ``[[tariffs.tiers]]``, or those of a destination, which have a counter of their own."""
        if not isinstance(raw, list):
            self._file.fault((*path, "tiers"), "has to be a list of tables", "write [[tariffs.tiers]]")
            return price
        decoded = [self._file.decode(each, TierEntry, (*path, "tiers", at)) for at, each in enumerate(raw)]
        rows = [row for row in decoded if row is not None]
        if len(rows) < len(raw):
            return price
        if rows and (around.initial_rate or terms_of(price).bands):
            other = "initial_rate" if around.initial_rate else "bands"
            self._file.fault(
                (*path, "tiers"), f"tiers and {other} are two prices for the same units", "keep one of them"
            )
        if not rows and isinstance(around, TariffEntry) and around.deck:
            return price  # the tiers are columns of the deck
        price, problems = tiered(rows, around.tiering, price, self._scale)
        if rows and not problems:
            price, problems = (price, without_statuses(price)) if period is None else over_period(price, period)
        for at, problem in problems:
            self._add_all(path if at < 0 else (*path, "tiers", at), [problem])
        return price

    def _read_price(self, written: Pricing, template: Price, path: Path) -> Price:
        """Read what is written at one place; all else is as in the template."""
        price, problems = priced(written.cells(), template, self._scale)
        self._add_all(path, problems)
        price, problems = finished(price, written, self._plan_scale)
        self._add_all(path, problems)
        return price

    def _rates(self, raw: Any, path: Path) -> list[_Rate]:
        """Decode ``[[tariffs.rates]]``, each with its place and its bands."""
        if not isinstance(raw, list):
            self._file.fault((*path, "rates"), "has to be a list of tables", "write [[tariffs.rates]]")
            return []
        found: list[_Rate] = []
        for at, each in enumerate(raw):
            table = dict(each) if isinstance(each, dict) else each
            bands, tiers = (table.pop(name, []) if isinstance(table, dict) else [] for name in ("bands", "tiers"))
            row = self._file.decode(table, DestinationRate, (*path, "rates", at))
            if row is not None:
                found.append(_Rate(at, row, bands, tiers))
        return found

    def _source(self, entry: TariffEntry, around: _Terms, rates: list[_Rate], path: Path) -> RateSource | None:
        has_tiers = bool(terms_of(around.template).tiers)
        named = [field for field in _SOURCES if (has_tiers if field == "tiers" else getattr(entry, field))]
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
        if (entry.deck or entry.destinations) and terms_of(around.template).bands:
            cure = "write columns such as rate:off-peak" if entry.deck else "write [[tariffs.rates.bands]]"
            self._file.fault((*path, "bands"), "the prices stand elsewhere, and so do those of the bands", cure)
        if entry.deck:
            return self._decks((entry.deck,) if isinstance(entry.deck, str) else entry.deck, around, labels, path)
        if entry.destinations:
            return self._zones(entry.destinations, around, labels, rates, path)
        source = f"{self._file.faults.file}:{self._file.line(path)}"
        tariff = Tariff(around.template, labels.plan, labels.name, "", "", source, labels.version)
        return FlatRate(tariff, around.timetable)

    def _decks(self, names: tuple[str, ...], around: _Terms, labels: Labels, path: Path) -> RateSource | None:
        """Lay decks over each other, the first one on top."""
        if len(set(names)) < len(names):
            self._file.fault((*path, "deck"), "names a deck twice", "name it once")
        found = [self._deck(name, around, labels, path) for name in names]
        layered: RateSource | None = None
        for deck in reversed(found):
            if deck is None:
                return None
            layered = deck if layered is None else LayeredRate(deck, (Version(EVER_MS, FOREVER_MS, layered),))
        return layered

    def _deck(self, name: str, around: _Terms, labels: Labels, path: Path) -> RateSource | None:
        timetable = around.timetable
        bands = timetable.calendar.bands if timetable and timetable.calendar else ()
        deck = self._library.deck(
            name, DeckTemplate(around.template, self._scale, bands, around.tiering, around.period)
        )
        if deck is None:
            cure = did_you_mean(name, self._library.deck_names)
            self._file.fault((*path, "deck"), f"there is no decks/{name}.csv", cure)
            return None
        is_tiered = any(terms_of(price).tiers for price in deck.prices)
        for field, is_written in (("tiering", around.tiering), ("tiers_over", around.period)):
            if is_written and deck.prices and not is_tiered:
                self._file.fault((*path, field), "the deck has no tiers", 'add columns such as "rate>60" to it')
        return DeckRate(labels, deck.codes, deck.prices, deck.price_of, around.timetable)

    def _zones(self, name: str, around: _Terms, labels: Labels, rates: list[_Rate], path: Path) -> RateSource | None:
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
        for at, row, bands, tiers in rates:
            here = (*path, "rates", at)
            place = place_of.get(row.destination)
            price = self._with_bands(self._read_price(row, around.template, here), bands, around.timetable, here)
            period = around.period
            if period is not None:
                period = msgspec.structs.replace(period, counter=f"{period.counter}: {row.destination}")
            price = self._with_tiers(price, tiers, row, period, here)
            if place is None:
                message = f"{row.destination!r} is not in destinations/{name}.csv"
                self._file.fault((*here, "destination"), message, did_you_mean(row.destination, place_of))
                continue
            if price_of_place[place] != NO_PRICE:
                self._file.fault((*here, "destination"), f"{row.destination!r} has a rate above", "keep one of them")
            if not row.rate and not row.forbidden and not tiers:
                self._file.fault(here, "the destination has no rate", 'write rate = "..." or forbidden = true')
            price_of_place[place] = BARRED if row.forbidden else len(prices)
            prices.append(price)
        price_of = array("I", map(price_of_place.__getitem__, codes.destination_of))
        return DeckRate(labels, codes, tuple(prices), price_of, around.timetable)

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
            for cut in settled.cuts:
                line = self._file.line(("tariffs", cut.later.at))
                message = f"is still in force when the tariff of line {line} begins, which then goes first"
                self._warn(cut.earlier, "to", message, "end it where the other begins")
            if rule is EVERYWHERE and not self._has_parent:
                self._warn_of_gaps(settled.versions)
            for other in timelines:
                if is_contradiction(rule, other):
                    self._clash(Clash(firsts[other], first), selector)
            timelines[rule] = tuple(Version(v.from_ms, v.to_ms, v.what.source) for v in settled.versions)
        otherwise = timelines.pop(EVERYWHERE, ())
        if not timelines:
            return otherwise
        return (Version(EVER_MS, FOREVER_MS, OriginRate(tuple(timelines.items()), otherwise)),)

    def _warn_of_gaps(self, versions: tuple[Version[Entry], ...]) -> None:
        """Warn where a tariff ends and no other begins: then the service is refused."""
        for earlier, later in pairwise((*versions, None)):
            assert earlier is not None, "only the last is none"
            if earlier.to_ms < (FOREVER_MS if later is None else later.from_ms):
                until = (
                    "for ever" if later is None else f"until line {self._file.line(('tariffs', later.what.at))} begins"
                )
                message = f"when it ends, nothing has a price for this {until}"
                self._warn(earlier.what, "to", message, "let the next tariff begin where this one ends")

    def _warn(self, entry: Entry, field: str, message: str, cure: str) -> None:
        self.warnings.add(self._file.line(("tariffs", entry.at)), f"tariffs.{field}", message, cure)

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
