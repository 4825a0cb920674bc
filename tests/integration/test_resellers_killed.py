"""kill -9 of the daemon when the reseller is charged and its customer is not: the next daemon charges both exactly once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from balance.valkey.store import ValkeyStore, open_store
from ocs.charging.request import RequestKind
from ocs.charging.session import decode_session
from tests.integration.cutting_proxy import Cut, CuttingProxy
from tests.scenario.sockets import PARTITIONS, Gateway, ServedOcs, SocketWorld
from tests.scenario.table import Table
from tests.scenario.test_levels import nothing_waits
from tests.scenario.traffic import diameter, group
from tests.scenario.world import APART, IDENTITY, Clock, World, amount

pytestmark = pytest.mark.integration


@pytest.fixture
async def world(valkey_url: str) -> AsyncIterator[World]:
    """What stands in Valkey, seen beside the daemons: A with 1.00 and its reseller with 5.00, in another partition."""
    store = await open_store(valkey_url, PARTITIONS)
    assert isinstance(store, ValkeyStore)
    world = World(store, Clock())
    await world.open_reseller("5.00", is_apart=True)
    await world.open("1.00")
    yield world
    await store.close()


async def balances(world: World) -> list[int]:
    """Booked at A and at its reseller, as it stands in the store now."""
    seen = World(world.store, world.clock)
    return [(await seen.figures(name))[0] for name in ("A", APART)]


async def until(world: World, *texts: str) -> None:
    """The two have these balances; nobody here has a hand in it."""
    while True:
        if await balances(world) == [amount(text) for text in texts]:
            return
        await asyncio.sleep(0.05)


def client_of(served: ServedOcs, gateway: Gateway) -> Table:
    """A Diameter client whose calls are A's."""
    client = SocketWorld(served, gateway)
    client.number = IDENTITY.partition(":")[2]
    return Table(client)


async def test_118_a_daemon_dies_between_the_two_steps(
    world: World, valkey_url: str, tmp_path: Path, project_root: Path
) -> None:
    """A reported use is charged to both by the one that comes after it, though its client says nothing more; then the call ends as ever."""
    folders = [tmp_path / name for name in ("first", "second")]
    for folder in folders:
        folder.mkdir()
    async with CuttingProxy(valkey_url).running() as proxy:
        first = await asyncio.to_thread(ServedOcs, folders[0], project_root, proxy.url, account_rules="")
        gateway = None
        try:
            await asyncio.to_thread(first.wait_ready)
            gateway = await asyncio.to_thread(Gateway, first.ports[3868])
            table = client_of(first, gateway)
            await table._line("I s1 T1 ask -> 30")
            assert await balances(world) == [amount("1.00"), amount("5.00")]
            await nothing_waits(world)
            proxy.arm(Cut.BEFORE_POSTING, after=1)
            lost = asyncio.ensure_future(table.world.charge(table.request(["U", "s1", "used", "30", "ask"])))
            await proxy.has_cut.wait()
            assert await balances(world) == [amount("1.00"), amount("4.88")]
        finally:
            first.kill()
            if gateway is not None:
                await asyncio.to_thread(gateway.close)
        lost.cancel()
        await asyncio.gather(lost, return_exceptions=True)
    second = await asyncio.to_thread(ServedOcs, folders[1], project_root, valkey_url, account_rules="")
    try:
        second.clock.now_ms += 31_000
        await asyncio.to_thread(second.wait_ready)
        await until(world, "0.70", "4.88")
        seen = World(world.store, second.clock)  # one more worker: the call goes on, and ends as ever
        seen.reseller, seen.is_apart = APART, True
        (value,) = await world.store.open_sessions("A")
        session_id = decode_session(value).session_key.removeprefix("gy:")  # type: ignore[union-attr]
        await seen.charge(diameter(seen, RequestKind.TERMINATION, session_id, 2, group(12)))
        assert [await seen.figures(name) for name in ("A", APART)] == [
            (amount(left), 0, amount(left)) for left in ("0.58", "4.832")
        ]
        await seen.check_books()
        await nothing_waits(seen)
    finally:
        await asyncio.to_thread(second.stop)
