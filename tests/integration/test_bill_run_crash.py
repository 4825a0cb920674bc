"""A bill run that is killed in the middle changes nothing: whoever says it again has what he would have had."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from ocs.billing.invoices.run import BATCH

pytestmark = pytest.mark.integration

CUSTOMERS = 3 * BATCH
LIMIT_S = 60
MAKE = """
    INSERT INTO customer (customer_id, legal_entity, name, address, country, tax_status, tax_id, currency, language,
        time_zone, cycle_day, terms_days, email, since, minimum_minor)
    SELECT 'c' || n, 'example', 'Customer ' || n, '["Street 1"]', 'DE', 'standard', '', 'EUR', 'de', 'Europe/Berlin', 1,
        14, '', '2025-09-01', 0 FROM generate_series(1, {customers}) AS n;
    INSERT INTO customer_account SELECT 'c' || n, 'c' || n, 0 FROM generate_series(1, {customers}) AS n;
    INSERT INTO charge (charge_id, customer_id, kind, text, amount, tax_code, months, first)
    SELECT 'line-' || n, 'c' || n, 'recurring', 'Line rental', 9990000000, 'vat', 1, '2025-09-01'
    FROM generate_series(1, {customers}) AS n;
"""
RECORDS = """
    INSERT INTO journal (account_id, entry_number, at, kind, currency, amount, bucket_ids, bucket_amounts, reference,
        actor, reason, stream_id)
    SELECT 'c' || n, $1, $3::timestamptz, 'session', 'EUR', -n * 12345678, '{0}', array[-n * 12345678], '', '', '', ''
    FROM generate_series(1, $4::bigint) AS n
"""
CDRS = """
    INSERT INTO cdr (account_id, entry_number, session_id, protocol, peer, subscriber, service, origin, destination,
        started_at, ended_at, cost, currency, rate_version, flags, cause, groups)
    SELECT 'c' || n, $1, 's-' || n, 'gy', 'sbc', 'c' || n, 'voice', '', '49', $2::timestamptz, $3::timestamptz, n * 12345678, 'EUR', '', 0, '',
        jsonb_build_array(jsonb_build_object('unit_kind', 1, 'used', 61, 'cost', n * 12345678, 'destination', 'Germany',
            'price', jsonb_build_object('terms', 1)))
    FROM generate_series(1, $4::bigint) AS n
"""
STATE = """
    SELECT i.customer_id, i.supplements IS NOT NULL AS is_late, i.first, i.after, i.net_minor, i.tax_minor, i.total_minor, i.residue,
        i.debited, (SELECT array_agg((l.line_number, l.text, l.amount, l.net_minor, l.records)::text ORDER BY l.line_number)
            FROM invoice_line l WHERE l.invoice_id = i.invoice_id) AS lines,
        (SELECT array_agg((s.account_id, s.after_entry, s.last_entry)::text ORDER BY s.account_id) FROM invoice_span s
            WHERE s.invoice_id = i.invoice_id) AS spans
    FROM invoice i ORDER BY 1, 2, 3
"""


@pytest.fixture
async def books(sample_config: Path, billing_dsn: str) -> AsyncIterator[Any]:
    """September's records of 300 customers; late ones go on invoices of their own."""
    billing = sample_config.parent / "billing.toml"
    text = billing.read_text(encoding="utf-8")
    assert 'late_records = "next_invoice"' in text
    billing.write_text(text.replace('"next_invoice"', '"supplementary_invoice"', 1), encoding="utf-8")
    connection = await asyncpg.connect(billing_dsn)
    await connection.execute(MAKE.format(customers=CUSTOMERS))
    await _record(connection, 1, began="2025-09-10T10:00+00", came="2025-09-10T10:01+00")
    yield connection
    await connection.close()


async def _record(connection: Any, number: int, began: str, came: str) -> None:
    """One record of each customer, which began and was decided then."""
    for statement in (RECORDS, CDRS):
        written = statement.replace("$2", f"'{began}'").replace("$3", f"'{came}'").replace("$4", "$2")
        await connection.execute(written, number, CUSTOMERS)


async def _start(config: Path, environment: dict[str, str], until: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "ocs", "bill", "run", "--until", until, "--config", str(config),
        env=environment, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip


async def _bill(config: Path, environment: dict[str, str], until: str) -> None:
    process = await _start(config, environment, until)
    _, said = await process.communicate()
    assert process.returncode == 0, said.decode()


@contextlib.asynccontextmanager
async def _held_up(dsn: str, account_id: str, after_entry: int) -> AsyncIterator[None]:
    """Whoever bills this account waits in the middle of his batch: its span is being written by us."""
    connection = await asyncpg.connect(dsn)
    transaction = connection.transaction()
    await transaction.start()
    await connection.execute(
        "INSERT INTO invoice_span SELECT $1, $2::bigint, $2::bigint + 1, max(invoice_id) FROM invoice",
        account_id,
        after_entry,
    )
    yield
    await transaction.rollback()
    await connection.close()


async def _until(connection: Any, question: str) -> None:
    """Wait until the answer is yes."""
    async with asyncio.timeout(LIMIT_S):
        while not await connection.fetchval(question):  # noqa: ASYNC110 - other processes work
            await asyncio.sleep(0.05)


async def test_a_run_that_is_killed_in_the_middle_is_said_again(
    books: Any, sample_config: Path, billing_dsn: str, valkey_url: str
) -> None:
    """kill -9 while one batch is half written and the others are done; supplementary invoices, too: all or none of a batch."""
    environment = os.environ | {"OCS_POSTGRES_DSN": billing_dsn, "OCS_VALKEY_URL": valkey_url}
    await _bill(sample_config, environment, "2025-10-01")
    assert await books.fetchval("SELECT count(*) FROM invoice") == CUSTOMERS
    await _record(books, 2, began="2025-09-29T10:00+00", came="2025-10-02T10:00+00")
    await _record(books, 3, began="2025-10-05T10:00+00", came="2025-10-05T10:01+00")

    async with _held_up(billing_dsn, "c150", 1):
        process = await _start(sample_config, environment, "2025-11-01")
        await _until(books, f"SELECT count(*) = {CUSTOMERS + 2 * (CUSTOMERS - BATCH)} FROM invoice")
        process.send_signal(signal.SIGKILL)
        assert await process.wait() == -signal.SIGKILL
    # The server notices that its client is gone.
    await _until(books, "SELECT count(*) = 0 FROM pg_locks WHERE relation = 'invoice_span'::regclass")
    assert await books.fetchval("SELECT count(*) FROM invoice") == CUSTOMERS + 2 * (CUSTOMERS - BATCH)

    await _bill(sample_config, environment, "2025-11-01")
    after_the_crash = await books.fetch(STATE)
    assert len(after_the_crash) == 3 * CUSTOMERS
    await books.execute("DELETE FROM invoice WHERE first = '2025-10-01' AND supplements IS NOT NULL")
    await books.execute("DELETE FROM invoice WHERE first = '2025-10-01'")
    await _bill(sample_config, environment, "2025-11-01")
    assert after_the_crash == await books.fetch(STATE), "as if nothing had happened"
