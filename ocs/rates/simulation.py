"""What records would have brought by other rates: sums by destination and customer. Pure.

Each record is priced by the plan it was rated by, from where it came, at its own time. Amounts are integers at the
currency's scale; what a record is bought for is priced the same way, by other rates.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from heapq import heappush, heappushpop, nlargest
from typing import Any, Final, NamedTuple, TypeAlias

import msgspec

from balance.money import Amount, AmountError, parse_amount
from ocs.rates.replay import Turn, costs_in_order, turn_of
from ocs.rating.dated import instant_ms
from ocs.rating.origins import Origin, origin_of
from ocs.rating.price import Tariff, cost_of
from ocs.rating.ratebook import NO_GROUP, RateBook
from ocs.rating.tariffs import RatingFault
from ocs.rating.terms import Terms, chosen_at_ms, price_in, terms_of, with_terms
from ocs.rating.timetable import going_on, in_progress
from ocs.rating.units import UnitKind

FIELDS: Final = (
    "account_id", "number", "used", "amount",
    "started_at", "service", "rate_plan", "origin", "peer", "whereabouts", "rating_group", "service_ids", "unit",
    "destination", "source", "currency", "goes_on", "covered",
)  # fmt: skip
REQUIRED: Final = FIELDS[:4]

_REASONS: Final = {RatingFault.DESTINATION_BARRED: "barred"}
NO_PRICE: Final = "no price"
FAULTS_MAX: Final = 20
LOSING_MAX: Final = 1000
_KEPT_MAX: Final = 500_000


class Sums(msgspec.Struct):
    """What a group of records came to. ``new``, ``bought`` and losses count priced records only.

    ``unsold`` records have no price by the new rates; ``unbought`` ones none by the rates of cost.
    """

    records: int = 0
    used: int = 0
    old: Amount = 0
    new: Amount = 0
    bought: Amount = 0
    losing: int = 0
    loss: Amount = 0
    unsold: int = 0
    unbought: int = 0

    def add(self, other: Sums) -> None:
        """Add another part's sums."""
        for name in self.__struct_fields__:
            setattr(self, name, getattr(self, name) + getattr(other, name))

    @property
    def change(self) -> Amount:
        return self.new - self.old

    @property
    def margin(self) -> Amount:
        return self.new - self.bought


class Losing(msgspec.Struct, array_like=True, frozen=True, order=True):
    """A record that would be sold below what it is bought for."""

    loss: Amount
    account_id: str
    number: str
    started_at: str
    used: int
    new: Amount
    bought: Amount
    source: str


class Sold(NamedTuple):
    """What the sums ask of a record, whatever else is known of it."""

    account_id: str
    number: str
    used: int
    old: Amount
    started_at: str


Waiting: TypeAlias = tuple[tuple[Any, ...], tuple[Any, ...], str, str, Amount | None]
"""A use that waits for those before it: a Turn and a Sold, its destination, the line of its price, what it is bought for."""


class Outcome(msgspec.Struct):
    """All sums of a part, or of the whole. ``faults`` are lines that could not be read, the first of ``fault_count``.

    ``unsold`` counts the records without a price by the reason; ``losing`` are the LOSING_MAX that lose most.
    ``others`` were passed over: they are in another currency, or are no matter of the deck that is simulated.
    ``waiting`` are uses that fill the tiers of a period: they are priced when all are there (``finish``).
    """

    total: Sums = msgspec.field(default_factory=Sums)
    by_destination: dict[str, Sums] = {}
    by_account: dict[str, Sums] = {}
    unsold: dict[str, int] = {}
    losing: list[Losing] = []
    others: int = 0
    faults: list[str] = []
    fault_count: int = 0
    waiting: list[Waiting] = []

    def add(self, other: Outcome) -> None:
        """Add another part."""
        for mine, theirs in ((self.by_destination, other.by_destination), (self.by_account, other.by_account)):
            for name, sums in theirs.items():
                mine.setdefault(name, Sums()).add(sums)
        for reason, count in other.unsold.items():
            self.unsold[reason] = self.unsold.get(reason, 0) + count
        self.losing = nlargest(LOSING_MAX, self.losing + other.losing)
        self.waiting += other.waiting
        self.others += other.others
        self.faults = (self.faults + other.faults)[:FAULTS_MAX]
        self.fault_count += other.fault_count

    def finish(self) -> Outcome:
        """Price what waits, in the order of its time, and sum all up."""
        turns = [Turn._make((*turn[:4], place, *turn[5:])) for place, (turn, *_) in enumerate(self.waiting)]
        for place, cost in costs_in_order(turns):
            _, sold, destination, source, bought = self.waiting[place]
            _sum_up(self, Sold._make(sold), destination, source, cost, bought)
        self.waiting = []
        for each in self.by_account.values():
            self.total.add(each)
        self.losing.sort(reverse=True)
        return self

    def fault(self, row: Sequence[str], error: Exception) -> None:
        """Note a row that cannot be read."""
        self.fault_count += 1
        if len(self.faults) < FAULTS_MAX:
            why = str(error) if len(row) == len(FIELDS) else "has too few or too many cells"
            self.faults.append(f"{','.join(row).rstrip(',')!r}: {why}")


class Exchange(msgspec.Struct, frozen=True):
    """What a unit of the currency of the costs is worth: ``numerator / denominator`` units of the revenue's."""

    numerator: int = 1
    denominator: int = 1

    def of(self, amount: Amount) -> Amount:
        """Convert, rounded up: a cost is not made to look smaller."""
        return -(-amount * self.numerator // self.denominator)


class Rates(NamedTuple):
    """By what records are priced. What is not empty goes before what a record says.

    ``plan_if_unknown`` is for records that do not say their plan; ``at_ms`` for those that do not say their time.
    """

    book: RateBook
    at_ms: int
    plan: str = ""
    plan_if_unknown: str = ""
    service: str = ""


class Costs(NamedTuple):
    """By what records are bought, and in which money."""

    rates: Rates
    exchange: Exchange


class Use(NamedTuple):
    """One record, or one group of it, as it was rated.

    ``goes_on`` is -1, or this is what was used after a change of price in mid-session, of which so many units were paid.
    ``covered`` units were paid by bundles.
    """

    account_id: str
    number: str
    used: int
    old: Amount
    started_at: str
    service: str
    rate_plan: str
    origin: Origin
    rating_group: int
    service_ids: tuple[int, ...]
    unit: str
    destination: str
    source: str
    goes_on: int
    covered: int = 0


class Simulation:
    """Prices records by some rates, and what they are bought for by others.

    ``deck`` names the file that is simulated: other records than those that it priced, or prices now, are passed over.
    """

    def __init__(self, rates: Rates, costs: Costs | None, currency: str, scale: int, deck: str = "") -> None:
        self._rates = rates
        self._costs = costs
        self._currency = currency
        self._scale = scale
        self._deck = f"{deck}:" if deck else ""
        self._amounts: dict[str, Amount] = {}
        self._service_ids: dict[str, tuple[int, ...]] = {"": ()}

    def run(self, rows: Iterable[Sequence[str]]) -> Outcome:
        """Sum up rows of text, their cells as in FIELDS. Rows that cannot be read are faults."""
        part = Outcome()
        for row in rows:
            try:
                use = self._read(row)
                if use is None:
                    part.others += 1
                    continue
                at_ms = instant_ms(use.started_at) if use.started_at else self._rates.at_ms
            except (ValueError, AmountError) as error:
                part.fault(row, error)
                continue
            self._count(part, use, at_ms)
        return part

    def _read(self, row: Sequence[str]) -> Use | None:
        (
            account, number, used, amount, started, service, plan, origin, peer, whereabouts, group, service_ids, unit,
            destination, source, currency, goes_on, covered,
        ) = row  # fmt: skip
        if currency and self._currency and currency != self._currency:
            return None
        old = self._amounts.get(amount)
        if old is None:
            if len(self._amounts) >= _KEPT_MAX:
                self._amounts.clear()
            old = self._amounts[amount] = parse_amount(amount, self._scale)
        identifiers = self._service_ids.get(service_ids)
        if identifiers is None:
            identifiers = self._service_ids[service_ids] = tuple(map(int, service_ids.split()))
        return Use(
            account, number, int(used), old, started, service or "voice", plan, origin_of(origin, peer, whereabouts),
            int(group) if group else NO_GROUP, identifiers, unit, destination, source,
            int(goes_on) if goes_on else -1, int(covered) if covered else 0,
        )  # fmt: skip

    def _count(self, part: Outcome, use: Use, at_ms: int) -> None:
        found = _priced(self._rates, use, at_ms, self._currency)
        if isinstance(found, str):
            if not self._concerns(use, ""):
                part.others += 1
                return
            part.unsold[found] = part.unsold.get(found, 0) + 1
            _add(part, use, f"{use.destination} ({found})".lstrip(), None, 0)
            return
        if not self._concerns(use, found.source):
            part.others += 1
            return
        price, bought, destination = found.price, self._bought(use, at_ms), found.destination or found.name
        if price.terms.__class__ is Terms:
            period = terms_of(price).period
            if period is not None:
                turn = turn_of(price, period, use.account_id, at_ms, 0, use.used)
                # Plain tuples: they go from process to process, a million of them.
                part.waiting.append((tuple(turn), use[:5], destination, found.source, bought))
                return
        _sum_up(part, use, destination, found.source, cost_of(price, use.used), bought)

    def _concerns(self, use: Use, source: str) -> bool:
        """Tell whether the deck that is simulated priced the record, or prices it now; without a deck, all concern."""
        deck = self._deck
        return not deck or not use.source or use.source.startswith(deck) or source.startswith(deck)

    def _bought(self, use: Use, at_ms: int) -> Amount | None:
        """What a record is bought for; None where nothing says it."""
        if self._costs is None:
            return 0
        tariff = _priced(self._costs.rates, use, at_ms, "")
        return None if isinstance(tariff, str) else self._costs.exchange.of(cost_of(tariff.price, use.used))


def _sum_up(part: Outcome, use: Use | Sold, destination: str, source: str, new: Amount, bought: Amount | None) -> None:
    """Add a record that has a price."""
    _add(part, use, destination, new, bought)
    if bought is not None and bought > new:
        _keep(
            part.losing,
            Losing(bought - new, use.account_id, use.number, use.started_at, use.used, new, bought, source),
        )


def _add(part: Outcome, use: Use | Sold, destination: str, new: Amount | None, bought: Amount | None) -> None:
    """Add a record to its destination's and its customer's sums; ``new`` None: it has no price."""
    for sums, key in ((part.by_account, use.account_id), (part.by_destination, destination)):
        mine = sums.get(key)
        if mine is None:
            mine = sums[key] = Sums()
        mine.records += 1
        mine.used += use.used
        mine.old += use.old
        if new is None:
            mine.unsold += 1
            continue
        mine.new += new
        if bought is None:
            mine.unbought += 1
            continue
        mine.bought += bought
        if bought > new:
            mine.losing += 1
            mine.loss += bought - new


def _keep(losing: list[Losing], each: Losing) -> None:
    if len(losing) < LOSING_MAX:
        heappush(losing, each)
    else:
        heappushpop(losing, each)


def _priced(rates: Rates, use: Use, at_ms: int, currency: str) -> Tariff | str:
    """The tariff of a use; in words why it has none."""
    plan = rates.plan or use.rate_plan or rates.plan_if_unknown
    tariff = _tariff(rates, plan, use, at_ms)
    if isinstance(tariff, Tariff) and tariff.price.terms.__class__ is Terms:
        by_clock_ms = chosen_at_ms(tariff.price, at_ms, at_ms + 1000 * use.used, use.used)
        if by_clock_ms != at_ms:
            at_ms, tariff = by_clock_ms, _tariff(rates, plan, use, by_clock_ms)
    if isinstance(tariff, RatingFault):
        return _REASONS.get(tariff, NO_PRICE if plan else "no plan")
    if currency and tariff.plan and rates.book.currency_of(plan) != currency:
        return "another currency"
    found = price_in(tariff.price, UnitKind[use.unit.upper()]) if use.unit else tariff.price
    if found is None:
        return "another unit"
    price = rates.book.lasting(found, at_ms, use.used)
    if use.goes_on >= 0:
        price = going_on(in_progress(price), use.goes_on, 0)
    if use.covered:
        price = with_terms(price, msgspec.structs.replace(terms_of(price), covered=use.covered))
    return tariff if price is tariff.price else msgspec.structs.replace(tariff, price=price)


def _tariff(rates: Rates, plan: str, use: Use, at_ms: int) -> Tariff | RatingFault:
    service = rates.service or use.service
    return rates.book.tariff_for(plan, service, use.rating_group, use.service_ids, use.number, at_ms, use.origin)


def changed(sums: Mapping[str, Sums], count: int) -> tuple[list[tuple[str, Sums]], list[tuple[str, Sums]]]:
    """Name those who pay most more and those who pay most less, the largest change first."""
    ordered = sorted(sums.items(), key=lambda item: (-item[1].change, item[0]))
    more = [item for item in ordered if item[1].change > 0][:count]
    less = [item for item in reversed(ordered) if item[1].change < 0][:count]
    return more, less
