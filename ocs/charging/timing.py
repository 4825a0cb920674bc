"""What the time of a session does to its price: seconds from its times, days on end. Pure."""

from __future__ import annotations

from msgspec import structs

from ocs.charging.course import pinned_at_ms
from ocs.charging.decision import Rates
from ocs.charging.policy import USED_MAX
from ocs.charging.request import ChargingRequest, Quantity
from ocs.charging.session import CreditSession, GroupState
from ocs.rating.charge import whole_seconds
from ocs.rating.terms import terms_of
from ocs.rating.units import UnitKind


def from_times(request: ChargingRequest, session: CreditSession, state: GroupState) -> tuple[Quantity, ...]:
    """A call whose switch sends no duration is charged from its times [R-64], by the tariff's rule for part seconds."""
    seconds = whole_seconds(state.tariff.price, session.opened_at_ms, request.event_at_ms)
    return (Quantity(UnitKind.SECONDS, seconds),)


def seeing_far_enough(
    rates: Rates,
    request: ChargingRequest,
    session: CreditSession,
    state: GroupState,
    used: tuple[Quantity, ...] | None,
    now_ms: int,
) -> GroupState:
    """Pin more of the calendar for a session that outlasts what is pinned of it, whatever it reports at once."""
    price, began_ms = state.tariff.price, pinned_at_ms(state, session)
    lasts_s = max(now_ms, request.event_at_ms) // 1000 - began_ms // 1000
    if used is not None and price.kind is UnitKind.SECONDS:
        carried = terms_of(price).carried
        total = state.used + sum(quantity.value for quantity in used if quantity.kind is price.kind)
        lasts_s = max(lasts_s, total - (carried.units if carried is not None else 0))
    found = price if lasts_s > USED_MAX[UnitKind.SECONDS] else rates.lasting(price, began_ms, lasts_s)
    return state if found is price else structs.replace(state, tariff=structs.replace(state.tariff, price=found))
