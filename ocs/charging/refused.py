"""The account event that a call or session could not begin: once for each reason, until money comes in. Pure.

A refusal changes nothing, so it costs no posting; the first one of its reason does, and marks the account with it.
"""

from __future__ import annotations

from typing import Final

from msgspec import structs

from balance.account import NO_EXTRAS, Account, AccountState, Refusal, with_entry_number, with_extras
from ocs.charging.cdr import JournalEntry
from ocs.charging.decision import Case, Decision
from ocs.charging.request import ChargingAnswer, ChargingStatus

KIND: Final = "refused"
AGAIN_MS: Final = 86_400_000
"""A reason that lasts is told once a day."""

REASONS: Final = {
    ChargingStatus.CREDIT_LIMIT_REACHED: "no_money",
    ChargingStatus.TOO_MANY_CALLS: "too_many_calls",
    ChargingStatus.SERVICE_DENIED: "not_active",
}


def with_refusal(case: Case, decision: Decision[ChargingAnswer]) -> Decision[ChargingAnswer]:
    """The decision with a journal entry of its own where it refuses for a reason that was not told yet."""
    account = decision.account
    why = REASONS.get(decision.answer.status)
    if case.most is not None:
        return decision  # another level refuses, and tells it
    if why is None or (why == "not_active" and account.state is AccountState.ACTIVE):
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


def forgotten(account: Account) -> Account:
    """The account to which something happened that may let it call again: the next refusal is news."""
    if account.extras is None or not account.extras.refusals:
        return account
    return with_extras(account, structs.replace(account.extras, refusals=()))
