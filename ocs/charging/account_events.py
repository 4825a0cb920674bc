"""What a journal entry tells whoever follows an account: its type and its figures. Pure.

Entries leave with the posting and are numbered, so an event happens once and is never lost, whatever is repeated.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from balance.burn import total_of
from balance.money import Amount
from ocs.charging.cdr import JournalEntry

MONEY_FACTS: Final = frozenset({"balance", "threshold", "most", "price"})
"""Facts that are amounts at the currency's scale; all others are words and plain numbers."""

EVENT_OF_KIND: Final[Mapping[str, str]] = {
    "opened": "account_opened",
    "top_up": "top_up",
    "adjustment": "adjustment",
    "payment": "payment",
    "refund": "refund",
    "transfer": "transfer",
    "reversal": "reversal",
    "expiry": "expired",
    "state": "state_changed",
    "low_balance": "low_balance",
    "refused": "session_refused",
    "automatic_top_up": "automatic_top_up",
    "chargeback": "chargeback",
}
TOLD_TYPES: Final = (
    "cap_warning", "cap_reached", "bundle_warning", "bundle_used", "package_bought", "renewed", "renewal_failed",
    "subscription_ended", "tier_reached", "fraud_suspected", "plan_changed", "expiry_near",
    "automatic_top_up_failed", "automatic_top_up_stopped", "merged", "reseller_changed",
)  # fmt: skip
EVENT_TYPES: Final = frozenset({*EVENT_OF_KIND.values(), *TOLD_TYPES})
TYPE_FACT: Final = "event"
"""An entry whose kind does not say it all names its event by this fact."""


class AccountEvent(NamedTuple):
    """``amount`` is what came to the account (+) or went from it, at the currency's scale."""

    account_id: str
    entry_number: int
    event_type: str
    at_ms: int
    currency: str
    amount: Amount
    facts: dict[str, str]


def event_of(entry: JournalEntry) -> AccountEvent | None:
    """What an entry tells; None for one that is of interest to the books alone."""
    facts = dict(entry.facts)
    event_type = facts.pop(TYPE_FACT, None) or EVENT_OF_KIND.get(entry.kind)
    if event_type is None:
        return None
    for name, text in (("reference", entry.reference), ("actor", entry.actor), ("reason", entry.reason)):
        if text:
            facts.setdefault(name, text)
    amount = total_of(entry.changes)
    return AccountEvent(entry.account_id, entry.entry_number, event_type, entry.at_ms, entry.currency, amount, facts)
