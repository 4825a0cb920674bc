"""Calls and messages that the subscriber receives: they pass a limited account, and may have prices of their own.

T1 costs 0.01 a second; ``received`` is a call in which the one who is charged is called.
"""

from __future__ import annotations

import pytest
from msgspec import structs

from ocs.charging.request import TERMINATING, ChargingRequest, ChargingStatus, RequestKind
from ocs.rating.units import UnitKind
from tests.scenario.table import Table
from tests.scenario.test_choice import book_of, record_of
from tests.scenario.test_life import RULES
from tests.scenario.traffic import access, accounting, diameter, granted, group
from tests.scenario.world import POLICY, OpensWorld, World, amount

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


PRICES = """
name = "test-eur"
currency = "EUR"
"""
TARIFF = '[[tariffs]]\nservice = "{service}"\nname = "{name}"\nper = "{per}"\nrate = "{rate}"\norigin = "{origin}"\n'
TARIFFS = (
    ("voice", "Calls", "second", "0.01", ""),
    ("voice", "Calls made abroad", "second", "0.05", "network:208"),
    ("voice", "Calls received", "second", "0", "direction:incoming"),
    ("voice", "Calls received abroad", "second", "0.02", "direction:incoming & zone:abroad"),
    ("sms", "Messages", "event", "0.08", "direction:outgoing"),
    ("sms", "Messages received", "event", "0.02", "direction:incoming"),
)
TARIFF_FIELDS = ("service", "name", "per", "rate", "origin")


async def priced_by_direction(world: World) -> None:
    tariffs = "".join(TARIFF.format(**dict(zip(TARIFF_FIELDS, each, strict=True))) for each in TARIFFS)
    world.charging.use_rates(book_of(PRICES + tariffs, '[abroad]\nnetworks = ["208", "310"]\n'))
    await world.open("5.00")
    await world.desk.subscribers.create("own", "A", (f"e164:{OWN}",), "")


@pytest.mark.parametrize(
    ("callee", "caller", "role", "network", "tariff", "cost"),
    [
        ("200", OWN, "0", "26201", "Calls", "0.10"),
        (OWN, OTHER, "", "26201", "Calls received", "0"),
        ("200", OTHER, "1", "26201", "Calls received", "0"),
        ("200", OWN, "", "20801", "Calls made abroad", "0.50"),
        (OWN, OTHER, "1", "20801", "Calls received abroad", "0.20"),
        (OWN, OTHER, "0", "310260", "Calls", "0.10"),
        (OWN, OTHER, "", "310260", "Calls received abroad", "0.20"),
        (OWN, OTHER, "1", "", "Calls received", "0"),
    ],
)
async def test_3_8_a_call_received_has_a_price_of_its_own(
    open_world: OpensWorld, callee: str, caller: str, role: str, network: str, tariff: str, cost: str
) -> None:
    """By the place of the one who is called, not by the number; the record keeps the direction, to be rated again."""
    world = await open_world()
    await priced_by_direction(world)
    request = to(world, "s", callee, caller, *((("Role-Of-Node", role),) if role else ()))
    request.whereabouts = network
    await world.charge(request)
    moved = diameter(world, UPDATE, "s", 1, group(5, ask=0))
    moved.whereabouts = network and network + " rat:eutran"
    await world.charge(moved)
    await world.charge(diameter(world, TERMINATION, "s", 2, group(5)))
    record = await record_of(world)
    assert [(each.tariff, each.cost) for each in record.groups] == [(tariff, amount(cost))]
    assert record.whereabouts.split() == [
        *([network] if network else []),
        *(["direction:incoming"] * ("received" in tariff)),
    ]
    await world.check_books()


@pytest.mark.parametrize(
    ("sender", "receiver", "cost"), [(OWN, OTHER, "0.08"), (OTHER, OWN, "0.02"), (OWN, OWN, "0.08")]
)
async def test_3_8_a_message_received_has_a_price_of_its_own(
    open_world: OpensWorld, sender: str, receiver: str, cost: str
) -> None:
    """A short message to the number of the one who is charged, from another's, is received."""
    world = await open_world()
    await priced_by_direction(world)
    part = group(ask=1, unit=UnitKind.EVENTS)
    request = diameter(
        world, RequestKind.EVENT, "m", 0, part, destination=receiver, identity=f"e164:{OWN}", service="sms"
    )
    request.origin = sender
    assert (await world.charge(request)).status is ChargingStatus.SUCCESS
    assert (await world.figures())[0] == amount("5.00") - amount(cost)
    assert (await record_of(world)).groups[0].tariff == (
        "Messages received" if receiver == OWN != sender else "Messages"
    )
    await world.check_books()


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
