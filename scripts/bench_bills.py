"""How long a bill run takes: customers with records in a real PostgreSQL, drafted, and drafted again (nothing to do).

    python scripts/bench_bills.py [--customers 2000] [--records 100] [--issue] [--folder DIR]

The records are made in the database, over four destinations, and lie there in the order of time, as they come in life:
those of one customer are all over the month. The run is the one of ``ocs bill run``. With ``--folder`` the records stay
there, and the next measure only discards the drafts. With ``--issue`` the drafts are numbered, and booked to accounts in a
real Valkey.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import time
from datetime import date
from pathlib import Path
from typing import Any, Final

import asyncpg
from bench_books import indexed_afterwards, postgres, valkey
from redis.asyncio import Redis

from balance.money import Currency
from balance.valkey.store import open_store
from ocs.billing.invoices.book import unissued_until
from ocs.billing.invoices.issuers import Issuers, load_issuers
from ocs.billing.invoices.run import run
from ocs.billing.months import keep_months
from ocs.charging.policy import quota_policy
from ocs.charging.recharge import AccountDesk
from ocs.charging.service import OnlineCharging
from ocs.clock import now_ms
from ocs.invoicing import Invoicing
from ocs.rating.load import load_ratebook
from ocs.settings import Settings

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
FEES: Final = """
    INSERT INTO charge (charge_id, customer_id, kind, text, amount, tax_code, months, first)
    SELECT 'line-' || n, 'c' || n, 'recurring', 'Line rental', 9990000000, 'vat', 1, '2026-09-01'
    FROM generate_series(1, $1::int) AS n
"""
# Between 2026-09-01 02:00 and the month's end in Berlin; entry e of all customers, then entry e + 1.
AT: Final = (
    "timestamptz '2026-09-01 02:00+02' + ($2::int * interval '29 days' / $3::int) + n * interval '1 millisecond'"
)
USED: Final = "((n * 31 + $2::int * 17) % 600 + 1)"  # seconds
COST: Final = f"{USED}::bigint * 202388"
JOURNAL: Final = f"""
    INSERT INTO journal (account_id, entry_number, at, kind, currency, amount, bucket_ids, bucket_amounts, reference,
        actor, reason, stream_id)
    SELECT 'c' || n, $2::int, {AT}, 'session', 'EUR', -{COST}, '{{0}}', array[-{COST}],
        'sip-' || n || '-' || $2::int || '@sbc.example.net', '', '', '1788220800000-0'
    FROM generate_series(1, $1::int) AS n
"""
CDRS: Final = f"""
    INSERT INTO cdr (account_id, entry_number, session_id, protocol, peer, subscriber, service, origin, destination,
        started_at, ended_at, cost, currency, rate_version, flags, cause, groups)
    SELECT 'c' || n, $2::int, 'sip-' || n || '-' || $2::int || '@sbc.example.net', 'gy', 'sbc.example.net', 'c' || n, 'voice',
        '4930' || n, '4915' || n || $2::int, {AT}, {AT}, {COST}, 'EUR', '3f0c7a52d8e1', 0, '',
        jsonb_build_array(jsonb_build_object('rating_group', -1, 'service_ids', '[]'::jsonb, 'unit_kind', 1, 'used', {USED},
            'cost', {COST}, 'tariff', 'Calls', 'destination', 'Germany, part ' || ($2::int % 4), 'prefix', '4915', 'source',
            'decks/retail-voice-eur.csv:17', 'price', jsonb_build_object('kind', 1, 'setup', 0, 'initial', 1, 'next', 1,
            'initial_rate', 12000000, 'next_rate', 12000000, 'per', 60, 'minimum', 0, 'quantum', 1, 'terms', 1)))
    FROM generate_series(1, $1::int) AS n
"""


PAGE: Final = 500


async def make(connection: Any, customers: int, records: int) -> None:
    begin_s = time.perf_counter()
    await keep_months(connection, SEPTEMBER_MS)
    for statement in (CUSTOMERS, ACCOUNTS, FEES):
        await connection.execute(statement, customers)
    async with indexed_afterwards(connection, "journal", "cdr"):
        for entry in range(1, records + 1):
            for statement in (JOURNAL, CDRS):
                await connection.execute(statement, customers, entry, records)
        print(f"  {time.perf_counter() - begin_s:5.0f} s  rows", flush=True)
    await connection.execute("ANALYZE")
    print(f"{customers * records:,} records of {customers:,} customers made in {time.perf_counter() - begin_s:.0f} s")


async def measure(dsn: str, customers: int, records: int, *, issues: bool) -> None:
    issuers = load_issuers(ROOT / "config")
    assert isinstance(issuers, Issuers), "the sample has no faults"
    connection = await asyncpg.connect(dsn)
    there = await connection.fetchval("SELECT count(*) FROM customer")
    if there not in (0, customers):
        raise SystemExit(f"the folder has {there:,} customers: name another one, or --customers {there}")
    if there:
        await connection.execute(
            "TRUNCATE invoice, invoice_line, invoice_span, invoice_counter, allocation, dunning_action"
        )
    else:
        await make(connection, customers, records)
    for name in ("drafted", "drafted again: nothing to do"):
        begin_s, cpu_s = time.perf_counter(), time.process_time()
        report = await run(dsn, UNTIL, issuers, {"EUR": EUR})
        taken_s, cpu_s = time.perf_counter() - begin_s, time.process_time() - cpu_s
        print(
            f"{len(report.drafts):,} invoices {name}: {taken_s:.1f} s, {taken_s / customers * 1e3:.2f} ms and "
            f"{cpu_s / customers * 1e3:.2f} ms of our CPU time a customer; the machine's load is {os.getloadavg()[0]:.1f}",
            flush=True,
        )
    total = await connection.fetchval("SELECT sum(amount) FROM invoice_line WHERE is_debited")
    assert total == -await connection.fetchval("SELECT sum(amount) FROM journal"), "each record is billed once"
    if issues:
        with valkey() as url:
            await measure_issuing(url, connection, issuers, customers)
    await connection.close()


async def measure_issuing(url: str, connection: Any, issuers: Issuers, customers: int) -> None:
    """Accounts are made for the customers, then all drafts are issued as ``ocs bill run --issue`` does it."""
    settings, currencies = Settings(), {"EUR": EUR}
    rates = load_ratebook(ROOT / "config", now_ms()).book
    assert rates is not None, "the sample has no faults"
    redis: Any = Redis.from_url(url)
    store = await open_store(url, settings.backends.partitions)
    desk = AccountDesk(OnlineCharging(store, rates, quota_policy(settings), now_ms), store, now_ms, currencies)
    for first in range(1, customers + 1, PAGE):
        names = [f"c{number}" for number in range(first, min(first + PAGE, customers + 1))]
        await asyncio.gather(
            *[desk.create_account(name, "EUR", "retail-eur", 10**15, 0, actor="bench") for name in names]
        )
    drafts = await unissued_until(connection, UNTIL)
    begin_s, cpu_s = time.perf_counter(), time.process_time()
    async for issued in Invoicing(connection, redis, desk, issuers, currencies).issue_all(drafts, UNTIL):
        assert not issued.refused, issued.refused
    taken_s, cpu_s = time.perf_counter() - begin_s, time.process_time() - cpu_s
    print(
        f"{len(drafts):,} invoices issued and booked: {taken_s:.1f} s, {taken_s / customers * 1e3:.2f} ms and "
        f"{cpu_s / customers * 1e3:.2f} ms of our CPU time each; the machine's load is {os.getloadavg()[0]:.1f}",
        flush=True,
    )
    last = await connection.fetchval("SELECT max(last) FROM invoice_counter")
    assert last == len(drafts) == await connection.fetchval("SELECT count(*) FROM invoice WHERE is_booked"), "no gap"
    await redis.aclose()
    await store.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--customers", type=int, default=2000)
    parser.add_argument("--records", type=int, default=100, help="of each customer")
    parser.add_argument("--issue", action="store_true", help="issue the drafts, too")
    parser.add_argument("--folder", type=Path, help="keep the records here for the next measure")
    options = parser.parse_args()
    with postgres(options.folder) as dsn:
        asyncio.run(measure(dsn, options.customers, options.records, issues=options.issue))


if __name__ == "__main__":
    main()
