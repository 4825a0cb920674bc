"""Postpaid traffic by accounting records: the same prices, the same records, and never a refusal (diameter-base 9)."""

from __future__ import annotations

import pytest

from balance.account import AccountState
from ocs.charging.cdr import Cdr, CdrFlag
from ocs.charging.request import ChargingAnswer, ChargingRequest, ChargingStatus
from ocs.gateways.gy import GyConfig
from ocs.gateways.rf import accounting_charge, accounting_result
from ocs.settings import Settings
from protocols.diameter import avp, codes
from protocols.diameter.message import Fault, Message
from protocols.diameter.node import LocalNode
from protocols.diameter.rf import AccountingRequest, read_accounting
from tests.builders_gy import DATA, SMS, group, ims
from tests.builders_rf import EVENT, INTERIM, START, STOP, acr, container, octets, ps_information
from tests.scenario.world import World, amount

NODE = LocalNode("ocs.example.net", "example.net")
GATEWAY = GyConfig(NODE, Settings().services, {})
CALL = ims("tel:100")


def charge_of(frame: bytes) -> ChargingRequest | Fault:
    record = read_accounting(Message(frame), NODE)
    assert isinstance(record, AccountingRequest), record
    return accounting_charge(record, 1_790_000_000_000, GATEWAY)


async def send(world: World, frame: bytes) -> int:
    """The result code that the record is answered with."""
    request = charge_of(frame)
    assert isinstance(request, ChargingRequest), request
    return int(accounting_result(await world.charge(request)))


async def records(world: World) -> list[Cdr]:
    return [entry.cdr for entry in await world.entries() if entry.cdr is not None]


def seconds(value: int) -> bytes:
    return avp.avp_u32(codes.ACCT_SESSION_TIME, value)


async def test_b124_call_is_charged_by_its_totals(world: World) -> None:
    """START, INTERIM and STOP carry totals: 0.01 a second, beyond what the account has; one record."""
    await world.open("0.10")
    assert await send(world, acr(START, 0, CALL)) == 2001
    assert await send(world, acr(INTERIM, 1, seconds(30))) == 2001
    assert await world.figures() == (amount("-0.20"), 0, amount("-0.20"))
    assert await send(world, acr(STOP, 2, seconds(45))) == 2001
    (cdr,) = await records(world)
    assert (cdr.protocol, cdr.service, cdr.destination, cdr.cost) == ("rf", "voice", "100", amount("0.45"))
    assert cdr.groups[0].used == 45
    await world.check_books()


async def test_b123_records_come_twice_and_out_of_order(world: World) -> None:
    """A repeat changes nothing; a late INTERIM neither; a STOP alone makes the whole record [B-121]."""
    await world.open("5.00")
    for frame in (acr(START, 0, CALL), acr(INTERIM, 2, seconds(30)), acr(INTERIM, 1, seconds(10))):
        assert [await send(world, frame) for _ in range(2)] == [2001, 2001]
    for _ in range(2):
        assert await send(world, acr(STOP, 3, seconds(45))) == 2001
    assert await send(world, acr(STOP, 1, seconds(20), CALL, session="cdf.example.net;1;2")) == 2001
    assert [cdr.cost for cdr in await records(world)] == [amount("0.45"), amount("0.20")]
    await world.check_books()


async def test_call_without_a_duration_lasts_between_its_records(world: World) -> None:
    """IMS nodes count nothing: from START's time to STOP's."""
    await world.open("5.00")
    await send(world, acr(START, 0, CALL))
    await send(world, acr(STOP, 1, at_s=25))
    (cdr,) = await records(world)
    assert (cdr.groups[0].used, cdr.cost) == (25, amount("0.25"))


async def test_containers_count_since_the_record_before(world: World) -> None:
    """A packet gateway's containers add up per rating group: 1.5 MiB in two records."""
    await world.open("5.00")
    first = acr(INTERIM, 1, ps_information(container(10, octets(1_048_576, 0))), context=DATA)
    await send(world, acr(START, 0, context=DATA))
    assert [await send(world, first) for _ in range(2)] == [2001, 2001]
    last = ps_information(container(10, octets(0, 524_288)), avp.avp_text(30, "internet"))
    await send(world, acr(STOP, 2, last, context=DATA))
    (cdr,) = await records(world)
    assert cdr.details == (("Called-Station-Id", "internet"),)
    assert [(each.rating_group, each.used) for each in cdr.groups] == [(10, 1_572_864)]
    await world.check_books()


async def test_event_is_debited_whatever_the_account_has(world: World) -> None:
    """A message that was delivered is charged: without money, and of a suspended account, too."""
    await world.open("0")
    await world.set_state(AccountState.SUSPENDED)
    sms = group(codes.SERVICE_INFORMATION, group(codes.SMS_INFORMATION, avp.avp_u32(codes.NUMBER_OF_MESSAGES_SENT, 2)))
    frame = acr(EVENT, 0, sms, context=SMS)
    assert [await send(world, frame) for _ in range(2)] == [2001, 2001]
    (cdr,) = await records(world)
    assert (cdr.protocol, cdr.groups[0].used) == ("rf", 2)
    assert (await world.figures())[0] == -cdr.cost < 0
    await world.check_books()


async def test_b126_silent_session_is_closed_and_flagged(world: World) -> None:
    """Ts, twice the interval that we ask for: a record says that the STOP is missing."""
    await world.open("5.00")
    await send(world, acr(START, 0, CALL))
    await send(world, acr(INTERIM, 1, seconds(30)))
    world.clock.now_ms += 700_000
    assert await world.close_silent_sessions() == 1
    (cdr,) = await records(world)
    assert (cdr.cost, cdr.flags) == (amount("0.30"), CdrFlag.NO_FINAL_REPORT | CdrFlag.NEVER_GRANTED)


async def test_sub_sessions_are_sessions_of_their_own(world: World) -> None:
    """Accounting-Sub-Session-Id is part of the key."""
    await world.open("5.00")
    for number in (1, 2):
        sub = avp.avp_u64(codes.ACCOUNTING_SUB_SESSION_ID, number)
        await send(world, acr(STOP, 1, seconds(10), CALL, sub))
    assert len(await records(world)) == 2


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (ChargingStatus.SUCCESS, 2001),
        (ChargingStatus.UNAVAILABLE, 4002),
        (ChargingStatus.TOO_BUSY, 3004),
        (ChargingStatus.USER_UNKNOWN, 5030),
        (ChargingStatus.RATING_FAILED, 5012),
    ],
)
def test_b122_what_is_not_stored_is_not_acknowledged(status: ChargingStatus, expected: int) -> None:
    """4002 when the store is away: the client keeps the record."""
    assert accounting_result(ChargingAnswer(status)) == expected


@pytest.mark.parametrize(("context", "expected"), [(None, 5005), ("9@example.net", 5004)])
def test_context_has_to_be_known(context: str | None, expected: int) -> None:
    """Without a service there is no price."""
    fault = charge_of(acr(START, 0, context=context))
    assert isinstance(fault, Fault)
    assert fault.result_code == expected


async def test_unrated_use_is_not_acknowledged(world: World) -> None:
    """A service that no tariff knows: 5012, so that somebody looks."""
    await world.open("5.00")
    frame = acr(INTERIM, 1, ps_information(container(999_999, octets(1, 0))), context="32270@3gpp.org")
    assert await send(world, frame) == 5012
