"""Data over a change of its price: told on both sides, shared out by time, or ended at the change (gy-ro 10; statements 85 to 87).

The world's clock starts on a Monday at 16:13:20 in Berlin. Data of group 30 costs 0.02 a MiB until 18:00, then 0.01.
"""

from __future__ import annotations

import pytest
from msgspec import structs

from ocs.charging.cdr import Cdr, CdrFlag
from ocs.charging.request import ChargingRequest, GroupAnswer, GroupRequest, Quantity, RequestKind
from ocs.rating.explain import explain
from ocs.rating.load import load_currencies
from ocs.rating.price import cost_of
from ocs.rating.units import UnitKind
from tests.scenario.traffic import diameter, group
from tests.scenario.world import CONFIG, START_MS, World, amount

INITIAL, UPDATE, TERMINATION = RequestKind.INITIAL, RequestKind.UPDATE, RequestKind.TERMINATION
MIB = 1_048_576
SIX_MS = START_MS + 6_400_000
EUR = load_currencies(CONFIG / "currencies.toml")["EUR"]


def octets(count: int) -> tuple[Quantity, ...]:
    return (Quantity(UnitKind.OCTETS, count),)


def report(before: int, after: int | None = None, ask: int | None = 0, *, is_unsure: bool = False) -> GroupRequest:
    """What was used before and after the change, None where the client does not say."""
    one = group(before + (after or 0), ask, rating_group=30, unit=UnitKind.OCTETS)
    return structs.replace(one, after=None if after is None else octets(after), is_side_unsure=is_unsure)


def data(world: World, kind: RequestKind, number: int, part: GroupRequest, *, tells: bool = True) -> ChargingRequest:
    request = diameter(world, kind, "s", number, part, service="data", destination="")
    request.tells_sides = tells
    return request


async def opened(world: World, balance: str = "1.00", before_s: int = 100, *, tells: bool = True) -> GroupAnswer:
    """A session that begins so long before the change, and what it is granted."""
    await world.open(balance)
    world.clock.now_ms = SIX_MS - before_s * 1000
    wish = group(ask=0, rating_group=30, unit=UnitKind.OCTETS)
    return (await world.charge(data(world, INITIAL, 0, wish, tells=tells))).groups[0]


async def record_of(world: World) -> Cdr:
    (record,) = [entry.cdr for entry in await world.entries() if entry.cdr is not None]
    return record


async def test_85_g70_told_of_the_change_and_priced_by_side(world: World) -> None:
    """Tariff-Time-Change goes with the grant, the dearer price is set aside, each side is priced by its own [G-28]."""
    first = await opened(world)
    assert (first.granted, first.change_at_ms, first.validity_s) == (MIB, SIX_MS, 300)
    assert (await world.figures())[1] == amount("0.02") + 1, "both sides are rounded: a billionth more may be due"
    world.clock.now_ms += 150_000
    then = (await world.charge(data(world, UPDATE, 1, report(MIB // 2, 3 * MIB)))).groups[0]
    assert (await world.figures())[:2] == (amount("0.96"), amount("0.01"))
    assert then.change_at_ms == 0
    await world.charge(data(world, TERMINATION, 2, report(MIB, ask=None)))
    record = await record_of(world)
    assert [(each.used, each.cost, each.from_ms) for each in record.groups] == [
        (MIB // 2, amount("0.01"), 0),
        (4 * MIB, amount("0.04"), SIX_MS),
    ]
    assert not record.flags & CdrFlag.SIDE_ASSUMED
    for each in record.groups:
        assert cost_of(each.price, each.used) == each.cost, "each part is computed again by itself"
    assert explain(record.groups[1].price, 4 * MIB, record.groups[1].cost, EUR)[1:] == [
        "0.04 EUR 4 MiB at 0.01 EUR per MiB, off-peak",
        "0.04 EUR in all",
    ]
    await world.check_books()


@pytest.mark.parametrize(("balance", "granted"), [("0.03", MIB), ("0.01", MIB // 2 - 1)])
async def test_g70_dearer_side_has_to_be_paid(world: World, balance: str, granted: int) -> None:
    """What can be paid at the cheaper side only is not promised, as it may all be used on the dearer one."""
    assert (await opened(world, balance)).granted == granted


async def test_g70_dearer_side_may_come_later(world: World) -> None:
    """At eight in the morning data becomes dearer: the dearer price is set aside before."""
    await world.open("0.03")
    world.clock.now_ms = SIX_MS + 13 * 3_600_000 + 3_590_000  # ten seconds before eight
    wish = group(ask=2 * MIB, rating_group=30, unit=UnitKind.OCTETS)
    answer = (await world.charge(data(world, INITIAL, 0, wish))).groups[0]
    assert (answer.granted, (await world.figures())[1]) == (MIB, amount("0.02") + 1)


async def test_86_g73_without_support_the_grant_ends_at_the_change(world: World) -> None:
    """Who cannot tell the sides apart is not asked to: its Validity-Time ends at the change (statement 86)."""
    first = await opened(world, tells=False)
    assert (first.validity_s, first.change_at_ms) == (100, 0)
    world.clock.now_ms = SIX_MS + 1000
    await world.charge(data(world, UPDATE, 1, report(MIB), tells=False))
    assert (await world.figures())[0] == amount("0.98"), "it came because of the change: all of it was before"


async def test_87_g74_unknown_side_is_before(world: World) -> None:
    """Units of an unknown side have the price before the change, and the record says so (statement 87)."""
    await opened(world)
    world.clock.now_ms = SIX_MS + 50_000
    await world.charge(data(world, UPDATE, 1, report(2 * MIB, 0, is_unsure=True)))
    assert (await world.figures())[0] == amount("0.96")
    await world.charge(data(world, TERMINATION, 2, report(0, ask=None)))
    assert (await record_of(world)).flags & CdrFlag.SIDE_ASSUMED


async def test_g75_report_without_a_side_is_shared_out_by_time(world: World) -> None:
    """Of 400 s three quarters lie after the change: so do three of four MiB."""
    await opened(world)
    world.clock.now_ms = SIX_MS + 300_000
    await world.charge(data(world, TERMINATION, 1, report(4 * MIB, ask=None)))
    assert (await world.figures())[0] == amount("0.95")
    record = await record_of(world)
    assert [(each.used, each.cost) for each in record.groups] == [(MIB, amount("0.02")), (3 * MIB, amount("0.03"))]
    assert record.flags & CdrFlag.SIDE_ASSUMED


async def test_g75_measurement_begins_with_the_last_report(world: World) -> None:
    """What was reported just before the change is no part of what is shared out."""
    await opened(world, before_s=1000)
    world.clock.now_ms = SIX_MS - 100_000
    await world.charge(data(world, UPDATE, 1, report(MIB)))
    world.clock.now_ms = SIX_MS + 100_000
    await world.charge(data(world, TERMINATION, 2, report(2 * MIB, ask=None)))
    assert (await world.figures())[0] == amount("0.95"), "0.02 + half of 2 MiB at 0.02 + half at 0.01"


async def test_g70_change_that_is_to_come_has_no_after(world: World) -> None:
    """Who calls its use "after" hours before the change does not get the price of then; the record says so."""
    await opened(world, before_s=3600)
    await world.charge(data(world, UPDATE, 1, report(MIB, MIB)))
    assert (await world.figures())[0] == amount("0.96")
    await world.charge(data(world, TERMINATION, 2, report(0, ask=None)))
    record = await record_of(world)
    assert (len(record.groups), bool(record.flags & CdrFlag.SIDE_ASSUMED)) == (1, True)


async def test_85_a_grant_that_ends_before_the_change_is_an_ordinary_one(world: World) -> None:
    """The client comes back before the price changes: nothing is said, and the price of now is set aside."""
    first = await opened(world, before_s=301)
    assert (first.change_at_ms, first.validity_s) == (0, 300)


async def test_g72_calls_are_split_by_the_server(world: World) -> None:
    """Use in time is split without help: no Tariff-Time-Change for a call."""
    await world.open("1.00")
    world.clock.now_ms = SIX_MS - 10_000
    request = diameter(world, INITIAL, "c", 0, group(ask=30), destination="500")
    request.tells_sides = True
    assert (await world.charge(request)).groups[0].change_at_ms == 0
