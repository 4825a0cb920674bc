"""Why a number costs what it costs: every tariff and every prefix that was in question, and why each lost.

The answer itself comes from ``RateBook.tariff_for``, the function that prices the traffic; what stands beside it is
derived from the same tables, so an explanation cannot disagree with the price.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import msgspec

from balance.money import Currency
from ocs.rates.moments import moment_text
from ocs.rates.wording import FAULT_WORDS, increment_text, rate_text
from ocs.rating.dated import FOREVER_MS, Version
from ocs.rating.origins import NOWHERE, Origin, length_text
from ocs.rating.price import Price, Tariff
from ocs.rating.ratebook import ANY_GROUP, NO_GROUP, PlanRates, RateBook, Timeline
from ocs.rating.tariffs import DeckRate, RateSource, RatingFault, by_origin


class Query(msgspec.Struct, frozen=True):
    """What is asked: the fields of a charging request that choose a price."""

    number: str
    plan: str
    service: str
    at_ms: int
    rating_group: int = NO_GROUP
    service_ids: tuple[int, ...] = ()
    origin: Origin = NOWHERE


class Considered(msgspec.Struct, frozen=True):
    """A ``[[tariffs]]`` entry of the service and what became of it."""

    name: str
    selects: str
    from_: str = msgspec.field(name="from")
    to: str
    outcome: str
    is_chosen: bool = False


class Candidate(msgspec.Struct, frozen=True):
    """A prefix of the number in one version, and what became of it. ``price`` is empty where it has none."""

    prefix: str
    destination: str
    source: str
    price: str
    increments: str
    from_: str = msgspec.field(name="from")
    to: str
    outcome: str
    is_chosen: bool = False
    origin: str = ""
    length: str = ""


class Trace(msgspec.Struct, frozen=True):
    """``answer`` is what a request would be told: the tariff, or the reason for a refusal."""

    query: Query
    version: str
    currency: str
    answer: Tariff | RatingFault
    tariffs: tuple[Considered, ...] = ()
    candidates: tuple[Candidate, ...] = ()

    @property
    def refusal(self) -> str:
        """The reason for a refusal in words; empty if there is a price."""
        return FAULT_WORDS[self.answer] if isinstance(self.answer, RatingFault) else ""


class _Entry(NamedTuple):
    """The versions of one tariff: how specific it is (the least first), what it is for, whether it takes the request."""

    rank: tuple[int, int]
    selects: str
    timeline: Timeline
    takes: bool


def trace(book: RateBook, currency: Currency | None, query: Query) -> Trace:
    """Ask the book, and say what else it looked at."""
    answer = book.tariff_for(
        query.plan, query.service, query.rating_group, query.service_ids, query.number, query.at_ms, query.origin
    )
    code = book.currency_of(query.plan) or ""
    rates = book.rates_of(query.plan)
    if rates is None or currency is None:
        return Trace(query, book.version, code, answer)
    entries = sorted(_entries(rates, query), key=lambda entry: entry.rank)
    # Groups and identifiers choose, whatever is in force; an origin's tariff that is not in force has the next one's.
    group = next((entry.rank[0] for entry in entries if entry.takes), None)
    taken = [entry for entry in entries if entry.takes and entry.rank[0] == group]
    chosen = next((entry for entry in taken if _source(entry, query.at_ms)), taken[0] if taken else None)
    source = _source(chosen, query.at_ms) if chosen else None
    tariffs = tuple(_considered(entry, version, chosen, query.at_ms) for entry in entries for version in entry.timeline)
    layers = [layer for layer in source.layers(query.at_ms) if isinstance(layer, DeckRate)] if source else []
    won = answer.source if isinstance(answer, Tariff) and len(layers) > 1 else ""
    candidates = tuple(each for layer in layers for each in _candidates(layer, query, currency, won))
    return Trace(query, book.version, code, answer, tariffs, candidates)


def _source(entry: _Entry, at_ms: int) -> RateSource | None:
    return next((version.what for version in entry.timeline if version.from_ms <= at_ms < version.to_ms), None)


def _entries(rates: PlanRates, query: Query) -> Iterator[_Entry]:
    """Go through the tariffs of the service, ranked as the book asks for them: group and identifier, then origin."""
    for rank, selects, timeline, takes in _selectors(rates, query):
        for rule, versions in by_origin(timeline):
            fit = rule.rank(query.origin) if rule.text else 0
            words = f"{selects}, from {rule.text}" if rule.text else selects
            yield _Entry((rank, -fit), words, versions, takes and fit >= 0)


def _selectors(rates: PlanRates, query: Query) -> Iterator[tuple[int, str, Timeline, bool]]:
    choices = rates.services.get(query.service)
    if choices is None:
        return
    for (group, identifier), timeline in choices.by_service_id.items():
        takes = identifier in query.service_ids and group in {query.rating_group, ANY_GROUP}
        place = query.service_ids.index(identifier) if takes else len(query.service_ids)
        where = "" if group == ANY_GROUP else f" in {_group_words(group)}"
        yield 2 * place + (group == ANY_GROUP), f"service identifier {identifier}{where}", timeline, takes
    beyond = 2 * len(query.service_ids) + 2
    for group, timeline in choices.by_group.items():
        yield beyond, _group_words(group), timeline, group == query.rating_group
    if choices.otherwise:
        yield beyond + 1, "all that no other tariff is for", choices.otherwise, True


def _group_words(group: int) -> str:
    return "requests without a rating group" if group == NO_GROUP else f"rating group {group}"


def _considered(entry: _Entry, version: Version[RateSource], chosen: _Entry | None, at_ms: int) -> Considered:
    in_force = version.from_ms <= at_ms < version.to_ms
    if not entry.takes:
        outcome = "not for this request"
    elif entry is not chosen and (in_force or chosen is None or entry.rank > chosen.rank):
        outcome = "a more specific tariff goes first"
    else:
        outcome = "applies" if in_force and entry is chosen else _not_now(version.from_ms, version.to_ms, at_ms)
    return Considered(
        name=version.what.name,
        selects=entry.selects,
        from_=moment_text(version.from_ms),
        to=moment_text(version.to_ms),
        outcome=outcome,
        is_chosen=in_force and entry is chosen,
    )


def _not_now(from_ms: int, to_ms: int, at_ms: int) -> str:
    return f"not in force before {moment_text(from_ms)}" if at_ms < from_ms else f"ended {moment_text(to_ms)}"


def _candidates(source: DeckRate, query: Query, currency: Currency, won: str) -> Iterator[Candidate]:
    """Go through the prefixes of a deck. ``won``: where decks lie over each other, the line that was chosen."""
    codes = source.codes
    chosen, _ = codes.index.find(query.number, query.at_ms, query.origin)
    candidates, rules = codes.index.candidates(query.number), codes.index.rules(query.number)
    winner = next((prefix for prefix, versions in candidates if chosen in {each.what for each in versions}), "")
    for prefix, versions in candidates:
        for version in versions:
            row = version.what
            in_force = version.from_ms <= query.at_ms < version.to_ms
            rule = rules[row]
            price = source.price_of_row(row)
            if not in_force:
                outcome = _not_now(version.from_ms, version.to_ms, query.at_ms)
            elif rule.text and rule.rank(query.origin) < 0:
                outcome = "for another origin"
            elif not rule.is_as_long(len(query.number)):
                outcome = f"for numbers of {length_text(rule)} digits; this has {len(query.number)}"
            elif prefix == winner and row != chosen:
                is_by_length = rules[chosen].text == rule.text
                which = "line for numbers of this length" if is_by_length else "more specific origin"
                outcome = f"a {which} goes first"
            else:
                outcome = _outcome(price, winner if row != chosen else "")
            line = f"{codes.file}:{codes.line_of[row]}"
            is_chosen = in_force and row == chosen
            if is_chosen and won not in {"", line}:
                is_chosen, outcome = False, "a longer prefix, or a deck above this one, goes first"
            yield Candidate(
                prefix=prefix,
                destination=codes.destinations[codes.destination_of[row]],
                source=line,
                price=rate_text(price, currency) if isinstance(price, Price) else "",
                increments=increment_text(price) if isinstance(price, Price) else "",
                from_=moment_text(version.from_ms),
                to="" if version.to_ms == FOREVER_MS else moment_text(version.to_ms),
                outcome=outcome,
                is_chosen=is_chosen,
                origin=rule.text,
                length=length_text(rule),
            )


def _outcome(price: Price | RatingFault, winner: str) -> str:
    if winner:
        return f"shorter than {winner}"
    if isinstance(price, Price):
        return "applies: the longest prefix in force"
    if price is RatingFault.DESTINATION_BARRED:
        return "bars the number: nothing shorter is asked"
    return "has a name but no price in this tariff"
