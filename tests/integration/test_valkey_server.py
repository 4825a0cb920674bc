"""The operator's own Valkey is looked at before money is trusted to it."""

from __future__ import annotations

from pathlib import Path

import pytest
import redis.asyncio as redis
from structlog.testing import capture_logs

from balance.valkey.server import Examination, examine, judge
from ocs.charging.request import ChargingStatus, RequestKind
from ocs.daemon import open_checked_store
from ocs.embedded.folder import DataFolder
from ocs.embedded.valkey import EmbeddedValkey
from ocs.errors import EXIT_CONFIG, StartRefusedError
from tests.scenario.traffic import diameter, granted, group
from tests.scenario.world import Clock, World

SAFE = {"appendonly": "yes", "appendfsync": "always", "maxmemory": "0", "maxmemory-policy": "noeviction"}


@pytest.mark.parametrize(
    ("config", "unfit", "lax"),
    [
        ({}, "", ""),
        ({"maxmemory": "1000", "maxmemory-policy": "volatile-ttl"}, "", ""),
        ({"maxmemory-policy": "allkeys-lru"}, "", ""),  # without a bound nothing is dropped
        ({"maxmemory": "1000", "maxmemory-policy": "allkeys-lru"}, "allkeys-lru would drop accounts", ""),
        ({"cluster-enabled": "yes"}, "cluster mode", ""),
        ({"appendonly": "no"}, "", "appendonly yes"),
        ({"appendfsync": "everysec"}, "", "appendfsync is everysec"),
    ],
)
def test_what_breaks_a_promise_is_named_with_its_cure(config: dict[str, str], unfit: str, lax: str) -> None:
    """What would lose money is refused, what may lose a moment is said."""
    found = judge(SAFE | config)
    assert [bool(found.unfit), bool(found.lax)] == [bool(unfit), bool(lax)]
    assert unfit in "".join(found.unfit)
    assert lax in "".join(found.lax)


@pytest.mark.integration
async def test_a_daemon_refuses_a_store_that_would_drop_accounts(tmp_path: Path) -> None:
    """A real server: one line with the cure and the status "repair a file"; with a lax one it starts and says so."""
    folder = DataFolder(tmp_path / "data")
    with folder.locked():
        server = EmbeddedValkey(folder, "everysec", 100_000_000)
        child = server.start()
        try:
            async with redis.Redis.from_url(server.url) as client:
                assert (await examine(client)).unfit == ()
                with capture_logs() as lines:
                    await (await open_checked_store(server.url, 4)).close()
                assert [line["why"] for line in lines if line["event"] == "valkey_promises_less"]
                await client.config_set("maxmemory-policy", "allkeys-lru")
                with pytest.raises(StartRefusedError, match="volatile-ttl") as refusal:
                    await open_checked_store(server.url, 4)
                assert refusal.value.exit_status == EXIT_CONFIG
                await client.acl_setuser("default", commands=["-config"])
                assert await examine(client) == Examination()
        finally:
            server.stop(child)


@pytest.mark.integration
async def test_a_server_without_room_is_not_ready_and_is_no_flood_of_lines(tmp_path: Path) -> None:
    """Valkey answers and takes no writes: requests are unavailable, one line says so for all, and it is over with the cause."""
    folder = DataFolder(tmp_path / "data")
    with folder.locked():
        server = EmbeddedValkey(folder)
        child = server.start()
        try:
            store = await open_checked_store(server.url, 4)
            world = World(store, Clock())
            await world.open("5.00")
            await store.probe()
            await store.client.config_set("maxmemory", "1")
            with capture_logs() as lines:
                for number in range(30):
                    answer = await world.charge(diameter(world, RequestKind.INITIAL, f"s{number}", 0, group(ask=10)))
                    assert answer.status is ChargingStatus.UNAVAILABLE
            assert [line["event"] for line in lines] == ["valkey_refused_command"]
            with pytest.raises(redis.RedisError, match="maxmemory"):
                await store.probe()
            await store.client.config_set("maxmemory", "0")
            await store.probe()
            assert granted(await world.charge(diameter(world, RequestKind.INITIAL, "s0", 0, group(ask=10)))) == 10
            await store.close()
        finally:
            server.stop(child)
