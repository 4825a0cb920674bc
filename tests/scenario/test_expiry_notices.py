"""Three days before something ends that is told, once: money with an end, units of a bundle, the time of an account.

The world begins at 15:33 in Berlin on the 21st of September; T1 costs 0.01 a second.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from msgspec import structs

from ocs.charging.account_events import event_of
from ocs.charging.operations import BucketOptions
from ocs.charging.rules import AccountRules, ExpiryNotice, Lifecycle
from ocs.delivery.routing import body_of
from ocs.delivery.words import Dictionary, load_words
from ocs.rating.load import load_currencies
from tests.scenario.table import Table
from tests.scenario.world import CONFIG, POLICY, START_MS, OpensWorld, World, amount

DAY_MS = 86_400_000
RULES = AccountRules(expiry_notices=(ExpiryNotice(days=3),))
LIVED = structs.replace(RULES, lifecycles=(Lifecycle(valid_days=10, top_up_days=20, grace_days=5),))


@pytest.fixture
async def noticing(open_world: OpensWorld) -> World:
    """A world in which notice is given."""
    return await open_world(structs.replace(POLICY, rules=RULES))


async def told(world: World) -> list[str]:
    """What was told of as near its end: what it is, its last day, how much."""
    events = [event for event in map(event_of, await world.entries()) if event is not None]
    names = ("what", "ends_on", "bundle", "balance", "units")
    return [
        " ".join(event.facts[name] for name in names if name in event.facts)
        for event in events
        if event.event_type == "expiry_near"
    ]


async def test_money_with_an_end_is_told_of_once(noticing: World) -> None:
    """By a timer, at the instant and not before; a second look, a call and the end itself tell nothing more."""
    world = noticing
    await world.open("1.00")
    await world.change("5.00", BucketOptions(10, START_MS + 10 * DAY_MS))
    world.clock.now_ms = START_MS + 7 * DAY_MS - 1
    await world.close_silent_sessions()
    assert await told(world) == []
    world.clock.now_ms += 1
    await world.close_silent_sessions()
    assert await told(world) == [f"money 2026-10-01 {amount('5.00')}"]
    await Table(world).play("""
        close silent sessions
        I s1 T1 ask             -> 30
        T s1 used 30            -> ok       | B 5.70
        wait 4 days
        close silent sessions
        I s2 T1 ask             -> 30       | B 1.00
        T s2 used 0             -> ok
    """)
    assert len(await told(world)) == 1


async def test_units_are_told_of_unless_they_are_bought_anew(noticing: World) -> None:
    """A pack of thirty days; a month that is renewed is not, one that was cancelled is; what is used up is not."""
    await Table(noticing).play("""
        balance 5.00
        buy 60-seconds                      | U 60
        buy monthly                         | U 120
        wait 28 days
        close silent sessions
    """)
    assert await told(noticing) == ["units 2026-10-21 Test seconds 60"]
    await Table(noticing).play("""
        cancel 4
        wait 1 days
        close silent sessions
    """)
    assert await told(noticing) == [
        "units 2026-10-21 Test seconds 60"
    ]  # its own notice was due before it was cancelled


async def test_a_subscription_that_ends_is_told_of(noticing: World) -> None:
    """Its units are not bought anew."""
    await Table(noticing).play("""
        balance 5.00
        buy monthly
        cancel 3
        wait 28 days
        close silent sessions
    """)
    assert await told(noticing) == ["units 2026-10-20 Test seconds 60"]


async def test_an_accounts_time_is_told_of_anew_when_it_is_longer(open_world: OpensWorld) -> None:
    """Valid for ten days; a top-up makes it twenty from then on, and that end has its own notice."""
    world = await open_world(structs.replace(POLICY, rules=LIVED))
    await Table(world).play("""
        balance 1.00
        I s1 T1 ask             -> 30
        T s1 used 30            -> ok
        wait 8 days
        close silent sessions
        close silent sessions
    """)
    assert await told(world) == ["account 2026-10-01"]
    await Table(world).play("""
        top-up 1.00
        wait 18 days
        close silent sessions
        state active
    """)
    assert await told(world) == ["account 2026-10-01", "account 2026-10-19"]


async def test_it_is_told_once_at_many_workers(noticing: World, open_world: OpensWorld) -> None:
    """Two supervisions find the timer at the same moment."""
    one, two = noticing, await open_world(noticing.charging.policy)
    await one.open("0")
    await one.change("5.00", BucketOptions(10, START_MS + 10 * DAY_MS))
    one.clock.now_ms = START_MS + 8 * DAY_MS
    await asyncio.gather(one.close_silent_sessions(), two.close_silent_sessions())
    assert len(await told(two)) == 1
    await two.check_books()


async def test_without_a_rule_nothing_is_told(world: World) -> None:
    """And no timer is filed."""
    await world.open("0")
    await world.change("5.00", BucketOptions(10, START_MS + 10 * DAY_MS))
    world.clock.now_ms = START_MS + 8 * DAY_MS
    assert await world.close_silent_sessions() == 0
    assert await told(world) == []


@pytest.mark.parametrize("language", ["en", "de", "fr"])
async def test_there_are_words_for_it(noticing: World, project_root: Path, language: str) -> None:
    """Of money, of units and of the account, as mail and as SMS."""
    await noticing.open("0")
    await noticing.change("5.00", BucketOptions(10, START_MS + 10 * DAY_MS))
    await noticing.buy("60-seconds")
    noticing.clock.now_ms = START_MS + 9 * DAY_MS
    await noticing.close_silent_sessions()
    words = load_words(project_root / "config")
    assert isinstance(words, Dictionary)
    currency = load_currencies(CONFIG / "currencies.toml")["EUR"]
    (event,) = [each for each in map(event_of, await noticing.entries()) if each and each.event_type == "expiry_near"]
    body = body_of(event, currency)
    values = {**body["data"], "at": body["timestamp"]}
    for what in ("money", "units", "account"):
        values |= {"what": what, "bundle": "Pack"}
        assert "2026" in words.mail("expiry_near", language, values).subject
        assert "2026" in words.sms("expiry_near", language, values).text
