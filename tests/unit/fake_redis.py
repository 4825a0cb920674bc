"""The few commands of Valkey that the API uses, in memory."""

from __future__ import annotations

from redis.exceptions import ConnectionError as RedisConnectionError


class FakeRedis:
    """The few commands that the API uses."""

    def __init__(self) -> None:
        self.values: dict[str, bytes] = {}
        self.sets: dict[str, set[bytes]] = {}
        self.is_away = False
        self.reads = 0

    def _touch(self) -> None:
        if self.is_away:
            raise RedisConnectionError("connection refused")

    async def get(self, key: str) -> bytes | None:
        self._touch()
        self.reads += 1
        return self.values.get(key)

    async def set(self, key: str, value: bytes) -> bool:
        self._touch()
        self.values[key] = value
        return True

    async def sadd(self, key: str, member: str) -> int:
        self._touch()
        self.sets.setdefault(key, set()).add(member.encode())
        return 1

    async def scard(self, key: str) -> int:
        self._touch()
        return len(self.sets.get(key, ()))

    async def smembers(self, key: str) -> frozenset[bytes]:
        self._touch()
        return frozenset(self.sets.get(key, ()))

    async def ping(self) -> bool:
        self._touch()
        return True
