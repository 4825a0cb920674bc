"""Calls whose last report is late, or never comes: what is done without it [R-71], and with it after all [R-72].

RADIUS alone has them: a switch without interims tells nothing between Start and Stop, and a Stop can be lost.
"""

from __future__ import annotations

from msgspec import structs

from balance.account import Account, with_entry_number
from balance.burn import add_holds, give_back, negated
from ocs.charging.cdr import CdrFlag, JournalEntry
from ocs.charging.closing import closing_record
from ocs.charging.decision import Case, Decision
from ocs.charging.quota import report
from ocs.charging.repeats import with_number
from ocs.charging.request import ChargingAnswer, ChargingStatus
from ocs.charging.session import CreditSession, GroupState, StoredAnswer, Tombstone
from ocs.charging.steps import (
    REPORTS_TOTALS,
    Answered,
    Charged,
    answer_of,
    charge,
)
from ocs.charging.timing import from_times
from ocs.charging.units import with_covered
from ocs.rating.price import cost_of
from ocs.rating.terms import terms_of


def is_unreported(session: CreditSession) -> bool:
    """Whether something was granted and none of it ever reported, by a client that reports totals."""
    if not session.session_key.startswith(REPORTS_TOTALS):
        return False
    return any(state.granted for state in session.groups) and not any(state.used for state in session.groups)


def held(case: Case, account: Account, session: CreditSession) -> Answered:
    """Keep it, and its money, for a Stop that is late, or for somebody to look at; once."""
    deadline_ms = case.now_ms + case.policy.hold_ms
    kept: CreditSession = structs.replace(
        session, deadline_ms=deadline_ms, filed_ms=deadline_ms, flags=session.flags | CdrFlag.HELD
    )
    return Decision(ChargingAnswer(ChargingStatus.SUCCESS), account, ((session.session_key, kept),))


def as_granted(case: Case, account: Account, charged: Charged) -> Charged:
    """Charge all that was granted, as if it had been used."""
    states = []
    for state in charged.groups:
        reported = report(account, state, state.used + state.granted, case.now_ms)
        assert reported is not None, "what was granted could be booked"
        account, state = reported  # noqa: PLW2901 - the same group, all used
        states.append(structs.replace(state, flags=state.flags | CdrFlag.ASSUMED))
    return Charged(account, charged.session, tuple(states), charged.answers)


def reported_late(case: Case, account: Account, tombstone: Tombstone, session: CreditSession) -> Answered:
    """The last report of a session that was given up: paid by the difference, in either direction."""
    if session.flags & CdrFlag.ASSUMED:
        back = _given_back(case, account, tombstone, session)
        if back is not None:
            return back
        session = session.with_groups(tuple(structs.replace(state, debits=()) for state in session.groups))
    return _charged_late(case, account, tombstone, session)


def _given_back(case: Case, account: Account, tombstone: Tombstone, session: CreditSession) -> Answered | None:
    """The Stop of a call that was charged as granted and was shorter: the rest comes back [R-72]. None if it was not."""
    request = case.request
    entries: list[JournalEntry] = []
    for state, group in zip(session.groups, request.groups, strict=False):
        used = from_times(request, session, state) if request.duration_from_times else group.used or ()
        total = next((quantity.value for quantity in used if quantity.kind == state.tariff.price.kind), state.used)
        too_much = state.cost - cost_of(state.tariff.price, total) if total < state.used else 0
        if too_much > 0:
            account, kept = give_back(account, (), state.debits, too_much)
            back = add_holds(state.debits, negated(kept))
            number = account.entry_number + 1
            account = with_entry_number(account, number)
            why = f"charged for {state.used} without a report, used {total}"
            changes = tuple(hold for hold in back if hold.amount)
            entries.append(
                JournalEntry(
                    account.account_id, number, case.now_ms, "refund", account.currency, changes, session.session_key,
                    session.peer, why,
                )
            )  # fmt: skip
    if not entries:
        return None
    answer = ChargingAnswer(ChargingStatus.SUCCESS, currency=account.currency)
    seen = with_number(tombstone.seen, request.request_number)
    stored = StoredAnswer(request.request_number, request.kind, request.fingerprint, answer)
    done = Tombstone(account.account_id, tombstone.closed_at_ms, seen, (stored,))
    return Decision(answer, account, ((session.session_key, done),), tuple(entries))


def _charged_late(case: Case, account: Account, tombstone: Tombstone, session: CreditSession) -> Answered:
    """The last report of a session that was given up: what it used beyond what was paid, as a record of its own."""
    request = case.request
    charged = charge(case, account, session)
    if charged is None:
        return Decision(ChargingAnswer(ChargingStatus.INVALID_VALUE), account)
    account = charged.account
    answer = answer_of(account, charged.groups, ChargingStatus.SUCCESS, charged.answers, case.now_ms)
    stored = StoredAnswer(request.request_number, request.kind, request.fingerprint, answer)
    seen = with_number(tombstone.seen, request.request_number)
    records = ((session.session_key, Tombstone(account.account_id, tombstone.closed_at_ms, seen, (stored,))),)
    before = {state.key: state for state in session.groups}
    rest = [_rest(state, before[state.key]) if state.key in before else state for state in charged.groups]
    if not any(state.used for state in rest):
        return Decision(answer, account, records)
    number = account.entry_number + 1
    account = with_entry_number(account, number)
    late = session.with_groups(tuple(rest))
    entry = JournalEntry(
        account.account_id, number, case.now_ms, "session", account.currency,
        negated(late.debits), session.session_key, session.peer,
        request.cause, closing_record(case.request, case.now_ms, late, CdrFlag.LATE_REPORT),
        negated(late.unit_debits),
    )  # fmt: skip
    return Decision(answer, account, records, (entry,))


def _rest(state: GroupState, before: GroupState) -> GroupState:
    """What is on the second record: what was used, and covered by bundles, since the first one."""
    price = with_covered(state.tariff.price, -terms_of(before.tariff.price).covered)
    tariff = structs.replace(state.tariff, price=price)
    rest: GroupState = structs.replace(
        state, used=state.used - before.used, cost=state.cost - before.cost, course=None, tariff=tariff
    )
    return rest
