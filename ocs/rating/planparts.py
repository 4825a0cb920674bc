"""What a plan is read with and read into: the files it refers to, its tariffs one by one, and the plan as a whole."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from balance.money import Currency
from ocs.rating.calendar import Calendar
from ocs.rating.dated import EVER_MS, FOREVER_MS
from ocs.rating.deckfile import Deck, DeckTemplate
from ocs.rating.exchange import Rates
from ocs.rating.origins import NO_ZONES, OriginRule
from ocs.rating.ratebook import PlanRates
from ocs.rating.tariffs import RateSource


class Entry(NamedTuple):
    """One version of one selector: the source of its prices, whom it is for, the place of its ``[[tariffs]]``."""

    source: RateSource
    at: int
    rule: OriginRule
    priority: int


NO_CALENDARS: Final[Mapping[str, Calendar]] = {}
NO_EXCHANGE: Final[Rates] = {}


class Library(NamedTuple):
    """What plans refer to. The two functions give None for a file that does not exist."""

    currencies: dict[str, Currency]
    deck: Callable[[str, DeckTemplate], Deck | None]
    destinations: Callable[[str], Deck | None]
    deck_names: tuple[str, ...]
    destination_names: tuple[str, ...]
    version: str
    zones: Mapping[str, OriginRule] = NO_ZONES
    calendars: Mapping[str, Calendar] = NO_CALENDARS
    exchange: Rates = NO_EXCHANGE


class ReadPlan(NamedTuple):
    """A plan as its file says it, without what it inherits; ``from_ms`` and ``to_ms``: when this edition of it holds."""

    name: str
    parent: str
    rates: PlanRates
    from_ms: int = EVER_MS
    to_ms: int = FOREVER_MS
