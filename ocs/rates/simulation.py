"""What records would have brought under another deck: sums by destination and customer. Pure.

Each record is priced as a whole by the deck as it stands at one instant, whenever the call was: what is asked is "the
same traffic at the new prices". Amounts are integers at the currency's scale; the cost is what the call is bought for.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import msgspec

from balance.money import Amount, AmountError, parse_amount
from ocs.rating.price import Price, cost_of
from ocs.rating.tariffs import DeckRate, RatingFault

FIELDS: Final = ("account_id", "number", "used", "amount")
NOT_SOLD: Final[dict[RatingFault, str]] = {RatingFault.DESTINATION_BARRED: "(barred)"}
NO_PRICE: Final = "(no price)"
FAULTS_MAX: Final = 20
NUMBERS_KEPT_MAX: Final = 500_000


class Sums(msgspec.Struct):
    """What a group of records came to. ``new``, ``bought`` and losses count priced records only.

    ``unsold`` records have no price in the new deck; ``unbought`` ones none in the cost deck.
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


class Outcome(msgspec.Struct):
    """All sums of a part, or of the whole. ``faults`` are lines that could not be read, the first of ``fault_count``."""

    total: Sums = msgspec.field(default_factory=Sums)
    by_destination: dict[str, Sums] = {}
    by_account: dict[str, Sums] = {}
    faults: list[str] = []
    fault_count: int = 0

    def add(self, other: Outcome) -> None:
        """Add another part."""
        self.total.add(other.total)
        for mine, theirs in ((self.by_destination, other.by_destination), (self.by_account, other.by_account)):
            for name, sums in theirs.items():
                mine.setdefault(name, Sums()).add(sums)
        self.faults = (self.faults + other.faults)[:FAULTS_MAX]
        self.fault_count += other.fault_count

    def fault(self, row: Sequence[str], error: Exception) -> None:
        """Note a row that cannot be read."""
        self.fault_count += 1
        if len(self.faults) < FAULTS_MAX:
            why = "has too few cells" if isinstance(error, IndexError) else str(error)
            self.faults.append(f"{','.join(row)!r}: {why}")


class Exchange(msgspec.Struct, frozen=True):
    """What a unit of the cost deck's currency is worth: ``numerator / denominator`` units of the deck's."""

    numerator: int = 1
    denominator: int = 1

    def of(self, amount: Amount) -> Amount:
        """Convert, rounded up: a cost is not made to look smaller."""
        return -(-amount * self.numerator // self.denominator)


class Simulation:
    """Prices records by a deck, and what they are bought for by another."""

    def __init__(
        self, deck: DeckRate, bought: DeckRate | None, scale: int, at_ms: int, exchange: Exchange | None = None
    ) -> None:
        self._deck = deck
        self._bought = bought
        self._scale = scale
        self._at_ms = at_ms
        self._exchange = exchange or Exchange()
        self._known: dict[str, tuple[str, Price | None, Price | None]] = {}
        self._amounts: dict[str, Amount] = {}

    def run(self, rows: Iterable[Sequence[str]], places: Mapping[str, int]) -> Outcome:
        """Sum up rows of text; ``places`` says where FIELDS stand. Rows that cannot be read are faults."""
        account_at, number_at, used_at, amount_at = (places[field] for field in FIELDS)
        known, amounts = self._known, self._amounts
        part = Outcome()
        by_destination, by_account = part.by_destination, part.by_account
        for row in rows:
            try:
                number, text = row[number_at], row[amount_at]
                used = int(row[used_at])
                old = amounts.get(text)
                if old is None:
                    old = amounts[text] = parse_amount(text, self._scale)
                account = row[account_at]
            except (IndexError, ValueError, AmountError) as error:
                part.fault(row, error)
                continue
            found = known.get(number)
            if found is None:
                if len(known) >= NUMBERS_KEPT_MAX:
                    known.clear()
                found = known[number] = self._find(number)
            sums = by_account.get(account)
            if sums is None:
                sums = by_account[account] = Sums()
            where = by_destination.get(found[0])
            if where is None:
                where = by_destination[found[0]] = Sums()
            self._count((sums, where), found, used, old)
        for each in by_account.values():
            part.total.add(each)
        return part

    def _count(
        self, groups: tuple[Sums, Sums], found: tuple[str, Price | None, Price | None], used: int, old: Amount
    ) -> None:
        _, price, bought_at = found
        new = cost_of(price, used) if price is not None else 0
        bought = self._exchange.of(cost_of(bought_at, used)) if bought_at is not None and price is not None else 0
        for sums in groups:
            sums.records += 1
            sums.used += used
            sums.old += old
            if price is None:
                sums.unsold += 1
                continue
            sums.new += new
            sums.bought += bought
            if bought > new:
                sums.losing += 1
                sums.loss += bought - new
            if bought_at is None:
                sums.unbought += 1

    def _find(self, number: str) -> tuple[str, Price | None, Price | None]:
        tariff = self._deck.tariff(number, self._at_ms)
        bought = None if self._bought is None else self._bought.tariff(number, self._at_ms)
        bought_at = None if bought is None or isinstance(bought, RatingFault) else bought.price
        if isinstance(tariff, RatingFault):
            return NOT_SOLD.get(tariff, NO_PRICE), None, bought_at
        return tariff.destination, tariff.price, bought_at


def changed(sums: Mapping[str, Sums], count: int) -> tuple[list[tuple[str, Sums]], list[tuple[str, Sums]]]:
    """Name those who pay most more and those who pay most less, the largest change first."""
    ordered = sorted(sums.items(), key=lambda item: (-item[1].change, item[0]))
    more = [item for item in ordered if item[1].change > 0][:count]
    less = [item for item in reversed(ordered) if item[1].change < 0][:count]
    return more, less
