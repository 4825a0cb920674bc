"""What Kamailio's ims_charging and open5GS do at the ends of their sessions (client-expectations 2 and 3)."""

from __future__ import annotations

import pytest
from msgspec import structs

from ocs.charging.policy import FinalPolicy
from ocs.charging.request import ChargingStatus, FinalUnitAction, RequestKind
from ocs.rating.units import UnitKind
from tests.scenario.traffic import diameter, granted, group
from tests.scenario.world import POLICY, OpensWorld, World, amount

INITIAL, UPDATE, TERMINATION = RequestKind.INITIAL, RequestKind.UPDATE, RequestKind.TERMINATION


async def test_use_near_the_grant(world: World) -> None:
    """C-205: an update comes before the grant is used up, and the last report is rounded up: 4 of 30, then 32 of 30."""
    await world.open("1.00")
    await world.charge(diameter(world, INITIAL, "s", 0, group(ask=30)))
    await world.charge(diameter(world, UPDATE, "s", 1, group(4, 30)))
    assert (await world.figures())[:2] == (amount("0.96"), amount("0.30")), "the rest of the old grant is free"
    await world.charge(diameter(world, TERMINATION, "s", 2, group(32)))
    assert (await world.figures())[:2] == (amount("0.64"), 0)
    await world.check_books()


async def test_client_that_lost_its_connection_never_reports(world: World) -> None:
    """C-105: call killed, no update, no termination: supervision releases what was set aside, and nothing is charged."""
    await world.open("1.00")
    await world.charge(diameter(world, INITIAL, "s", 0, group(ask=30)))
    world.clock.now_ms += (POLICY.supervision_factor * POLICY.validity_s + 1) * 1000
    assert await world.close_silent_sessions() == 1
    assert await world.figures() == (amount("1.00"), 0, amount("1.00"))


async def test_validity_is_longer_than_the_grant(open_world: OpensWorld) -> None:
    """C-204: the client caps its quota by Validity-Time, so a grant of 900 s has more than 900 s."""
    generous = structs.replace(POLICY, quota={**POLICY.quota, UnitKind.SECONDS: 900})
    world = await open_world(generous)
    await world.open("20.00")
    (answer,) = (await world.charge(diameter(world, INITIAL, "s", 0, group(ask=900)))).groups
    assert (answer.granted, answer.validity_s > 900) == (900, True)


async def test_termination_after_a_refused_update(world: World) -> None:
    """C-207: 4012 in mid-call; the call lives on for the rest of its grant, and that use is debited."""
    await world.open("0.30")
    await world.charge(diameter(world, INITIAL, "s", 0, group(ask=30)))
    refused = await world.charge(diameter(world, UPDATE, "s", 1, group(30, 30)))
    assert [answer.status for answer in refused.groups] == [ChargingStatus.CREDIT_LIMIT_REACHED]
    last = await world.charge(diameter(world, TERMINATION, "s", 2, group(2)))
    assert last.status is ChargingStatus.SUCCESS
    assert (await world.figures())[:2] == (amount("-0.02"), 0)
    await world.check_books()


async def test_termination_after_a_refused_beginning(world: World) -> None:
    """C-208: number 1 with a use of 0, of a session that never was: answered, nothing charged, nothing listed."""
    await world.open("0.00")
    refused = await world.charge(diameter(world, INITIAL, "s", 0, group(ask=30)))
    assert refused.status is ChargingStatus.CREDIT_LIMIT_REACHED
    before = await world.entries()
    last = await world.charge(diameter(world, TERMINATION, "s", 1, group(0)))
    assert last.status is ChargingStatus.SESSION_UNKNOWN
    assert await world.entries() == before


async def test_redirect_that_is_not_acted_on(open_world: OpensWorld) -> None:
    """C-206: the client asks again and again, a few seconds at a time; it is told the same until it ends, without a fault."""
    finals = {"voice": FinalPolicy(FinalUnitAction.REDIRECT, 100)}
    world = await open_world(structs.replace(POLICY, finals=finals))
    await world.open("0.10")
    (first,) = (await world.charge(diameter(world, INITIAL, "s", 0, group(ask=30)))).groups
    assert (first.granted, first.final) == (10, FinalUnitAction.REDIRECT)
    for number, used in ((1, 3), (2, 2)):
        (again,) = (await world.charge(diameter(world, UPDATE, "s", number, group(used, 30)))).groups
        assert again.final == FinalUnitAction.REDIRECT
    await world.charge(diameter(world, TERMINATION, "s", 3, group(5)))
    assert (await world.figures())[:2] == (0, 0)


@pytest.mark.parametrize("used", [0, 500_000])
async def test_termination_in_place_of_the_next_update(world: World, used: int) -> None:
    """C-307: after a final-unit indication open5GS sends no update but ends the session, with what was used."""
    await world.open("0.05")
    wish = group(ask=0, rating_group=10, unit=UnitKind.OCTETS)
    assert granted(await world.charge(diameter(world, INITIAL, "s", 0, wish, service="data", destination=""))) > 0
    last = group(used, rating_group=10, unit=UnitKind.OCTETS)
    answer = await world.charge(diameter(world, TERMINATION, "s", 1, last, service="data", destination=""))
    assert answer.status is ChargingStatus.SUCCESS
    assert (await world.figures())[:2] == (amount("0.00") if used else amount("0.05"), 0)
