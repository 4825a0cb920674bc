"""Reads what stands in PostgreSQL and Valkey after the storm, for ``kill_proof``."""

from __future__ import annotations

import asyncio
import time
from typing import Any, Final

import asyncpg
import redis.asyncio as redis
from bench_world import PARTITIONS, BenchError
from kill_proof import Books, Record, Standing

from balance.valkey import keys
from balance.valkey.codec import decode_account
from ocs.outbox.reader import dead_key

FLUSH_LIMIT_S: Final = 120.0

RECORDS: Final = """
    SELECT c.session_id, c.account_id, j.kind,
           (SELECT coalesce(sum((g ->> 'used')::bigint), 0)::bigint FROM jsonb_array_elements(c.groups) g), c.cost, c.flags
    FROM cdr c JOIN journal j USING (account_id, entry_number)
"""
ENTRIES: Final = "SELECT account_id, entry_number, kind, amount, reference FROM journal"


async def wait_until_flushed(valkey_url: str) -> None:
    """Until the outbox is empty."""
    client: Any = redis.Redis.from_url(valkey_url)
    deadline_s = time.monotonic() + FLUSH_LIMIT_S
    try:
        while backlog := sum([await client.xlen(keys.outbox_key(partition)) for partition in range(PARTITIONS)]):
            if time.monotonic() > deadline_s:
                raise BenchError(f"{backlog} entries are still not flushed after {FLUSH_LIMIT_S:.0f} s")
            await asyncio.sleep(0.1)
    finally:
        await client.aclose()


async def read_books(valkey_url: str, postgres_dsn: str, accounts: list[str]) -> Books:
    """All of it; the load is over, so it stands still."""
    connection: Any = await asyncpg.connect(postgres_dsn)
    client: Any = redis.Redis.from_url(valkey_url)
    try:
        entries = [tuple(row) for row in await connection.fetch(ENTRIES)]
        records = [Record(*row) for row in await connection.fetch(RECORDS)]
        standings = {name: await _standing(client, name) for name in accounts}
        buried = sum([await client.xlen(dead_key(partition)) for partition in range(PARTITIONS)])
        return Books(records, entries, standings, await _open_sessions(client), buried)
    finally:
        await client.aclose()
        await connection.close()


async def _standing(client: Any, name: str) -> Standing:
    account = decode_account(await client.get(keys.account_key(keys.partition_of(name, PARTITIONS), name)))
    balance = sum(bucket.balance for bucket in account.buckets)
    reserved = sum(bucket.reserved for bucket in account.buckets)
    return Standing(balance, reserved, account.credit_limit, account.entry_number)


async def _open_sessions(client: Any) -> set[str]:
    """Names without the protocol in front."""
    found: set[str] = set()
    for partition in range(PARTITIONS):
        members = await client.zrange(keys.deadlines_key(partition), 0, -1)
        found |= {member.decode().partition(":")[2] for member in members}
    return found
