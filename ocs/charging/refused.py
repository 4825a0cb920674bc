"""The account event that a call or session could not begin: once for each reason, until money comes in. Pure.

A refusal changes nothing, so it costs no posting; the first one of its reason does, and marks the account with it.
"""

from __future__ import annotations

from typing import Final

from msgspec import structs

from balance.account import NO_EXTRAS, Account, AccountState, Refusal, with_entry_number, with_extras
from balance.burn import available
from ocs.charging.caps import room
from ocs.charging.cdr import JournalEntry
from ocs.charging.choice import new_state, with_bundles
from ocs.charging.decision import Case, Decision
from ocs.charging.life import blocks_of
from ocs.charging.request import ChargingAnswer, ChargingStatus
from ocs.charging.steps import new_session
from ocs.charging.velocity import BLOCK

KIND: Final = "refused"
AGAIN_MS: Final = 86_400_000
"""A reason that lasts is told once a day."""

REASONS: Final = {
    ChargingStatus.CREDIT_LIMIT_REACHED: "no_money",
    ChargingStatus.TOO_MANY_CALLS: "too_many_calls",
    ChargingStatus.SERVICE_DENIED: "not_active",
    ChargingStatus.RATING_FAILED: "no_price",
    ChargingStatus.DESTINATION_BARRED: "barred",
}
FINER_REASONS: Final = ("cap_reached", "fraud", "expired")
"""What the answer's status does not tell: a cap instead of the money, a block by the rules against fraud, a life that is over."""

ALL_REASONS: Final = frozenset({*REASONS.values(), *FINER_REASONS})
_SUCCESS: Final = ChargingStatus.SUCCESS


def with_refusal(case: Case, decision: Decision[ChargingAnswer]) -> Decision[ChargingAnswer]:
    """The decision with a journal entry of its own where it refuses for a reason that was not told yet."""
    if case.most is not None:
        return decision  # another level refuses, and tells it
    account = decision.account
    why = reason_of(case, account, decision.answer)
    if not why:
        return decision
    extras = account.extras or NO_EXTRAS
    if any(told.why == why and case.now_ms - told.at_ms < AGAIN_MS for told in extras.refusals):
        return decision
    others = tuple(told for told in extras.refusals if told.why != why)
    account = with_extras(account, structs.replace(extras, refusals=(*others, Refusal(why, case.now_ms))))
    account = with_entry_number(account, account.entry_number + 1)
    request = case.request
    facts = (("why", why), ("service", request.service), ("destination", request.destination))
    entry = JournalEntry(
        account.account_id, account.entry_number, case.now_ms, KIND, account.currency, (), request.session_key,
        request.peer, why, facts=facts,
    )  # fmt: skip
    return structs.replace(decision, account=account, entries=(*decision.entries, entry))


def reason_of(case: Case, account: Account, answer: ChargingAnswer) -> str:
    """Why a call or session got nothing, as one of ALL_REASONS; empty: it got something, or it is not for the account to know."""
    status = answer.status
    if status is _SUCCESS:
        for group in answer.groups:
            if group.status is _SUCCESS:
                return ""
        # A session without a price is opened, and each of its groups is refused.
        status = answer.groups[0].status if answer.groups else status
    why = REASONS.get(status, "")
    if why == "not_active":
        return _why_not_active(account, answer)
    if why == "no_money" and account.extras is not None and account.extras.caps and _is_capped(case, account):
        return "cap_reached"
    return why


def _why_not_active(account: Account, answer: ChargingAnswer) -> str:
    if account.state is AccountState.ACTIVE:
        return ""
    if BLOCK in blocks_of(account):
        return "fraud"
    return "expired" if answer.is_expired else "not_active"


def _is_capped(case: Case, account: Account) -> bool:
    """Whether some cap leaves less than the money that is there."""
    session, money = new_session(case, account), max(0, available(account, case.now_ms))
    for group in case.request.groups:
        state = new_state(case, account, session, group.key)
        if isinstance(state, ChargingStatus):
            continue
        units = with_bundles(case, account, session, state).units
        left = room(account, units, case.now_ms)[1] if units is not None else None
        if left is not None and (left.units == 0 or (left.money is not None and left.money < money)):
            return True
    return False


def forgotten(account: Account) -> Account:
    """The account to which something happened that may let it call again: the next refusal is news."""
    if account.extras is None or not account.extras.refusals:
        return account
    return with_extras(account, structs.replace(account.extras, refusals=()))
