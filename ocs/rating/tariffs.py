"""Where a tariff comes from: one price for everything, or a deck of prefixes. Tariffs of a deck are made when asked for."""

from __future__ import annotations

from array import array
from enum import StrEnum
from typing import Final, Protocol

import msgspec

from ocs.rating.dated import FOREVER_MS
from ocs.rating.prefixes import NOT_FOUND, NOT_IN_FORCE, PrefixIndex
from ocs.rating.price import Price, Tariff

NO_PRICE: Final = 0xFFFF_FFFF  # the destination has a name, but this tariff does not sell it
BARRED: Final = 0xFFFF_FFFE

# Tariffs kept once made: the prefixes in use are few, and what is beyond is made anew for half a microsecond.
_KEPT_MAX: Final = 50_000


class RatingFault(StrEnum):
    """Why a use has no price."""

    UNKNOWN_PLAN = "unknown_plan"
    NO_SERVICE = "no_service"
    NO_RATING_GROUP = "no_rating_group"
    NO_DESTINATION = "no_destination"
    DESTINATION_BARRED = "destination_barred"
    NOT_IN_FORCE = "not_in_force"


_NO_ROW: Final = {NOT_FOUND: RatingFault.NO_DESTINATION, NOT_IN_FORCE: RatingFault.NOT_IN_FORCE}


class RateSource(Protocol):
    """What one ``[[tariffs]]`` entry of a plan became."""

    def tariff(self, destination: str, at_ms: int) -> Tariff | RatingFault:
        """Give the tariff for a destination at an instant."""


class FlatRate:
    """One price, wherever it goes."""

    __slots__ = ("_tariff",)

    def __init__(self, tariff: Tariff) -> None:
        self._tariff = tariff

    def tariff(self, destination: str, at_ms: int) -> Tariff:  # noqa: ARG002 the same for each
        return self._tariff

    @property
    def only(self) -> Tariff:
        """The one tariff: for tools that show and compare."""
        return self._tariff


class CodeTable(msgspec.Struct, frozen=True):
    """A file of prefixes: the index, and by row number the destination's, the line and the prefix length."""

    file: str
    index: PrefixIndex
    destinations: tuple[str, ...]
    destination_of: array[int]
    line_of: array[int]
    length_of: array[int]


class Labels(msgspec.Struct, frozen=True):
    """What every tariff of one entry has in common."""

    plan: str
    name: str
    version: str


class DeckRate:
    """A price per prefix. ``price_of`` holds by row number a place in ``prices``, or NO_PRICE, or BARRED."""

    __slots__ = ("_codes", "_kept", "_labels", "_price_of", "_prices")

    def __init__(self, labels: Labels, codes: CodeTable, prices: tuple[Price, ...], price_of: array[int]) -> None:
        self._labels = labels
        self._codes = codes
        self._prices = prices
        self._price_of = price_of
        self._kept: dict[int, Tariff] = {}

    def tariff(self, destination: str, at_ms: int) -> Tariff | RatingFault:
        """Choose by the longest prefix in force."""
        row, until_ms = self._codes.index.find(destination, at_ms)
        tariff = self._kept.get(row)
        if tariff is None:
            made = self._make(row, destination)
            if isinstance(made, RatingFault):
                return made
            tariff = made
        if until_ms != FOREVER_MS:
            return msgspec.structs.replace(tariff, valid_until_ms=until_ms)
        return tariff

    @property
    def codes(self) -> CodeTable:
        """The prefixes: for tools that show and compare."""
        return self._codes

    @property
    def labels(self) -> Labels:
        """Whose rates these are."""
        return self._labels

    def price_of_row(self, row: int) -> Price | RatingFault:
        """Give the price of a row of ``codes``, or why it has none."""
        price = self._price_of[row]
        if price == BARRED:
            return RatingFault.DESTINATION_BARRED
        return RatingFault.NO_DESTINATION if price == NO_PRICE else self._prices[price]

    def _make(self, row: int, destination: str) -> Tariff | RatingFault:
        if row < 0:
            return _NO_ROW[row]
        price = self._price_of[row]
        if price == BARRED:
            return RatingFault.DESTINATION_BARRED
        if price == NO_PRICE:
            return RatingFault.NO_DESTINATION
        codes = self._codes
        tariff = Tariff(
            price=self._prices[price],
            plan=self._labels.plan,
            name=self._labels.name,
            destination=codes.destinations[codes.destination_of[row]],
            prefix=destination[: codes.length_of[row]],
            source=f"{codes.file}:{codes.line_of[row]}",
            version=self._labels.version,
        )
        if len(self._kept) < _KEPT_MAX:
            self._kept[row] = tariff
        return tariff
