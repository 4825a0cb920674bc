"""Every scenario is played twice: on the memory store, and on a real Valkey."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from balance.memory import MemoryStore
from balance.valkey.store import ValkeyStore, open_store
from ocs.charging.policy import QuotaPolicy
from tests.scenario.world import POLICY, Clock, OpensWorld, World


@pytest.fixture(params=["memory", "valkey"])
async def open_world(request: pytest.FixtureRequest) -> AsyncIterator[OpensWorld]:
    """A function that makes a world with a policy of the test's choice."""
    clock = Clock()
    store: MemoryStore | ValkeyStore
    if request.param == "memory":
        store = MemoryStore(clock)
    else:
        store = await open_store(request.getfixturevalue("valkey_url"), partitions=4)

    async def make(policy: QuotaPolicy = POLICY) -> World:
        return World(store, clock, policy)

    yield make
    if isinstance(store, ValkeyStore):
        await store.close()


@pytest.fixture
async def world(open_world: OpensWorld) -> World:
    """The usual world: quota 30 s or 1 MiB, Validity-Time 300 s, Tcc 600 s."""
    return await open_world()
