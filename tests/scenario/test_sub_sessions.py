"""Sub-sessions end with their session (gy-ro 4)."""

from __future__ import annotations

import asyncio

from ocs.charging.request import ChargingStatus, RequestKind
from tests.scenario.traffic import diameter, group
from tests.scenario.world import World, amount

INITIAL, UPDATE, TERMINATION = RequestKind.INITIAL, RequestKind.UPDATE, RequestKind.TERMINATION


async def opened(world: World, *names: str) -> None:
    """Sessions of 0.30 each; those with # in their name are sub-sessions of what stands before it."""
    world.charging.on_main_ended = world.supervision.end_subs
    await world.open("9.00")
    for name in names:
        request = diameter(world, INITIAL, name, 0, group(ask=0))
        main, mark, _ = name.partition("#")
        request.is_sub, request.main_key = bool(mark), f"gy:{main}" if mark else ""
        assert (await world.charge(request)).status is ChargingStatus.SUCCESS


async def settled(world: World) -> None:
    """What is ended beside is ended."""
    await asyncio.gather(*world.supervision._tasks)


async def test_g9_termination_without_sub_session_ends_what_remains(world: World) -> None:
    """Both sub-sessions are closed with a record, one that ended before is not closed again; other sessions stay."""
    await opened(world, "s", "s#1", "s#2", "s#3", "s1", "other#1")
    last = diameter(world, TERMINATION, "s#3", 1, group(10))
    last.is_sub = True
    await world.charge(last)
    await world.charge(diameter(world, TERMINATION, "s", 1, group(10)))
    await settled(world)
    entries = [entry for entry in await world.entries() if entry.kind == "session"]
    assert sorted((entry.reference, entry.reason) for entry in entries) == [
        ("gy:s", ""),
        ("gy:s#1", "its main session ended"),
        ("gy:s#2", "its main session ended"),
        ("gy:s#3", ""),
    ]
    assert (await world.figures())[1] == amount("0.60"), "s1 and other#1"
    await world.check_books()


async def test_g9_main_session_that_was_never_opened(world: World) -> None:
    """Only sub-sessions were used: the termination of all is 5002, and they end."""
    await opened(world, "s#1", "s#2", "t#1")
    answer = await world.charge(diameter(world, TERMINATION, "s", 5))
    assert answer.status is ChargingStatus.SESSION_UNKNOWN
    await settled(world)
    assert (await world.figures())[1] == amount("0.30")
    await world.check_books()


async def test_g9_sub_session_ends_alone(world: World) -> None:
    """The end of one leaves the others and the session as they are."""
    await opened(world, "s", "s#1", "s#2")
    last = diameter(world, TERMINATION, "s#1", 1, group(10))
    last.is_sub = True
    await world.charge(last)
    await settled(world)
    assert (await world.figures())[1] == amount("0.60")
