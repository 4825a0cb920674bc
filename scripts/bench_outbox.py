"""Measures the flusher: entries with a rated record each, from a real Valkey into a real PostgreSQL, rows a second.

python scripts/bench_outbox.py [entries] [entries in a batch]
"""

from __future__ import annotations

import contextlib
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import asyncpg
import uvloop

from balance.account import Hold
from balance.valkey import keys
from ocs.billing.migrate import upgrade
from ocs.charging.cdr import Cdr, CdrGroup, JournalEntry, encode_entry
from ocs.embedded.folder import DataFolder
from ocs.embedded.postgres import EmbeddedPostgres
from ocs.embedded.valkey import EmbeddedValkey
from ocs.outbox.flusher import Flusher
from ocs.outbox.postgres import PostgresSink
from ocs.outbox.reader import OutboxReader, connect
from ocs.rating.price import Price
from ocs.rating.units import UnitKind

PARTITIONS = 16
NOW_MS = 1_800_000_000_000
PRICE = Price(UnitKind.SECONDS, 100_000_000, 60, 1, 300_000_000, 300_000_000, 60)


def entry(account: int, number: int) -> bytes:
    group = CdrGroup(10, (), UnitKind.SECONDS, 61, 405_000_000, "voice", "Germany", "49", "decks/retail.csv:7", PRICE)
    session_id = f"sbc1.example.net;1876543210;{account};{number}"
    cdr = Cdr(
        session_id,
        "gy",
        "sbc1.example.net",
        f"sub-{account}",
        "voice",
        f"49151{account:08d}",
        "4930123456",
        NOW_MS - 61_000,
        NOW_MS + number,
        405_000_000,
        "0123456789ab",
        (group,),
        "normal",
    )
    changes = (Hold(0, -405_000_000),)
    return encode_entry(
        JournalEntry(f"acc-{account:07d}", number, NOW_MS + number, "session", "EUR", changes, session_id, cdr=cdr)
    )


async def fill(client: Any, count: int) -> None:
    accounts = max(1, count // 10)
    for start in range(0, count, 5000):
        pipeline = client.pipeline(transaction=False)
        for place in range(start, min(start + 5000, count)):
            account, number = place % accounts, place // accounts + 1
            partition = keys.partition_of(f"acc-{account:07d}", PARTITIONS)
            pipeline.xadd(keys.outbox_key(partition), {"e": entry(account, number)})
        await pipeline.execute()


async def measure(valkey_url: str, dsn: str, count: int, batch_max: int) -> None:
    client: Any = connect(valkey_url)
    await client.set(keys.PARTITIONS_KEY, PARTITIONS)
    await fill(client, count)
    sink = PostgresSink(dsn)
    reader = OutboxReader(connect(valkey_url), sink.name, "bench")
    flusher = Flusher(reader, sink, batch_max=batch_max, idle_s=0.2)
    cpu_before, before = _cpu_s(), time.perf_counter()
    flushed = await flusher.flush_all()
    elapsed_s, cpu_s = time.perf_counter() - before, _cpu_s() - cpu_before
    assert flushed == count, f"{flushed} of {count} arrived"
    connection = await asyncpg.connect(dsn)
    size = await connection.fetchval("SELECT pg_total_relation_size('journal') + pg_total_relation_size('cdr')")
    await connection.close()
    print(f"{count} entries in {elapsed_s:.2f} s: {count / elapsed_s:,.0f} entries/s (a journal row and a CDR each)")
    print(f"flusher: {cpu_s / count * 1e6:.1f} us CPU an entry; PostgreSQL: {size / count:.0f} octets an entry")
    await sink.close()
    await reader.close()
    await client.aclose()


def _cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 200_000
    batch_max = int(sys.argv[2]) if len(sys.argv) > 2 else 2000
    with tempfile.TemporaryDirectory() as temporary:
        Path(temporary).chmod(0o755)  # PostgreSQL runs as a user of its own when we are root
        folder = DataFolder(Path(temporary) / "data")
        with folder.locked():
            valkey, postgres = EmbeddedValkey(folder), EmbeddedPostgres(folder)
            with contextlib.ExitStack() as stack:
                valkey_child = valkey.start()
                stack.callback(valkey.stop, valkey_child)
                postgres_child = postgres.start()
                stack.callback(postgres.stop, postgres_child)
                upgrade(postgres.dsn)
                uvloop.run(measure(valkey.url, postgres.dsn, count, batch_max))


if __name__ == "__main__":
    main()
