"""The warning of a low balance: in each answer below the threshold, and as an event once for each crossing (statement 81)."""

from __future__ import annotations

from ocs.charging.request import RequestKind
from ocs.rating.units import UnitKind
from tests.scenario.traffic import diameter, group
from tests.scenario.world import World, amount

INITIAL, UPDATE, TERMINATION = RequestKind.INITIAL, RequestKind.UPDATE, RequestKind.TERMINATION


async def warnings(world: World) -> list[str]:
    """What the warnings refer to, in their order."""
    await world.check_books()
    return [entry.reference for entry in await world.entries() if entry.kind == "low_balance"]


async def test_81_one_event_for_each_crossing(world: World) -> None:
    """Statement 81: a grant is none, the debit that passes 0.50 is one, those below are none; after a top-up it may come again."""
    await world.open("1.00", low_balance="0.50")
    answers = [await world.charge(diameter(world, INITIAL, "s", 0, group(ask=30)))]
    for number, used in ((1, 30), (2, 20), (3, 1)):
        request = diameter(world, UPDATE, "s", number, group(used, 30))
        answers.append(await world.charge(request))
        assert (await world.charge(request)).low_balance == answers[-1].low_balance, "a repeat changes nothing"
    assert [answer.low_balance for answer in answers] == [False, True, True, True], (
        "what is set aside counts in answers"
    )
    assert await warnings(world) == ["gy:s"], "0.50 itself is not below it"
    await world.change("1.00")
    await world.charge(diameter(world, TERMINATION, "s", 4, group(100)))
    assert await warnings(world) == ["gy:s", "gy:s"]
    assert (await world.figures())[0] == amount("0.49")


async def test_81_an_event_can_cross_it_too(world: World) -> None:
    """A message that takes the last cents above the threshold."""
    await world.open("0.55", low_balance="0.50")
    for name in ("m", "n"):
        message = group(ask=1, unit=UnitKind.EVENTS)
        await world.charge(diameter(world, RequestKind.EVENT, name, 0, message, service="sms"))
    assert await warnings(world) == ["gy:m"]


async def test_81_without_a_threshold_nothing_is_said(world: World) -> None:
    """0 is no threshold."""
    await world.open("0.10")
    await world.charge(diameter(world, INITIAL, "s", 0, group(ask=30)))
    await world.charge(diameter(world, TERMINATION, "s", 1, group(30)))
    assert await warnings(world) == []
