"""Events in money: the client has rated them itself, and names the amount and its currency."""

from __future__ import annotations

import pytest

from ocs.charging.request import (
    ChargingRequest,
    ChargingStatus,
    EventAction,
    GroupKey,
    GroupRequest,
    Quantity,
    RequestKind,
)
from ocs.rating.units import UnitKind
from tests.scenario.world import IDENTITY, World, amount


def _event(name: str, text: str, currency: str, action: EventAction = EventAction.DIRECT_DEBITING) -> ChargingRequest:
    return ChargingRequest(
        RequestKind.EVENT,
        f"gy:{name}",
        0,
        (IDENTITY,),
        "sms",
        0,
        (GroupRequest(GroupKey(), (Quantity(UnitKind.MONEY, amount(text)),)),),
        action=action,
        currency=currency,
    )


@pytest.mark.parametrize(
    ("text", "currency", "status", "left"),
    [
        ("0.30", "EUR", ChargingStatus.SUCCESS, "0.70"),
        ("0.30", "", ChargingStatus.SUCCESS, "0.70"),
        ("1.00", "EUR", ChargingStatus.SUCCESS, "0"),
        ("1.01", "EUR", ChargingStatus.CREDIT_LIMIT_REACHED, "1.00"),
        ("0.30", "USD", ChargingStatus.RATING_FAILED, "1.00"),
    ],
)
async def test_the_amount_that_was_asked_is_debited(
    world: World, text: str, currency: str, status: ChargingStatus, left: str
) -> None:
    """Exactly the amount, in the account's currency only, and never a part of it (statements 10, 96)."""
    await world.open("1.00")
    answer = await world.charge(_event("m1", text, currency))
    assert answer.status == status
    assert (await world.figures())[0] == amount(left)
    await world.check_books()


async def test_g80_a_free_event_needs_no_credit_control(world: World) -> None:
    """G-80: a direct debit of what costs nothing is 4011, also for an empty account and for a repeat; it has its record."""
    await world.open("0")
    request = _event("f1", "0", "")
    request.service, request.groups = "data", (GroupRequest(GroupKey(99), (Quantity(UnitKind.OCTETS, 100),)),)
    first, again = await world.charge(request), await world.charge(request)
    assert (first.status, first.cost, again) == (ChargingStatus.FREE, 0, first)
    (record,) = [entry.cdr for entry in await world.entries() if entry.cdr is not None]
    assert record.groups[0].used == 100
    await world.check_books()


async def test_99_a_balance_check_reserves_nothing(world: World) -> None:
    """CHECK_BALANCE compares with what is available and leaves no trace."""
    await world.open("1.00")
    enough = await world.charge(_event("c1", "1.00", "EUR", EventAction.CHECK_BALANCE))
    too_much = await world.charge(_event("c2", "1.01", "EUR", EventAction.CHECK_BALANCE))
    assert (enough.check_balance, too_much.check_balance) == (0, 1)
    assert await world.figures() == (amount("1.00"), 0, amount("1.00"))


async def test_100_a_price_enquiry_only_tells_the_price(world: World) -> None:
    """PRICE_ENQUIRY works with an empty account and changes nothing."""
    await world.open("0")
    request = _event("p1", "0", "EUR", EventAction.PRICE_ENQUIRY)
    request.groups = (GroupRequest(GroupKey(), (Quantity(UnitKind.EVENTS, 3),)),)
    answer = await world.charge(request)
    assert (answer.status, answer.cost) == (ChargingStatus.SUCCESS, amount("0.24"))
    await world.check_books()
