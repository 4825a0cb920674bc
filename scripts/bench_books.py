"""A PostgreSQL of our own with many rows, for the measures of the books: made in the database, indexed afterwards."""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, Final

from ocs.billing.migrate import upgrade
from ocs.embedded.folder import DataFolder
from ocs.embedded.postgres import EmbeddedPostgres
from ocs.embedded.valkey import EmbeddedValkey

# Secondary indexes and keys of a table, as they are made; an index of a key goes with its constraint.
KEYS: Final = """
    SELECT conname AS name, pg_get_constraintdef(oid) AS definition FROM pg_constraint
    WHERE conrelid = $1::regclass AND contype = 'p'
"""
INDEXES: Final = """
    SELECT c.relname AS name, pg_get_indexdef(i.indexrelid) AS definition FROM pg_index i
    JOIN pg_class c ON c.oid = i.indexrelid WHERE i.indrelid = $1::regclass AND NOT i.indisprimary
"""


@contextlib.contextmanager
def postgres(kept: Path | None) -> Iterator[str]:
    """The DSN of an embedded PostgreSQL with our tables: in a temporary folder, or in one that is kept."""
    with contextlib.ExitStack() as stack:
        path = kept or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        folder = DataFolder(path / "data")
        stack.enter_context(folder.locked())
        server = EmbeddedPostgres(folder)
        stack.callback(server.stop, server.start())
        upgrade(server.dsn)
        yield server.dsn


@contextlib.contextmanager
def valkey() -> Iterator[str]:
    """The URL of an embedded Valkey in a temporary folder, as durable as in life."""
    with contextlib.ExitStack() as stack:
        folder = DataFolder(Path(stack.enter_context(tempfile.TemporaryDirectory())) / "data")
        stack.enter_context(folder.locked())
        server = EmbeddedValkey(folder)
        stack.callback(server.stop, server.start())
        yield server.url


@contextlib.asynccontextmanager
async def indexed_afterwards(connection: Any, *tables: str) -> AsyncIterator[None]:
    """Without keys and indexes of the tables, which are made when all rows are there: many times faster."""
    again = []
    for table in tables:
        for index in await connection.fetch(INDEXES, table):
            again.append(index["definition"].replace(" ON ONLY ", " ON "))
            await connection.execute(f"DROP INDEX {index['name']}")
        for key in await connection.fetch(KEYS, table):
            again.append(f"ALTER TABLE {table} ADD CONSTRAINT {key['name']} {key['definition']}")
            await connection.execute(f"ALTER TABLE {table} DROP CONSTRAINT {key['name']}")
    await connection.execute("SET synchronous_commit = off")
    await connection.execute("SET maintenance_work_mem = '1GB'")
    yield
    for statement in again:
        begin_s = time.perf_counter()
        await connection.execute(statement)
        print(f"  {time.perf_counter() - begin_s:5.0f} s  {statement[:100]}", flush=True)
    for table in tables:
        await connection.execute(f"VACUUM ANALYZE {table}")
