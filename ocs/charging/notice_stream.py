"""The way of a notice from the process that knows of a change to the process that holds the client's connection.

A stream in Valkey that every process reads to its end: nobody has to know where a connection is. A claim per notice
sees to it that one process alone sends it. Both are bounded, and neither is ever waited for by a request.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, TypeAlias

import msgspec
import structlog
from redis.exceptions import RedisError

from ocs.charging.notices import Notice

STREAM_KEY: Final = "ocs:notices"
ROUTES_KEY: Final = "ocs:diameter:routes"
NOTICES_MAX: Final = 10_000
CLAIM_KEEP_MS: Final = 120_000
LEASE_MS: Final = 10_000  # longer than a client's answer is waited for
LOOK_AGAIN_MS: Final = 2_000  # after a lease has run out
WATCHED_MAX: Final = 10_000
BLOCK_MS: Final = 2_000  # below the time-out that redis-py has for every read
BATCH_MAX: Final = 500
LIFE_MS: Final = 60_000
RETRY_S: Final = 1.0

Taker: TypeAlias = Callable[[str, Notice], Awaitable[None]]

log = structlog.get_logger()

_encoder = msgspec.msgpack.Encoder()
_notice_decoder: msgspec.msgpack.Decoder[Notice] = msgspec.msgpack.Decoder(Notice)


class Route(msgspec.Struct, array_like=True, frozen=True):
    """Where requests of a client came in: its realm, and the peer that delivered them (a relay, or itself)."""

    realm: str
    via: str


_route_decoder: msgspec.msgpack.Decoder[Route] = msgspec.msgpack.Decoder(Route)


class NoticeStream:
    """``client`` is a redis-py client. Every method raises what redis-py raises when Valkey is away."""

    def __init__(self, client: Any, process: str) -> None:
        self._client = client
        self.process = process

    async def publish(self, notices: Sequence[Notice]) -> None:
        if not notices:
            return
        async with self._client.pipeline(transaction=False) as pipeline:
            for notice in notices:
                pipeline.xadd(STREAM_KEY, {"n": _encoder.encode(notice)}, maxlen=NOTICES_MAX, approximate=True)
            await pipeline.execute()

    async def read(self, after: str) -> list[tuple[str, Notice | None]]:
        """Wait for what comes after that id; None stands for what another version wrote."""
        reply = await self._client.xread({STREAM_KEY: after}, count=BATCH_MAX, block=BLOCK_MS)
        return [(entry_id.decode(), _decode(fields)) for _, entries in reply for entry_id, fields in entries]

    async def claim(self, entry_id: str) -> bool:
        """Whether this process is the one that sees to the notice."""
        key = f"{STREAM_KEY}:{entry_id}"
        return bool(await self._client.set(key, self.process, nx=True, px=CLAIM_KEEP_MS))

    async def lease(self, entry_id: str) -> bool:
        """The same for a while: to be renewed while the work goes on, and finished; else another process takes it over."""
        return bool(await self._client.set(f"{STREAM_KEY}:{entry_id}", self.process, nx=True, px=LEASE_MS))

    async def renew(self, entry_id: str) -> None:
        await self._client.set(f"{STREAM_KEY}:{entry_id}", self.process, xx=True, px=LEASE_MS)

    async def finish(self, entry_id: str) -> None:
        """The notice is seen to, or given up."""
        await self._client.set(f"{STREAM_KEY}:{entry_id}", self.process, px=CLAIM_KEEP_MS)

    async def abandoned(self, entry_ids: Sequence[str]) -> set[str]:
        """Those that nobody holds or has seen to."""
        values = await self._client.mget([f"{STREAM_KEY}:{entry_id}" for entry_id in entry_ids])
        return {entry_id for entry_id, value in zip(entry_ids, values, strict=True) if value is None}

    async def keep_route(self, host: str, route: Route) -> None:
        await self._client.hset(ROUTES_KEY, host.lower(), _encoder.encode(route))

    async def route(self, host: str) -> Route | None:
        value = await self._client.hget(ROUTES_KEY, host.lower())
        return _route_decoder.decode(value) if value is not None else None


class NoticeReader:
    """Reads the stream to its end and hands each notice to who knows its protocol, by the session key's prefix.

    When the lease of a notice has run out and it is not finished, its process has died: it is handed on once more.
    """

    def __init__(self, stream: NoticeStream, clock: Callable[[], int], takers: Mapping[str, Taker]) -> None:
        self._stream = stream
        self._clock = clock
        self._takers = dict(takers)
        self._watched: deque[tuple[int, str, Notice]] = deque(maxlen=WATCHED_MAX)  # the earliest first

    async def run(self) -> None:
        """Until cancelled. What was said in the last minute before the start is looked at, too."""
        after = f"{max(0, self._clock() - LIFE_MS)}-0"
        while True:
            try:
                for entry_id, notice in await self._stream.read(after):
                    if notice is not None:
                        await self._hand_on(entry_id, notice)
                    after = entry_id
                await self._look_again()
            except (RedisError, OSError) as error:  # Valkey is away: the stream stays, and so does our place in it
                log.warning("notices_wait", reason=str(error) or type(error).__name__)
                await asyncio.sleep(RETRY_S)

    async def _hand_on(self, entry_id: str, notice: Notice) -> None:
        taker = self._takers.get(notice.session_key.partition(":")[0])
        if taker is None:
            return
        if self._clock() - notice.at_ms <= LIFE_MS:
            self._watched.append((self._clock() + LEASE_MS + LOOK_AGAIN_MS, entry_id, notice))
        try:
            await taker(entry_id, notice)
        except (RedisError, OSError):
            raise
        except Exception:  # one notice is lost, not those after it
            log.exception("notice_lost", session=notice.session_key)

    async def _look_again(self) -> None:
        now_ms = self._clock()
        due: list[tuple[int, str, Notice]] = []
        while self._watched and self._watched[0][0] <= now_ms and len(due) < BATCH_MAX:
            due.append(self._watched.popleft())
        if not due:
            return
        abandoned = await self._stream.abandoned([entry_id for _, entry_id, _ in due])
        for _, entry_id, notice in due:
            if entry_id in abandoned:
                log.warning("notice_taken_over", session=notice.session_key, cause=notice.cause)
                await self._hand_on(entry_id, notice)


def _decode(fields: dict[bytes, bytes]) -> Notice | None:
    try:
        return _notice_decoder.decode(fields[b"n"])
    except (KeyError, msgspec.MsgspecError):
        return None
