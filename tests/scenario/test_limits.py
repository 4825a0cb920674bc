"""Limits of an account: calls at once and in a second, the credit limit, what may be spent in a month. T1 costs 0.01 a second."""

from __future__ import annotations

import asyncio

import pytest

from ocs.charging.operations import CallsChoice, CapChoice, Limits
from ocs.charging.request import ChargingStatus, EventAction, RequestKind
from ocs.rating.units import UnitKind
from tests.scenario.table import Table
from tests.scenario.traffic import access, accounting, diameter, granted, group
from tests.scenario.world import OpensWorld, World, amount

INITIAL, UPDATE, TERMINATION = RequestKind.INITIAL, RequestKind.UPDATE, RequestKind.TERMINATION

LIMITS = {
    "108 a lowered credit limit leaves grants that are out and refuses new ones": """
        balance 0
        limit 1.00
        I s1 T1 ask             -> 30       | B 0 R 0.30 A 0.70
        U s1 used 30 ask        -> 30       | B -0.30 R 0.30
        limit 0.20                          | B -0.30 R 0.30 A -0.40
        I s2 T1 ask             -> CREDIT_LIMIT_REACHED
        U s1 used 30 ask        -> CREDIT_LIMIT_REACHED | B -0.60 R 0 A -0.40
        T s1 used 0             -> ok
        limit 0.65
        I s3 T1 ask             -> 5 final
        T s3 used 5             -> ok       | B -0.65 R 0 A 0
    """,
    "a cap cuts off where it is reached, whatever money there is": """
        balance 10.00
        cap 0.50
        I s1 T1 ask             -> 30       | R 0.30
        I s2 T1 ask             -> 20 final | R 0.50                 #  what s1 holds of the cap is not promised twice
        U s1 used 30 ask        -> CREDIT_LIMIT_REACHED | B 9.70 R 0.20
        T s2 used 10            -> ok       | B 9.60 R 0
        U s1 used 0 ask         -> 10 final | R 0.10
        T s1 used 10            -> ok       | B 9.50 R 0
        I s3 T1 ask             -> CREDIT_LIMIT_REACHED
        E m1 S1 ask 1           -> 1        | B 9.42                 #  the cap is for calls
        cap 0.60
        I s3 T1 ask #0          -> 10 final
        T s3 used 0             -> ok       | B 9.42 R 0
        no cap
        I s4 T1 ask             -> 30
        T s4 used 30            -> ok       | B 9.12 R 0
    """,
    "a cap lets through what bundles pay": """
        balance 1.00
        buy 60-seconds
        cap 0.10
        I s1 T1 ask             -> 30       | H 30
        U s1 used 30 ask        -> 30       | U 30
        U s1 used 30 ask        -> 10 final | B 1.00 R 0.10 U 0
        T s1 used 10            -> ok       | B 0.90 R 0
    """,
}
CALLS = {
    "71 the second call at once is refused; when the first has ended there is a place": """
        balance 10.00
        calls 1
        I s1 T1 ask             -> 30
        I s2 T1 ask             -> TOO_MANY_CALLS | R 0.30
        I d1 D1 ask             -> 1048576                           #  data is no call
        U s1 used 30 ask        -> 30
        I s2 T1 ask #0          -> TOO_MANY_CALLS
        T s1 used 30            -> ok
        T s1 used 30 #2         -> ok                                #  a repeat gives nothing back twice
        I s2 T1 ask #0          -> 30
        I s2 T1 ask #0          -> 30                                #  a repeat takes no second place
        I s3 T1 ask             -> TOO_MANY_CALLS
        T s2 used 0             -> ok
        T d1 used 0             -> ok
    """,
    "71 a call that was refused for money takes no place": """
        balance 0
        calls 1
        I s1 T1 ask             -> CREDIT_LIMIT_REACHED
        top-up 1.00
        I s1 T1 ask #0          -> 30
        T s1 used 0             -> ok
    """,
    "71 a limit that is lifted, and put in place anew, counts from then on": """
        balance 10.00
        calls 1
        I s1 T1 ask             -> 30
        calls 2
        I s2 T1 ask             -> 30
        I s3 T1 ask             -> TOO_MANY_CALLS
        calls 0
        I s3 T1 ask #0          -> 30
        T s1 used 0             -> ok
        T s2 used 0             -> ok
        T s3 used 0             -> ok
    """,
}
ON_A_CLOCK = {
    "71 supervision gives the place of a silent call back": """
        balance 10.00
        calls 1
        I s1 T1 ask             -> 30
        wait 700
        I s2 T1 ask             -> TOO_MANY_CALLS
        close silent sessions
        I s2 T1 ask #0          -> 30
        T s1 used 30            -> SESSION_UNKNOWN
        I s3 T1 ask             -> TOO_MANY_CALLS
        T s2 used 0             -> ok
    """,
    "calls that begin in one second": """
        balance 10.00
        calls a-second 2
        I s1 T1 ask             -> 30
        T s1 used 0             -> ok
        I s2 T1 ask             -> 30
        I s3 T1 ask             -> TOO_MANY_CALLS
        wait 1
        I s3 T1 ask #0          -> 30
        T s2 used 0             -> ok
        T s3 used 0             -> ok
    """,
    "a cap begins anew with the month": """
        balance 10.00
        cap 0.50
        I s1 T1 ask             -> 30
        U s1 used 30 ask        -> 20 final
        T s1 used 20            -> ok
        I s2 T1 ask             -> CREDIT_LIMIT_REACHED
        wait 864000
        I s2 T1 ask #0          -> 30       | R 0.30
        T s2 used 30            -> ok       | B 9.20 R 0
    """,
}


@pytest.mark.parametrize("name", [*LIMITS, *CALLS, *ON_A_CLOCK])
async def test_scenario(world: World, name: str) -> None:
    """The table's every line comes true, and the books balance afterwards: money, caps and places."""
    await Table(world).play((LIMITS | CALLS | ON_A_CLOCK)[name])


async def test_each_crossing_of_a_cap_is_told_once(world: World) -> None:
    """80 % of 0.50, then all of it: an entry each in the journal, in the step that spent it, whatever is repeated."""
    await Table(world).play("""
        balance 10.00
        cap 0.50
        I s1 T1 ask             -> 30
        U s1 used 30 ask        -> 20 final
        U s1 used 10 ask        -> 10 final
        U s1 used 10 ask #2     -> 10 final
        T s1 used 10            -> ok
        T s1 used 10 #3         -> ok
    """)
    told = [(entry.reason, entry.reference) for entry in await world.entries() if entry.kind == "cap"]
    assert told == [
        ("80 % of the cap 'monthly' are spent", "gy:s1"),
        ("100 % of the cap 'monthly' are spent", "gy:s1"),
    ]


async def test_a_cap_holds_for_events(world: World) -> None:
    """A debit that would pass it is refused whole (statement 96)."""
    await world.open("10.00")
    cap = Limits(caps=(CapChoice("messages", "day", amount("0.10"), ("sms",), 50),))
    await world.set_limits(cap)
    results = []
    for number in range(2):
        event = diameter(
            world, RequestKind.EVENT, f"e{number}", 0, group(ask=1, unit=UnitKind.EVENTS), service="sms", destination="",
            action=EventAction.DIRECT_DEBITING,
        )  # fmt: skip
        results.append((await world.charge(event)).status)
    assert results == [ChargingStatus.SUCCESS, ChargingStatus.CREDIT_LIMIT_REACHED]
    assert [entry.kind for entry in await world.entries()][-3:] == ["event", "cap", "refused"]
    await world.check_books()


async def test_71_an_authorization_and_its_call_are_one(world: World) -> None:
    """RADIUS: the Start takes over the place of its authorization; a call that runs already is counted beyond the limit."""
    await world.open("1.00")
    await world.set_limits(Limits(calls=(CallsChoice("voice", 1),)))
    assert granted(await world.charge(access(world, "auth"))) == 100
    assert (await world.charge(access(world, "more"))).status is ChargingStatus.TOO_MANY_CALLS
    await world.charge(accounting(world, INITIAL, "call", lease_of="auth"))
    await world.charge(accounting(world, INITIAL, "other"))
    await world.check_books()
    await world.charge(accounting(world, TERMINATION, "call", 10))
    assert (await world.charge(access(world, "more"))).status is ChargingStatus.TOO_MANY_CALLS
    await world.charge(accounting(world, TERMINATION, "other", 10))
    assert granted(await world.charge(access(world, "more"))) == 80
    await world.check_books()


async def test_71_an_authorization_without_a_call_gives_its_place_back(world: World) -> None:
    """No Start comes: when its time is over the place is free again [R-45]."""
    await world.open("1.00")
    await world.set_limits(Limits(calls=(CallsChoice("voice", 1),)))
    await world.charge(access(world, "auth"))
    world.clock.now_ms += 1_000_000
    await world.close_silent_sessions()
    assert granted(await world.charge(access(world, "again"))) == 100
    await world.check_books()


async def test_71_two_workers_give_one_place_away_once(open_world: OpensWorld) -> None:
    """Four calls at two processes at the same moment, two places: two calls."""
    one, two = await open_world(), await open_world()
    await one.open("10.00")
    await one.set_limits(Limits(calls=(CallsChoice("voice", 2),)))
    asked = [(worker, name) for worker in (one, two) for name in ("a", "b")]
    answers = await asyncio.gather(
        *(w.charge(diameter(w, INITIAL, f"{name}{w is two}", 0, group(ask=0))) for w, name in asked)
    )
    assert sorted(each.status.name for each in answers) == ["SUCCESS"] * 2 + ["TOO_MANY_CALLS"] * 2
    await two.check_books()
