"""Which bucket pays, in which order: reserve, settle, credit and expire as functions from account to account.

The order is one for reservation, debit and release: lower priority number first, then earlier expiry, then promotional
before recurring before paid, then older, then lower id; the main bucket last. It alone may go negative, so it takes whatever the others cannot cover.
"""

from __future__ import annotations

from collections.abc import Mapping

from balance.account import MAIN_BUCKET, NEVER_MS, Account, Bucket, Hold, Reservation
from balance.money import AMOUNT_MAX, Amount

_FAR_FUTURE_MS = 2**62


def negated(holds: Reservation) -> Reservation:
    """The same amounts with the other sign: what a debit is in the journal."""
    return tuple([Hold(hold.bucket_id, -hold.amount) for hold in holds])


def is_expired(bucket: Bucket, now_ms: int) -> bool:
    return bucket.expires_at_ms != NEVER_MS and bucket.expires_at_ms <= now_ms


def burn_key(bucket: Bucket) -> tuple[bool, int, int, int, int, int]:
    return (
        bucket.bucket_id == MAIN_BUCKET,
        bucket.priority,
        bucket.expires_at_ms or _FAR_FUTURE_MS,
        bucket.origin,
        bucket.created_at_ms,
        bucket.bucket_id,
    )


def burn_order(account: Account, now_ms: int) -> list[Bucket]:
    """The buckets that may be used now, first to pay first."""
    usable = [bucket for bucket in account.buckets if not is_expired(bucket, now_ms)]
    if len(usable) > 1:
        usable.sort(key=burn_key)
    return usable


def available(account: Account, now_ms: int) -> Amount:
    """What may still be promised: booked minus reserved, over all valid buckets, plus the credit limit."""
    total = account.credit_limit
    if len(account.buckets) == 1:  # the main bucket: it never expires
        return total + account.buckets[0].balance - account.buckets[0].reserved
    for bucket in account.buckets:
        if bucket.expires_at_ms == NEVER_MS or bucket.expires_at_ms > now_ms:
            total += bucket.balance - bucket.reserved
    return total


def first_expiry_ms(account: Account, now_ms: int) -> int:
    """The instant at which the next usable bucket with money expires; 0 if none does."""
    dates = [b.expires_at_ms for b in account.buckets if b.expires_at_ms > now_ms and b.balance > b.reserved]
    return min(dates, default=0)


def reserve(account: Account, amount: Amount, now_ms: int) -> tuple[Account, Reservation] | None:
    """Set money aside, or None when ``amount`` exceeds what is available: never a part of it."""
    assert amount >= 0, "a reservation is never negative"
    if amount == 0:
        return account, ()
    if amount > available(account, now_ms):
        return None
    if len(account.buckets) == 1:
        only = account.buckets[0]
        held = _bucket(only, only.balance, only.reserved + amount)
        return _with_buckets(account, (held,)), (Hold(only.bucket_id, amount),)
    holds: list[Hold] = []
    left = amount
    for bucket in burn_order(account, now_ms):
        free = left if bucket.bucket_id == MAIN_BUCKET else min(left, max(0, bucket.balance - bucket.reserved))
        if free:
            holds.append(Hold(bucket.bucket_id, free))
            left -= free
    assert left == 0, "the main bucket takes what is left"
    return _changed(account, {}, {hold.bucket_id: hold.amount for hold in holds}), tuple(holds)


def settle(account: Account, reservation: Reservation, cost: Amount, now_ms: int) -> tuple[Account, Reservation]:
    """End a reservation and debit ``cost``: from what was held first, in burn order, then from what is free.

    Returns the account and the debit per bucket. Use beyond the reservation drives the main bucket negative.
    """
    assert cost >= 0, "cost never falls during a session"
    if len(account.buckets) == 1:
        # The same as below for the usual account, at a third of the price: this runs twice in every request.
        only = account.buckets[0]
        after = _with_buckets(account, (_bucket(only, only.balance - cost, only.reserved - total_of(reservation)),))
        return after, (Hold(only.bucket_id, cost),) if cost else ()
    debits: dict[int, Amount] = {}
    left = cost
    for hold in reservation:
        part = min(left, hold.amount)
        if part:
            debits[hold.bucket_id] = part
            left -= part
    if left:
        _debit_free(account, debits, {hold.bucket_id: hold.amount for hold in reservation}, left, now_ms)
    after = _changed(
        account,
        {bucket_id: -amount for bucket_id, amount in debits.items()},
        {hold.bucket_id: -hold.amount for hold in reservation},
    )
    return after, tuple(Hold(bucket_id, amount) for bucket_id, amount in debits.items())


def give_back(
    account: Account, reservation: Reservation, debits: Reservation, amount: Amount
) -> tuple[Account, Reservation]:
    """End a reservation and take ``amount`` of earlier debits back, the last bucket first.

    Returns the account and what is debited now, per bucket. What came from a bucket that is gone returns to the main
    one, as a debit below zero there.
    """
    assert 0 <= amount <= total_of(debits), "no more comes back than was debited"
    there = {bucket.bucket_id for bucket in account.buckets}
    left = {hold.bucket_id: hold.amount for hold in debits}
    changes: dict[int, Amount] = {}
    for hold in reversed(debits):
        part = min(amount, max(0, hold.amount))
        if not part:
            continue
        amount -= part
        bucket_id = hold.bucket_id if hold.bucket_id in there else MAIN_BUCKET
        changes[bucket_id] = changes.get(bucket_id, 0) + part
        left[bucket_id] = left.get(bucket_id, 0) - part
    after = _changed(account, changes, {hold.bucket_id: -hold.amount for hold in reservation})
    return after, tuple(Hold(bucket_id, kept) for bucket_id, kept in left.items() if kept)


def credit(account: Account, changes: Mapping[int, Amount]) -> Account:
    """Add signed amounts to existing buckets; the caller has checked what may be taken."""
    return _changed(account, changes, {})


def with_version(account: Account, version: int) -> Account:
    """The account as its next posting leaves it."""
    return Account(
        account.account_id,
        version,
        account.currency,
        account.rate_plan,
        account.state,
        account.credit_limit,
        account.low_balance,
        account.entry_number,
        account.buckets,
        account.created_at_ms,
        account.extras,
    )


def with_bucket(account: Account, bucket: Bucket) -> Account:
    """The account with one more bucket."""
    assert all(existing.bucket_id != bucket.bucket_id for existing in account.buckets), "bucket ids are never reused"
    return _with_buckets(account, (*account.buckets, bucket))


def expire(account: Account, now_ms: int) -> tuple[Account, Reservation]:
    """Write off what expired buckets still hold beyond their reservations; empty ones are dropped.

    What a session reserved before the expiry stays usable for that session.
    """
    if len(account.buckets) == 1:
        return account, ()
    kept: list[Bucket] = []
    written_off: list[Hold] = []
    for bucket in account.buckets:
        if not is_expired(bucket, now_ms):
            kept.append(bucket)
            continue
        lost = bucket.balance - bucket.reserved
        if lost:
            written_off.append(Hold(bucket.bucket_id, lost))
        if bucket.reserved:
            kept.append(_bucket(bucket, bucket.reserved, bucket.reserved))
    if len(kept) == len(account.buckets) and not written_off:
        return account, ()
    return _with_buckets(account, tuple(kept)), tuple(written_off)


def add_holds(first: Reservation, second: Reservation) -> Reservation:
    """The sum of two holds lists, per bucket."""
    if not first:
        return second
    if not second:
        return first
    if len(first) == 1 == len(second) and first[0].bucket_id == second[0].bucket_id:
        return (Hold(first[0].bucket_id, first[0].amount + second[0].amount),)
    total = {hold.bucket_id: hold.amount for hold in first}
    for hold in second:
        total[hold.bucket_id] = total.get(hold.bucket_id, 0) + hold.amount
    return tuple(Hold(bucket_id, amount) for bucket_id, amount in total.items())


def total_of(holds: Reservation) -> Amount:
    total = 0
    for hold in holds:
        total += hold.amount
    return total


def _debit_free(
    account: Account, debits: dict[int, Amount], held: dict[int, Amount], left: Amount, now_ms: int
) -> None:
    for bucket in burn_order(account, now_ms):
        reserved_by_others = bucket.reserved - held.get(bucket.bucket_id, 0)
        taken = debits.get(bucket.bucket_id, 0)
        free = max(0, bucket.balance - reserved_by_others - taken)
        part = left if bucket.bucket_id == MAIN_BUCKET else min(left, free)
        if part:
            debits[bucket.bucket_id] = taken + part
            left -= part


def _changed(account: Account, balances: Mapping[int, Amount], reserves: Mapping[int, Amount]) -> Account:
    return _with_buckets(
        account,
        tuple(
            _bucket(b, b.balance + balances.get(b.bucket_id, 0), b.reserved + reserves.get(b.bucket_id, 0))
            for b in account.buckets
        ),
    )


def _bucket(bucket: Bucket, balance: Amount, reserved: Amount) -> Bucket:
    assert reserved >= 0, "a reservation is released at most once"
    assert -AMOUNT_MAX <= balance <= AMOUNT_MAX, "a balance has to fit 63 bits"
    return Bucket(
        bucket.bucket_id, balance, reserved, bucket.priority, bucket.expires_at_ms, bucket.created_at_ms, bucket.origin
    )


def _with_buckets(account: Account, buckets: tuple[Bucket, ...]) -> Account:
    return Account(
        account.account_id,
        account.version,
        account.currency,
        account.rate_plan,
        account.state,
        account.credit_limit,
        account.low_balance,
        account.entry_number,
        buckets,
        account.created_at_ms,
        account.extras,
    )
