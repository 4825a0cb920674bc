"""Octets in Valkey that are no record of ours cost the requests that need them, and nobody else."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from balance.valkey import keys
from balance.valkey.store import ValkeyStore, open_store
from ocs.charging.request import ChargingStatus, RequestKind
from tests.scenario.traffic import diameter, granted, group
from tests.scenario.world import IDENTITY, Clock, World, amount

pytestmark = pytest.mark.integration

PARTITIONS = 4
GARBAGE = b"\xc1 no record"
OTHER = "e164:4915100000002"


@pytest.fixture
async def store(valkey_url: str) -> AsyncIterator[ValkeyStore]:
    """A real store."""
    store = await open_store(valkey_url, PARTITIONS)
    yield store
    await store.close()


@pytest.mark.parametrize("what", ["account", "session", "identity"])
async def test_a_record_that_cannot_be_read_costs_its_own_requests_only(store: ValkeyStore, what: str) -> None:
    """Each request that needs it is answered, at a worker with memory and at one without; others are served as ever."""
    partition = keys.partition_of("A", PARTITIONS)
    key = {
        "account": keys.account_key(partition, "A"),
        "session": keys.session_key(partition, "gy:s"),
        "identity": keys.identity_key(IDENTITY),
    }[what]
    world = World(store, Clock())
    await world.open("5.00")
    await world.desk.create_account("A2", "EUR", "test-eur", 0, 0, actor="test")
    await world.desk.subscribers.create("S2", "A2", (OTHER,), "")
    await world.desk.top_up("A2", amount("5.00"), "EUR", key="k", actor="test", reason="")
    await store.client.set(key, GARBAGE)
    for attempt in range(3):
        for worker in (World(store, Clock()), world)[: 1 if what == "identity" else 2]:
            answer = await worker.charge(diameter(worker, RequestKind.INITIAL, "s", 0, group(ask=10)))
            assert answer.status in {ChargingStatus.INTERNAL_FAULT, ChargingStatus.UNAVAILABLE}
        other = diameter(world, RequestKind.INITIAL, f"other {attempt}", 0, group(ask=10), identity=OTHER)
        assert granted(await world.charge(other)) == 10
    assert await store.client.get(key) == GARBAGE
