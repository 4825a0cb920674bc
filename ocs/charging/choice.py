"""Which tariff a group is charged by: chosen when it is first used, and anew when its user or the rates have moved on. Pure.

A group keeps its tariff (ADR 9) until the place in which its user is chooses another price, or the operator lets open
sessions follow changed rates. Then what was used has its old price and the next grant the new one [G-60] (statements 88, 89).
"""

from __future__ import annotations

from typing import Final, NamedTuple

from msgspec import structs

from balance.account import Account
from ocs.charging.caps import asks_where, cap_names
from ocs.charging.counting import period_of
from ocs.charging.course import by_another_tariff, costs_the_same, pinned_at_ms
from ocs.charging.decision import Case, Rates
from ocs.charging.policy import FinalPolicy, final_policy
from ocs.charging.request import ChargingRequest, ChargingStatus, GroupKey, RequestKind
from ocs.charging.session import Course, CreditSession, GroupState, UnitUse
from ocs.rating.bundles import Use
from ocs.rating.origins import origin_of
from ocs.rating.price import Price, Tariff
from ocs.rating.ratebook import RatingFault
from ocs.rating.terms import price_of_time
from ocs.rating.units import UnitKind
from ocs.rating.whereabouts import facts_of, moved

_UPDATE: Final = RequestKind.UPDATE
_STATUS: Final = {RatingFault.DESTINATION_BARRED: ChargingStatus.DESTINATION_BARRED}


def new_state(case: Case, account: Account, session: CreditSession, key: GroupKey) -> GroupState | ChargingStatus:
    """The group as it begins. An emergency number has no plan, and no currency."""
    if case.request.currency and _is_rated_by_client(case.request, key):
        return as_asked(case, account, key)
    case.request.complete()
    whereabouts = moved(session.whereabouts, case.request.whereabouts)
    tariff = _tariff(case.rates, _payer(account), session, key, session.opened_at_ms, whereabouts)
    if isinstance(tariff, ChargingStatus):
        return tariff
    if whereabouts == session.whereabouts or not case.rates.by_place:
        return GroupState(key, tariff)
    return GroupState(key, tariff, course=Course(from_ms=case.request.event_at_ms, whereabouts=whereabouts))


def as_asked(case: Case, account: Account, key: GroupKey) -> GroupState | ChargingStatus:
    """The client has rated the use itself and names the amount (TS 32.299, 6.3.8: decentralised rating)."""
    if case.request.currency not in {"", account.currency}:
        return ChargingStatus.RATING_FAILED
    price = Price(UnitKind.MONEY, 0, 1, 1, 1, 1, 1)
    return GroupState(key, Tariff(price, account.rate_plan, "the amount that the client asked", "", "", "", ""))


def is_in_other_money(case: Case, account: Account, found: GroupState | ChargingStatus) -> bool:
    """Whether a group of amounts is reported in a currency that its account has none of (statement 10)."""
    if case.request.currency == account.currency or isinstance(found, ChargingStatus):
        return False
    return found.tariff.price.kind is UnitKind.MONEY


def _is_rated_by_client(request: ChargingRequest, key: GroupKey) -> bool:
    group = next((group for group in request.groups if group.key == key), None)
    quantities = () if group is None else (*(group.requested or ()), *(group.used or ()))
    return any(quantity.kind is UnitKind.MONEY for quantity in quantities)


def with_bundles(
    case: Case, account: Account, session: CreditSession, state: GroupState, is_report: bool = False
) -> GroupState:
    """Say which bundles may pay for a group, and which caps it counts for, once its account has any.

    A report is of use where the user was when it was granted: it counts for the caps of that place.
    """
    extras, units = account.extras, state.units or UnitUse()
    if extras is None or not (extras.units or extras.caps or state.units):
        return state
    bundles, caps = units.bundles, units.caps
    is_placed = bool(extras.caps) and asks_where(account)
    if not is_placed:
        caps = cap_names(account, session, state, "")
    elif not (is_report and state.granted_by >= 0):
        case.request.complete()
        whereabouts = moved(_whereabouts_of(session, state), case.request.whereabouts)
        caps = cap_names(account, session, state, facts_of(whereabouts).get("network", ""))
    if extras.units and not bundles:
        case.request.complete()
        origin = origin_of(session.origin, session.peer, _whereabouts_of(session, state))
        use = Use(session.service, state.key.rating_group, session.destination, session.opened_at_ms, origin)
        bundles = case.rates.bundles_for(account.rate_plan, state.tariff, use)
    if (bundles, caps) == (units.bundles, units.caps):
        return state
    return structs.replace(state, units=structs.replace(units, bundles=bundles, caps=caps))


def may_choose_anew(case: Case, account: Account, session: CreditSession) -> bool:
    """Tell whether anything that chooses prices can have changed since the session's last grant. Asked for every update."""
    request, rates = case.request, case.rates
    if request.kind is not _UPDATE or request.cumulative:
        return False  # RADIUS calls hold a grant for all that they can pay, and Rf reports what is over
    if rates.by_place and (account.rate_plan, session.service) in rates.by_place:
        request.complete()
        return True
    return case.follow_since_ms > 0


def chosen_anew(case: Case, account: Account, session: CreditSession, state: GroupState) -> GroupState | ChargingStatus:
    """The group, charged by what applies now; as it is if that costs the same, or is counted in other units."""
    known = _whereabouts_of(session, state)
    whereabouts = moved(known, case.request.whereabouts)
    has_moved = whereabouts != known and bool(case.rates.by_place)
    is_outdated = pinned_at_ms(state, session) < case.follow_since_ms and state.tariff.version != case.rates.version
    if not has_moved and not is_outdated:
        return state
    event_at_ms = case.request.event_at_ms
    tariff = _tariff(case.rates, _payer(account), session, state.key, event_at_ms, whereabouts)
    if isinstance(tariff, ChargingStatus):
        return tariff
    counted = period_of(state.tariff.price), period_of(tariff.price)
    if counted != (None, None) or not _is_other(state, session, tariff, event_at_ms):
        return state  # what fills the tiers of a period keeps its tariff to its end
    return by_another_tariff(state, tariff, event_at_ms, whereabouts if has_moved else known)


def tariff_at(
    case: Case, account: Account, session: CreditSession, state: GroupState, at_ms: int
) -> Tariff | ChargingStatus:
    """What a group would be charged by, had it been chosen at an instant."""
    return _tariff(case.rates, _payer(account), session, state.key, at_ms, _whereabouts_of(session, state))


def final_for(case: Case, account: Account, session: CreditSession) -> FinalPolicy | None:
    """What follows on the last quota, unless that is the end: as the plan says it, else the settings. Not for RADIUS."""
    request, policy = case.request, case.policy
    if request.cumulative or request.lease_ms:
        return None
    own = case.rates.final_units.get((account.rate_plan, session.service))
    return policy.finals.get(session.service) if own is None else final_policy(own, policy.validity_s)


def is_concerned(rates: Rates, session: CreditSession, now_ms: int) -> bool:
    """Tell whether these rates charge what an open session uses from now on otherwise than it is charged."""
    payer = _Payer(session.rate_plan, session.currency)
    for state in session.groups:
        tariff = _tariff(rates, payer, session, state.key, now_ms, _whereabouts_of(session, state))
        if isinstance(tariff, ChargingStatus) or _is_other(state, session, tariff, now_ms):
            return True
    return False


class _Payer(NamedTuple):
    """What of an account chooses prices."""

    rate_plan: str
    currency: str


def _payer(account: Account) -> _Payer:
    return _Payer(account.rate_plan, account.currency)


def _whereabouts_of(session: CreditSession, state: GroupState) -> str:
    return (state.course.whereabouts if state.course is not None else "") or session.whereabouts


def _is_other(state: GroupState, session: CreditSession, tariff: Tariff, at_ms: int) -> bool:
    is_same_unit = tariff.price.kind is state.tariff.price.kind
    return is_same_unit and not costs_the_same(state, session, tariff, at_ms)


def _tariff(
    rates: Rates, payer: _Payer, session: CreditSession, key: GroupKey, at_ms: int, whereabouts: str
) -> Tariff | ChargingStatus:
    tariff = rates.tariff_for(
        payer.rate_plan,
        session.service,
        key.rating_group,
        key.service_ids,
        session.destination,
        at_ms,
        origin_of(session.origin, session.peer, whereabouts),
    )
    if isinstance(tariff, RatingFault):
        return _STATUS.get(tariff, ChargingStatus.RATING_FAILED)
    if tariff.plan and rates.currency_of(payer.rate_plan) != payer.currency:
        return ChargingStatus.RATING_FAILED
    if key.beside:
        time = price_of_time(tariff.price)
        return ChargingStatus.RATING_FAILED if time is None else structs.replace(tariff, price=time)
    return tariff
