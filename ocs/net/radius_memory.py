"""What the processes that serve RADIUS tell one another about who asks: wrong passwords, used nonces, who signs.

In Valkey, with an end to each of it; asked where a password was wrong or a nonce of ours was used, and never for a
record of accounting. So guesses are bounded for all processes together, and a restart forgives nobody (ADR 44).
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from typing import Any, Final

import structlog
from redis.exceptions import RedisError

from ocs.gateways.radius_credentials import NONCE_KEEP_MS
from ocs.net.radius_clients import Client

log = structlog.get_logger()

WRONG_KEY: Final = "ocs:radius:wrong:"
NONCES_KEY: Final = "ocs:radius:nonces:"
SIGNED_KEY: Final = "ocs:radius:signed:"
SIGNED_KEEP_S: Final = 86_400  # so that a client that was signed for by mistake is not shut out for ever
EVERY_S: Final = 5.0


class RadiusMemory:
    """``redis`` is a redis-py client; its errors are the caller's, except in ``run``."""

    def __init__(self, redis: Any, lockout_ms: int) -> None:
        self._redis = redis
        self._lockout_ms = lockout_ms
        self._heard_of: set[str] = set()

    async def wrong(self, who: tuple[str, str]) -> int:
        """One more wrong password from that line; how many it has given lately, to all processes."""
        key = _key_of(who)
        async with self._redis.pipeline(transaction=False) as pipeline:
            pipeline.incr(key)
            pipeline.pexpire(key, self._lockout_ms)
            count, _ = await pipeline.execute()
        return int(count)

    async def right(self, who: tuple[str, str]) -> None:
        await self._redis.delete(_key_of(who))

    async def is_heard_before(self, nonce: str, issued_ms: int, count: int) -> bool:
        """Whether a later use of that nonce of ours is known; an equal one is the client's own repeat [R-82]."""
        key = f"{NONCES_KEY}{issued_ms // NONCE_KEEP_MS}"
        async with self._redis.pipeline(transaction=False) as pipeline:
            pipeline.zadd(key, {nonce: count}, gt=True)
            pipeline.zscore(key, nonce)
            pipeline.pexpire(key, 3 * NONCE_KEEP_MS)
            _, highest, _ = await pipeline.execute()
        return int(highest) > count

    async def run(self, clients: Sequence[Client]) -> None:
        """Until cancelled: a client that signs here has to sign everywhere, and after a restart [R-21]."""
        automatic = [client for client in clients if client.profile.client.require_message_authenticator == "auto"]
        while automatic:
            try:
                await self.exchange(automatic)
            except (RedisError, OSError) as error:
                log.debug("radius_memory_waits", reason=str(error))
            await asyncio.sleep(EVERY_S)

    async def exchange(self, automatic: Sequence[Client]) -> None:
        """Say who has signed here, as long as we live, and hear of who has elsewhere."""
        found = await self._redis.mget([SIGNED_KEY + client.name for client in automatic])
        for client, known in zip(automatic, found, strict=True):
            if client.peer.requirement == "yes" and client.name not in self._heard_of:
                await self._redis.set(SIGNED_KEY + client.name, 1, ex=SIGNED_KEEP_S)
            elif known is not None:
                self._heard_of.add(client.name)
                client.peer.requirement = "yes"


def _key_of(who: tuple[str, str]) -> str:
    """Numbers of subscribers do not stand in keys."""
    return WRONG_KEY + hashlib.sha256("\0".join(who).encode("utf-8", "surrogatepass")).hexdigest()[:32]
