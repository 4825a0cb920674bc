"""The bodies of the API: what clients send, what they get, and the translation of our records into that.

Amounts are JSON strings with a decimal number in the major unit, instants are RFC 3339 in UTC.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal, TypeAlias

import msgspec
from msgspec import Meta

from balance.account import NEVER_MS, Account, AccountState, Bucket
from balance.money import Amount, Currency, format_amount
from balance.store import Subscriber
from ocs.api.problems import invalid
from ocs.charging.recharge import SessionView

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_INSTANT = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,6})?([Zz]|[+-]\d\d:\d\d)", re.ASCII)

AccountId: TypeAlias = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._:@+-]{0,63}$",
        description="1 to 64 of A-Z a-z 0-9 . _ : @ + -",
        examples=["alice"],
    ),
]
SubscriberId: TypeAlias = AccountId
DecimalString: TypeAlias = Annotated[
    str, Meta(max_length=40, description="A decimal number in the major unit, as a string", examples=["12.30"])
]
CurrencyCode: TypeAlias = Annotated[str, Meta(pattern="^[A-Z]{3}$", description="ISO 4217", examples=["EUR"])]
Reason: TypeAlias = Annotated[str, Meta(max_length=200, description="Kept in the journal")]
Instant: TypeAlias = Annotated[str, Meta(description="RFC 3339, UTC", examples=["2026-01-31T12:00:00.000Z"])]
StateName: TypeAlias = Literal["active", "suspended", "closed"]

STATES: dict[StateName, AccountState] = {
    "active": AccountState.ACTIVE,
    "suspended": AccountState.SUSPENDED,
    "closed": AccountState.CLOSED,
}
STATE_NAMES: dict[AccountState, StateName] = {state: name for name, state in STATES.items()}
assert STATE_NAMES.keys() == set(AccountState), "every state has a name"


class _Body(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a client sends: a misspelt field is a fault, not a default."""


class NewAccount(_Body, frozen=True):
    account_id: AccountId
    currency: CurrencyCode
    rate_plan: Annotated[str, Meta(min_length=1, max_length=100)]
    credit_limit: DecimalString = "0"
    low_balance: DecimalString = "0"


class BucketChoice(_Body, frozen=True):
    """A bucket of its own for this money. A lower priority is used first; the main bucket is used last."""

    priority: Annotated[int, Meta(ge=0, le=1000)] = 100
    expires_at: Instant | None = None


class TopUp(_Body, frozen=True):
    amount: DecimalString
    currency: CurrencyCode
    reason: Reason = ""
    bucket: BucketChoice | None = None


class Adjustment(_Body, frozen=True):
    """``amount`` with its sign: "-5.00" takes five away."""

    amount: DecimalString
    currency: CurrencyCode
    reason: Annotated[Reason, Meta(min_length=1)]


class StateChange(_Body, frozen=True):
    state: StateName
    reason: Reason = ""


class SessionClosure(_Body, frozen=True):
    """``session_key`` as the list of open sessions says it."""

    session_key: Annotated[str, Meta(min_length=1, max_length=1100, examples=["gy:pgw.example.net;1;42"])]
    reason: Reason = ""


Realm: TypeAlias = Annotated[str, Meta(min_length=1, max_length=253, pattern="^[!-~]+$")]
Ha1: TypeAlias = Annotated[str, Meta(pattern="^[0-9A-Fa-f]{32}$")]


class NewSubscriber(_Body, frozen=True):
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
    expires_at: Instant | None
    expired: bool


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

    valid = [bucket for bucket in account.buckets if not _is_expired(bucket, now_ms)]
    balance = sum(bucket.balance for bucket in valid)
    reserved = sum(bucket.reserved for bucket in valid)
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
        created_at=instant(account.created_at_ms),
    )


def _is_expired(bucket: Bucket, now_ms: int) -> bool:
    return bucket.expires_at_ms != NEVER_MS and bucket.expires_at_ms <= now_ms


def _bucket_view(bucket: Bucket, currency: Currency, now_ms: int) -> BucketView:
    return BucketView(
        bucket_id=bucket.bucket_id,
        balance=format_amount(bucket.balance, currency.scale, currency.digits),
        reserved=format_amount(bucket.reserved, currency.scale, currency.digits),
        priority=bucket.priority,
        expires_at=None if bucket.expires_at_ms == NEVER_MS else instant(bucket.expires_at_ms),
        expired=_is_expired(bucket, now_ms),
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
