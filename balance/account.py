"""What an account is: buckets of money with what is booked and what is reserved in each.

The main bucket (``bucket_id`` 0) always exists, never expires, is drained last and is the only one that may
go negative: down to the credit limit by grants, below it only by use that was reported beyond the grants.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final

import msgspec

from balance.money import Amount

MAIN_BUCKET: Final = 0
NEVER_MS: Final = 0


class AccountState(IntEnum):
    """ACTIVE may spend; SUSPENDED keeps its money but gets no grant; CLOSED takes no more postings but reports."""

    ACTIVE = 1
    SUSPENDED = 2
    CLOSED = 3


class Bucket(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """One balance: what is booked, and how much of it open sessions have reserved.

    A lower ``priority`` is used first. ``expires_at_ms`` is the first instant at which it is no longer valid
    (UTC milliseconds; 0 for never).
    """

    bucket_id: int
    balance: Amount
    reserved: Amount = 0
    priority: int = 100
    expires_at_ms: int = NEVER_MS
    created_at_ms: int = 0


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


class Hold(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """A part of a reservation (or of a debit): ``amount`` in one bucket."""

    bucket_id: int
    amount: Amount

    def negated(self) -> Hold:
        """The same amount with the other sign: a debit as a journal's change."""
        return Hold(self.bucket_id, -self.amount)


Reservation = tuple[Hold, ...]
