"""How long a bill run takes: customers with records in a real PostgreSQL, drafted, and drafted again (nothing to do).

    python scripts/bench_bills.py [--customers 2000] [--records 100]

The records are made in the database, over four destinations; the run is the one of ``ocs bill run``.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from datetime import date
from pathlib import Path
from typing import Final

import asyncpg

from balance.money import Currency
from ocs.billing.invoices.issuers import Issuers, load_issuers
from ocs.billing.invoices.run import run
from ocs.billing.migrate import upgrade
from ocs.billing.months import keep_months
from ocs.embedded.folder import DataFolder
from ocs.embedded.postgres import EmbeddedPostgres

ROOT: Final = Path(__file__).parents[1]
EUR: Final = Currency("EUR", 978, 9, 2)
UNTIL: Final = date(2026, 10, 1)
SEPTEMBER_MS: Final = 1_788_220_800_000

CUSTOMERS: Final = """
    INSERT INTO customer (customer_id, legal_entity, name, address, country, tax_status, tax_id, currency, language,
        time_zone, cycle_day, terms_days, email, since, minimum_minor)
    SELECT 'c' || n, 'example', 'Customer ' || n, '["Street 1"]', 'DE', 'standard', '', 'EUR', 'de', 'Europe/Berlin', 1,
        14, '', '2026-09-01', 0 FROM generate_series(1, $1::int) AS n
"""
ACCOUNTS: Final = """
    INSERT INTO customer_account SELECT 'c' || n, 'c' || n, 0 FROM generate_series(1, $1::int) AS n
"""
JOURNAL: Final = """
    INSERT INTO journal (account_id, entry_number, at, kind, currency, amount, bucket_ids, bucket_amounts, reference,
        actor, reason, stream_id)
    SELECT 'c' || n, e, timestamptz '2026-09-01' + e * interval '5 hours', 'session', 'EUR', -12345678, '{0}',
        '{-12345678}', '', '', '', '' FROM generate_series($1::int, $2::int) AS n, generate_series(1, $3::int) AS e
"""
CDRS: Final = """
    INSERT INTO cdr (account_id, entry_number, session_id, protocol, peer, subscriber, service, origin, destination,
        started_at, ended_at, cost, currency, rate_version, flags, cause, groups)
    SELECT 'c' || n, e, 'sip-' || n || '-' || e || '@sbc.example.net', 'gy', 'sbc.example.net', 'c' || n, 'voice', '',
        '4915' || n || e, timestamptz '2026-09-01' + e * interval '5 hours',
        timestamptz '2026-09-01' + e * interval '5 hours', 12345678, 'EUR', '3f0c7a52d8e1', 0, '',
        jsonb_build_array(jsonb_build_object('rating_group', -1, 'service_ids', '[]'::jsonb, 'unit_kind', 1, 'used', 61,
            'cost', 12345678, 'tariff', 'Calls', 'destination', 'Germany, part ' || (e % 4), 'prefix', '4915', 'source',
            'decks/retail-voice-eur.csv:17', 'price', jsonb_build_object('kind', 1, 'setup', 0, 'initial', 1, 'next', 1,
            'initial_rate', 12000000, 'next_rate', 12000000, 'per', 60, 'minimum', 0, 'quantum', 1, 'terms', 1)))
    FROM generate_series($1::int, $2::int) AS n, generate_series(1, $3::int) AS e
"""
PAGE: Final = 1000


async def measure(dsn: str, customers: int, records: int) -> None:
    issuers = load_issuers(ROOT / "config")
    assert isinstance(issuers, Issuers), "the sample has no faults"
    connection = await asyncpg.connect(dsn)
    await keep_months(connection, SEPTEMBER_MS)
    begin_s = time.perf_counter()
    await connection.execute(CUSTOMERS, customers)
    await connection.execute(ACCOUNTS, customers)
    for first in range(1, customers + 1, PAGE):
        last = min(first + PAGE - 1, customers)
        for statement in (JOURNAL, CDRS):
            await connection.execute(statement, first, last, records)
    await connection.execute("ANALYZE")
    print(f"{customers * records:,} records of {customers:,} customers made in {time.perf_counter() - begin_s:.0f} s")
    for name in ("drafted", "drafted again: nothing to do"):
        begin_s, cpu_s = time.perf_counter(), time.process_time()
        report = await run(dsn, UNTIL, issuers, {"EUR": EUR}, lambda _: None)
        taken_s, cpu_s = time.perf_counter() - begin_s, time.process_time() - cpu_s
        print(
            f"{len(report.drafts):,} invoices {name}: {taken_s:.1f} s, {taken_s / customers * 1e3:.2f} ms and "
            f"{cpu_s / customers * 1e3:.2f} ms of our CPU time a customer"
        )
    total = await connection.fetchval("SELECT sum(net_minor) FROM invoice")
    assert total == customers * 4 * ((records // 4 * 12345678 + 5_000_000) // 10_000_000), "each record is billed once"
    await connection.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--customers", type=int, default=2000)
    parser.add_argument("--records", type=int, default=100, help="of each customer; a multiple of four")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = DataFolder(Path(name) / "data")
        with folder.locked():
            server = EmbeddedPostgres(folder)
            child = server.start()
            try:
                upgrade(server.dsn)
                asyncio.run(measure(server.dsn, options.customers, options.records))
            finally:
                server.stop(child)


if __name__ == "__main__":
    main()
