"""Buckets of units: seconds, octets or events that an account has instead of money. Pure.

They are drained before money, in one order for reservation, debit and release: lower priority number first, then
earlier expiry, then promotional before recurring before paid, then older, then lower id. Unlike money there is no main
bucket: what they do not cover is left over, and money pays it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final

from msgspec import structs

from balance.account import NEVER_MS, NO_EXTRAS, Account, Hold, Reservation, UnitBucket, with_extras

_FAR_FUTURE_MS: Final = 2**62


def order_of(bucket: UnitBucket) -> tuple[int, int, int, int, int]:
    """What a bucket is sorted by: the first one is used first."""
    return (
        bucket.priority,
        bucket.expires_at_ms or _FAR_FUTURE_MS,
        bucket.origin,
        bucket.created_at_ms,
        bucket.bucket_id,
    )


def is_over(bucket: UnitBucket, now_ms: int) -> bool:
    """Tell whether its validity has ended."""
    return bucket.expires_at_ms != NEVER_MS and bucket.expires_at_ms <= now_ms


def usable(account: Account, bundles: Collection[str], kind: int, now_ms: int) -> list[UnitBucket]:
    """The buckets of these bundles that have something left to promise, first to be used first."""
    if account.extras is None:
        return []
    found = [
        bucket
        for bucket in account.extras.units
        if bucket.balance > bucket.reserved
        and bucket.kind == kind
        and bucket.bundle in bundles
        and not is_over(bucket, now_ms)
    ]
    if len(found) > 1:
        found.sort(key=order_of)
    return found


def free_units(buckets: list[UnitBucket]) -> int:
    """How many units they may still promise."""
    return sum(bucket.balance - bucket.reserved for bucket in buckets)


def reserve_units(account: Account, buckets: list[UnitBucket], units: int) -> tuple[Account, Reservation]:
    """Set units aside in these buckets, in their order; they have them."""
    holds: list[Hold] = []
    for bucket in buckets:
        part = min(units, bucket.balance - bucket.reserved)
        if part:
            holds.append(Hold(bucket.bucket_id, part))
            units -= part
    assert units == 0, "no more is set aside than there is"
    return (_changed(account, {}, dict(_pairs(holds))) if holds else account), tuple(holds)


def settle_units(
    account: Account, held: Reservation, buckets: list[UnitBucket], units: int
) -> tuple[Account, Reservation]:
    """End a reservation and take up to so many units: from what was held first, in its order, then from what is free.

    ``buckets`` are those that may be used now. What was held in one that has expired since is still there for this.
    Returns the account and what was taken, per bucket: it may be less than was asked.
    """
    assert units >= 0, "use never falls"
    taken: dict[int, int] = {}
    for hold in held:
        part = min(units, hold.amount)
        if part:
            taken[hold.bucket_id] = part
            units -= part
    for bucket in buckets if units else ():
        part = min(units, bucket.balance - bucket.reserved)
        if part:
            taken[bucket.bucket_id] = taken.get(bucket.bucket_id, 0) + part
            units -= part
    if not taken and not held:
        return account, ()
    after = _changed(
        account,
        {bucket_id: -amount for bucket_id, amount in taken.items()},
        {bucket_id: -amount for bucket_id, amount in _pairs(held)},
    )
    return after, tuple(Hold(bucket_id, amount) for bucket_id, amount in taken.items())


def with_units(account: Account, bucket: UnitBucket) -> Account:
    """The account with one more bucket of units."""
    extras = account.extras or NO_EXTRAS
    taken = {each.bucket_id for each in account.buckets} | {each.bucket_id for each in extras.units}
    assert bucket.bucket_id not in taken, "bucket ids are never reused"
    return with_extras(account, structs.replace(extras, units=(*extras.units, bucket)))


def expire_units(account: Account, now_ms: int) -> tuple[Account, Reservation]:
    """Write off what expired buckets hold beyond their reservations; empty ones are dropped."""
    extras = account.extras
    if extras is None or not extras.units:
        return account, ()
    kept: list[UnitBucket] = []
    written_off: list[Hold] = []
    for bucket in extras.units:
        lost = bucket.balance - bucket.reserved if is_over(bucket, now_ms) else 0
        if lost:
            written_off.append(Hold(bucket.bucket_id, lost))
        if bucket.balance > lost:
            kept.append(_bucket(bucket, bucket.balance - lost, bucket.reserved) if lost else bucket)
    if len(kept) == len(extras.units) and not written_off:
        return account, ()
    return with_extras(account, structs.replace(extras, units=tuple(kept))), tuple(written_off)


def _changed(account: Account, balances: Mapping[int, int], reserves: Mapping[int, int]) -> Account:
    assert account.extras is not None, "who has buckets of units has extras"
    units = tuple(
        _bucket(each, each.balance + balances.get(each.bucket_id, 0), each.reserved + reserves.get(each.bucket_id, 0))
        if each.bucket_id in balances or each.bucket_id in reserves
        else each
        for each in account.extras.units
    )
    return with_extras(account, structs.replace(account.extras, units=units))


def _bucket(bucket: UnitBucket, balance: int, reserved: int) -> UnitBucket:
    assert 0 <= reserved <= balance, "no more is promised than there is, and released at most once"
    changed: UnitBucket = structs.replace(bucket, balance=balance, reserved=reserved)
    return changed


def _pairs(holds: Collection[Hold]) -> list[tuple[int, int]]:
    return [(hold.bucket_id, hold.amount) for hold in holds]
