"""The life of an account: first use activates, top-ups extend, then grace, suspension, recycling, the end; and its blocks.

The plan's rules here: to be used within 60 days, valid for 10 days from then on and for 20 from a top-up on, 5 days of grace, 7
suspended, 30 recycled. Days end at midnight in Berlin; the world begins at 15:33 there. T1 costs 0.01 a second.
"""

from __future__ import annotations

import asyncio

import pytest
from msgspec import structs

from balance.account import AccountState
from ocs.charging.life import TRANSITIONS, Event
from ocs.charging.operations import RechargeStatus
from ocs.charging.request import RequestKind
from ocs.charging.rules import AccountRules, Lifecycle
from tests.scenario.table import Table
from tests.scenario.traffic import access, diameter, granted, group
from tests.scenario.world import POLICY, OpensWorld, World, amount

INITIAL, TERMINATION = RequestKind.INITIAL, RequestKind.TERMINATION

RULES = AccountRules(
    lifecycles=(
        Lifecycle(
            plans=("test-eur",), first_use_days=60, valid_days=10, top_up_days=20, grace_days=5, suspended_days=7,
            recycled_days=30,
        ),
    )
)  # fmt: skip

LIVES = {
    "first use activates, and what is refused does not": """
        balance 0
        state created
        I s1 T1 ask             -> CREDIT_LIMIT_REACHED
        state created
        top-up 1.00
        state created                                         #  money alone is no use
        I s1 T1 ask #0          -> 30
        state active
        T s1 used 30            -> ok       | B 0.70
        wait 10 days
        state active
        wait 1 days
        I s2 T1 ask             -> SERVICE_DENIED
        state grace
        I s3 free ask           -> 30                         #  what is free is always allowed
        T s3 used 30            -> ok
    """,
    "a message activates, too": """
        balance 1.00
        E m1 S1 ask 1           -> 1        | B 0.92
        state active
    """,
    "a top-up makes it valid for longer, and brings it back": """
        balance 1.00
        I s1 T1 ask             -> 30
        T s1 used 30            -> ok
        wait 9 days
        top-up 1.00                                           #  valid to day 29
        wait 20 days
        close silent sessions
        state active
        wait 1 days
        close silent sessions
        state grace
        top-up 0.30                                           #  valid to day 50
        state active
        I s2 T1 ask             -> 30
        T s2 used 30            -> ok       | B 1.70
        wait 26 days
        close silent sessions
        state suspended
        top-up 1.00
        state active            | B 2.70
    """,
    "what is left of a recycled account is written off, and at last it is closed": """
        balance 1.00
        buy 60-seconds
        I s1 T3 ask             -> 30
        T s1 used 30            -> ok       | B 1.00 U 30
        wait 23 days                                          #  10 + 5 + 7: seen late, but counted from each end
        close silent sessions
        state recycled          | B 0 U 0
        I s2 T1 ask             -> SERVICE_DENIED
        wait 30 days
        close silent sessions
        state closed
    """,
    "one that is never used is closed": """
        balance 1.00
        wait 61 days
        close silent sessions
        state closed            | B 0
    """,
    "an account that comes of age buys nothing more": """
        balance 5.00
        I s1 T1 ask             -> 30
        T s1 used 0             -> ok
        buy weekly              | B 4.30 U 1
        wait 14 days
        close silent sessions   | B 4.30
        state grace
        top-up 1.00             | B 4.60                      #  what was due is bought then, once
        state active
    """,
}
BLOCKS = {
    "each block is lifted by its own name": """
        balance 1.00
        suspend
        suspend by dunning
        state suspended dunning operator
        activate by dunning                                   #  paid: what the operator has blocked stays blocked
        state suspended operator
        I s1 T1 ask             -> SERVICE_DENIED
        activate
        state active
        suspend by lost
        activate
        state suspended lost
        activate by lost
        I s1 T1 ask #0          -> 30
        T s1 used 0             -> ok
    """,
}


@pytest.fixture
async def living(open_world: OpensWorld) -> World:
    """A world in which accounts have a life."""
    return await open_world(structs.replace(POLICY, rules=RULES))


@pytest.mark.parametrize("name", [*LIVES, *BLOCKS])
async def test_scenario(living: World, open_world: OpensWorld, name: str) -> None:
    """The table's every line comes true, and the books balance afterwards."""
    await Table(living if name in LIVES else await open_world()).play((LIVES | BLOCKS)[name])


async def test_blocks_and_age_are_kept_apart(living: World) -> None:
    """A blocked account ages, and lifting the block shows the stage it is in."""
    await Table(living).play("""
        balance 1.00
        I s1 T1 ask             -> 30
        T s1 used 0             -> ok
        suspend by dunning
        wait 11 days
        close silent sessions
        state suspended dunning
        activate by dunning
        state grace
    """)


async def test_every_move_is_an_entry_of_the_journal(living: World) -> None:
    """With its reason, in the posting that made it; what is written off stands in the same entry."""
    await Table(living).play("""
        balance 1.00
        I s1 T1 ask             -> 30
        T s1 used 30            -> ok
        wait 300 days
        close silent sessions
        state closed
    """)
    told = [(entry.reason, sum(change.amount for change in entry.changes)) for entry in await living.entries()]
    assert [each for each in told if "->" in each[0]] == [
        ("created -> active: first use", 0),
        ("active -> grace: its time was over", 0),
        ("grace -> suspended: its time was over", 0),
        ("suspended -> recycled: its time was over", -amount("0.70")),
        ("recycled -> closed: its time was over", 0),
    ]


async def test_a_recycled_account_takes_no_money(living: World) -> None:
    """Its number may be another's by now."""
    await living.open("1.00")
    await living.charge(diameter(living, INITIAL, "s", 0, group(ask=0)))
    living.clock.now_ms += 24 * 86_400_000
    result = await living.desk.top_up("A", amount("1.00"), "EUR", key="late", actor="test", reason="")
    assert result.status is RechargeStatus.ACCOUNT_CLOSED
    await living.check_books()


async def test_two_workers_activate_once(open_world: OpensWorld) -> None:
    """Two first uses at two processes: one entry, both calls."""
    policy = structs.replace(POLICY, rules=RULES)
    one, two = await open_world(policy), await open_world(policy)
    await one.open("1.00")
    first, second = await asyncio.gather(
        one.charge(diameter(one, INITIAL, "s1", 0, group(ask=0))),
        two.charge(diameter(two, INITIAL, "s2", 0, group(ask=0))),
    )
    assert (granted(first), granted(second)) == (30, 30)
    assert [entry.reason for entry in await one.entries()].count("created -> active: first use") == 1
    await two.check_books()


async def test_a_closed_account_is_not_looked_at_again(open_world: OpensWorld) -> None:
    """Whichever process closes it: its timer goes with its place among the deadlines, also where nobody remembers the timer."""
    policy = structs.replace(POLICY, rules=RULES)
    one, two = await open_world(policy), await open_world(policy)
    await one.open("1.00")
    two.keys = one.keys
    await two.set_state(AccountState.CLOSED)
    assert await one.store.due(one.clock() + 400 * 86_400_000, 100) == []


async def test_an_account_from_before_has_no_life(open_world: OpensWorld) -> None:
    """It was opened without rules: rules that come later do not age it."""
    before = await open_world()
    await before.open("1.00")
    later = await open_world(structs.replace(POLICY, rules=RULES))
    later.clock.now_ms += 400 * 86_400_000
    assert granted(await later.charge(diameter(later, INITIAL, "s", 0, group(ask=0)))) == 30


def test_the_stages_have_an_answer_to_everything() -> None:
    """Every stage and event stands in the table, and time leads to the end."""
    assert TRANSITIONS.keys() == {
        (stage, event) for stage in set(AccountState) - {AccountState.LIMITED} for event in Event
    }
    stage, seen = AccountState.CREATED, set()
    for event in (Event.FIRST_USE, *[Event.TIME] * 5):
        stage = TRANSITIONS[stage, event]
        seen.add(stage)
    assert seen == set(AccountState) - {AccountState.CREATED, AccountState.LIMITED}
    assert stage is AccountState.CLOSED


async def test_r46_a_call_gets_no_more_time_than_its_account_has_left(living: World) -> None:
    """A switch that is given all that the money pays for comes but once: its time ends with the account's."""
    await Table(living).play("""
        balance 50.00
        I s1 T1 ask             -> 30
        T s1 used 0             -> ok
    """)
    ends_at_ms = (await living.account()).ends_at_ms
    living.clock.now_ms = ends_at_ms - 100_000
    assert granted(await living.charge(access(living, "last"))) == 100


async def test_an_account_whose_time_is_over_is_expired_unless_it_is_blocked(living: World) -> None:
    """What a switch says to the caller: expired is no suspension."""
    await Table(living).play("""
        balance 1.00
        I s1 T1 ask             -> 30
        T s1 used 0             -> ok
        wait 11 days
        close silent sessions
        state grace
    """)
    assert (await living.charge(access(living, "a"))).is_expired
    await Table(living).play("suspend by operator")
    assert not (await living.charge(access(living, "b"))).is_expired
