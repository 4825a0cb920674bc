"""From the bytes of all rate files to a rate book, or to the list of everything that is wrong with them. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Final

import msgspec

from balance.money import Currency
from ocs.rating.calendar import Calendar, parse_calendar
from ocs.rating.currencies import CURRENCIES_FILE, parse_currencies
from ocs.rating.dated import EVER_MS, FOREVER_MS, Version
from ocs.rating.deckfile import Deck, DeckReader, DeckTemplate
from ocs.rating.editions import joined
from ocs.rating.exchange import EXCHANGE_FILE, parse_exchange
from ocs.rating.faults import ConfigFault, FaultList, did_you_mean
from ocs.rating.inherit import inherited
from ocs.rating.numbers import NUMBERS_FILE, ZONES_FILE, parse_numbers, parse_zones
from ocs.rating.origins import NO_ZONES, OriginRule
from ocs.rating.planfile import PlanReader
from ocs.rating.planparts import Library, ReadPlan
from ocs.rating.price import Price
from ocs.rating.ratebook import SHORT_VERSION_DIGITS, PlanRates, RateBook
from ocs.rating.tariffs import BARRED
from ocs.rating.tomlfile import TomlFile
from ocs.rating.units import UnitKind

PLANS: Final = "rateplans"
DECKS: Final = "decks"
DESTINATIONS: Final = "destinations"
CALENDARS: Final = "calendars"

# A deck that no plan uses is read by this, so that its faults are seen before it is used.
_UNUSED: Final = DeckTemplate(
    Price(UnitKind.SECONDS, setup=0, initial=1, next=1, initial_rate=0, next_rate=0, per=60), 9
)


class LoadResult(msgspec.Struct, frozen=True):
    """A book and no faults, or no book and all faults. ``warnings`` are lawful and probably not meant."""

    book: RateBook | None
    currencies: dict[str, Currency]
    faults: tuple[ConfigFault, ...] = ()
    warnings: tuple[ConfigFault, ...] = ()


def digest_of(files: Mapping[str, bytes]) -> str:
    """Hash names and contents, so that the same files give the same version wherever they are loaded."""
    digest = hashlib.sha256()
    for name in sorted(files):
        digest.update(f"{name}\n{len(files[name])}\n".encode())
        digest.update(files[name])
    return digest.hexdigest()


def build(files: Mapping[str, bytes], now_ms: int) -> LoadResult:
    """Build from file names (relative, with /) and their bytes."""
    return _Build(files, now_ms).run()


class _Build:
    def __init__(self, files: Mapping[str, bytes], now_ms: int) -> None:
        self._files = files
        self._now_ms = now_ms
        self._digest = digest_of(files)
        self._faults: dict[str, FaultList] = {}
        self._warnings: dict[str, FaultList] = {}
        self._zones: Mapping[str, OriginRule] = NO_ZONES
        self._calendars: Mapping[str, Calendar] = {}
        self._timed_services: set[str] = set()
        self._decks: dict[tuple[str, DeckTemplate | None], Deck] = {}

    def run(self) -> LoadResult:
        currencies = self._currencies()
        numbers = parse_numbers(self._text(NUMBERS_FILE), self._faults_of(NUMBERS_FILE))
        self._zones = parse_zones(self._text(ZONES_FILE), self._faults_of(ZONES_FILE))
        self._calendars = self._read_calendars()
        plans = self._plans(currencies)
        self._check_unused()
        faults = _all(self._faults)
        book = None if faults else RateBook(plans, self._digest, numbers, self._calendars, self._timed_services)
        return LoadResult(book, currencies, faults, _all(self._warnings))

    def _faults_of(self, file: str) -> FaultList:
        return self._faults.setdefault(file, FaultList(file))

    def _text(self, file: str) -> str:
        try:
            return self._files.get(file, b"").decode("utf-8-sig")
        except UnicodeDecodeError as error:
            line = self._files[file].count(b"\n", 0, error.start) + 1
            self._faults_of(file).add(line, "file", "is not UTF-8 text", "save it as UTF-8")
            return ""

    def _names(self, folder: str, suffix: str) -> list[str]:
        paths = [PurePosixPath(name) for name in sorted(self._files)]
        return [path.stem for path in paths if path.parent.name == folder and path.suffix == suffix]

    def _currencies(self) -> dict[str, Currency]:
        faults = self._faults_of(CURRENCIES_FILE)
        if CURRENCIES_FILE not in self._files:
            faults.add(0, "file", "does not exist", "copy the sample configuration's")
            return {}
        return parse_currencies(self._text(CURRENCIES_FILE), faults)

    def _read_calendars(self) -> dict[str, Calendar]:
        found: dict[str, Calendar] = {}
        for name in self._names(CALENDARS, ".toml"):
            file = f"{CALENDARS}/{name}.toml"
            calendar = parse_calendar(name, TomlFile(self._text(file), self._faults_of(file)))
            if calendar is not None:
                found[name] = calendar
        return found

    def _plans(self, currencies: dict[str, Currency]) -> dict[str, PlanRates]:
        library = Library(
            currencies,
            self._deck,
            lambda name: self._read(f"{DESTINATIONS}/{name}.csv", None),
            tuple(self._names(DECKS, ".csv")),
            tuple(self._names(DESTINATIONS, ".csv")),
            self._digest[:SHORT_VERSION_DIGITS],
            self._zones,
            self._calendars,
            parse_exchange(self._text(EXCHANGE_FILE), self._faults_of(EXCHANGE_FILE), currencies),
        )
        names = self._names(PLANS, ".toml")
        if not names:
            self._faults_of(PLANS).add(0, "file", "there is no rate plan", f"add {PLANS}/<name>.toml")
        editions: dict[str, list[tuple[ReadPlan, TomlFile]]] = {}
        for name in names:
            file = f"{PLANS}/{name}.toml"
            toml = TomlFile(self._text(file), self._faults_of(file))
            reader = PlanReader(toml, library)
            found = reader.read()
            self._warnings[file] = reader.warnings
            self._timed_services |= reader.timed_services
            if found is not None:
                editions.setdefault(found.name, []).append((found, toml))
        plans = {name: self._joined(found) for name, found in editions.items()}
        return {name: self._resolved(name, plans) for name in plans}

    def _joined(self, editions: list[tuple[ReadPlan, TomlFile]]) -> tuple[ReadPlan, TomlFile]:
        """Let the editions of a plan follow each other in time."""
        editions.sort(key=lambda each: each[0].from_ms)
        spans: list[Version[PlanRates]] = []
        for at, (plan, toml) in enumerate(editions):
            first, other = editions[0], editions[at - 1][1].faults.file
            to_ms = editions[at + 1][0].from_ms if at + 1 < len(editions) else FOREVER_MS
            if at and plan.from_ms == editions[at - 1][0].from_ms:
                cure = 'give each plan its own name, or each edition of it a "from" of its own'
                toml.fault(("name",), f"{plan.name!r} is that of {other}", cure)
            for field, ours, theirs in (
                ("parent", plan.parent, first[0].parent),
                ("currency", plan.rates.currency, first[0].rates.currency),
            ):
                if ours != theirs:
                    message = f"is {theirs or 'none'!r} in {first[1].faults.file}, an edition of the same plan"
                    toml.fault((field,), message, "let it be the same in all editions")
            spans.append(Version(plan.from_ms, min(plan.to_ms, to_ms), plan.rates))
        plan, toml = editions[0]
        is_plain = len(spans) == 1 and (plan.from_ms, plan.to_ms) == (EVER_MS, FOREVER_MS)
        return (plan if is_plain else plan._replace(rates=joined(spans))), toml

    def _resolved(self, name: str, plans: Mapping[str, tuple[ReadPlan, TomlFile]]) -> PlanRates:
        """Lay a plan over its parent, that one over its own, and so on."""
        line = [name]
        while (parent := plans[line[-1]][0].parent) in plans and parent not in line:
            line.append(parent)
        plan, toml = plans[line[-1]]
        if plan.parent and line[-1] == name and plan.parent not in plans:
            cure = did_you_mean(plan.parent, plans)
            toml.fault(("parent",), f"there is no plan {plan.parent!r}", cure)
        elif plan.parent in line:
            plans[name][1].fault(("parent",), f"leads back to the plan itself: {', '.join(line)}", "end the chain")
        rates = plan.rates
        for heir in reversed(line[:-1]):
            own, file = plans[heir]
            if own.rates.currency != rates.currency:
                message = f"has prices in {rates.currency}, this plan in {own.rates.currency}"
                file.fault(("parent",), message, "a plan and its parent have one currency")
            rates = inherited(own.rates, rates)
        for at, service in enumerate(plans[name][0].rates.final_units):
            if service not in rates.services:
                cure = did_you_mean(service, rates.services)
                plans[name][1].fault(("final_units", at, "service"), f"the plan does not sell {service!r}", cure)
        return rates

    def _deck(self, name: str, template: DeckTemplate) -> Deck | None:
        return self._read(f"{DECKS}/{name}.csv", template)

    def _read(self, file: str, template: DeckTemplate | None) -> Deck | None:
        """Read a file once for each template: two tariffs with the same defaults share its table."""
        if file not in self._files:
            return None
        key = (file, template)
        if key not in self._decks:
            deck = DeckReader(self._faults_of(file), template, self._now_ms, self._zones).read(self._text(file))
            self._decks[key] = deck
            self._warn_of_future(deck)
            self._warn_of_cuts(deck)
        return self._decks[key]

    def _warn_of_future(self, deck: Deck) -> None:
        """Warn where a prefix that starts later falls back to a shorter one that is cheaper: no carrier means that."""
        codes = deck.codes
        warnings = self._warnings.setdefault(codes.file, FaultList(codes.file))
        for prefix, row in codes.index.future_prefixes(self._now_ms) if deck.prices else ():
            shorter, _ = codes.index.find_for(prefix[:-1], self._now_ms)
            if shorter < 0 or BARRED in {deck.price_of[row], deck.price_of[shorter]}:
                continue
            if deck.prices[deck.price_of[shorter]].next_rate < deck.prices[deck.price_of[row]].next_rate:
                message = f"{prefix} is not in force yet; until then the cheaper line {codes.line_of[shorter]} applies"
                warnings.add(codes.line_of[row], "from", message, "add a line for now, or forbid the prefix until then")

    def _warn_of_cuts(self, deck: Deck) -> None:
        """Warn where a written end lies after the next start: the newer line is taken, which may not be meant."""
        codes = deck.codes
        warnings = self._warnings.setdefault(codes.file, FaultList(codes.file))
        for cut in deck.cuts:
            message = f"is still in force when line {codes.line_of[cut.later]} begins, which then goes first"
            warnings.add(codes.line_of[cut.earlier], "to", message, "end it where the other begins")

    def _check_unused(self) -> None:
        used = {file for file, _ in self._decks}
        for folder in (DECKS, DESTINATIONS):
            for name in self._names(folder, ".csv"):
                file = f"{folder}/{name}.csv"
                if file not in used:
                    self._read(file, _UNUSED if folder == DECKS else None)
                    warnings = self._warnings.setdefault(file, FaultList(file))
                    warnings.add(0, "file", "no plan uses it", "name it in a tariff, or remove it")


def _all(lists: Mapping[str, FaultList]) -> tuple[ConfigFault, ...]:
    return tuple(fault for file in sorted(lists) for fault in lists[file].sorted())
