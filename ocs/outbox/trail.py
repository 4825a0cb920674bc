"""Carries what waits in streams beside the outbox to PostgreSQL: read, write, COMMIT, forget. Killed anywhere, it begins anew.

The audit log, and the events of strangers, who have no account whose posting they could leave with.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Any, Final, Generic, TypeVar

import asyncpg
import msgspec
import structlog
from redis.exceptions import RedisError

from balance.store import BackendUnavailable
from ocs.billing import trail
from ocs.billing.failures import FAILURES
from ocs.charging import strangers
from ocs.charging.account_events import AccountEvent, event_of
from ocs.charging.cdr import decode_entry
from ocs.outbox.postgres import EVENT_COLUMNS, event_row

log = structlog.get_logger()

BATCH_MAX: Final = 500
IDLE_S: Final = 1.0
CONNECT_S_MAX: Final = 5
ADD_EVENT: Final = (
    f"INSERT INTO account_event ({', '.join(EVENT_COLUMNS)}) VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING"  # noqa: S608
)
FoundT = TypeVar("FoundT")


class StreamMover(Generic[FoundT]):
    """Moves entries until it is cancelled. Any number of them may run: what is written twice is there once."""

    stream_key: str

    def __init__(self, redis: Any, dsn: str) -> None:
        self._redis = redis
        self._dsn = dsn

    def read(self, stream_id: str, fields: dict[bytes, bytes]) -> FoundT:
        """Raises msgspec.MsgspecError for what is none of ours."""
        raise NotImplementedError

    async def keep(self, connection: Any, found: Sequence[FoundT]) -> None:
        """Write it; what is there already stays as it is."""
        raise NotImplementedError

    async def run(self) -> None:
        """Back ends that are away are waited for: the flusher beside says so already."""
        while True:
            wait_s = IDLE_S
            with contextlib.suppress(BackendUnavailable, RedisError, *FAILURES):
                wait_s = 0.0 if await self.move() == BATCH_MAX else IDLE_S
            await asyncio.sleep(wait_s)

    async def move(self) -> int:
        """One batch; how many entries there were."""
        waiting = await self._redis.xrange(self.stream_key, count=BATCH_MAX)
        if not waiting:
            return 0
        found = []
        for stream_id, fields in waiting:
            try:
                found.append(self.read(stream_id.decode(), fields))
            except msgspec.MsgspecError as error:
                log.error(  # noqa: TRY400
                    "stream_entry_unreadable", stream=self.stream_key, stream_id=stream_id.decode(), why=str(error)
                )
        connection = await asyncpg.connect(self._dsn, timeout=CONNECT_S_MAX)
        try:
            await self.keep(connection, found)
        finally:
            await connection.close()
        await self._redis.xdel(self.stream_key, *[stream_id for stream_id, _ in waiting])
        return len(waiting)


class TrailMover(StreamMover[trail.TrailEntry]):
    """An entry's place in the stream is its name."""

    stream_key = trail.STREAM_KEY

    def read(self, stream_id: str, fields: dict[bytes, bytes]) -> trail.TrailEntry:
        return trail.decode_trail(fields.get(trail.FIELD, b""), stream_id)

    async def keep(self, connection: Any, found: Sequence[trail.TrailEntry]) -> None:
        await trail.keep(connection, found)


class StrangerMover(StreamMover[AccountEvent | None]):
    """An event's number is made of what it says: the same stranger, met by several processes, is told of once."""

    stream_key = strangers.STREAM_KEY

    def read(self, stream_id: str, fields: dict[bytes, bytes]) -> AccountEvent | None:  # noqa: ARG002 - it has a name of its own
        return event_of(decode_entry(fields.get(strangers.FIELD, b"")))

    async def keep(self, connection: Any, found: Sequence[AccountEvent | None]) -> None:
        await connection.executemany(ADD_EVENT, [event_row(event) for event in found if event is not None])
