"""What each daemon knows of its RADIUS clients, left in Valkey for `ocs clients`: figures of now, gone with the daemon."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any, Final

import msgspec
import structlog
from redis.exceptions import RedisError

from ocs.net.radius_clients import Client

log = structlog.get_logger()

KEY_PREFIX: Final = "ocs:radius:clients:"
EVERY_S: Final = 5.0
KEEP_S: Final = 30


class ClientReport(msgspec.Struct, frozen=True):
    """One client's figures since the daemon's start. ``requirement`` is what "auto" has become [R-21] [R-26]."""

    name: str
    requirement: str
    requests: int
    insecure: int
    discarded: dict[str, int]
    asked: dict[str, int]
    connections: int


_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[list[ClientReport]] = msgspec.msgpack.Decoder(list[ClientReport])


def report_of(client: Client, connections: int) -> ClientReport:
    peer = client.peer
    return ClientReport(
        client.name, peer.requirement, client.requests, peer.insecure, client.discarded, client.asked, connections
    )  # fmt: skip


class ClientReports:
    """``run`` beside the server; ``redis`` is a redis-py client."""

    def __init__(self, redis: Any, process: str, reports: Callable[[], Iterable[ClientReport]]) -> None:
        self._redis = redis
        self._key = KEY_PREFIX + process
        self._reports = reports

    async def run(self) -> None:
        """Until cancelled. A store that is away is tried again: nobody waits for this."""
        while True:
            try:
                await self.publish()
            except (RedisError, OSError) as error:
                log.debug("radius_report_waits", reason=str(error))
            await asyncio.sleep(EVERY_S)

    async def publish(self) -> None:
        await self._redis.set(self._key, _encoder.encode(list(self._reports())), ex=KEEP_S)


async def read_reports(redis: Any) -> dict[str, list[ClientReport]]:
    """What each daemon that runs has left, by its name."""
    found = {}
    async for key in redis.scan_iter(match=f"{KEY_PREFIX}*", count=500):
        value = await redis.get(key)
        if value is not None:
            found[key.decode().removeprefix(KEY_PREFIX)] = _decoder.decode(value)
    return found
