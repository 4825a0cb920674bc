"""Several rating groups in one request, and the policies that a table has no words for. T1 costs 0.01 a second."""

from __future__ import annotations

import asyncio
import itertools

import pytest
from msgspec import structs

from ocs.charging.cdr import CdrFlag
from ocs.charging.operations import BucketOptions
from ocs.charging.request import (
    ChargingRequest,
    ChargingStatus,
    EventAction,
    FinalUnitAction,
    GroupKey,
    GroupRequest,
    Quantity,
    RequestKind,
)
from ocs.rating.units import UnitKind
from tests.scenario.table import Table
from tests.scenario.traffic import diameter, granted, group
from tests.scenario.world import POLICY, OpensWorld, World, amount

INITIAL, UPDATE, TERMINATION = RequestKind.INITIAL, RequestKind.UPDATE, RequestKind.TERMINATION
EVENT = RequestKind.EVENT
MIB = 1_048_576
OCTETS = UnitKind.OCTETS


def data(world: World, kind: RequestKind, name: str, number: int, *groups: GroupRequest) -> ChargingRequest:
    """A request of a data session."""
    return diameter(world, kind, name, number, *groups, service="data", destination="")


def two(used: int | None = None, ask: int | None = None) -> list[GroupRequest]:
    """Groups 10 and 20, both 0.05 a MiB or dearer."""
    return [group(used, ask, rating_group=number, unit=OCTETS) for number in (10, 20)]


async def test_46_an_update_of_one_group_leaves_the_others_alone(world: World) -> None:
    """Group 20 keeps its grant and its reservation while group 10 comes and goes [G-24]."""
    await world.open("10.00")
    first = await world.charge(data(world, INITIAL, "s", 0, *two(ask=0)))
    assert [each.granted for each in first.groups] == [MIB, MIB]
    _, both, _ = await world.figures()
    only_10 = group(MIB, None, rating_group=10, unit=OCTETS)
    await world.charge(data(world, UPDATE, "s", 1, only_10))
    assert (await world.figures())[1] == both - amount("0.05")
    await world.check_books()


async def test_17_a_late_report_of_another_group_leaves_newer_grants(world: World) -> None:
    """Number 3 is processed, then number 2 comes with group 20's use: debited, answered, group 10 untouched [G-5]."""
    await world.open("10.00")
    await world.charge(data(world, INITIAL, "s", 0, *two(ask=0)))
    for_10 = group(MIB, 0, rating_group=10, unit=OCTETS)
    await world.charge(data(world, UPDATE, "s", 3, for_10))
    booked, reserved, _ = await world.figures()
    late = await world.charge(data(world, UPDATE, "s", 2, group(MIB, None, rating_group=20, unit=OCTETS)))
    assert late.status is ChargingStatus.SUCCESS
    after, held, _ = await world.figures()
    assert after < booked
    assert held == reserved - (booked - after), "group 20's reservation became its debit; group 10's stands"
    await world.check_books()


async def test_50_groups_are_served_in_the_order_of_the_request(world: World) -> None:
    """Each sees what the earlier ones reserved: 0.05 pays the first group, whichever that is."""
    for turn, numbers in enumerate(itertools.permutations((10, 11))):
        if turn == 0:
            await world.open("0.05")
        groups = [group(None, 0, rating_group=10, unit=OCTETS), group(None, 0, unit=OCTETS, rating_group=-1)]
        ordered = groups if numbers == (10, 11) else groups[::-1]
        answer = await world.charge(data(world, INITIAL, f"s{turn}", 0, *ordered))
        statuses = [each.status for each in answer.groups]
        assert statuses[0] is ChargingStatus.SUCCESS, statuses
        assert statuses[1] is ChargingStatus.CREDIT_LIMIT_REACHED
        await world.charge(data(world, TERMINATION, f"s{turn}", 1))
    await world.check_books()


async def test_38_the_priced_kind_counts(world: World) -> None:
    """Time and volume asked and reported for a call: seconds are granted and debited, octets are information (statement 39) [G-26]."""
    await world.open("1.00")
    both = (Quantity(UnitKind.SECONDS, 20), Quantity(OCTETS, 5000))
    first = await world.charge(diameter(world, INITIAL, "s", 0, GroupRequest(GroupKey(), both, None)))
    assert [(each.kind, each.granted) for each in first.groups] == [(UnitKind.SECONDS, 20)]
    used = (Quantity(OCTETS, 10**9), Quantity(UnitKind.SECONDS, 7))
    await world.charge(diameter(world, TERMINATION, "s", 1, GroupRequest(GroupKey(), None, used)))
    assert await world.figures() == (amount("0.93"), 0, amount("0.93"))


async def test_48_the_threshold_is_a_share_of_the_grant(open_world: OpensWorld) -> None:
    """20 % of 30 s are 6 s; a grant of one second has none, and a final one neither. [C-305]"""
    world = await open_world(structs.replace(POLICY, threshold_percent=20))
    await world.open("1.00")
    for asked, threshold in ((0, 6), (1, 0), (4, 0), (5, 1)):
        answer = await world.charge(diameter(world, INITIAL, f"s{asked}", 0, group(None, asked)))
        assert answer.groups[0].threshold == threshold
        await world.charge(diameter(world, TERMINATION, f"s{asked}", 1))


async def test_35_without_a_maximum_the_last_affordable_grant_is_final(open_world: OpensWorld) -> None:
    """0.50 at 0.30 a minute: 60 s, final; 1.00 at 0.01 a second: 100 s, final [G-50] (statements 32, 49, 74)."""
    world = await open_world(structs.replace(POLICY, maximum_is_quota=False))
    await world.open("0.50")
    answer = await world.charge(diameter(world, INITIAL, "s", 0, group(None, 3600), destination="200"))
    assert (answer.groups[0].granted, answer.groups[0].final) == (60, FinalUnitAction.TERMINATE)
    assert (await world.figures())[1] == amount("0.30")
    await world.charge(diameter(world, TERMINATION, "s", 1))
    await world.change("0.50")
    answer = await world.charge(diameter(world, INITIAL, "t", 0, group(None, 3600)))
    assert (answer.groups[0].granted, answer.groups[0].final) == (100, FinalUnitAction.TERMINATE)


async def test_13_a_copy_in_work_is_executed_once(world: World) -> None:
    """The same CCR-U twice at the same moment: one debit, one answer for both [B-92]."""
    await world.open("1.00")
    await world.charge(diameter(world, INITIAL, "s", 0, group(ask=0)))
    one, other = await world.charge_all([diameter(world, UPDATE, "s", 1, group(30, 0)) for _ in range(2)])
    assert one == other
    assert await world.figures() == (amount("0.70"), amount("0.30"), amount("0.40"))


async def test_g8_requests_of_one_moment_are_all_answered(world: World) -> None:
    """Updates of one session in parallel, then two sessions that end at once: each counts, in any order (statement 73)."""
    await world.open("2.00")
    for name in ("s", "t"):
        await world.charge(diameter(world, INITIAL, name, 0, group(ask=0)))
    updates = [diameter(world, UPDATE, "s", number, group(10 + number, 0)) for number in (1, 2, 3)]
    assert [each.status for each in await world.charge_all(updates)] == [ChargingStatus.SUCCESS] * 3
    await world.charge_all(
        [diameter(world, TERMINATION, "s", 4, group(4)), diameter(world, TERMINATION, "t", 1, group(20))]
    )
    assert await world.figures() == (amount("1.40"), 0, amount("1.40"))
    await world.check_books()


async def test_45_an_unknown_subscriber_opens_nothing(world: World) -> None:
    """5030, and no session: its CCR-T is unknown, too."""
    await world.open("1.00")
    stranger = "e164:999"
    answer = await world.charge(diameter(world, INITIAL, "s", 0, group(ask=0), identity=stranger))
    assert answer.status is ChargingStatus.USER_UNKNOWN
    answer = await world.charge(diameter(world, TERMINATION, "s", 1, group(1), identity=stranger))
    assert answer.status in {ChargingStatus.SESSION_UNKNOWN, ChargingStatus.USER_UNKNOWN}
    assert await world.store.open_sessions("A") == []


async def test_51_a_repeat_does_not_prolong_the_grant(world: World) -> None:
    """The stored grant comes again, reserved once, and ends when the first one did."""
    await world.open("1.00")
    first = await world.charge(diameter(world, INITIAL, "s", 0, group(ask=0)))
    world.clock.now_ms += 300_000
    again = diameter(world, INITIAL, "s", 0, group(ask=0))
    assert await world.charge(again) == first
    assert (await world.figures())[1] == amount("0.30")
    world.clock.now_ms += 301_000
    await world.close_silent_sessions()
    assert (await world.figures())[1] == 0


async def test_g42_a_reservation_outlives_its_validity_time(world: World) -> None:
    """Validity-Time is 300 s; at 599 s of silence the money is still held, at 601 s it is free [G-42]."""
    await world.open("1.00")
    await world.charge(diameter(world, INITIAL, "s", 0, group(ask=0)))
    for passed_s, held in ((599, "0.30"), (2, "0")):
        world.clock.now_ms += passed_s * 1000
        await world.close_silent_sessions()
        assert (await world.figures())[1] == amount(held)


async def test_g41_quota_that_comes_back_is_released(world: World) -> None:
    """G-41: used units without a wish (holding time): the rest is free at once, the session goes on."""
    await world.open("1.00")
    await world.charge(diameter(world, INITIAL, "s", 0, group(ask=0)))
    await world.charge(diameter(world, UPDATE, "s", 1, group(used=3)))
    assert await world.figures() == (amount("0.97"), 0, amount("0.97"))
    assert granted(await world.charge(diameter(world, UPDATE, "s", 2, group(ask=0)))) == 30


async def test_54_use_far_beyond_the_grant_is_flagged(world: World) -> None:
    """All of it is debited, and the record says so (statement 52)."""
    await world.open("1.00")
    await world.charge(diameter(world, INITIAL, "s", 0, group(ask=0)))
    await world.charge(diameter(world, TERMINATION, "s", 1, group(used=200)))
    assert (await world.figures())[0] == amount("-1.00")
    record = (await world.entries())[-1].cdr
    assert record is not None
    assert record.flags & CdrFlag.OVERUSED


async def test_70_a_balance_of_several_subscribers_is_one(world: World) -> None:
    """Two numbers, one account: the second finds what the first left."""
    await world.open("0.45")
    await world.desk.subscribers.create("S2", "A", ("e164:4915100000002",), "")
    assert granted(await world.charge(diameter(world, INITIAL, "s", 0, group(ask=0)))) == 30
    second = await world.charge(diameter(world, INITIAL, "t", 0, group(ask=0), identity="e164:4915100000002"))
    assert (second.groups[0].granted, second.groups[0].final) == (15, FinalUnitAction.TERMINATE)


async def test_78_a_top_up_lifts_the_final_mark_with_the_next_answer(world: World) -> None:
    """Nobody is disturbed; the next grant is no longer the last."""
    await Table(world).play("""
        balance 0.30
        I s1 T1 ask             -> 30 final | R 0.30
        top-up 1.00                         | B 1.30 R 0.30
        U s1 used 30 ask        -> 30       | B 1.00 R 0.30
    """)


async def test_103_money_that_expires_bounds_the_grants_time(world: World) -> None:
    """A bonus ends in 10 s: Validity-Time is no longer than that, and the bonus pays first (statements 104, 106)."""
    await world.open("1.00")
    await world.change("0.50", BucketOptions(expires_at_ms=world.clock() + 10_000))
    answer = await world.charge(diameter(world, INITIAL, "s", 0, group(ask=0)))
    assert 1 <= answer.groups[0].validity_s <= 10
    world.clock.now_ms += 15_000
    await world.charge(diameter(world, TERMINATION, "s", 1, group(used=10)))
    assert (await world.figures())[1:] == (0, amount("1.00")), "the bonus paid; what is left of it is no money any more"
    await world.charge(diameter(world, INITIAL, "t", 0, group(ask=0)))
    assert (await world.figures())[0] == amount("1.00"), "and is written off"
    await world.check_books()


async def test_111_top_up_debit_and_expiry_at_once(world: World) -> None:
    """Each is applied once, and the journal numbers them without a gap."""
    await world.open("1.00")
    await world.change("0.50", BucketOptions(expires_at_ms=world.clock() + 1000))
    await world.charge(diameter(world, INITIAL, "s", 0, group(ask=0)))
    world.clock.now_ms += 2000
    await asyncio.gather(
        world.change("2.00"),
        world.charge(diameter(world, TERMINATION, "s", 1, group(used=30))),
        world.charge(diameter(world, EVENT, "m", 0, group(ask=1, unit=UnitKind.EVENTS), service="sms")),
    )
    await world.check_books()
    booked, reserved, _ = await world.figures()
    assert (booked, reserved) == (amount("2.92"), 0)


async def test_6_a_correction_is_an_entry_of_its_own(world: World) -> None:
    """What stands in the journal stays as it is; the correction follows it."""
    await world.open("1.00")
    before = await world.entries()
    await world.change("-0.25")
    after = await world.entries()
    assert after[: len(before)] == before
    assert [sum(hold.amount for hold in each.changes) for each in after] == [0, amount("1.00"), amount("-0.25")]


async def test_102_a_buffered_event_is_known_for_a_week(world: World) -> None:
    """Two days later it is still a repeat, and can be refunded [G-82]; a session is forgotten by then."""
    await world.open("1.00")
    message = group(ask=1, unit=UnitKind.EVENTS)
    first = await world.charge(diameter(world, EVENT, "m", 0, message, service="sms"))
    assert (world.charging.policy.tombstone_ms, world.charging.policy.event_ms) == (86_400_000, 7 * 86_400_000)
    world.clock.now_ms += 2 * 86_400_000
    assert await world.charge(diameter(world, EVENT, "m", 0, message, service="sms")) == first
    assert (await world.figures())[0] == amount("0.92")
    refund = diameter(world, EVENT, "r", 0, service="sms", action=EventAction.REFUND_ACCOUNT)
    refund.refund_of = "gy:m"
    assert (await world.charge(refund)).status is ChargingStatus.SUCCESS
    assert (await world.figures())[0] == amount("1.00")


@pytest.mark.parametrize("asked", [1, 3])
async def test_g83_messages_are_counted_by_the_units_asked(world: World, asked: int) -> None:
    """G-83: 0.08 for each unit."""
    await world.open("1.00")
    await world.charge(diameter(world, EVENT, "m", 0, group(ask=asked, unit=UnitKind.EVENTS), service="sms"))
    assert (await world.figures())[0] == amount("1.00") - asked * amount("0.08")
