"""From a change of the account to the RADIUS gateway, by the stream of notices: CoA and Disconnect."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import redis.asyncio as redis

from balance.account import AccountState
from ocs import tasks
from ocs.charging.notice_stream import NoticeReader, NoticeStream
from ocs.charging.notifier import Notifier
from ocs.charging.recharge import AccountDesk
from ocs.net.radius_notices import RadiusNotices
from ocs.rating.load import load_currencies
from tests.integration.radius_world import Gateway
from tests.integration.test_radius_dynamic import CALL, START, Nas, cut_off_world
from tests.scenario.world import CONFIG

pytestmark = pytest.mark.integration

PROFILE = 'title = "x"\n[dynamic]\ndisconnect = true\nextend = "total"\nidentify = ["Acct-Session-Id"]\n'


@asynccontextmanager
async def told(gateway: Gateway, valkey_url: str) -> AsyncIterator[None]:
    """The desk says what it does, and the gateway's server listens."""
    client: Any = redis.Redis.from_url(valkey_url)
    world = gateway.world
    start_ms = int((await client.time())[0]) * 1000
    stream = NoticeStream(client, "test")
    notifier = Notifier(world.store, stream, lambda: start_ms)
    world.desk = AccountDesk(
        world.charging, world.store, world.clock, load_currencies(CONFIG / "currencies.toml"), notifier
    )
    taker = RadiusNotices(stream, gateway.server.dynamic, world.supervision.find_session)
    reading = asyncio.create_task(NoticeReader(stream, lambda: start_ms, {"ra": taker.take}).run())
    yield
    await notifier.close()
    await tasks.end([reading])
    await client.aclose()


@pytest.fixture
def extending(tmp_path: Path) -> Path:
    """A configuration whose profile can extend calls, by their total time."""
    shutil.copytree(CONFIG, tmp_path / "config")
    (tmp_path / "config" / "profiles" / "total.toml").write_text(PROFILE)
    return tmp_path / "config"


async def next_of(gateway: Gateway, nas: Nas, valkey_url: str, change: str) -> tuple[int, list[Any]]:
    """The request that a change of the account leads to: its code, and its Session-Timeout."""
    await gateway.account(START, CALL)
    async with told(gateway, valkey_url):
        if change == "top-up":
            await gateway.world.change("5.00")
        else:
            await gateway.world.set_state(AccountState[change])
        packet = await nas.next()
    return packet.code, list(packet["Session-Timeout"]) if "Session-Timeout" in packet.keys() else []  # noqa: SIM118


@pytest.mark.parametrize(
    ("change", "expected"),
    [("top-up", (43, [1500])), ("SUSPENDED", (40, [])), ("CLOSED", (40, []))],
)
async def test_77_79_radius_call_hears_of_its_account(
    extending: Path, valkey_url: str, change: str, expected: tuple[int, list[int]]
) -> None:
    """A top-up extends the call (CoA); a suspended or closed account ends it (Disconnect) [statements 77, 79]."""
    async with cut_off_world(config=extending, profile="total") as (gateway, nas):
        assert await next_of(gateway, nas, valkey_url, change) == expected
