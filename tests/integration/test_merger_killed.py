"""kill -9 of a real process in mid-merger: all that one account had is in one of the two, once, whoever goes on with it."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from typing import Final

import pytest

from balance.account import AccountState
from balance.valkey.store import open_store
from ocs.charging.request import RequestKind
from ocs.clock import now_ms
from tests.integration.cutting_proxy import Cut, CuttingProxy
from tests.integration.test_account_commands import PARTITIONS, world
from tests.scenario.traffic import diameter, granted, group
from tests.scenario.world import IDENTITY, World, amount

__all__ = ["world"]

pytestmark = pytest.mark.integration

COMMAND: Final = (sys.executable, "-m", "ocs", "account", "merge", "A", "B", "--reason", "a wish", "--key", "m1")
LIMIT_S: Final = 120


@pytest.fixture
async def proxy(world: World, valkey_url: str) -> AsyncIterator[CuttingProxy]:
    """Between the command and the Valkey of the world."""
    async with CuttingProxy(valkey_url).running() as running:
        yield running


async def _merge(url: str, dsn: str) -> asyncio.subprocess.Process:
    environment = {**os.environ, "OCS_VALKEY_URL": url, "OCS_POSTGRES_DSN": dsn}
    return await asyncio.create_subprocess_exec(
        *COMMAND, env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )


@pytest.mark.parametrize(
    ("postings", "cut", "has_begun", "is_repeated"),
    [
        (0, Cut.BEFORE_POSTING, False, True),
        (0, Cut.BEFORE_REPLY, True, False),
        (1, Cut.BEFORE_POSTING, True, True),
        (1, Cut.BEFORE_REPLY, True, False),
    ],
    ids=["before it begins", "it has left", "on its way", "it has arrived"],
)
async def test_a_merger_is_killed(
    world: World,
    proxy: CuttingProxy,
    valkey_url: str,
    billing_dsn: str,
    postings: int,
    cut: Cut,
    has_begun: bool,
    is_repeated: bool,
) -> None:
    """Nothing is lost or doubled, and it comes to its end: by the same command once more, or by the daemon's supervision."""
    await world.desk.top_up("B", amount("2.00"), "EUR", key="k", actor="test", reason="")
    await world.buy("60-seconds")
    whole = sum([(await world.figures(name))[0] for name in "AB"])
    proxy.arm(cut, after=postings)
    process = await _merge(proxy.url, billing_dsn)
    async with asyncio.timeout(LIMIT_S):
        await proxy.has_cut.wait()
        process.kill()
        await process.wait()
    held = sum([(await world.figures(name))[0] for name in "AB"])
    on_its_way = has_begun and (postings, cut) != (1, Cut.BEFORE_REPLY)
    assert (held < whole) is on_its_way

    if is_repeated:
        again = await _merge(valkey_url, billing_dsn)
        output, _ = await asyncio.wait_for(again.communicate(), LIMIT_S)
        assert (again.returncode, b"done" in output) == (0, True), output
    # A daemon that starts: another store, another memory; its clock is past what a merger may take.
    store = await open_store(valkey_url, PARTITIONS)
    try:
        daemon = World(store, world.clock)
        world.clock.now_ms = now_ms() + 40_000
        await daemon.close_silent_sessions()
        assert await store.due(world.clock(), 10) == []
        assert [(await daemon.figures(name))[0] for name in "AB"] == [0, whole]
        giver, taker = await daemon.account("A"), await daemon.account("B")
        assert (giver.state, giver.extras and giver.extras.merged_into) == (AccountState.CLOSED, "B")
        assert [each.balance for each in (taker.extras.units if taker.extras else ())] == [60]
        subscriber = await daemon.desk.subscribers.read("S")
        assert subscriber is not None
        assert subscriber.account_id == "B"
        assert granted(
            await daemon.charge(diameter(daemon, RequestKind.INITIAL, "s", 0, group(ask=0), identity=IDENTITY))
        )
        entries = [entry for entry in await daemon.entries() if entry.kind == "merge"]
        assert sum(change.amount for entry in entries for change in entry.changes) == 0
        for name in "AB":
            daemon.account_id = name
            await daemon.check_books()
    finally:
        await store.close()
