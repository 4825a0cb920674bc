"""A refund names its debit, and gives back what that took: once, never more (charging-behaviours 97, 98, 106)."""

from __future__ import annotations

from zlib import crc32

import pytest
from msgspec import structs

from ocs.charging.operations import BucketOptions
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

SUCCESS, DENIED = ChargingStatus.SUCCESS, ChargingStatus.SERVICE_DENIED


def event(name: str, text: str = "", currency: str = "EUR", refund_of: str = "") -> ChargingRequest:
    """A debit of so much; or a refund, of all of it when no amount is named."""
    requested = (Quantity(UnitKind.MONEY, amount(text)),) if text else ()
    action = EventAction.REFUND_ACCOUNT if refund_of else EventAction.DIRECT_DEBITING
    return ChargingRequest(
        RequestKind.EVENT,
        f"gy:{name}",
        0,
        (IDENTITY,),
        "sms",
        0,
        (GroupRequest(GroupKey(), requested),),
        action=action,
        currency=currency if text else "",
        fingerprint=crc32(repr((text, currency, refund_of)).encode()),
        refund_of=f"gy:{refund_of}" if refund_of else "",
    )


@pytest.mark.parametrize(
    ("text", "currency", "refund_of", "status", "left"),
    [
        ("", "EUR", "d", SUCCESS, "1.00"),  # all of it
        ("0.03", "EUR", "d", SUCCESS, "0.95"),  # a part
        ("0.08", "EUR", "d", SUCCESS, "1.00"),
        ("0.09", "EUR", "d", DENIED, "0.92"),  # more than the debit
        ("0.08", "USD", "d", ChargingStatus.RATING_FAILED, "0.92"),
        ("0.08", "EUR", "unknown", DENIED, "0.92"),  # statement 98
        ("0.08", "EUR", "r", DENIED, "0.92"),  # itself
    ],
)
async def test_97_98_refund_needs_its_debit(
    world: World, text: str, currency: str, refund_of: str, status: ChargingStatus, left: str
) -> None:
    """B is restored by a journal entry that names the debit; without a debit, or beyond it, nothing happens."""
    await world.open("1.00")
    assert (await world.charge(event("d", "0.08"))).status is SUCCESS
    answer = await world.charge(event("r", text, currency, refund_of))
    assert answer.status is status
    assert (await world.figures())[0] == amount(left)
    last = (await world.entries())[-1]
    assert (last.kind == "refund") == (status is SUCCESS)
    if status is SUCCESS:
        assert last.reason == "refund of gy:d"
        assert answer.groups[0].granted == answer.cost == amount(left) - amount("0.92")
    await world.check_books()


async def test_97_second_refund_is_refused_and_a_repeat_is_not_one(world: World) -> None:
    """Once only, whatever was left; the same request again gets the same answer [G-82]."""
    await world.open("1.00")
    await world.charge(event("d", "0.08"))
    first = await world.charge(event("r", "0.03", refund_of="d"))
    again = await world.charge(event("r", "0.03", refund_of="d"))
    assert first == again
    assert (await world.charge(event("r2", "0.03", refund_of="d"))).status is DENIED
    assert (await world.figures())[0] == amount("0.95")
    await world.check_books()


async def test_106_refund_goes_back_to_the_buckets_it_came_from(world: World) -> None:
    """A bonus paid first and is paid back; once it has expired its part is gone."""
    await world.open("1.00")
    await world.change("0.05", BucketOptions(1, world.clock.now_ms + 10_000))
    await world.charge(event("d", "0.08"))
    await world.charge(event("e", "0.01"))
    await world.charge(event("r", refund_of="d"))
    account = await world.account()
    assert [bucket.balance for bucket in account.buckets] == [amount("0.99"), amount("0.05")]
    await world.charge(event("f", "0.06"))
    world.clock.now_ms += 20_000
    answer = await world.charge(event("s", refund_of="f"))
    assert answer.groups[0].granted == amount("0.01"), "the main bucket's part alone"
    await world.check_books()


async def test_98_refund_of_another_accounts_debit_is_refused(world: World) -> None:
    """The name of a debit is no key to another's money."""
    await world.open("1.00")
    await world.charge(event("d", "0.08"))
    await world.desk.create_account("B", "EUR", "test-eur", 0, 0, actor="test")
    await world.desk.subscribers.create("T", "B", ("e164:4999",), "")
    other = structs.replace(event("r", "0.08", refund_of="d"), identities=("e164:4999",))
    assert (await world.charge(other)).status is DENIED
