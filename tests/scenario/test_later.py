"""What happens between two requests: rates change, money comes, the clock steps, the client wants its money back."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from balance.memory import MemoryStore
from ocs.charging import supervision
from ocs.charging.request import ChargingStatus, EventAction, RequestKind
from ocs.rating.load import load_ratebook
from ocs.rating.units import UnitKind
from tests.scenario.traffic import diameter, granted, group
from tests.scenario.world import CONFIG, Clock, World, amount

INITIAL, UPDATE, TERMINATION = RequestKind.INITIAL, RequestKind.UPDATE, RequestKind.TERMINATION


async def test_88_a_session_keeps_the_rates_it_was_opened_with(world: World, tmp_path: Path) -> None:
    """The price of T1 doubles in mid-call: the open session stays at 0.01, the next one pays 0.02."""
    await world.open("10.00")
    await world.charge(diameter(world, INITIAL, "s", 0, group(ask=0)))
    shutil.copytree(CONFIG, tmp_path / "config")
    deck = tmp_path / "config" / "decks" / "test-voice-eur.csv"
    lines = deck.read_text(encoding="utf-8").splitlines()
    row = next(line for line in lines if line.startswith("100,"))
    deck.write_text("\n".join(line.replace(",0.01,", ",0.02,") if line == row else line for line in lines), "utf-8")
    result = load_ratebook(tmp_path / "config", world.clock())
    assert result.book is not None, result.faults
    world.charging.rates = result.book
    assert granted(await world.charge(diameter(world, UPDATE, "s", 1, group(30, 0)))) == 30
    await world.charge(diameter(world, TERMINATION, "s", 2, group(30)))
    assert (await world.figures())[0] == amount("9.40")
    await world.charge(diameter(world, INITIAL, "t", 0, group(ask=0)))
    await world.charge(diameter(world, TERMINATION, "t", 1, group(30)))
    assert (await world.figures())[0] == amount("8.80")


async def test_g52_g53_the_grace_ends_with_money_or_with_4012(world: World) -> None:
    """G-52, G-53: at Validity-Time the client asks anew: without money 4012, after a top-up a normal grant."""
    await world.open("0.30")
    await world.charge(diameter(world, INITIAL, "s", 0, group(ask=0)))
    for number, used in ((1, 30), (2, None)):
        answer = await world.charge(diameter(world, UPDATE, "s", number, group(used, 0)))
        assert [each.status for each in answer.groups] == [ChargingStatus.CREDIT_LIMIT_REACHED]
        world.clock.now_ms += 300_000
    await world.change("1.00")
    answer = await world.charge(diameter(world, UPDATE, "s", 3, group(ask=0)))
    assert (answer.groups[0].granted, answer.groups[0].final) == (30, -1)


async def test_98_a_refund_without_a_debit_is_refused(world: World) -> None:
    """Nothing is paid out on a client's word."""
    await world.open("1.00")
    refund = diameter(
        world, RequestKind.EVENT, "m", 0, group(ask=1, unit=UnitKind.EVENTS), service="sms",
        action=EventAction.REFUND_ACCOUNT,
    )  # fmt: skip
    assert (await world.charge(refund)).status is not ChargingStatus.SUCCESS
    assert (await world.figures())[0] == amount("1.00")


async def until(condition: Callable[[], bool]) -> None:
    """Let other tasks run until it is true."""
    while not condition():  # noqa: ASYNC110 - what is waited for sets no event
        await asyncio.sleep(0.001)


async def test_120_a_stepping_clock_ends_no_session(monkeypatch: pytest.MonkeyPatch) -> None:
    """A year ahead in one step: supervision says so and waits, instead of closing everything at once."""
    clock = Clock()
    store = MemoryStore(clock)
    world = World(store, clock)
    await world.open("1.00")
    await world.charge(diameter(world, INITIAL, "s", 0, group(ask=0)))
    rounds: list[int] = []
    genuine = store.due

    async def counting(until_ms: int, limit: int) -> Any:
        rounds.append(until_ms)
        return await genuine(until_ms, limit)

    monkeypatch.setattr(store, "due", counting)
    monkeypatch.setattr(supervision, "ROUND_S", 0.001)
    watching = supervision.Supervision(world.charging, store, clock, grace_s=0)
    with capture_logs() as lines:
        task = asyncio.get_running_loop().create_task(watching.run())
        await until(lambda: bool(rounds))
        watching._grace_s = 3600
        clock.now_ms += 366 * 86_400_000
        await until(lambda: any(line["event"] == "clock_jumped" for line in lines))
        seen = len(rounds)
        await asyncio.sleep(0.05)
        task.cancel()
    assert len(rounds) == seen, "no round before the grace time is over"
    assert (await world.figures())[1] == amount("0.30")


async def test_g93_what_was_never_granted_is_debited(world: World) -> None:
    """G-93: a client that went on uncontrolled reports use that nobody granted: debited, below zero too."""
    await world.open("0.10")
    await world.charge(diameter(world, INITIAL, "s", 0, group(ask=0)))
    later = diameter(world, TERMINATION, "s", 7, group(25))
    assert (await world.charge(later)).status is ChargingStatus.SUCCESS
    assert (await world.figures())[:2] == (amount("-0.15"), 0)
