"""Signs of fraud block an account or shrink its quotas, in the posting that shows them, and are told once. T1 costs 0.01 a second."""

from __future__ import annotations

import pytest
from msgspec import structs

from balance.account import AccountState
from ocs.charging.request import ChargingStatus, RequestKind
from ocs.charging.rules import AccountRules, VelocityRule
from tests.scenario.table import Table
from tests.scenario.traffic import diameter, granted, group
from tests.scenario.world import POLICY, OpensWorld, World

INITIAL, UPDATE, TERMINATION = RequestKind.INITIAL, RequestKind.UPDATE, RequestKind.TERMINATION


SPENDING = AccountRules(velocity=(VelocityRule(currency="EUR", spend_per_minute="0.50", plans=("test-eur",)),))
SIGNS = {
    "more than 0.50 in a minute blocks; the use is paid, and what comes then is denied": """
        balance 9.00
        I s1 T1 ask             -> 30
        U s1 used 30 ask        -> 30       | B 8.70
        U s1 used 20 ask        -> 30       | B 8.50
        state active                                          #  0.50 is not more than 0.50
        U s1 used 10 ask        -> 30       | B 8.40
        state suspended fraud
        U s1 used 30 ask        -> SERVICE_DENIED | B 8.10 R 0
        I s2 T1 ask             -> SERVICE_DENIED
        activate by fraud
        wait 60
        I s2 T1 ask #0          -> 30
        T s2 used 30            -> ok       | B 7.80 R 0
        state active
    """,
    "the same in two minutes is nothing": """
        balance 9.00
        I s1 T1 ask             -> 30
        U s1 used 30 ask        -> 30
        wait 60
        U s1 used 30 ask        -> 30       | B 8.40
        state active
        T s1 used 0             -> ok       | R 0
    """,
}


@pytest.mark.parametrize("name", SIGNS)
async def test_scenario(open_world: OpensWorld, name: str) -> None:
    """The table's every line comes true, and the books balance afterwards."""
    await Table(await open_world(structs.replace(POLICY, rules=SPENDING, watches=True))).play(SIGNS[name])


async def _world(open_world: OpensWorld, rule: VelocityRule) -> World:
    world = await open_world(structs.replace(POLICY, rules=AccountRules(velocity=(rule,)), watches=True))
    await world.open("100.00")
    return world


async def _fraud(world: World) -> list[str]:
    return [entry.reason for entry in await world.entries() if entry.kind == "fraud"]


async def test_too_much_in_a_minute_blocks(open_world: OpensWorld) -> None:
    """More than 0.50 within a minute of the clock: the next request is denied, what was used is paid; it is told once."""
    world = await _world(open_world, VelocityRule(currency="EUR", spend_per_minute="0.50"))
    for name in ("a", "b"):
        await world.charge(diameter(world, INITIAL, name, 0, group(ask=0)))
        await world.charge(diameter(world, UPDATE, name, 1, group(25, 0)))
    assert await world.state() == "active", "0.50 is not more than 0.50"
    await world.charge(diameter(world, UPDATE, "a", 2, group(1, 0)))
    assert await world.state() == "suspended fraud"
    denied = await world.charge(diameter(world, UPDATE, "b", 2, group(30, 0)))
    assert denied.status is ChargingStatus.SERVICE_DENIED
    assert await _fraud(world) == ["0.51 are spent in a minute: block"]
    await world.set_state(AccountState.ACTIVE, "fraud")
    world.clock.now_ms += 60_000
    assert granted(await world.charge(diameter(world, UPDATE, "a", 3, group(0, 0)))) == 30
    await world.check_books()


async def test_the_minute_begins_anew(open_world: OpensWorld) -> None:
    """The same amount, spread over two minutes, is nothing."""
    world = await _world(open_world, VelocityRule(currency="EUR", spend_per_minute="0.50"))
    await world.charge(diameter(world, INITIAL, "a", 0, group(ask=0)))
    for number in range(1, 4):
        await world.charge(diameter(world, UPDATE, "a", number, group(30, 0)))
        world.clock.now_ms += 60_000
    assert await _fraud(world) == []


async def test_it_may_shrink_quotas_instead(open_world: OpensWorld) -> None:
    """10 s at once for an hour, then as ever; the account goes on all the while."""
    rule = VelocityRule(currency="EUR", spend_per_minute="0.50", action="shrink", shrink_to_s=10, shrink_minutes=60)
    world = await _world(open_world, rule)
    await world.charge(diameter(world, INITIAL, "a", 0, group(ask=0)))
    await world.charge(diameter(world, UPDATE, "a", 1, group(30, 0)))
    assert granted(await world.charge(diameter(world, UPDATE, "a", 2, group(30, 0)))) == 30
    assert granted(await world.charge(diameter(world, UPDATE, "a", 3, group(0, 0)))) == 10
    assert granted(await world.charge(diameter(world, INITIAL, "b", 0, group(ask=60)))) == 10
    world.clock.now_ms += 3_600_000
    assert granted(await world.charge(diameter(world, INITIAL, "c", 0, group(ask=0)))) == 30
    assert await _fraud(world) == ["0.60 are spent in a minute: shrink"]
    assert await world.state() == "active"
    await world.check_books()


async def test_new_dear_destinations(open_world: OpensWorld) -> None:
    """The second that it never called before within a day; known ones, and cheap ones, do not count."""
    rule = VelocityRule(currency="EUR", new_destinations=1, dear_per_minute="0.30")
    world = await _world(open_world, rule)
    calls = ["100", "100", "112", "200"]
    for at, number in enumerate(calls):
        await world.charge(diameter(world, INITIAL, f"s{at}", 0, group(ask=0), destination=number))
        await world.charge(diameter(world, TERMINATION, f"s{at}", 1, group(1)))
        assert await world.state() == ("suspended fraud" if number == "200" else "active")
    assert await _fraud(world) == ["2 new dear destinations in a day: block"]
    await world.set_state(AccountState.ACTIVE, "fraud")
    world.clock.now_ms += 86_400_000
    for at, number in enumerate(["100", "200", "300"]):
        await world.charge(diameter(world, INITIAL, f"t{at}", 0, group(ask=0), destination=number))
    assert await world.state() == "active"
    await world.check_books()


async def test_many_short_calls(open_world: OpensWorld) -> None:
    """Four of five calls of an hour: told when the fifth has ended, and not again with the sixth."""
    rule = VelocityRule(currency="EUR", short_percent=80, short_call_s=3, calls_min=5, action="shrink")
    world = await _world(open_world, rule)
    for at, seconds in enumerate((60, 2, 0, 1, 3, 2, 2)):
        await world.charge(diameter(world, INITIAL, f"s{at}", 0, group(ask=0)))
        await world.charge(diameter(world, TERMINATION, f"s{at}", 1, group(seconds)))
    assert await _fraud(world) == ["4 of 5 calls of an hour are short: shrink"]
    await world.check_books()


@pytest.mark.parametrize("plans", [("other",), ()])
async def test_rules_of_other_plans_cost_nothing(open_world: OpensWorld, plans: tuple[str, ...]) -> None:
    """An account of another plan, or another currency, gets no pace."""
    currency = "EUR" if plans else "USD"
    world = await _world(open_world, VelocityRule(currency=currency, plans=plans, spend_per_minute="0.01"))
    await Table(world).play("""
        I s1 T1 ask             -> 30
        T s1 used 30            -> ok       | B 99.70
    """)
    assert (await world.account()).extras is None
