"""Accounts and sessions in Valkey: the hot path over one pipelined connection, the rest through redis-py."""

from __future__ import annotations

from collections.abc import AsyncIterator
from importlib.resources import files
from typing import Any, cast

import redis.asyncio as redis
import structlog
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from balance.account import Account
from balance.levels import LEVEL_MARK
from balance.store import (
    BackendUnavailable,
    Due,
)
from balance.valkey import keys
from balance.valkey.codec import (
    decode_account,
    pack,
)
from balance.valkey.connection import Connection
from balance.valkey.directory import ValkeyDirectory
from balance.valkey.postings import Postings

log = structlog.get_logger()

FUNCTIONS = files("balance.valkey").joinpath("post.lua").read_bytes()


class PartitionsMismatchError(Exception):
    """The store was created with another number of partitions."""


class ValkeyStore:
    """The store's protocol on a Valkey (or Redis >= 7) server. Make it with ``open_store``."""

    def __init__(self, client: redis.Redis, connection: Connection, partitions: int) -> None:
        # redis-py types replies by a setting that the type does not know: bytes here, always.
        self.client: Any = client
        self.directory = ValkeyDirectory(client)
        self.partitions = partitions
        self._connection = connection
        postings = Postings(connection, partitions)
        self.load = postings.load
        self.post = postings.post
        self.resolve = postings.resolve
        self.locate = postings.locate

    @property
    def is_ready(self) -> bool:
        return self._connection.is_ready

    def _partition_of(self, account_id: str) -> int:
        return keys.partition_of(account_id, self.partitions)

    async def close(self) -> None:
        await self._connection.close()
        await self.client.aclose()

    async def probe(self) -> None:
        """Write something of no meaning: a server that only reads (no memory, no disk, a replica) raises RedisError."""
        await self.client.set(keys.PROBE_KEY, b"")

    async def open_sessions(self, account_id: str) -> list[bytes]:
        """The records of the account's open sessions; one that ends meanwhile may show its tombstone."""
        partition = self._partition_of(account_id)
        first, last = (b"[" + keys.holder_member(account_id, "").encode() + end for end in (b"", b"\xff"))
        members = await self.client.zrangebylex(keys.holders_key(partition), first, last)
        found: list[bytes] = []
        for start in range(0, len(members), 500):
            names = [
                keys.session_key(partition, member.decode().partition("\0")[2])
                for member in members[start : start + 500]
            ]
            found += [value for value in await self.client.mget(names) if value is not None]
        return found

    async def sessions_after(
        self, account_id: str, prefix: str, partition: int, member: str, limit: int
    ) -> list[tuple[int, str, bytes | None]]:
        """Up to ``limit`` open sessions in the order of partition, holder and name, those that come after a member.

        Of one account, or (``account_id`` empty) of all whose names begin with ``prefix``. Each with its partition, its member
        and its record (None: it has ended meanwhile).
        """
        last = self.partitions - 1
        if account_id:
            prefix = keys.holder_member(account_id, "")
            partition = last = self._partition_of(account_id)
        found: list[tuple[int, str, bytes | None]] = []
        end = b"[" + prefix.encode() + b"\xff"
        while partition <= last:
            begin = b"(" + member.encode() if member else b"[" + prefix.encode()
            members = await self.client.zrangebylex(
                keys.holders_key(partition), begin, end, start=0, num=limit - len(found)
            )
            names = [each.decode() for each in members]
            keys_there = [keys.session_key(partition, name.partition("\0")[2]) for name in names]
            values = await self.client.mget(keys_there) if keys_there else []
            found += zip([partition] * len(names), names, values, strict=True)
            if len(found) == limit:
                break
            partition, member = partition + 1, ""
        return found

    async def due(self, until_ms: int, limit: int) -> list[Due]:
        """The sessions whose deadline has come, with their records: at most ``limit`` of each partition, oldest first."""
        found: list[Due] = []
        for partition in range(self.partitions):
            index = keys.deadlines_key(partition)
            members = cast(
                "list[bytes]", await self.client.zrange(index, 0, until_ms, byscore=True, offset=0, num=limit)
            )
            if members:
                names = [member.decode() for member in members]
                values = await self.client.mget([keys.session_key(partition, name) for name in names])
                found += [Due(name, value, partition) for name, value in zip(names, values, strict=True)]
        return found

    async def file_deadline(self, due: Due, deadline_ms: int) -> None:
        """Move a session's deadline in the index (0 takes it out)."""
        index = keys.deadlines_key(due.partition)
        if deadline_ms:
            await self.client.zadd(index, {due.key: deadline_ms}, xx=True)
        else:
            await self.client.zrem(index, due.key)

    async def sessions_of(self, prefix: str) -> list[tuple[str, bytes]]:
        """All sessions whose key starts so; walks the open sessions' index, not the whole store."""
        found: list[tuple[str, bytes]] = []
        for partition in range(self.partitions):
            async for member, _ in self.client.zscan_iter(keys.deadlines_key(partition), match=_escaped(prefix) + "*"):
                value = await self.client.get(keys.session_key(partition, member.decode()))
                if value is not None:
                    found.append((member.decode(), value))
        return found

    async def pages_of(self, prefix: str, size: int) -> AsyncIterator[list[bytes]]:
        """The open sessions whose key starts so, some at a time; what opens or ends meanwhile may be left out."""
        for partition in range(self.partitions):
            names: list[str] = []
            async for member, _ in self.client.zscan_iter(keys.deadlines_key(partition), match=_escaped(prefix) + "*"):
                names.append(keys.session_key(partition, member.decode()))
                if len(names) == size:
                    yield [value for value in await self.client.mget(names) if value is not None]
                    names = []
            if names:
                yield [value for value in await self.client.mget(names) if value is not None]

    async def has_below(self, account_id: str) -> bool:
        """Whether there are accounts in levels below this one; walks over all keys."""
        partition = self._partition_of(account_id)
        pattern = _escaped(keys.account_key(partition, account_id)) + LEVEL_MARK + "*"
        async for _ in self.client.scan_iter(match=pattern, count=5000):
            return True
        return False

    async def accounts(self) -> AsyncIterator[Account]:
        """Every account, partition by partition, in no order; an account that is added meanwhile may be left out."""
        for partition in range(self.partitions):
            names: list[bytes] = []
            async for name in self.client.scan_iter(match=keys.account_key(partition, "*"), count=1000):
                names.append(name)
                if len(names) == 500:
                    for account in await self._accounts_of(names):
                        yield account
                    names = []
            for account in await self._accounts_of(names):
                yield account

    async def _accounts_of(self, names: list[bytes]) -> list[Account]:
        values = await self.client.mget(names) if names else []
        return [decode_account(value) for value in values if value is not None]


async def open_store(url: str, partitions: int) -> ValkeyStore:
    """Connect, load the server function and fix (or check) the number of partitions.

    Raises BackendUnavailable when Valkey cannot be reached within a few seconds, PartitionsMismatchError when the store
    was created with another number of partitions.
    """
    # A pooled connection may be of a server that was restarted since: once more, at once. All that we send may be repeated.
    client = redis.Redis.from_url(url, retry=Retry(NoBackoff(), 1))
    try:
        await client.set(keys.PARTITIONS_KEY, partitions, nx=True)
        there = int(await client.get(keys.PARTITIONS_KEY) or 0)
    except (redis.RedisError, OSError) as error:
        await client.aclose()
        raise BackendUnavailable(f"cannot reach Valkey at {url}: {error}") from error
    if there != partitions:
        await client.aclose()
        raise PartitionsMismatchError(
            f"this store was created with {there} partitions and the settings say {partitions}: "
            f"set backends.partitions = {there}"
        )
    load_functions = pack(("FUNCTION", "LOAD", "REPLACE", FUNCTIONS))
    connection = Connection(url, on_connect=(load_functions,))
    connection.start()
    return ValkeyStore(client, connection, partitions)


def _escaped(text: str) -> str:
    return "".join(f"\\{char}" if char in "*?[]\\^-" else char for char in text)
