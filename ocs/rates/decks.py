"""Decks by themselves: one file read as a table, and which tariffs of which plans use it. Pure."""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Final, NamedTuple

from ocs.rating.build import DECKS, PLANS
from ocs.rating.currencies import CURRENCIES_FILE, parse_currencies
from ocs.rating.deckfile import Deck, DeckReader, DeckTemplate
from ocs.rating.faults import ConfigFault, FaultList
from ocs.rating.planfile import Library, PlanReader
from ocs.rating.prefixes import PrefixIndexBuilder
from ocs.rating.price import Price
from ocs.rating.tariffs import CodeTable, DeckRate, Labels
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
    """Read one deck file as a source of prices, with its faults."""
    faults = FaultList(file)
    deck = DeckReader(faults, template, now_ms).read(text)
    return DeckRate(Labels("", PurePosixPath(file).stem, ""), deck.codes, deck.prices, deck.price_of), faults.sorted()


def uses_of(files: Mapping[str, bytes], name: str) -> list[DeckUse]:
    """Find the tariffs that use a deck. Faults of other files are not ours to report here."""
    unheard = FaultList("")
    currencies = parse_currencies(files.get(CURRENCIES_FILE, b"").decode("utf-8-sig", "replace"), unheard)
    uses: list[DeckUse] = []
    for file in sorted(files):
        if PurePosixPath(file).parent.name != PLANS:
            continue
        templates: list[DeckTemplate] = []

        def asked(deck: str, template: DeckTemplate, templates: list[DeckTemplate] = templates) -> Deck | None:
            if deck == name and template not in templates:
                templates.append(template)
            return _empty(deck)

        library = Library(currencies, asked, lambda _: None, (), (), "")
        found = PlanReader(TomlFile(files[file].decode("utf-8-sig", "replace"), unheard), library).read()
        if found is not None:
            uses += [DeckUse(found.name, found.rates.currency, template) for template in templates]
    return uses


def _empty(file: str) -> Deck:
    index, _ = PrefixIndexBuilder(0).build()
    return Deck(CodeTable(file, index, (), array("I"), array("I"), array("B")), (), array("I"))
