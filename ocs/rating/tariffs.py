"""Where a tariff comes from: one price for everything, or a deck of prefixes. Tariffs of a deck are made when asked for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import StrEnum
from typing import Final, NamedTuple, Protocol, TypeAlias

import msgspec

from ocs.rating.dated import EVER_MS, FOREVER_MS, Version
from ocs.rating.origins import EVERYWHERE, NOWHERE, Origin, OriginRule
from ocs.rating.prefixes import NOT_FOUND, NOT_IN_FORCE, PrefixIndex
from ocs.rating.price import Price, Tariff
from ocs.rating.timetable import Timetable

NO_PRICE: Final = 0xFFFF_FFFF  # the destination has a name, but this tariff does not sell it
BARRED: Final = 0xFFFF_FFFE

# Tariffs kept once made: the prefixes in use are few, and what is beyond is made anew for half a microsecond.
_KEPT_MAX: Final = 50_000
_LET_GO_AT_ONCE: Final = 500


class RatingFault(StrEnum):
    """Why a use has no price."""

    UNKNOWN_PLAN = "unknown_plan"
    NO_SERVICE = "no_service"
    NO_RATING_GROUP = "no_rating_group"
    NO_DESTINATION = "no_destination"
    DESTINATION_BARRED = "destination_barred"
    NOT_IN_FORCE = "not_in_force"


_NO_ROW: Final = {NOT_FOUND: RatingFault.NO_DESTINATION, NOT_IN_FORCE: RatingFault.NOT_IN_FORCE}


class Offer(NamedTuple):
    """What one layer says: by a prefix of which length (-1: by none), and until when it says so."""

    length: int
    answer: Tariff | RatingFault
    until_ms: int


class RateSource(Protocol):
    """What one ``[[tariffs]]`` entry of a plan became."""

    @property
    def name(self) -> str:
        """The name of the entry."""

    def tariff(self, destination: str, at_ms: int, origin: Origin = NOWHERE) -> Tariff | RatingFault:
        """Give the tariff for a destination at an instant, for a use that comes from somewhere."""

    def offer(self, destination: str, at_ms: int, origin: Origin, length: int | None = None) -> Offer:
        """The same, to be compared with what lies above or below.

        With a ``length`` it is for numbers that begin so and have so many digits: for comparisons and checks.
        """

    def layers(self, at_ms: int) -> list[FlatRate | DeckRate]:
        """Everything that may have an answer from an instant on, what goes first at equal length before the rest."""

    def rules(self) -> Iterator[OriginRule]:
        """List the rules of origin by which it chooses."""

    def let_go(self) -> Iterator[None]:
        """Forget, a little at each step, what was made when it was asked for."""

    def as_at(self, at_ms: int) -> RateSource:
        """Give what is in force at one instant as if it always were; bands go by the time of the use all the same."""


Timeline: TypeAlias = "tuple[Version[RateSource], ...]"


def timeline_as_at(timeline: Timeline, at_ms: int) -> Timeline:
    """Keep of a timeline what is in force at one instant, for ever."""
    in_force = (version.what for version in timeline if version.from_ms <= at_ms < version.to_ms)
    return tuple(Version(EVER_MS, FOREVER_MS, source.as_at(at_ms)) for source in in_force)


class FlatRate:
    """One price, wherever it goes."""

    __slots__ = ("_tariff", "_timetable")

    def __init__(self, tariff: Tariff, timetable: Timetable | None = None) -> None:
        self._tariff = tariff
        self._timetable = timetable

    def tariff(self, destination: str, at_ms: int, origin: Origin = NOWHERE) -> Tariff:  # noqa: ARG002 - one for all
        """Give the one tariff, in the band of the instant."""
        return self._tariff if self._timetable is None else self._timetable.pinned(self._tariff, at_ms)

    @property
    def name(self) -> str:
        """The name of the entry."""
        return self._tariff.name

    def offer(
        self,
        destination: str,
        at_ms: int,
        origin: Origin,
        length: int | None = None,  # noqa: ARG002 - one for all
    ) -> Offer:
        """One price is for every destination, and for none in particular."""
        return Offer(0, self.tariff(destination, at_ms, origin), FOREVER_MS)

    def layers(self, at_ms: int) -> list[FlatRate | DeckRate]:  # noqa: ARG002 - one for all times
        """Itself."""
        return [self]

    def rules(self) -> Iterator[OriginRule]:
        """There is nothing to choose."""
        yield from ()

    def let_go(self) -> Iterator[None]:
        """Forget nothing: there is one tariff."""
        yield from ()

    def as_at(self, at_ms: int) -> FlatRate:
        """The one tariff, at the rate of exchange of the instant."""
        return FlatRate(self._tariff, None if self._timetable is None else self._timetable.as_at(at_ms))

    @property
    def only(self) -> Tariff:
        """The one tariff: for tools that show and compare."""
        return self._tariff


def by_origin(timeline: Timeline) -> list[tuple[OriginRule, Timeline]]:
    """List whose tariffs a timeline holds: the more specific first where it tells origins apart, else one for all."""
    if len(timeline) == 1 and isinstance(timeline[0].what, OriginRate):
        choice = timeline[0].what
        return [*choice.choices, (EVERYWHERE, choice.otherwise)] if choice.otherwise else list(choice.choices)
    return [(EVERYWHERE, timeline)]


class OriginRate:
    """A tariff for some origins before the one for all others: the most specific that describes the origin."""

    __slots__ = ("choices", "otherwise")

    def __init__(self, choices: tuple[tuple[OriginRule, Timeline], ...], otherwise: Timeline) -> None:
        self.choices = choices
        self.otherwise = otherwise

    @property
    def name(self) -> str:
        """The names of all the entries among which an origin chooses."""
        return " / ".join(dict.fromkeys(version.what.name for _, timeline in self.choices for version in timeline))

    def rules(self) -> Iterator[OriginRule]:
        """Its own, and those of what is chosen."""
        for rule, timeline in (*self.choices, (EVERYWHERE, self.otherwise)):
            yield rule
            for version in timeline:
                yield from version.what.rules()

    def let_go(self) -> Iterator[None]:
        """Forget what the tariffs of all origins have made."""
        for timeline in (*(timeline for _, timeline in self.choices), self.otherwise):
            for version in timeline:
                yield from version.what.let_go()

    def as_at(self, at_ms: int) -> OriginRate:
        """The tariffs of all origins, each as it is then."""
        choices = tuple((rule, timeline_as_at(timeline, at_ms)) for rule, timeline in self.choices)
        return OriginRate(choices, timeline_as_at(self.otherwise, at_ms))

    def tariff(self, destination: str, at_ms: int, origin: Origin = NOWHERE) -> Tariff | RatingFault:
        """Choose by origin, then by date; an origin whose tariff is not in force has that of all others."""
        offer = self.offer(destination, at_ms, origin)
        return ending(offer.answer, offer.until_ms)

    def offer(self, destination: str, at_ms: int, origin: Origin, length: int | None = None) -> Offer:
        """The offer of the tariff that the origin has."""
        ranked = sorted(((rule.rank(origin), at) for at, (rule, _) in enumerate(self.choices)), reverse=True)
        timelines = [self.choices[at][1] for rank, at in ranked if rank >= 0]
        for timeline in (*timelines, self.otherwise):
            for from_ms, to_ms, source in timeline:
                if from_ms <= at_ms < to_ms:
                    offer = source.offer(destination, at_ms, origin, length)
                    return offer._replace(until_ms=min(offer.until_ms, to_ms))
        return Offer(-1, RatingFault.NOT_IN_FORCE, FOREVER_MS)

    def layers(self, at_ms: int) -> list[FlatRate | DeckRate]:
        """Those of the tariff of all others: the tariffs of an origin are looked at by themselves (``by_origin``)."""
        return [layer for version in self.otherwise if at_ms < version.to_ms for layer in version.what.layers(at_ms)]


def ending(tariff: Tariff | RatingFault, to_ms: int) -> Tariff | RatingFault:
    """Say that a tariff ends at an instant, if it does not end before."""
    if isinstance(tariff, RatingFault) or to_ms == FOREVER_MS or 0 < tariff.valid_until_ms <= to_ms:
        return tariff
    return msgspec.structs.replace(tariff, valid_until_ms=to_ms)


class LayeredRate:
    """A deck over what it leaves to others: of both answers the one by the longer prefix, of equal ones the upper."""

    __slots__ = ("lower", "upper")

    def __init__(self, upper: RateSource, lower: Timeline) -> None:
        self.upper = upper
        self.lower = lower

    @property
    def name(self) -> str:
        """The name of the upper entry."""
        return self.upper.name

    def tariff(self, destination: str, at_ms: int, origin: Origin = NOWHERE) -> Tariff | RatingFault:
        """Choose by prefix, then by layer."""
        offer = self.offer(destination, at_ms, origin)
        return ending(offer.answer, offer.until_ms)

    def offer(self, destination: str, at_ms: int, origin: Origin, length: int | None = None) -> Offer:
        """The longer of both offers; it holds as long as neither layer changes its mind."""
        upper = self.upper.offer(destination, at_ms, origin, length)
        for from_ms, to_ms, source in self.lower:
            if from_ms <= at_ms < to_ms:
                lower = source.offer(destination, at_ms, origin, length)
                until_ms = min(upper.until_ms, lower.until_ms, to_ms)
                return (lower if lower.length > upper.length else upper)._replace(until_ms=until_ms)
        return upper

    def layers(self, at_ms: int) -> list[FlatRate | DeckRate]:
        """The upper ones, then the lower ones."""
        lower = [layer for version in self.lower if at_ms < version.to_ms for layer in version.what.layers(at_ms)]
        return self.upper.layers(at_ms) + lower

    def rules(self) -> Iterator[OriginRule]:
        """Those of all layers."""
        yield from self.upper.rules()
        for version in self.lower:
            yield from version.what.rules()

    def let_go(self) -> Iterator[None]:
        """Forget what all layers have made."""
        yield from self.upper.let_go()
        for version in self.lower:
            yield from version.what.let_go()

    def as_at(self, at_ms: int) -> LayeredRate:
        """All layers as they are then."""
        return LayeredRate(self.upper.as_at(at_ms), timeline_as_at(self.lower, at_ms))


class CodeTable(msgspec.Struct, frozen=True):
    """A file of prefixes: the index, and by row number the destination's, the line and the prefix length."""

    file: str
    index: PrefixIndex
    destinations: tuple[str, ...]
    destination_of: Sequence[int]
    line_of: Sequence[int]
    length_of: Sequence[int]


class Labels(msgspec.Struct, frozen=True):
    """What every tariff of one entry has in common."""

    plan: str
    name: str
    version: str


class DeckRate:
    """A price per prefix. ``price_of`` holds by row number a place in ``prices``, or NO_PRICE, or BARRED."""

    __slots__ = ("_codes", "_kept", "_labels", "_price_of", "_prices", "_timetable")

    def __init__(
        self,
        labels: Labels,
        codes: CodeTable,
        prices: tuple[Price, ...],
        price_of: Sequence[int],
        timetable: Timetable | None = None,
    ) -> None:
        self._labels = labels
        self._timetable = timetable
        self._codes = codes
        self._prices = prices
        self._price_of = price_of
        self._kept: dict[int, Tariff] = {}

    def tariff(self, destination: str, at_ms: int, origin: Origin = NOWHERE) -> Tariff | RatingFault:
        """Choose by the longest prefix in force."""
        row, until_ms = self._codes.index.find(destination, at_ms, origin)
        kept = self._kept.get(row)
        if kept is not None and until_ms == FOREVER_MS and self._timetable is None:
            return kept  # as nearly always: one call less
        return self._of_row(row, until_ms, destination, at_ms)

    def _of_row(self, row: int, until_ms: int, destination: str, at_ms: int) -> Tariff | RatingFault:
        tariff = self._kept.get(row)
        if tariff is None:
            made = self._make(row, destination)
            if isinstance(made, RatingFault):
                return made
            tariff = made
        if until_ms != FOREVER_MS:
            tariff = msgspec.structs.replace(tariff, valid_until_ms=until_ms)
        return tariff if self._timetable is None else self._timetable.pinned(tariff, at_ms)

    @property
    def name(self) -> str:
        """The name of the entry."""
        return self._labels.name

    def offer(self, destination: str, at_ms: int, origin: Origin, length: int | None = None) -> Offer:
        """A row that bars is an answer; one without a price is none."""
        index = self._codes.index
        if length is None:
            row, until_ms = index.find(destination, at_ms, origin)
        else:
            row, until_ms = index.find_for(destination, at_ms, origin, length)
        answer = self._of_row(row, until_ms, destination, at_ms)
        is_answered = row >= 0 and answer is not RatingFault.NO_DESTINATION
        return Offer(self._codes.length_of[row] if is_answered else -1, answer, until_ms)

    def layers(self, at_ms: int) -> list[FlatRate | DeckRate]:  # noqa: ARG002 - one for all times
        """Itself."""
        return [self]

    def rules(self) -> Iterator[OriginRule]:
        """Those of the deck's lines."""
        yield from self._codes.index.origins

    def let_go(self) -> Iterator[None]:
        """Forget the tariffs that were made, some hundreds at each step."""
        while self._kept:
            for _ in range(min(_LET_GO_AT_ONCE, len(self._kept))):
                self._kept.popitem()
            yield

    def as_at(self, at_ms: int) -> DeckRate:
        """The lines in force then."""
        codes = msgspec.structs.replace(self._codes, index=self._codes.index.as_at(at_ms))
        timetable = None if self._timetable is None else self._timetable.as_at(at_ms)
        return DeckRate(self._labels, codes, self._prices, self._price_of, timetable)

    @property
    def codes(self) -> CodeTable:
        """The prefixes: for tools that show and compare."""
        return self._codes

    @property
    def timetable(self) -> Timetable | None:
        """When the bands of the prices hold, if they have any."""
        return self._timetable

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
