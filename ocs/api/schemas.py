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
    OPERATOR,
    AccountState,
)
from ocs.api.problems import invalid
from ocs.rating.bundles import SourceName
from ocs.rating.periods import Every

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
Network: TypeAlias = Annotated[str, Meta(pattern="^[0-9]{1,6}$")]
CapUnit: TypeAlias = Literal["money", "seconds", "octets", "events"]
StateName: TypeAlias = Literal["active", "suspended", "closed", "created", "grace", "recycled", "limited"]

CAP_UNITS: tuple[CapUnit, ...] = ("money", "seconds", "octets", "events")
"""By their number: 0, then the kinds of units."""

STATES: dict[StateName, AccountState] = {
    "active": AccountState.ACTIVE,
    "suspended": AccountState.SUSPENDED,
    "closed": AccountState.CLOSED,
    "created": AccountState.CREATED,
    "grace": AccountState.GRACE,
    "recycled": AccountState.RECYCLED,
    "limited": AccountState.LIMITED,
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
    reseller: AccountId | None = None


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
    ``most`` is a whole number of units, or one such as "2 GB". ``destinations``: by their names in the deck; ``networks``: only
    where MCC and MNC begin so; ``not_networks``: only elsewhere (your own, for a cap on roaming).
    """

    name: Annotated[str, Meta(pattern="^[^\n]{1,60}$")]
    every: Every
    most: DecimalString
    services: Annotated[tuple[str, ...], Meta(max_length=20)] = ()
    warn_percent: Annotated[int, Meta(ge=0, le=99)] = 0
    member: Annotated[str, Meta(pattern=r"^(\*|[A-Za-z0-9][A-Za-z0-9._:@+-]{0,63})?$")] = ""
    unit: CapUnit = "money"
    destinations: Annotated[tuple[str, ...], Meta(max_length=50)] = ()
    networks: Annotated[tuple[Network, ...], Meta(max_length=100)] = ()
    not_networks: Annotated[tuple[Network, ...], Meta(max_length=100)] = ()


class LimitsChange(Body, frozen=True):
    """What is left out stays as it is; a list takes the place of the one before.

    Below ``low_balance`` the account's followers are told; 0: never.
    """

    credit_limit: DecimalString | None = None
    low_balance: DecimalString | None = None
    calls: Annotated[tuple[CallsLimit, ...], Meta(max_length=20)] | None = None
    caps: Annotated[tuple[SpendingCap, ...], Meta(max_length=20)] | None = None
    reason: Reason = ""


class SubscriptionEnd(Body, frozen=True):
    """``subscription`` is the number of one of the account's."""

    subscription: Annotated[int, Meta(ge=1)]
    reason: Reason = ""


class PlanChoice(Body, frozen=True):
    """``rate_plan`` in the account's currency; that which it has takes back what was to come at the cycle's end."""

    rate_plan: Annotated[str, Meta(min_length=1, max_length=100)]
    at: Literal["once", "cycle_end"]
    reason: Reason = ""


class ResellerChoice(Body, frozen=True):
    """``reseller`` is the account that is charged along from now on; null: none is."""

    reseller: AccountId | None
    reason: Reason = ""


class StateChange(Body, frozen=True):
    """``block`` names what suspends or limits the account, or what is lifted: others, such as "dunning", hold on."""

    state: Literal["active", "suspended", "limited", "closed"]
    reason: Reason = ""
    block: Annotated[str, Meta(pattern="^[a-z][a-z0-9-]{0,30}$")] = OPERATOR


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


class WholeSubscriber(Body, frozen=True):
    """All of a subscriber but its id; without ``password`` and ``ha1`` it has none."""

    account_id: AccountId
    identities: Annotated[tuple[str, ...], Meta(min_length=1, max_length=20)]
    password: Annotated[str, Meta(max_length=128)] = ""
    ha1: dict[Realm, Ha1] = {}


class SubscriberPatch(Body, frozen=True):
    """What is left out stays as it is. ``identities`` is the whole list."""

    account_id: AccountId | None = None
    identities: Annotated[tuple[str, ...], Meta(min_length=1, max_length=20)] | None = None
    password: Annotated[str, Meta(max_length=128)] | None = None
    ha1: dict[Realm, Ha1] | None = None


class Porting(Body, frozen=True):
    """``identity`` goes from the subscriber ``giver``, whom it is known to be of, to the one of the address."""

    identity: str
    giver: SubscriberId


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
