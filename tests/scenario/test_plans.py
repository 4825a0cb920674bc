"""Changes of plan: at once or with the next cycle, what of the old plan's packages comes back, what of the new one's is bought.

It begins on the 21st of September. "monthly" of the old plan costs 1.00 and has 60 s; the new one has "resale-monthly" for 3.10 and 310
messages, and sells "weekly" as the old one does, for less. T1 costs 0.01 a second by the old plan and 0.004 by the new one.
"""

from __future__ import annotations

import asyncio

import pytest
from msgspec import structs

from balance.account import Account
from ocs.charging.account_events import event_of
from ocs.charging.operations import RechargeStatus
from ocs.charging.plans import PlanOrder
from ocs.charging.request import RequestKind
from ocs.charging.rules import AccountRules, PlanChangeRule
from tests.scenario.table import Table
from tests.scenario.traffic import diameter, granted, group
from tests.scenario.world import POLICY, OpensWorld, World, amount

NEW = "test-resale-eur"
OCTOBER_1_MS = 1_790_805_600_000  # 2026-09-30 22:00 UTC
PRORATED = PlanChangeRule(plans=(NEW,), packages=("resale-monthly",))
NEXT = structs.replace(PRORATED, first_period="next")

CHANGED = {
    "at once: 15 of 30 days come back, 26 of October's 31 are bought": """
        balance 5.00
        buy monthly                         | B 4.00 U 60
        I s1 T1 ask             -> 30
        T s1 used 30            -> ok       | B 4.00 U 30
        wait 15 days                                          #  the 6th of October
        plan test-resale-eur                | B 1.90 U 260
        I s2 T1 ask             -> 30       | R 0.12
        T s2 used 30            -> ok       | B 1.78
        wait 26 days
        close silent sessions               | B 1.78 U 0      #  November: 3.10 are not there, it waits
        top-up 2.00                         | B 0.68 U 310
    """,
    "an open session keeps its price and what it holds": """
        balance 5.00
        buy monthly                         | B 4.00 U 60
        I s1 T1 ask             -> 30       | U 60 H 30
        wait 15 days
        plan test-resale-eur                | B 1.90 U 290 H 30
        T s1 used 40            -> ok       | B 1.80 U 260    #  30 s held, 10 s at 0.01
    """,
    "with the next cycle: the old plan until then, then the whole of the new one": """
        balance 5.00
        buy monthly                         | B 4.00 U 60
        plan test-resale-eur next cycle     | B 4.00 U 60
        I s1 T1 ask             -> 30       | U 60 H 30
        T s1 used 0             -> ok
        wait 9 days                                           #  the 30th of September
        close silent sessions               | B 4.00 U 60
        wait 1 days
        I s2 T1 ask             -> 30       | B 1.566666666 R 0.12 U 310
        T s2 used 0             -> ok       | B 1.566666666 U 310
    """,
    "the plan that it has takes back what was to come": """
        balance 5.00
        plan test-resale-eur next cycle
        plan test-eur
        wait 12 days
        close silent sessions               | B 5.00
        I s1 T1 ask             -> 30       | R 0.30
        T s1 used 0             -> ok
    """,
    "what both plans sell goes on, at the new price": """
        balance 5.00
        buy weekly                          | B 4.30 U 1
        wait 1 days
        plan test-resale-eur                | B 3.37 U 94     #  nine of September's thirty days: 0.93, and 93 messages
        wait 6 days
        close silent sessions               | B 2.97 U 95
    """,
    "who changes and changes back at once has what he had": """
        balance 5.00
        plan test-resale-eur                | B 3.966666667 U 104
        plan test-eur                       | B 5.00 U 0
    """,
}


@pytest.fixture
async def changing(open_world: OpensWorld) -> World:
    """A world in which a change of plan brings a package, prorated."""
    return await open_world(structs.replace(POLICY, rules=AccountRules(plan_changes=(PRORATED,))))


@pytest.mark.parametrize("name", CHANGED)
async def test_scenario(changing: World, name: str) -> None:
    """The table's every line comes true, and the books balance afterwards."""
    await Table(changing).play(CHANGED[name])


async def test_the_first_period_may_be_the_next_one(open_world: OpensWorld) -> None:
    """By a rule: nothing is bought for the days that are left; the first of October buys the whole."""
    world = await open_world(structs.replace(POLICY, rules=AccountRules(plan_changes=(NEXT,))))
    await Table(world).play("""
        balance 5.00
        plan test-resale-eur                | B 5.00 U 0
        wait 9 days
        close silent sessions               | B 5.00 U 0
        wait 1 days
        close silent sessions               | B 1.90 U 310
    """)


async def test_a_change_happens_once_at_many_workers_and_is_told(changing: World, open_world: OpensWorld) -> None:
    """Two supervisions and two calls at the instant, at two processes: one change, one purchase, one event."""
    one, two = changing, await open_world(changing.charging.policy)
    await one.open("5.00")
    await one.change_plan(NEW, at_cycle_end=True)
    one.clock.now_ms = OCTOBER_1_MS - 1
    await one.close_silent_sessions()
    assert (await one.account()).rate_plan == "test-eur"
    one.clock.now_ms = OCTOBER_1_MS
    first, second, *_ = await asyncio.gather(
        one.charge(diameter(one, RequestKind.INITIAL, "s1", 0, group(ask=0))),
        two.charge(diameter(two, RequestKind.INITIAL, "s2", 0, group(ask=0))),
        one.close_silent_sessions(),
        two.close_silent_sessions(),
    )
    assert (granted(first), granted(second)) == (30, 30)
    assert (await two.account()).rate_plan == NEW
    assert (await one.figures())[:2] == (amount("1.90"), amount("0.24"))
    events = [event for event in map(event_of, await one.entries()) if event is not None]
    told = [(event.event_type, event.facts.get("plan")) for event in events if event.event_type.startswith("p")]
    assert told == [("plan_changed", NEW), ("package_bought", None)]
    await two.check_books()


async def test_what_stands_against_a_change(changing: World) -> None:
    """No such plan, one in another currency, a commitment; the same key twice; somebody else was faster."""
    world = changing
    await world.open("5.00")
    desk, who = world.desk, {"actor": "test", "reason": ""}

    async def change(plan: str, key: str, *, at_cycle_end: bool = False, expects: frozenset[str] = frozenset()) -> str:
        order = PlanOrder(plan, at_cycle_end)
        return (await desk.change_plan("A", order, key=key, expects=expects, **who)).status.value

    assert await change("nothing", "a") == RechargeStatus.RATE_PLAN_UNKNOWN.value
    assert await change("acme-usd", "b") == RechargeStatus.CURRENCY_MISMATCH.value
    assert await change(NEW, "c", expects=frozenset({"0"})) == RechargeStatus.CHANGED_MEANWHILE.value
    await world.buy("contract")
    world.clock.now_ms += 8 * 86_400_000
    await world.close_silent_sessions()
    assert await change(NEW, "d", at_cycle_end=True) == RechargeStatus.COMMITTED.value
    account = await world.account()
    assert isinstance(account, Account)
    assert account.extras is not None
    (contract,) = account.extras.subscriptions
    world.clock.now_ms = contract.committed_until_ms
    assert await change(NEW, "e") == RechargeStatus.APPLIED.value
    assert await change(NEW, "e") == RechargeStatus.REPLAYED.value
    assert await change(NEW, "e", at_cycle_end=True) == RechargeStatus.KEY_REUSED.value
    await world.check_books()
