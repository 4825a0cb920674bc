"""Decks by themselves: one file read as a table, and which tariffs of which plans use it. Pure."""

from __future__ import annotations

import re
from array import array
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Final, NamedTuple

from ocs.rating.build import CALENDARS, DECKS, PLANS
from ocs.rating.calendar import Calendar, parse_calendar
from ocs.rating.currencies import CURRENCIES_FILE, parse_currencies
from ocs.rating.deckfile import Deck, DeckReader, DeckTemplate
from ocs.rating.exchange import EXCHANGE_FILE, parse_exchange
from ocs.rating.faults import ConfigFault, FaultList
from ocs.rating.numbers import ZONES_FILE, parse_zones
from ocs.rating.origins import ZONE, OriginRule, parse_fact
from ocs.rating.planfile import PlanReader
from ocs.rating.planparts import Library
from ocs.rating.prefixes import PrefixIndexBuilder
from ocs.rating.price import Price
from ocs.rating.tariffs import CodeTable, DeckRate, Labels
from ocs.rating.terms import terms_of
from ocs.rating.tomlfile import TomlFile
from ocs.rating.units import UnitKind

# A deck that no plan uses is read as most are sold: per minute, exactly as used.
PLAIN_PRICE: Final = Price(UnitKind.SECONDS, setup=0, initial=1, next=1, initial_rate=0, next_rate=0, per=60)
PLAIN_SCALE: Final = 9
PLAIN: Final = DeckTemplate(PLAIN_PRICE, PLAIN_SCALE)


class DeckUse(NamedTuple):
    """A plan that uses a deck, and what its tariff gives to the lines of the deck."""

    plan: str
    currency: str
    template: DeckTemplate


def deck_file(name: str) -> str:
    """Name the file of a deck, relative to the configuration directory."""
    return f"{DECKS}/{name}.csv"


def read_deck(file: str, text: str, template: DeckTemplate, now_ms: int) -> tuple[DeckRate, list[ConfigFault]]:
    """Read one deck file as a source of prices, with its faults.

    A deck by itself does not know which bands and zones there are: it may name any.
    """
    faults = FaultList(file)
    if not template.bands:
        template = template._replace(bands=_bands_named_in(text))
    deck = DeckReader(faults, template, now_ms, _AnyZone()).read(text)
    return DeckRate(Labels("", PurePosixPath(file).stem, ""), deck.codes, deck.prices, deck.price_of), faults.sorted()


class _AnyZone(dict[str, OriginRule]):
    """Takes every name for a zone's, each zone having nothing in common with the others."""

    def get(self, name: str, _: object = None) -> OriginRule:
        return OriginRule(ZONE + name, ((parse_fact(f"trunk:{ZONE}{name}"),),), is_by_zone=True)


def _bands_named_in(text: str) -> tuple[str, ...]:
    """Find the bands that the header has columns for, such as ``rate:peak``."""
    header = next((line for line in text.splitlines() if line and not line.startswith("#")), "")
    return tuple(dict.fromkeys(re.findall(r"[a-z_]+:([a-z0-9-]+)", header)))


def uses_of(files: Mapping[str, bytes], name: str) -> list[DeckUse]:
    """Find the tariffs that use a deck. Faults of other files are not ours to report here."""
    unheard = FaultList("")
    currencies = parse_currencies(_text(files, CURRENCIES_FILE), unheard)
    zones = parse_zones(_text(files, ZONES_FILE), unheard)
    exchange = parse_exchange(_text(files, EXCHANGE_FILE), unheard, currencies)
    calendars = _calendars(files)
    uses: list[DeckUse] = []
    for file in sorted(files):
        if PurePosixPath(file).parent.name != PLANS:
            continue
        templates: list[DeckTemplate] = []

        def asked(deck: str, template: DeckTemplate, templates: list[DeckTemplate] = templates) -> Deck | None:
            if deck == name and template not in templates:
                templates.append(template)
            return _empty(deck)

        library = Library(currencies, asked, lambda _: None, (), (), "", zones, calendars, exchange)
        found = PlanReader(TomlFile(_text(files, file), unheard), library).read()
        if found is not None:
            uses += [DeckUse(found.name, _currency(template, found.rates.currency), template) for template in templates]
    return uses


def _currency(template: DeckTemplate, of_plan: str) -> str:
    """Say what the deck's prices are in: the tariff may have another currency than its plan."""
    exchange = terms_of(template.price).exchange
    return of_plan if exchange is None else exchange.currency


def _text(files: Mapping[str, bytes], name: str) -> str:
    return files.get(name, b"").decode("utf-8-sig", "replace")


def _calendars(files: Mapping[str, bytes]) -> dict[str, Calendar]:
    found = {}
    for file in files:
        path = PurePosixPath(file)
        if path.parent.name == CALENDARS:
            calendar = parse_calendar(path.stem, TomlFile(_text(files, file), FaultList(file)))
            if calendar is not None:
                found[path.stem] = calendar
    return found


def _empty(file: str) -> Deck:
    index, _ = PrefixIndexBuilder(0).build()
    return Deck(CodeTable(file, index, (), array("I"), array("I"), array("B")), (), array("I"))
