"""What a search among many records takes: a real PostgreSQL with the months of a year, asked as `ocs cdr search` asks.

    python scripts/bench_records.py [--records 5000000] [--folder DIR] [--cold]

The records are made in the database: 100,000 accounts, as many called numbers as records, 1,000 names of destinations.
Each question is asked for another account, number or session every time, so that no page is warm by the one before; with
--cold the machine lets go of all files of the database before each kind. One
that takes longer than --seconds is given up and told, and its kind is not asked any more: exit status 1.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import asyncpg
from bench_books import indexed_afterwards, postgres

from ocs.billing.cdrs import find_cdrs
from ocs.billing.months import keep_months, parts_of
from ocs.billing.search import PLANNED_ONCE, CdrQuery

ACCOUNTS: Final = 100_000
YEAR_MS: Final = 365 * 86_400_000
BEGIN_MS: Final = int(datetime(2026, 1, 1, tzinfo=UTC).timestamp()) * 1000
CHUNK: Final = 500_000
ASKED: Final = 200
MAKE: Final = """
    INSERT INTO cdr (account_id, entry_number, session_id, protocol, peer, subscriber, service, origin, destination,
        started_at, ended_at, cost, currency, rate_version, flags, cause, groups)
    SELECT 'c' || n % $4, n, 'sip-' || n || '@sbc.example.net', 'gy', 'sbc.example.net', 'c' || n % $4, 'voice',
        '4420' || n % $4, '49' || n * 7919::bigint, timestamptz '2026-01-01 UTC' + n * $3::interval,
        timestamptz '2026-01-01 UTC' + n * $3::interval + interval '1 minute', 12345678, 'EUR', '3f0c7a52d8e1', 0, '',
        jsonb_build_array(jsonb_build_object('rating_group', -1, 'unit_kind', 1, 'used', 61, 'cost', 12345678,
            'tariff', 'Calls', 'destination', 'Destination ' || n % 1000, 'prefix', '4915', 'source',
            'decks/retail-voice-eur.csv:17', 'price', '1 0 1 1 12000000 12000000 60 0 1 1'))
    FROM generate_series($1::bigint, $2::bigint) AS n
"""


def questions(records: int) -> dict[str, Callable[[random.Random], CdrQuery]]:
    """One of each kind, about a record that is there."""
    week_ms = 7 * 86_400_000

    def span(chance: random.Random) -> tuple[int, int]:
        since_ms = BEGIN_MS + chance.randrange(YEAR_MS - week_ms)
        return since_ms, since_ms + week_ms

    def in_week(chance: random.Random, **words: str) -> CdrQuery:
        since_ms, until_ms = span(chance)
        return CdrQuery(since_ms=since_ms, until_ms=until_ms, **words)

    return {
        "account": lambda chance: CdrQuery(account_id=f"c{chance.randrange(ACCOUNTS)}"),
        "account, one week": lambda chance: in_week(chance, account_id=f"c{chance.randrange(ACCOUNTS)}"),
        "number": lambda chance: CdrQuery(number=f"49{chance.randrange(1, records) * 7919}"),
        "caller's number": lambda chance: CdrQuery(number=f"4420{chance.randrange(ACCOUNTS)}"),
        "number that begins so": lambda chance: CdrQuery(number=f"49{chance.randrange(10_000, 99_999)}*"),
        "all numbers of a country, one week": lambda chance: in_week(chance, number="49*"),
        "destination": lambda chance: CdrQuery(destination=f"Destination {chance.randrange(1000)}"),
        "destination, one week": lambda chance: in_week(chance, destination=f"Destination {chance.randrange(1000)}"),
        "session": lambda chance: CdrQuery(session_id=f"sip-{chance.randrange(1, records)}@sbc.example.net"),
        "time": in_week,
    }


async def make(connection: Any, records: int) -> None:
    begin_s = time.perf_counter()
    for day in range(0, 365, 28):
        await keep_months(connection, BEGIN_MS + day * 86_400_000)
    statement = MAKE.replace("$3::interval", f"interval '{YEAR_MS // records} milliseconds'").replace("$4", "$3")
    async with indexed_afterwards(connection, "cdr"):
        for first in range(1, records + 1, CHUNK):
            await connection.execute(statement, first, min(first + CHUNK - 1, records), ACCOUNTS)
        print(f"  {time.perf_counter() - begin_s:5.0f} s  rows", flush=True)
    print(f"made in {time.perf_counter() - begin_s:.0f} s")


async def measure(dsn: str, records: int, seconds: float, cold: Path | None = None) -> bool:
    """Whether every question was answered in time."""
    connection = await asyncpg.connect(dsn, server_settings=PLANNED_ONCE)
    if not await connection.fetchval("SELECT EXISTS (SELECT FROM cdr)"):
        await make(connection, records)
    parts = await parts_of(connection)
    print(
        f"{records:,} records in {len(parts)} parts: {sum(part.octets for part in parts) / 1e9:.1f} GB with indexes; the "
        f"machine's load is {os.getloadavg()[0]:.1f}",
        flush=True,
    )
    chance = random.Random(1)
    late = 0
    for name, question in questions(records).items():
        if cold is not None:
            await let_go(connection, cold)
        try:
            times = sorted([await _asked(connection, question(chance), seconds) for _ in range(ASKED)])
        except TimeoutError as error:
            late += 1
            print(f"  {name:36} gave up: {error}", flush=True)
            continue
        print(
            f"  {name:36} {times[ASKED // 2]:7.2f} ms at the median, {times[ASKED * 99 // 100]:7.2f} ms at 99 %",
            flush=True,
        )
    await connection.close()
    return not late


async def let_go(connection: Any, folder: Path) -> None:
    """Have no page of the database in the memory of the machine; PostgreSQL's own 128 MB are filled with other pages."""
    await connection.execute("CHECKPOINT")
    await connection.fetchval("SELECT count(flags) FROM cdr WHERE started_at < '2026-01-04'")
    await asyncio.to_thread(_forget_files, folder)


def _forget_files(folder: Path) -> None:
    for path in folder.rglob("*"):
        if path.is_file():
            handle = os.open(path, os.O_RDONLY)
            os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(handle)


async def _asked(connection: Any, query: CdrQuery, seconds: float) -> float:
    """Milliseconds. Raises TimeoutError with the question, which PostgreSQL is told to end."""
    begin_s = time.perf_counter()
    try:
        async with asyncio.timeout(seconds):
            await find_cdrs(connection, query, limit=100)
    except TimeoutError:
        raise TimeoutError(f"no answer in {seconds:g} s to {query}; see its plan with EXPLAIN") from None
    return (time.perf_counter() - begin_s) * 1e3


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=5_000_000)
    parser.add_argument("--folder", type=Path, help="keep the records here for the next measure")
    parser.add_argument("--seconds", type=float, default=30, help="that a question may take")
    parser.add_argument(
        "--cold", action="store_true", help="have every kind of question read from the disk (needs --folder)"
    )
    options = parser.parse_args()
    if options.cold and options.folder is None:
        parser.error("--cold needs a --folder")
    with postgres(options.folder) as dsn:
        cold = options.folder / "data" / "postgres" / "base" if options.cold else None
        return 0 if asyncio.run(measure(dsn, options.records, options.seconds, cold)) else 1


if __name__ == "__main__":
    sys.exit(main())
