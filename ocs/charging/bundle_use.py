"""The account events that a bundle is nearly, or wholly, used: once for each bucket of units. Pure."""

from __future__ import annotations

from typing import Final, TypeVar

from msgspec import structs

from balance.account import Account, with_entry_number
from ocs.charging.account_events import TYPE_FACT
from ocs.charging.cdr import JournalEntry
from ocs.charging.decision import Decision

AnswerT = TypeVar("AnswerT")

KIND: Final = "bundle"
MARKS: Final = ((80, "bundle_warning"), (100, "bundle_used"))


def with_bundle_use(before: Account, decision: Decision[AnswerT], now_ms: int, reference: str) -> Decision[AnswerT]:
    """The same decision with an entry for each mark that the use of a bucket has passed: so each is told once."""
    account = decision.account
    if account.extras is None or before.extras is None or before.extras.units is account.extras.units:
        return decision
    known = {bucket.bucket_id: bucket.balance for bucket in before.extras.units}
    entries = []
    for bucket in account.extras.units:
        was, size = known.get(bucket.bucket_id, bucket.size), bucket.size
        for percent, event_type in MARKS if size and bucket.balance < was else ():
            if (size - was) * 100 < size * percent <= (size - bucket.balance) * 100:
                account = with_entry_number(account, account.entry_number + 1)
                facts = ((TYPE_FACT, event_type), ("bundle", bucket.bundle), ("percent", str(percent)))
                said = f"{percent} % of {bucket.bundle!r} are used"
                entries.append(
                    JournalEntry(
                        account.account_id,
                        account.entry_number,
                        now_ms,
                        KIND,
                        account.currency,
                        (),
                        reference,
                        reason=said,
                        facts=facts,
                    )
                )
    if not entries:
        return decision
    return structs.replace(decision, account=account, entries=(*decision.entries, *entries))
