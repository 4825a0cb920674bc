"""Reads the partitions' streams as a consumer group: what was taken and not acknowledged is delivered again.

No command names two partitions, so that a cluster can route each; a round is one pipeline.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

import redis.asyncio as redis
import structlog
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError

from balance.store import BackendUnavailable
from balance.valkey import keys

log = structlog.get_logger()

TIMEOUT_S: Final = 10
CLAIM_IDLE_MS: Final = 60_000
"""How long another consumer may sit on an entry before it counts as dead. Taking over too early only costs work."""

CLAIM_MAX: Final = 1000
STATUS_KEY: Final = "ocs:flusher"


def dead_key(partition: int) -> str:
    """Where entries go that no back end will ever take; nothing trims it, an operator looks at it."""
    return f"{keys.outbox_key(partition)}-dead"


class Taken(NamedTuple):
    """One stream entry as it was read; ``raw`` None: it was deleted meanwhile and only has to be acknowledged."""

    partition: int
    stream_id: str
    raw: bytes | None


class Backlog(NamedTuple):
    """``lengths`` by partition; ``oldest_ms`` is when the oldest entry was appended (0: there is none)."""

    lengths: tuple[int, ...]
    oldest_ms: int = 0

    @property
    def total(self) -> int:
        return sum(self.lengths)


def shares(lengths: Sequence[int], limit: int) -> list[int]:
    """Divide ``limit`` among partitions with waiting entries: evenly, and what one leaves goes to the others."""
    result = [0] * len(lengths)
    waiting = sorted((length, partition) for partition, length in enumerate(lengths) if length)
    for place, (length, partition) in enumerate(waiting):
        result[partition] = min(length, -(-limit // (len(waiting) - place)))
        limit -= result[partition]
    return result


def connect(url: str) -> redis.Redis:
    """A client that reports each failure at once: a silent second XREADGROUP would skip what the first one took."""
    return redis.Redis.from_url(
        url,
        protocol=2,
        retry=Retry(NoBackoff(), 0),
        socket_timeout=TIMEOUT_S,
        socket_connect_timeout=TIMEOUT_S,
    )


class OutboxReader:
    """All partitions of one store, for one consumer of one group. Methods raise BackendUnavailable."""

    def __init__(self, client: redis.Redis, group: str, consumer: str) -> None:
        self._client: Any = client  # redis-py's types know neither RESP version nor bytes
        self._group = group
        self._consumer = consumer
        self._partitions = 0
        self._unfinished: set[int] = set()

    @property
    def partitions(self) -> int:
        return self._partitions

    async def open(self) -> None:
        """Find the partitions, make the groups that are missing, and start with what we took and did not finish."""
        try:
            count = await self._client.get(keys.PARTITIONS_KEY)
            if count is None:
                raise BackendUnavailable("Valkey: the store is not created yet")
            self._partitions = int(count)
            for partition in range(self._partitions):
                await self._make_group(partition)
        except (RedisError, OSError) as error:
            raise _unavailable(error) from error
        self._unfinished = set(range(self._partitions))

    async def take(self, limit: int) -> list[Taken]:
        """The next entries, at most about ``limit``: first those of an earlier life, then new ones."""
        if not self._partitions:
            await self.open()
        while self._unfinished:
            wanted = sorted(self._unfinished)
            count = max(1, limit // len(wanted))
            taken = await self._read([(partition, count) for partition in wanted], "0")
            self._unfinished &= {item.partition for item in taken}
            if taken:
                return taken
        lengths = (await self.backlog()).lengths
        wanted_counts = [(partition, count) for partition, count in enumerate(shares(lengths, limit)) if count]
        return await self._read(wanted_counts, ">") if wanted_counts else []

    async def acknowledge(self, items: Iterable[Taken]) -> None:
        """Forget what is safe elsewhere. XDEL goes first: an entry that is acknowledged and not deleted would stay."""
        by_partition: dict[int, list[str]] = {}
        for item in items:
            by_partition.setdefault(item.partition, []).append(item.stream_id)
        pipeline = self._client.pipeline(transaction=False)
        for partition, stream_ids in by_partition.items():
            pipeline.xdel(keys.outbox_key(partition), *stream_ids)
            pipeline.xack(keys.outbox_key(partition), self._group, *stream_ids)
        await self._execute(pipeline)

    async def bury(self, item: Taken, why: str) -> None:
        """Set an entry aside that cannot be delivered; in one step, so that it is in exactly one place."""
        assert item.raw is not None, "there is something to bury"
        stream = keys.outbox_key(item.partition)
        pipeline = self._client.pipeline(transaction=True)
        pipeline.xadd(dead_key(item.partition), {keys.OUTBOX_FIELD: item.raw, "id": item.stream_id, "why": why[:1000]})
        pipeline.xdel(stream, item.stream_id)
        pipeline.xack(stream, self._group, item.stream_id)
        await self._execute(pipeline)

    async def claim(self) -> int:
        """Take over what other consumers left lying; the next ``take`` returns it."""
        pipeline = self._client.pipeline(transaction=False)
        for partition in range(self._partitions):
            pipeline.xautoclaim(
                keys.outbox_key(partition), self._group, self._consumer, CLAIM_IDLE_MS, count=CLAIM_MAX, justid=True
            )
        claimed = await self._execute(pipeline)
        self._unfinished |= {partition for partition, ids in enumerate(claimed) if ids}
        return sum(len(ids) for ids in claimed)

    async def backlog(self, with_age: bool = False) -> Backlog:
        pipeline = self._client.pipeline(transaction=False)
        for partition in range(self._partitions):
            pipeline.xlen(keys.outbox_key(partition))
        if not with_age:
            return Backlog(tuple(await self._execute(pipeline)))
        for partition in range(self._partitions):
            pipeline.xrange(keys.outbox_key(partition), count=1)
        replies = await self._execute(pipeline)
        oldest = [int(entries[0][0].split(b"-")[0]) for entries in replies[self._partitions :] if entries]
        return Backlog(tuple(replies[: self._partitions]), min(oldest, default=0))

    async def report(self, status: bytes) -> None:
        """Leave a sign of life where the daemon's metrics find it."""
        pipeline = self._client.pipeline(transaction=False)
        pipeline.set(STATUS_KEY, status)
        await self._execute(pipeline)

    async def close(self) -> None:
        await self._client.aclose()

    async def _make_group(self, partition: int) -> None:
        try:
            await self._client.xgroup_create(keys.outbox_key(partition), self._group, id="0", mkstream=True)
        except ResponseError as error:
            if "BUSYGROUP" not in str(error):
                raise

    async def _read(self, counts: list[tuple[int, int]], start: str) -> list[Taken]:
        pipeline = self._client.pipeline(transaction=False)
        for partition, count in counts:
            stream = {keys.outbox_key(partition): start}
            pipeline.xreadgroup(self._group, self._consumer, stream, count=count)
        replies = await self._execute(pipeline)
        return [
            Taken(partition, stream_id.decode(), fields.get(keys.OUTBOX_FIELD, b"") if fields else None)
            for (partition, _), reply in zip(counts, replies, strict=True)
            for _, entries in reply
            for stream_id, fields in entries
        ]

    async def _execute(self, pipeline: Any) -> list[Any]:
        try:
            replies: list[Any] = await pipeline.execute()
        except (RedisError, OSError) as error:
            # What was taken by a command whose answer is lost is still ours, and a lost stream needs its group.
            self._partitions = 0
            raise _unavailable(error) from error
        return replies


def _unavailable(error: Exception) -> BackendUnavailable:
    return BackendUnavailable(f"Valkey: {error or type(error).__name__}")
