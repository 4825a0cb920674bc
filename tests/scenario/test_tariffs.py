"""Tariffs that know more than a price per second, played through the charging core: attempts, hours, trunks, emergency."""

from __future__ import annotations

import pytest

from ocs.charging.request import ChargingRequest, ChargingStatus, GroupKey, GroupRequest, Quantity, RequestKind
from ocs.rating.ratebook import RateBook
from ocs.rating.rateplan import Numbers
from ocs.rating.units import UnitKind
from tests.scenario.table import Table, outcome_of
from tests.scenario.world import IDENTITY, START_MS, World, amount

# The world's clock starts on a Monday at 16:13:20 in Berlin; 6390 s later it is 17:59:50, ten seconds of peak are left.
SCENARIOS = {
    "82 a call over the switch, reported in three parts": """
        balance 2.00
        wait 6390
        I s1 TT ask 30          -> 30       | B 2.00 R 0.40
        wait 8
        U s1 used 8 ask 22      -> 22       | B 1.84 R 0.24
        wait 4
        U s1 used 4 ask 18      -> 18       | B 1.78 R 0.18
        wait 18
        T s1 used 18            -> ok       | B 1.60 R 0
    """,
    "82 a call over the switch, reported once": """
        balance 2.00
        wait 6390
        I s1 TT ask 30          -> 30       | R 0.40
        wait 30
        T s1 used 30            -> ok       | B 1.60 R 0
    """,
    "83 the last money goes over the switch": """
        balance 0.25
        wait 6390
        I s1 TT ask             -> 15 final | R 0.25
        T s1 used 15            -> ok       | B 0.00 R 0
    """,
    "85-86 data that is used after the switch has the price of its time": """
        balance 1.00
        wait 6390
        I s1 D3 ask                     -> 1048576  | R 0.02
        wait 10
        U s1 used 1048576 ask           -> 1048576  | B 0.98 R 0.01
        U s1 used 1048576 ask           -> 1048576  | B 0.97 R 0.01
        wait 50400
        U s1 used 1048576 ask           -> 1048576  | B 0.96 R 0.02
        T s1 used 524288                -> ok       | B 0.95 R 0
    """,
    "3.7 a call that rings over the switch has the price of its answer": """
        balance 10.00
        wait 6390
        I s1 answered ask       -> 30       | R 0.60
        wait 50
        U s1 used 30 ask        -> 30       | B 9.70 R 0.30          #  answered at 18:00:10
        T s1 used 10            -> ok       | B 9.60 R 0
    """,
    "3.7 a call that is answered before the switch keeps that price": """
        balance 10.00
        wait 6390
        I s1 answered ask       -> 30       | R 0.60
        wait 35
        U s1 used 30 ask        -> 30       | B 9.40 R 0.60          #  answered at 17:59:55
        T s1 used 10            -> ok       | B 9.20 R 0
    """,
    "3.7 what its answer may make dearer is set aside while a call rings": """
        balance 0.50
        wait 56790
        I s1 answered ask       -> 25 final | R 0.50                 #  07:59:50: 0.01, in ten seconds 0.02
        wait 35
        U s1 used 25            -> ok       | B 0 R 0                #  answered at 08:00:00
        T s1                    -> ok
    """,
    "3.7 a call has the price of its end": """
        balance 10.00
        wait 6390
        I s1 ended ask          -> 30       | R 0.60
        wait 20
        U s1 used 20 ask        -> 30       | B 9.60 R 0.60
        wait 10
        T s1 used 10            -> ok       | B 9.70 R 0             #  30 s at 0.01: it ended at 18:00:20
    """,
    "3.7 what its end may make dearer is set aside, for what was used, too": """
        balance 10.00
        wait 56790
        I s1 ended ask          -> 30       | R 0.60
        wait 5
        U s1 used 5 ask         -> 30       | B 9.95 R 0.65          #  35 s at 0.02, of which 0.05 is paid
        wait 20
        T s1 used 20            -> ok       | B 9.50 R 0
    """,
    "3.7 without a last report a call keeps the price that it had": """
        balance 10.00
        wait 56790
        I s1 ended ask          -> 30       | R 0.60
        U s1 used 5 ask         -> 30       | B 9.95
        wait 700
        close silent sessions               | B 9.95 R 0
    """,
    "3.6 an attempt that is not answered has its fee": """
        balance 1.00
        I s1 attempts ask       -> 30       | R 0.35
        T s1                    -> ok       | B 0.95 R 0
    """,
    "3.6 the fee for the attempt is charged once": """
        balance 1.00
        I s1 attempts ask       -> 30       | R 0.35
        U s1 used 0 ask         -> 30       | B 0.95 R 0.30
        U s1 used 5 ask         -> 30       | B 0.95 R 0.35
        T s1 used 1             -> ok       | B 0.89 R 0
    """,
    "3.6 what the server refuses costs nothing": """
        balance 0.04
        I s1 attempts ask       -> CREDIT_LIMIT_REACHED   | B 0.04 R 0
    """,
    "3.6 a silent attempt has its fee when it is given up": """
        balance 1.00
        I s1 attempts ask       -> 30       | R 0.35
        wait 601
        close silent sessions               | B 0.95 R 0
    """,
    "3.8 the eleventh makes all of them cheaper, and what was too much comes back": """
        balance 2.00
        I s1 V1 ask             -> 1        | R 0.10
        U s1 used 10 ask        -> 1        | B 1.00 R 0
        U s1 used 1 ask         -> 1        | B 1.45 R 0.45
        T s1 used 1             -> ok       | B 1.40 R 0
    """,
    "3.5 within the grace the attempt is all that is charged": """
        balance 0.05
        I s1 attempts ask       -> 5 final  | R 0.05
        T s1 used 5             -> ok       | B 0.00 R 0
    """,
}


@pytest.mark.parametrize("name", SCENARIOS)
async def test_scenario(world: World, name: str) -> None:
    """The table's every line comes true, and the books balance afterwards."""
    await Table(world).play(SCENARIOS[name])


def call(name: str, destination: str, peer: str, kind: RequestKind = RequestKind.INITIAL) -> ChargingRequest:
    groups = (GroupRequest(GroupKey(-1), (Quantity(UnitKind.SECONDS, 10),)),)
    return ChargingRequest(kind, f"gy:{name}", 0, (IDENTITY,), "voice", START_MS, groups, destination, peer=peer)


async def test_86_a_grant_of_data_ends_at_the_switch(world: World) -> None:
    """The client comes back when the price changes, since nobody asks it to tell both sides of the switch apart [G-73]."""
    await world.open("1.00")
    world.clock.now_ms += 6_390_000
    group = GroupRequest(GroupKey(30), ())
    request = ChargingRequest(RequestKind.INITIAL, "gy:s1", 0, (IDENTITY,), "data", world.clock(), (group,), peer="p")
    answer = await world.charge(request)
    assert answer.groups[0].validity_s == 10


@pytest.mark.parametrize(("peer", "reserved"), [("pgw.example.net", "0.10"), ("sbc2.example.net", "0.30")])
async def test_3_8_the_trunk_chooses_the_price(world: World, peer: str, reserved: str) -> None:
    """The peer that a call comes in by is its trunk."""
    await world.open("1.00")
    assert outcome_of(await world.charge(call("s1", "600123", peer))) == "10"
    assert (await world.figures())[1] == amount(reserved)


async def test_41_emergency_calls_pass_for_an_account_whose_plan_is_gone(world: World) -> None:
    """No money, no plan, no tariff: the call is let through, and costs nothing."""
    await world.open("0")
    world.charging.rates = RateBook({}, "0" * 64, Numbers(emergency=("112",)))
    assert outcome_of(await world.charge(call("s1", "112", "pgw.example.net"))) == "10"
    assert (await world.charge(call("s2", "100", "pgw.example.net"))).groups[0].status is ChargingStatus.RATING_FAILED
    assert await world.figures() == (0, 0, 0)


async def test_a_record_says_what_chose_its_price(world: World) -> None:
    """The account's plan and the network that the user roamed in stay with the session, and go into its record."""
    await world.open("1.00")
    first = call("s1", "100123", "pgw.example.net")
    first.whereabouts = "26202"
    await world.charge(first)
    group = GroupRequest(GroupKey(-1), (), (Quantity(UnitKind.SECONDS, 1),))
    for number, kind in ((1, RequestKind.UPDATE), (2, RequestKind.TERMINATION)):
        await world.charge(ChargingRequest(kind, "gy:s1", number, (IDENTITY,), "voice", START_MS, (group,)))
    record = (await world.entries())[-1].cdr
    assert record is not None
    assert (record.rate_plan, record.whereabouts, record.cost) == ("test-eur", "26202", amount("0.02"))


@pytest.mark.parametrize("days", [(12,), (2, 5, 1, 4)])
async def test_82_a_call_of_many_days_is_split_to_its_end(world: World, days: tuple[int, ...]) -> None:
    """From Monday 16:13:20 to a Saturday: 1 h 46 min 40 s of peak, and nine working days of ten hours."""
    await world.open("100000")
    first = call("s1", "500123", "pgw.example.net")
    await world.charge(first)
    for number, passed in enumerate(days, start=1):
        world.clock.now_ms += passed * 86_400_000
        kind = RequestKind.TERMINATION if number == len(days) else RequestKind.UPDATE
        group = GroupRequest(GroupKey(-1), (), (Quantity(UnitKind.SECONDS, passed * 86_400),))
        await world.charge(ChargingRequest(kind, "gy:s1", number, (IDENTITY,), "voice", world.clock(), (group,)))
    record = (await world.entries())[-1].cdr
    assert record is not None
    peak_s = 6400 + 9 * 36_000
    assert record.cost == amount("0.01") * (12 * 86_400 + peak_s)
