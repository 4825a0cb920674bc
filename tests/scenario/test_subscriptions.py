"""Packages that are bought anew: at local midnights, once, before any use of the new period, and what happens without money.

"monthly" costs 1.00 and has 60 s, of which up to 20 s roll over; without money it waits. "daily" costs 0.50, has 30 s and
ends without money. "weekly" costs 0.70, has a message and is debited in any case. T1 costs 0.01 a second.
"""

from __future__ import annotations

import asyncio

import pytest

from ocs.charging.request import RequestKind
from tests.scenario.table import Table
from tests.scenario.traffic import diameter, granted, group
from tests.scenario.world import START_MS, OpensWorld, World, amount

INITIAL, TERMINATION = RequestKind.INITIAL, RequestKind.TERMINATION
DAY_MS = 86_400_000
OCTOBER_21_MS = 1_792_533_600_000  # 2026-10-20 22:00 UTC

RENEWED = {
    "what is left rolls over up to its bound, the rest is written off": """
        balance 5.00
        buy monthly                         | B 4.00 U 60
        I s1 T1 ask             -> 30
        T s1 used 5             -> ok       | U 55
        wait 2600000                                          #  on the 21st of October
        I s2 T1 ask             -> 30       | B 3.00 U 80 H 30
        T s2 used 30            -> ok       | B 3.00 U 50
    """,
    "a session that goes on over midnight pays from the new bucket": """
        balance 1.50
        buy daily                           | B 1.00 U 30
        wait 27980                                            #  20 s to midnight
        I s1 T1 ask             -> 30       | U 30 H 30
        wait 30
        U s1 used 20 ask        -> 30       | B 0.50 U 40 H 30     #  20 of the old one; the new one holds 30
        T s1 used 0             -> ok       | B 0.50 U 30
    """,
    "short of money it waits, and a top-up buys it": """
        balance 1.00
        buy monthly                         | B 0 U 60
        wait 2600000
        close silent sessions
        I s1 T1 ask             -> CREDIT_LIMIT_REACHED | B 0
        top-up 0.40                         | B 0.40 U 0
        top-up 0.70                         | B 0.10 U 60     #  what was left has ended meanwhile
        I s1 T1 ask #0          -> 30
        T s1 used 0             -> ok
    """,
    "short of money it ends": """
        balance 0.80
        buy daily                           | B 0.30 U 30
        wait 86400
        close silent sessions
        top-up 5.00                         | B 5.30 U 0
        wait 86400
        close silent sessions               | B 5.30 U 0
    """,
    "short of money it is debited all the same": """
        balance 0.70
        buy weekly                          | B 0 U 1
        wait 604800
        close silent sessions               | B -0.70 U 1
        wait 604800
        close silent sessions               | B -1.40 U 1
    """,
    "one that is cancelled ends with its period": """
        balance 5.00
        buy monthly                         | B 4.00 U 60
        cancel 3
        I s1 T1 ask             -> 30       | U 60
        T s1 used 0             -> ok
        wait 2600000
        close silent sessions               | B 4.00 U 0
        wait 2600000
        close silent sessions               | B 4.00 U 0
    """,
    "the first days are for nothing, once": """
        balance 3.00
        buy contract                        | B 3.00 U 1
        wait 691200
        close silent sessions               | B 2.00 U 1      #  the eighth day: the first month is paid
        cancel 3
        wait 2678400
        close silent sessions               | B 1.00 U 1      #  cancelled, and bound for three months
        wait 2678400
        close silent sessions               | B 0 U 1
        wait 2678400
        close silent sessions               | B 0 U 0         #  over
        top-up 1.00
        buy contract                        | B 0 U 1         #  no second trial
    """,
    "who cancels within the trial owes nothing": """
        balance 3.00
        buy contract                        | B 3.00 U 1
        cancel 3
        wait 691200
        close silent sessions               | B 3.00 U 0
    """,
    "suspended it waits; nothing is bought for the months between": """
        balance 5.00
        buy monthly                         | B 4.00 U 60
        suspend
        wait 7800000                                          #  three months on
        close silent sessions               | B 4.00
        activate                            | B 3.00 U 60
    """,
}


@pytest.mark.parametrize("name", RENEWED)
async def test_scenario(world: World, name: str) -> None:
    """The table's every line comes true, and the books balance afterwards."""
    await Table(world).play(RENEWED[name])


async def test_a_renewal_comes_at_midnight_though_nothing_is_heard(world: World) -> None:
    """Its timer is filed with the deadlines: at the instant, not before; then it is filed for the next month."""
    await world.open("5.00")
    await world.buy("monthly")
    world.clock.now_ms = OCTOBER_21_MS - 1
    await world.close_silent_sessions()
    assert await world.figures() == (amount("4.00"), 0, amount("4.00"))
    world.clock.now_ms = OCTOBER_21_MS
    await world.close_silent_sessions()
    assert await world.figures() == (amount("3.00"), 0, amount("3.00"))
    account = await world.account()
    assert account.extras is not None
    (subscription,) = account.extras.subscriptions
    assert (subscription.number, subscription.renews_at_ms) == (3, OCTOBER_21_MS + 31 * DAY_MS + 3_600_000)
    assert await world.close_silent_sessions() == 0
    await world.check_books()


async def test_a_renewal_happens_once_at_many_workers(open_world: OpensWorld) -> None:
    """Two supervisions and two calls at the same moment, at two processes: one price, one bucket."""
    one, two = await open_world(), await open_world()
    await one.open("5.00")
    await one.buy("monthly")
    one.clock.now_ms = START_MS + 31 * DAY_MS
    first, second, *_ = await asyncio.gather(
        one.charge(diameter(one, INITIAL, "s1", 0, group(ask=0))),
        two.charge(diameter(two, INITIAL, "s2", 0, group(ask=0))),
        one.close_silent_sessions(),
        two.close_silent_sessions(),
    )
    assert (granted(first), granted(second)) == (30, 30)
    assert await one.figures() == (amount("3.00"), 0, amount("3.00"))
    assert await two.units() == (80, 60)
    assert [entry.kind for entry in await one.entries()].count("package") == 2
    await two.check_books()
