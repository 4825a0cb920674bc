"""Calls whose price is that of their answer, or of their end: chosen anew when that instant is known. Pure.

Until then they are charged by the price of their setup, and a grant sets aside the dearest of those that may come while it is
out: what has been used is priced anew as a whole, so that, too, is paid.
"""

from __future__ import annotations

from typing import Final

from msgspec import structs

from balance.account import Account
from ocs.charging.choice import tariff_at
from ocs.charging.counting import period_of
from ocs.charging.decision import Case
from ocs.charging.request import ChargingStatus, Quantity, RequestKind
from ocs.charging.session import Course, CreditSession, GroupState
from ocs.rating.price import held_for
from ocs.rating.terms import Clock, Price, as_used, chosen_at_ms, terms_of
from ocs.rating.units import UnitKind

RINGS_S_MAX: Final = 300
"""So long a call may ring after its first request: until then a price that is chosen by its answer may change."""

_LAST: Final = frozenset({RequestKind.TERMINATION})


def by_its_clock(
    case: Case, account: Account, session: CreditSession, state: GroupState, used: tuple[Quantity, ...] | None
) -> GroupState:
    """The group by the tariff of its answer or its end, if this request tells it; before its use is debited.

    Without a price there it keeps the one it was sold at.
    """
    request, price = case.request, state.tariff.price
    seconds = sum(quantity.value for quantity in used or () if quantity.kind is UnitKind.SECONDS)
    if terms_of(price).clock is Clock.ANSWER:
        # A Start tells the answer by itself; of other clients it is known with the first seconds that are reported.
        has_begun = request.cumulative and request.kind is RequestKind.INITIAL
        if state.used or not (seconds or has_begun):
            return state
    elif request.kind not in _LAST:
        return state
    at_ms = chosen_at_ms(price, session.opened_at_ms, request.event_at_ms, seconds)
    tariff = tariff_at(case, account, session, state, at_ms)
    if isinstance(tariff, ChargingStatus) or tariff.price.kind is not price.kind or period_of(tariff.price):
        return state
    anew = as_used(tariff.price, price)
    assert anew is not None, "a price without a period is one for every use"
    course = state.course
    if at_ms != session.opened_at_ms and terms_of(price).clock is Clock.ANSWER:
        course = structs.replace(course or Course(), pinned_at_ms=at_ms)
    chosen: GroupState = structs.replace(state, tariff=structs.replace(tariff, price=anew), course=course)
    return chosen


def dearest_to_come(
    case: Case, account: Account, session: CreditSession, state: GroupState, requested: tuple[Quantity, ...]
) -> Price | None:
    """The dearest of the prices that may be chosen while a grant is out; None where that is the one of now."""
    clock, request = terms_of(state.tariff.price).clock, case.request
    wanted = max((quantity.value for quantity in requested if quantity.kind is UnitKind.SECONDS), default=0)
    out_s = max(wanted, case.policy.validity_s)
    if clock is Clock.ANSWER:
        if state.used or (request.cumulative and request.kind is RequestKind.INITIAL):
            return None  # it has been chosen
        out_s = max(RINGS_S_MAX, request.lease_ms // 1000)
    used = state.used + (wanted or out_s)
    now, dearest, until_ms = state.tariff.price, None, state.tariff.valid_until_ms
    most = held_for(now, used)
    while 0 < until_ms <= request.event_at_ms + 1000 * out_s:
        tariff = tariff_at(case, account, session, state, until_ms)
        if isinstance(tariff, ChargingStatus):
            break
        if tariff.price.kind is now.kind and held_for(tariff.price, used) > most:
            dearest, most = tariff.price, held_for(tariff.price, used)
        until_ms = tariff.valid_until_ms if tariff.valid_until_ms > until_ms else 0
    return dearest
