"""What is remembered of a credit-control session between requests, and of a closed one for late repeats.

A session carries the tariffs it was opened with, so that a price list that changes, or a restart, cannot change
what it costs. The last answers are part of it: they are stored with the money, in the same step [B-94].
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final, TypeAlias

import msgspec

from balance.account import Account, Hold, Reservation
from balance.burn import add_holds
from balance.money import Amount
from ocs.charging.cdr import CdrGroup, Taken
from ocs.charging.request import ChargingAnswer, ChargingRequest, Details, GroupKey, RequestKind
from ocs.rating.price import Tariff
from ocs.rating.terms import Terms

SEEN_BITS: Final = 63
"""How far below the highest number a request may be and still be known as a repeat (a 64-bit word)."""


class SessionKind(IntEnum):
    """CALL is a normal session; LEASE an authorization that waits for its Start (RADIUS)."""

    CALL = 1
    LEASE = 2


class Course(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """What is remembered of a group whose price has changed in mid-session, or is about to.

    ``parts`` are the uses at earlier prices; the price of now holds since ``from_ms``. Switches to come are counted from
    ``pinned_at_ms``. Both are 0 where it is the session's beginning. Use was last reported, or granted, at
    ``measured_at_ms``. ``whereabouts`` is where the user was at the last grant.
    """

    parts: tuple[CdrGroup, ...] = ()
    from_ms: int = 0
    pinned_at_ms: int = 0
    measured_at_ms: int = 0
    whereabouts: str = ""


class CapUse(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """What a group has spent of a cap in the period of a counter, and what its grant holds of it: money, or units."""

    slot: int
    spent: Amount = 0
    held: Amount = 0
    is_units: bool = False


class UnitUse(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """Which bundles may pay for a group, what their buckets have paid, and what is held in them for its grant; which caps
    it counts for, and what it has spent of them.
    """

    bundles: tuple[str, ...] = ()
    taken: tuple[Taken, ...] = ()
    held: Reservation = ()
    caps: tuple[str, ...] = ()
    spent: tuple[CapUse, ...] = ()

    @property
    def debits(self) -> Reservation:
        """What is no longer there of the buckets, and of the caps."""
        taken = tuple(Hold(each.bucket_id, each.units) for each in self.taken)
        return (*taken, *(Hold(each.slot, each.spent) for each in self.spent)) if self.spent else taken

    @property
    def holds(self) -> Reservation:
        """What its grant holds of the buckets, and of the caps."""
        return (*self.held, *(Hold(each.slot, each.held) for each in self.spent)) if self.spent else self.held


class GroupState(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """One group: its pinned tariff, use and cost so far, what is promised now and the money that covers it."""

    key: GroupKey
    tariff: Tariff
    used: int = 0
    cost: Amount = 0
    debits: Reservation = ()
    granted: int = 0
    reservation: Reservation = ()
    granted_by: int = -1  # the request number of the grant that is out
    flags: int = 0  # CdrFlag
    is_waiting: bool = False  # refused for want of money, or on its last quota: a top-up concerns it
    course: Course | None = None
    units: UnitUse | None = None  # of an account that has buckets of units for it

    @property
    def unit_debits(self) -> Reservation:
        """What it has used in units: from buckets of units, and as counted, by the slots of the counters."""
        taken = self.units.debits if self.units is not None else ()
        terms = self.tariff.price.terms
        period = terms.period if isinstance(terms, Terms) else None
        return taken if period is None else (*taken, *(Hold(each.slot, each.units) for each in period.counted))

    @property
    def unit_reservation(self) -> Reservation:
        """The units that are kept for its grant."""
        held = self.units.holds if self.units is not None else ()
        terms = self.tariff.price.terms
        period = terms.period if isinstance(terms, Terms) else None
        return held if period is None or not period.held else (*held, Hold(period.slot, sum(period.held)))


class StoredAnswer(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """What was answered to a request number, and the fingerprint of what had been asked."""

    request_number: int
    kind: RequestKind
    fingerprint: int
    answer: ChargingAnswer


class Seen(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """Which request numbers were processed: the highest, and one bit for each of the 63 below it."""

    highest: int = -1
    below: int = 0

    def __contains__(self, number: object) -> bool:
        assert isinstance(number, int)
        distance = self.highest - number
        if distance == 0:
            return True
        if distance < 0:
            return False
        return distance > SEEN_BITS or bool(self.below >> (distance - 1) & 1)


class CreditSession(msgspec.Struct, array_like=True, frozen=True, gc=False, tag="s"):
    """An open session. ``deadline_ms`` is when it is given up (Tcc); ``filed_ms`` what the index says at present."""

    account_id: str
    session_key: str
    kind: SessionKind
    subscriber_id: str
    peer: str
    service: str
    origin: str
    destination: str
    opened_at_ms: int
    heard_at_ms: int
    deadline_ms: int
    filed_ms: int
    currency: str
    seen: Seen
    groups: tuple[GroupState, ...] = ()
    answers: tuple[StoredAnswer, ...] = ()
    flags: int = 0  # CdrFlag
    details: Details = ()
    rate_plan: str = ""  # the account's when it was opened
    whereabouts: str = ""  # where the user was then: see ocs/rating/whereabouts.py
    has_subs: bool = False  # sub-sessions were opened: they end with it [G-9]
    place: int = 0  # the slot of the limit of calls that it holds a place of

    @property
    def is_open(self) -> bool:
        return True

    def group(self, key: GroupKey) -> GroupState | None:
        for state in self.groups:
            if state.key == key:
                return state
        return None

    def with_groups(self, groups: tuple[GroupState, ...]) -> CreditSession:
        return msgspec.structs.replace(self, groups=groups)

    @property
    def cost(self) -> Amount:
        total = 0
        for state in self.groups:
            total += state.cost
        return total

    @property
    def debits(self) -> Reservation:
        total: Reservation = ()
        for state in self.groups:
            total = add_holds(total, state.debits)
        return total

    @property
    def reservation(self) -> Reservation:
        total: Reservation = ()
        for state in self.groups:
            total = add_holds(total, state.reservation)
        return total

    @property
    def unit_debits(self) -> Reservation:
        total: Reservation = ()
        for state in self.groups:
            total = add_holds(total, state.unit_debits)
        return total

    @property
    def unit_reservation(self) -> Reservation:
        total: Reservation = (Hold(self.place, 1),) if self.place else ()
        for state in self.groups:
            total = add_holds(total, state.unit_reservation)
        return total


class Tombstone(msgspec.Struct, array_like=True, frozen=True, gc=False, tag="t"):
    """A closed session or a charged event: enough to answer a late repeat, for as long as a client may retry.

    ``given_up`` is a session that ended without a last report, as it was paid: should the report come, it tells the
    whole use, and what was not paid yet is charged by the session's own tariffs [R-72].
    """

    account_id: str
    closed_at_ms: int
    seen: Seen
    answers: tuple[StoredAnswer, ...] = ()
    debits: Reservation = ()  # of an event: what a refund gives back, and to which buckets
    is_refunded: bool = False
    given_up: CreditSession | None = None

    @property
    def is_open(self) -> bool:
        return False


class OperationRecord(msgspec.Struct, array_like=True, frozen=True, gc=False, tag="o"):
    """An account operation that was done under an idempotency key: what it was, and which entry it became."""

    account_id: str
    at_ms: int
    fingerprint: int
    entry_number: int
    balance_after: Amount

    @property
    def is_open(self) -> bool:
        return False


class Timer(msgspec.Struct, array_like=True, frozen=True, gc=False, tag="r"):
    """Somebody has to look at the account then, though nothing is heard of it: it is filed for supervision."""

    account_id: str
    due_at_ms: int

    @property
    def is_open(self) -> bool:
        return False


class Transfer(msgspec.Struct, array_like=True, frozen=True, gc=False, tag="x"):
    """Money that has left an account and has not arrived at another one: filed for supervision until it has."""

    account_id: str
    due_at_ms: int
    at_ms: int
    payee: str
    amount: Amount
    currency: str
    key: str
    actor: str
    reason: str

    @property
    def is_open(self) -> bool:
        return False


class Merger(msgspec.Struct, array_like=True, frozen=True, gc=False, tag="m"):
    """An account, as it was, that has left its place and has not arrived at the one it goes ``into``: filed like a transfer."""

    account_id: str
    due_at_ms: int
    into: str
    key: str
    actor: str
    reason: str
    account: Account

    @property
    def is_open(self) -> bool:
        return False


class Step(msgspec.Struct, array_like=True, frozen=True, gc=False, tag="c"):
    """A request that was charged to a reseller and is still to be charged to the account ``below``: filed until it is.

    ``request`` is as that account got it; its repeat is all that has to be done.
    """

    account_id: str
    due_at_ms: int
    below: str
    subscriber_id: str
    request: ChargingRequest

    @property
    def is_open(self) -> bool:
        return False


Record: TypeAlias = CreditSession | Tombstone | OperationRecord | Timer | Transfer | Merger | Step

_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[Record] = msgspec.msgpack.Decoder(
    CreditSession | Tombstone | OperationRecord | Timer | Transfer | Merger | Step
)


def encode_session(record: Record) -> bytes:
    return _encoder.encode(record)


def decode_session(value: bytes) -> Record:
    """Raises msgspec.ValidationError when the octets are no record of ours."""
    return _decoder.decode(value)
