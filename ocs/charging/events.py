"""Events without a session (IEC, TS 32.299 6.3.1): debit at once or not at all, check a balance, tell a price."""

from __future__ import annotations

from typing import Final

from msgspec import structs

from balance.account import Account, AccountState, Hold, Reservation, with_entry_number
from balance.burn import available, credit, is_expired, negated, settle
from balance.money import Amount
from ocs.charging.bundle_use import with_bundle_use
from ocs.charging.caps import room, settle_caps
from ocs.charging.cdr import Cdr, JournalEntry
from ocs.charging.choice import as_asked, new_state, with_bundles
from ocs.charging.closing import closing_record
from ocs.charging.crossings import with_crossings
from ocs.charging.decision import Case, Decision
from ocs.charging.dues import with_dues
from ocs.charging.low_balance import with_warning
from ocs.charging.policy import COST_MAX, USED_MAX
from ocs.charging.quota import laid_out
from ocs.charging.refused import with_refusal
from ocs.charging.repeats import stored_answer
from ocs.charging.request import (
    ChargingAnswer,
    ChargingRequest,
    ChargingStatus,
    EventAction,
    GroupAnswer,
    GroupKey,
    GroupRequest,
)
from ocs.charging.session import CreditSession, GroupState, Seen, StoredAnswer, Tombstone
from ocs.charging.stages import in_stage
from ocs.charging.steps import (
    Answered,
    new_session,
    repeat_of,
)
from ocs.charging.velocity import with_velocity
from ocs.rating.price import cost_of, is_free
from ocs.rating.units import UnitKind

ENOUGH: Final = 0
NOT_ENOUGH: Final = 1


def decide_event(case: Case, account: Account) -> Answered:
    """One EVENT_REQUEST. Pure."""
    before = account
    account, entries = with_dues(account, case.rates, case.policy.rules, case.now_ms)
    decision = _repeat(case, account)
    if decision is None:
        acted = _act(case, account) if account.state is AccountState.ACTIVE else in_stage(_act, case, account)
        decision = with_crossings(account, acted, case.now_ms, case.request.session_key)
        decision = with_bundle_use(account, decision, case.now_ms, case.request.session_key)
        if case.request.action is EventAction.DIRECT_DEBITING:
            decision = with_refusal(case, decision)
        velocity = case.policy.rules.velocity_of(account.rate_plan, account.currency) if case.policy.watches else None
        if velocity is not None and _moves_money(case):
            decision = with_velocity(case, velocity, account, decision)
    if before.low_balance and decision.account is not before:
        decision = with_warning(case, before, decision)
    return decision if not entries else structs.replace(decision, entries=(*entries, *decision.entries))


def _repeat(case: Case, account: Account) -> Answered | None:
    """What was answered to this very event; no other record can say that it was paid."""
    record = case.record
    if not _moves_money(case) or not isinstance(record, Tombstone):
        return None
    return repeat_of(case, account) if stored_answer(record, case.request.request_number) is not None else None


def _act(case: Case, account: Account) -> Answered:
    if case.record is not None and _moves_money(case):
        return Decision(ChargingAnswer(ChargingStatus.CONTRADICTION), account)
    action = case.request.action
    if action == EventAction.REFUND_ACCOUNT:
        return _refunded(case, account)
    session = new_session(case, account)
    states: list[GroupState] = []
    after = account  # as it is when the use has been counted; a question counts nothing
    for group in case.request.groups:
        priced = _priced(case, after, session, group)
        if isinstance(priced, ChargingStatus):
            return Decision(_answer(case, account, priced, (GroupAnswer(group.key, priced),), 0), account)
        after, state = priced
        states.append(state)
    total = sum(state.cost for state in states)
    groups = tuple(
        GroupAnswer(state.key, ChargingStatus.SUCCESS, state.tariff.price.kind, state.used) for state in states
    )
    match action:
        case EventAction.PRICE_ENQUIRY:
            return Decision(_answer(case, account, ChargingStatus.SUCCESS, (), total), account)
        case EventAction.CHECK_BALANCE:
            return Decision(_checked(case, account, total), account)
        case _:
            return _debited(case, after, session, states, groups, account)


def _priced(
    case: Case, account: Account, session: CreditSession, group: GroupRequest
) -> tuple[Account, GroupState] | ChargingStatus:
    """What the event would cost: the units asked for, one of the tariff's kind when none are named."""
    money = next((q for q in group.requested or () if q.kind is UnitKind.MONEY), None)
    found = new_state(case, account, session, group.key) if money is None else as_asked(case, account, group.key)
    if isinstance(found, ChargingStatus):
        return found
    price = found.tariff.price
    units = next((q.value for q in group.requested or () if q.kind == price.kind), 0)
    if not units and price.kind == UnitKind.EVENTS:
        units = 1
    if units < 0 or units > USED_MAX[price.kind]:
        return ChargingStatus.INVALID_VALUE
    is_refusable = _moves_money(case) and not case.request.cumulative  # Rf: it has been delivered
    if account.state != AccountState.ACTIVE and not is_free(price) and is_refusable:
        return ChargingStatus.SERVICE_DENIED
    if account.extras is not None:
        found = with_bundles(case, account, session, found)
    account, found = laid_out(account, found, units, case.now_ms)
    cost = cost_of(found.tariff.price, units)
    state = GroupState(group.key, found.tariff, units, cost, units=found.units)
    return (account, state) if cost <= COST_MAX else ChargingStatus.INVALID_VALUE


def _moves_money(case: Case) -> bool:
    return case.request.action in {EventAction.DIRECT_DEBITING, EventAction.REFUND_ACCOUNT}


def _checked(case: Case, account: Account, total: Amount) -> ChargingAnswer:
    answer = _answer(case, account, ChargingStatus.SUCCESS, (), total)
    return structs.replace(answer, check_balance=ENOUGH if total <= answer.available else NOT_ENOUGH)


def _debited(
    case: Case,
    account: Account,
    session: CreditSession,
    states: list[GroupState],
    groups: tuple[GroupAnswer, ...],
    before: Account,
) -> Answered:
    """All or nothing (statement 96): then the account is as it was ``before`` its counters counted the use."""
    request, now_ms = case.request, case.now_ms
    total = sum(state.cost for state in states)
    spendable, is_beyond = max(0, available(account, now_ms)), False
    for state in states:
        if state.units is not None:
            account, found = room(account, state.units, now_ms)
            spendable = spendable if found.money is None else min(spendable, found.money)
            is_beyond = is_beyond or (found.units is not None and state.used > found.units)
    if (total > spendable or is_beyond) and not request.cumulative:
        refused = tuple(GroupAnswer(state.key, ChargingStatus.CREDIT_LIMIT_REACHED) for state in states)
        return Decision(_answer(case, before, ChargingStatus.CREDIT_LIMIT_REACHED, refused, 0), before)
    debited: list[GroupState] = []
    for state in states:
        account, debits = settle(account, (), state.cost, now_ms)
        paid = GroupState(state.key, state.tariff, state.used, state.cost, debits, state.used, (), 0, units=state.units)
        if paid.units is not None:
            account, paid = settle_caps(account, paid, paid.units, paid.cost, paid.used, now_ms)
        debited.append(paid)
    session = session.with_groups(tuple(debited))
    number = account.entry_number + 1
    account = with_entry_number(account, number)
    answer = _answer(case, account, _outcome(request, states), groups, total)
    entry = JournalEntry(
        account.account_id,
        number,
        now_ms,
        "event",
        account.currency,
        negated(session.debits),
        request.session_key,
        request.peer,
        request.cause,
        _record(request, now_ms, session),
        negated(session.unit_debits),
    )
    stored = StoredAnswer(request.request_number, request.kind, request.fingerprint, answer)
    tombstone = Tombstone(account.account_id, now_ms, Seen(request.request_number), (stored,), session.debits)
    return Decision(answer, account, ((request.session_key, tombstone),), (entry,))


def _outcome(request: ChargingRequest, states: list[GroupState]) -> ChargingStatus:
    """A debit of what never costs anything needs no credit control (RFC 8506, 9.1: 4011) [G-80]; a record (Rf) is stored."""
    is_all_free = bool(states) and all(is_free(state.tariff.price) for state in states)
    return ChargingStatus.FREE if is_all_free and not request.cumulative else ChargingStatus.SUCCESS


def _record(request: ChargingRequest, now_ms: int, session: CreditSession) -> Cdr:
    """A call that is charged in one piece has lasted since its event's time."""
    lasted_s = max((state.used for state in session.groups if state.tariff.price.kind is UnitKind.SECONDS), default=0)
    record = closing_record(request, now_ms, session, 0)
    return structs.replace(record, ended_at_ms=record.started_at_ms + 1000 * lasted_s) if lasted_s else record


def _refunded(case: Case, account: Account) -> Answered:
    """Give a debit back, or the part that is asked: once, never more, to the buckets it came from (statements 97, 98).

    What a bucket paid that has expired since, or is gone, stays where it is (statement 106).
    """
    request, debit = case.request, case.debit
    if debit is None or debit.is_refunded:
        return Decision(ChargingAnswer(ChargingStatus.SERVICE_DENIED), account)
    if request.currency not in {"", account.currency}:
        return Decision(ChargingAnswer(ChargingStatus.RATING_FAILED), account)
    asked = sum(q.value for group in request.groups for q in group.requested or () if q.kind is UnitKind.MONEY)
    if asked > sum(hold.amount for hold in debit.debits):
        return Decision(ChargingAnswer(ChargingStatus.SERVICE_DENIED), account)
    changes = _given_back(account, debit.debits, asked, case.now_ms)
    amount = sum(hold.amount for hold in changes)
    if not amount:
        return Decision(ChargingAnswer(ChargingStatus.SERVICE_DENIED), account)
    number = account.entry_number + 1
    account = with_entry_number(credit(account, {hold.bucket_id: hold.amount for hold in changes}), number)
    key = request.groups[0].key if request.groups else GroupKey()
    group = GroupAnswer(key, ChargingStatus.SUCCESS, UnitKind.MONEY, amount)
    answer = _answer(case, account, ChargingStatus.SUCCESS, (group,), amount)
    entry = JournalEntry(
        account.account_id, number, case.now_ms, "refund", account.currency, changes, request.session_key, request.peer,
        f"refund of {request.refund_of}",
    )  # fmt: skip
    stored = StoredAnswer(request.request_number, request.kind, request.fingerprint, answer)
    done = Tombstone(account.account_id, case.now_ms, Seen(request.request_number), (stored,))
    records = ((request.session_key, done), (request.refund_of, structs.replace(debit, is_refunded=True)))
    return Decision(answer, account, records, (entry,))


def _given_back(account: Account, debits: Reservation, asked: Amount, now_ms: int) -> tuple[Hold, ...]:
    """What goes back where; ``asked`` 0: all of it. The bucket that paid last is paid back first."""
    there = {bucket.bucket_id for bucket in account.buckets if not is_expired(bucket, now_ms)}
    left = asked or sum(hold.amount for hold in debits)
    changes: list[Hold] = []
    for hold in reversed(debits):
        amount = min(left, hold.amount)
        if amount > 0 and hold.bucket_id in there:
            changes.append(Hold(hold.bucket_id, amount))
        left -= amount
    return tuple(changes)


def _answer(
    case: Case, account: Account, status: ChargingStatus, groups: tuple[GroupAnswer, ...], cost: Amount
) -> ChargingAnswer:
    left = available(account, case.now_ms)
    low = 0 < account.low_balance > left
    return ChargingAnswer(status, groups, cost, account.currency, left, low, on_credit=account.credit_limit > 0)
