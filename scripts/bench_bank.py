"""What a bank statement takes: a real PostgreSQL and Valkey, one open invoice for each customer, entries that pay some of them.

    python scripts/bench_bank.py [--customers 100000] [--entries 20000]

Nine entries in ten name their invoice and pay it to the cent, one in ten names nobody; then the same file is loaded again.
"""

from __future__ import annotations

import argparse
import asyncio
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import IO, Any, Final

import asyncpg
from bench_books import postgres, valkey
from bench_dunning import ACCOUNTS, CUSTOMERS, INVOICES
from redis.asyncio import Redis

from balance.valkey.store import open_store
from ocs.bank_desk import BankDesk
from ocs.billing.invoices.issuers import Issuers, load_issuers
from ocs.billing_desk import BillingDesk
from ocs.charging.policy import quota_policy
from ocs.charging.recharge import AccountDesk
from ocs.charging.service import OnlineCharging
from ocs.clock import now_ms
from ocs.invoicing import Invoicing
from ocs.rating.load import load_currencies, load_ratebook
from ocs.settings import Settings

CONFIG: Final = Path(__file__).parents[1] / "config"
TODAY: Final = date(2026, 11, 20)
PARTITIONS: Final = 64
HEAD: Final = (
    '<Document xmlns="urn:iso:std:iso:20022:tech:xsd:camt.053.001.08"><BkToCstmrStmt><Stmt><Id>1</Id>'
    "<Acct><Id><IBAN>DE89370400440532013000</IBAN></Id></Acct>"
)
FOOT: Final = "</Stmt></BkToCstmrStmt></Document>"


def statement(entries: int, customers: int) -> Iterator[str]:
    """Of customers over the whole book, in no order of theirs."""
    yield HEAD
    for number in range(1, entries + 1):
        customer = number * 7919 % customers + 1
        is_known = number % 10
        text = f"Rechnung R 2026 {customer} vom 1.11. danke" if is_known else f"Ueberweisung {number}"
        yield (
            f'<Ntry><Amt Ccy="EUR">{"11.90" if is_known else "7.00"}</Amt><CdtDbtInd>CRDT</CdtDbtInd><Sts><Cd>BOOK</Cd></Sts>'
            "<BookgDt><Dt>2026-11-19</Dt></BookgDt><NtryDtls><TxDtls>"
            f"<Refs><AcctSvcrRef>a{number}</AcctSvcrRef><EndToEndId>NOTPROVIDED</EndToEndId></Refs><RltdPties><Dbtr>"
            f"<Pty><Nm>Payer {customer}</Nm></Pty></Dbtr><DbtrAcct><Id><IBAN>DE{customer:020}</IBAN></Id></DbtrAcct>"
            f"</RltdPties><RmtInf><Ustrd>{text}</Ustrd></RmtInf></TxDtls></NtryDtls></Ntry>"
        )
    yield FOOT


async def measure(dsn: str, url: str, customers: int, entries: int) -> None:
    connection: Any = await asyncpg.connect(dsn)
    for sql in (CUSTOMERS, ACCOUNTS, INVOICES):
        await connection.execute(sql, customers)
    await connection.execute("ANALYZE")
    issuers, loaded = load_issuers(CONFIG), load_ratebook(CONFIG, now_ms())
    assert isinstance(issuers, Issuers), issuers
    assert loaded.book is not None, loaded.faults
    store, redis = await open_store(url, PARTITIONS), Redis.from_url(url)
    desk = AccountDesk(
        OnlineCharging(store, loaded.book, quota_policy(Settings()), now_ms), store, now_ms, loaded.currencies
    )
    plan = next(name for name in loaded.book.plans() if loaded.book.currency_of(name) == "EUR")
    paying = {number * 7919 % customers + 1 for number in range(1, entries + 1) if number % 10}
    for number in paying:
        await desk.create_account(f"c{number}", "EUR", plan, 10**12, 0, actor="bench")
    currencies = dict(load_currencies(CONFIG / "currencies.toml"))
    billing = BillingDesk(dsn, connection, Invoicing(connection, redis, desk, issuers, currencies), issuers, currencies)
    with tempfile.TemporaryFile() as file:
        file.writelines(piece.encode() for piece in statement(entries, customers))
        print(f"{file.tell() / 2**20:.1f} MiB, {entries:,} entries, {customers:,} open invoices", flush=True)
        for what in ("load", "again"):
            await _load(BankDesk(billing, currencies), file, what)
    begin_s = time.perf_counter()
    await BankDesk(billing, currencies).waiting(100)
    print(f"suggestions for 100 entries that wait {time.perf_counter() - begin_s:6.1f} s")
    await redis.aclose()
    await store.close()
    await connection.close()


async def _load(bank: BankDesk, file: IO[bytes], what: str) -> None:
    begin_s, cpu_s = time.perf_counter(), time.process_time()
    stages_s: dict[str, float] = {}

    def heard(stage: str, _done: int, _total: int) -> None:
        stages_s[stage] = time.perf_counter() - begin_s

    file.seek(0)
    found = await bank.load(file, TODAY, heard)
    peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{what:6} {time.perf_counter() - begin_s:6.1f} s, {time.process_time() - cpu_s:5.1f} s of CPU time, "
        f"peak {peak_mib:.0f} MiB: {found}; "
        + ", ".join(f"{stage} after {after_s:.1f} s" for stage, after_s in stages_s.items()),
        flush=True,
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--customers", type=int, default=100_000)
    parser.add_argument("--entries", type=int, default=20_000)
    options = parser.parse_args()
    with postgres(None) as dsn, valkey() as url:
        asyncio.run(measure(dsn, url, options.customers, options.entries))
    return 0


if __name__ == "__main__":
    sys.exit(main())
