"""Sessions in money: the client rates what is used by itself, and asks for amounts (TS 32.299, 6.3.8)."""

from __future__ import annotations

from zlib import crc32

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

INITIAL, UPDATE, TERMINATION = RequestKind.INITIAL, RequestKind.UPDATE, RequestKind.TERMINATION
SUCCESS, RATING_FAILED = ChargingStatus.SUCCESS, ChargingStatus.RATING_FAILED


def _money(text: str | None) -> tuple[Quantity, ...] | None:
    return None if text is None else (Quantity(UnitKind.MONEY, amount(text)),)


async def _ask(
    world: World, number: int, asked: str | None, used: str | None = None, currency: str = "EUR", rating_group: int = 10
) -> ChargingAnswer:
    kind = INITIAL if not number else UPDATE if asked is not None else TERMINATION
    group = GroupRequest(GroupKey(rating_group), _money(asked), _money(used))
    content = crc32(repr((number, asked, used, currency)).encode())
    return await world.charge(
        ChargingRequest(
            kind,
            "gy:m",
            number,
            (IDENTITY,),
            "data",
            world.clock.now_ms,
            (group,),
            fingerprint=content,
            currency=currency,
        )
    )


@pytest.mark.parametrize("rating_group", [10, 77])
async def test_a_session_in_money(world: World, rating_group: int) -> None:
    """RSU and USU with CC-Money: the amount is set aside, what is reported is debited, whatever the group costs in octets
    and whether or not any tariff knows it; the last amount that can be paid is final (gy-ro 1: decentralised rating).
    """
    await world.open("1.00")
    first = await _ask(world, 0, "0.40", rating_group=rating_group)
    grant = first.groups[0]
    assert (grant.status, grant.kind, grant.granted, grant.final) == (SUCCESS, UnitKind.MONEY, amount("0.40"), -1)
    assert await world.figures() == (amount("1.00"), amount("0.40"), amount("0.60"))
    second = await _ask(world, 1, "0.90", "0.30", rating_group=rating_group)
    assert (second.groups[0].granted, second.groups[0].final) == (amount("0.70"), 0)
    last = await _ask(world, 2, None, "0.25", rating_group=rating_group)
    assert (last.status, last.cost) == (SUCCESS, amount("0.55"))
    assert await world.figures() == (amount("0.45"), 0, amount("0.45"))
    (record,) = [entry.cdr for entry in await world.entries() if entry.cdr is not None]
    assert (record.cost, record.groups[0].used) == (amount("0.55"), amount("0.55"))
    await world.check_books()


async def test_10_a_session_in_another_currency(world: World) -> None:
    """Refused when it is asked for and when it is reported: amounts of two currencies are never added (statement 10)."""
    await world.open("1.00")
    assert (await _ask(world, 0, "0.40")).groups[0].status is SUCCESS
    assert (await _ask(world, 1, "0.40", "0.30", "USD")).groups[0].status is RATING_FAILED
    assert (await _ask(world, 2, "0.40", currency="USD", rating_group=20)).groups[0].status is RATING_FAILED
    assert await world.figures() == (amount("1.00"), amount("0.40"), amount("0.60"))
    await world.check_books()


async def test_a_wish_without_an_amount_gets_what_is_there(world: World) -> None:
    """An empty RSU leaves the amount to us [G-23]: nothing but the account bounds it."""
    await world.open("1.00")
    await _ask(world, 0, "0.40")
    group = GroupRequest(GroupKey(10), (), _money("0.10"))
    answer = await world.charge(
        ChargingRequest(UPDATE, "gy:m", 1, (), "data", world.clock.now_ms, (group,), currency="EUR")
    )
    assert (answer.groups[0].granted, answer.groups[0].final) == (amount("0.90"), 0)
    await world.check_books()
