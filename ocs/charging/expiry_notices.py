"""The account event that something ends soon: money, units of a bundle, the account's time. Once for each end. Pure.

A notice is due so many days before the end, and told by whoever touches the account first after that, or by a timer. The account
remembers until when notices have been told (``Extras.noticed_ms``); what is bought later than its notice would be due has none.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from msgspec import structs

from balance.account import NO_EXTRAS, Account, AccountState, with_entry_number, with_extras
from ocs.charging.account_events import TYPE_FACT
from ocs.charging.cdr import JournalEntry
from ocs.charging.packages import timer_of
from ocs.charging.rules import AccountRules
from ocs.charging.session import Timer
from ocs.rating.periods import local_date

KIND: Final = "expiring"
EVENT: Final = "expiry_near"
DAY_MS: Final = 86_400_000


class _End(NamedTuple):
    """``since_ms`` is when it came to the account; ``facts`` say what it is, and how much is left."""

    at_ms: int
    since_ms: int
    facts: tuple[tuple[str, str], ...]


def with_expiry_notices(
    account: Account, days: int, zone: str, now_ms: int
) -> tuple[Account, tuple[JournalEntry, ...]]:
    """Tell of what ends within so many days and was not told of."""
    near = [end for end in _ends(account, days) if end.at_ms - days * DAY_MS <= now_ms < end.at_ms]
    entries = []
    for end in near:
        account = with_entry_number(account, account.entry_number + 1)
        last_day = local_date(zone, end.at_ms - 1).isoformat()
        facts = ((TYPE_FACT, EVENT), *end.facts, ("ends_on", last_day), ("ends_at_ms", str(end.at_ms)))
        what = dict(end.facts)
        reason = f"{what.get('bundle', what['what'])} ends with {last_day}"
        entries.append(
            JournalEntry(
                account.account_id, account.entry_number, now_ms, KIND, account.currency, (), reason=reason, facts=facts
            )
        )
    if entries:
        account = with_extras(account, structs.replace(account.extras or NO_EXTRAS, noticed_ms=now_ms))
    return account, tuple(entries)


def due_timer(account: Account, rules: AccountRules, now_ms: int) -> Timer | None:
    """When somebody has to look at an account, for what is due or to be told; None: never."""
    timer = timer_of(account, now_ms)
    days = rules.notice_days_of(account.rate_plan)
    notices = (end.at_ms - days * DAY_MS for end in _ends(account, days)) if days else ()
    next_ms = min((at_ms for at_ms in notices if at_ms > now_ms), default=0)
    if not next_ms or (timer is not None and timer.due_at_ms <= next_ms):
        return timer
    return Timer(account.account_id, next_ms)


def _ends(account: Account, days: int) -> Iterator[_End]:
    """What will end and has a notice that was not told."""
    noticed_ms = (account.extras or NO_EXTRAS).noticed_ms
    for end in _all_ends(account):
        if end.at_ms - days * DAY_MS > max(noticed_ms, end.since_ms):
            yield end


def _all_ends(account: Account) -> Iterator[_End]:
    if account.state in {AccountState.CLOSED, AccountState.RECYCLED}:
        return
    for bucket in account.buckets:
        if bucket.expires_at_ms and bucket.balance > 0:
            facts: tuple[tuple[str, str], ...] = (("what", "money"), ("balance", str(bucket.balance)))
            yield _End(bucket.expires_at_ms, bucket.created_at_ms, facts)
    extras = account.extras or NO_EXTRAS
    # What is bought anew in time needs no notice.
    renewed = {number for each in extras.subscriptions if not each.ends for number in each.buckets}
    for units in extras.units:
        if units.expires_at_ms and units.balance > 0 and units.bucket_id not in renewed:
            facts = (("what", "units"), ("bundle", units.bundle), ("units", str(units.balance)))
            yield _End(units.expires_at_ms, units.created_at_ms, facts)
    if account.ends_at_ms:
        yield _End(account.ends_at_ms, 0, (("what", "account"),))
