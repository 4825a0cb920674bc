"""Data that pays for its volume and its time at once: 0.02 per started MiB, and 0.01 per started minute."""

from __future__ import annotations

import pytest

from ocs.charging.request import (
    ChargingAnswer,
    ChargingRequest,
    ChargingStatus,
    GroupKey,
    GroupRequest,
    Quantity,
    RequestKind,
)
from ocs.rating.units import UnitKind
from tests.scenario.world import IDENTITY, World, amount

MIB = 1_048_576
KEY = GroupKey(40)


def volume(octets: int) -> Quantity:
    return Quantity(UnitKind.OCTETS, octets)


def time(seconds: int) -> Quantity:
    return Quantity(UnitKind.SECONDS, seconds)


async def ask(world: World, kind: RequestKind, number: int, *used: Quantity, more: bool = True) -> ChargingAnswer:
    """One request for rating group 40; ``more`` asks for a quota of our choice."""
    group = GroupRequest(KEY, () if more else None, used or None)
    return await world.charge(
        ChargingRequest(
            kind, "gy:s1", number, (IDENTITY,), "data", world.clock(), (group,), fingerprint=number, peer="pgw"
        )
    )


async def test_both_are_granted_reserved_and_counted(world: World) -> None:
    """[issue: data by volume, time or both] One answer with both quotas; each report is charged at both rates."""
    await world.open("1.00")
    (group,) = (await ask(world, RequestKind.INITIAL, 0)).groups
    assert (group.kind, group.granted, group.granted_s, group.final) == (UnitKind.OCTETS, MIB, 30, -1)
    assert await world.figures() == (amount("1.00"), amount("0.03"), amount("0.97"))
    world.clock.now_ms += 30_000
    (group,) = (await ask(world, RequestKind.UPDATE, 1, volume(300_000), time(30))).groups
    assert (group.granted, group.granted_s) == (MIB, 30)
    assert await world.figures() == (amount("0.97"), amount("0.02"), amount("0.95"))  # the minute that began is paid
    world.clock.now_ms += 90_000
    answer = await ask(world, RequestKind.TERMINATION, 2, volume(2 * MIB), time(90), more=False)
    assert answer.cost == amount("0.08")  # three MiB begun, two minutes
    assert await world.figures() == (amount("0.92"), 0, amount("0.92"))
    record = (await world.entries())[-1].cdr
    assert record is not None
    assert [(each.rating_group, each.unit_kind, each.used, each.cost) for each in record.groups] == [
        (40, UnitKind.OCTETS, 300_000 + 2 * MIB, amount("0.06")),
        (40, UnitKind.SECONDS, 120, amount("0.02")),
    ]
    await world.check_books()


async def test_who_reports_volume_alone_pays_for_the_time_that_passed(world: World) -> None:
    """The time of the session is known without the client."""
    await world.open("1.00")
    await ask(world, RequestKind.INITIAL, 0)
    world.clock.now_ms += 61_000
    await ask(world, RequestKind.UPDATE, 1, volume(1))
    world.clock.now_ms += 61_000
    answer = await ask(world, RequestKind.TERMINATION, 2, volume(1), more=False)
    assert answer.cost == amount("0.05")  # one MiB begun, 122 s are three minutes begun
    await world.check_books()


@pytest.mark.parametrize(
    ("balance", "octets", "seconds", "status"),
    [
        ("0.03", MIB, 30, ChargingStatus.SUCCESS),
        ("0.04", MIB, 30, ChargingStatus.SUCCESS),
        ("0.02", 0, 0, ChargingStatus.CREDIT_LIMIT_REACHED),
        ("0.01", 0, 0, ChargingStatus.CREDIT_LIMIT_REACHED),
        ("0", 0, 0, ChargingStatus.CREDIT_LIMIT_REACHED),
    ],
)
async def test_49_both_or_neither(
    world: World, balance: str, octets: int, seconds: int, status: ChargingStatus
) -> None:
    """A quota of one without the other is of no use: what cannot be had is not held either."""
    await world.open(balance)
    answer = await ask(world, RequestKind.INITIAL, 0)
    granted = [(group.granted, group.granted_s) for group in answer.groups if group.status is ChargingStatus.SUCCESS]
    assert granted == ([(octets, seconds)] if octets else [])
    assert (answer.groups[0].status if not octets else answer.status) is status
    assert (await world.figures())[1] == (amount("0.03") if octets else 0)
    await world.check_books()


async def test_49_the_last_money_is_shared(world: World) -> None:
    """Where the whole volume would leave nothing for the time, the time gets its part first."""
    await world.open("0.06")
    group = GroupRequest(KEY, (volume(10 * MIB),))
    request = ChargingRequest(RequestKind.INITIAL, "gy:s1", 0, (IDENTITY,), "data", world.clock(), (group,), peer="pgw")
    world.charging.policy.quota[UnitKind.OCTETS] = 10 * MIB
    try:
        (found,) = (await world.charge(request)).groups
    finally:
        world.charging.policy.quota[UnitKind.OCTETS] = MIB
    assert (found.granted, found.granted_s, found.final) == (2 * MIB, 30, 0)
    assert await world.figures() == (amount("0.06"), amount("0.05"), amount("0.01"))
    await world.check_books()


async def test_a_repeat_has_both_quotas(world: World) -> None:
    """[B-94] The stored answer has what the first one had."""
    await world.open("1.00")
    first = await ask(world, RequestKind.INITIAL, 0)
    assert await ask(world, RequestKind.INITIAL, 0) == first
