"""Carries the audit log from its stream in Valkey to PostgreSQL: read, write, COMMIT, forget. Killed anywhere, it begins anew."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any, Final

import asyncpg
import msgspec
import structlog
from redis.exceptions import RedisError

from balance.store import BackendUnavailable
from ocs.billing.failures import FAILURES
from ocs.billing.trail import FIELD, STREAM_KEY, decode_trail, keep

log = structlog.get_logger()

BATCH_MAX: Final = 500
IDLE_S: Final = 1.0
CONNECT_S_MAX: Final = 5


class TrailMover:
    """Moves entries until it is cancelled. Any number of them may run: an entry's place in the stream is its name."""

    def __init__(self, redis: Any, dsn: str) -> None:
        self._redis = redis
        self._dsn = dsn

    async def run(self) -> None:
        """Back ends that are away are waited for: the flusher beside says so already."""
        while True:
            wait_s = IDLE_S
            with contextlib.suppress(BackendUnavailable, RedisError, *FAILURES):
                wait_s = 0.0 if await self.move() == BATCH_MAX else IDLE_S
            await asyncio.sleep(wait_s)

    async def move(self) -> int:
        """One batch; how many entries there were."""
        waiting = await self._redis.xrange(STREAM_KEY, count=BATCH_MAX)
        if not waiting:
            return 0
        entries = []
        for stream_id, fields in waiting:
            try:
                entries.append(decode_trail(fields.get(FIELD, b""), stream_id.decode()))
            except msgspec.MsgspecError as error:
                log.error("trail_entry_unreadable", stream_id=stream_id.decode(), why=str(error))  # noqa: TRY400
        connection = await asyncpg.connect(self._dsn, timeout=CONNECT_S_MAX)
        try:
            await keep(connection, entries)
        finally:
            await connection.close()
        await self._redis.xdel(STREAM_KEY, *[stream_id for stream_id, _ in waiting])
        return len(waiting)
