"""A family's or a company's one account: each member has a number of its own, and a limit of its own. T1 costs 0.01 a second."""

from __future__ import annotations

import asyncio

import pytest

from ocs.charging.operations import CapChoice, Limits
from ocs.charging.request import RequestKind
from tests.scenario.table import Table
from tests.scenario.traffic import diameter, granted, group
from tests.scenario.world import OpensWorld, World, amount

INITIAL, UPDATE, TERMINATION = RequestKind.INITIAL, RequestKind.UPDATE, RequestKind.TERMINATION

MEMBERS = {
    "70 members share the money; a member's limit refuses that member only": """
        balance 10.00
        member kid
        member mum
        cap 0.40 of kid
        I k1 T1 ask by kid      -> 30       | R 0.30
        I k2 T1 ask by kid      -> 10 final | R 0.40
        I k3 T1 ask by kid      -> CREDIT_LIMIT_REACHED
        I m1 T1 ask by mum      -> 30       | R 0.70
        U k1 used 30 ask        -> CREDIT_LIMIT_REACHED | B 9.70 R 0.40
        T k2 used 5             -> ok       | B 9.65 R 0.30
        U k1 used 0 ask         -> 5 final
        T k1 used 5             -> ok       | B 9.60
        T m1 used 30            -> ok       | B 9.30 R 0
        I k3 T1 ask #0 by kid   -> CREDIT_LIMIT_REACHED
    """,
    "70 one limit for each member, and one for all of them together": """
        balance 10.00
        member kid
        member mum
        cap 0.30 each and 0.50
        I k1 T1 ask by kid      -> 30 final
        I m1 T1 ask by mum      -> 20 final                          #  all of them have 0.50
        T k1 used 30            -> ok
        U m1 used 20 ask        -> CREDIT_LIMIT_REACHED
        cap 0.30 each
        U m1 used 0 ask         -> 10 final                          #  what mum has used counts still
        T m1 used 10            -> ok       | B 9.40 R 0
        I k2 T1 ask by kid      -> CREDIT_LIMIT_REACHED
    """,
    "70 a limit in units counts what bundles pay, too": """
        balance 1.00
        member kid
        member mum
        buy 60-seconds
        cap 40-s each
        I k1 T1 ask by kid      -> 30       | H 30
        U k1 used 30 ask        -> 10 final | U 30 H 10
        T k1 used 10            -> ok       | U 20 H 0
        I k2 T1 ask by kid      -> CREDIT_LIMIT_REACHED
        E m0 S1 ask 1 by kid    -> 1                                 #  messages are no seconds
        I m1 T1 ask by mum      -> 30       | U 20 H 20 R 0.10
        T m1 used 0             -> ok
        I f1 free ask by kid    -> 30                                #  what is free is not counted
        T f1 used 30            -> ok       | B 0.92 R 0 H 0
    """,
}


@pytest.mark.parametrize("name", MEMBERS)
async def test_scenario(world: World, name: str) -> None:
    """The table's every line comes true, and the books balance afterwards: money, units, and what each member has used."""
    await Table(world).play(MEMBERS[name])


async def test_70_a_member_is_warned_once_by_name(world: World) -> None:
    """80 % of a member's share, then all of it: an entry each, which says whose it is."""
    await Table(world).play("""
        balance 10.00
        member kid
        cap 0.50 each
        I s1 T1 ask by kid      -> 30
        U s1 used 30 ask        -> 20 final
        U s1 used 10 ask        -> 10 final
        T s1 used 10            -> ok
    """)
    told = [entry.reason for entry in await world.entries() if entry.kind == "cap"]
    assert told == [
        "80 % of the cap 'each 0.50' of kid are spent",
        "100 % of the cap 'each 0.50' of kid are spent",
    ]


async def test_70_members_at_two_workers_share_one_cap(open_world: OpensWorld) -> None:
    """Eight calls of two members at two processes at the same moment: none gets more than its share."""
    one, two = await open_world(), await open_world()
    await one.open("10.00")
    identities = [await one.add_member("kid"), await one.add_member("mum")]
    await one.set_limits(Limits(caps=(CapChoice("share", "day", amount("0.45"), member="*"),)))
    asked = [(w, number, who) for w in (one, two) for number in range(2) for who in identities]
    answers = await asyncio.gather(
        *(
            w.charge(diameter(w, INITIAL, f"{number}{who}{w is two}", 0, group(ask=0), identity=who))
            for w, number, who in asked
        )
    )
    held = dict.fromkeys(identities, 0)
    for (_, _, who), answer in zip(asked, answers, strict=True):
        held[who] += granted(answer) if answer.groups and answer.groups[0].granted else 0
    assert list(held.values()) == [45, 45]
    await two.check_books()
