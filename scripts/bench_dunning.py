"""What a dunning run takes: a real PostgreSQL and Valkey, one open invoice for each customer, some of them overdue.

    python scripts/bench_dunning.py [--customers 100000]

One in twenty is reminded, one in a hundred is suspended, all others are looked at; then the run is said again.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from datetime import date
from pathlib import Path
from typing import Any, Final

import asyncpg
from bench_books import postgres, valkey

from balance.valkey.store import open_store
from ocs.billing.invoices.issuers import Issuers, load_issuers
from ocs.charging.policy import quota_policy
from ocs.charging.recharge import AccountDesk
from ocs.charging.service import OnlineCharging
from ocs.clock import now_ms
from ocs.dunning import Dunning
from ocs.rating.load import load_currencies, load_ratebook
from ocs.settings import Settings

CONFIG: Final = Path(__file__).parents[1] / "config"
TODAY: Final = date(2026, 11, 20)
PARTITIONS: Final = 64
CUSTOMERS: Final = """
    INSERT INTO customer (customer_id, legal_entity, name, address, country, tax_status, tax_id, currency, language, time_zone,
        cycle_day, terms_days, email, since, minimum_minor)
    SELECT 'c' || n, 'example', 'Customer ' || n, '["Street"]', 'DE', 'standard', '', 'EUR', 'en', 'Europe/Berlin', 1, -1, '',
        '2026-01-01', 0
    FROM generate_series(1, $1::int) AS n
"""
ACCOUNTS: Final = "INSERT INTO customer_account SELECT 'c' || n, 'c' || n, 0 FROM generate_series(1, $1::int) AS n"
INVOICES: Final = """
    INSERT INTO invoice (customer_id, legal_entity, kind, state, number, currency, minor_unit, first, after, issued_on, due_on,
        net_minor, tax_minor, total_minor, residue, debited, taxes, is_booked)
    SELECT 'c' || n, 'example', 'invoice', 'issued', 'R-2026-' || n, 'EUR', 10000000, '2026-10-01', '2026-11-01', '2026-11-01',
        CASE WHEN n % 100 = 0 THEN date '2026-10-10' WHEN n % 20 = 1 THEN date '2026-11-15' ELSE date '2026-12-01' END,
        1000, 190, 1190, 0, 0, '[]', true
    FROM generate_series(1, $1::int) AS n
"""


async def measure(dsn: str, url: str, customers: int) -> None:
    connection: Any = await asyncpg.connect(dsn)
    for statement in (CUSTOMERS, ACCOUNTS, INVOICES):
        await connection.execute(statement, customers)
    await connection.execute("ANALYZE")
    issuers, loaded = load_issuers(CONFIG), load_ratebook(CONFIG, now_ms())
    assert isinstance(issuers, Issuers), issuers
    assert loaded.book is not None, loaded.faults
    store = await open_store(url, PARTITIONS)
    desk = AccountDesk(
        OnlineCharging(store, loaded.book, quota_policy(Settings()), now_ms), store, now_ms, loaded.currencies
    )
    plan = next(name for name in loaded.book.plans() if loaded.book.currency_of(name) == "EUR")
    for number in range(100, customers + 1, 100):
        await desk.create_account(f"c{number}", "EUR", plan, 10**12, 0, actor="bench")
    dunning = Dunning(connection, desk, issuers, load_currencies(CONFIG / "currencies.toml"))
    for what, is_dry in (("dry run", True), ("run", False), ("run again", False)):
        begin_s, cpu_s = time.perf_counter(), time.process_time()
        found = await dunning.run(TODAY, is_dry=is_dry)
        steps = sum(len(each.verdict.tasks) for each in found)
        blocked = sum(each.verdict.block != each.was for each in found)
        print(
            f"{what:10} {time.perf_counter() - begin_s:6.1f} s, {time.process_time() - cpu_s:5.1f} s of CPU time: {steps:,} steps, "
            f"{blocked:,} customers blocked",
            flush=True,
        )
    await store.close()
    await connection.close()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--customers", type=int, default=100_000)
    options = parser.parse_args()
    with postgres(None) as dsn, valkey() as url:
        asyncio.run(measure(dsn, url, options.customers))
    return 0


if __name__ == "__main__":
    sys.exit(main())
