"""Packages: sold once, or bought anew at the end of each period. Pure.

A renewal is due at an instant that stands in the account. Whatever is decided for the account after that instant does it
first, in its own posting: so it happens once, before any use of the new period, however many workers there are and
whatever has crashed. A timer in the index of deadlines has somebody look at an account of which nothing is heard.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from msgspec import structs

from balance.account import (
    NO_EXTRAS,
    Account,
    AccountState,
    Hold,
    Subscription,
    UnitBucket,
    with_entry_number,
    with_extras,
)
from balance.allowances import expire_units, with_units
from balance.burn import available, expire, negated, settle
from ocs.charging.account_events import TYPE_FACT
from ocs.charging.cdr import JournalEntry
from ocs.charging.decision import Rates
from ocs.charging.session import Timer
from ocs.rating.bundles import Grant, Package
from ocs.rating.periods import cycle_of, day_end_ms, days_between, local_day

RENEWAL: Final = "renewal"


class Sale(NamedTuple):
    """Who sells a package to an account, and why: for the journal."""

    reference: str
    actor: str
    reason: str = ""


def can_pay(account: Account, package: Package, now_ms: int, before: Subscription | None = None) -> bool:
    """Tell whether an account may buy a package, or renew a subscription to it, without being short of money."""
    price = 0 if before is None and _is_trial(account, package) else package.price
    return price <= max(0, available(account, now_ms))


def _is_trial(account: Account, package: Package) -> bool:
    """Whether a first purchase of it is for nothing: each account tries a package once."""
    return package.trial_days > 0 and package.name not in (account.extras or NO_EXTRAS).trials


def sold(
    account: Account, package: Package, sale: Sale, now_ms: int, before: Subscription | None = None
) -> tuple[Account, tuple[JournalEntry, ...]]:
    """Debit a package's price and put its buckets into the account: an entry for each, whose number names the bucket.

    A package with a period begins a subscription, or goes on with the one ``before``.
    """
    extras = account.extras or NO_EXTRAS
    zone = extras.time_zone or package.zone
    first = account.entry_number + 1
    day = before.day if before is not None else local_day(zone, now_ms)
    ended_ms = before.renews_at_ms if before is not None else 0
    has_waited = before is not None and before.is_new and before.is_short
    began_ms = now_ms if has_waited else ended_ms or now_ms
    renews_at_ms, price = 0, package.price
    if before is None and _is_trial(account, package):
        price, renews_at_ms = 0, day_end_ms(zone, now_ms, package.trial_days)
        day = local_day(zone, renews_at_ms)
        account = with_extras(account, structs.replace(extras, trials=(*extras.trials, package.name)))
    elif package.every:  # periods follow each other, unless whole ones were missed
        renews_at_ms = package.renews_at_ms(zone, extras.cycle_day, day, ended_ms or now_ms)
        if renews_at_ms <= now_ms:
            began_ms = now_ms
            renews_at_ms = package.renews_at_ms(zone, extras.cycle_day, day, now_ms)
    rolled = [_left(account, grant, ended_ms) for grant in package.grants]
    account, paid = settle(account, (), price, now_ms)
    changes = paid_for = negated(paid)
    is_first = before is None or before.is_new
    facts = (*facts_of("package_bought" if is_first else "renewed", package.name), ("price", str(price)))
    entries: list[JournalEntry] = []
    for grant, more in zip(package.grants, rolled, strict=True):
        account = with_entry_number(account, account.entry_number + 1)
        ends_at_ms = grant.expires_at_ms(zone, extras.cycle_day, now_ms, renews_at_ms)
        bucket = UnitBucket(
            account.entry_number, grant.bundle, int(grant.kind), grant.units + more, 0, grant.priority, ends_at_ms, now_ms,
            grant.source, grant.units + more,
        )  # fmt: skip
        account = with_units(account, bucket)
        reason = f"{package.name}: {sale.reason}".rstrip(": ")
        reason += f" ({more} of them rolled over)" if more else ""
        units = (Hold(bucket.bucket_id, bucket.balance),)
        entries.append(entry_of(account, sale, reason, now_ms, changes, units, facts))
        changes = facts = ()
    if package.every:
        number = before.number if before is not None else first
        ends = before is not None and before.ends
        committed_ms = before.committed_until_ms if before is not None else 0
        if not committed_ms and price and package.commitment:
            committed_ms = _end_of(package, package.commitment, zone, extras.cycle_day, day, renews_at_ms)
        begun = Subscription(
            number, package.name, renews_at_ms, day, ends, committed_until_ms=committed_ms, began_ms=began_ms,
            paid=paid_for, buckets=tuple(entry.entry_number for entry in entries),
        )  # fmt: skip
        account = with_subscription(account, begun)
    return account, tuple(entries)


def _end_of(package: Package, periods: int, zone: str, cycle_day: int, day: int, end_ms: int) -> int:
    """When so many periods are over, of which the first one ends then."""
    for _ in range(periods - 1):
        end_ms = package.renews_at_ms(zone, cycle_day, day, end_ms)
    return end_ms


def with_purchases(account: Account, rates: Rates, now_ms: int) -> tuple[Account, tuple[JournalEntry, ...]]:
    """Renew the subscriptions that are due, and write off what has expired."""
    extras = account.extras
    entries: list[JournalEntry] = []
    if extras is not None and extras.subscriptions:
        for subscription in extras.subscriptions:
            if subscription.renews_at_ms <= now_ms:
                account, more = _renewed(account, subscription, rates, now_ms)
                entries += more
    if len(account.buckets) == 1 and account.extras is None:
        return account, tuple(entries)
    after, written_off = expire(account, now_ms)
    after, units = expire_units(after, now_ms)
    if not written_off and not units:
        return after, tuple(entries)
    after = with_entry_number(after, after.entry_number + 1)
    entries.append(
        JournalEntry(
            after.account_id, after.entry_number, now_ms, "expiry", after.currency,
            negated(written_off), units=negated(units),
        )
    )  # fmt: skip
    return after, tuple(entries)


def timer_of(account: Account, now_ms: int) -> Timer | None:
    """When somebody has to look at an account: at its next renewal or stage, or a day on if one waits; None: never."""
    extras = account.extras or NO_EXTRAS
    ends_ms = [subscription.renews_at_ms for subscription in extras.subscriptions]
    if extras.life is not None and extras.life.until_ms:
        ends_ms.append(extras.life.until_ms)
    if extras.plan_change is not None:
        ends_ms.append(extras.plan_change.at_ms)
    if not ends_ms:
        return None
    next_ms = min(ends_ms)
    return Timer(account.account_id, next_ms if next_ms > now_ms else day_end_ms(extras.time_zone or "UTC", now_ms, 0))


_TIMER: Final = "due:"


def timer_key(account_id: str) -> str:
    """Where the timer lives: with the account's sessions, under a name that no protocol uses."""
    return f"{_TIMER}{account_id}"


def timed_account(key: str) -> str:
    """The account whose timer lives under a key; empty: it is no timer's."""
    return key.removeprefix(_TIMER) if key.startswith(_TIMER) else ""


def cancelled(account: Account, number: int) -> Account | None:
    """The account whose subscription ends with its period, or with its commitment; None if it has none of that number."""
    for subscription in (account.extras or NO_EXTRAS).subscriptions:
        if subscription.number == number:
            return with_subscription(account, structs.replace(subscription, ends=True))
    return None


def _renewed(
    account: Account, subscription: Subscription, rates: Rates, now_ms: int
) -> tuple[Account, tuple[JournalEntry, ...]]:
    package = rates.package(account.rate_plan, subscription.package, now_ms)
    sale = Sale(f"{RENEWAL}:{subscription.number}", RENEWAL)
    is_over = subscription.ends and subscription.renews_at_ms >= subscription.committed_until_ms
    if is_over or package is None or not package.every:
        return _ended(account, subscription, sale, "as cancelled" if is_over else "it is no longer sold", now_ms)
    if account.state is AccountState.CLOSED:
        return _ended(account, subscription, sale, "the account was closed", now_ms)
    if account.state is not AccountState.ACTIVE:
        return account, ()  # it waits until the account is active again
    if subscription.is_new:
        package = _first_part(account, package, subscription, now_ms)
    if package.if_short != "debit" and not can_pay(account, package, now_ms, subscription):
        return _short_of_money(account, subscription, package, sale, now_ms)
    return sold(account, package, sale, now_ms, subscription)


def _first_part(account: Account, package: Package, subscription: Subscription, now_ms: int) -> Package:
    """What is bought of a package that follows the account's cycle and begins within it: the days that are left."""
    if package.every not in {"month", "cycle"}:
        return package
    extras = account.extras or NO_EXTRAS
    zone, at_ms = extras.time_zone or package.zone, subscription.renews_at_ms
    begins_ms, ends_ms = cycle_of(zone, at_ms, extras.cycle_day)
    if subscription.is_short or ends_ms <= now_ms:  # not for the days for which it has waited
        at_ms = now_ms
        begins_ms, ends_ms = cycle_of(zone, at_ms, extras.cycle_day)
    return package.part(days_between(zone, at_ms, ends_ms), days_between(zone, begins_ms, ends_ms))


def _short_of_money(
    account: Account, subscription: Subscription, package: Package, sale: Sale, now_ms: int
) -> tuple[Account, tuple[JournalEntry, ...]]:
    """It ends, or it waits; that is told once."""
    balance = sum(bucket.balance for bucket in account.buckets)
    facts = (*facts_of("renewal_failed", package.name), ("price", str(package.price)), ("balance", str(balance)))
    if package.if_short == "end":
        return _ended(account, subscription, sale, "it could not be paid", now_ms, facts)
    if subscription.is_short:
        return account, ()
    account = with_subscription(account, structs.replace(subscription, is_short=True))
    account = with_entry_number(account, account.entry_number + 1)
    return account, (entry_of(account, sale, f"{package.name}: it waits for money", now_ms, (), (), facts),)


def facts_of(event_type: str, package: str) -> tuple[tuple[str, str], ...]:
    return (TYPE_FACT, event_type), ("package", package)


def _ended(
    account: Account,
    subscription: Subscription,
    sale: Sale,
    why: str,
    now_ms: int,
    facts: tuple[tuple[str, str], ...] = (),
) -> tuple[Account, tuple[JournalEntry, ...]]:
    extras = account.extras or NO_EXTRAS
    left = tuple(each for each in extras.subscriptions if each.number != subscription.number)
    account = with_extras(account, structs.replace(extras, subscriptions=left))
    account = with_entry_number(account, account.entry_number + 1)
    facts = facts or facts_of("subscription_ended", subscription.package)
    return account, (entry_of(account, sale, f"{subscription.package}: ended, {why}", now_ms, (), (), facts),)


def _left(account: Account, grant: Grant, ended_ms: int) -> int:
    """What rolls over of the bucket of the period that has ended."""
    extras = account.extras or NO_EXTRAS
    if not ended_ms or not grant.rollover:
        return 0
    left = [
        each.balance - each.reserved
        for each in extras.units
        if (each.bundle, each.expires_at_ms) == (grant.bundle, ended_ms)
    ]
    return min(grant.rollover, sum(left))


def with_subscription(account: Account, subscription: Subscription) -> Account:
    extras = account.extras or NO_EXTRAS
    others = tuple(each for each in extras.subscriptions if each.number != subscription.number)
    return with_extras(account, structs.replace(extras, subscriptions=(*others, subscription)))


def entry_of(
    account: Account,
    sale: Sale,
    reason: str,
    now_ms: int,
    changes: tuple[Hold, ...],
    units: tuple[Hold, ...],
    facts: tuple[tuple[str, str], ...] = (),
) -> JournalEntry:
    return JournalEntry(
        account.account_id, account.entry_number, now_ms, "package", account.currency, changes,
        sale.reference, sale.actor, reason, units=units, facts=facts,
    )  # fmt: skip
