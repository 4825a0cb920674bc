"""Tariffs that are chosen anew in mid-session: the user has moved, or the rates have changed (gy-ro 9; statements 88, 89)."""

from __future__ import annotations

import pytest
from msgspec import structs

from ocs.charging.cdr import Cdr
from ocs.charging.request import ChargingAnswer, ChargingStatus, RequestKind
from ocs.rating.build import build
from ocs.rating.price import cost_of
from ocs.rating.ratebook import RateBook
from tests.scenario.traffic import diameter, group
from tests.scenario.world import POLICY, START_MS, OpensWorld, World, amount

INITIAL, UPDATE, TERMINATION = RequestKind.INITIAL, RequestKind.UPDATE, RequestKind.TERMINATION
HOME, ABROAD, BARRED = "26201", "20801", "310260"
CALL = '[[tariffs]]\nservice = "voice"\nname = "{name}"\nper = "second"\nrate = "{rate}"\n'
ROAMING = (
    'name = "test-eur"\ncurrency = "EUR"\n'
    + CALL.format(name="Home", rate="0.01")
    + 'setup = "0.10"\n'
    + CALL.format(name="Abroad", rate="0.02")
    + 'setup = "0.50"\norigin = "network:208"\n'
    + '[[tariffs]]\nservice = "voice"\nname = "Far"\nper = "second"\ndeck = "far"\norigin = "network:310"\n'
)


def book_of(plan: str, zones: str = "") -> RateBook:
    texts = {
        "zones.toml": zones,
        "currencies.toml": "EUR = { numeric = 978, scale = 9, digits = 2 }\n",
        "rateplans/p.toml": plan,
        "decks/far.csv": "prefix,destination,rate,forbidden\n1,USA,0.05,yes\n",
    }
    result = build({name: text.encode() for name, text in texts.items()}, START_MS)
    assert result.book is not None, result.faults
    return result.book


def flat(rate: str) -> RateBook:
    return book_of('name = "test-eur"\ncurrency = "EUR"\n' + CALL.format(name="Calls", rate=rate))


async def step(
    world: World, kind: RequestKind, number: int, used: int | None = None, network: str = "", ask: int | None = 0
) -> ChargingAnswer:
    part = group(used, None if kind is TERMINATION else ask)
    request = diameter(world, kind, "s", number, part)
    request.whereabouts = network
    return await world.charge(request)


async def record_of(world: World) -> Cdr:
    (record,) = [entry.cdr for entry in await world.entries() if entry.cdr is not None]
    return record


@pytest.fixture
async def roamer(world: World) -> World:
    """Home 0.01 a second, abroad 0.02; a fee of 0.10 or 0.50 for a call that begins there."""
    world.charging.use_rates(book_of(ROAMING))
    await world.open("5.00")
    await step(world, INITIAL, 0, network=HOME)
    return world


async def test_89_g60_old_condition_for_the_use_new_one_for_the_grant(roamer: World) -> None:
    """Statement 89: what was used at home costs the price of home, the next grant that of abroad; the fee is due once."""
    roamer.clock.now_ms += 30_000
    await step(roamer, UPDATE, 1, 30, ABROAD)
    assert (await roamer.figures())[:2] == (amount("4.60"), amount("0.60"))
    roamer.clock.now_ms += 30_000
    await step(roamer, UPDATE, 2, 30)
    assert (await roamer.figures())[:2] == (amount("4.00"), amount("0.60")), "who says nothing has not moved"
    await step(roamer, UPDATE, 3, 10, HOME)
    await step(roamer, TERMINATION, 4, 10)
    assert (await roamer.figures())[:2] == (amount("3.70"), 0)
    record = await record_of(roamer)
    assert [(each.used, each.cost, each.whereabouts, each.tariff) for each in record.groups] == [
        (30, amount("0.40"), "", "Home"),
        (40, amount("0.80"), ABROAD, "Abroad"),
        (10, amount("0.10"), HOME, "Home"),
    ]
    assert record.whereabouts == HOME
    assert [each.from_ms for each in record.groups] == [0, START_MS + 30_000, START_MS + 60_000]
    for each in record.groups:
        assert cost_of(each.price, each.used) == each.cost
    await roamer.check_books()


async def test_89_moved_before_anything_was_used(roamer: World) -> None:
    """Nothing was used at home: the whole call has the price and the fee of abroad."""
    await step(roamer, UPDATE, 1, 0, ABROAD)
    assert (await roamer.figures())[:2] == (amount("5.00"), amount("1.10"))
    await step(roamer, TERMINATION, 2, 10)
    assert [(each.tariff, each.used) for each in (await record_of(roamer)).groups] == [("Abroad", 10)]


async def test_89_network_that_costs_the_same_is_no_change(roamer: World) -> None:
    """Another network of the same price: the record stays in one piece."""
    await step(roamer, UPDATE, 1, 10, "26202")
    await step(roamer, TERMINATION, 2, 10)
    assert [each.used for each in (await record_of(roamer)).groups] == [20]


async def test_89_no_price_where_the_user_is_now(roamer: World) -> None:
    """What was used is debited; no grant, and the session lives to come home."""
    answer = await step(roamer, UPDATE, 1, 10, BARRED)
    assert [each.status for each in answer.groups] == [ChargingStatus.DESTINATION_BARRED]
    assert (await roamer.figures())[:2] == (amount("4.80"), 0)
    assert (await step(roamer, UPDATE, 2, 0, HOME)).groups[0].granted == 30


async def test_89_group_that_begins_abroad(roamer: World) -> None:
    """A group that is first used after the user has moved has the price of there, and its record says where."""
    abroad = diameter(roamer, UPDATE, "s", 1, group(None, 0, rating_group=7))
    abroad.whereabouts = ABROAD
    await roamer.charge(abroad)
    await roamer.charge(diameter(roamer, TERMINATION, "s", 2, group(10, rating_group=7), group(0)))
    groups = {each.rating_group: each for each in (await record_of(roamer)).groups}
    assert (groups[7].cost, groups[7].whereabouts, groups[-1].whereabouts) == (amount("0.70"), ABROAD, "")


async def test_89_group_that_begins_where_the_session_did(roamer: World) -> None:
    """An update that does not say where the user is: he is where he was."""
    await roamer.charge(diameter(roamer, UPDATE, "s", 1, group(None, 0, rating_group=7)))
    await roamer.charge(diameter(roamer, TERMINATION, "s", 2, group(10, rating_group=7), group(0)))
    groups = {each.rating_group: each for each in (await record_of(roamer)).groups}
    assert (groups[7].cost, groups[7].whereabouts) == (amount("0.20"), "")


@pytest.mark.parametrize(("follows", "reserved", "rest"), [(False, "0.30", "4.60"), (True, "0.60", "4.50")])
async def test_88_changed_rates(open_world: OpensWorld, follows: bool, reserved: str, rest: str) -> None:
    """Statement 88: units granted under the old version have its price; later grants too, or the new one, as is set."""
    world = await open_world(structs.replace(POLICY, follows_rates=follows))
    world.charging.use_rates(flat("0.01"))
    await world.open("5.00")
    await step(world, INITIAL, 0)
    world.clock.now_ms += 30_000
    world.charging.use_rates(flat("0.02"))
    await step(world, UPDATE, 1, 30)
    assert (await world.figures())[:2] == (amount("4.70"), amount(reserved))
    world.clock.now_ms += 10_000
    await step(world, TERMINATION, 2, 10)
    assert (await world.figures())[0] == amount(rest)
    versions = {each.version or record.rate_version for record in [await record_of(world)] for each in record.groups}
    assert len(versions) == (2 if follows else 1)


async def test_88_a_change_elsewhere_leaves_the_record_in_one_piece(open_world: OpensWorld) -> None:
    """New rates under which the session costs the same are no change for it."""
    world = await open_world(structs.replace(POLICY, follows_rates=True))
    world.charging.use_rates(flat("0.01"))
    await world.open("5.00")
    await step(world, INITIAL, 0)
    world.clock.now_ms += 30_000
    world.charging.use_rates(book_of(ROAMING.replace('setup = "0.10"\n', "")))
    await step(world, UPDATE, 1, 30)
    await step(world, TERMINATION, 2, 10)
    assert [each.used for each in (await record_of(world)).groups] == [40]
