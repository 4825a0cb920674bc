"""Which records each feed still has to be given: written by the flusher with the records, forgotten when they have arrived.

No order and no position: a record is in the queue of a feed until the feed has it. So nothing is passed over because another
transaction committed later, and a receiver that was away for a day finds all of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from ocs.billing.cdrs import CdrRow, cdr_from_row
from ocs.billing.moments import moment
from ocs.feeds.settings import Feed

# Whoever takes them holds them until his transaction ends: other workers pass over them.
TAKE: Final = """
    SELECT c.* FROM (
        SELECT account_id, entry_number, started_at FROM cdr_feed WHERE feed = $1
        ORDER BY queued_at, account_id, entry_number LIMIT $2 FOR UPDATE SKIP LOCKED
    ) AS q JOIN cdr c USING (account_id, entry_number, started_at)
"""
OLDEST: Final = """
    SELECT count(*) AS waiting, coalesce(extract(epoch FROM now() - min(queued_at)), 0)::int AS age_s
    FROM (SELECT queued_at FROM cdr_feed WHERE feed = $1 ORDER BY queued_at LIMIT $2) AS q
"""
FORGET: Final = """
    DELETE FROM cdr_feed f USING unnest($2::text[], $3::bigint[]) AS d(account_id, entry_number)
    WHERE f.feed = $1 AND f.account_id = d.account_id AND f.entry_number = d.entry_number
"""


STATE: Final = """
    SELECT count(*) AS waiting, coalesce(extract(epoch FROM now() - min(queued_at)), 0)::int AS age_s FROM cdr_feed WHERE feed = $1
"""
REPLAY: Final = """
    INSERT INTO cdr_feed (feed, account_id, entry_number, started_at)
    SELECT $1, account_id, entry_number, started_at FROM cdr WHERE started_at >= $2 AND started_at < $3
    ON CONFLICT DO NOTHING
"""


class FeedState(msgspec.Struct, frozen=True, kw_only=True):
    """A receiver, how many records he has not been given yet, and how long the oldest of them has waited."""

    feed: str
    to: str
    waiting: int
    oldest_s: int


async def state_of(connection: Any, feed: Feed) -> FeedState:
    row = await connection.fetchrow(STATE, feed.name)
    return FeedState(feed=feed.name, to=feed.to, waiting=row["waiting"], oldest_s=row["age_s"])


async def replay(connection: Any, feed: str, since_ms: int, until_ms: int) -> int:
    """Have a feed given again what began in ``[since_ms, until_ms)``; how many records, without those that wait for it already."""
    status: str = await connection.execute(REPLAY, feed, moment(since_ms), moment(until_ms))
    return int(status.rpartition(" ")[2])


async def waiting(connection: Any, feed: str, batch_max: int) -> tuple[int, int]:
    """How many wait (up to a batch), and how many seconds the oldest has waited."""
    row = await connection.fetchrow(OLDEST, feed, batch_max)
    return row["waiting"], row["age_s"]


async def take(connection: Any, feed: str, batch_max: int) -> list[CdrRow]:
    """The oldest records of a feed, held until the transaction ends."""
    return [cdr_from_row(row) for row in await connection.fetch(TAKE, feed, batch_max)]


async def forget(connection: Any, feed: str, records: Sequence[CdrRow]) -> None:
    """They have arrived."""
    await connection.execute(
        FORGET, feed, [record.account_id for record in records], [record.entry_number for record in records]
    )
