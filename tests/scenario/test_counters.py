"""Tiers over a month, counted in the account: what one session uses makes the next one dearer or cheaper.

"falling": the first 60 s of the month cost 0.02 each, all further ones 0.01. "rising": the first 60 s cost nothing, all
further ones 0.01. "volume": the first 60 s cost 0.02 each, but once there are more all of them cost 0.01. "packs": 1.00 for the
first 60 s, 0.50 for the next 60 s, then 0.01 each. "valley": 30 s at 0.02, 30 s at 0.01, then 0.03. C is what is counted in the month, K what is kept for grants that are out.
"""

from __future__ import annotations

import asyncio

import pytest

from balance.account import MAIN_BUCKET
from ocs.charging.account_events import event_of
from ocs.charging.request import ChargingRequest, ChargingStatus, EventAction, RequestKind
from ocs.rating.explain import explain
from ocs.rating.load import load_currencies
from ocs.rating.price import cost_of
from tests.scenario.table import Table
from tests.scenario.traffic import diameter, granted, group
from tests.scenario.world import CONFIG, OpensWorld, World, amount

MONTH_END_MS = 1_790_805_600_000  # 2026-09-30 22:00 UTC: October begins in Berlin

COUNTERS = {
    "94 the crossing second splits the price": """
        balance 10.00
        I s1 falling ask 50     -> 30       | R 0.60 C 0
        U s1 used 30 ask        -> 30       | B 9.40 R 0.60 C 30
        U s1 used 30 ask        -> 30       | B 8.80 R 0.30 C 60     #  from here on 0.01
        T s1 used 10            -> ok       | B 8.70 R 0 C 70
        I s2 falling ask        -> 30       | R 0.30                 #  the next session goes on at 0.01
        T s2 used 5             -> ok       | B 8.65 R 0 C 75
    """,
    "94 a grant across the mark is reserved at both prices": """
        balance 10.00
        I s1 falling ask        -> 30
        U s1 used 20 ask        -> 30       | B 9.60 R 0.60
        U s1 used 25 ask        -> 30       | B 9.10 R 0.45 C 45     #  15 s at 0.02, 15 s at 0.01
        U s1 used 30 ask        -> 30       | B 8.65 R 0.30 C 75
        T s1 used 0             -> ok       | B 8.65 R 0
    """,
    "94 two sessions at once cross the mark once": """
        balance 10.00
        I s1 falling ask        -> 30       | R 0.60
        I s2 falling ask        -> 30       | R 1.20
        U s1 used 30 ask        -> 30       | B 9.40 C 30
        U s2 used 30 ask        -> 30       | B 8.80 C 60
        U s1 used 30 ask        -> 30       | B 8.50 C 90            #  reserved at 0.02, in truth beyond the mark
        T s2 used 30            -> ok       | B 8.20 C 120
        T s1 used 0             -> ok       | B 8.20 R 0
    """,
    "94 the cheap units of one grant cannot be promised to another": """
        balance 0.30
        I s1 rising ask         -> 30       | R 0 K 30
        I s2 rising ask         -> 30       | R 0 K 60
        I s3 rising ask         -> 30 final | R 0.30 K 60            #  0.30 pays for 30 s, and these are the last
        U s3 used 30 ask        -> CREDIT_LIMIT_REACHED | B 0 R 0 C 30 K 60
        U s1 used 30 ask        -> CREDIT_LIMIT_REACHED | B 0 C 60 K 30
        T s2 used 30            -> ok       | B 0 R 0 C 90 K 0
        T s1 used 0             -> ok
        T s3 used 0             -> ok       | B 0 R 0
    """,
    "94 what a grant did not use of its cheap units is there for others": """
        balance 1.00
        I s1 rising ask         -> 30       | K 30
        T s1 used 10            -> ok       | B 1.00 C 10 K 0
        I s2 rising ask         -> 30       | R 0 K 30
        U s2 used 30 ask        -> 30       | B 1.00 R 0.10 C 40 K 20
        T s2 used 30            -> ok       | B 0.90 R 0 C 70 K 0
    """,
    "94 [49] free units are granted without money, and the last of them are final": """
        balance 0
        I s1 rising ask         -> 30
        U s1 used 30 ask        -> 30 final | B 0 R 0 C 30 K 30
        U s1 used 30 ask        -> CREDIT_LIMIT_REACHED | B 0 C 60 K 0
        T s1 used 0             -> ok
        I s2 rising ask         -> CREDIT_LIMIT_REACHED
    """,
    "3.8 volume: the second that reaches the next tier makes the whole month cheaper": """
        balance 10.00
        I s1 volume ask         -> 30       | R 0.60 C 0
        U s1 used 30 ask        -> 30       | B 9.40 R 0.60 C 30
        T s1 used 30            -> ok       | B 8.80 R 0 C 60        #  the end of a tier belongs to it
        I s2 volume ask         -> 30       | R 0.30
        U s2 used 1 ask         -> 30       | B 9.39 R 0.30 C 61     #  0.60 comes back: 61 s at 0.01
        T s2 used 9             -> ok       | B 9.30 R 0 C 70
    """,
    "3.8 volume: what comes back is there for the grant of the same request": """
        balance 1.20
        I s1 volume ask         -> 30
        U s1 used 30 ask        -> 30 final | B 0.60 R 0.60 C 30     #  no grant counts on what may come back
        T s1 used 30            -> ok       | B 0 R 0 C 60
        I s2 volume ask         -> CREDIT_LIMIT_REACHED
        top-up 0.01
        I s3 volume ask         -> 1 final  | R 0.01
        U s3 used 1 ask         -> 30       | B 0.60 R 0.30 C 61
        T s3 used 0             -> ok       | B 0.60 R 0
    """,
    "3.8 volume: two sessions at once are given the difference once": """
        balance 10.00
        I s1 volume ask         -> 30       | R 0.60
        I s2 volume ask         -> 30       | R 1.20
        I s3 volume ask         -> 30       | R 1.80
        T s1 used 30            -> ok       | B 9.40 C 30
        T s2 used 30            -> ok       | B 8.80 C 60
        T s3 used 30            -> ok       | B 9.10 R 0 C 90        #  90 s at 0.01
    """,
    "3.8 a tier's fee is due once in the month, and set aside by all who may be the first": """
        balance 1.60
        I s1 packs ask          -> 30       | R 1.00 K 30
        I s2 packs ask          -> CREDIT_LIMIT_REACHED              #  nobody has paid it yet
        U s1 used 30 ask        -> 30       | B 0.60 R 0 C 30 K 30
        I s2 packs ask          -> 30       | R 0.50 K 60            #  the rest of the first pack is promised to s1
        U s1 used 30 ask        -> CREDIT_LIMIT_REACHED | B 0.60 C 60 K 30
        T s2 used 10            -> ok       | B 0.10 R 0 C 70 K 0
        I s3 packs ask          -> 30       | R 0 K 30
        U s3 used 30 ask        -> 30 final | B 0.10 C 100           #  20 s of the pack, 10 s at 0.01
        T s3 used 30            -> ok       | B 0 R 0 C 130
        T s1 used 0             -> ok
    """,
    "4 a place that is given back may be dearer: that is set aside as well": """
        balance 0.90
        I s1 valley ask         -> 30       | R 0.60 K 30
        I s2 valley ask         -> 15 final | R 0.90 K 45            #  at 0.01, but the places of s1 cost 0.02
        T s1 used 0             -> ok       | R 0.30 K 15
        I s3 T1 ask             -> 30       | R 0.60
        I s4 T1 ask             -> 30 final | R 0.90
        T s2 used 15            -> ok       | B 0.60 R 0.60 C 15 K 0
        T s3 used 0             -> ok
        T s4 used 0             -> ok       | B 0.60 R 0
    """,
    "94 fair use: a grant ends where the status changes, so that the client is back then": """
        balance 10.00
        I s1 fair-use ask       -> 30       | R 0.30
        U s1 used 30 ask        -> 20       | B 9.70 R 0.20 C 30
        U s1 used 20 ask        -> 30       | B 9.50 R 0.30 C 50     #  slow from here on
        T s1 used 5             -> ok       | B 9.45 R 0 C 55
        I s2 fair-use ask       -> 30
        T s2 used 0             -> ok
    """,
    "12 a repeated report is counted once": """
        balance 10.00
        I s1 falling ask        -> 30
        U s1 used 30 ask        -> 30       | B 9.40 C 30
        U s1 used 30 ask #1     -> 30       | B 9.40 C 30
        T s1 used 0             -> ok       | C 30
        T s1 used 0 #2          -> ok       | C 30
    """,
    "52 use beyond the grant is counted and priced like all other": """
        balance 10.00
        I s1 falling ask        -> 30
        U s1 used 70 ask        -> 30       | B 8.70 R 0.30 C 70
        T s1 used 0             -> ok
    """,
    "94 two tariffs count apart": """
        balance 10.00
        I s1 falling ask        -> 30
        T s1 used 30            -> ok       | B 9.40 C 30
        I s2 rising ask         -> 30       | R 0 C 0 K 30
        T s2 used 30            -> ok       | B 9.40 C 30
    """,
}
ON_A_CLOCK = {
    "112 what a silent session kept is free again": """
        balance 1.00
        I s1 rising ask         -> 30       | K 30
        wait 700
        close silent sessions
        I s2 rising ask         -> 30       | C 0 K 30
        U s2 used 30 ask        -> 30       | B 1.00 R 0
        T s2 used 0             -> ok
    """,
    "94 with the month ends the count: what was granted before it belongs to it": """
        balance 10.00
        I s1 falling ask        -> 30
        U s1 used 30 ask        -> 30       | B 9.40 C 30            #  on the 21st of September
        wait 777000
        close silent sessions
        I s2 falling ask        -> 30                                #  on the 30th
        U s2 used 30 ask        -> 30       | B 8.80 R 0.30 C 60
        wait 100
        U s2 used 10 ask        -> 30       | B 8.70 R 0.30 C 70     #  still the 30th: 0.01
        wait 50000
        T s2 used 10            -> ok       | B 8.60 R 0 C 80        #  on the 1st of October, for a grant of the 30th
        I s3 falling ask        -> 30       | R 0.60 C 0             #  0.02 again
        T s3 used 10            -> ok       | B 8.40 R 0 C 10
    """,
}


@pytest.mark.parametrize("name", [*COUNTERS, *ON_A_CLOCK])
async def test_scenario(world: World, name: str) -> None:
    """The table's every line comes true, and the books balance afterwards: money and counters."""
    await Table(world).play((COUNTERS | ON_A_CLOCK)[name])


async def test_94_the_record_says_where_the_use_lay(world: World) -> None:
    """The record's price holds the units in each tier and the counts before and after: it can be computed again."""
    await Table(world).play(COUNTERS["94 the crossing second splits the price"])
    records = [entry.cdr for entry in await world.entries() if entry.cdr is not None]
    (first,), (second,) = (record.groups for record in records)
    assert (first.cost, second.cost) == (amount("1.30"), amount("0.05"))
    assert [cost_of(each.price, each.used) for each in (first, second)] == [first.cost, second.cost]
    currency = load_currencies(CONFIG / "currencies.toml")["EUR"]
    assert explain(first.price, first.used, first.cost, currency) == [
        "used 70 s, billed 70 s",
        "counted in the month: 0 s before, 70 s after",
        "1.20 EUR 60 s at 0.02 EUR per second, tier 1 of the month",
        "0.10 EUR 10 s at 0.01 EUR per second, tier 2 of the month",
        "1.30 EUR in all",
    ]
    assert "counted in the month: 70 s before, 75 s after" in explain(second.price, 5, second.cost, currency)


async def test_3_8_what_comes_back_is_an_entry_of_its_own(world: World) -> None:
    """The records keep the price at which the units were sold; the journal says what the tier that was reached gives back."""
    await Table(world).play(COUNTERS["3.8 volume: the second that reaches the next tier makes the whole month cheaper"])
    entries = await world.entries()
    (back,) = [entry for entry in entries if entry.kind == "tier"]
    assert [(hold.bucket_id, hold.amount) for hold in back.changes] == [(MAIN_BUCKET, amount("0.60"))]
    assert back.reason == "'Test volume' has come to 61: all that was counted is in tier 2"
    assert back.reference == "gy:s2"
    groups = [group for entry in entries if entry.cdr is not None for group in entry.cdr.groups]
    assert [(group.used, group.cost) for group in groups] == [(60, amount("1.20")), (10, amount("0.10"))]


async def test_fair_use_is_told_where_speeds_are_set(world: World) -> None:
    """Each status that a counter comes to is told once, with what it belongs to and until when; the account has it, too."""
    await Table(world).play(
        COUNTERS["94 fair use: a grant ends where the status changes, so that the client is back then"]
    )
    told = [event for entry in await world.entries() if (event := event_of(entry)) is not None]
    events = [event for event in told if event.event_type == "tier_reached"]
    always = {"counter": "Test fair use", "ends_at_ms": str(MONTH_END_MS), "reference": "gy:s1", "reason": ""}
    assert [event.facts | {"reason": ""} for event in events] == [
        always | {"tier": "1", "used": "0", "status": "full"},  # with the first request of the period
        always | {"tier": "2", "used": "55", "status": "slow"},
    ]
    extras = (await world.account()).extras
    assert extras is not None
    assert [counter.status for counter in extras.counters] == ["slow"]


async def test_3_8_a_record_says_which_fees_of_tiers_it_paid(world: World) -> None:
    """Only who opened the pack has paid for it."""
    await Table(world).play(
        COUNTERS["3.8 a tier's fee is due once in the month, and set aside by all who may be the first"]
    )
    currency = load_currencies(CONFIG / "currencies.toml")["EUR"]
    groups = [group for entry in await world.entries() if entry.cdr is not None for group in entry.cdr.groups]
    assert [cost_of(each.price, each.used) for each in groups] == [each.cost for each in groups]
    words = [line for each in groups for line in explain(each.price, each.used, each.cost, currency) if "fee" in line]
    assert words == ["0.50 EUR fee of tier 2 of the month", "1.00 EUR fee of tier 1 of the month"]


async def test_94_the_client_is_back_when_the_month_ends(world: World) -> None:
    """Validity-Time ends with the period, as with the expiry of a bucket (statement 103)."""
    await world.open("10.00")
    world.clock.now_ms = MONTH_END_MS - 100_000
    answer = await world.charge(data(world, RequestKind.INITIAL, "s", 0, ask=0))
    assert answer.groups[0].validity_s == 100
    await world.check_books()


async def test_94_the_month_is_the_accounts_own(world: World) -> None:
    """In Tokyo it is October while Berlin still has September."""
    await world.open("10.00", time_zone="Asia/Tokyo")
    world.clock.now_ms = MONTH_END_MS - 100_000
    await world.charge(data(world, RequestKind.INITIAL, "s", 0, ask=0))
    await world.charge(data(world, RequestKind.TERMINATION, "s", 1, used=10))
    extras = (await world.account()).extras
    assert extras is not None
    assert extras.counters[0].ends_at_ms == MONTH_END_MS + (31 * 24 - 7) * 3_600_000
    await world.check_books()


async def test_94_two_workers_cross_the_mark_once(open_world: OpensWorld) -> None:
    """Two processes charge sessions of one account at the same moment: what they pay is what the count makes of it."""
    one, two = await open_world(), await open_world()
    await one.open("10.00")
    for worker, name in ((one, "a"), (two, "b")):
        assert granted(await worker.charge(data(worker, RequestKind.INITIAL, name, 0, ask=0))) == 30
    for number in (1, 2):
        await asyncio.gather(
            *(
                worker.charge(data(worker, RequestKind.UPDATE, name, number, used=30, ask=0))
                for worker, name in ((one, "a"), (two, "b"))
            )
        )
    for worker, name in ((two, "a"), (one, "b")):  # each is closed by the other one
        await worker.charge(data(worker, RequestKind.TERMINATION, name, 3, used=0))
    assert await one.figures() == (amount("8.20"), 0, amount("8.20")), "60 s at 0.02 and 60 s at 0.01"
    assert await one.counts() == (120, 0)
    await one.check_books()


async def test_94_an_event_counts_too(world: World) -> None:
    """Direct debits fill the tiers as sessions do; a question and a refusal count nothing."""
    await world.open("1.00")
    event = RequestKind.EVENT
    await world.charge(data(world, event, "q", 0, ask=50, action=EventAction.PRICE_ENQUIRY))
    assert await world.counts() == (0, 0)
    assert (await world.charge(data(world, event, "e1", 0, ask=50))).status is ChargingStatus.SUCCESS
    refused = await world.charge(data(world, event, "e2", 0, ask=50))
    assert refused.status is ChargingStatus.CREDIT_LIMIT_REACHED
    assert await world.counts() == (50, 0)
    await world.change("1.00")
    await world.charge(data(world, event, "e3", 0, ask=50))
    assert await world.figures() == (amount("0.40"), 0, amount("0.40")), "10 s at 0.02 and 40 s at 0.01 more"
    await world.check_books()


def data(
    world: World,
    kind: RequestKind,
    name: str,
    number: int,
    *,
    used: int | None = None,
    ask: int | None = None,
    action: EventAction = EventAction.DIRECT_DEBITING,
) -> ChargingRequest:
    """A request of the tariff whose rates fall."""
    part = group(used, ask, rating_group=50)
    return diameter(world, kind, name, number, part, service="data", destination="", action=action)
