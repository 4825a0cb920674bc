"""A number moves to another subscriber: at any moment it leads to one of the two, and everything else stays as it was."""

from __future__ import annotations

import asyncio

from balance.account import Account
from ocs.charging.request import RequestKind
from ocs.charging.subscribers import SubscriberChange, SubscriberStatus
from tests.scenario.traffic import diameter, granted, group
from tests.scenario.world import IDENTITY, OpensWorld, World, amount

OTHER = "e164:4915100000002"


async def _two(world: World) -> None:
    """A has a number and 1.00; B has another subscriber with one of his own, and 5.00."""
    await world.open("1.00")
    desk = world.desk
    assert isinstance(await desk.create_account("B", "EUR", "test-eur", 0, 0, actor="test"), Account)
    await desk.top_up("B", amount("5.00"), "EUR", key="b", actor="test", reason="")
    assert (await desk.subscribers.create("T", "B", (OTHER,), "")).status is SubscriberStatus.DONE


async def test_calls_follow_the_number_and_an_open_one_stays(world: World) -> None:
    """The call that is open is A's to its end; the next one is B's. A giver without a number is no more; a repeat is told the same."""
    await _two(world)
    first = await world.charge(diameter(world, RequestKind.INITIAL, "s1", 0, group(ask=0)))
    taker = (await world.desk.subscribers.port(IDENTITY, "S", "T")).subscriber
    assert taker is not None
    assert (taker.account_id, taker.identities) == ("B", (OTHER, IDENTITY))
    second = await world.charge(diameter(world, RequestKind.INITIAL, "s2", 0, group(ask=0)))
    await world.charge(diameter(world, RequestKind.TERMINATION, "s1", 1, group(used=30)))
    assert (granted(first), granted(second)) == (30, 30)
    assert await world.figures("A") == (amount("0.70"), 0, amount("0.70"))
    assert (await world.figures("B"))[:2] == (amount("5.00"), amount("0.30"))
    assert await world.desk.subscribers.read("S") is None
    again = await world.desk.subscribers.port(IDENTITY, "S", "T")
    assert (again.status, again.subscriber) == (SubscriberStatus.REPLAYED, taker)
    other = await world.desk.subscribers.port("e164:1", "S", "T")
    assert other.status is SubscriberStatus.NOT_PORTABLE
    await world.check_books()


async def test_a_number_is_never_lost_nor_at_two(open_world: OpensWorld) -> None:
    """Moved to and fro by two processes at once, while a third one asks: there is always one owner, and he knows of it."""
    one, two = await open_world(), await open_world()
    await _two(one)
    both = SubscriberChange(identities=(IDENTITY, "imsi:262011234567890"))
    assert (await one.desk.subscribers.change("S", both)).status is SubscriberStatus.DONE
    found: set[str] = set()

    async def look() -> None:
        for _ in range(60):
            owner = await two.desk.subscribers.find(IDENTITY)
            assert owner is not None
            assert IDENTITY in owner.identities
            found.add(owner.subscriber_id)
            await asyncio.sleep(0)

    async def move(world: World) -> None:
        for _ in range(5):
            await world.desk.subscribers.port(IDENTITY, "S", "T")
            await world.desk.subscribers.port(IDENTITY, "T", "S")

    await asyncio.gather(look(), move(one), move(two))
    assert found <= {"S", "T"}
    subscribers = [await one.desk.subscribers.read(each) for each in ("S", "T")]
    assert [IDENTITY in each.identities for each in subscribers if each is not None].count(True) == 1
    assert await one.desk.subscribers.find(OTHER) == subscribers[1]
