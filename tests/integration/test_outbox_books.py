"""The books in PostgreSQL: their schema, and reading them page by page."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import create_async_engine

from balance.store import BackendUnavailable
from ocs.billing import migrate
from ocs.billing.cdrs import cdrs_of_session, list_cdrs, list_journal
from ocs.billing.invoices.tables import customer
from ocs.billing.migrate import upgrade
from ocs.billing.months import is_partition
from ocs.billing.search import CursorError
from ocs.billing.totals import journal_totals
from ocs.billing.trail import trail
from ocs.delivery.tables import message
from ocs.outbox.postgres import PostgresSink
from ocs.outbox.sinks import OutboxEntry
from ocs.payments.tables import payer
from tests.integration.test_outbox_flusher import NOW_MS, session_entry, top_up

pytestmark = pytest.mark.integration


async def test_the_migrations_make_what_the_schema_says(billing_dsn: str) -> None:
    """Alembic finds no difference between the tables and ``ocs.billing.schema``."""

    async def connect() -> Any:
        return await asyncpg.connect(billing_dsn)

    def differences(connection: Connection) -> list[Any]:
        def is_ours(_: object, name: str | None, kind: str, *__: object) -> bool:
            return not (kind == "table" and name is not None and is_partition(name))

        options = {"version_table": "ocs_schema_version", "compare_server_default": True, "include_object": is_ours}
        context = MigrationContext.configure(connection, opts=options)
        assert customer.metadata is message.metadata is trail.metadata is payer.metadata, "one schema"
        return list(compare_metadata(context, message.metadata))

    engine = create_async_engine("postgresql+asyncpg://", async_creator=connect)
    async with engine.connect() as connection:
        assert await connection.run_sync(differences) == []
    await engine.dispose()


async def test_upgrades_at_the_same_time_make_the_tables_once(postgres_dsn: str) -> None:
    """Daemons that start together wait for one another; a later upgrade has nothing to do."""
    await asyncio.gather(*[asyncio.to_thread(upgrade, postgres_dsn) for _ in range(3)])
    upgrade(postgres_dsn)
    connection = await asyncpg.connect(postgres_dsn)
    assert await connection.fetchval("SELECT count(*) FROM journal") == 0
    await connection.close()


def test_an_upgrade_without_a_server_is_unavailable() -> None:
    """One exception that the caller knows, whatever the driver raises."""
    with pytest.raises(BackendUnavailable):
        upgrade("postgresql://nobody@127.0.0.1:1/none")


@pytest.fixture
async def pool(billing_dsn: str) -> AsyncIterator[Any]:
    """Books with 25 calls and a top-up of account a, and one call of account b."""
    sink = PostgresSink(billing_dsn)
    entries = [session_entry("a", number, cost=number) for number in range(1, 26)]
    entries += [top_up("a", 26), session_entry("b", 1)]
    await sink.write([OutboxEntry(0, f"1-{place}", entry, b"") for place, entry in enumerate(entries)])
    await sink.close()
    async with asyncpg.create_pool(billing_dsn, min_size=1, max_size=2) as pool:
        yield pool


async def test_all_pages_together_are_the_records_newest_first(pool: Any) -> None:
    """No record twice, none left out, although all started in the same millisecond."""
    numbers: list[int] = []
    cursor = ""
    while True:
        page = await list_cdrs(pool, "a", cursor, 10)
        numbers += [row.entry_number for row in page.items]
        if not (cursor := page.next_cursor):
            break
    assert numbers == list(range(25, 0, -1))


async def test_a_record_is_read_as_it_was_rated(pool: Any) -> None:
    """All fields, and the groups with their price, come back."""
    page = await list_cdrs(pool, "b")
    entry = session_entry("b", 1)
    assert entry.cdr is not None
    (row,) = page.items
    assert row.groups == entry.cdr.groups
    for name in ("session_id", "protocol", "peer", "subscriber", "service", "origin", "destination", "cost", "flags"):
        assert getattr(row, name) == getattr(entry.cdr, name)
    assert (row.started_at_ms, row.ended_at_ms, row.currency) == (NOW_MS - 61_000, NOW_MS, "EUR")


@pytest.mark.parametrize(
    ("since_ms", "until_ms", "count"),
    [(NOW_MS - 61_000, NOW_MS, 25), (NOW_MS - 60_999, NOW_MS, 0), (0, NOW_MS - 61_000, 0)],
    ids=["from its first instant", "after its start", "until before its start"],
)
async def test_a_time_window_is_half_open(pool: Any, since_ms: int, until_ms: int, count: int) -> None:
    """[since, until) by the start of the use."""
    page = await list_cdrs(pool, "a", since_ms=since_ms, until_ms=until_ms)
    assert len(page.items) == count


async def test_the_journal_is_read_newest_first(pool: Any) -> None:
    """Changes per bucket, reference and actor come back, page by page."""
    first = await list_journal(pool, "a", limit=1)
    assert first.items[0].kind == "top_up"
    assert [(change.bucket_id, change.amount) for change in first.items[0].changes] == [(0, 100), (7, 3)]
    rest = await list_journal(pool, "a", first.next_cursor)
    assert [row.entry_number for row in rest.items] == list(range(25, 0, -1))
    assert rest.next_cursor == ""


async def test_the_journal_is_asked_for_a_reference_and_a_span(pool: Any) -> None:
    """What is named has to hold; the span is half-open."""
    (newest,) = (await list_journal(pool, "a", limit=1)).items
    named = await list_journal(pool, "a", reference=newest.reference)
    assert newest in named.items
    assert {row.reference for row in named.items} == {newest.reference}
    assert (await list_journal(pool, "a", reference="nothing")).items == ()
    at_ms = newest.at_ms
    assert newest in (await list_journal(pool, "a", since_ms=at_ms, until_ms=at_ms + 1)).items
    assert newest not in (await list_journal(pool, "a", until_ms=at_ms)).items
    assert newest not in (await list_journal(pool, "a", since_ms=at_ms + 1)).items


async def test_a_session_is_found_by_its_id(pool: Any) -> None:
    """By the Session-Id alone, whoever's it is."""
    assert [(row.account_id, row.entry_number) for row in await cdrs_of_session(pool, "a;7")] == [("a", 7)]
    assert await cdrs_of_session(pool, "unknown") == ()
    assert await cdrs_of_session(pool, "nul\x00") == ()


@pytest.mark.parametrize(
    "cursor", ["x", "1", "1.2", "-1.2.a", "1.-2.a", f"{10**18}.1.a", f"1.{10**19}.a", "1.2.\x00", "\u0661.\u0662.a"]
)
async def test_a_cursor_that_is_not_ours_is_refused(pool: Any, cursor: str) -> None:
    """Whatever a client sends, it is told so, and no statement is run."""
    with pytest.raises(CursorError):
        await list_cdrs(pool, "a", cursor)


async def test_books_out_of_reach_are_unavailable(billing_dsn: str) -> None:
    """A closed pool or a lost server is one exception for the caller."""
    pool = await asyncpg.create_pool(billing_dsn, min_size=1, max_size=1)
    await pool.close()
    with pytest.raises(BackendUnavailable):
        await list_cdrs(pool, "a")


async def test_a_connection_that_was_said_good_bye_to_is_lost_and_nothing_worse(billing_dsn: str) -> None:
    """PostgreSQL ends an idle connection, and the next statement comes before the end of the stream: for the sink and for the readers of the books it is away, and the sink's next batch goes through."""
    sink = PostgresSink(billing_dsn)
    batch = [OutboxEntry(0, "1-0", top_up("a", 1), b"")]
    assert (await sink.write(batch)).added == 1
    say_good_bye(sink._connection)
    with pytest.raises(BackendUnavailable, match="PostgreSQL"):
        await sink.write(batch)
    assert (await sink.write(batch)).repeated == 1
    await sink.close()
    for read in (journal_totals, list_journal):
        connection = await asyncpg.connect(billing_dsn)
        say_good_bye(connection)
        with pytest.raises(BackendUnavailable, match="PostgreSQL"):
            await read(connection, "a")
        connection.terminate()


def say_good_bye(connection: Any) -> None:
    """What the server writes for pg_terminate_backend or at its stop, without the end of the stream."""
    fields = b"SFATAL\0VFATAL\0C57P01\0Mterminating connection due to administrator command\0\0"
    connection._protocol.data_received(b"E" + (len(fields) + 4).to_bytes(4, "big") + fields)


@pytest.mark.parametrize("change", ["database", "user"])
async def test_a_database_that_lets_nobody_in_is_named(postgres_dsn: str, change: str) -> None:
    """A database or a user that does not exist: PostgreSQL's own words, and no trace of a program."""
    wrong = postgres_dsn.replace("/test_", "/nothing_") if change == "database" else postgres_dsn.replace("ocs@", "x@")
    with pytest.raises(BackendUnavailable, match=r'database "nothing_|user "x"'):
        upgrade(wrong)


async def test_a_migration_that_is_cut_off_is_tried_again(postgres_dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """PostgreSQL ends the session in the middle of a step: it counts as away, nothing is half done, the next try works."""

    def cut(connection: Connection) -> None:
        run_steps(connection)
        connection.exec_driver_sql("SELECT pg_terminate_backend(pg_backend_pid())")

    run_steps = migrate._run_steps
    with monkeypatch.context() as patched:
        patched.setattr(migrate, "_run_steps", cut)
        with pytest.raises(BackendUnavailable):
            upgrade(postgres_dsn)
    upgrade(postgres_dsn)


async def test_a_user_without_rights_is_told_so(postgres_dsn: str) -> None:
    """Since PostgreSQL 15 a user may make nothing in a database of somebody else: that is no absence, and no retry helps."""
    connection = await asyncpg.connect(postgres_dsn)
    name = await connection.fetchval("SELECT current_database()")
    await connection.execute(f"CREATE ROLE guest_{name}; ALTER ROLE ocs IN DATABASE {name} SET role = guest_{name}")
    try:
        with pytest.raises(migrate.SchemaRefusedError, match="permission denied for schema public"):
            upgrade(postgres_dsn)
    finally:
        await connection.execute(f"ALTER ROLE ocs IN DATABASE {name} RESET role; DROP ROLE guest_{name}")
        await connection.close()
