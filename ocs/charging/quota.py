"""The arithmetic of one group: debit what was reported, release what was held, reserve and grant anew.

Everything is computed on the session's total use: cost_of(total) minus what was debited before. So the number of
updates cannot change a price, a connection fee is charged once, and rounding happens once per call.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final, TypeAlias

from msgspec import structs

from balance.account import Account, AccountState
from balance.burn import add_holds, available, first_expiry_ms, give_back, reserve, settle, total_of
from balance.money import Amount
from ocs.charging.caps import NO_CAPS, Room, hold, room, settle_caps
from ocs.charging.cdr import CdrFlag
from ocs.charging.counting import (
    count_use,
    ends_at_ms,
    give_back_places,
    keep_places,
    period_of,
    placed,
    until_next_status,
)
from ocs.charging.policy import COST_MAX, SILENCE_MARGIN_S, USED_MAX, QuotaPolicy
from ocs.charging.request import ChargingStatus, FinalUnitAction, GroupAnswer, Quantity
from ocs.charging.session import GroupState, UnitUse
from ocs.charging.units import Spread, first_end_ms, hold_units, release_units, take_units
from ocs.rating.price import Price, Terms, cost_of, dearer, held_for, is_free, units_within, units_within_both
from ocs.rating.rateplan import Authorization
from ocs.rating.units import UnitKind

_ACTIVE: Final = AccountState.ACTIVE
_SUCCESS: Final = ChargingStatus.SUCCESS
_SECONDS: Final = UnitKind.SECONDS

Granted: TypeAlias = tuple[Account, GroupState, GroupAnswer]


def total_used(state: GroupState, used: tuple[Quantity, ...], is_cumulative: bool, octets_wrap: int = 0) -> int | None:
    """The session's use after this report, in the unit the tariff prices; None when it is beyond belief.

    Other kinds are information only (statement 39). A cumulative counter never goes down (statement 65); one of octets
    that begins again at ``octets_wrap`` and fell by more than half of that has done so since [R-63].
    """
    kind = state.tariff.price.kind
    reported = 0
    for quantity in used:
        if not 0 <= quantity.value <= USED_MAX[quantity.kind]:
            return None
        if quantity.kind == kind:
            reported = quantity.value
    if octets_wrap and kind is UnitKind.OCTETS and state.used - reported > octets_wrap // 2:
        reported += -(-(state.used - reported - octets_wrap // 2) // octets_wrap) * octets_wrap
    total = max(state.used, reported) if is_cumulative else state.used + reported
    return total if total <= USED_MAX[kind] else None


def went_down(state: GroupState, used: tuple[Quantity, ...]) -> bool:
    """Whether a total is less than one that was told before."""
    kind = state.tariff.price.kind
    return any(quantity.value < state.used for quantity in used if quantity.kind == kind)


def report(
    account: Account, state: GroupState, total: int, now_ms: int, keeps_grant: bool = False
) -> tuple[Account, GroupState] | None:
    """Debit the use up to ``total`` and end the group's reservation (unless a newer grant is out, [G-5]).

    None when the price of so much is beyond what can be booked.
    """
    assert total >= state.used, "use never falls"
    if state.units is not None or type(state.tariff.price.terms) is Terms:
        account, state = laid_out(account, state, total, now_ms, keeps_grant)
    cost = cost_of(state.tariff.price, total)
    if cost > COST_MAX:
        return None
    reservation = () if keeps_grant else state.reservation
    if cost >= state.cost:
        account, debits = settle(account, reservation, cost - state.cost, now_ms)
        debits = add_holds(state.debits, debits)
    else:  # the use has reached a tier that makes all of it cheaper
        account, debits = give_back(account, reservation, state.debits, state.cost - cost)
    if state.units is not None and state.units.caps:
        account, state = settle_caps(
            account, state, state.units, cost - state.cost, total - state.used, now_ms, keeps_grant
        )
    flags = state.flags
    if total - state.used > state.granted:
        flags |= CdrFlag.OVERUSED if state.granted_by >= 0 else CdrFlag.NEVER_GRANTED
    return account, GroupState(
        state.key,
        state.tariff,
        total,
        cost,
        debits,
        state.granted if keeps_grant else 0,
        state.reservation if keeps_grant else (),
        state.granted_by,
        flags,
        state.is_waiting,
        state.course,
        state.units,
    )


def laid_out(
    account: Account, state: GroupState, total: int, now_ms: int, keeps_grant: bool = False
) -> tuple[Account, GroupState]:
    """Say of a use up to ``total`` what buckets of units pay, and which tiers of a period the rest lies in."""
    if state.units is not None:
        account, state = take_units(account, state, state.units, total, now_ms, keeps_grant)
    period = period_of(state.tariff.price)
    if period is not None:
        account, state = count_use(account, state, period, total, now_ms, keeps_grant)
    return account, state


def release(account: Account, state: GroupState, now_ms: int) -> tuple[Account, GroupState]:
    """End the group's reservation without a debit."""
    if not state.reservation and not state.granted:
        return account, state
    account, _ = settle(account, state.reservation, 0, now_ms)
    if state.units is not None or type(state.tariff.price.terms) is Terms:
        account, state = _units_released(account, state, now_ms)
    return account, GroupState(
        state.key,
        state.tariff,
        state.used,
        state.cost,
        state.debits,
        0,
        (),
        state.granted_by,
        state.flags,
        state.is_waiting,
        state.course,
        state.units,
    )


def costs_an_attempt(state: GroupState) -> bool:
    """Whether something is due that was not paid, though no use was ever reported."""
    price = state.tariff.price
    return type(price.terms) is Terms and not state.cost and bool(cost_of(price, state.used))


def _units_released(account: Account, state: GroupState, now_ms: int) -> tuple[Account, GroupState]:
    account, state = release_units(account, state)
    if state.units is not None and state.units.spent:
        account, state = settle_caps(account, state, state.units, 0, 0, now_ms)
    period = period_of(state.tariff.price)
    return (account, state) if period is None else give_back_places(account, state, period)


def ended(account: Account, state: GroupState, now_ms: int) -> tuple[Account, GroupState]:
    """End the group for good: an attempt of which no use was ever reported is an attempt all the same."""
    if costs_an_attempt(state):
        reported = report(account, state, state.used, now_ms)
        assert reported is not None, "what nothing costs can be booked"
        return reported
    return release(account, state, now_ms)


def grant(
    account: Account,
    state: GroupState,
    requested: tuple[Quantity, ...],
    policy: QuotaPolicy,
    now_ms: int,
    number: int,
    all_affordable: bool = False,
    limit: Authorization | None = None,
    later: Price | None = None,
    takes_half: bool = False,
) -> Granted:
    """Promise as much as is wanted and can be paid, set the money aside, and say so; or say why not.

    The largest grant is the exact inverse of the price: never more than can be paid, and the final-unit mark goes
    with the last grant, not after it (statements 49, 74). Where the price changes to ``later`` meanwhile, the dearer of both
    is set aside for all of it [G-70]. ``takes_half`` leaves half to another session, if it can; ``limit`` [R-46].
    """
    assert not state.reservation, "a group holds one reservation at a time"
    period = period_of(state.tariff.price)
    if period is not None:
        account, state = placed(account, state, period, now_ms)
    price, used, paid = state.tariff.price, state.used, state.cost
    free = is_free(price) and (later is None or is_free(later))
    if account.state is not _ACTIVE and not free:
        return account, _waiting(state), GroupAnswer(state.key, ChargingStatus.SERVICE_DENIED)
    wish = policy.wish(price.kind, _asked(requested, price.kind), all_affordable)
    granted = wish if period is None else until_next_status(state, wish)
    spendable = available(account, now_ms)
    most_of: Callable[[Price, int], Amount] = held_for if type(price.terms) is Terms else cost_of
    within: Callable[[Price, Amount, int], int] = units_within
    spread, caps = None, NO_CAPS
    if state.units is not None:
        account, spread, caps, spendable = _spread(account, state, state.units, later, spendable, now_ms)
        most_of, within = spread.cost, spread.within
        granted = granted if caps.units is None else min(granted, caps.units)
    elif later is not None:
        most_of, within = partial(dearer, later), partial(units_within_both, later)
    at_once = spendable // 2 if takes_half else spendable
    if limit is not None:
        granted, at_once = _within(limit, account, state, granted, spendable, most_of(price, used + 1) - paid)
    held_cost = most_of(price, used + granted)
    if held_cost - paid > at_once and not free:
        wanted = used + granted
        granted = within(price, paid + at_once, wanted) - used
        if takes_half and granted <= 0:
            granted = within(price, paid + spendable, wanted) - used
        held_cost = most_of(price, used + granted)
    if granted <= 0:
        return account, _waiting(state), GroupAnswer(state.key, ChargingStatus.CREDIT_LIMIT_REACHED)
    held = reserve(account, max(held_cost, paid) - paid, now_ms)  # what a bundle makes cheaper comes with the report
    assert held is not None, "units_within() never promises more than there is"
    after, reservation = held
    is_final = (not free and most_of(price, used + granted + 1) - paid > spendable) or granted == caps.units
    answer = GroupAnswer(
        state.key,
        _SUCCESS,
        price.kind,
        granted,
        _validity_s(account, price.kind, granted, policy, now_ms),
        FinalUnitAction.TERMINATE if is_final else -1,
        0 if is_final else granted * policy.threshold_percent // 100,
    )
    state = GroupState(
        state.key, state.tariff, used, paid, state.debits, granted, reservation, number, state.flags, is_final,
        state.course, state.units,
    )  # fmt: skip
    if spread is not None or period is not None:
        return _in_units(after, state, answer, spread, caps, now_ms)
    return after, state, answer


def _within(
    limit: Authorization, account: Account, state: GroupState, wanted: int, spendable: Amount, least: Amount
) -> tuple[int, Amount]:
    """How much a call may hold at once, in units and in money: a share is of what all calls hold together and what is
    free, but never less than the first increment, or a small balance could not be used at all.
    """
    if limit.cap_s and state.tariff.price.kind is UnitKind.SECONDS:
        wanted = min(wanted, limit.cap_s)
    if limit.share == 1:
        return wanted, spendable
    held = sum(bucket.reserved for bucket in account.buckets)
    return wanted, min(spendable, max((spendable + held) // limit.share, least))


def _asked(requested: tuple[Quantity, ...], kind: UnitKind) -> int:
    """What is wanted in the unit that is priced; 0 leaves it to us."""
    asked = 0
    for quantity in requested:
        if quantity.kind == kind:
            asked = quantity.value
    return asked


def _spread(
    account: Account, state: GroupState, units: UnitUse, later: Price | None, spendable: Amount, now_ms: int
) -> tuple[Account, Spread, Room, Amount]:
    """What buckets of units pay of a grant, what its caps leave, and how much money that is."""
    spread = Spread(account, state, units, now_ms, later)
    account, found = room(account, units, now_ms)
    return account, spread, found, max(0, spendable if found.money is None else min(spendable, found.money))


def _in_units(
    account: Account,
    state: GroupState,
    answer: GroupAnswer,
    spread: Spread | None,
    caps: Room,
    now_ms: int,
) -> Granted:
    """Hold the units, the places and the share of caps of a grant; have the client back when the first of them ends."""
    price, ends = state.tariff.price, []
    if caps is not NO_CAPS:
        account, state = hold(account, state, caps, total_of(state.reservation), answer.granted)
    if spread is not None:
        price = spread.price(state.used + answer.granted)
        account, state = hold_units(account, state, spread, answer.granted)
        ends.append(first_end_ms(account, state.units.held if state.units is not None else ()))
    period = period_of(price)
    if period is not None:
        account, state = keep_places(account, state, price, period, answer.granted)
        ends.append(ends_at_ms(account, period))
    left_s = [(end_ms - now_ms) // 1000 for end_ms in ends if end_ms]
    return account, state, structs.replace(answer, validity_s=max(1, min([answer.validity_s, *left_s])))


def until_its_end(account: Account, requested: tuple[Quantity, ...], now_ms: int) -> tuple[Quantity, ...]:
    """What a call asks for, in seconds no more than are left to its account: who holds all he may use asks but once."""
    if not account.ends_at_ms:
        return requested
    left_s = max(1, (account.ends_at_ms - now_ms) // 1000)
    return tuple(
        Quantity(each.kind, min(each.value, left_s)) if each.kind is _SECONDS and each.value else each
        for each in requested
    )


def _waiting(state: GroupState) -> GroupState:
    return structs.replace(state, is_waiting=True)


def _validity_s(account: Account, kind: UnitKind, granted: int, policy: QuotaPolicy, now_ms: int) -> int:
    """Longer than the grant itself, since some clients cap the grant by it; shorter when money expires before."""
    validity_s = policy.validity_s
    if kind is _SECONDS:
        validity_s = max(validity_s, granted + SILENCE_MARGIN_S)
    expiry_ms = first_expiry_ms(account, now_ms) if len(account.buckets) > 1 else 0
    if account.extras is not None and (end_ms := account.ends_at_ms):
        expiry_ms = min(expiry_ms or end_ms, end_ms)
    return max(1, min(validity_s, (expiry_ms - now_ms) // 1000)) if expiry_ms else validity_s
