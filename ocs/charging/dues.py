"""What is due for an account, whoever touches it: the next stage of its life, its plan, renewals, what has expired. Pure."""

from __future__ import annotations

from balance.account import Account
from ocs.charging.cdr import JournalEntry
from ocs.charging.decision import Rates
from ocs.charging.expiry_notices import with_expiry_notices
from ocs.charging.life import is_due, lived, zone_of
from ocs.charging.packages import with_purchases
from ocs.charging.plans import with_plan_change
from ocs.charging.rules import AccountRules


def with_dues(
    account: Account, rates: Rates, rules: AccountRules, now_ms: int
) -> tuple[Account, tuple[JournalEntry, ...]]:
    """Do what is due, in the order in which it is due: an account that has come of age buys nothing more."""
    entries: tuple[JournalEntry, ...] = ()
    if account.extras is not None and is_due(account, now_ms):
        zone = zone_of(account, rates.time_zone_of(account.rate_plan))
        account, entries = lived(account, rules.lifecycle_of(account.rate_plan), zone, now_ms)
    change = account.extras.plan_change if account.extras is not None else None
    if change is not None and change.at_ms <= now_ms:
        account, changed = with_plan_change(account, rates, rules, now_ms)
        entries = (*entries, *changed)
    account, more = with_purchases(account, rates, now_ms)
    if rules.expiry_notices and (days := rules.notice_days_of(account.rate_plan)):
        zone = zone_of(account, rates.time_zone_of(account.rate_plan))
        account, notices = with_expiry_notices(account, days, zone, now_ms)
        more = (*more, *notices)
    return account, (*entries, *more) if entries else more
