"""What a search among many records takes: a real PostgreSQL with the months of a year, asked as `ocs cdr search` asks.

    python scripts/bench_records.py [--records 5000000]

The records are made in the database: 100,000 accounts, as many called numbers as records, 1,000 names of destinations.
Each question is asked for another account, number or session every time, so that no page is warm by the one before.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import asyncpg

from ocs.billing.cdrs import find_cdrs
from ocs.billing.migrate import upgrade
from ocs.billing.months import keep_months, parts_of
from ocs.billing.search import AS_ASKED, CdrQuery
from ocs.embedded.folder import DataFolder
from ocs.embedded.postgres import EmbeddedPostgres

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
        jsonb_build_array(jsonb_build_object('rating_group', -1, 'service_ids', '[]'::jsonb, 'unit_kind', 1, 'used', 61,
            'cost', 12345678, 'tariff', 'Calls', 'destination', 'Destination ' || n % 1000, 'prefix', '4915', 'source',
            'decks/retail-voice-eur.csv:17', 'price', jsonb_build_object('kind', 1, 'setup', 0, 'initial', 1, 'next', 1,
            'initial_rate', 12000000, 'next_rate', 12000000, 'per', 60, 'minimum', 0, 'quantum', 1, 'terms', 1)))
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


async def measure(dsn: str, records: int) -> None:
    connection = await asyncpg.connect(dsn, server_settings=AS_ASKED)
    await connection.execute("SET synchronous_commit = off")
    for day in range(0, 365, 28):
        await keep_months(connection, BEGIN_MS + day * 86_400_000)
    begin_s = time.perf_counter()
    step = f"{YEAR_MS // records} milliseconds"
    for first in range(1, records + 1, CHUNK):
        await connection.execute(
            MAKE.replace("$3::interval", f"interval '{step}'").replace("$4", "$3"),
            first,
            min(first + CHUNK - 1, records),
            ACCOUNTS,
        )
    made_s = time.perf_counter() - begin_s
    await connection.execute("VACUUM ANALYZE cdr")
    octets = sum(part.octets for part in await parts_of(connection))
    print(
        f"{records:,} records in {len(await parts_of(connection))} parts: {octets / 1e9:.1f} GB with indexes, made in "
        f"{made_s:.0f} s"
    )
    chance = random.Random(1)
    for name, make in questions(records).items():
        times = [await _asked(connection, make(chance)) for _ in range(ASKED)]
        times.sort()
        print(f"  {name:36} {times[ASKED // 2]:7.2f} ms at the median, {times[ASKED * 99 // 100]:7.2f} ms at 99 %")
    await connection.close()


async def _asked(connection: Any, query: CdrQuery) -> float:
    begin_s = time.perf_counter()
    await find_cdrs(connection, query, limit=100)
    return (time.perf_counter() - begin_s) * 1e3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=5_000_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = DataFolder(Path(name) / "data")
        with folder.locked():
            server = EmbeddedPostgres(folder)
            child = server.start()
            try:
                upgrade(server.dsn)
                asyncio.run(measure(server.dsn, options.records))
            finally:
                server.stop(child)


if __name__ == "__main__":
    main()
