"""Buckets of units beside money: what they pay of a use, and what of them a grant holds.

What is billed since the last report is taken from the buckets first; what they do not cover is priced as money. The
session's price says how many of its units they have covered, so its cost is a function of its price and its use as ever.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from msgspec import structs

from balance.account import NEVER_MS, Account, Reservation, UnitBucket
from balance.allowances import free_units, reserve_units, settle_units, usable
from balance.money import Amount
from ocs.charging.cdr import Taken
from ocs.charging.session import GroupState, UnitUse
from ocs.rating.charge import billed_in_all
from ocs.rating.price import held_for
from ocs.rating.terms import Price, terms_of, with_terms

_NONE: Final[Reservation] = ()


class Spread:
    """What a grant would cost beyond what buckets of units pay of it."""

    __slots__ = ("_before", "_is_simple", "_later", "_paid", "_price", "buckets", "free")

    def __init__(
        self, account: Account, state: GroupState, units: UnitUse, now_ms: int, later: Price | None = None
    ) -> None:
        """``later`` is the price after a switch that comes while the grant is out: the dearer one counts."""
        self._later = later
        self._price = state.tariff.price
        self._paid = state.cost
        terms = terms_of(self._price)
        self._is_simple = not terms.attempt_fee and not terms.restarts
        self._before = billed_in_all(self._price, state.used)
        self.buckets = usable(account, units.bundles, self._price.kind, now_ms)
        self.free = free_units(self.buckets)

    def covered(self, total: int) -> int:
        """How many units of a use of so many in all the buckets pay beyond what they have paid."""
        return min(billed_in_all(self._price, total) - self._before, self.free)

    def price(self, total: int) -> Price:
        """The price of such a use, with what the buckets pay."""
        return with_covered(self._price, self.covered(total))

    def cost(self, _price: Price, total: int) -> Amount:
        """The most that such a use costs in money: what was paid so far, if the buckets pay all that is new."""
        if self._is_simple and billed_in_all(self._price, total) - self._before <= self.free:
            return self._paid
        most = held_for(self.price(total), total)
        if self._later is not None:
            most = max(most, held_for(with_covered(self._later, self.covered(total)), total))
        return most

    def within(self, price: Price, budget: Amount, limit: int) -> int:
        """The largest use up to a limit that costs no more than a budget: it never gets cheaper with more use."""
        return largest(lambda total: self.cost(price, total) <= budget, limit)


def largest(is_paid: Callable[[int], bool], limit: int) -> int:
    """The largest number up to a limit for which something holds that holds for all smaller ones; 0 if for none."""
    if is_paid(limit):
        return limit
    paid, unpaid = 0, limit
    while unpaid - paid > 1:
        middle = (paid + unpaid) // 2
        if is_paid(middle):
            paid = middle
        else:
            unpaid = middle
    return paid


def hold_units(account: Account, state: GroupState, spread: Spread, granted: int) -> tuple[Account, GroupState]:
    """Set aside what the buckets pay of a grant."""
    assert state.units is not None, "asked only for a group that has bundles"
    account, held = reserve_units(account, spread.buckets, spread.covered(state.used + granted))
    return account, structs.replace(state, units=structs.replace(state.units, held=held))


def release_units(account: Account, state: GroupState) -> tuple[Account, GroupState]:
    """Give back what a grant holds in buckets of units."""
    units = state.units
    if units is None or not units.held:
        return account, state
    account, _ = settle_units(account, units.held, [], 0)
    return account, structs.replace(state, units=structs.replace(units, held=()))


def take_units(
    account: Account, state: GroupState, units: UnitUse, total: int, now_ms: int, keeps_grant: bool
) -> tuple[Account, GroupState]:
    """Take what is billed since the last report from what the grant held, then from what else there is."""
    price = state.tariff.price
    wanted = billed_in_all(price, total) - billed_in_all(price, state.used)
    buckets = usable(account, units.bundles, price.kind, now_ms)
    names = {bucket.bucket_id: bucket.bundle for bucket in account.extras.units} if account.extras is not None else {}
    account, taken = settle_units(account, _NONE if keeps_grant else units.held, buckets, wanted)
    covered = sum(hold.amount for hold in taken)
    tariff = state.tariff
    if covered:
        tariff = structs.replace(tariff, price=with_covered(price, covered))
    noted = _noted(units.taken, taken, names)
    kept = units.held if keeps_grant else ()
    return account, structs.replace(state, tariff=tariff, units=structs.replace(units, taken=noted, held=kept))


def first_end_ms(account: Account, held: Reservation) -> int:
    """When the first of the buckets ends that a grant holds units in; 0 if none does."""
    ids = {hold.bucket_id for hold in held}
    buckets: tuple[UnitBucket, ...] = account.extras.units if account.extras is not None else ()
    ends = [each.expires_at_ms for each in buckets if each.bucket_id in ids and each.expires_at_ms != NEVER_MS]
    return min(ends, default=0)


def with_covered(price: Price, more: int) -> Price:
    """The price of a use of which so many more billed units (below zero: less) are paid by buckets of units."""
    terms = terms_of(price)
    return with_terms(price, structs.replace(terms, covered=terms.covered + more)) if more else price


def _noted(before: tuple[Taken, ...], taken: Reservation, names: dict[int, str]) -> tuple[Taken, ...]:
    if not taken:
        return before
    sums = {each.bucket_id: each for each in before}
    for hold in taken:
        known = sums.get(hold.bucket_id) or Taken(hold.bucket_id, names[hold.bucket_id], 0)
        sums[hold.bucket_id] = Taken(known.bucket_id, known.bundle, known.units + hold.amount)
    return tuple(sums.values())
