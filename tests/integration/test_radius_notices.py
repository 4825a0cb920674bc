"""A top-up, a suspension, a closure, an operator's word: gateways hear of them, from whichever daemon can ask them.

Two daemons' parts on one Valkey: the account is changed at one, and the gateway is asked by one of the two, once.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from redis.asyncio import Redis

from balance.account import AccountState
from ocs.charging.notice_stream import NoticeStream
from ocs.charging.notices import Change
from ocs.charging.notifier import Notifier
from ocs.net.radius_notices import RadiusNotices
from tests.integration.radius_world import Gateway, playing
from tests.integration.test_radius_dynamic import CALL, START, Nas, in_words, nas_port, session_of
from tests.scenario.world import CONFIG

pytestmark = pytest.mark.integration

PROFILE = 'title = "x"\n[dynamic]\ndisconnect = true\nextend = "total"\n'


class Daemons:
    """A gateway's world whose notices go through Valkey, and as many readers as there are daemons."""

    def __init__(self, gateway: Gateway, nas: Nas, notifier: Notifier) -> None:
        self.gateway = gateway
        self.nas = nas
        self.notifier = notifier


@asynccontextmanager
async def daemons(valkey_url: str, tmp_path: Path, balance: str = "10.00") -> AsyncIterator[Daemons]:
    shutil.copytree(CONFIG, tmp_path / "config")
    (tmp_path / "config" / "profiles" / "able.toml").write_text(PROFILE)
    with nas_port() as nas:
        async with (
            playing(balance, config=tmp_path / "config", profile="able", dynamic_authorization=nas.address) as gateway,
            Redis.from_url(valkey_url) as redis,
        ):
            world, server = gateway.world, gateway.server
            notices = [
                RadiusNotices(NoticeStream(redis, name), server.dynamic, world.supervision.find_session, world.clock)
                for name in ("one", "two")
            ]
            readers = [asyncio.create_task(each.run()) for each in notices]
            notifier = Notifier(world.store, NoticeStream(redis, "one"), world.clock)
            try:
                yield Daemons(gateway, nas, notifier)
            finally:
                await notifier.close()
                for reader in readers:
                    reader.cancel()
                    with contextlib.suppress(asyncio.CancelledError):
                        await reader


async def test_a_top_up_extends_a_call_on_its_last_money(valkey_url: str, tmp_path: Path) -> None:
    """By CoA, from one of the daemons, once."""
    async with daemons(valkey_url, tmp_path) as world:
        await world.gateway.account(START, CALL)
        await world.gateway.world.change("5.00")
        world.notifier.account_changed("A", Change.PAID_IN)
        packet = await world.nas.next()
        assert (packet.code, in_words(packet)["Session-Timeout"]) == (43, [1500])
        await world.nas.answer(packet, 44)
        await asyncio.sleep(0.1)
        assert world.nas.is_silent()
        assert await world.gateway.figures() == (1500, 1500)


@pytest.mark.parametrize(
    ("state", "change"), [(AccountState.SUSPENDED, Change.SUSPENDED), (AccountState.CLOSED, Change.CLOSED)]
)
async def test_an_account_that_is_stopped_ends_its_calls(
    state: AccountState, change: Change, valkey_url: str, tmp_path: Path
) -> None:
    """The gateway would not ask again."""
    async with daemons(valkey_url, tmp_path) as world:
        await world.gateway.account(START, CALL)
        await world.gateway.world.set_state(state)
        world.notifier.account_changed("A", change)
        assert (await world.nas.next()).code == 40


async def test_an_operator_ends_one_call(valkey_url: str, tmp_path: Path) -> None:
    """The money stays until the Stop."""
    async with daemons(valkey_url, tmp_path) as world:
        await world.gateway.account(START, CALL)
        await world.notifier.abort(await session_of(world.gateway), "operator: fraud")
        packet = await world.nas.next()
        assert (packet.code, in_words(packet)["Acct-Session-Id"]) == (40, ["s1"])
        assert await world.gateway.figures() == (1000, 1000)
