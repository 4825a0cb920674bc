"""The server's credit-control state machine: one request against one account and one session, as a pure decision.

The table below is RFC 8506, section 7 (and TS 32.299, 6.3), with our own row for an authorization that waits for
its call. Used units are debited whatever the answer says; a grant is made only with money set aside for it.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum
from typing import Final

from msgspec import structs

from balance.account import Account
from ocs.charging.cdr import CdrFlag, JournalEntry
from ocs.charging.decision import Decision
from ocs.charging.quota import release
from ocs.charging.request import ChargingAnswer, ChargingStatus, GroupAnswer, RequestKind
from ocs.charging.session import CreditSession, Seen, SessionKind, Tombstone
from ocs.charging.steps import (
    Answered,
    Case,
    Charged,
    answer_of,
    charge,
    closed,
    kept_open,
    lease_of,
    new_session,
    orphaned,
    refusal_of,
    repeat_of,
    with_expiries,
    with_lease_gone,
)


class State(IntEnum):
    IDLE = 0
    LEASED = 1
    OPEN = 2
    CLOSED = 3


def decide(case: Case, account: Account) -> Answered:
    """One request's outcome. Pure: the same arguments give the same decision, and nothing is changed in place."""
    entries: tuple[JournalEntry, ...] = ()
    if len(account.buckets) > 1:
        account, entries = with_expiries(account, case.now_ms)
    decision = repeat_of(case, account)
    if decision is None:
        decision = TRANSITIONS[_state(case), case.request.kind](case, account)
    return decision._replace(entries=(*entries, *decision.entries)) if entries else decision


def _state(case: Case) -> State:
    record = case.record
    if isinstance(record, CreditSession):
        return State.LEASED if record.kind is SessionKind.LEASE else State.OPEN
    if record is not None:
        return State.CLOSED
    return State.LEASED if case.lease is not None else State.IDLE


# --- idle -------------------------------------------------------------------------------------------------------


def _open(case: Case, account: Account) -> Answered:
    """Start a session, unless nothing of what it asks for can be had."""
    session = new_session(case, account)
    charged = charge(case, account, session)
    if charged is None:
        return Decision(ChargingAnswer(ChargingStatus.INVALID_VALUE), account)
    refusal = refusal_of(charged.answers)
    if refusal is not None and not case.request.cumulative:
        return Decision(answer_of(charged.account, charged.session, refusal, charged.answers, case.now_ms), account)
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
    return _terminate(case._replace(record=new_session(case, account)), account)


# --- leased -----------------------------------------------------------------------------------------------------


def _authorized_again(case: Case, account: Account) -> Answered:
    """The same Access-Request once more, or the Start that takes the authorization over [R-35, R-44]."""
    lease = lease_of(case)
    if not case.request.cumulative:
        return Decision(lease.answers[-1].answer, account)
    session = _taken_over(case, lease)
    status = ChargingStatus.SUCCESS
    answers = tuple(GroupAnswer(state.key, status, state.tariff.price.kind, state.granted) for state in session.groups)
    return kept_open(case, Charged(account, session, answers), status)


def _update_lease(case: Case, account: Account) -> Answered:
    return with_lease_gone(case, _update(case._replace(record=_taken_over(case, lease_of(case))), account))


def _terminate_lease(case: Case, account: Account) -> Answered:
    return with_lease_gone(case, _terminate(case._replace(record=_taken_over(case, lease_of(case))), account))


def _expire_lease(case: Case, account: Account) -> Answered:
    """No call came: the money is free again, and nothing is worth a record [R-45]."""
    lease = lease_of(case)
    if case.now_ms < lease.deadline_ms and not case.request.is_forced:
        return Decision(ChargingAnswer(ChargingStatus.SUCCESS), account)
    for state in lease.groups:
        account, _ = release(account, state, case.now_ms)
    return Decision(ChargingAnswer(ChargingStatus.SUCCESS), account, ((lease.session_key, None),))


# --- open -------------------------------------------------------------------------------------------------------


def _update(case: Case, account: Account) -> Answered:
    charged = charge(case, account, _session_of(case))
    if charged is None:
        return Decision(ChargingAnswer(ChargingStatus.INVALID_VALUE), account)
    refusal = refusal_of(charged.answers)
    barred = refusal if refusal == ChargingStatus.SERVICE_DENIED else ChargingStatus.SUCCESS
    return kept_open(case, charged, barred)


def _terminate(case: Case, account: Account) -> Answered:
    charged = charge(case, account, _session_of(case))
    if charged is None:
        return Decision(ChargingAnswer(ChargingStatus.INVALID_VALUE), account)
    return closed(case, charged, ChargingStatus.SUCCESS, 0)


def _replace(case: Case, account: Account) -> Answered:
    """Another INITIAL under the name of an open session: the old one ends as by Tcc, in the same step (statement 24)."""
    if case.request.cumulative:
        return Decision(ChargingAnswer(ChargingStatus.SUCCESS), account)
    old = closed(case, Charged(account, _session_of(case), ()), ChargingStatus.SUCCESS, CdrFlag.REPLACED)
    new = _open(case._replace(record=None), old.account)
    if not new.records:
        return new._replace(account=old.account, records=old.records, entries=old.entries)
    return new._replace(entries=(*old.entries, *new.entries))


def _expire(case: Case, account: Account) -> Answered:
    """Tcc is over: release, close, and write the record flagged "no final report" (statement 112)."""
    session = _session_of(case)
    if case.now_ms < session.deadline_ms and not case.request.is_forced:
        return Decision(ChargingAnswer(ChargingStatus.SUCCESS), account)
    return closed(case, Charged(account, session, ()), ChargingStatus.SUCCESS, CdrFlag.NO_FINAL_REPORT)


# --- closed -----------------------------------------------------------------------------------------------------

REOPEN_AFTER_MS: Final = 5_000
"""An INITIAL this much younger than the end of its namesake is a new session [R-73]; a late one is not."""


def _reopen(case: Case, account: Account) -> Answered:
    record = case.record
    if isinstance(record, Tombstone) and case.request.event_at_ms > record.closed_at_ms + REOPEN_AFTER_MS:
        return _open(case._replace(record=None), account)
    if case.request.cumulative:
        return Decision(ChargingAnswer(ChargingStatus.SUCCESS), account)
    return Decision(ChargingAnswer(ChargingStatus.CONTRADICTION), account)


def _after_close(case: Case, account: Account) -> Answered:
    """Use that is reported for a closed session: 5002, and the units go to the orphan list, once (statement 113)."""
    status = ChargingStatus.SUCCESS if case.request.cumulative else ChargingStatus.SESSION_UNKNOWN
    answer = ChargingAnswer(status)
    record = case.record
    has_use = any(quantity.value for group in case.request.groups for quantity in group.used or ())
    if not has_use or case.request.cumulative or not isinstance(record, Tombstone):
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


def _taken_over(case: Case, lease: CreditSession) -> CreditSession:
    """The call that an authorization was for, under its own key, with the reservation it brought."""
    request = case.request
    taken: CreditSession = structs.replace(
        lease,
        session_key=request.session_key,
        kind=SessionKind.CALL,
        opened_at_ms=request.event_at_ms if request.kind == RequestKind.INITIAL else lease.opened_at_ms,
        filed_ms=lease.filed_ms if lease.session_key == request.session_key else 0,
        seen=Seen(),
        answers=(),
    )
    return taken
