"""What changes between two versions of the rates, in dial codes and money. Pure.

A prefix is compared by what its numbers cost: where one side does not list it, the shorter prefix that answers there is
the other price. Prices are compared from one instant on; what was in force before is history and not a change.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from itertools import pairwise
from typing import Final, NamedTuple

import msgspec

from ocs.rating.dated import EVER_MS, FOREVER_MS, Version
from ocs.rating.origins import EVERYWHERE, OriginRule
from ocs.rating.price import Price, Tariff
from ocs.rating.ratebook import ANY_GROUP, NO_GROUP, PlanRates, ServiceRates, Timeline
from ocs.rating.tariffs import CodeTable, DeckRate, FlatRate, LayeredRate, Offer, RateSource, RatingFault, by_origin
from ocs.rating.terms import terms_of


class ChangeKind(StrEnum):
    """One word for a change, as carriers use it on their sheets."""

    NEW = "new"
    GONE = "gone"
    CLOSED = "closed"  # barred from now on
    REOPENED = "reopened"
    INCREASE = "increase"
    DECREASE = "decrease"
    FEE = "fee change"
    INCREMENT = "increment change"
    ROUNDING = "rounding change"
    TERMS = "terms change"  # grace, fees for attempts, least and most, tax
    UNIT = "unit change"  # seconds became octets: no figures can be compared
    DATE = "date change"
    NAME = "renamed"


class Quote(NamedTuple):
    """What numbers of a prefix cost at an instant: None where there is no price. ``prefix`` is the one that answers."""

    price: Price | RatingFault
    prefix: str
    destination: str


class Change(msgspec.Struct, frozen=True):
    """One prefix, one interval, two quotes. ``prefix`` is empty for a tariff with one price for everything."""

    kind: ChangeKind
    prefix: str
    destination: str
    old: Quote
    new: Quote
    from_ms: int
    to_ms: int = FOREVER_MS
    moved_from_ms: int = -1  # of a date change: when it was to be
    origin: str = ""  # for uses from there, or numbers of this length, alone


class TariffKey(NamedTuple):
    """Which tariff of which plan a table of changes is about."""

    plan: str
    currency: str
    service: str
    selects: str
    name: str


class TariffDifference(msgspec.Struct, frozen=True):
    """All changes of one tariff; ``unchanged`` counts the prefixes that cost the same."""

    key: TariffKey
    changes: tuple[Change, ...]
    unchanged: int
    currency_before: str


_NOTHING: Final = Quote(RatingFault.NO_DESTINATION, "", "")


class _Side:
    """One version of what a plan has for something, over time, for the uses that a rule describes."""

    def __init__(self, timeline: Timeline, at_ms: int, rule: OriginRule = EVERYWHERE) -> None:
        self._timeline = tuple(version for version in timeline if at_ms < version.to_ms)
        self._at_ms = at_ms
        self._origin, self._length = rule.example, rule.digits_min
        layers = (layer for version in self._timeline for layer in version.what.layers(at_ms))
        self._layers = list({id(layer): layer for layer in layers}.values())

    def tables(self) -> Iterator[CodeTable]:
        return (layer.codes for layer in self._layers if isinstance(layer, DeckRate))

    def prefixes(self, rule: OriginRule) -> Iterator[str]:
        """List the prefixes that have lines of a rule; of none, all of them and the price for all numbers."""
        for layer in self._layers:
            if not isinstance(layer, DeckRate):
                yield from () if rule.label else ("",)
                continue
            index = layer.codes.index
            for prefix, versions in index.entries():
                if not rule.label or (
                    index.has_origins and any(index.rules(prefix)[each.what].label == rule.label for each in versions)
                ):
                    yield prefix

    def quote(self, prefix: str, at_ms: int) -> Quote:
        """What a number that begins with the prefix and with no longer one costs."""
        source = next((v.what for v in self._timeline if v.from_ms <= at_ms < v.to_ms), None)
        if isinstance(source, FlatRate):
            return Quote(source.only.price, "", source.only.name)
        if isinstance(source, LayeredRate):
            return _quote_of(source.offer(prefix, at_ms, self._origin, self._length), prefix)
        if not isinstance(source, DeckRate):
            return _NOTHING
        codes = source.codes
        row, _ = codes.index.find_for(prefix, at_ms, self._origin, self._length)
        if row < 0:
            return _NOTHING
        name = codes.destinations[codes.destination_of[row]]
        return Quote(source.price_of_row(row), prefix[: codes.length_of[row]], name)

    def steps(self, prefix: str, after_ms: int) -> Iterator[int]:
        """Instants after which the answer for a prefix may differ."""
        dated = (version for codes in self.tables() for _, found in codes.index.candidates(prefix) for version in found)
        for from_ms, to_ms, _ in (*self._timeline, *dated):
            if from_ms > after_ms:
                yield from_ms
            if after_ms < to_ms < FOREVER_MS:
                yield to_ms


def _quote_of(offer: Offer, prefix: str) -> Quote:
    if isinstance(offer.answer, Tariff):
        return Quote(offer.answer.price, offer.answer.prefix, offer.answer.destination or offer.answer.name)
    return Quote(offer.answer, prefix[: offer.length], "") if offer.length >= 0 else _NOTHING


def compare_sources(old: RateSource | None, new: RateSource | None, at_ms: int) -> tuple[list[Change], int]:
    """Compare two versions of a tariff from an instant on; also count the prefixes without a change."""
    before, after = (() if each is None else (Version(EVER_MS, FOREVER_MS, each),) for each in (old, new))
    return compare_timelines(before, after, at_ms)


def compare_timelines(old: Timeline, new: Timeline, at_ms: int) -> tuple[list[Change], int]:
    """Compare all that is in force from an instant on, for uses from anywhere and from each origin that has lines."""
    changes: list[Change] = []
    unchanged = 0
    for rule in (EVERYWHERE, *_rules(old, new, at_ms)):
        before, after = (_Side(timeline, at_ms, rule) for timeline in (old, new))
        prefixes = sorted({*before.prefixes(rule), *after.prefixes(rule)})
        for prefix in prefixes:
            found = _changes_of(prefix, before, after, at_ms)
            changes += [msgspec.structs.replace(each, origin=rule.label) for each in found] if rule.label else found
            unchanged += not found
    return changes, unchanged


def _rules(old: Timeline, new: Timeline, at_ms: int) -> list[OriginRule]:
    """List the origins, and the lengths of numbers, that lines of the decks are for."""
    tables = (codes for timeline in (old, new) for codes in _Side(timeline, at_ms).tables())
    return list(dict.fromkeys(rule for codes in tables for rule in codes.index.origin_rules if rule.label))


def _changes_of(prefix: str, before: _Side, after: _Side, at_ms: int) -> list[Change]:
    steps = sorted({at_ms, *before.steps(prefix, at_ms), *after.steps(prefix, at_ms)})
    spans = [
        (from_ms, to_ms, before.quote(prefix, from_ms), after.quote(prefix, from_ms))
        for from_ms, to_ms in pairwise((*steps, FOREVER_MS))
    ]
    if len(spans) == 1:
        kind = _kind(prefix, spans[0][2], spans[0][3])
        return [] if kind is None else [_change(kind, prefix, spans[0])]
    if all(_kind(prefix, old, new) is None for _, _, old, new in spans):
        return []
    moved = _moved(prefix, spans)
    return [moved] if moved else _merged(prefix, spans)


_Span = tuple[int, int, Quote, Quote]


def _change(kind: ChangeKind, prefix: str, span: _Span) -> Change:
    from_ms, to_ms, old, new = span
    return Change(kind, prefix, new.destination or old.destination, old, new, from_ms, to_ms)


def _merged(prefix: str, spans: list[_Span]) -> list[Change]:
    """One change for each run of spans in which the same becomes the same."""
    changes: list[Change] = []
    for span in spans:
        kind = _kind(prefix, span[2], span[3])
        if kind is None:
            continue
        last = changes[-1] if changes else None
        if last and last.to_ms == span[0] and (last.old.price, last.new.price) == (span[2].price, span[3].price):
            changes[-1] = msgspec.structs.replace(last, to_ms=span[1])
        else:
            changes.append(_change(kind, prefix, span))
    return changes


def _moved(prefix: str, spans: list[_Span]) -> Change | None:
    """The same prices one after another, at other dates."""
    old, new = _sequence(spans, 2), _sequence(spans, 3)
    if [quote.price for _, quote in old] != [quote.price for _, quote in new]:
        return None
    for (was_ms, before), (is_ms, after) in zip(old, new, strict=True):
        if was_ms != is_ms:
            name = after.destination or before.destination
            return Change(ChangeKind.DATE, prefix, name, before, after, is_ms, moved_from_ms=was_ms)
    return None


def _sequence(spans: list[_Span], side: int) -> list[tuple[int, Quote]]:
    found: list[tuple[int, Quote]] = []
    for span in spans:
        quote: Quote = span[2] if side == 2 else span[3]
        if not found or found[-1][1].price != quote.price:
            found.append((span[0], quote))
    return found


def _kind(prefix: str, old: Quote, new: Quote) -> ChangeKind | None:
    """Name the change; None if nothing changes. What is listed and barred is not what is not listed.

    Where a shorter prefix answers on both sides, the change is that one's.
    """
    if prefix not in {old.prefix, new.prefix}:
        return None
    if isinstance(old.price, Price) and isinstance(new.price, Price):
        return _price_kind(prefix, old, new, old.price, new.price)
    if old.price == new.price:
        return None
    if isinstance(new.price, Price):
        return ChangeKind.REOPENED if old.price is RatingFault.DESTINATION_BARRED else ChangeKind.NEW
    if new.price is RatingFault.DESTINATION_BARRED:
        return ChangeKind.CLOSED
    return ChangeKind.GONE if isinstance(old.price, Price) or old.prefix == prefix else None


def _price_kind(prefix: str, old: Quote, new: Quote, was: Price, now: Price) -> ChangeKind | None:
    if old.prefix != new.prefix and prefix in {old.prefix, new.prefix}:
        return ChangeKind.NEW if new.prefix == prefix else ChangeKind.GONE
    if was == now:
        return ChangeKind.NAME if old.destination != new.destination and new.prefix == prefix else None
    return money_kind(was, now)


def money_kind(was: Price, now: Price) -> ChangeKind | None:
    """Name the difference of two prices by what weighs most: rate, first rate, fee, increments, rounding."""
    if was.kind is not now.kind:
        return ChangeKind.UNIT
    for old, new in (
        (was.next_rate * now.per, now.next_rate * was.per),
        (was.initial_rate * now.per, now.initial_rate * was.per),
    ):
        if old != new:
            return ChangeKind.INCREASE if new > old else ChangeKind.DECREASE
    if (in_bands := _band_kind(was, now)) is not None:
        return in_bands
    if was.setup != now.setup:
        return ChangeKind.FEE
    if (was.initial, was.next, was.minimum) != (now.initial, now.next, now.minimum):
        return ChangeKind.INCREMENT
    if (was.quantum, was.rounding) != (now.quantum, now.rounding):
        return ChangeKind.ROUNDING
    return ChangeKind.TERMS if was.terms != now.terms else None


def _band_kind(was: Price, now: Price) -> ChangeKind | None:
    """Name what becomes of the rates in the bands of the week, where all that change go one way."""
    before, after = (
        {band.name: band.price.next_rate for band in terms_of(price).bands} | {"": price.next_rate}
        for price in (was, now)
    )
    names = before.keys() | after.keys()
    changes = {
        (old < new) for name in names if (old := before.get(name, before[""])) != (new := after.get(name, after[""]))
    }
    if was.per != now.per or len(changes) != 1:
        return None
    return ChangeKind.INCREASE if changes.pop() else ChangeKind.DECREASE


def permille(old: Price | RatingFault, new: Price | RatingFault) -> int | None:
    """By how many thousandths the rate changes; None where that has no meaning."""
    if not isinstance(old, Price) or not isinstance(new, Price) or old.kind is not new.kind or not old.next_rate:
        return None
    was, now = old.next_rate * new.per, new.next_rate * old.per
    return (1000 * (now - was) + was // 2) // was


def compare_plans(old: dict[str, PlanRates], new: dict[str, PlanRates], at_ms: int) -> Iterator[TariffDifference]:
    """Compare all tariffs of all plans; a tariff is known by plan, service and what it is for."""
    before, after = dict(_tariffs(old, at_ms)), dict(_tariffs(new, at_ms))
    compared: dict[tuple[int, int], tuple[list[Change], int]] = {}
    for selector in sorted({*before, *after}):
        was, now = before.get(selector), after.get(selector)
        pair = (id(was and was[1]), id(now and now[1]))  # groups of one entry share its table
        if pair not in compared:
            compared[pair] = compare_timelines(was[1] if was else (), now[1] if now else (), at_ms)
        changes, unchanged = compared[pair]
        label, _ = now or was or ("", None)
        currency = (new.get(selector[0]) or old[selector[0]]).currency
        earlier = old[selector[0]].currency if selector[0] in old else currency
        if changes or currency != earlier:
            yield TariffDifference(
                TariffKey(selector[0], currency, selector[1], selector[2], label), tuple(changes), unchanged, earlier
            )


def _tariffs(plans: dict[str, PlanRates], at_ms: int) -> Iterator[tuple[tuple[str, str, str], tuple[str, Timeline]]]:
    for plan, rates in plans.items():
        for service, choices in rates.services.items():
            timelines = ((name, pair) for name, mixed in _timelines(choices) for pair in by_origin(mixed))
            for name, (rule, timeline) in timelines:
                selects = f"{name} from {rule.text}".lstrip() if rule.text else name
                source = next((v.what for v in timeline if at_ms < v.to_ms), None)
                if source is not None:
                    yield (plan, service, selects), (source.name, timeline)


def _timelines(choices: ServiceRates) -> Iterator[tuple[str, Timeline]]:
    for (group, identifier), timeline in choices.by_service_id.items():
        yield f"{_group(group)}service identifier {identifier}", timeline
    for group, timeline in choices.by_group.items():
        yield _group(group).rstrip(), timeline
    if choices.otherwise:
        yield "", choices.otherwise


def _group(group: int) -> str:
    return {ANY_GROUP: "", NO_GROUP: "no rating group "}.get(group, f"rating group {group} ")
