"""What an account is: buckets of money with what is booked and what is reserved in each.

The main bucket (``bucket_id`` 0) always exists, never expires, is drained last and is the only one that may
go negative: down to the credit limit by grants, below it only by use that was reported beyond the grants.
Everything that most accounts do without stands in ``extras``: they pay one truth test for it.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final

import msgspec

from balance.money import Amount

MAIN_BUCKET: Final = 0
NEVER_MS: Final = 0
NO_LIMIT: Final = -1
CAP_PREFIX: Final = "cap:"
EACH_MEMBER: Final = "*"
OPERATOR: Final = "operator"
"""The name of a block that somebody made by hand."""
MEMBER_MARK: Final = "\n"
"""Between a cap's name and a member's: neither may hold it."""


class AccountState(IntEnum):
    """ACTIVE may spend; SUSPENDED keeps its money but gets no grant; CLOSED takes no more postings but reports.

    CREATED waits for its first use; GRACE is over its validity, and a top-up brings it back; RECYCLED has lost what it had,
    and its number may be given to others. LIMITED is like SUSPENDED, but the calls that it receives pass.
    """

    ACTIVE = 1
    SUSPENDED = 2
    CLOSED = 3
    CREATED = 4
    GRACE = 5
    RECYCLED = 6
    LIMITED = 7


class Source(IntEnum):
    """Where what is in a bucket came from; of equals, the lower is used first."""

    PROMOTIONAL = 1
    RECURRING = 2
    PAID = 3


class Bucket(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """One balance: what is booked, and how much of it open sessions have reserved.

    A lower ``priority`` is used first. ``expires_at_ms`` is the first instant at which it is no longer valid
    (UTC milliseconds; 0 for never). ``origin`` is where the money came from.
    """

    bucket_id: int
    balance: Amount
    reserved: Amount = 0
    priority: int = 100
    expires_at_ms: int = NEVER_MS
    created_at_ms: int = 0
    origin: Source = Source.PAID


class UnitBucket(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """Seconds, octets or events of a bundle: what is left, and how much of it open sessions have reserved.

    ``bundle`` names what it may be used for, in the account's plan; ``kind`` is the unit (1 seconds, 2 octets, 3
    events); ``size`` is what was in it at first. The rest is as in a bucket of money.
    """

    bucket_id: int
    bundle: str
    kind: int
    balance: int
    reserved: int = 0
    priority: int = 100
    expires_at_ms: int = NEVER_MS
    created_at_ms: int = 0
    origin: Source = Source.PAID
    size: int = 0


class Places(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """One tier of a counter: how many units it takes (NO_LIMIT: all further ones), has, and keeps for open grants.

    Once it is reached, ``owed`` of what the units before it have cost is given back, and the counter has its ``status``.
    """

    size: int
    used: int = 0
    reserved: int = 0
    owed: Amount = 0
    status: str = ""

    @property
    def free(self) -> int:
        """How many more may be promised; NO_LIMIT for all."""
        return NO_LIMIT if self.size == NO_LIMIT else max(0, self.size - self.used - self.reserved)


class Counter(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """What all sessions of an account have used of one thing in one period, tier by tier.

    ``slot`` names it in journals and sessions: below zero, never used twice, so that it is no bucket's. The period ends
    before ``ends_at_ms``. The sizes of the tiers are those of the period's first use.
    """

    slot: int
    counter_id: str
    ends_at_ms: int
    tiers: tuple[Places, ...]

    @property
    def used(self) -> int:
        """The count."""
        return sum(tier.used for tier in self.tiers)

    @property
    def reserved(self) -> int:
        """What is kept for open grants."""
        return sum(tier.reserved for tier in self.tiers)

    @property
    def reached(self) -> int:
        """The place of the last tier in which anything is; 0 if nothing is in any."""
        return max((at for at, tier in enumerate(self.tiers) if tier.used), default=0)

    @property
    def status(self) -> str:
        """The word that the tier it has come to has for whoever sets speeds and the like; empty for none."""
        return self.tiers[self.reached].status if self.tiers else ""

    @property
    def given_back(self) -> Amount:
        """What the tiers that are reached have made cheaper so far."""
        return sum(tier.owed for tier in self.tiers if tier.used)


class CallLimit(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """How many sessions of a service may be open ``at_once``, and begin ``per_second``; 0 is no limit.

    ``slot`` is a name like a counter's: sessions remember it as long as they hold one of the ``open`` places. ``begun``
    counts those of the last ``second`` (of the UTC clock) in which one began.
    """

    slot: int
    service: str
    at_once: int = 0
    per_second: int = 0
    open: int = 0
    second: int = 0
    begun: int = 0


class Cap(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """The most that an account may spend on some services in a period; no service is all of them.

    What is spent is a counter's under the cap's name; its periods end where the clocks of ``zone`` say. At ``warn_percent``
    of it (0: never) a warning leaves. ``member`` is the subscriber that it is for: empty, the account as a whole;
    EACH_MEMBER, each of them with a count of its own. ``unit`` is what is counted: 0 money, else a kind of units. With
    ``destinations`` (names of tariffs' destinations), ``networks`` (what MCC and MNC of where the user is begin with) or
    ``not_networks`` (the same, but only elsewhere, where that is known) it is for such uses alone.
    """

    name: str
    every: str
    zone: str
    most: Amount
    services: tuple[str, ...] = ()
    warn_percent: int = 0
    member: str = ""
    unit: int = 0
    destinations: tuple[str, ...] = ()
    networks: tuple[str, ...] = ()
    not_networks: tuple[str, ...] = ()

    @property
    def counter_id(self) -> str:
        """The name of its counter: no tariff's. Where each member has one, the member's name follows."""
        return f"{CAP_PREFIX}{self.name}"

    def is_counter(self, counter_id: str) -> bool:
        """Whether a counter is its own, or that of one of its members."""
        if self.member == EACH_MEMBER:
            return counter_id.startswith(f"{self.counter_id}{MEMBER_MARK}")
        return counter_id == self.counter_id


class Hold(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """A part of a reservation (or of a debit): ``amount`` in one bucket."""

    bucket_id: int
    amount: Amount


class Subscription(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """A package that is bought anew at ``renews_at_ms``, unless it ``ends`` there.

    ``number`` is that of the entry that began it; ``day`` the day of the month on which its months begin.
    """

    number: int
    package: str
    renews_at_ms: int
    day: int
    ends: bool = False
    is_short: bool = False  # it is due, waits for money, and that has been told
    committed_until_ms: int = 0  # cancelled before, it goes on until then
    is_new: bool = False  # no period of it has begun yet
    began_ms: int = 0  # of the period that runs: when it began, what was paid for it (as changes), its buckets
    paid: tuple[Hold, ...] = ()
    buckets: tuple[int, ...] = ()


class PlanChange(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """Another rate plan that holds from an instant on; ``key`` and ``actor`` are those of who has ordered it."""

    plan: str
    at_ms: int
    key: str
    actor: str


class Refusal(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """Why and when a call was refused: it has been told, and is not told again for a while."""

    why: str
    at_ms: int


class Life(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """The stage that an account is in by its age, whatever blocks it beside, and when the next one begins (0: never)."""

    stage: AccountState
    until_ms: int = 0


class Pace(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """How fast an account is used: what was spent in a ``minute``, new dear destinations of a ``day`` and those that are
    ``known``, ended calls of an ``hour`` and how many of them were ``short``. Minute, day and hour are of the UTC clock.
    """

    minute: int = 0
    spent: Amount = 0
    day: int = 0
    new_count: int = 0
    known: tuple[str, ...] = ()
    hour: int = 0
    calls: int = 0
    short: int = 0
    shrunk_until_ms: int = 0


class Extras(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """What most accounts do without. ``time_zone`` empty: the plan's; ``cycle_day`` 0: a billing cycle is a month.

    ``blocks`` are the names of what suspends it, where that is not the operator alone; ``trials`` the packages that it has
    tried for nothing.
    """

    counters: tuple[Counter, ...] = ()
    units: tuple[UnitBucket, ...] = ()
    time_zone: str = ""
    cycle_day: int = 0
    calls: tuple[CallLimit, ...] = ()
    caps: tuple[Cap, ...] = ()
    subscriptions: tuple[Subscription, ...] = ()
    refusals: tuple[Refusal, ...] = ()
    life: Life | None = None
    blocks: tuple[str, ...] = ()
    pace: Pace | None = None
    trials: tuple[str, ...] = ()
    plan_change: PlanChange | None = None
    noticed_ms: int = 0  # notices of what ends soon that were due by then have been told
    merged_into: str = ""  # the account that has what this one had
    reseller: str | None = None  # the account, in another partition as a rule, that is charged along; "": none any more


class Account(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """``version`` rises by one with every posting; ``entry_number`` by one with every journal entry, without gaps."""

    account_id: str
    version: int
    currency: str
    rate_plan: str
    state: AccountState
    credit_limit: Amount
    low_balance: Amount
    entry_number: int
    buckets: tuple[Bucket, ...]
    created_at_ms: int = 0
    extras: Extras | None = None

    @property
    def ends_at_ms(self) -> int:
        """When its time is over, if nobody tops it up; 0 for never."""
        life = self.extras.life if self.extras is not None else None
        return life.until_ms if life is not None and life.stage is AccountState.ACTIVE else 0

    @property
    def is_expired(self) -> bool:
        """Whether its time is over, and nothing else blocks it."""
        extras = self.extras
        return (
            extras is not None
            and extras.life is not None
            and not extras.blocks
            and extras.life.stage not in {AccountState.CREATED, AccountState.ACTIVE}
        )


Reservation = tuple[Hold, ...]

NO_EXTRAS: Final = Extras()


def new_slot(account: Account) -> int:
    """A name below zero that was never used: every posting has a version of its own, and few names begin in one."""
    extras = account.extras or NO_EXTRAS
    taken = {each.slot for each in extras.counters} | {each.slot for each in extras.calls}
    slot = -(account.version << _SLOT_BITS) - 1
    while slot in taken:
        slot -= 1
    return slot


_SLOT_BITS: Final = 10


def with_extras(account: Account, extras: Extras) -> Account:
    """The account with other extras; without any if nothing is left in them."""
    return Account(
        account.account_id,
        account.version,
        account.currency,
        account.rate_plan,
        account.state,
        account.credit_limit,
        account.low_balance,
        account.entry_number,
        account.buckets,
        account.created_at_ms,
        extras if extras != NO_EXTRAS else None,
    )


def with_entry_number(account: Account, number: int) -> Account:
    return Account(
        account.account_id,
        account.version,
        account.currency,
        account.rate_plan,
        account.state,
        account.credit_limit,
        account.low_balance,
        number,
        account.buckets,
        account.created_at_ms,
        account.extras,
    )
