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
from tests.scenario.table import Table
from tests.scenario.traffic import diameter, granted, group
from tests.scenario.world import POLICY, OpensWorld, World, amount

INITIAL, UPDATE, TERMINATION = RequestKind.INITIAL, RequestKind.UPDATE, RequestKind.TERMINATION
MIB = 1_048_576
HOME, SPAIN = "26201", "21407"


ABROAD = {
    "the cap of the sample, here 0.15: cut off abroad, and at home it goes on": """
        balance 10.00
        I h1 D1 ask in 26201    -> 1048576
        T h1 used 1048576 in 26201 -> ok    | B 9.95
        I r1 D1 ask in 21407    -> 1048576
        U r1 used 1048576 ask in 21407 -> 1048576
        U r1 used 1048576 ask in 21407 -> 1048576 final | B 9.85 R 0.05
        U r1 used 1048576 ask in 21407 -> CREDIT_LIMIT_REACHED | B 9.80 R 0
        I r2 D1 ask in 21407    -> CREDIT_LIMIT_REACHED
        I v1 T1 ask             -> 30       | R 0.30           #  calls are not data
        I h2 D1 ask in 26201    -> 1048576  | R 0.35
        T v1 used 0             -> ok
        T h2 used 0 in 26201    -> ok       | R 0
        no cap                                                #  the customer has chosen otherwise
        U r1 used 0 ask in 21407 -> 1048576
        T r1 used 0 in 21407    -> ok       | B 9.80 R 0
    """,
}


def data(
    world: World, kind: RequestKind, name: str, number: int, network: str, used: int | None = None
) -> ChargingRequest:
    """A request for data from a network: as much as the quota is, but at the end."""
    part = group(used, None if kind is TERMINATION else 0, rating_group=10, unit=UnitKind.OCTETS)
    request = diameter(world, kind, name, number, part, service="data", destination="")
    request.whereabouts = network
    return request


def sample_text(project_root: Path) -> str:
    """The sample's rules without their marks, for the plan of these tests."""
    lines = (project_root / "config" / "accounts.toml").read_text(encoding="utf-8").splitlines()
    fields = [line[2:] for line in lines if line.startswith("# ") and ("[[" in line or " = " in line)]
    return "\n".join(fields).replace("retail-eur", "test-eur").replace('most = "50.00"', 'most = "0.15"')


@pytest.fixture
def sample(project_root: Path, tmp_path: Path) -> AccountRules:
    """The sample's caps alone."""
    (tmp_path / "accounts.toml").write_text(sample_text(project_root), encoding="utf-8")
    rules = load_account_rules(tmp_path)
    assert isinstance(rules, AccountRules), rules
    return AccountRules(caps=rules.caps)


@pytest.mark.parametrize("name", ABROAD)
async def test_scenario(open_world: OpensWorld, sample: AccountRules, name: str) -> None:
    """The table's every line comes true, and the books balance afterwards."""
    await Table(await open_world(structs.replace(POLICY, rules=sample))).play(ABROAD[name])


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
