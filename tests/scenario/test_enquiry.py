"""A price enquiry says what the next request would be told, and changes nothing: each row is asked, then done."""

from __future__ import annotations

import pytest

from balance.account import AccountState
from ocs.charging.account_events import event_of
from ocs.charging.enquiry import Use
from ocs.charging.operations import CallsChoice, CapChoice, Limits
from ocs.charging.request import ChargingStatus, EventAction, RequestKind
from ocs.rating.units import UnitKind
from tests.scenario.traffic import diameter, group
from tests.scenario.world import IDENTITY, World, amount

SECONDS, OCTETS, EVENTS = UnitKind.SECONDS, UnitKind.OCTETS, UnitKind.EVENTS
CALL = Use("voice", "100", SECONDS, 30)


async def _capped(world: World) -> None:
    await world.set_limits(Limits(caps=(CapChoice("all", "month", 0),)))


async def _held(world: World) -> None:
    await world.set_limits(Limits(calls=(CallsChoice("voice", 1),)))
    await world.charge(diameter(world, RequestKind.INITIAL, "other", 0, group(ask=1)))


async def _blocked(world: World) -> None:
    await world.set_state(AccountState.SUSPENDED, block="fraud")


async def _suspended(world: World) -> None:
    await world.set_state(AccountState.SUSPENDED)


async def _bundled(world: World) -> None:
    await world.buy("60-seconds")
    await world.change("-0.95")


async def _nothing(_: World) -> None:
    """As it is."""


@pytest.mark.parametrize(
    ("balance", "prepare", "use", "why", "granted", "cost"),
    [
        ("1.00", _nothing, CALL, "", 30, "0.30"),
        ("0.10", _nothing, CALL, "", 10, "0.30"),
        ("0", _nothing, CALL, "no_money", 0, "0.30"),
        ("1.00", _nothing, CALL._replace(destination="200", amount=61), "", 30, "0.60"),
        ("1.00", _nothing, CALL._replace(amount=0), "", 30, None),
        ("1.00", _nothing, CALL._replace(destination="777"), "no_price", 0, None),
        ("1.00", _nothing, CALL._replace(destination="900"), "barred", 0, None),
        ("1.00", _nothing, CALL._replace(service="fax"), "no_price", 0, None),
        ("1.00", _capped, CALL, "cap_reached", 0, "0.30"),
        ("1.00", _held, CALL, "too_many_calls", 0, "0.30"),
        ("1.00", _blocked, CALL, "fraud", 0, "0.30"),
        ("1.00", _suspended, CALL, "not_active", 0, "0.30"),
        ("1.00", _bundled, CALL, "", 30, "0.00"),
        ("1.00", _nothing, Use("sms", "100", EVENTS), "", 1, "0.08"),
        ("1.00", _nothing, Use("sms", "100", EVENTS, 3), "", 3, "0.24"),
        ("0.05", _nothing, Use("sms", "100", EVENTS), "no_money", 0, "0.08"),
        ("1.00", _capped, Use("sms", "100", EVENTS), "cap_reached", 0, "0.08"),
        ("1.00", _nothing, Use("data", "", OCTETS, 3 * 2**20, 10), "", 2**20, "0.15"),
        ("1.00", _nothing, Use("data", "", OCTETS, 1, 77), "no_price", 0, None),
        ("1.00", _nothing, Use("stickers", "", EVENTS, 2), "", 2, "0.20"),
    ],
)
async def test_what_is_told_is_what_happens(
    world: World, balance: str, prepare: object, use: Use, why: str, granted: int, cost: str | None
) -> None:
    """The grant, the reason and the price of the row; then the request itself gets that, and no more and no less."""
    await world.open(balance)
    assert callable(prepare)
    await prepare(world)
    before = await world.account()
    found = await world.desk.enquire("A", use)
    assert found is not None
    assert (found.why, found.granted, found.cost) == (why, granted, None if cost is None else amount(cost))
    assert await world.account() == before
    is_event = use.unit is EVENTS
    wanted = group(ask=use.amount or int(is_event), unit=use.unit, rating_group=use.rating_group)
    answer = await world.charge(
        diameter(
            world, RequestKind.EVENT if is_event else RequestKind.INITIAL, "s", 0, wanted, service=use.service,
            destination=use.destination, identity=IDENTITY, action=EventAction.DIRECT_DEBITING,
        )
    )  # fmt: skip
    told = [
        event.facts["why"] for entry in await world.entries() if (event := event_of(entry)) and "why" in event.facts
    ]
    is_good = answer.status is ChargingStatus.SUCCESS and any(each.granted for each in answer.groups)
    assert (told[-1:] or [""], is_good) == ([why], not why)
    assert sum(each.granted for each in answer.groups if is_good) == granted


@pytest.mark.parametrize(
    ("above", "own", "use", "why", "by", "granted"),
    [
        ("5.00", "1.00", CALL, "", "", 30),
        ("0.10", "1.00", CALL, "", "", 25),  # the reseller's money bounds the grant
        ("5.00", "0.20", CALL, "", "", 20),
        ("0.001", "1.00", CALL, "no_money", "A", 0),
        ("5.00", "0", CALL, "no_money", "A~A", 0),
        ("0.04", "1.00", Use("sms", "100", EVENTS), "no_money", "A", 0),
        ("5.00", "1.00", Use("sms", "100", EVENTS), "", "", 1),
    ],
)
async def test_those_above_are_asked_too(
    world: World, above: str, own: str, use: Use, why: str, by: str, granted: int
) -> None:
    """A reseller's customer is told what all of them together say; then the request itself gets that. The price is the customer's own."""
    await world.open_reseller(above)
    await world.open(own)
    found = await world.desk.enquire("A~A", use)
    is_event = use.unit is EVENTS
    assert found is not None
    assert (found.why, found.by, found.granted, found.cost) == (
        why,
        by,
        granted,
        amount("0.08" if is_event else "0.30"),
    )
    wanted = group(ask=use.amount or int(is_event), unit=use.unit)
    kind = RequestKind.EVENT if is_event else RequestKind.INITIAL
    answer = await world.charge(diameter(world, kind, "s", 0, wanted, service=use.service, destination=use.destination))
    assert sum(each.granted for each in answer.groups if not why) == granted
    assert all(each.status is ChargingStatus.SUCCESS for each in answer.groups) is not bool(why and answer.groups)


async def test_a_level_that_is_blocked_refuses(world: World) -> None:
    """And says that it is that one."""
    await world.open_reseller("5.00")
    await world.open("1.00")
    await world.desk.set_state("A", AccountState.SUSPENDED, key="s", actor="test", reason="")
    found = await world.desk.enquire("A~A", CALL)
    assert found is not None
    assert (found.why, found.by, found.granted) == ("not_active", "A", 0)


async def test_nobody_is_asked(world: World) -> None:
    """An account that is not there has no price of its own."""
    assert await world.desk.enquire("nobody", CALL) is None
