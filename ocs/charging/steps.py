"""The steps that the state machine's actions are made of: charge the groups, then keep the session or close it."""

from __future__ import annotations

from typing import Final, TypeAlias

from msgspec import structs
from mypy_extensions import mypyc_attr

from balance.account import Account, AccountState, with_entry_number
from balance.burn import available, negated, total_of
from balance.money import Amount
from ocs.charging.admission import left
from ocs.charging.cdr import CdrFlag, JournalEntry
from ocs.charging.choice import chosen_anew, final_for, is_in_other_money, may_choose_anew, new_state, with_bundles
from ocs.charging.clocks import by_its_clock, dearest_to_come
from ocs.charging.closing import closing_record
from ocs.charging.counting import without_counts
from ocs.charging.course import (
    measured,
    over_switches,
    price_after,
    second_switch_at_ms,
    shared_out,
    switch_at_ms,
)
from ocs.charging.decision import Case, Decision
from ocs.charging.direction import whereabouts_at_start
from ocs.charging.policy import SILENCE_MARGIN_S
from ocs.charging.quota import Granted, ended, grant, release, report, total_used, until_its_end, went_down
from ocs.charging.repeats import stored_answer, with_answer, with_number
from ocs.charging.request import (
    ChargingAnswer,
    ChargingStatus,
    GroupAnswer,
    Quantity,
    RequestKind,
)
from ocs.charging.session import (
    CreditSession,
    GroupState,
    Seen,
    SessionKind,
    StoredAnswer,
    Tombstone,
)
from ocs.charging.timing import from_times, seeing_far_enough
from ocs.rating.price import is_free
from ocs.rating.terms import Clock, Price, Terms
from ocs.rating.timetable import next_switch_s
from ocs.rating.units import UnitKind

Answered: TypeAlias = Decision[ChargingAnswer]


_INITIAL: Final = RequestKind.INITIAL
_UPDATE: Final = RequestKind.UPDATE
_LEASE: Final = SessionKind.LEASE
_ACTIVE: Final = AccountState.ACTIVE
_SETUP: Final = Clock.SETUP
_SUCCESS: Final = ChargingStatus.SUCCESS


@mypyc_attr(acyclic=True)
class Charged:
    """What the groups of a request came to: ``session`` as it was before, ``groups`` as they are now."""

    __slots__ = ("account", "answers", "groups", "session")

    def __init__(
        self,
        account: Account,
        session: CreditSession,
        groups: tuple[GroupState, ...],
        answers: tuple[GroupAnswer, ...],
    ) -> None:
        self.account: Final = account
        self.session: Final = session
        self.groups: Final = groups
        self.answers: Final = answers


def charge(case: Case, account: Account, session: CreditSession) -> Charged | None:
    """Debit and grant group by group, in the order of the request (statement 50); None for an absurd report."""
    request, now_ms = case.request, case.now_ms
    number, kind = request.request_number, request.kind
    is_late = number < session.seen.highest
    wants_more = kind is _INITIAL or kind is _UPDATE
    final = final_for(case, account, session) if case.policy.finals or case.rates.final_units else None
    is_open_to_change = may_choose_anew(case, account, session)
    answers: list[GroupAnswer] = []
    states = list(session.groups)
    for group in request.groups:
        key, position = group.key, 0
        for position, known in enumerate(states):  # noqa: B007 - where it stands, or where a new one goes
            if known.key == key:
                found: GroupState | ChargingStatus = known
                break
        else:
            position = len(states)
            found = new_state(case, account, session, key)
        if request.currency and is_in_other_money(case, account, found):
            found = ChargingStatus.RATING_FAILED
        if isinstance(found, ChargingStatus):
            answers.append(GroupAnswer(key, found))
            continue
        state = found
        terms, has_switch = state.tariff.price.terms, False
        if isinstance(terms, Terms):
            if terms.known_s:
                state = seeing_far_enough(case.rates, request, session, state, group.used, now_ms)
            has_switch = next_switch_s(state.tariff.price) > 0
            if terms.clock is not _SETUP:
                state = by_its_clock(case, account, session, state, group.used)
        if account.extras is not None:
            state = with_bundles(case, account, session, state, group.used is not None)
        keeps_grant = is_late and state.granted_by > number
        used = group.used
        if request.duration_from_times:
            used = from_times(request, session, state)
        if used is not None:
            is_total = request.cumulative and not request.counts_since_last
            total = total_used(state, used, is_total, request.octets_wrap)
            if total is None:
                return None
            if total == state.used and total and is_total and not is_late and went_down(state, used):
                state = structs.replace(state, flags=state.flags | CdrFlag.COUNTER_WENT_DOWN)
            if has_switch:
                state = shared_out(state, group, session, total, request.event_at_ms)
            reported = report(account, state, total, now_ms, keeps_grant)
            if reported is None:
                return None
            account, state = reported
        if group.requested is None or not wants_more or keeps_grant:
            # Redirected or restricted: the client is to ask again after a while (statement 75).
            waits = final is not None and state.is_waiting and kind is _UPDATE
            answers.append(GroupAnswer(key, _SUCCESS, 0, 0, final.validity_s if waits and final else 0))
        else:
            if state.granted or state.reservation:
                account, state = release(account, state, now_ms)
            if account.extras is not None and group.used is not None:
                state = with_bundles(case, account, session, state)
            promise = grant_anew if is_open_to_change or has_switch else _grant
            account, state, answer = promise(case, account, session, state, group.requested)
            answers.append(answer if final is None else final.applied(answer))
        states[position : position + 1] = [state]
    return Charged(account, session, tuple(states), tuple(answers))


def _grant(
    case: Case,
    account: Account,
    session: CreditSession,
    state: GroupState,
    requested: tuple[Quantity, ...],
    later: Price | None = None,
) -> Granted:
    request, terms = case.request, state.tariff.price.terms
    if case.most is not None and state.key in case.most:
        most = case.most[state.key]
        if not most:
            refused = structs.replace(state, is_waiting=True)
            return account, refused, GroupAnswer(state.key, ChargingStatus.CREDIT_LIMIT_REACHED)
        requested = (Quantity(state.tariff.price.kind, most),)
    if request.all_affordable and account.extras is not None:
        requested = until_its_end(account, requested, case.now_ms)
    if isinstance(terms, Terms) and terms.clock is not _SETUP:
        later = dearest_to_come(case, account, session, state, requested)
    return grant(
        account,
        state,
        requested,
        case.policy,
        case.now_ms,
        request.request_number,
        request.all_affordable,
        case.rates.authorization_of(account.rate_plan, case.now_ms) if request.all_affordable else None,
        later,
        request.takes_half,
    )


def grant_anew(
    case: Case, account: Account, session: CreditSession, state: GroupState, requested: tuple[Quantity, ...]
) -> Granted:
    """The same by the tariff that applies now, or why there is none."""
    found = chosen_anew(case, account, session, state)
    if isinstance(found, ChargingStatus):
        return account, state, GroupAnswer(state.key, found)
    promise = _grant_before_switch if next_switch_s(found.tariff.price) else _grant
    return promise(case, account, session, found, requested)


def _grant_before_switch(
    case: Case, account: Account, session: CreditSession, state: GroupState, requested: tuple[Quantity, ...]
) -> Granted:
    """A grant of what changes its price while it is out: over the switch, or until then (statements 85, 86)."""
    request, policy, now_ms = case.request, case.policy, case.now_ms
    state = measured(over_switches(state, session, now_ms), request.event_at_ms)
    switch_ms = switch_at_ms(state, session) if next_switch_s(state.tariff.price) else 0
    if switch_ms and switch_ms - now_ms >= policy.validity_s * 1000:
        switch_ms = 0  # the client comes before
    is_over = switch_ms > 0 and request.tells_sides
    later = price_after(state) if is_over else None
    account, state, answer = _grant(case, account, session, state, requested, later)
    if switch_ms and answer.granted:
        # Who cannot tell both sides apart comes back when the price changes; who can, when it changes once more [G-73].
        end_ms = second_switch_at_ms(state, session) if is_over else switch_ms
        if end_ms:
            left_s = max(1, (end_ms - now_ms) // 1000)
            answer = structs.replace(answer, validity_s=min(answer.validity_s, left_s))
        if is_over:
            answer = structs.replace(answer, change_at_ms=switch_ms)
    return account, state, answer


_NO_SESSION: Final = (
    ChargingStatus.CREDIT_LIMIT_REACHED,
    ChargingStatus.SERVICE_DENIED,
    ChargingStatus.DESTINATION_BARRED,
)


def refusal_of(answers: tuple[GroupAnswer, ...]) -> ChargingStatus | None:
    """The common reason why no group got anything; None when one did, or when only tariffs are missing [43]."""
    reason = None
    for answer in answers:
        status = answer.status
        if status is _SUCCESS:
            return None
        if reason is None and status in _NO_SESSION:
            reason = status
    return reason


def new_session(case: Case, account: Account) -> CreditSession:
    request = case.request
    is_lease = request.lease_ms > 0 and not request.cumulative
    opened_at_ms = request.event_at_ms
    if request.cumulative and request.kind != RequestKind.INITIAL:
        opened_at_ms -= 1000 * max(
            (q.value for g in request.groups for q in g.used or () if q.kind == UnitKind.SECONDS), default=0
        )
    return CreditSession(
        account.account_id,
        request.session_key,
        SessionKind.LEASE if is_lease else SessionKind.CALL,
        case.subscriber_id,
        request.peer,
        request.service,
        request.origin,
        request.destination,
        opened_at_ms,
        case.now_ms,
        0,
        0,
        account.currency,
        Seen(),
        details=request.details,
        rate_plan=account.rate_plan,
        whereabouts=whereabouts_at_start(case) if case.rates.by_direction else request.whereabouts,
    )


def kept_open(case: Case, charged: Charged, status: ChargingStatus) -> Answered:
    """The decision for a session that stays open: its answer stored, its deadline moved."""
    request, account, session = case.request, charged.account, charged.session
    answer = answer_of(account, charged.groups, status, charged.answers, case.now_ms)
    if session.kind is _LEASE:
        answer = as_authorization(answer, charged.groups)
    deadline_ms = _deadline_ms(case, charged)
    stored = StoredAnswer(request.request_number, request.kind, request.fingerprint, answer)
    session = CreditSession(
        session.account_id,
        session.session_key,
        session.kind,
        session.subscriber_id,
        session.peer,
        session.service,
        session.origin,
        session.destination,
        session.opened_at_ms,
        case.now_ms,
        deadline_ms,
        deadline_ms if not session.filed_ms or deadline_ms < session.filed_ms else session.filed_ms,
        session.currency,
        with_number(session.seen, request.request_number),
        charged.groups,
        with_answer(session.answers, stored),
        session.flags | request.flags,
        session.details,
        session.rate_plan,
        session.whereabouts,
        session.has_subs,
        session.place,
    )
    decision: Answered = Decision(answer, account, ((session.session_key, session),))
    return decision if case.lease is None else with_lease_gone(case, decision)


def released(case: Case, charged: Charged) -> Charged:
    """All that the session's groups still hold is given back."""
    account, states = charged.account, []
    for state in charged.groups:
        account, state = release(account, state, case.now_ms)  # noqa: PLW2901 - the same group, holding nothing
        states.append(state)
    return Charged(account, charged.session, tuple(states), charged.answers)


def closed(case: Case, charged: Charged, status: ChargingStatus, flags: int) -> Answered:
    """The decision for a session that ends: reservations released, record written, a tombstone for late repeats."""
    request, account = case.request, charged.account
    if charged.session.place:
        account = left(account, charged.session)
    states = []
    for state in charged.groups:
        account, last = ended(account, state, case.now_ms)
        states.append(last)
    session = charged.session.with_groups(tuple(states))
    number = account.entry_number + 1
    account = with_entry_number(account, number)
    answer = answer_of(account, session.groups, status, charged.answers, case.now_ms)
    seen, answers = session.seen, session.answers[-1:]
    if request.kind == RequestKind.TERMINATION:
        seen = with_number(seen, request.request_number)
        answers = (StoredAnswer(request.request_number, request.kind, request.fingerprint, answer),)
    entry = JournalEntry(
        account.account_id,
        number,
        case.now_ms,
        "session",
        account.currency,
        negated(session.debits),
        session.session_key,
        session.peer,
        request.cause,
        closing_record(case.request, case.now_ms, session, flags),
        negated(session.unit_debits),
    )
    tombstone = Tombstone(account.account_id, case.now_ms, seen, answers, given_up=_given_up(case, session))
    return Decision(answer, account, ((session.session_key, tombstone),), (entry,))


REPORTS_TOTALS: Final = "ra:"
"""RADIUS: a client that was away reports the whole use of its calls when it is back, for days if need be [R-72]."""


def _given_up(case: Case, session: CreditSession) -> CreditSession | None:
    """What a last report would be charged by: use and cost so far, nothing held, and nothing to be debited again."""
    if case.request.kind is not RequestKind.EXPIRY or not session.session_key.startswith(REPORTS_TOTALS):
        return None
    assumed = CdrFlag.ASSUMED if any(state.flags & CdrFlag.ASSUMED for state in session.groups) else 0
    states = [
        structs.replace(
            without_counts(state), debits=state.debits if assumed else (), granted=0, reservation=(), flags=0
        )
        for state in session.groups
    ]
    return structs.replace(session, groups=tuple(states), answers=(), flags=assumed, place=0)


def orphaned(case: Case, account: Account, tombstone: Tombstone, answer: ChargingAnswer) -> Answered:
    """List use that belongs to no open session, without a debit, and remember the request so that it is listed once."""
    request = case.request
    number = account.entry_number + 1
    account = with_entry_number(account, number)
    cdr = closing_record(case.request, case.now_ms, new_session(case, account), CdrFlag.ORPHAN)
    used = ", ".join(f"{q.value} {q.kind.name.lower()}" for group in request.groups for q in group.used or ())
    entry = JournalEntry(
        account.account_id, number, case.now_ms, "orphan", account.currency, (), request.session_key, request.peer,
        f"use of a session that is not open: {used}", cdr,
    )  # fmt: skip
    tombstone = Tombstone(
        account.account_id,
        tombstone.closed_at_ms,
        with_number(tombstone.seen, request.request_number),
        (*tombstone.answers, StoredAnswer(request.request_number, request.kind, request.fingerprint, answer))[-2:],
    )
    return Decision(answer, account, ((request.session_key, tombstone),), (entry,))


def answer_of(
    account: Account,
    states: tuple[GroupState, ...],
    status: ChargingStatus,
    groups: tuple[GroupAnswer, ...],
    now_ms: int,
) -> ChargingAnswer:
    cost: Amount = 0
    for state in states:
        cost += state.cost
    left: Amount = available(account, now_ms)
    low = 0 < account.low_balance > left
    answer = ChargingAnswer(status, groups, cost, account.currency, left, low, on_credit=account.credit_limit > 0)
    return structs.replace(answer, is_expired=account.is_expired) if account.state is not _ACTIVE else answer


def as_authorization(answer: ChargingAnswer, states: tuple[GroupState, ...]) -> ChargingAnswer:
    """What a switch is told beside the time: the money that is set aside for the call, and whether the call has a price."""
    held = sum(total_of(state.reservation) for state in states)
    free = {state.key for state in states if is_free(state.tariff.price)}
    groups = tuple(
        structs.replace(group, status=ChargingStatus.FREE) if group.granted and group.key in free else group
        for group in answer.groups
    )
    return structs.replace(answer, groups=groups, held=held)


def _deadline_ms(case: Case, charged: Charged) -> int:
    if charged.session.kind is _LEASE:
        # What tells its Stop alone may be a call that runs all the time it was granted.
        granted_s = 0 if case.request.tells_start else max((answer.granted for answer in charged.answers), default=0)
        return case.now_ms + case.request.lease_ms + granted_s * 1000
    policy = case.policy
    silence_s = policy.supervision_factor * policy.validity_s
    for state in charged.groups:
        granted = state.granted
        longer_s = granted + policy.supervision_factor * SILENCE_MARGIN_S
        if longer_s > silence_s and granted and state.tariff.price.kind is _SECONDS:
            silence_s = longer_s
    return case.now_ms + silence_s * 1000


def lease_of(case: Case) -> CreditSession:
    lease = case.record if isinstance(case.record, CreditSession) else case.lease
    assert lease is not None, "the table leads here with an authorization only"
    return lease


def with_lease_gone(case: Case, decision: Answered) -> Answered:
    lease = lease_of(case)
    if lease.session_key == case.request.session_key or not decision.records:
        return decision
    return structs.replace(decision, records=(*decision.records, (lease.session_key, None)))


_SECONDS: Final = UnitKind.SECONDS
_ANSWERED: Final = (CreditSession, Tombstone)
AUTHORIZED_AGAIN_MS: Final = 30_000
"""So long a switch repeats its Access-Request (RFC 5080, section 2.2.1). Later the same parties call anew: what was answered
then may be wrong by now, and money that was paid in meanwhile is to count [R-35].
"""


def _is_asked_anew(case: Case, lease: CreditSession) -> bool:
    """By its call's records, or by an Access-Request that comes too late for a repeat."""
    return case.request.cumulative or case.now_ms - lease.heard_at_ms > AUTHORIZED_AGAIN_MS


def repeat_of(case: Case, account: Account) -> Answered | None:
    """The stored answer for a request that was processed before [G-4]; None for one that was not."""
    request, record = case.request, case.record
    if not isinstance(record, _ANSWERED) or request.request_number > record.seen.highest:
        return None
    if request.kind is RequestKind.EXPIRY or request.request_number not in record.seen:
        return None
    if isinstance(record, CreditSession) and record.kind is SessionKind.LEASE and _is_asked_anew(case, record):
        return None
    may_be_reused = request.cumulative or request.lease_ms > 0
    if may_be_reused and request.kind is RequestKind.INITIAL and isinstance(record, Tombstone):
        return None  # a switch that was started anew counts its calls from one again: the times decide
    stored = stored_answer(record, request.request_number)
    if stored is None:
        groups = tuple(GroupAnswer(group.key, ChargingStatus.SUCCESS) for group in request.groups)
        return Decision(ChargingAnswer(ChargingStatus.SUCCESS, groups), account)
    if stored.kind == request.kind and (request.cumulative or stored.fingerprint == request.fingerprint):
        # A name that may be used again is looked up: what memory knows may have ended elsewhere, and its money be free.
        return Decision(stored.answer, account, is_replay=not may_be_reused)
    if request.kind == RequestKind.INITIAL:
        return None  # a new session under an old name: see the table
    return Decision(ChargingAnswer(ChargingStatus.CONTRADICTION), account)
