"""The ports on PostgreSQL: a small pool that connects when asked, so that the daemon starts without it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

import asyncpg
from redis.exceptions import RedisError

from balance.store import BackendUnavailable
from ocs.billing import balances, cdrs, trail
from ocs.billing.balances import Invoiced
from ocs.billing.cdrs import CdrRow, JournalRow, Page
from ocs.billing.failures import FAILURES, unavailable
from ocs.billing.search import AS_ASKED, FAR_FUTURE_MS, CdrQuery
from ocs.billing.trail import FIELD, STREAM_KEY, TrailEntry, encode_trail
from ocs.charging.account_events import AccountEvent
from ocs.delivery import contacts, queue, routing
from ocs.delivery.contacts import Contact, ContactChanged
from ocs.delivery.queue import Message

CONNECTIONS_MAX: Final = 4
CONNECT_TIMEOUT_S: Final = 3
QUERY_TIMEOUT_S: Final = 10


class PostgresHistory:
    """Use ``open`` to build it, in the loop it will serve."""

    def __init__(self, pool: Any) -> None:
        self.pool = pool

    @classmethod
    async def open(cls, dsn: str) -> PostgresHistory:
        """No connection is made yet."""
        pool = await asyncpg.create_pool(
            dsn,
            min_size=0,
            max_size=CONNECTIONS_MAX,
            timeout=CONNECT_TIMEOUT_S,
            command_timeout=QUERY_TIMEOUT_S,
            server_settings=AS_ASKED,
        )
        return cls(pool)

    async def close(self) -> None:
        await self.pool.close()

    async def find_cdrs(self, query: CdrQuery, cursor: str, limit: int) -> Page[CdrRow]:
        return await cdrs.find_cdrs(self.pool, query, cursor, limit)

    async def list_journal(
        self,
        account_id: str,
        cursor: str,
        limit: int,
        *,
        kind: str = "",
        reference: str = "",
        since_ms: int = 0,
        until_ms: int = FAR_FUTURE_MS,
    ) -> Page[JournalRow]:
        return await cdrs.list_journal(
            self.pool, account_id, cursor, limit, kind=kind, reference=reference, since_ms=since_ms, until_ms=until_ms
        )

    async def account_ids(
        self, after: str, limit: int, *, tenant: str = "", since_ms: int = 0, until_ms: int = FAR_FUTURE_MS
    ) -> list[str]:
        span = {"since_ms": since_ms, "until_ms": until_ms}
        return await cdrs.account_ids(self.pool, after, limit, tenant=tenant, **span)

    async def find_cdr(self, account_id: str, entry_number: int) -> tuple[CdrRow, JournalRow] | None:
        return await cdrs.find_cdr(self.pool, account_id, entry_number)

    async def find_entry(self, account_id: str, entry_number: int) -> JournalRow | None:
        return await cdrs.find_entry(self.pool, account_id, entry_number)

    async def invoiced(self, account_id: str) -> Invoiced | None:
        return await balances.invoiced(self.pool, account_id)

    async def find_reference(self, account_id: str, reference: str) -> JournalRow | None:
        return await cdrs.find_reference(self.pool, account_id, reference)


class PostgresDeliveries:
    """Events, contacts and messages, on the same pool."""

    def __init__(self, pool: Any, clock: Callable[[], int]) -> None:
        self._pool = pool
        self._clock = clock

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[Any]:
        try:
            async with self._pool.acquire() as connection:
                yield connection
        except FAILURES as error:
            raise unavailable(error) from error

    async def contact(self, account_id: str) -> Contact | None:
        async with self._connected() as connection:
            return await contacts.find_contact(connection, account_id)

    async def put_contact(self, contact: Contact, expects: frozenset[str], key: str) -> ContactChanged:
        async with self._connected() as connection:
            return await contacts.change_contact(connection, contact, expects, key, self._clock())

    async def events(
        self,
        account_id: str,
        types: Sequence[str],
        before: tuple[int, str, int],
        limit: int,
        tenant: str = "",
        since_ms: int = 0,
    ) -> list[AccountEvent]:
        async with self._connected() as connection:
            return await routing.list_events(
                connection, account_id=account_id, types=types, before=before, limit=limit, tenant=tenant,
                since_ms=since_ms,
            )  # fmt: skip

    async def messages(
        self, state: str, account_id: str, before: tuple[int, str], limit: int, tenant: str = "", since_ms: int = 0
    ) -> list[Message]:
        async with self._connected() as connection:
            return await queue.list_messages(
                connection, state=state, account_id=account_id, before=before, limit=limit, tenant=tenant,
                since_ms=since_ms,
            )  # fmt: skip

    async def replay(self, message_ids: Sequence[str], tenant: str = "") -> list[str]:
        async with self._connected() as connection:
            return await queue.replay(connection, message_ids, self._clock(), tenant)


class ApiTrail:
    """The audit log: into Valkey at once, out of PostgreSQL a moment later."""

    def __init__(self, redis: Any, pool: Any) -> None:
        self._redis = redis
        self._pool = pool

    async def note(self, entry: TrailEntry) -> None:
        try:
            await self._redis.xadd(STREAM_KEY, {FIELD: encode_trail(entry)})
        except (RedisError, OSError) as error:
            raise BackendUnavailable(f"Valkey: {error}") from error

    async def list_trail(
        self, *, target: str, actor: str, tenant: str, before: tuple[int, str], limit: int
    ) -> list[TrailEntry]:
        return await trail.list_trail(self._pool, target=target, actor=actor, tenant=tenant, before=before, limit=limit)
