"""Caps by where the user is, and by where he calls; the cap on roaming that providers of the European Union owe their customers.

D1 costs 0.05 a started MiB, T1 0.01 a second.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec import structs

from ocs.accountfile import load_account_rules
from ocs.charging.operations import CapChoice, Limits
from ocs.charging.request import ChargingRequest, ChargingStatus, RequestKind
from ocs.charging.rules import AccountRules
from ocs.rating.units import UnitKind
from tests.scenario.traffic import diameter, granted, group
from tests.scenario.world import POLICY, OpensWorld, World, amount

INITIAL, UPDATE, TERMINATION = RequestKind.INITIAL, RequestKind.UPDATE, RequestKind.TERMINATION
MIB = 1_048_576
HOME, SPAIN = "26201", "21407"


def data(
    world: World, kind: RequestKind, name: str, number: int, network: str, used: int | None = None
) -> ChargingRequest:
    """A request for data from a network: as much as the quota is, but at the end."""
    part = group(used, None if kind is TERMINATION else 0, rating_group=10, unit=UnitKind.OCTETS)
    request = diameter(world, kind, name, number, part, service="data", destination="")
    request.whereabouts = network
    return request


@pytest.fixture
def sample(project_root: Path, tmp_path: Path) -> AccountRules:
    """The sample's rules without their marks, for the plan of these tests."""
    lines = (project_root / "config" / "accounts.toml").read_text(encoding="utf-8").splitlines()
    fields = [line[2:] for line in lines if line.startswith("# ") and ("[[" in line or " = " in line)]
    text = "\n".join(fields).replace("retail-eur", "test-eur").replace('most = "50.00"', 'most = "0.15"')
    (tmp_path / "accounts.toml").write_text(text, encoding="utf-8")
    rules = load_account_rules(tmp_path)
    assert isinstance(rules, AccountRules), rules
    return AccountRules(caps=rules.caps)


async def test_the_roaming_cap_of_the_sample_cuts_off_abroad_alone(
    open_world: OpensWorld, sample: AccountRules
) -> None:
    """Warned at 80 %, cut off at the cap; at home, and once more when the customer has chosen otherwise, data goes on."""
    world = await open_world(structs.replace(POLICY, rules=sample))
    await world.open("10.00")
    assert granted(await world.charge(data(world, INITIAL, "s", 0, HOME))) == MIB
    await world.charge(data(world, TERMINATION, "s", 1, HOME, MIB))
    assert granted(await world.charge(data(world, INITIAL, "r", 0, SPAIN))) == MIB
    for number in (1, 2):
        assert granted(await world.charge(data(world, UPDATE, "r", number, SPAIN, MIB))) == MIB
    answer = await world.charge(data(world, UPDATE, "r", 3, SPAIN, MIB))
    assert answer.groups[0].status is ChargingStatus.CREDIT_LIMIT_REACHED
    told = [entry.reason for entry in await world.entries() if entry.kind == "cap"]
    assert told == [f"{percent} % of the cap 'eu-roaming-data' are spent" for percent in (80, 100)]
    assert (await world.charge(data(world, INITIAL, "t", 0, SPAIN))).status is ChargingStatus.CREDIT_LIMIT_REACHED
    assert granted(await world.charge(data(world, INITIAL, "h", 0, HOME))) == MIB
    voice = diameter(world, INITIAL, "v", 0, group(ask=0))
    voice.whereabouts = SPAIN
    assert granted(await world.charge(voice)) == 30, "calls are not data"
    await world.set_limits(Limits(caps=()))
    assert granted(await world.charge(data(world, INITIAL, "u", 0, SPAIN))) == MIB
    await world.check_books()


async def test_who_goes_abroad_in_mid_session_counts_from_there(open_world: OpensWorld, sample: AccountRules) -> None:
    """What was used at home is not counted, what is granted abroad is."""
    world = await open_world(structs.replace(POLICY, rules=sample))
    await world.open("10.00")
    await world.charge(data(world, INITIAL, "s", 0, HOME))
    await world.charge(data(world, UPDATE, "s", 1, SPAIN, MIB))
    (cap,) = (await world.account()).extras.counters  # type: ignore[union-attr]
    assert (cap.used, cap.reserved) == (0, amount("0.05"))
    await world.charge(data(world, TERMINATION, "s", 2, SPAIN, MIB))
    (cap,) = (await world.account()).extras.counters  # type: ignore[union-attr]
    assert (cap.used, cap.reserved) == (amount("0.05"), 0)
    await world.check_books()


async def test_a_cap_for_some_destinations(world: World) -> None:
    """By their names in the deck: other calls go on."""
    await world.open("10.00")
    await world.charge(diameter(world, INITIAL, "look", 0, group(ask=0)))
    await world.charge(diameter(world, TERMINATION, "look", 1, group(0)))
    record = (await world.entries())[-1].cdr
    assert record is not None
    name = record.groups[0].destination
    await world.set_limits(Limits(caps=(CapChoice("there", "day", amount("0.20"), destinations=(name,)),)))
    assert granted(await world.charge(diameter(world, INITIAL, "s", 0, group(ask=0)))) == 20
    assert (await world.charge(diameter(world, INITIAL, "t", 0, group(ask=0)))).status is (
        ChargingStatus.CREDIT_LIMIT_REACHED
    )
    assert granted(await world.charge(diameter(world, INITIAL, "u", 0, group(ask=0), destination="200"))) == 30
    await world.check_books()


async def test_a_cap_for_some_networks(world: World) -> None:
    """Where the user is not known, it does not count."""
    await world.open("10.00")
    await world.set_limits(Limits(caps=(CapChoice("spain", "day", amount("0.05"), networks=("214",)),)))
    assert granted(await world.charge(data(world, INITIAL, "s", 0, SPAIN))) == MIB
    assert (await world.charge(data(world, INITIAL, "t", 0, SPAIN))).status is ChargingStatus.CREDIT_LIMIT_REACHED
    for network in (HOME, ""):
        assert granted(await world.charge(data(world, INITIAL, f"u{network}", 0, network))) == MIB
    await world.check_books()
