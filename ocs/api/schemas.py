"""The bodies of the API: what clients send, what they get, and the translation of our records into that.

Amounts are JSON strings with a decimal number in the major unit, instants are RFC 3339 in UTC.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal, TypeAlias

import msgspec
from msgspec import Meta

from balance.account import (
    CAP_PREFIX,
    EACH_MEMBER,
    MEMBER_MARK,
    NEVER_MS,
    NO_EXTRAS,
    NO_LIMIT,
    Account,
    AccountState,
    Bucket,
    Cap,
    Counter,
    Extras,
    UnitBucket,
)
from balance.allowances import is_over, order_of
from balance.burn import is_expired
from balance.money import Amount, Currency, format_amount
from balance.store import Subscriber
from ocs.api.problems import invalid
from ocs.charging.recharge import SessionView
from ocs.rating.bundles import SOURCE_NAMES, SourceName
from ocs.rating.periods import Every
from ocs.rating.units import UnitKind

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_INSTANT = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,6})?([Zz]|[+-]\d\d:\d\d)", re.ASCII)

AccountId: TypeAlias = Annotated[
    str,
    Meta(
        pattern=r"^(?=.{1,64}$)[A-Za-z0-9][A-Za-z0-9._:@+-]*(~[A-Za-z0-9][A-Za-z0-9._:@+-]*){0,3}$",
        description="1 to 64 of A-Z a-z 0-9 . _ : @ + -; up to four such names with a ~ between are levels, the highest first",
        examples=["alice", "acme~alice"],
    ),
]
SubscriberId: TypeAlias = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._:@+-]{0,63}$",
        description="1 to 64 of A-Z a-z 0-9 . _ : @ + -",
        examples=["s1"],
    ),
]
DecimalString: TypeAlias = Annotated[
    str, Meta(max_length=40, description="A decimal number in the major unit, as a string", examples=["12.30"])
]
CurrencyCode: TypeAlias = Annotated[str, Meta(pattern="^[A-Z]{3}$", description="ISO 4217", examples=["EUR"])]
Reason: TypeAlias = Annotated[str, Meta(max_length=200, description="Kept in the journal")]
Instant: TypeAlias = Annotated[str, Meta(description="RFC 3339, UTC", examples=["2026-01-31T12:00:00.000Z"])]
CapUnit: TypeAlias = Literal["money", "seconds", "octets", "events"]
StateName: TypeAlias = Literal["active", "suspended", "closed"]

CAP_UNITS: tuple[CapUnit, ...] = ("money", "seconds", "octets", "events")
"""By their number: 0, then the kinds of units."""

STATES: dict[StateName, AccountState] = {
    "active": AccountState.ACTIVE,
    "suspended": AccountState.SUSPENDED,
    "closed": AccountState.CLOSED,
}
STATE_NAMES: dict[AccountState, StateName] = {state: name for name, state in STATES.items()}
assert STATE_NAMES.keys() == set(AccountState), "every state has a name"


class Body(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a client sends: a misspelt field is a fault, not a default."""


class NewAccount(Body, frozen=True):
    account_id: AccountId
    currency: CurrencyCode
    rate_plan: Annotated[str, Meta(min_length=1, max_length=100)]
    credit_limit: DecimalString = "0"
    low_balance: DecimalString = "0"
    time_zone: Annotated[str, Meta(max_length=64, description="Whose midnights end its periods; empty: the plan's")] = (
        ""
    )
    cycle_day: Annotated[int, Meta(ge=0, le=31, description="Its billing cycle begins on this day; 0: a month")] = 0


class BucketChoice(Body, frozen=True):
    """A bucket of its own for this money. A lower priority is used first; the main bucket is used last."""

    priority: Annotated[int, Meta(ge=0, le=1000)] = 100
    expires_at: Instant | None = None
    source: SourceName = "paid"


class TopUp(Body, frozen=True):
    amount: DecimalString
    currency: CurrencyCode
    reason: Reason = ""
    bucket: BucketChoice | None = None


class Adjustment(Body, frozen=True):
    """``amount`` with its sign: "-5.00" takes five away."""

    amount: DecimalString
    currency: CurrencyCode
    reason: Annotated[Reason, Meta(min_length=1)]


class Purchase(Body, frozen=True):
    """``package`` is one of the account's plan."""

    package: Annotated[str, Meta(min_length=1, max_length=100)]
    reason: Reason = ""


class CallsLimit(Body, frozen=True):
    """Sessions of a service that may be open at once, and that may begin in one second; 0 is no limit."""

    service: Annotated[str, Meta(min_length=1, max_length=40, examples=["voice"])]
    at_once: Annotated[int, Meta(ge=0, le=1_000_000)] = 0
    per_second: Annotated[int, Meta(ge=0, le=1_000_000)] = 0


class SpendingCap(Body, frozen=True):
    """The most that may be spent on some services (none named: all) in a period; a warning leaves at ``warn_percent``.

    ``member``: a subscriber of the account, or "*" for each of them. ``unit``: "money", or what is counted instead of it; then
    ``most`` is a whole number of units, or one such as "2 GB".
    """

    name: Annotated[str, Meta(pattern="^[^\n]{1,60}$")]
    every: Every
    most: DecimalString
    services: Annotated[tuple[str, ...], Meta(max_length=20)] = ()
    warn_percent: Annotated[int, Meta(ge=0, le=99)] = 0
    member: Annotated[str, Meta(pattern=r"^(\*|[A-Za-z0-9][A-Za-z0-9._:@+-]{0,63})?$")] = ""
    unit: CapUnit = "money"


class LimitsChange(Body, frozen=True):
    """What is left out stays as it is; a list takes the place of the one before."""

    credit_limit: DecimalString | None = None
    calls: Annotated[tuple[CallsLimit, ...], Meta(max_length=20)] | None = None
    caps: Annotated[tuple[SpendingCap, ...], Meta(max_length=20)] | None = None
    reason: Reason = ""


class SubscriptionEnd(Body, frozen=True):
    """``subscription`` is the number of one of the account's."""

    subscription: Annotated[int, Meta(ge=1)]
    reason: Reason = ""


class StateChange(Body, frozen=True):
    state: StateName
    reason: Reason = ""


class SessionClosure(Body, frozen=True):
    """``session_key`` as the list of open sessions says it."""

    session_key: Annotated[str, Meta(min_length=1, max_length=1100, examples=["gy:pgw.example.net;1;42"])]
    reason: Reason = ""


Realm: TypeAlias = Annotated[str, Meta(min_length=1, max_length=253, pattern="^[!-~]+$")]
Ha1: TypeAlias = Annotated[str, Meta(pattern="^[0-9A-Fa-f]{32}$")]


class NewSubscriber(Body, frozen=True):
    """``password`` is needed only where RADIUS checks credentials. CHAP needs it in clear (RFC 2865, section 7.2).

    ``ha1`` instead of it: by realm, MD5(username:realm:password) in hex, as digest authentication has it.
    """

    subscriber_id: SubscriberId
    account_id: AccountId
    identities: Annotated[tuple[str, ...], Meta(min_length=1, max_length=20)]
    password: Annotated[str, Meta(max_length=128)] = ""
    ha1: dict[Realm, Ha1] = {}


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
    """What was used of one thing in one period by all sessions, in seconds, octets or events, and tier by tier."""

    counter: str
    ends_at: Instant
    used: int
    reserved: int
    tiers: tuple[TierView, ...]


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
    spent: DecimalString
    reserved: DecimalString
    ends_at: Instant | None
    members: tuple[MemberSpent, ...]


class SubscriptionView(msgspec.Struct, frozen=True, kw_only=True):
    """A package that is bought anew at ``renews_at``, or that ``ends`` there. Past: it waits for money."""

    number: int
    package: str
    renews_at: Instant
    ends: bool


class AccountView(msgspec.Struct, frozen=True, kw_only=True):
    """``available`` is what may still be spent: balance - reserved + credit_limit, without what has expired."""

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


class OpenSessionView(msgspec.Struct, frozen=True, kw_only=True):
    session_key: str
    protocol: str
    service: str
    destination: str
    started_at: Instant
    last_at: Instant
    reserved: DecimalString
    cost: DecimalString


class SessionClosing(msgspec.Struct, frozen=True, kw_only=True):
    """The network element has been, or is being, asked to end it."""

    session_key: str


class SessionList(msgspec.Struct, frozen=True, kw_only=True):
    """``truncated``: there are more than were asked for."""

    sessions: tuple[OpenSessionView, ...]
    truncated: bool


def instant(at_ms: int) -> Instant:
    moment = _EPOCH + timedelta(milliseconds=at_ms)
    return moment.replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"


def milliseconds(field: str, text: str | None) -> int:
    """Read RFC 3339; None is 0. The offset is mandatory, so that nobody's local time is guessed."""
    if text is None:
        return 0
    if _INSTANT.fullmatch(text) is None:
        raise invalid(field, "write an instant with its offset (RFC 3339), such as 2026-01-31T12:00:00Z")
    try:
        return (datetime.fromisoformat(text) - _EPOCH) // timedelta(milliseconds=1)
    except (ValueError, OverflowError) as error:
        raise invalid(field, str(error)) from error


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
                number=each.number, package=each.package, renews_at=instant(each.renews_at_ms), ends=each.ends
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
    )


def subscriber_view(subscriber: Subscriber) -> SubscriberView:
    return SubscriberView(
        subscriber_id=subscriber.subscriber_id,
        account_id=subscriber.account_id,
        identities=subscriber.identities,
        has_password=bool(subscriber.password),
        created_at=instant(subscriber.created_at_ms),
    )


def session_view(session: SessionView, currency: Currency) -> OpenSessionView:
    return OpenSessionView(
        session_key=session.session_key,
        protocol=session.protocol,
        service=session.service,
        destination=session.destination,
        started_at=instant(session.started_at_ms),
        last_at=instant(session.last_at_ms),
        reserved=format_amount(session.reserved, currency.scale, currency.digits),
        cost=format_amount(session.cost, currency.scale, currency.digits),
    )
