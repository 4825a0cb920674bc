"""From a charged call to the books, with the real core: the record is there, its price can be computed again."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from balance.counters import counted
from balance.valkey import keys
from balance.valkey.codec import encode_account
from balance.valkey.store import ValkeyStore, open_store
from ocs.auditor import audit
from ocs.billing.cdrs import list_cdrs, list_journal
from ocs.outbox.flusher import Flusher
from ocs.outbox.postgres import PostgresSink
from ocs.outbox.reader import OutboxReader, connect
from ocs.rating.price import cost_of
from tests.scenario.table import Table
from tests.scenario.test_counters import COUNTERS
from tests.scenario.world import Clock, World, amount

pytestmark = pytest.mark.integration

CALLS = """
    balance 5.00
    I s1 T1 ask             -> 30       | B 5.00 R 0.30
    I s2 D1 ask             -> 1048576
    U s1 used 30 ask        -> 30       | B 4.70
    top-up 1.00
    U s2 used 500000 ask    -> 1048576
    T s1 used 12            -> ok       | B 5.53
    E m1 S1 ask 1           -> 1
"""
REST = """
    T s2 used 100000        -> ok
"""


@pytest.fixture
async def world(valkey_url: str) -> AsyncIterator[World]:
    """The real core on a real Valkey."""
    store = await open_store(valkey_url, partitions=4)
    yield World(store, Clock())
    await store.close()


@pytest.fixture
async def books(valkey_url: str, billing_dsn: str) -> AsyncIterator[tuple[Flusher, Any]]:
    """A flusher that a test drives by hand, and a connection to read what it wrote."""
    sink = PostgresSink(billing_dsn)
    reader = OutboxReader(connect(valkey_url), sink.name, "one")
    connection = await asyncpg.connect(billing_dsn)
    yield Flusher(reader, sink, batch_max=3, idle_s=0.01), connection
    await connection.close()
    await sink.close()
    await reader.close()


async def test_every_price_in_the_books_can_be_computed_again(
    world: World, books: tuple[Flusher, Any], valkey_url: str, billing_dsn: str
) -> None:
    """Each record's cost is the sum of its groups', and each group's is its price for its use (statement 7)."""
    flusher, connection = books
    table = Table(world)
    await table.play(CALLS)
    assert (await audit(valkey_url, billing_dsn)).findings == []
    await flusher.flush_all()
    report = await audit(valkey_url, billing_dsn)
    assert (report.findings, report.open_sessions, report.waiting_entries) == ([], 1, 0)
    await _play_on(table, REST)
    await flusher.flush_all()
    assert (await audit(valkey_url, billing_dsn)).findings == []
    records = (await list_cdrs(connection, "A")).items
    assert sorted(record.service for record in records) == ["data", "sms", "voice"]
    for record in records:
        assert record.cost == sum(group.cost for group in record.groups)
        assert [group.cost for group in record.groups] == [cost_of(group.price, group.used) for group in record.groups]
    voice = next(record for record in records if record.service == "voice")
    assert (voice.cost, voice.groups[0].used) == (amount("0.42"), 42)


async def test_94_counters_are_proved_from_the_books(
    world: World, books: tuple[Flusher, Any], valkey_url: str, billing_dsn: str
) -> None:
    """With sessions open and closed the audit finds each count as the journal and the sessions say; a hand in it shows."""
    flusher, connection = books
    table = Table(world)
    await table.play(COUNTERS["94 two sessions at once cross the mark once"])
    await _play_on(table, "I s3 rising ask -> 30 | K 30\nU s3 used 20 ask -> 30")
    assert (await audit(valkey_url, billing_dsn)).findings == []
    await flusher.flush_all()
    assert (await audit(valkey_url, billing_dsn)).findings == []
    records = (await list_cdrs(connection, "A")).items
    assert [cost_of(each.groups[0].price, each.groups[0].used) for each in records] == [each.cost for each in records]
    account = await world.account()
    assert account.extras is not None
    counter = account.extras.counters[0]
    wrong = counted(account, counter, (1, 0), (0, 0))
    assert isinstance(world.store, ValkeyStore)
    key = keys.account_key(keys.partition_of("A", world.store.partitions), "A")
    await world.store.client.set(key, encode_account(wrong))
    (finding,) = (await audit(valkey_url, billing_dsn)).findings
    assert f"bucket {counter.slot}: the balance is -121, expected -120" in finding.differences[0]


async def test_the_journal_adds_up_to_the_balance(world: World, books: tuple[Flusher, Any]) -> None:
    """All sessions closed: the sum of all entries is what the account has (statement 1)."""
    flusher, connection = books
    table = Table(world)
    await table.play(CALLS + REST)
    await flusher.flush_all()
    entries = (await list_journal(connection, "A")).items
    booked, reserved, _ = await world.figures()
    assert (sum(entry.amount for entry in entries), reserved) == (booked, 0)
    assert [entry.entry_number for entry in entries] == list(range(len(entries), 0, -1))


async def _play_on(table: Table, text: str) -> None:
    for line in text.strip().splitlines():
        await table._line(line.strip())
