"""Has an operation been posted? Looked for where its entry may be: on its way in the outbox, or in the journal.

A posting's key makes a repeat harmless for as long as the store remembers it. Whoever goes on after an interruption of
any length asks here first. The outbox comes before the journal: what the flusher carries from one to the other
meanwhile is seen in at least one of them.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
from redis.exceptions import RedisError

from balance.store import BackendUnavailable
from balance.valkey import keys
from ocs.billing import cdrs, reratings
from ocs.charging.cdr import decode_entry

PAGE: Final = 1000


async def posted_entry(connection: Any, redis: Any, account_id: str, reference: str) -> int | None:
    """The number of the account's entry with this reference; None if it has none."""
    waiting = await waiting_entry(redis, account_id, reference)
    return waiting or await reratings.posted_entry(connection, account_id, reference)


async def posted_anywhere(pool: Any, redis: Any, account_id: str, reference: str) -> int | None:
    """The same for an entry of any kind. Raises BackendUnavailable."""
    try:
        waiting = await waiting_entry(redis, account_id, reference)
    except (RedisError, OSError) as error:
        raise BackendUnavailable(f"the outbox cannot be read: {type(error).__name__}") from error
    if waiting is not None:
        return waiting
    row = await cdrs.find_reference(pool, account_id, reference)
    return row.entry_number if row is not None else None


async def waiting_entry(redis: Any, account_id: str, reference: str) -> int | None:
    """The number of an entry that has not come to the journal yet."""
    partitions = int(await redis.get(keys.PARTITIONS_KEY) or 0)
    if not partitions:
        return None
    stream, start = keys.outbox_key(keys.partition_of(account_id, partitions)), "-"
    while True:
        page = await redis.xrange(stream, min=start, count=PAGE)
        for _, fields in page:
            try:
                entry = decode_entry(fields.get(keys.OUTBOX_FIELD, b""))
            except msgspec.MsgspecError:
                continue  # the flusher buries it
            if (entry.account_id, entry.reference) == (account_id, reference):
                return entry.entry_number
        if len(page) < PAGE:
            return None
        start = f"({page[-1][0].decode()}"
