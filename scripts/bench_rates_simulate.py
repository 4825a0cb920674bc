"""How long a simulation of a month's records takes: the command itself, from the file to the tables and the plot.

    python scripts/bench_rates_simulate.py --records 1000000

Each record is priced at its own time, by its plan and from where it came, by a configuration with the new deck in the
place of the live one, and by a deck of costs. With --postgres the records come from a PostgreSQL of its own.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncpg
from bench_rates_import import rows

from ocs.billing.migrate import upgrade
from ocs.embedded.folder import DataFolder
from ocs.embedded.postgres import EmbeddedPostgres

PLANS = ("bronze", "silver", "gold")
PLAN = """\
name = "{name}"
currency = "USD"

[[tariffs]]
service = "voice"
name = "Calls"
per = "minute"
deck = "us"
initial = {initial}
next = 6
"""
GROUP = """\
jsonb_build_array(jsonb_build_object('rating_group', -1, 'service_ids', '[]'::jsonb, 'unit_kind', 1,
    'used', r.used, 'cost', r.cost, 'tariff', 'Calls', 'destination', 'US', 'prefix', '1',
    'source', 'decks/us.csv:2', 'price', '{}'::jsonb))"""
FILL = f"""\
INSERT INTO cdr (account_id, entry_number, session_id, protocol, peer, subscriber, service, origin, destination, started_at,
    ended_at, cost, currency, rate_version, flags, cause, groups, rate_plan, whereabouts)
SELECT r.account_id, row_number() OVER (), 's' || row_number() OVER (), 'gy', 'sbc1', '', 'voice', r.origin, r.number,
    r.started_at, r.started_at, r.cost, 'USD', 'abc', 0, '', {GROUP}, r.plan, ''
FROM (SELECT account_id, number, used::bigint, (amount::numeric * 1000000000)::bigint AS cost, started_at::timestamptz,
      plan, origin FROM bench_use) r"""


def write_config(folder: Path, codes: list[tuple[str, str]], over: str) -> None:
    for name in ("rateplans", "decks"):
        (folder / name).mkdir(parents=True)
    sample = Path(__file__).parents[1] / "config"
    for name in ("ocs.toml", "currencies.toml"):
        (folder / name).write_bytes((sample / name).read_bytes())
    for at, name in enumerate(PLANS):
        text = PLAN.format(name=name, initial=6 * (at + 1)).replace("\n\n", '\ntime_zone = "UTC"\n\n', 1)
        text += f'tiers_over = "{over}"\n' if over else ""
        (folder / "rateplans" / f"{name}.toml").write_text(text, encoding="utf-8")
    for path, rise in ((folder / "decks" / "us.csv", 0), (folder.parent / "us.csv", 7)):
        tier, more = (",rate>36000", ",0.004") if over else ("", "")
        lines = [f"{code},{name},0.{50 + (at + rise) % 97:04d}{more}\n" for at, (code, name) in enumerate(codes)]
        path.write_text(f"prefix,destination,rate{tier}\n" + "".join(lines), encoding="utf-8")
    (folder.parent / "cost.csv").write_text("prefix,destination,rate\n1,US,0.0065\n", encoding="utf-8")


def write_records(path: Path, codes: list[tuple[str, str]], count: int) -> None:
    chance = random.Random(1)
    begin = datetime(2026, 10, 1, tzinfo=UTC)
    with path.open("w", encoding="utf-8") as file:
        file.write("account_id,number,used,amount,started_at,plan,origin\n")
        for _ in range(count):
            code, _ = codes[chance.randrange(len(codes))]
            started = begin + timedelta(seconds=chance.randrange(31 * 86_400))
            used, cost, customer = chance.randrange(600), chance.randrange(1000), chance.randrange(2000)
            number = f"{code}{chance.randrange(10_000):04d}"
            caller = f"1212555{customer:04d}"
            file.write(f"c{customer},{number},{used},0.{cost:04d},{started},{PLANS[customer % 3]},{caller}\n")


async def fill(dsn: str, path: Path) -> None:
    connection = await asyncpg.connect(dsn)
    await connection.execute(
        "CREATE TABLE bench_use (account_id text, number text, used text, amount text, started_at text, plan text, origin text)"
    )
    await connection.copy_to_table("bench_use", source=str(path), format="csv", header=True)
    await connection.execute(FILL, timeout=600)
    await connection.execute("ANALYZE cdr")
    await connection.close()


def measure(what: str, records: str, folder: Path, options: argparse.Namespace, *more: str) -> None:
    command = [sys.executable, "-m", "ocs", "rates", "simulate", "--deck", str(folder / "us.csv"), "--cdrs", records]
    command += ["--config", str(folder / "config" / "ocs.toml"), "--cost-deck", str(folder / "cost.csv"), "--at", "own"]
    command += ["--csv", str(folder / "tables"), "--plot", str(folder / "plot.png"), *more]
    before_s, begin_s = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime, time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    taken_s = time.perf_counter() - begin_s
    cpu_s = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before_s
    print(
        f"{what}: {options.records:,} records by {options.codes:,} codes in {taken_s:.1f} s, {cpu_s:.1f} s of CPU time",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--codes", type=int, default=200_000)
    parser.add_argument("--postgres", action="store_true", help="From a PostgreSQL, too.")
    parser.add_argument("--tiers-over", default="", help="Tiers over a month, or another period: in the order of time.")
    options = parser.parse_args()
    codes = [(code, name) for code, name, *_ in rows(options.codes, 0)]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_config(folder / "config", codes, options.tiers_over)
        write_records(folder / "records.csv", codes, options.records)
        measure("from a file", str(folder / "records.csv"), folder, options)
        if options.postgres:
            from_postgres(folder, options)


def from_postgres(folder: Path, options: argparse.Namespace) -> None:
    """The same records from a PostgreSQL that is made for it."""
    data = DataFolder(folder / "data")
    with data.locked():
        server = EmbeddedPostgres(data)
        child = server.start()
        try:
            upgrade(server.dsn)
            asyncio.run(fill(server.dsn, folder / "records.csv"))
            os.environ |= {"OCS_POSTGRES_DSN": server.dsn, "OCS_VALKEY_URL": "redis://127.0.0.1:1"}
            measure("from PostgreSQL", "2026-10", folder, options)
        finally:
            server.stop(child)


if __name__ == "__main__":
    main()
