"""Data that costs by access point, radio access and location, from the octets of the request to the record (statement 89)."""

from __future__ import annotations

import pytest

from ocs.charging.request import ChargingRequest
from ocs.gateways.gy import GyConfig, charging_request
from ocs.rating.build import build
from ocs.rating.price import cost_of
from ocs.settings import Settings
from protocols.diameter import avp, codes
from protocols.diameter.gy import CreditControlRequest, read_request
from protocols.diameter.message import Message
from protocols.diameter.node import LocalNode
from tests.builders_gy import DATA, TGPP, ccr, group, mscc
from tests.scenario.test_choice import record_of
from tests.scenario.world import IDENTITY, START_MS, World, amount

NODE = LocalNode("ocs.example.net", "example.net")
GATEWAY = GyConfig(NODE, Settings().services, {})
PLAN = (
    'name = "test-eur"\ncurrency = "EUR"\n'
    '[[tariffs]]\nservice = "data"\nname = "{0}"\nper = "MB"\nrate = "0.01"\n'
    '[[tariffs]]\nservice = "data"\nname = "{1}"\nper = "MB"\nrate = "0.02"\norigin = "{1}"\n'
    '[[tariffs]]\nservice = "data"\nname = "{2}"\nper = "MB"\nrate = "0.03"\norigin = "{2}"\n'
)
MB = 1_000_000
NR, EUTRAN = avp.avp(TGPP | 21, b"\x0a"), avp.avp(TGPP | 21, b"\6")
INTERNET, CORPORATE = avp.avp_text(30, "internet"), avp.avp_text(30, "corporate")
HERE, THERE = (avp.avp(TGPP | 22, bytes.fromhex(f"8262f2101a2b62f2100000000{cell}")) for cell in (1, 2))


def octets(key: int, megabytes: int) -> bytes:
    return group(key, avp.avp_u64(codes.CC_TOTAL_OCTETS, megabytes * MB))


def request(world: World, kind: int, number: int, used: int | None, *place: bytes) -> ChargingRequest:
    """A report with the place of the user, as a packet gateway sends it."""
    units = [octets(codes.USED_SERVICE_UNIT, used)] if used is not None else []
    wanted = [octets(codes.REQUESTED_SERVICE_UNIT, 10)] if kind < 3 else []
    information = [group(codes.SERVICE_INFORMATION, group(codes.PS_INFORMATION, *place))] if place else []
    frame = ccr(mscc(*wanted, *units), *information, kind=kind, number=number, context=DATA, subscriber=IDENTITY[5:])
    ccr_read = read_request(Message(frame), NODE)
    assert isinstance(ccr_read, CreditControlRequest), ccr_read
    asked = charging_request(ccr_read, world.clock(), GATEWAY)
    assert isinstance(asked, ChargingRequest), asked
    return asked


def use_plan(world: World, *origins: str) -> None:
    texts = {
        "currencies.toml": "EUR = { numeric = 978, scale = 9, digits = 2 }\n",
        "rateplans/p.toml": PLAN.format("Home", *origins),
    }
    result = build({name: text.encode() for name, text in texts.items()}, START_MS)
    assert result.book is not None, result.faults
    world.charging.use_rates(result.book)


@pytest.mark.parametrize(
    ("origins", "first", "then", "tariffs"),
    [
        (("rat:nr", "rat:eutran"), NR, EUTRAN, ["rat:nr", "rat:eutran"]),
        (("apn:internet", "apn:corporate"), INTERNET, CORPORATE, ["apn:internet", "apn:corporate"]),
        (
            ("location:26201-1a2b", "location:26201-1a2b-00000002"),
            HERE,
            THERE,
            ["location:26201-1a2b", "location:26201-1a2b-00000002"],
        ),
        (("apn:internet", "apn:internet & rat:nr"), INTERNET, NR, ["apn:internet", "apn:internet & rat:nr"]),
    ],
    ids=["radio access", "access point", "location", "one more fact"],
)
async def test_89_the_old_condition_for_the_use_the_new_one_for_the_grant(
    world: World, origins: tuple[str, str], first: bytes, then: bytes, tariffs: list[str]
) -> None:
    """Statement 89: 10 MB where the user was at 0.02, and 5 MB where he is now at 0.03; each is one line of the record.

    A grant is one MiB.
    """
    use_plan(world, *origins)
    await world.open("5.00")
    await world.charge(request(world, 1, 0, None, first))
    assert await world.figures() == (amount("5.00"), amount("0.02097152"), amount("4.97902848"))
    world.clock.now_ms += 60_000
    await world.charge(request(world, 2, 1, 10, then))
    assert await world.figures() == (amount("4.80"), amount("0.03145728"), amount("4.76854272"))
    world.clock.now_ms += 60_000
    await world.charge(request(world, 3, 2, 5))
    assert await world.figures() == (amount("4.65"), 0, amount("4.65"))
    record = await record_of(world)
    assert [(each.tariff, each.used, each.cost) for each in record.groups] == [
        (tariffs[0], 10 * MB, amount("0.20")),
        (tariffs[1], 5 * MB, amount("0.15")),
    ]
    for each in record.groups:
        assert cost_of(each.price, each.used) == each.cost
    await world.check_books()


async def test_a_move_that_costs_the_same_leaves_one_line(world: World) -> None:
    """The cell changes with every update; only another price is worth a line."""
    use_plan(world, "location:26201-1a2b", "apn:corporate")
    await world.open("5.00")
    await world.charge(request(world, 1, 0, None, HERE, NR))
    await world.charge(request(world, 2, 1, 10, THERE, EUTRAN))
    await world.charge(request(world, 3, 2, 5))
    record = await record_of(world)
    assert [(each.tariff, each.used) for each in record.groups] == [("location:26201-1a2b", 15 * MB)]
    assert record.whereabouts == "26201 rat:nr location:26201-1a2b-00000001"
    await world.check_books()
