"""Data that pays for its time beside its volume: two counts of one group, granted and told together. Pure.

The time of a group is a group of its own in the session (``GroupKey.beside``): charged, reserved and recorded by the same
steps. Here a request's groups are asked for with their time, and the two answers become one: both quotas, or neither.
"""

from __future__ import annotations

from msgspec import structs

from balance.account import Account
from balance.burn import available
from ocs.charging.choice import new_state
from ocs.charging.decision import Case
from ocs.charging.quota import release
from ocs.charging.request import ChargingStatus, GroupAnswer, GroupKey, GroupRequest, Quantity
from ocs.charging.session import CreditSession, GroupState
from ocs.charging.steps import Charged, charge, grant_anew
from ocs.rating.price import units_within
from ocs.rating.terms import price_of_time
from ocs.rating.units import UnitKind


def charge_with_time(case: Case, account: Account, session: CreditSession) -> Charged | None:
    """Charge a request whose groups may pay for their time, too; None for an absurd report."""
    groups: list[GroupRequest] = []
    for group in case.request.groups:
        groups.append(group)
        if _pays_for_time(case, account, session, group.key):
            groups.append(_time_of(case, session, group))
    if len(groups) == len(case.request.groups):
        return charge(case, account, session)
    wide = structs.replace(case, request=structs.replace(case.request, groups=tuple(groups)))
    charged = charge(wide, account, session)
    return None if charged is None else _told_together(wide, charged)


def _pays_for_time(case: Case, account: Account, session: CreditSession, key: GroupKey) -> bool:
    state = session.group(key) or new_state(case, account, session, key)
    return isinstance(state, GroupState) and price_of_time(state.tariff.price) is not None


def _time_of(case: Case, session: CreditSession, group: GroupRequest) -> GroupRequest:
    """The same group's time. A client that reports its volume alone has been there since the session's beginning."""
    key = structs.replace(group.key, beside=True)
    used = group.used
    if used is not None and not any(quantity.kind is UnitKind.SECONDS for quantity in used):
        state = session.group(key)
        before = state.used if state is not None and not case.request.cumulative else 0
        passed_s = max(0, case.request.event_at_ms - session.opened_at_ms) // 1000
        used = (Quantity(UnitKind.SECONDS, max(0, passed_s - before)),)
    return GroupRequest(key, group.requested, used)


def _told_together(case: Case, charged: Charged) -> Charged:
    """One answer for a group and its time."""
    account, states = charged.account, list(charged.groups)
    found: list[GroupAnswer] = []
    for answer in charged.answers:
        if not answer.key.beside:
            found.append(answer)
        elif not answer.granted and found[-1].status is answer.status is ChargingStatus.SUCCESS:
            continue  # nothing was asked, or nothing has to be counted
        else:
            account, found[-1] = _joined(case, charged.session, account, states, found[-1], answer)
    return Charged(account, charged.session, tuple(states), tuple(found))


def _joined(
    case: Case,
    session: CreditSession,
    account: Account,
    states: list[GroupState],
    volume: GroupAnswer,
    time: GroupAnswer,
) -> tuple[Account, GroupAnswer]:
    """Both quotas in one answer. Where the money is not enough for both, the time gets half of it first."""
    if not volume.granted or not time.granted:
        places = [next((at for at, state in enumerate(states) if state.key == each.key), -1) for each in (volume, time)]
        if -1 in places:  # one of them has no price: the group has none
            return account, volume if volume.status is not ChargingStatus.SUCCESS else time
        for at in places:
            account, states[at] = release(account, states[at], case.now_ms)
        account, volume, time = _shared(case, session, account, states, (places[0], places[1]))
        if not volume.granted or not time.granted:
            for at in places:
                account, states[at] = release(account, states[at], case.now_ms)
                states[at] = structs.replace(states[at], is_waiting=True)
            return account, GroupAnswer(volume.key, (time if volume.granted else volume).status)
    validity_s = min(filter(None, (volume.validity_s, time.validity_s)), default=0)
    final = max(volume.final, time.final)
    return account, structs.replace(volume, granted_s=time.granted, validity_s=validity_s, final=final)


def _shared(
    case: Case, session: CreditSession, account: Account, states: list[GroupState], places: tuple[int, int]
) -> tuple[Account, GroupAnswer, GroupAnswer]:
    """Grant both anew: the time for as long as half of the money lasts, the volume for the rest."""
    of_volume, of_time = states[places[0]], states[places[1]]
    wish = case.policy.wish(UnitKind.SECONDS, 0, all_affordable=False)
    half = of_time.cost + available(account, case.now_ms) // 2
    seconds = units_within(of_time.tariff.price, half, of_time.used + wish) - of_time.used
    asked = (Quantity(UnitKind.SECONDS, max(1, seconds)),)
    account, states[places[1]], time = grant_anew(case, account, session, of_time, asked)
    account, states[places[0]], volume = grant_anew(case, account, session, of_volume, ())
    return account, volume, time
