"""The outbox on real servers: what is appended arrives once in effect, whatever is killed in between."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

import asyncpg
import pytest
from msgspec import structs

from balance.account import Hold
from balance.store import BackendUnavailable
from balance.valkey import keys
from ocs.billing.groups import decode_details, decode_groups
from ocs.billing.months import LOCK_KEY, Month, make_month
from ocs.charging.cdr import Cdr, CdrGroup, JournalEntry, encode_entry
from ocs.outbox.flusher import Flusher
from ocs.outbox.postgres import PostgresSink
from ocs.outbox.reader import STATUS_KEY, OutboxReader, connect, dead_key
from ocs.outbox.sinks import EntryRefused, OutboxEntry, Sink, Written
from ocs.rating.price import Price
from ocs.rating.units import UnitKind

pytestmark = pytest.mark.integration

PARTITIONS = 4
NOW_MS = 1_800_000_000_123


def session_entry(account_id: str, number: int, cost: int = 5, session_id: str = "") -> JournalEntry:
    """An entry as a closed call leaves it."""
    price = Price(UnitKind.SECONDS, 0, 60, 1, 300, 300, 60)
    group = CdrGroup(10, (1, 2), UnitKind.SECONDS, 61, cost, "voice", "Germany", "49", "deck.csv:7", price)
    cdr = Cdr(
        session_id or f"{account_id};{number}",
        "gy",
        "pgw.example",
        "sub-1",
        "voice",
        "4930123",
        "4915112345",
        NOW_MS - 61_000,
        NOW_MS,
        cost,
        "0123456789ab",
        (group,),
        "normal",
        2,
        (("release-source", "2"), ("h323-ivr-out", "a\x00b")),
        "retail-eur",
        "26202",
    )
    return JournalEntry(account_id, number, NOW_MS, "session", "EUR", (Hold(0, -cost),), cdr=cdr)


def top_up(account_id: str, number: int, amount: int = 100) -> JournalEntry:
    """An entry without a record."""
    return JournalEntry(account_id, number, NOW_MS, "top_up", "EUR", (Hold(0, amount), Hold(7, 3)), "key-1", "api", "x")


class World:
    """A store with partitions, a database, and as many flushers as a test wants."""

    def __init__(self, valkey_url: str, dsn: str, connection: asyncpg.Connection) -> None:
        self.valkey_url = valkey_url
        self.dsn = dsn
        self.sql: Any = connection
        self.valkey: Any = connect(valkey_url)

    async def append(self, *entries: JournalEntry) -> None:
        for entry in entries:
            await self.append_raw(entry.account_id, encode_entry(entry))

    async def append_raw(self, account_id: str, raw: bytes) -> None:
        await self.valkey.xadd(keys.outbox_key(keys.partition_of(account_id, PARTITIONS)), {"e": raw})

    def flusher(self, sink: Sink | None = None, consumer: str = "one", batch_max: int = 100) -> Flusher:
        sink = sink or PostgresSink(self.dsn)
        reader = OutboxReader(connect(self.valkey_url), sink.name, consumer)
        return Flusher(reader, sink, batch_max=batch_max, idle_s=0.01, clock_ms=lambda: NOW_MS)

    async def numbers(self, table: str = "journal") -> list[tuple[str, int]]:
        rows = await self.sql.fetch(f"SELECT account_id, entry_number FROM {table} ORDER BY 1, 2")
        return [(row[0], row[1]) for row in rows]

    async def left(self) -> int:
        lengths = [await self.valkey.xlen(keys.outbox_key(partition)) for partition in range(PARTITIONS)]
        pending = [await self.valkey.xpending(keys.outbox_key(p), "billing") for p in range(PARTITIONS)]
        return int(sum(lengths) + sum(entry["pending"] for entry in pending))

    async def buried(self) -> list[dict[bytes, bytes]]:
        found = [await self.valkey.xrange(dead_key(partition)) for partition in range(PARTITIONS)]
        return [fields for entries in found for _, fields in entries]


async def until(ask: Callable[[], Awaitable[Any]], worker: asyncio.Task[Any] | None = None) -> Any:
    """Ask the other side again until it says something true: its state has no event to wait for.

    When ``worker``, which should bring it about, has failed, that is raised instead of waiting in vain.
    """
    for _ in range(12_000):
        if worker is not None and worker.done():
            worker.result()
        if answer := await ask():
            return answer
        await asyncio.sleep(0.01)
    raise AssertionError("it never happened")


async def close(flusher: Flusher) -> None:
    await flusher._sink.close()
    await flusher._reader.close()


@pytest.fixture
async def world(valkey_url: str, billing_dsn: str) -> AsyncIterator[World]:
    """An empty outbox and empty books."""
    connection = await asyncpg.connect(billing_dsn)
    world = World(valkey_url, billing_dsn, connection)
    await world.valkey.set(keys.PARTITIONS_KEY, PARTITIONS)
    yield world
    await world.valkey.aclose()
    await connection.close()


async def test_entries_and_records_arrive_and_leave_the_outbox(world: World) -> None:
    """Every field of an entry and of its record stands in the books, and the streams are empty again."""
    await world.append(top_up("a", 1), session_entry("a", 2), top_up("b", 1), session_entry("c", 1, cost=2**62))
    flusher = world.flusher()
    assert await flusher.flush_all() == 4
    assert await world.numbers() == [("a", 1), ("a", 2), ("b", 1), ("c", 1)]
    assert await world.numbers("cdr") == [("a", 2), ("c", 1)]
    row = await world.sql.fetchrow("SELECT * FROM journal WHERE account_id = 'a' AND entry_number = 1")
    assert (row["kind"], row["amount"], row["bucket_ids"], row["bucket_amounts"]) == ("top_up", 103, [0, 7], [100, 3])
    assert (row["reference"], row["actor"], row["reason"]) == ("key-1", "api", "x")
    record = await world.sql.fetchrow("SELECT * FROM cdr WHERE account_id = 'c'")
    assert (record["rate_plan"], record["whereabouts"]) == ("retail-eur", "26202")
    assert decode_details(record["details"]) == {"release-source": "2", "h323-ivr-out": "a\ufffdb"}
    assert record["cost"] == 2**62
    assert decode_groups(record["groups"])[0].price.initial_rate == 300
    assert await world.left() == 0
    await close(flusher)


class LosesTheAnswer:
    """A sink whose COMMIT is done and whose answer never comes, a given number of times."""

    name = "billing"

    def __init__(self, inner: Sink, times: int) -> None:
        self._inner = inner
        self._times = times

    async def write(self, batch: Sequence[OutboxEntry]) -> Written:
        written = await self._inner.write(batch)
        if self._times:
            self._times -= 1
            raise BackendUnavailable("the connection was lost after COMMIT")
        return written

    async def close(self) -> None:
        await self._inner.close()


async def test_a_commit_whose_answer_was_lost_is_written_again_without_doubles(world: World) -> None:
    """The batch is repeated after the failure; the primary key takes it once."""
    await world.append(*[session_entry("a", number) for number in range(1, 21)])
    flusher = world.flusher(LosesTheAnswer(PostgresSink(world.dsn), 1), batch_max=100)
    await flusher.flush_all()
    assert len(await world.numbers()) == len(await world.numbers("cdr")) == 20
    assert await world.left() == 0
    assert await world.buried() == []
    await close(flusher)


class Dies:
    """A sink that takes the whole process with it: what comes after it never happens."""

    name = "billing"

    def __init__(self, inner: Sink, is_written: bool) -> None:
        self._inner = inner
        self._is_written = is_written

    async def write(self, batch: Sequence[OutboxEntry]) -> Written:
        if self._is_written:
            await self._inner.write(batch)
        raise KeyboardInterrupt

    async def close(self) -> None:
        await self._inner.close()


@pytest.mark.parametrize("is_written", [False, True], ids=["before COMMIT", "after COMMIT"])
@pytest.mark.parametrize("successor", ["one", "two"], ids=["the same consumer", "another consumer"])
async def test_a_batch_of_a_dead_flusher_is_delivered_again(
    world: World, is_written: bool, successor: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed with a batch in hand: the successor of the same name finds it at once, another one claims it."""
    monkeypatch.setattr("ocs.outbox.reader.CLAIM_IDLE_MS", 0)
    await world.append(*[session_entry("a", number) for number in range(1, 6)])
    first = world.flusher(Dies(PostgresSink(world.dsn), is_written))
    with pytest.raises(KeyboardInterrupt):
        await first.flush_all()
    await close(first)
    second = world.flusher(consumer=successor)
    await second.flush_all()
    await second.flush_all()
    assert await world.numbers() == [("a", number) for number in range(1, 6)]
    assert await world.left() == 0
    await close(second)


async def test_what_is_no_entry_is_buried_and_holds_nothing_up(world: World) -> None:
    """Octets that do not decode go to the dead stream with the reason; their neighbours are delivered."""
    await world.append(top_up("a", 1))
    await world.append_raw("a", b"\xc1 no entry")
    await world.valkey.xadd(keys.outbox_key(0), {"other": "field"})
    await world.append(top_up("a", 2))
    flusher = world.flusher()
    await flusher.flush_all()
    assert await world.numbers() == [("a", 1), ("a", 2)]
    assert sorted(fields[b"e"] for fields in await world.buried()) == [b"", b"\xc1 no entry"]
    assert await world.left() == 0
    assert flusher.buried == 2
    await close(flusher)


REFUSED = {
    "number 0": top_up("a", 0),
    "beyond 63 bits": JournalEntry("a", 9, NOW_MS, "top_up", "EUR", (Hold(0, 2**63),)),
    "sum beyond 63 bits": JournalEntry("a", 9, NOW_MS, "top_up", "EUR", (Hold(0, 2**63 - 1), Hold(1, 1))),
    "beyond the year 9999": JournalEntry("a", 9, 2**60, "top_up", "EUR", (Hold(0, 1),)),
    "an account's name too long for an index": top_up("x" * 1_000_000, 1),
}


@pytest.mark.parametrize("refused", REFUSED.values(), ids=REFUSED.keys())
async def test_an_entry_that_is_refused_is_found_and_buried(world: World, refused: JournalEntry) -> None:
    """One value that PostgreSQL will never take does not stop the others of the batch."""
    await world.append(*[top_up("a", number) for number in range(1, 6)])
    # Incompressible names are what an index refuses.
    if len(refused.account_id) > 1:
        refused = top_up("".join(chr(0x4E00 + (number * 7919) % 20_000) for number in range(10_000)), 1)
    await world.append(refused)
    await world.append(*[top_up("b", number) for number in range(1, 6)])
    flusher = world.flusher()
    await flusher.flush_all()
    assert len(await world.numbers()) == 10
    assert [fields[b"e"] for fields in await world.buried()] == [encode_entry(refused)]
    assert await world.left() == 0
    await close(flusher)


async def test_text_that_postgresql_cannot_hold_is_replaced(world: World) -> None:
    """A NUL in a peer's Session-Id and a very long destination do not cost the record."""
    entry = session_entry("a", 1, session_id="x\x00y" + "z" * 5000)
    assert entry.cdr is not None
    long_name = "".join(chr(0x4E00 + (number * 7919) % 20_000) for number in range(10_000))
    await world.append(structs.replace(entry, cdr=structs.replace(entry.cdr, destination=long_name)))
    flusher = world.flusher()
    await flusher.flush_all()
    assert (await world.sql.fetchval("SELECT session_id FROM cdr")).startswith("x\ufffdyz")
    assert await world.buried() == []
    await close(flusher)


async def test_another_entry_under_a_number_that_is_taken_is_buried_not_dropped(world: World) -> None:
    """A store that went back in time gives numbers twice: the second entry is kept for an operator."""
    await world.append(top_up("a", 1, amount=100))
    flusher = world.flusher()
    await flusher.flush_all()
    await world.append(top_up("a", 1, amount=200), top_up("a", 1, amount=100), top_up("a", 2))
    await flusher.flush_all()
    assert await world.sql.fetchval("SELECT array_agg(amount ORDER BY entry_number) FROM journal") == [103, 103]
    assert [fields[b"e"] for fields in await world.buried()] == [encode_entry(top_up("a", 1, amount=200))]
    assert await world.left() == 0
    await close(flusher)


class Away:
    """A sink that is away for some attempts."""

    name = "billing"

    def __init__(self, inner: Sink, times: int) -> None:
        self._inner = inner
        self.times = times

    async def write(self, batch: Sequence[OutboxEntry]) -> Written:
        if self.times:
            self.times -= 1
            raise BackendUnavailable("away")
        return await self._inner.write(batch)

    async def close(self) -> None:
        await self._inner.close()


async def test_while_the_books_are_away_the_backlog_waits_and_is_visible(world: World) -> None:
    """Nothing is acknowledged, the sign of life says how much waits, and all arrives after the return."""
    await world.append(*[top_up("a", number) for number in range(1, 11)])
    sink = Away(PostgresSink(world.dsn), 10_000)
    flusher = world.flusher(sink)
    task = asyncio.create_task(flusher.run())
    status = json.loads(await until(lambda: world.valkey.get(STATUS_KEY), task))
    assert (status["backlog"], status["sink_up"]) == (10, False)
    assert await world.numbers() == []
    sink.times = 0
    await until(lambda: world.sql.fetchval("SELECT count(*) = 10 FROM journal"), task)
    flusher.stop()
    await task
    final = json.loads(await world.valkey.get(STATUS_KEY))
    assert (final["backlog"], final["flushed"], final["sink_up"]) == (0, 10, True)
    await close(flusher)


async def test_a_stop_while_the_books_are_away_leaves_the_batch_in_the_outbox(world: World) -> None:
    """The process ends promptly, and its successor delivers what it had in hand."""
    await world.append(top_up("a", 1))
    flusher = world.flusher(Away(PostgresSink(world.dsn), 10_000))
    task = asyncio.create_task(flusher.run())
    await until(lambda: world.valkey.get(STATUS_KEY), task)
    flusher.stop()
    await asyncio.wait_for(task, 30)
    await close(flusher)
    successor = world.flusher()
    assert await successor.flush_all() == 1
    await close(successor)


async def test_a_wiped_store_gets_its_groups_again(world: World) -> None:
    """After FLUSHALL the groups are gone: the flusher reports Valkey as away once and makes them anew."""
    flusher = world.flusher()
    await world.append(top_up("a", 1))
    await flusher.flush_all()
    await world.valkey.flushall()
    await world.valkey.set(keys.PARTITIONS_KEY, PARTITIONS)
    await world.append(top_up("a", 2))
    with pytest.raises(BackendUnavailable, match="NOGROUP"):
        await flusher.flush_all()
    await flusher.flush_all()
    assert await world.numbers() == [("a", 1), ("a", 2)]
    await close(flusher)


async def test_a_store_that_is_not_created_yet_is_waited_for(world: World) -> None:
    """Without the number of partitions nothing is guessed."""
    await world.valkey.delete(keys.PARTITIONS_KEY)
    flusher = world.flusher()
    with pytest.raises(BackendUnavailable, match="not created"):
        await flusher.flush_all()
    await close(flusher)


@pytest.mark.parametrize("dsn", ["postgresql://nobody@127.0.0.1:1/none", "this is no dsn"])
async def test_a_database_out_of_reach_is_unavailable_and_never_a_refusal(dsn: str) -> None:
    """No entry is ever blamed for a wrong address."""
    sink = PostgresSink(dsn)
    item = OutboxEntry(0, "1-0", top_up("a", 1), b"")
    with pytest.raises(BackendUnavailable):
        await sink.write([item])


async def test_a_lax_database_is_made_to_commit_to_disk(world: World) -> None:
    """With synchronous_commit off a COMMIT could be lost after the outbox forgot the entry: the session sets it on."""
    database = await world.sql.fetchval("SELECT current_database()")
    await world.sql.execute(f"ALTER DATABASE {database} SET synchronous_commit = off")
    sink = PostgresSink(world.dsn)
    await sink.write([OutboxEntry(0, "1-0", top_up("a", 1), b"")])
    assert await sink._connection.fetchval("SHOW synchronous_commit") == "on"
    await sink.close()


async def test_a_refusal_leaves_the_sink_usable(world: World) -> None:
    """After EntryRefused the next batch goes through on a fresh connection."""
    sink = PostgresSink(world.dsn)
    with pytest.raises(EntryRefused):
        await sink.write([OutboxEntry(0, "1-0", top_up("a", 0), b"")])
    assert (await sink.write([OutboxEntry(0, "1-1", top_up("a", 1), b"")])).added == 1
    await sink.close()


async def test_a_month_that_is_made_meanwhile_refuses_no_record(world: World) -> None:
    """Rows on their way to where the month was not yet would be refused, and set aside as if they were wrong."""
    other = await asyncpg.connect(world.dsn)
    flusher = world.flusher()
    await world.append(session_entry("a", 1))
    try:
        async with other.transaction():
            await other.execute("SELECT pg_advisory_xact_lock($1)", LOCK_KEY)
            await make_month(other, Month.of(NOW_MS - 61_000))
            flushing = asyncio.create_task(flusher.flush_all())
            await until(lambda: world.sql.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"), flushing)
        assert await flushing == 1
    finally:
        await other.close()
        await close(flusher)
    assert (await world.numbers("cdr"), await world.buried()) == ([("a", 1)], [])
