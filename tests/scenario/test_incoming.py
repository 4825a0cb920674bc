"""A limited account: what its user begins is refused, but for what is free; the calls that he receives pass, at their price.

T1 costs 0.01 a second; ``received`` is a call in which the one who is charged is called.
"""

from __future__ import annotations

import pytest
from msgspec import structs

from ocs.charging.request import TERMINATING, ChargingRequest, ChargingStatus, RequestKind
from tests.scenario.table import Table
from tests.scenario.test_life import RULES
from tests.scenario.traffic import access, accounting, diameter, granted, group
from tests.scenario.world import POLICY, OpensWorld, World

INITIAL, UPDATE, TERMINATION = RequestKind.INITIAL, RequestKind.UPDATE, RequestKind.TERMINATION
DENIED = ChargingStatus.SERVICE_DENIED
OWN, OTHER = "100", "4930123456"

INCOMING = {
    "a limited account takes calls, and makes none": """
        balance 1.00
        limit by dunning
        state limited limit:dunning
        I s1 T1 ask             -> SERVICE_DENIED
        I s2 free ask           -> 30                         #  emergency calls always pass
        T s2 used 30            -> ok       | B 1.00
        I s3 D1 ask             -> SERVICE_DENIED
        E m1 S1 ask 1           -> SERVICE_DENIED
        I s4 T1 ask received    -> 30       | B 1.00 R 0.30 A 0.70
        U s4 used 30 ask        -> 30       | B 0.70 R 0.30
        T s4 used 12            -> ok       | B 0.58 R 0
        state limited limit:dunning
    """,
    "incoming calls have to be paid for": """
        balance 0
        limit
        I s1 T1 ask received    -> CREDIT_LIMIT_REACHED
        top-up 0.20
        I s1 T1 ask received    -> 20 final | B 0.20 R 0.20
        T s1 used 20            -> ok       | B 0 R 0
        state limited limit:operator
    """,
    "limited, then suspended by the same name, then given back": """
        balance 1.00
        limit by dunning
        suspend by dunning
        state suspended dunning
        I s1 T1 ask received    -> SERVICE_DENIED
        activate by dunning
        state active
        I s1 T1 ask             -> 30
        T s1 used 0             -> ok
        suspend by dunning
        limit by dunning                                      #  a part was paid
        state limited limit:dunning
        activate by dunning
        state active
    """,
    "any whole block suspends": """
        balance 1.00
        suspend
        limit by dunning
        state suspended limit:dunning operator
        I s1 T1 ask received    -> SERVICE_DENIED
        activate by dunning
        state suspended operator
        limit by dunning
        activate                                              #  the limit holds on
        state limited limit:dunning
        limit by lost
        activate by dunning
        state limited limit:lost
        I s1 T1 ask received    -> 30
        T s1 used 0             -> ok
    """,
    "calls that are open go on with what they were granted": """
        balance 1.00
        I s1 T1 ask             -> 30
        I s2 T1 ask received    -> 30
        limit by dunning
        U s1 used 30 ask        -> SERVICE_DENIED | B 0.70
        U s2 used 30 ask        -> 30       | B 0.40 R 0.30
        T s1 used 0             -> ok
        T s2 used 5             -> ok       | B 0.35 R 0
    """,
}


@pytest.mark.parametrize("name", INCOMING)
async def test_scenario(open_world: OpensWorld, name: str) -> None:
    """The table's every line comes true, and the books balance afterwards."""
    await Table(await open_world()).play(INCOMING[name])


def to(world: World, name: str, callee: str, caller: str, *details: tuple[str, str]) -> ChargingRequest:
    """An INITIAL of a call from a number to another."""
    request = diameter(world, INITIAL, name, 0, group(ask=0), destination=callee, identity=f"e164:{OWN}")
    request.origin, request.details = caller, details
    return request


async def limited(world: World) -> None:
    await Table(world).play("""
        balance 5.00
        limit
    """)


@pytest.mark.parametrize(
    ("callee", "caller", "role", "passes"),
    [
        (OWN, OTHER, "", True),
        (OWN, "", "", True),  # the caller does not show his number
        (OWN, OWN, "", False),  # he calls his own voice mail
        ("200", OWN, "", False),
        ("200", "", "", False),  # nobody says who calls
        ("200", OTHER, "1", True),
        (OWN, "", "0", False),  # the role has the last word
        ("200", OTHER, "2", False),  # he forwards the call, and pays for it
    ],
)
async def test_the_numbers_tell_where_no_role_does(
    open_world: OpensWorld, callee: str, caller: str, role: str, passes: bool
) -> None:
    """Who is called by another has an incoming call; what does not tell is outgoing."""
    world = await open_world()
    await limited(world)
    await world.desk.subscribers.create("own", "A", (f"e164:{OWN}",), "")
    details = (("Role-Of-Node", role),) if role else ()
    answer = await world.charge(to(world, "s", callee, caller, *details))
    assert answer.status is (ChargingStatus.SUCCESS if passes else DENIED)
    assert not passes or granted(answer) == 30
    await world.check_books()


async def test_r46_a_radius_call_to_the_subscriber_passes(open_world: OpensWorld) -> None:
    """What the authorization said of its direction holds for the call that takes it over."""
    world = await open_world()
    await limited(world)
    assert (await world.charge(access(world, "out"))).status is DENIED
    asked = access(world, "in")
    asked.details = (TERMINATING,)
    assert granted(await world.charge(asked)) > 0
    assert granted(await world.charge(accounting(world, INITIAL, "call", lease_of="in"))) > 0
    await world.charge(accounting(world, UPDATE, "call", 10))
    await world.charge(accounting(world, TERMINATION, "call", 20))
    assert (await world.figures())[0] == 4_800_000_000
    await world.check_books()


async def test_a_limit_suspends_who_is_not_active_by_his_age(open_world: OpensWorld) -> None:
    """Out of validity nothing passes, whatever the block; a top-up brings back what the limit leaves."""
    await Table(await open_world(structs.replace(POLICY, rules=RULES))).play("""
        balance 1.00
        I s1 T1 ask             -> 30
        T s1 used 0             -> ok
        limit by dunning
        state limited limit:dunning
        wait 11 days
        close silent sessions
        state suspended limit:dunning
        I s2 T1 ask received    -> SERVICE_DENIED
        top-up 1.00
        state limited limit:dunning
    """)
