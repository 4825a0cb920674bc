"""What undoes an earlier entry of the journal: by a new one, never by a change of the old. Pure."""

from __future__ import annotations

from balance.account import MAIN_BUCKET, Account, Bucket, Hold
from balance.money import Amount


def given_back(changes: tuple[Hold, ...], account: Account, amount: Amount) -> tuple[Hold, ...]:
    """What undoes changes of an earlier entry, or ``amount`` of them, the last one first; 0: all.

    It goes to the buckets that are still there, else to the main one; no other bucket is taken below what it has free.
    """
    there = {bucket.bucket_id: bucket for bucket in account.buckets}
    left = amount or sum(abs(change.amount) for change in changes)
    found: dict[int, Amount] = {}
    for change in reversed(changes):
        part = min(left, abs(change.amount))
        left -= part
        bucket = there.get(change.bucket_id)
        if change.amount < 0:
            bucket_id = change.bucket_id if bucket is not None else MAIN_BUCKET
            found[bucket_id] = found.get(bucket_id, 0) + part
            continue
        own = 0 if bucket is None else part if change.bucket_id == MAIN_BUCKET else min(part, free_in(bucket))
        for bucket_id, taken in ((change.bucket_id, own), (MAIN_BUCKET, part - own)):
            if taken:
                found[bucket_id] = found.get(bucket_id, 0) - taken
    return tuple(Hold(bucket_id, change) for bucket_id, change in found.items() if change)


def free_in(bucket: Bucket) -> Amount:
    """What of a bucket no session holds."""
    return max(0, bucket.balance - bucket.reserved)
