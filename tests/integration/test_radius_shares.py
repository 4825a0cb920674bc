"""How much of an account's money one call may hold at once: all of it, a share, or so many seconds, by its plan [R-46]."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from ocs.rating.load import load_ratebook
from tests.integration.radius_world import Gateway, playing
from tests.integration.test_radius_dynamic import Nas, in_words, nas_port
from tests.scenario.world import CONFIG, START_MS

pytestmark = pytest.mark.integration

USER = "4915100000001"
START, STOP, INTERIM = 1, 2, 3
Opens: TypeAlias = Callable[..., AbstractAsyncContextManager[tuple[Gateway, Nas]]]


@pytest.fixture
def limited(tmp_path: Path) -> Opens:
    """A gateway in mid-call reach, whose account's plan has these words in [authorization]."""

    @asynccontextmanager
    async def opened(words: str, balance: str = "10.00", **client: Any) -> AsyncIterator[tuple[Gateway, Nas]]:
        config = tmp_path / "config"
        shutil.copytree(CONFIG, config)
        plan = config / "rateplans" / "test-eur.toml"
        plan.write_text(plan.read_text(encoding="utf-8") + f"\n[authorization]\n{words}\n", encoding="utf-8")
        profile = 'title = "x"\n[dynamic]\nextend = "total"\nidentify = ["Acct-Session-Id"]\n'
        (config / "profiles" / "extending.toml").write_text(profile, encoding="utf-8")
        with nas_port() as nas:
            options: dict[str, Any] = {
                "config": config,
                "profile": "extending",
                "dynamic_authorization": nas.address,
            } | client
            async with playing(balance, **options) as gateway:
                result = load_ratebook(config, START_MS)
                assert result.book is not None, result.faults
                gateway.world.charging.rates = result.book
                yield gateway, nas

    return opened


def call(number: int) -> dict[int, Any]:
    return {1: USER, 31: USER, 32: "gw1", 30: f"10055{number}", 44: f"s{number}"}


async def test_r46_r47_four_calls_share_the_money(limited: Opens) -> None:
    """A quarter each of what there is, held or free; the fifth finds nothing."""
    async with limited("share = 4", profile="generic") as (gateway, _):
        for number in range(4):
            assert (await gateway.access(call(number)))["seconds"] == 250
            assert await gateway.figures() == (1000, 250 * (number + 1))
        fifth = await gateway.access(call(5))
        assert (fifth["code"], fifth["return_code"]) == (3, "3")
        await gateway.account(START, call(0))
        await gateway.account(INTERIM, {**call(0), 46: 100})
        assert await gateway.figures() == (900, 900), "what the other calls leave"
        await gateway.account(STOP, {**call(0), 46: 400})
        assert (await gateway.figures())[0] == 600, "use beyond the share is charged in full [R-66]"


async def test_r46_a_share_is_at_least_an_increment(limited: Opens) -> None:
    """Else the last cents could not be used at all."""
    async with limited("share = 4", "0.02") as (gateway, _):
        assert (await gateway.access(call(1)))["seconds"] == 1
        assert (await gateway.access(call(2)))["seconds"] == 1
        assert (await gateway.access(call(3)))["code"] == 3


async def test_r46_a_cap_is_extended_with_each_interim(limited: Opens) -> None:
    """So many seconds at once; what an interim brings beyond them is told by CoA, until the longest session or the money."""
    async with limited("cap_s = 400", "12.00") as (gateway, nas):
        assert (await gateway.access(call(1)))["seconds"] == 400
        assert await gateway.figures() == (1200, 400)
        await gateway.account(START, call(1))
        for used, total in ((300, 700), (600, 1000), (900, 1200)):
            gateway.world.clock.now_ms += 300_000
            await gateway.account(INTERIM, {**call(1), 46: used})
            packet = await nas.next()
            assert (packet.code, in_words(packet)) == (43, {"Acct-Session-Id": ["s1"], "Session-Timeout": [total]})
            await nas.answer(packet, 44)
        gateway.world.clock.now_ms += 100_000
        await gateway.account(INTERIM, {**call(1), 46: 1000})
        await gateway.account(STOP, {**call(1), 46: 1200})
        assert await gateway.figures() == (0, 0)
        assert nas.is_silent()


async def test_r46_a_process_that_did_not_see_the_start_tells_it_too(limited: Opens) -> None:
    """An interim at another worker: a plan that gives the money out in parts says so by its grant."""
    async with limited("cap_s = 400") as (gateway, nas):
        await gateway.account(START, call(1))
        gateway.server.watch.ended("ra:sbc:gw1:s1")  # as if another process had answered it
        gateway.world.clock.now_ms += 300_000
        await gateway.account(INTERIM, {**call(1), 46: 300})
        assert in_words(await nas.next())["Session-Timeout"] == [700]


async def test_r46_octets_are_no_time(limited: Opens) -> None:
    """A data session is told nothing: what it is granted anew is not seconds."""
    async with limited("share = 1000", "100.00") as (gateway, nas):
        data = {1: USER, 6: 2, 7: 1, 32: "bras1", 44: "d1"}
        await gateway.account(START, data)
        gateway.server.watch.ended("ra:sbc:bras1:d1")
        await gateway.account(INTERIM, {**data, 46: 300, 42: 10})
        await gateway.account(STOP, {**data, 46: 400, 42: 20})
        assert nas.is_silent()


async def test_r46_all_that_is_affordable_is_told_once(limited: Opens) -> None:
    """Without a limit interims bring nothing new, and nothing is said."""
    async with limited("") as (gateway, nas):
        await gateway.access(call(1))
        await gateway.account(START, call(1))
        gateway.world.clock.now_ms += 310_000  # a report ten seconds late
        await gateway.account(INTERIM, {**call(1), 46: 300})
        gateway.server.watch.ended("ra:sbc:gw1:s1")
        gateway.world.clock.now_ms += 300_000
        await gateway.account(INTERIM, {**call(1), 46: 600})
        await gateway.account(STOP, {**call(1), 46: 700})
        assert nas.is_silent()
