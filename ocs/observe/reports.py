"""What each daemon knows at the moment, left in Valkey for the command line: figures of now, gone with the daemon."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable, Iterable
from typing import Any, Final, TypeVar

import msgspec
import structlog
from redis.exceptions import RedisError

log = structlog.get_logger()

KEY_PREFIX: Final = "ocs:report:"
EVERY_S: Final = 5.0
KEEP_S: Final = 30

ReportT = TypeVar("ReportT", bound=msgspec.Struct)

_encoder = msgspec.msgpack.Encoder()


def process_name() -> str:
    """What a daemon is called in the reports: several may run on one host, and several hosts share a store."""
    return f"{socket.gethostname()}:{os.getpid()}"


class Reports:
    """``run`` beside the server; ``redis`` is a redis-py client, ``kind`` names what is reported, ``figures`` asks."""

    def __init__(self, redis: Any, kind: str, process: str, figures: Callable[[], Iterable[msgspec.Struct]]) -> None:
        self._redis = redis
        self._key = f"{KEY_PREFIX}{kind}:{process}"
        self._figures = figures

    async def run(self) -> None:
        """Until cancelled. A store that is away is tried again: nobody waits for this."""
        while True:
            try:
                await self.publish()
            except (RedisError, OSError) as error:
                log.debug("report_waits", reason=str(error))
            await asyncio.sleep(EVERY_S)

    async def publish(self) -> None:
        """Leave the figures of now."""
        await self._redis.set(self._key, _encoder.encode(list(self._figures())), ex=KEEP_S)


async def read_reports(redis: Any, kind: str, of: type[ReportT]) -> dict[str, list[ReportT]]:
    """What each daemon that runs has left, by its name."""
    prefix = f"{KEY_PREFIX}{kind}:"
    decoder: msgspec.msgpack.Decoder[list[ReportT]] = msgspec.msgpack.Decoder(list[of])  # type: ignore[valid-type]
    found = {}
    async for key in redis.scan_iter(match=f"{prefix}*", count=500):
        value = await redis.get(key)
        if value is not None:
            found[key.decode().removeprefix(prefix)] = decoder.decode(value)
    return found
