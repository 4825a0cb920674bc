"""Silent sessions end, whatever else lies in the store: the same name elsewhere, a record that nobody can read."""

from __future__ import annotations

import pytest

from balance.memory import MemoryStore
from balance.store import BackendUnavailable, Posting, PostingDone, PostingResult, PostingStatus
from balance.valkey import keys
from balance.valkey.store import ValkeyStore
from ocs.charging.request import RequestKind
from tests.scenario.traffic import accounting, diameter, group
from tests.scenario.world import Clock, OpensWorld, World, amount

INITIAL, UPDATE = RequestKind.INITIAL, RequestKind.UPDATE
TCC_MS = 600_000


async def _open_account(world: World, name: str) -> str:
    identity = f"e164:49151{ord(name):08d}"
    await world.desk.create_account(name, "EUR", "test-eur", 0, 0, actor="test")
    await world.desk.subscribers.create(f"S{name}", name, (identity,), "")
    await world.desk.top_up(name, amount("5.00"), "EUR", key="k", actor="test", reason="")
    return identity


async def _reserved(world: World, name: str) -> int:
    account = await world.desk.account(name)
    assert account is not None
    return account.buckets[0].reserved


async def test_112_a_name_that_two_accounts_have_open_ends_for_the_silent_one(open_world: OpensWorld) -> None:
    """A switch that was started anew counts its calls from one again: the old call of A and new ones of others share
    a name. A's reservation ends by its own deadline, and the others' calls go on."""
    one = await open_world()
    await one.open("5.00")
    await one.charge(accounting(one, INITIAL, "switch;1"))
    assert await _reserved(one, "A")
    identities = {name: await _open_account(one, name) for name in "BCDEFGHJ"}
    one.clock.now_ms += TCC_MS * 100
    others = []
    for name, identity in identities.items():
        worker = await open_world()
        await worker.charge(accounting(worker, INITIAL, "switch;1", identity=identity))
        if await _reserved(one, name):  # it is in another partition than A
            others.append(name)
    if isinstance(one.store, ValkeyStore):
        assert len({keys.partition_of(name, 4) for name in others}) == 3
    worker = await open_world()
    assert await worker.close_silent_sessions() == 1
    assert await _reserved(one, "A") == 0
    assert all([await _reserved(one, name) for name in others])


async def test_112_a_record_that_cannot_be_read_does_not_keep_the_others_open(open_world: OpensWorld) -> None:
    """Octets that are no session, first in the index: the silent session behind them is closed all the same."""
    world = await open_world()
    await world.open("5.00")
    await world.charge(diameter(world, INITIAL, "s", 0, group(ask=30)))
    if isinstance(world.store, MemoryStore):
        world.store.sessions["gy:bad"], world.store.deadlines["gy:bad"] = b"\xc1", 1
    else:
        partition = keys.partition_of("A", 4)
        await world.store.client.set(keys.session_key(partition, "gy:bad"), b"\xc1")
        await world.store.client.zadd(keys.deadlines_key(partition), {"gy:bad": 1})
    world.clock.now_ms += TCC_MS * 2
    assert await world.close_silent_sessions() == 1
    assert await _reserved(world, "A") == 0


async def test_24_an_update_without_a_number_finds_the_open_session_of_that_name(open_world: OpensWorld) -> None:
    """A's call ended and left its stored answer; the same name is open for another account, in another partition."""
    one = await open_world()
    await one.open("5.00")
    await one.charge(diameter(one, INITIAL, "s", 0, group(ask=30)))
    await one.charge(diameter(one, RequestKind.TERMINATION, "s", 1, group(10)))
    one.clock.now_ms += 60_000
    for name in "BCDEFGHJ":
        identity = await _open_account(one, name)
        await one.charge(diameter(one, INITIAL, "s", 0, group(ask=30), identity=identity))
        worker = await open_world()
        await worker.charge(diameter(worker, UPDATE, "s", 1, group(10, 30), identity=""))
        await worker.charge(diameter(worker, RequestKind.TERMINATION, "s", 2, group(10), identity=""))
        assert await _reserved(one, name) == 0, name


class TakesNothing(MemoryStore):
    """A store that can be read and not written: its disk is full."""

    def post(self, posting: Posting, done: PostingDone) -> None:
        done(PostingResult(PostingStatus.UNAVAILABLE))


async def test_112_a_store_that_refuses_writes_is_not_asked_without_end() -> None:
    """Sessions that could not be closed are not counted as closed: the round ends, and the next one tries again."""
    clock = Clock()
    world = World(MemoryStore(clock), clock)
    await world.open("5.00")
    await world.charge(diameter(world, INITIAL, "s", 0, group(ask=30)))
    clock.now_ms += TCC_MS * 2
    store = TakesNothing(clock)
    store.__dict__.update(vars(world.store))
    assert await World(store, clock).close_silent_sessions() == 0
    assert await world.close_silent_sessions() == 1


async def test_r70_calls_that_could_not_be_closed_are_not_reported_closed() -> None:
    """Accounting-Off while the store refuses writes: the switch gets no answer, says it again, and then it is true."""
    clock = Clock()
    world = World(MemoryStore(clock), clock)
    await world.open("5.00")
    await world.charge(accounting(world, INITIAL, "switch;1"))
    clock.now_ms += 1000
    store = TakesNothing(clock)
    store.__dict__.update(vars(world.store))
    with pytest.raises(BackendUnavailable):
        await World(store, clock).supervision.close_sessions("ra:switch;", clock(), "Accounting-Off")
    assert await world.supervision.close_sessions("ra:switch;", clock(), "Accounting-Off") == 1
    assert await _reserved(world, "A") == 0
