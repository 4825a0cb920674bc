"""The statements once more, over sockets: the real daemon in another process, independent clients, real Valkey."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import pytest
import redis
import redis.asyncio
from pyrad.packet import AccessReject

from ocs.charging.cdr import decode_entry
from ocs.charging.request import ChargingStatus
from ocs.charging.strangers import FIELD, STREAM_KEY
from ocs.embedded.valkey import EmbeddedValkey
from ocs.net.diameter_report import KIND, PeerReport
from ocs.observe.reports import read_reports
from tests.scenario.sockets import Gateway, ServedOcs, SocketWorld
from tests.scenario.switch import Switch
from tests.scenario.table import Table
from tests.scenario.test_bundles import BUNDLES
from tests.scenario.test_charging import SCENARIOS
from tests.scenario.test_counters import COUNTERS
from tests.scenario.test_incoming import INCOMING
from tests.scenario.test_levels import LEVELS
from tests.scenario.test_limits import CALLS, LIMITS
from tests.scenario.test_members import MEMBERS
from tests.scenario.world import amount

pytestmark = pytest.mark.integration

# What cannot be said from outside, and why.
NOT_OVER_SOCKETS: Final = {
    "112-113 silence ends the session; a late report changes no balance": "another process's time cannot be moved",
}
OVER_SOCKETS: Final = {
    name: table.replace("TOO_MANY_CALLS", "SERVICE_DENIED")  # both are 4010
    for name, table in (SCENARIOS | COUNTERS | BUNDLES | LIMITS | CALLS | MEMBERS | LEVELS | INCOMING).items()
    if name not in NOT_OVER_SOCKETS
}


@pytest.fixture(scope="module")
def served(
    tmp_path_factory: pytest.TempPathFactory, project_root: Path, valkey_server: EmbeddedValkey
) -> Iterator[ServedOcs]:
    """One daemon for all: each world has an account of its own."""
    with redis.Redis.from_url(valkey_server.url) as client:
        client.flushall()
        client.function_flush()
    running = ServedOcs(tmp_path_factory.mktemp("served"), project_root, valkey_server.url)
    try:
        running.wait_ready()
        yield running
    finally:
        running.stop()


@pytest.fixture(scope="module")
def gateway(served: ServedOcs) -> Iterator[Gateway]:
    """One connection of an independent Diameter stack."""
    client = Gateway(served.ports[3868])
    yield client
    client.close()


@pytest.fixture
async def world(served: ServedOcs, gateway: Gateway) -> AsyncIterator[SocketWorld]:
    """A fresh account."""
    fresh = SocketWorld(served, gateway)
    yield fresh
    await fresh.close()


def test_what_is_left_out_exists() -> None:
    """The list of exceptions names scenarios, each with its reason."""
    assert SCENARIOS.keys() >= NOT_OVER_SOCKETS.keys()


@pytest.mark.parametrize("name", OVER_SOCKETS)
async def test_scenario(world: SocketWorld, name: str) -> None:
    """The table's every line comes true for a client on the network, too."""
    await Table(world).play(OVER_SOCKETS[name])


async def test_the_daemon_tells_of_its_peers(served: ServedOcs, gateway: Gateway) -> None:
    """What `ocs peers` shows is left in Valkey by the daemon itself, without being asked."""
    async with redis.asyncio.Redis.from_url(served.valkey_url) as store:
        while True:
            told = [each for reports in (await read_reports(store, KIND, PeerReport)).values() for each in reports]
            if any(each.identity == "gateway.example.net" and each.state == "r-open" for each in told):
                return
            await asyncio.sleep(0.1)


@pytest.fixture
def switch(served: ServedOcs) -> Iterator[Switch]:
    """A client of RADIUS accounting."""
    client = Switch(served)
    yield client
    with suppress(OSError):
        client.close()


async def test_whom_nobody_knows_is_told_of_once(served: ServedOcs, switch: Switch, world: SocketWorld) -> None:
    """However often he asks, over Diameter and over RADIUS: one event waits for each network element that brought him."""
    world.number = "4999000000"
    table = Table(world)
    for at in range(3):
        answer = await world.charge(table.request(f"I stranger{at} T1 ask".split()))
        assert answer.status is ChargingStatus.USER_UNKNOWN
    for _ in range(3):
        assert (await switch.ask(switch.question(world.number))).code == AccessReject
    store: Any
    async with redis.asyncio.Redis.from_url(served.valkey_url) as store:
        async with asyncio.timeout(60):
            while len(found := await store.xrange(STREAM_KEY)) < 2:  # noqa: ASYNC110 - another process writes it
                await asyncio.sleep(0.05)
    entries = [decode_entry(fields[FIELD]) for _, fields in found]
    assert {dict(each.facts)["why"] for each in entries} == {"unknown_subscriber"}
    assert len({each.actor for each in entries}) == len(entries) == 2


# The same call told in three records: 125 s in started minutes of 0.30 cost 0.90.
CALL: Final[dict[str, Callable[[int], dict[str, Any]]]] = {
    "Start": lambda at_s: {"Event_Timestamp": at_s},
    "Interim-Update": lambda at_s: {"Event_Timestamp": at_s + 65, "Acct_Session_Time": 65},
    "Stop": lambda at_s: {"Event_Timestamp": at_s + 125, "Acct_Session_Time": 125},
}


@pytest.mark.parametrize("order", list(itertools.permutations(CALL)), ids="-".join)
async def test_statement_26_any_order_ends_in_the_same_money(
    world: SocketWorld, switch: Switch, order: tuple[str, ...]
) -> None:
    """Stop before Start, Interim after Stop, all of them twice in packets of their own: the balance is the same."""
    await world.open("10.00")
    at_s = world.clock() // 1000 - 125
    for status in order + order:
        await switch.send(switch.record(world.number, status, world.account_id, **CALL[status](at_s)))
    assert (await world.figures())[:2] == (amount("9.10"), 0)
    await world.check_books()


async def test_statement_25_a_stop_in_another_packet_is_not_charged_again(world: SocketWorld, switch: Switch) -> None:
    """New Identifier, Acct-Delay-Time and Event-Timestamp: it is answered, and nothing is debited."""
    await world.open("10.00")
    at_s = world.clock() // 1000 - 60
    await switch.send(switch.record(world.number, "Start", world.account_id, Event_Timestamp=at_s - 30))
    for delay_s in (0, 5, 55):
        stop = {"Acct_Session_Time": 30, "Acct_Delay_Time": delay_s, "Event_Timestamp": at_s + delay_s}
        await switch.send(switch.record(world.number, "Stop", world.account_id, "200555", **stop))
        assert (await world.figures())[:2] == (amount("9.70"), 0)
    await world.check_books()


async def test_statement_27_an_identical_packet_gets_identical_octets(world: SocketWorld, switch: Switch) -> None:
    """Two seconds later the first reply is sent again, octet by octet."""
    await world.open("10.00")
    stop = switch.record(world.number, "Stop", world.account_id, Acct_Session_Time=30)
    first, second = await switch.send_twice(stop)
    assert first == second
    assert (await world.figures())[:2] == (amount("9.70"), 0)
    await world.check_books()


async def test_r70_what_was_authorized_and_never_began_ends_with_its_gateway(
    world: SocketWorld, switch: Switch
) -> None:
    """Another gateway's restart leaves it; its own gives the money back, and an account that paid nothing owes nothing."""
    await world.open("10.00")
    await switch.authorize(world.number)
    for gateway, reserved in (("switch-2", "9.90"), ("switch-1", "0.00")):
        await switch.send(switch.record(world.number, "Accounting-On", "boot", NAS_Identifier=gateway))
        assert (await world.figures())[:2] == (amount("10.00"), amount(reserved))
    await world.check_books()
