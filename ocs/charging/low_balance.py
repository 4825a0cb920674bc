"""The warning that an account's money runs low: made once each time that a debit takes it below the threshold. Pure."""

from __future__ import annotations

from typing import Final

from msgspec import structs

from balance.account import Account
from balance.money import Amount
from ocs.charging.cdr import JournalEntry
from ocs.charging.decision import Case, Decision
from ocs.charging.request import ChargingAnswer

KIND: Final = "low_balance"


def with_warning(case: Case, before: Account, decision: Decision[ChargingAnswer]) -> Decision[ChargingAnswer]:
    """The decision with a journal entry of its own where it takes the booked money over the threshold (statement 81).

    In the same posting as the debit: who reads the journal is told once for each crossing, whatever is repeated or lost.
    """
    after = decision.account
    if not booked(after) < before.low_balance <= booked(before):
        return decision
    number = after.entry_number + 1
    entry = JournalEntry(
        after.account_id,
        number,
        case.now_ms,
        KIND,
        after.currency,
        (),
        case.request.session_key,
        case.request.peer,
        "the balance fell below the account's threshold",
        facts=(("balance", str(booked(after))), ("threshold", str(after.low_balance))),
    )
    return structs.replace(
        decision, account=structs.replace(after, entry_number=number), entries=(*decision.entries, entry)
    )


def booked(account: Account) -> Amount:
    """What is in the buckets, whatever open sessions have set aside: else each grant would be a crossing."""
    return sum(bucket.balance for bucket in account.buckets)
