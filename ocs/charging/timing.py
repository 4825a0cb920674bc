"""What the time of a session does to its price: seconds from its times, bands that follow each other, days on end. Pure."""

from __future__ import annotations

from msgspec import structs

from ocs.charging.decision import Rates
from ocs.charging.policy import USED_MAX
from ocs.charging.request import ChargingRequest, Quantity
from ocs.charging.session import CreditSession, GroupState
from ocs.rating.charge import whole_seconds
from ocs.rating.timetable import carried_over, next_switch_s
from ocs.rating.units import UnitKind


def from_times(request: ChargingRequest, session: CreditSession, state: GroupState) -> tuple[Quantity, ...]:
    """A call whose switch sends no duration is charged from its times [R-64], by the tariff's rule for part seconds."""
    seconds = whole_seconds(state.tariff.price, session.opened_at_ms, request.event_at_ms)
    return (Quantity(UnitKind.SECONDS, seconds),)


def over_switch(state: GroupState, session: CreditSession, now_ms: int) -> tuple[GroupState, int]:
    """What data or events cost from now on, and when that changes: what was reported so far has its price [85, 86]."""
    passed_s = (now_ms - session.opened_at_ms) // 1000
    price = carried_over(state.tariff.price, passed_s, state.used, state.cost)
    if price is not state.tariff.price:
        state = structs.replace(state, tariff=structs.replace(state.tariff, price=price))
    return state, next_switch_s(price)


def seeing_far_enough(
    rates: Rates,
    request: ChargingRequest,
    session: CreditSession,
    state: GroupState,
    used: tuple[Quantity, ...] | None,
    now_ms: int,
) -> GroupState:
    """Pin more of the calendar for a session that outlasts what is pinned of it, whatever it reports at once."""
    price = state.tariff.price
    lasts_s = max(now_ms, request.event_at_ms) // 1000 - session.opened_at_ms // 1000
    if used is not None and price.kind is UnitKind.SECONDS:
        lasts_s = max(lasts_s, state.used + sum(quantity.value for quantity in used if quantity.kind is price.kind))
    found = price if lasts_s > USED_MAX[UnitKind.SECONDS] else rates.lasting(price, session.opened_at_ms, lasts_s)
    return state if found is price else structs.replace(state, tariff=structs.replace(state.tariff, price=found))
