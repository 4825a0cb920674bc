"""A group whose price changes in mid-session: what was used before costs the old price, what is used then the new one. Pure.

What came before a change is kept as a part of its own, so that the record shows each price with its use. An increment that
is paid may be used to its end, so a grant over a change never costs more than the dearer of both sides.
"""

from __future__ import annotations

from typing import Final

from msgspec import structs

from balance.money import Amount
from ocs.charging.cdr import CdrFlag, CdrGroup
from ocs.charging.request import GroupRequest
from ocs.charging.session import Course, CreditSession, GroupState
from ocs.rating.price import cost_of
from ocs.rating.terms import Carried, Price, Tariff, Terms, terms_of, with_terms
from ocs.rating.timetable import (
    begun_later,
    carried_over,
    going_on,
    in_progress,
    next_switch_s,
    paid_until,
    second_switch_s,
)
from ocs.rating.units import UnitKind

LATENESS_MS: Final = 5_000
"""A report that comes so soon after a change was made because of it: all of it was used before. So far clocks may differ."""

_NEW: Final = Course()


def shared_out(
    state: GroupState, group: GroupRequest, session: CreditSession, total: int, event_at_ms: int
) -> GroupState:
    """The group, charged by the price of now, before its use up to ``total`` is debited.

    What the client says of both sides of a switch counts; what it does not know was used before [G-74]. Who says nothing
    although a switch has passed is taken to have used evenly [G-75].
    """
    flags = CdrFlag.SIDE_ASSUMED if group.is_side_unsure else 0
    if group.after is not None:
        after = next((q.value for q in group.after if q.kind == state.tariff.price.kind), 0)
        if after and switch_at_ms(state, session) <= event_at_ms + LATENESS_MS:
            state = over_switch(state, session, max(state.used, total - after))
        elif after:  # of a change that is still to come nothing can be after
            flags = CdrFlag.SIDE_ASSUMED
    else:
        used, from_ms = state.used, (state.course or _NEW).measured_at_ms or session.opened_at_ms
        while next_switch_s(state.tariff.price) and switch_at_ms(state, session) + LATENESS_MS < event_at_ms:
            at_ms = max(from_ms, switch_at_ms(state, session))
            used += (total - used) * (at_ms - from_ms) // (event_at_ms - from_ms) if from_ms < event_at_ms else 0
            state, from_ms, flags = over_switch(state, session, used), at_ms, CdrFlag.SIDE_ASSUMED
    return structs.replace(state, flags=state.flags | flags) if flags else state


def over_switches(state: GroupState, session: CreditSession, now_ms: int) -> GroupState:
    """The group after all switches that have passed: what was reported so far was used before them [85, 86]."""
    while next_switch_s(state.tariff.price) and switch_at_ms(state, session) <= now_ms:
        state = over_switch(state, session, state.used)
    return state


def over_switch(state: GroupState, session: CreditSession, used: int) -> GroupState:
    """The group at the price after its next switch; it had used so much by then."""
    price = state.tariff.price
    cost = cost_of(price, used)
    then = carried_over(price, next_switch_s(price), used, cost)
    course = structs.replace(state.course or _NEW, from_ms=switch_at_ms(state, session))
    return _followed(state, structs.replace(state.tariff, price=then), used, cost, course)


def measured(state: GroupState, event_at_ms: int) -> GroupState:
    """Remember until when the group's use is known: what is reported next was used since then."""
    return structs.replace(state, course=structs.replace(state.course or _NEW, measured_at_ms=event_at_ms))


def switch_at_ms(state: GroupState, session: CreditSession) -> int:
    """When the price changes next."""
    return pinned_at_ms(state, session) + next_switch_s(state.tariff.price) * 1000


def second_switch_at_ms(state: GroupState, session: CreditSession) -> int:
    """When it changes once more; 0 if it does not."""
    after_s = second_switch_s(state.tariff.price)
    return pinned_at_ms(state, session) + after_s * 1000 if after_s else 0


def price_after(state: GroupState) -> Price:
    """What is used after the next switch costs so much, if nothing more is used before."""
    price = state.tariff.price
    return carried_over(price, next_switch_s(price), state.used, state.cost)


def by_another_tariff(state: GroupState, tariff: Tariff, at_ms: int, whereabouts: str) -> GroupState:
    """The group by another tariff from an instant on: what was used has its price, and fees were due at the beginning."""
    used, cost = state.used, state.cost
    paid = paid_until(state.tariff.price, used)
    price = begun_later(tariff.price, paid - used) if tariff.price.kind is UnitKind.SECONDS else tariff.price
    price = going_on(price, paid, cost)
    course = structs.replace(state.course or _NEW, from_ms=at_ms, pinned_at_ms=at_ms, whereabouts=whereabouts)
    return _followed(state, structs.replace(tariff, price=price), used, cost, course)


def costs_the_same(state: GroupState, session: CreditSession, tariff: Tariff, at_ms: int) -> bool:
    """Tell whether what is used from an instant on costs the same by another tariff, chosen then."""
    price = state.tariff.price
    if price.kind is UnitKind.SECONDS:
        price = begun_later(price, (at_ms - pinned_at_ms(state, session)) // 1000)
    if state.used:
        price, then = in_progress(price), in_progress(tariff.price)
    else:
        then = tariff.price
    if not isinstance(price.terms, Terms) or not isinstance(then.terms, Terms):
        return price == then
    bands = zip(price.terms.switches, then.terms.switches, strict=False)
    return all((one.name, one.price) == (other.name, other.price) for one, other in bands) and (
        _of_now(price, price.terms) == _of_now(then, then.terms)
    )


def _of_now(price: Price, terms: Terms) -> Price:
    return with_terms(price, structs.replace(terms, switches=(), carried=None, known_s=0))


def record_groups(state: GroupState) -> tuple[CdrGroup, ...]:
    """What the record says of a group: one line for each price that it had, without those by which nothing was used."""
    course = state.course
    last = _part(state, state.used, state.cost)
    if course is None or not course.parts:
        groups: tuple[CdrGroup, ...] = (last,)
    else:
        groups = course.parts if not last.used and not last.cost else (*course.parts, last)
    if state.units is None:
        return groups
    return (*groups[:-1], structs.replace(groups[-1], taken=state.units.taken))


def _followed(state: GroupState, tariff: Tariff, used: int, cost: Amount, course: Course) -> GroupState:
    """The group by another tariff; what it had used and cost by then becomes a part."""
    part = _part(structs.replace(state, course=state.course or _NEW), used, cost)
    parts = (*course.parts, part) if part.used or part.cost else course.parts
    return structs.replace(state, tariff=tariff, course=structs.replace(course, parts=parts))


def _part(state: GroupState, used: int, cost: Amount) -> CdrGroup:
    """What was used and paid since the last change. A group that never changed need not say by which version."""
    course, used_before, cost_before = state.course or _NEW, 0, 0
    for part in course.parts:
        used_before += part.used
        cost_before += part.cost
    tariff = state.tariff
    return CdrGroup(
        state.key.rating_group,
        state.key.service_ids,
        tariff.price.kind,
        used - used_before,
        cost - cost_before,
        tariff.name,
        tariff.destination,
        tariff.prefix,
        tariff.source,
        _by_itself(tariff.price, used_before) if course.parts else tariff.price,
        course.from_ms,
        course.whereabouts,
        tariff.version if state.course is not None else "",
    )


def _by_itself(price: Price, used_before: int) -> Price:
    """The price of a part alone. Its first units may lie in an increment that was paid before the change."""
    terms: Terms = terms_of(price)
    ahead = terms.carried.units - used_before if terms.carried is not None else 0
    return with_terms(price, structs.replace(terms, carried=Carried(ahead, 0) if ahead > 0 else None))


def pinned_at_ms(state: GroupState, session: CreditSession) -> int:
    """When the group's tariff was chosen: its switches are counted from there."""
    return (state.course.pinned_at_ms if state.course is not None else 0) or session.opened_at_ms
