"""What leaves through the outbox: journal entries, and with a closed session its call detail record.

Entries are numbered per account without gaps, so that a missing or doubled one is seen at once.
"""

from __future__ import annotations

from enum import IntFlag

import msgspec

from balance.account import Hold
from balance.money import Amount
from ocs.rating.price import Price

KINDS = (
    "opened", "top_up", "adjustment", "invoice", "payment", "expiry", "session", "event", "refund", "state",
    "package", "limits", "cap", "low_balance", "bundle", "refused", "tier", "transfer", "reversal",
    "fraud", "plan", "expiring", "automatic_top_up", "chargeback", "merge",
)  # fmt: skip


class CdrFlag(IntFlag):
    """What a biller should look at."""

    NO_FINAL_REPORT = 1  # closed by supervision: the client went silent
    OVERUSED = 2  # more was used than granted
    NEVER_GRANTED = 4  # use of a group that had no grant
    REPLACED = 8  # the client opened the same session anew
    CLOCK_ADJUSTED = 16  # the client's time was outside the sane window
    ORPHAN = 32  # use of a session that we no longer knew
    COUNTER_WENT_DOWN = 64
    DURATIONS_DIFFER = 128  # the client counted other seconds than lie between its connect and disconnect times
    LATE_REPORT = 256  # what a session used beyond the record that was written when it was given up
    HELD = 512  # without a report: its money was held for a while before it was given up
    ASSUMED = 1024  # without a report: charged for all that was granted
    SIDE_ASSUMED = 2048  # what was used before and after a change of price was not told: shared out by policy


class Taken(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """Units that a bucket of units has paid."""

    bucket_id: int
    bundle: str
    units: int


class CdrGroup(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """One group's use and what it cost, with the price that made it: enough to compute it again.

    A group whose price changed in mid-session has one for each price: ``from_ms`` is when that began to hold (0: with the
    session), ``whereabouts`` where the user was then, if the price was chosen by it; ``version`` is that of the rates (empty: the
    record's).
    """

    rating_group: int
    service_ids: tuple[int, ...]
    unit_kind: int
    used: int
    cost: Amount
    tariff: str
    destination: str
    prefix: str
    source: str
    price: Price
    from_ms: int = 0
    whereabouts: str = ""
    version: str = ""
    taken: tuple[Taken, ...] = ()  # what buckets of units have paid of it


class Cdr(msgspec.Struct, array_like=True, frozen=True, gc=False):
    session_id: str
    protocol: str
    peer: str
    subscriber: str
    service: str
    origin: str
    destination: str
    started_at_ms: int
    ended_at_ms: int
    cost: Amount
    rate_version: str
    groups: tuple[CdrGroup, ...]
    cause: str = ""
    flags: int = 0
    details: tuple[tuple[str, str], ...] = ()  # what the client said beside, by its attributes' names
    rate_plan: str = ""  # the account's rate plan when the use began
    whereabouts: str = ""  # where the user was then, as ocs/rating/whereabouts.py writes it


class JournalEntry(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """One change of one account. ``changes`` are signed amounts per bucket: + is the customer's money in.

    ``units`` are the same in units: what came into and went from buckets of units, and what counters counted (as -).
    ``facts`` are for who is told of it (``account_events``): the books do not need them.
    """

    account_id: str
    entry_number: int
    at_ms: int
    kind: str
    currency: str
    changes: tuple[Hold, ...]
    reference: str = ""
    actor: str = ""
    reason: str = ""
    cdr: Cdr | None = None
    units: tuple[Hold, ...] = ()
    facts: tuple[tuple[str, str], ...] = ()


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(JournalEntry)


def encode_entry(entry: JournalEntry) -> bytes:
    return _encoder.encode(entry)


def decode_entry(data: bytes) -> JournalEntry:
    return _decoder.decode(data)
