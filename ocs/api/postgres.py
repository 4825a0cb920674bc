"""The history port on PostgreSQL: a small pool that connects when asked, so that the daemon starts without it."""

from __future__ import annotations

from typing import Any, Final

import asyncpg

from ocs.billing import cdrs
from ocs.billing.cdrs import CdrRow, JournalRow, Page
from ocs.billing.search import AS_ASKED, CdrQuery

CONNECTIONS_MAX: Final = 4
CONNECT_TIMEOUT_S: Final = 3
QUERY_TIMEOUT_S: Final = 10


class PostgresHistory:
    """Use ``open`` to build it, in the loop it will serve."""

    def __init__(self, pool: Any) -> None:
        self._pool = pool

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
        await self._pool.close()

    async def find_cdrs(self, query: CdrQuery, cursor: str, limit: int) -> Page[CdrRow]:
        return await cdrs.find_cdrs(self._pool, query, cursor, limit)

    async def list_journal(self, account_id: str, cursor: str, limit: int) -> Page[JournalRow]:
        return await cdrs.list_journal(self._pool, account_id, cursor, limit)

    async def find_cdr(self, account_id: str, entry_number: int) -> tuple[CdrRow, JournalRow] | None:
        return await cdrs.find_cdr(self._pool, account_id, entry_number)
