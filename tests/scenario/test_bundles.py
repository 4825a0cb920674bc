"""Bundles: seconds and messages that are used before money. T1 costs 0.01 a second, S1 0.08 a message.

U is what is left in buckets of units, H what is held of it for grants that are out.
"""

from __future__ import annotations

import asyncio

import pytest
from msgspec import structs

from balance.account import Account
from ocs.charging.operations import RechargeResult, RechargeStatus
from ocs.charging.recharge import PackageUnknown
from ocs.charging.request import ChargingStatus, RequestKind
from ocs.rating.explain import explain
from ocs.rating.load import load_currencies
from ocs.rating.price import cost_of
from tests.scenario.table import Table
from tests.scenario.traffic import access, accounting, diameter, granted, group
from tests.scenario.world import CONFIG, POLICY, OpensWorld, World, amount

INITIAL, UPDATE, TERMINATION = RequestKind.INITIAL, RequestKind.UPDATE, RequestKind.TERMINATION
EUR = load_currencies(CONFIG / "currencies.toml")["EUR"]

BUNDLES = {
    "92 free units before money: the bundle first, then 0.30": """
        balance 1.00
        buy 60-seconds                      | B 1.00 U 60
        I s1 T1 ask             -> 30       | R 0 U 60 H 30
        U s1 used 30 ask        -> 30       | B 1.00 R 0 U 30 H 30
        U s1 used 30 ask        -> 30       | B 1.00 R 0.30 U 0
        T s1 used 30            -> ok       | B 0.70 R 0 U 0 H 0
    """,
    "92 one grant out of a bundle and money": """
        balance 1.00
        buy 60-seconds
        I s1 T1 ask             -> 30
        U s1 used 20 ask        -> 30       | U 40 H 30
        U s1 used 20 ask        -> 30       | R 0.10 U 20 H 20
        T s1 used 30            -> ok       | B 0.90 R 0 U 0 H 0
    """,
    "92 a parallel session cannot take the same seconds": """
        balance 0
        buy 60-seconds
        I s1 T1 ask             -> 30       | U 60 H 30
        I s2 T1 ask             -> 30 final | U 60 H 60
        I s3 T1 ask             -> CREDIT_LIMIT_REACHED
        T s2 used 10            -> ok       | B 0 U 50 H 30
        I s3 T1 ask             -> 20 final | H 50
        T s1 used 30            -> ok
        T s3 used 20            -> ok       | B 0 R 0 U 0 H 0
    """,
    "93 what is not used of a bundle comes back": """
        balance 1.00
        buy 60-seconds
        I s1 T1 ask             -> 30
        T s1 used 20            -> ok       | B 1.00 R 0 U 40 H 0
    """,
    "12 14 a repeat takes nothing again": """
        balance 1.00
        buy 60-seconds
        I s1 T1 ask             -> 30
        U s1 used 30 ask        -> 30       | U 30 H 30
        U s1 used 30 ask #1     -> 30       | U 30 H 30
        T s1 used 10            -> ok       | U 20 H 0
        T s1 used 10 #2         -> ok       | U 20 H 0
    """,
    "52 use beyond the grant takes what else there is, then money": """
        balance 1.00
        buy 60-seconds
        I s1 T1 ask             -> 30       | H 30
        T s1 used 70            -> ok       | B 0.90 U 0 H 0
    """,
    "106 3.16 the order: filter, priority, expiry, promotional before paid": """
        balance 1.00
        buy mixed                           | B 0.50 U 62     #  20 paid, 30 to 200, 10 promotional, 2 messages
        I s1 T1 ask             -> 30       | H 30 R 0
        U s1 used 10 ask        -> 30       | U 52 R 0.10 H 20
        T s1 used 0             -> ok       | U 52 H 0
        E m1 S1 ask 1           -> 1        | B 0.50 U 51
        E m2 S1 ask 2           -> 2        | B 0.42 U 50     #  one from the bundle, one for 0.08
        E m3 S1 ask 1           -> 1        | B 0.34 U 50
    """,
    "3.16 increments go on where the bundle ends": """
        balance 1.50
        buy 50-today                        | B 0.50 U 50
        I s1 going-on ask       -> 30       | R 0.05 U 50 H 50
        U s1 used 30 ask        -> 30       | B 0.45 R 0 U 0 H 0     #  60 s are billed: 50 from the bundle, 10 for 0.05
        U s1 used 30 ask        -> 30       | B 0.45 R 0.30
        T s1 used 5             -> ok       | B 0.15 R 0
    """,
    "3.16 increments begin anew where the bundle ends": """
        balance 1.50
        buy 50-today                        | B 0.50 U 50
        I s1 anew ask           -> 30       | R 0 U 50 H 50
        U s1 used 30 ask        -> 30       | B 0.50 R 0.30 U 0      #  from the 51st second on a minute of its own
        U s1 used 30 ask        -> 30       | B 0.20 R 0
        T s1 used 5             -> ok       | B 0.20 R 0
    """,
    "a bundle that is bought in mid-session pays from the next report on": """
        balance 1.00
        I s1 T1 ask             -> 30       | R 0.30
        buy 60-seconds
        U s1 used 30 ask        -> 30       | B 1.00 R 0 U 30 H 30
        T s1 used 30            -> ok       | B 1.00 U 0
    """,
    "41 what is free takes nothing from a bundle": """
        balance 0
        buy 60-seconds
        I s1 free ask           -> 30       | U 60 H 0
        T s1 used 30            -> ok       | U 60
    """,
    "53 units are there though the money is below zero": """
        balance 0
        I s1 T1 ask             -> CREDIT_LIMIT_REACHED
        take 0.50                           | B -0.50
        buy 60-seconds
        I s1 T1 ask #0          -> 30       | H 30
        U s1 used 30 ask        -> 30 final | B -0.50 U 30 H 30
        T s1 used 30            -> ok       | B -0.50 U 0
    """,
    "tiers over a month count what no bundle pays": """
        balance 1.00
        buy 60-seconds
        I s1 falling ask        -> 30       | R 0 C 0 H 30
        U s1 used 30 ask        -> 30       | C 0 U 30
        U s1 used 30 ask        -> 30       | B 1.00 R 0.60 C 0 U 0
        T s1 used 30            -> ok       | B 0.40 R 0 C 30
    """,
}
ON_A_CLOCK = {
    "104 what was held before the expiry pays after it, the rest is written off": """
        balance 2.00
        buy 50-today                        | B 1.00 U 50
        wait 27980                                            #  21:59:40 UTC: 20 s to midnight in Berlin
        I s1 T1 ask             -> 30       | R 0 U 50 H 30
        wait 30
        U s1 used 20 ask        -> 30       | B 1.00 R 0.30 U 10 H 0
        T s1 used 10            -> ok       | B 0.90 R 0 U 0
    """,
    "112 what a silent session held comes back": """
        balance 1.00
        buy 60-seconds
        I s1 T1 ask             -> 30       | H 30
        wait 700
        close silent sessions
        I s2 T1 ask             -> 30       | U 60 H 30
        T s2 used 0             -> ok
    """,
}


@pytest.mark.parametrize("name", [*BUNDLES, *ON_A_CLOCK])
async def test_scenario(world: World, name: str) -> None:
    """The table's every line comes true, and the books balance afterwards: money and units."""
    await Table(world).play((BUNDLES | ON_A_CLOCK)[name])


async def test_92_a_grant_of_90_seconds_takes_60_of_the_bundle_and_30_of_money(open_world: OpensWorld) -> None:
    """The statement's own numbers: the grant holds 60 s and 0.30, the use drains the bundle to 0 and debits 0.30."""
    world = await open_world(structs.replace(POLICY, maximum_is_quota=False))
    await world.open("1.00")
    await world.buy("60-seconds")
    assert granted(await world.charge(diameter(world, INITIAL, "s", 0, group(ask=90)))) == 90
    assert (await world.figures(), await world.units()) == ((amount("1"), amount("0.30"), amount("0.70")), (60, 60))
    await world.charge(diameter(world, TERMINATION, "s", 1, group(90)))
    assert (await world.figures(), await world.units()) == ((amount("0.70"), 0, amount("0.70")), (0, 0))
    await world.check_books()


async def test_103_the_client_is_back_when_a_held_bundle_ends(world: World) -> None:
    """Validity-Time ends with the bucket of units, as with one of money."""
    await world.open("2.00")
    await world.buy("50-today")
    world.clock.now_ms += 27_980_000
    answer = await world.charge(diameter(world, INITIAL, "s", 0, group(ask=0)))
    assert answer.groups[0].validity_s == 20
    await world.check_books()


@pytest.mark.parametrize(("tariff", "words"), [(53, "50 s from bundles"), (54, "first 50 s from bundles")])
async def test_7_a_record_says_what_bundles_paid(world: World, tariff: int, words: str) -> None:
    """Its price computes its cost again, its words add up, and each bucket that paid is named with its units."""
    await world.open("1.50")
    await world.buy("50-today")
    asked = group(ask=0, rating_group=tariff)
    await world.charge(diameter(world, INITIAL, "s", 0, asked, service="data", destination=""))
    used = group(90, rating_group=tariff)
    await world.charge(diameter(world, TERMINATION, "s", 1, used, service="data", destination=""))
    (found,) = [each for entry in await world.entries() if entry.cdr for each in entry.cdr.groups]
    assert cost_of(found.price, found.used) == found.cost
    assert [(each.bundle, each.units) for each in found.taken] == [("Test seconds", 50)]
    lines = explain(found.price, found.used, found.cost, EUR)
    assert any(line.endswith(words) for line in lines), lines
    await world.check_books()


async def test_a_package_is_bought_once(world: World) -> None:
    """A repeat with the same key changes nothing, another package under it is refused; without money nothing is sold."""
    await world.open("1.50")
    bought = [await buy(world, "50-today", "k") for _ in range(2)]
    assert [each.status for each in bought] == [RechargeStatus.APPLIED, RechargeStatus.REPLAYED]
    assert (await buy(world, "60-seconds", "k")).status is RechargeStatus.KEY_REUSED
    assert (await buy(world, "50-today", "other")).status is RechargeStatus.NOT_ENOUGH_MONEY
    assert isinstance(await world.desk.buy("A", "none", key="n", actor="t", reason=""), PackageUnknown)
    assert (await world.figures())[0] == amount("0.50")
    assert await world.units() == (50, 0)
    await world.check_books()


async def test_an_authorization_that_holds_only_units_is_taken_over(world: World) -> None:
    """RADIUS: no money is set aside, and the Start still finds what its authorization holds [R-44]."""
    await world.open("0")
    await world.buy("60-seconds")
    assert granted(await world.charge(access(world, "auth"))) == 60
    await world.charge(accounting(world, INITIAL, "call", lease_of="auth"))
    assert await world.units() == (60, 60)
    assert (await world.charge(access(world, "more"))).status is ChargingStatus.CREDIT_LIMIT_REACHED
    await world.charge(accounting(world, TERMINATION, "call", 45))
    assert (await world.figures(), await world.units()) == ((0, 0, 0), (15, 0))
    await world.check_books()


async def test_a_late_record_says_what_its_own_part_of_the_bundle_paid(world: World) -> None:
    """25 s of the bundle's 60 are on the record of the call that was given up, 35 on that of its late stop, which costs the other 6."""
    await world.open("1.00")
    await world.buy("60-seconds")
    await world.charge(accounting(world, INITIAL, "c"))
    await world.charge(accounting(world, UPDATE, "c", 25))
    world.clock.now_ms += 7_300_000
    assert await world.close_silent_sessions() == 1
    await world.charge(accounting(world, TERMINATION, "c", 66))
    records = [entry.cdr for entry in await world.entries() if entry.cdr is not None]
    groups = [cdr.groups[0] for cdr in records]
    assert [(each.used, sum(taken.units for taken in each.taken)) for each in groups] == [(25, 25), (41, 35)]
    assert [cost_of(each.price, each.used) for each in groups] == [each.cost for each in groups] == [0, amount("0.06")]
    await world.check_books()


async def test_92_two_workers_promise_the_same_units_once(open_world: OpensWorld) -> None:
    """Six sessions at two processes at the same moment, 60 s in the bundle, no money: two get a grant."""
    one, two = await open_world(), await open_world()
    await one.open("0")
    await one.buy("60-seconds")
    asked = [(worker, name) for worker in (one, two) for name in ("a", "b", "c")]
    answers = await asyncio.gather(
        *(w.charge(diameter(w, INITIAL, f"{name}{w is two}", 0, group(ask=0))) for w, name in asked)
    )
    assert sorted(each.status.name for each in answers) == ["CREDIT_LIMIT_REACHED"] * 4 + ["SUCCESS"] * 2
    assert await two.units() == (60, 60)
    await one.check_books()


async def test_a_bundle_ends_at_the_end_of_a_local_day(world: World) -> None:
    """Thirty days from an afternoon of September end at midnight of the day 31 days on, by the plan's clock."""
    await world.open("0")
    await world.buy("60-seconds")
    account = await world.account()
    assert account.extras is not None
    assert [bucket.expires_at_ms for bucket in account.extras.units] == [OCTOBER_22_MS]
    world.clock.now_ms = OCTOBER_22_MS
    refused = await world.charge(diameter(world, INITIAL, "s", 0, group(ask=0)))
    assert refused.status is ChargingStatus.CREDIT_LIMIT_REACHED
    await world.change("1.00")
    assert await world.units() == (0, 0), "written off by the next change of the account"
    assert [entry.kind for entry in await world.entries()] == ["opened", "package", "expiry", "refused", "top_up"]
    await world.check_books()


OCTOBER_22_MS = 1_792_620_000_000  # 2026-10-21 22:00 UTC


async def buy(world: World, package: str, key: str) -> RechargeResult:
    """Sell it under a key of the test's choice."""
    result = await world.desk.buy("A", package, key=key, actor="test", reason="")
    assert isinstance(result, RechargeResult)
    assert isinstance(result.account, Account)
    return result
