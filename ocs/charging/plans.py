"""Another rate plan for an account: at once, or when its billing cycle ends. Pure.

The change stands in the account with its instant; whoever touches the account after that does it, in his own posting (ADR
53). Subscriptions that the new plan does not sell end, and the days that are left of what was paid for them come back. The day of
the change belongs to the new plan, so a change to one of the same price costs nothing.
"""

from __future__ import annotations

from typing import Final, NamedTuple
from zlib import crc32

from msgspec import structs

from balance.account import (
    NO_EXTRAS,
    Account,
    AccountState,
    Hold,
    PlanChange,
    Subscription,
    UnitBucket,
    with_entry_number,
    with_extras,
)
from balance.burn import credit
from ocs.charging.account_events import TYPE_FACT
from ocs.charging.cdr import JournalEntry
from ocs.charging.decision import Rates
from ocs.charging.giving_back import given_back
from ocs.charging.life import zone_of
from ocs.charging.packages import Sale, entry_of, facts_of, with_subscription
from ocs.charging.rules import AccountRules, PlanChangeRule
from ocs.rating.periods import cycle_of, days_between

KIND: Final = "plan"
NO_RULE: Final = PlanChangeRule()


class PlanOrder(NamedTuple):
    """What is asked for: a plan, and whether it waits for the end of the billing cycle."""

    plan: str
    at_cycle_end: bool = False


def plan_tag(account: Account) -> str:
    """Names the plan that an account has and the one that it will have, whatever it spends meanwhile."""
    return f"{crc32(repr((account.rate_plan, (account.extras or NO_EXTRAS).plan_change)).encode()):08x}"


def change_at_ms(order: PlanOrder, account: Account, rates: Rates, now_ms: int) -> int:
    """When a change that is ordered now takes place."""
    if not order.at_cycle_end:
        return now_ms
    zone = zone_of(account, rates.time_zone_of(account.rate_plan))
    return cycle_of(zone, now_ms, (account.extras or NO_EXTRAS).cycle_day)[1]


def is_bound(account: Account, order: PlanOrder, rates: Rates, now_ms: int) -> bool:
    """Whether a commitment to what the new plan does not sell lasts beyond the change."""
    at_ms = change_at_ms(order, account, rates, now_ms)
    return any(
        each.committed_until_ms > at_ms and not _goes_on(each, order.plan, rates, at_ms)
        for each in (account.extras or NO_EXTRAS).subscriptions
    )


def ordered(account: Account, order: PlanOrder, sale: Sale, rates: Rates, now_ms: int) -> tuple[Account, JournalEntry]:
    """Note the change, in place of one that was noted before; an order of the plan that there is takes that back."""
    change = PlanChange(order.plan, change_at_ms(order, account, rates, now_ms), sale.reference, sale.actor)
    is_other = order.plan != account.rate_plan
    extras = structs.replace(account.extras or NO_EXTRAS, plan_change=change if is_other else None)
    account = with_entry_number(with_extras(account, extras), account.entry_number + 1)
    when = "when the cycle ends" if order.at_cycle_end else "at once"
    what = f"{account.rate_plan} -> {order.plan} {when}" if is_other else f"{order.plan} stays"
    return account, _entry(account, sale, f"{what}: {sale.reason}".rstrip(": "), now_ms)


def with_plan_change(
    account: Account, rates: Rates, rules: AccountRules, now_ms: int
) -> tuple[Account, tuple[JournalEntry, ...]]:
    """Do the change that is due: the plan, the end of what it does not sell, the beginning of what comes with it."""
    extras = account.extras or NO_EXTRAS
    change, before = extras.plan_change, account.rate_plan
    assert change is not None, "asked where one is due"
    account = with_extras(account, structs.replace(extras, plan_change=None))
    if account.state in {AccountState.CLOSED, AccountState.RECYCLED}:
        return account, ()
    sale = Sale(change.key, change.actor, f"with the plan {change.plan}")
    account = with_entry_number(account, account.entry_number + 1)
    if rates.currency_of(change.plan) != account.currency:
        why = f"{before} stays: there is no plan {change.plan} in {account.currency} any more"
        return account, (_entry(account, sale, why, now_ms),)
    account = structs.replace(account, rate_plan=change.plan)
    facts = ((TYPE_FACT, "plan_changed"), ("plan_before", before), ("plan", change.plan))
    entries = [_entry(account, sale, f"{before} -> {change.plan}", now_ms, facts)]
    zone = zone_of(account, rates.time_zone_of(before))
    for subscription in extras.subscriptions:
        if not _goes_on(subscription, change.plan, rates, change.at_ms):
            account, entry = _given_up(account, subscription, sale, zone, change.at_ms, now_ms)
            entries.append(entry)
    rule = rules.plan_change_to(change.plan) or NO_RULE
    for name in rule.packages:
        if all(each.package != name for each in (account.extras or NO_EXTRAS).subscriptions):
            account, entry = _begun(account, name, rule, sale, change.at_ms, rates, now_ms)
            entries.append(entry)
    return account, tuple(entries)


def _goes_on(subscription: Subscription, plan: str, rates: Rates, at_ms: int) -> bool:
    package = rates.package(plan, subscription.package, at_ms)
    return package is not None and bool(package.every)


def _given_up(
    account: Account, subscription: Subscription, sale: Sale, zone: str, at_ms: int, now_ms: int
) -> tuple[Account, JournalEntry]:
    """It ends; the days that are left are paid back, and what sessions do not hold of its buckets is written off."""
    left = max(0, days_between(zone, at_ms, subscription.renews_at_ms)) if subscription.paid else 0
    of_days = days_between(zone, subscription.began_ms, subscription.renews_at_ms)
    amount = -sum(change.amount for change in subscription.paid) * left // of_days if left else 0
    back = given_back(subscription.paid, account, amount) if amount else ()
    account = credit(account, {change.bucket_id: change.amount for change in back})
    extras = account.extras or NO_EXTRAS
    own = {each.bucket_id: each for each in extras.units if each.bucket_id in subscription.buckets}
    units = tuple(Hold(each.bucket_id, each.reserved - each.balance) for each in own.values())
    account = with_extras(
        account,
        structs.replace(
            extras,
            units=tuple(
                _held(each, at_ms) if each.bucket_id in own else each for each in extras.units if _stays(each, own)
            ),
            subscriptions=tuple(each for each in extras.subscriptions if each.number != subscription.number),
        ),
    )
    account = with_entry_number(account, account.entry_number + 1)
    why = f"{subscription.package}: ended {sale.reason}" + (
        f", {left} of {of_days} days are paid back" if amount else ""
    )
    lost = tuple(each for each in units if each.amount)
    return account, entry_of(
        account, sale._replace(reason=""), why, now_ms, back, lost, facts_of("subscription_ended", subscription.package)
    )


def _stays(bucket: UnitBucket, own: dict[int, UnitBucket]) -> bool:
    return bucket.bucket_id not in own or bucket.reserved > 0


def _held(bucket: UnitBucket, at_ms: int) -> UnitBucket:
    """What sessions hold of a bucket still pays for them; what they give back has ended."""
    held: UnitBucket = structs.replace(bucket, balance=bucket.reserved, expires_at_ms=at_ms)
    return held


def _begun(
    account: Account, name: str, rule: PlanChangeRule, sale: Sale, at_ms: int, rates: Rates, now_ms: int
) -> tuple[Account, JournalEntry]:
    """A subscription whose first period is due: at the change, or with the next cycle. It is bought like a renewal."""
    extras = account.extras or NO_EXTRAS
    package = rates.package(account.rate_plan, name, at_ms)
    if rule.first_period == "next" and package is not None and package.every in {"month", "cycle"}:
        begins_ms, ends_ms = cycle_of(extras.time_zone or package.zone, at_ms, extras.cycle_day)
        at_ms = at_ms if at_ms == begins_ms else ends_ms
    account = with_entry_number(account, account.entry_number + 1)
    subscription = Subscription(account.entry_number, name, at_ms, extras.cycle_day or 1, is_new=True)
    account = with_subscription(account, subscription)
    return account, entry_of(account, sale, f"{name}: it comes {sale.reason}", now_ms, (), ())


def _entry(
    account: Account, sale: Sale, reason: str, now_ms: int, facts: tuple[tuple[str, str], ...] = ()
) -> JournalEntry:
    return JournalEntry(
        account.account_id, account.entry_number, now_ms, KIND, account.currency, (), sale.reference, sale.actor, reason,
        facts=facts,
    )  # fmt: skip
