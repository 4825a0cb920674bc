"""What the API answers: our records as bodies.

Amounts are JSON strings with a decimal number in the major unit, instants are RFC 3339 in UTC.
"""

from __future__ import annotations

import msgspec

from balance.account import (
    CAP_PREFIX,
    EACH_MEMBER,
    MEMBER_MARK,
    NEVER_MS,
    NO_EXTRAS,
    NO_LIMIT,
    Account,
    Bucket,
    Cap,
    Counter,
    Extras,
    UnitBucket,
)
from balance.allowances import is_over, order_of
from balance.burn import available, is_expired
from balance.money import Amount, Currency, format_amount
from balance.store import Subscriber
from ocs.api.schemas import CAP_UNITS, STATE_NAMES, CapUnit, DecimalString, Instant, StateName, instant
from ocs.charging.life import blocks_of
from ocs.rating.bundles import SOURCE_NAMES, SourceName
from ocs.rating.periods import Every
from ocs.rating.units import UnitKind


class BucketView(msgspec.Struct, frozen=True, kw_only=True):
    bucket_id: int
    balance: DecimalString
    reserved: DecimalString
    priority: int
    source: SourceName
    expires_at: Instant | None
    expired: bool


class UnitBucketView(msgspec.Struct, frozen=True, kw_only=True):
    """What is left of a bundle, in ``unit`` seconds, octets or events; ``size`` is what was in it at first."""

    bucket_id: int
    bundle: str
    unit: str
    balance: int
    reserved: int
    size: int
    priority: int
    source: SourceName
    expires_at: Instant | None
    expired: bool


class TierView(msgspec.Struct, frozen=True, kw_only=True):
    """``size`` null: all further units."""

    size: int | None
    used: int
    reserved: int


class CounterView(msgspec.Struct, frozen=True, kw_only=True):
    """What was used of one thing in one period by all sessions, in seconds, octets or events, and tier by tier.

    ``status`` is the word of the plan for the tier that was reached: set speeds by it.
    """

    counter: str
    ends_at: Instant
    used: int
    reserved: int
    tiers: tuple[TierView, ...]
    status: str


class CallsView(msgspec.Struct, frozen=True, kw_only=True):
    """``open`` counts the sessions that began since there is this limit."""

    service: str
    at_once: int
    per_second: int
    open: int


class MemberSpent(msgspec.Struct, frozen=True, kw_only=True):
    """A member's part of a cap for each."""

    member: str
    spent: DecimalString
    reserved: DecimalString
    ends_at: Instant


class CapView(msgspec.Struct, frozen=True, kw_only=True):
    """``spent`` and ``reserved`` (by open grants) are of the newest period in which anything was, until ``ends_at``.

    A cap for each member has them in ``members``.
    """

    name: str
    every: Every
    most: DecimalString
    services: tuple[str, ...]
    warn_percent: int
    member: str
    unit: CapUnit
    destinations: tuple[str, ...]
    networks: tuple[str, ...]
    not_networks: tuple[str, ...]
    spent: DecimalString
    reserved: DecimalString
    ends_at: Instant | None
    members: tuple[MemberSpent, ...]


class SubscriptionView(msgspec.Struct, frozen=True, kw_only=True):
    """A package that is bought anew at ``renews_at``, or that ``ends`` there, but not before ``committed_until``.

    ``renews_at`` in the past: it waits for money.
    """

    number: int
    package: str
    renews_at: Instant
    ends: bool
    committed_until: Instant | None


class AccountView(msgspec.Struct, frozen=True, kw_only=True):
    """``available`` is what may still be spent: balance - reserved + credit_limit, without what has expired.

    ``blocks`` name what suspends it; ``stage`` is where it is in the life that its plan gives it, if any, until ``stage_ends_at``.
    ``next_rate_plan`` holds from ``plan_changes_at`` on. ``merged_into`` is the account that has what this one had.
    ``reseller`` is charged along with it for whatever begins now.
    """

    account_id: str
    currency: str
    rate_plan: str
    state: StateName
    balance: DecimalString
    reserved: DecimalString
    available: DecimalString
    credit_limit: DecimalString
    low_balance: DecimalString
    buckets: tuple[BucketView, ...]
    units: tuple[UnitBucketView, ...]
    counters: tuple[CounterView, ...]
    subscriptions: tuple[SubscriptionView, ...]
    calls: tuple[CallsView, ...]
    caps: tuple[CapView, ...]
    time_zone: str
    cycle_day: int
    created_at: Instant
    blocks: tuple[str, ...]
    stage: StateName | None
    stage_ends_at: Instant | None
    next_rate_plan: str | None
    plan_changes_at: Instant | None
    merged_into: str | None
    reseller: str | None


class RechargeView(msgspec.Struct, frozen=True, kw_only=True):
    """``entry_number`` names the journal entry of this account. ``replayed``: it had been done before."""

    entry_number: int
    replayed: bool
    account: AccountView


class SubscriberView(msgspec.Struct, frozen=True, kw_only=True):
    subscriber_id: str
    account_id: str
    identities: tuple[str, ...]
    has_password: bool
    created_at: Instant


class BalancesView(msgspec.Struct, frozen=True, kw_only=True):
    """One sign for all: + is the customer's money, - is what the customer owes.

    ``live``: all that was paid and used up to now. ``invoiced``: what stands on invoices alone, unpaid ones as -, money that
    pays none yet as +; null if the account pays no customer's invoices. ``unbilled`` = live - invoiced: what was used since.
    ``available`` = live - reserved + credit_limit: what may be spent.
    """

    currency: str
    live: DecimalString
    invoiced: DecimalString | None
    unbilled: DecimalString | None
    reserved: DecimalString
    credit_limit: DecimalString
    available: DecimalString


def balances_view(account: Account, invoiced: Amount | None, currency: Currency, now_ms: int) -> BalancesView:
    """The three balances of an account, and what lies between them."""

    def text(amount: Amount) -> str:
        return format_amount(amount, currency.scale, currency.digits)

    valid = [bucket for bucket in account.buckets if not is_expired(bucket, now_ms)]
    live, reserved = sum(bucket.balance for bucket in valid), sum(bucket.reserved for bucket in valid)
    return BalancesView(
        currency=account.currency,
        live=text(live),
        invoiced=None if invoiced is None else text(invoiced),
        unbilled=None if invoiced is None else text(live - invoiced),
        reserved=text(reserved),
        credit_limit=text(account.credit_limit),
        available=text(available(account, now_ms)),
    )


def account_view(account: Account, currency: Currency, now_ms: int) -> AccountView:
    def text(amount: Amount) -> str:
        return format_amount(amount, currency.scale, currency.digits)

    valid = [bucket for bucket in account.buckets if not is_expired(bucket, now_ms)]
    balance = sum(bucket.balance for bucket in valid)
    reserved = sum(bucket.reserved for bucket in valid)
    extras = account.extras or NO_EXTRAS
    return AccountView(
        account_id=account.account_id,
        currency=account.currency,
        rate_plan=account.rate_plan,
        state=STATE_NAMES[account.state],
        balance=text(balance),
        reserved=text(reserved),
        available=text(balance - reserved + account.credit_limit),
        credit_limit=text(account.credit_limit),
        low_balance=text(account.low_balance),
        buckets=tuple(_bucket_view(bucket, currency, now_ms) for bucket in account.buckets),
        units=tuple(_units_view(bucket, now_ms) for bucket in sorted(extras.units, key=order_of)),
        counters=tuple(_counter_view(each) for each in extras.counters if not each.counter_id.startswith(CAP_PREFIX)),
        subscriptions=tuple(
            SubscriptionView(
                number=each.number,
                package=each.package,
                renews_at=instant(each.renews_at_ms),
                ends=each.ends,
                committed_until=instant(each.committed_until_ms) if each.committed_until_ms else None,
            )
            for each in extras.subscriptions
        ),
        calls=tuple(
            CallsView(service=each.service, at_once=each.at_once, per_second=each.per_second, open=each.open)
            for each in extras.calls
        ),
        caps=tuple(_cap_view(cap, extras, currency) for cap in extras.caps),
        time_zone=extras.time_zone,
        cycle_day=extras.cycle_day,
        created_at=instant(account.created_at_ms),
        blocks=blocks_of(account),
        merged_into=extras.merged_into or None,
        reseller=extras.reseller or None,
        stage=STATE_NAMES[extras.life.stage] if extras.life is not None else None,
        stage_ends_at=instant(extras.life.until_ms) if extras.life is not None and extras.life.until_ms else None,
        next_rate_plan=extras.plan_change.plan if extras.plan_change is not None else None,
        plan_changes_at=instant(extras.plan_change.at_ms) if extras.plan_change is not None else None,
    )


def _bucket_view(bucket: Bucket, currency: Currency, now_ms: int) -> BucketView:
    return BucketView(
        bucket_id=bucket.bucket_id,
        balance=format_amount(bucket.balance, currency.scale, currency.digits),
        reserved=format_amount(bucket.reserved, currency.scale, currency.digits),
        priority=bucket.priority,
        source=SOURCE_NAMES[bucket.origin],
        expires_at=None if bucket.expires_at_ms == NEVER_MS else instant(bucket.expires_at_ms),
        expired=is_expired(bucket, now_ms),
    )


def _units_view(bucket: UnitBucket, now_ms: int) -> UnitBucketView:
    return UnitBucketView(
        bucket_id=bucket.bucket_id,
        bundle=bucket.bundle,
        unit=UnitKind(bucket.kind).name.lower(),
        balance=bucket.balance,
        reserved=bucket.reserved,
        size=bucket.size,
        priority=bucket.priority,
        source=SOURCE_NAMES[bucket.origin],
        expires_at=None if bucket.expires_at_ms == NEVER_MS else instant(bucket.expires_at_ms),
        expired=is_over(bucket, now_ms),
    )


def _cap_view(cap: Cap, extras: Extras, currency: Currency) -> CapView:
    newest = {each.counter_id: each for each in extras.counters if cap.is_counter(each.counter_id)}
    own = newest.get(cap.counter_id)

    def text(amount: Amount) -> str:
        return str(amount) if cap.unit else format_amount(amount, currency.scale, currency.digits)

    return CapView(
        name=cap.name,
        every=msgspec.convert(cap.every, Every),
        most=text(cap.most),
        services=cap.services,
        warn_percent=cap.warn_percent,
        member=cap.member,
        unit=CAP_UNITS[cap.unit],
        destinations=cap.destinations,
        networks=cap.networks,
        not_networks=cap.not_networks,
        spent=text(own.used if own is not None else 0),
        reserved=text(own.reserved if own is not None else 0),
        ends_at=instant(own.ends_at_ms) if own is not None else None,
        members=tuple(
            MemberSpent(
                member=counter_id.partition(MEMBER_MARK)[2],
                spent=text(each.used),
                reserved=text(each.reserved),
                ends_at=instant(each.ends_at_ms),
            )
            for counter_id, each in newest.items()
            if cap.member == EACH_MEMBER
        ),
    )


def _counter_view(counter: Counter) -> CounterView:
    return CounterView(
        counter=counter.counter_id,
        ends_at=instant(counter.ends_at_ms),
        used=counter.used,
        reserved=counter.reserved,
        tiers=tuple(
            TierView(size=None if tier.size == NO_LIMIT else tier.size, used=tier.used, reserved=tier.reserved)
            for tier in counter.tiers
        ),
        status=counter.status,
    )


def subscriber_view(subscriber: Subscriber) -> SubscriberView:
    return SubscriberView(
        subscriber_id=subscriber.subscriber_id,
        account_id=subscriber.account_id,
        identities=subscriber.identities,
        has_password=bool(subscriber.password),
        created_at=instant(subscriber.created_at_ms),
    )
