"""The ledger's proof for one account: what stands in the store is what the journal and the open sessions say.

    balance  = sum of the journal's changes - what open sessions have been debited so far
    reserved = sum of what open sessions hold
    counted  = what sessions have counted in the period, in the journal and so far in open ones
    entries  = numbered 1, 2, 3 .. without a gap, up to the number that the account remembers

A difference is never "a rounding": all of it is integers. It is a bug, or a hand in the store.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol

import msgspec

from balance.account import Account, Reservation
from balance.money import Amount


class OpenSession(Protocol):
    """What a credit-control session says about its account's money."""

    @property
    def reservation(self) -> Reservation:
        """What is set aside for it now, per bucket."""

    @property
    def debits(self) -> Reservation:
        """What it has cost so far, per bucket; becomes a journal entry when it closes."""

    @property
    def unit_reservation(self) -> Reservation:
        """What is set aside for it in units."""

    @property
    def unit_debits(self) -> Reservation:
        """What it has used and counted in units; becomes part of that entry."""


class Held(msgspec.Struct):
    """The sums over an account's open sessions."""

    reserved: dict[int, Amount] = msgspec.field(default_factory=dict)
    debited: dict[int, Amount] = msgspec.field(default_factory=dict)
    session_count: int = 0

    def add(self, session: OpenSession) -> None:
        self.session_count += 1
        held = (*session.reservation, *session.unit_reservation)
        for sums, holds in ((self.reserved, held), (self.debited, (*session.debits, *session.unit_debits))):
            for hold in holds:
                sums[hold.bucket_id] = sums.get(hold.bucket_id, 0) + hold.amount


def audit_account(
    account: Account,
    journal_sums: Mapping[int, Amount],
    entry_count: int,
    entry_max: int,
    open_sessions: Iterable[OpenSession],
) -> list[str]:
    """The differences in words; none when the account is right."""
    held = Held()
    for session in open_sessions:
        held.add(session)
    return audit_totals(account, journal_sums, entry_count, entry_max, held)


def audit_totals(
    account: Account, journal_sums: Mapping[int, Amount], entry_count: int, entry_max: int, held: Held
) -> list[str]:
    """The same, with the open sessions summed up already."""
    stands = [(bucket.bucket_id, bucket.balance, bucket.reserved) for bucket in account.buckets]
    if account.extras is not None:  # a counter is a balance that begins at nothing
        stands += [(bucket.bucket_id, bucket.balance, bucket.reserved) for bucket in account.extras.units]
        stands += [(limit.slot, 0, limit.open) for limit in account.extras.calls]
        stands += [(counter.slot, -counter.used, counter.reserved) for counter in account.extras.counters]
    buckets = {bucket_id: (balance, reserved) for bucket_id, balance, reserved in stands}
    differences: list[str] = []
    if len(buckets) != len(stands):
        differences.append("a bucket is there twice")
    # A bucket that is gone has to have come to nothing everywhere else, too; a counter goes with its period.
    for bucket_id in sorted({*buckets, *journal_sums, *held.reserved, *held.debited}):
        if bucket_id < 0 and bucket_id not in buckets:
            continue
        balance, reserved = buckets.get(bucket_id, (0, 0))
        differences += _of_balance(bucket_id, balance, journal_sums.get(bucket_id, 0), held.debited.get(bucket_id, 0))
        differences += _of_reserved(bucket_id, reserved, held.reserved.get(bucket_id, 0))
    return differences + _of_entries(account.entry_number, entry_count, entry_max)


def _of_balance(bucket_id: int, balance: Amount, journal: Amount, debited: Amount) -> list[str]:
    expected = journal - debited
    if balance == expected:
        return []
    sources = f"journal {journal} less {debited} used in open sessions"
    return [f"bucket {bucket_id}: the balance is {balance}, expected {expected} ({sources}): {balance - expected:+}"]


def _of_reserved(bucket_id: int, reserved: Amount, held: Amount) -> list[str]:
    if reserved == held:
        return []
    return [f"bucket {bucket_id}: {reserved} is reserved, open sessions hold {held}: {reserved - held:+}"]


def _of_entries(entry_number: int, entry_count: int, entry_max: int) -> list[str]:
    if entry_number == entry_count == entry_max:
        return []
    if entry_max > entry_number:
        return [f"the journal goes up to entry {entry_max}, the account remembers {entry_number}"]
    missing = entry_number - entry_count
    return [f"the account has written {entry_number} entries, the journal holds {entry_count}: {missing} are missing"]
