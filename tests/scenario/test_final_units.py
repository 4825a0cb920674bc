"""The last quota, redirected or restricted instead of ended (charging-behaviours 74 to 76; gy-ro 8)."""

from __future__ import annotations

import pytest
from msgspec import structs

from ocs.charging.policy import FinalPolicy
from ocs.charging.request import ChargingStatus, FinalHandling, FinalUnitAction, RequestKind
from tests.scenario.test_choice import book_of
from tests.scenario.traffic import access, diameter, granted, group
from tests.scenario.world import POLICY, OpensWorld, World

INITIAL, UPDATE, TERMINATION = RequestKind.INITIAL, RequestKind.UPDATE, RequestKind.TERMINATION
REDIRECT = FinalUnitAction.REDIRECT


@pytest.fixture
async def portal(open_world: OpensWorld) -> World:
    """Voice is redirected when the money is used up, for 100 s at a time."""
    world = await open_world(structs.replace(POLICY, finals={"voice": FinalPolicy(REDIRECT, 100)}))
    await world.open("0.20")
    return world


async def test_74_75_76_redirect_lives_until_the_money_comes(portal: World) -> None:
    """Statements 74 to 76: last quota with the mark; report without a wish: time and no units; without money the mark again; paid: a grant."""
    first = await portal.charge(diameter(portal, INITIAL, "s", 0, group(ask=0)))
    assert (first.groups[0].granted, first.groups[0].final) == (20, REDIRECT)
    started = await portal.charge(diameter(portal, UPDATE, "s", 1, group(20)))
    assert (started.groups[0].granted, started.groups[0].validity_s, started.groups[0].final) == (0, 100, -1)
    assert await portal.figures() == (0, 0, 0)
    begging = await portal.charge(diameter(portal, UPDATE, "s", 2, group(ask=0)))
    assert begging.groups[0].status is ChargingStatus.SUCCESS
    assert (begging.groups[0].granted, begging.groups[0].final, begging.groups[0].validity_s) == (0, REDIRECT, 100)
    await portal.change("5.00")
    assert granted(answer := await portal.charge(diameter(portal, UPDATE, "s", 3, group(ask=0)))) == 30
    assert answer.groups[0].final == -1
    closed = await portal.charge(diameter(portal, TERMINATION, "s", 4, group(10)))
    assert closed.groups[0].final == -1, "no mark at the end [G-56]"
    await portal.check_books()


async def test_g51_nothing_to_begin_with_opens_a_redirected_session(portal: World) -> None:
    """No money at all: 2001 with the mark and no units, so that the portal can be reached."""
    await portal.change("-0.20")
    answer = await portal.charge(diameter(portal, INITIAL, "s", 0, group(ask=0)))
    assert answer.status is ChargingStatus.SUCCESS
    assert (answer.groups[0].granted, answer.groups[0].final) == (0, REDIRECT)


async def test_other_services_and_radius_are_ended_as_before(portal: World) -> None:
    """Data has no such setting; an Access-Request without money is a refusal."""
    answer = await portal.charge(diameter(portal, INITIAL, "d", 0, group(ask=0), service="sms"))
    assert answer.groups[0].final in {-1, FinalUnitAction.TERMINATE}
    await portal.change("-0.20")
    refused = await portal.charge(access(portal, "a"))
    assert refused.status is ChargingStatus.CREDIT_LIMIT_REACHED


PLAN = """
name = "test-eur"
currency = "EUR"
[[final_units]]
service = "voice"
action = "{action}"
redirect = "{redirect}"
validity_s = 900
[[tariffs]]
service = "voice"
name = "Calls"
per = "second"
rate = "0.01"
"""


@pytest.mark.parametrize("default", [{}, {"voice": FinalPolicy(FinalUnitAction.RESTRICT_ACCESS, 100)}])
async def test_g50_plan_goes_before_the_settings(open_world: OpensWorld, default: dict[str, FinalPolicy]) -> None:
    """Redirect-Server from the plan of the account; it waits no longer than a session lives."""
    world = await open_world(structs.replace(POLICY, finals=default))
    await world.open("0.20")
    world.charging.use_rates(book_of(PLAN.format(action="redirect", redirect="sip:topup@example.net")))
    (first,) = (await world.charge(diameter(world, INITIAL, "s", 0, group(ask=0)))).groups
    assert (first.granted, first.final, first.handling) == (20, REDIRECT, FinalHandling("sip:topup@example.net"))
    (then,) = (await world.charge(diameter(world, UPDATE, "s", 1, group(20, 0)))).groups
    assert (then.granted, then.final, then.validity_s) == (0, REDIRECT, POLICY.validity_s)


async def test_g50_plan_may_end_what_the_settings_redirect(portal: World) -> None:
    """TERMINATE in the plan: the last quota ends it for this plan's accounts."""
    portal.charging.use_rates(book_of(PLAN.format(action="terminate", redirect="")))
    (first,) = (await portal.charge(diameter(portal, INITIAL, "s", 0, group(ask=0)))).groups
    assert (first.granted, first.final, first.handling) == (20, FinalUnitAction.TERMINATE, None)
