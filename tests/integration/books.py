"""The books in PostgreSQL, as tests bring them up to date."""

from __future__ import annotations

from ocs.outbox.flusher import Flusher
from ocs.outbox.postgres import PostgresSink
from ocs.outbox.reader import OutboxReader, connect


async def flush_all(valkey_url: str, dsn: str) -> None:
    """Carry all that waits in the outbox to PostgreSQL."""
    sink, reader = PostgresSink(dsn), OutboxReader(connect(valkey_url), "postgres", "test")
    try:
        await reader.open()
        await Flusher(reader, sink, batch_max=100, idle_s=0.01).flush_all()
    finally:
        await sink.close()
        await reader.close()
