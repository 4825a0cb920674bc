"""Brings the schema up to date: one transaction, one process at a time, safe to call at every start."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import asyncpg
from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from balance.store import BackendUnavailable
from ocs.billing.failures import FAILURES

CONNECT_S_MAX: Final = 10
LOCK_KEY: Final = 0x0C5_5C4E
"""Our advisory lock's name: two processes that start together must not both make the tables."""


NOT_ALLOWED: Final = "42"
"""SQLSTATE's class "syntax error or access rule violation"; in steps that a test has run it can only be the latter."""


class SchemaRefusedError(Exception):
    """Trying again is no use before somebody grants something."""


def upgrade(dsn: str) -> None:
    """Run all steps that are missing.

    Raises BackendUnavailable when PostgreSQL cannot be reached or is lost on the way, SchemaRefusedError when this user
    may not do it there.

    May be called with or without a running event loop: the work has a thread of its own.
    """
    with ThreadPoolExecutor(max_workers=1) as worker:
        worker.submit(lambda: asyncio.run(_upgrade(dsn))).result()


async def _upgrade(dsn: str) -> None:
    async def connect() -> Any:
        # asyncpg reads the DSN itself: sockets, passwords and TLS then mean the same here as in the flusher.
        return await asyncpg.connect(dsn, timeout=CONNECT_S_MAX)

    engine = create_async_engine("postgresql+asyncpg://", async_creator=connect, poolclass=NullPool)
    try:
        async with engine.begin() as connection:
            await connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": LOCK_KEY})
            await connection.run_sync(_run_steps)
    except (*FAILURES, DBAPIError) as error:
        cause = error.orig if isinstance(error, DBAPIError) else error
        if str(getattr(cause, "sqlstate", None)).startswith(NOT_ALLOWED):
            raise SchemaRefusedError(f"PostgreSQL does not let this user make the schema: {cause}") from error
        raise BackendUnavailable(f"cannot reach PostgreSQL: {cause or type(cause).__name__}") from error
    finally:
        await engine.dispose()


def _run_steps(connection: Connection) -> None:
    config = Config()
    folder = Path(__file__).parent / "migrations"
    config.set_main_option("script_location", str(folder).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
