"""The server's credit-control state machine: one request against one account and one session, as a pure decision.

The table below is RFC 8506, section 7 (and TS 32.299, 6.3), with our own row for an authorization that waits for
its call. Used units are debited whatever the answer says; a grant is made only with money set aside for it.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum
from typing import Final

from msgspec import structs

from balance.account import Account, AccountState
from ocs.charging.admission import admitted, left
from ocs.charging.bundle_use import with_bundle_use
from ocs.charging.cdr import CdrFlag, JournalEntry
from ocs.charging.crossings import with_crossings
from ocs.charging.decision import Case, Decision
from ocs.charging.dues import with_dues
from ocs.charging.late import as_granted, held, is_unreported, reported_late
from ocs.charging.low_balance import with_warning
from ocs.charging.quota import costs_an_attempt, release
from ocs.charging.refused import with_refusal
from ocs.charging.request import ChargingAnswer, ChargingStatus, GroupAnswer, RequestKind
from ocs.charging.session import CreditSession, GroupState, Seen, SessionKind, Tombstone
from ocs.charging.stages import in_stage
from ocs.charging.steps import (
    Answered,
    Charged,
    answer_of,
    as_authorization,
    charge,
    closed,
    kept_open,
    lease_of,
    new_session,
    orphaned,
    refusal_of,
    released,
    repeat_of,
    with_lease_gone,
)
from ocs.charging.timed import charge_with_time
from ocs.charging.velocity import shrunk, with_velocity
from ocs.rating.timetable import begun_later


class State(IntEnum):
    IDLE = 0
    LEASED = 1
    OPEN = 2
    CLOSED = 3


# What every update asks for: an enumeration's members are found through its class, four times as slowly.
_IDLE: Final = State.IDLE
_LEASED: Final = State.LEASED
_OPEN: Final = State.OPEN
_LEASE: Final = SessionKind.LEASE
_INITIAL: Final = RequestKind.INITIAL
_SUCCESS: Final = ChargingStatus.SUCCESS
_SERVICE_DENIED: Final = ChargingStatus.SERVICE_DENIED
_ACTIVE: Final = AccountState.ACTIVE


def decide(case: Case, account: Account) -> Answered:
    """One request's outcome. Pure: the same arguments give the same decision, and nothing is changed in place."""
    entries: tuple[JournalEntry, ...] = ()
    before = account
    if len(account.buckets) > 1 or account.extras is not None:
        account, entries = with_dues(account, case.rates, case.policy.rules, case.now_ms)
    decision = repeat_of(case, account)
    velocity = case.policy.rules.velocity_of(account.rate_plan, account.currency) if case.policy.watches else None
    if velocity is not None:
        case = structs.replace(case, policy=shrunk(case.policy, velocity, account, case.now_ms))
    if decision is None:
        rule = TRANSITIONS[_state(case), case.request.kind]
        decision = rule(case, account) if account.state is _ACTIVE else in_stage(rule, case, account)
        if decision.account.extras is not None:
            decision = with_crossings(account, decision, case.now_ms, case.request.session_key)
            decision = with_bundle_use(account, decision, case.now_ms, case.request.session_key)
        if case.request.kind is _INITIAL:
            decision = with_refusal(case, decision)
        if velocity is not None:
            decision = with_velocity(case, velocity, account, decision)
    if before.low_balance and decision.account is not before:
        decision = with_warning(case, before, decision)
    return structs.replace(decision, entries=(*entries, *decision.entries)) if entries else decision


def _state(case: Case) -> State:
    record = case.record
    if isinstance(record, CreditSession):
        return _LEASED if record.kind is _LEASE else _OPEN
    if record is not None:
        return State.CLOSED
    return _LEASED if case.lease is not None else _IDLE


def _charged(case: Case, account: Account, session: CreditSession) -> Charged | None:
    if session.service in case.rates.timed_services:
        return charge_with_time(case, account, session)
    return charge(case, account, session)


# --- idle -------------------------------------------------------------------------------------------------------


def _open(case: Case, account: Account) -> Answered:
    """Start a session, unless nothing of what it asks for can be had."""
    session, opened = new_session(case, account), account
    if account.extras is not None and account.extras.calls:
        place = admitted(account, session, case.now_ms, has_begun=case.request.cumulative)
        if place is None:
            return Decision(ChargingAnswer(ChargingStatus.TOO_MANY_CALLS), account)
        opened, session = place
    charged = _charged(case, opened, session)
    if charged is None:
        return Decision(ChargingAnswer(ChargingStatus.INVALID_VALUE), account)
    refusal = refusal_of(charged.answers)
    if session.kind is SessionKind.LEASE and not any(answer.granted for answer in charged.answers):
        # An authorization that holds nothing has nothing to wait for.
        refusal = refusal or next((answer.status for answer in charged.answers), ChargingStatus.RATING_FAILED)
    if refusal is not None and not case.request.cumulative:
        answer = answer_of(charged.account, charged.groups, refusal, charged.answers, case.now_ms)
        if refusal is ChargingStatus.CREDIT_LIMIT_REACHED:
            answer = structs.replace(answer, held=sum(bucket.reserved for bucket in account.buckets))
        return Decision(answer, account)
    return kept_open(case, charged, ChargingStatus.SUCCESS)


def _unknown(case: Case, account: Account) -> Answered:
    """RADIUS: a lost Start is made good. Diameter: 5002, and what was used goes to the orphan list [G-6]."""
    if case.request.cumulative:
        if case.request.kind == RequestKind.TERMINATION:
            return _close_at_once(case, account)
        return _open(case, account)
    answer = ChargingAnswer(ChargingStatus.SESSION_UNKNOWN)
    if not any(quantity.value for group in case.request.groups for quantity in group.used or ()):
        return Decision(answer, account)
    tombstone = Tombstone(account.account_id, case.now_ms, Seen())
    return orphaned(case, account, tombstone, answer)


def _close_at_once(case: Case, account: Account) -> Answered:
    return _terminate(structs.replace(case, record=new_session(case, account)), account)


# --- leased -----------------------------------------------------------------------------------------------------


def _authorized_again(case: Case, account: Account) -> Answered:
    """The Start that takes the authorization over [R-44], or an Access-Request that asks for something else now."""
    lease = lease_of(case)
    if not case.request.cumulative:
        account = _freed(account, lease, case.now_ms)
        new = _open(structs.replace(case, record=None), account)
        return new if new.records else structs.replace(new, records=((lease.session_key, None),))
    session = _taken_over(case, lease)
    status = ChargingStatus.SUCCESS
    answers = tuple(GroupAnswer(state.key, status, state.tariff.price.kind, state.granted) for state in session.groups)
    return kept_open(case, Charged(account, session, session.groups, answers), status)


def _update_lease(case: Case, account: Account) -> Answered:
    return with_lease_gone(case, _update(structs.replace(case, record=_taken_over(case, lease_of(case))), account))


def _terminate_lease(case: Case, account: Account) -> Answered:
    return with_lease_gone(case, _terminate(structs.replace(case, record=_taken_over(case, lease_of(case))), account))


def _expire_lease(case: Case, account: Account) -> Answered:
    """No call came: the money is free again [R-45]. It is worth a record if attempts cost something."""
    lease = lease_of(case)
    if case.now_ms < lease.deadline_ms and not case.request.is_forced:
        return _filed_anew(case, account, lease)
    if any(costs_an_attempt(state) for state in lease.groups):
        return closed(case, _nothing_asked(account, lease), ChargingStatus.SUCCESS, CdrFlag.NO_FINAL_REPORT)
    account = _freed(account, lease, case.now_ms)
    return Decision(ChargingAnswer(ChargingStatus.SUCCESS), account, ((lease.session_key, None),))


# --- open -------------------------------------------------------------------------------------------------------


def _update(case: Case, account: Account) -> Answered:
    charged = _charged(case, account, _session_of(case))
    if charged is None:
        return Decision(ChargingAnswer(ChargingStatus.INVALID_VALUE), account)
    if refusal_of(charged.answers) is _SERVICE_DENIED:
        # The whole request fails: groups that it does not name give back what they hold, too (statements 63, 79).
        return kept_open(case, released(case, charged), _SERVICE_DENIED)
    return kept_open(case, charged, _SUCCESS)


def _terminate(case: Case, account: Account) -> Answered:
    charged = _charged(case, account, _session_of(case))
    if charged is None:
        return Decision(ChargingAnswer(ChargingStatus.INVALID_VALUE), account)
    return closed(case, charged, ChargingStatus.SUCCESS, 0)


def _replace(case: Case, account: Account) -> Answered:
    """Another INITIAL under the name of an open session: the old one ends as by Tcc, in the same step (statement 24)."""
    if case.request.cumulative:
        return Decision(ChargingAnswer(ChargingStatus.SUCCESS), account)
    if case.request.lease_ms:
        return _authorized_in_call(case, account)
    old = closed(case, _nothing_asked(account, _session_of(case)), ChargingStatus.SUCCESS, CdrFlag.REPLACED)
    new = _open(structs.replace(case, record=None), old.account)
    if not new.records:
        return structs.replace(new, account=old.account, records=old.records, entries=old.entries)
    return structs.replace(new, entries=(*old.entries, *new.entries))


def _authorized_in_call(case: Case, account: Account) -> Answered:
    """An Access-Request for a call that runs is answered with what the call still holds, and changes nothing [R-46].

    It may be a late repeat as well as a new question: closing the call for it would charge its start twice.
    """
    session = _session_of(case)
    if case.request.destination != session.destination:
        return Decision(ChargingAnswer(ChargingStatus.CONTRADICTION), account)
    passed_s = max(0, case.now_ms - session.heard_at_ms) // 1000
    answers = []
    for state in session.groups:
        left = max(0, state.granted - passed_s)
        status = ChargingStatus.SUCCESS if left else ChargingStatus.CREDIT_LIMIT_REACHED
        answers.append(GroupAnswer(state.key, status, state.tariff.price.kind, left))
    answer = answer_of(account, session.groups, ChargingStatus.SUCCESS, tuple(answers), case.now_ms)
    return Decision(as_authorization(answer, session.groups), account)


def _expire(case: Case, account: Account) -> Answered:
    """Tcc is over: release, close, and write the record flagged "no final report" (statement 112)."""
    session = _session_of(case)
    if case.now_ms < session.deadline_ms and not case.request.is_forced:
        return _filed_anew(case, account, session)
    charged = _nothing_asked(account, session)
    policy = case.policy.silent_calls
    if policy != "zero" and not case.request.is_forced and is_unreported(session):
        if policy == "hold" and not session.flags & CdrFlag.HELD:
            return held(case, account, session)
        if policy == "granted":
            charged = as_granted(case, account, charged)
    return closed(case, charged, ChargingStatus.SUCCESS, CdrFlag.NO_FINAL_REPORT)


# --- closed -----------------------------------------------------------------------------------------------------

REOPEN_AFTER_MS: Final = 5_000
"""An INITIAL this much younger than the end of its namesake is a new session [R-73]; a late one is not."""


def _reopen(case: Case, account: Account) -> Answered:
    record = case.record
    if isinstance(record, Tombstone) and case.request.event_at_ms > record.closed_at_ms + REOPEN_AFTER_MS:
        anew = structs.replace(case, record=None)
        return _open(anew, account) if case.lease is None else _authorized_again(anew, account)
    if case.request.cumulative:
        return Decision(ChargingAnswer(ChargingStatus.SUCCESS), account)
    return Decision(ChargingAnswer(ChargingStatus.CONTRADICTION), account)


def _after_close(case: Case, account: Account) -> Answered:
    """Use that is reported for a closed session: 5002, and the units go to the orphan list, once (statement 113).

    A Stop (RADIUS) tells the whole use: if its call was given up before, what is not paid yet is charged [R-72]; if the
    call had ended by another Stop, this one is listed.
    """
    status = ChargingStatus.SUCCESS if case.request.cumulative else ChargingStatus.SESSION_UNKNOWN
    answer = ChargingAnswer(status)
    record = case.record
    has_use = any(quantity.value for group in case.request.groups for quantity in group.used or ())
    is_interim = case.request.cumulative and case.request.kind is not RequestKind.TERMINATION
    if is_interim or not isinstance(record, Tombstone):
        return Decision(answer, account)
    if record.given_up is not None and case.request.cumulative:
        return reported_late(case, account, record, record.given_up)
    if not has_use:
        return Decision(answer, account)
    return orphaned(case, account, record, answer)


def _nothing(_case: Case, account: Account) -> Answered:
    return Decision(ChargingAnswer(ChargingStatus.SUCCESS), account)


TRANSITIONS: Final[dict[tuple[State, RequestKind], Callable[[Case, Account], Answered]]] = {
    #  State          Request                    Action                  RFC 8506, section 7: Idle / Open
    (State.IDLE, RequestKind.INITIAL): _open,  # reserve, start Tcc, or refuse and stay idle
    (State.IDLE, RequestKind.UPDATE): _unknown,  # 5002
    (State.IDLE, RequestKind.TERMINATION): _unknown,  # 5002
    (State.IDLE, RequestKind.EXPIRY): _nothing,
    (State.LEASED, RequestKind.INITIAL): _authorized_again,  # RADIUS: the repeat, or Start
    (State.LEASED, RequestKind.UPDATE): _update_lease,  # RADIUS: Start was lost
    (State.LEASED, RequestKind.TERMINATION): _terminate_lease,  # RADIUS: Stop only
    (State.LEASED, RequestKind.EXPIRY): _expire_lease,
    (State.OPEN, RequestKind.INITIAL): _replace,
    (State.OPEN, RequestKind.UPDATE): _update,  # debit, release, reserve, restart Tcc
    (State.OPEN, RequestKind.TERMINATION): _terminate,  # debit, release, stop Tcc
    (State.OPEN, RequestKind.EXPIRY): _expire,  # Tcc expired
    (State.CLOSED, RequestKind.INITIAL): _reopen,
    (State.CLOSED, RequestKind.UPDATE): _after_close,
    (State.CLOSED, RequestKind.TERMINATION): _after_close,
    (State.CLOSED, RequestKind.EXPIRY): _nothing,
}


# --- small things ---


def _session_of(case: Case) -> CreditSession:
    assert isinstance(case.record, CreditSession), "the table leads here with an open session only"
    return case.record


def _freed(account: Account, lease: CreditSession, now_ms: int) -> Account:
    """All that an authorization holds is there for others."""
    for state in lease.groups:
        account, _ = release(account, state, now_ms)
    return left(account, lease)


def _nothing_asked(account: Account, session: CreditSession) -> Charged:
    return Charged(account, session, session.groups, ())


def _filed_anew(case: Case, account: Account, session: CreditSession) -> Answered:
    """The index brought it up, but it was heard of since: file it where its deadline is now.

    By a posting, so that index and record never differ, and a request at the same moment cannot be overwritten.
    """
    answer = ChargingAnswer(ChargingStatus.SUCCESS)
    if session.filed_ms > case.now_ms:
        return Decision(answer, account)
    filed: CreditSession = structs.replace(session, filed_ms=session.deadline_ms)
    return Decision(answer, account, ((session.session_key, filed),))


def _taken_over(case: Case, lease: CreditSession) -> CreditSession:
    """The call that an authorization was for, under its own key, with the reservation it brought."""
    request = case.request
    opened_at_ms = request.event_at_ms if request.kind == RequestKind.INITIAL else lease.opened_at_ms
    taken: CreditSession = structs.replace(
        lease,
        session_key=request.session_key,
        kind=SessionKind.CALL,
        opened_at_ms=opened_at_ms,
        groups=tuple(_begun(state, opened_at_ms - lease.opened_at_ms) for state in lease.groups),
        filed_ms=lease.filed_ms if lease.session_key == request.session_key else 0,
        seen=Seen(),
        answers=(),
        details=request.details or lease.details,
    )
    return taken


def _begun(state: GroupState, rang_ms: int) -> GroupState:
    """The group of a call that was answered so long after it was authorized: its bands of the day come nearer."""
    price = begun_later(state.tariff.price, (rang_ms + 500) // 1000)
    if price is state.tariff.price:
        return state
    begun: GroupState = structs.replace(state, tariff=structs.replace(state.tariff, price=price))
    return begun
