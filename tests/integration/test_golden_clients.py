"""What each Diameter product sends, octet by octet, and what it needs to get back: the files of tests/golden."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path

import pytest
from msgspec import structs

from balance.memory import MemoryStore
from ocs.net.diameter_server import DiameterServer
from ocs.rating.load import load_currencies
from ocs.rating.units import UnitKind
from ocs.settings import Node
from ocs.tools.diameter_tree import message_lines
from protocols.diameter.message import HEADER_OCTETS
from tests.integration.diameter_world import settings
from tests.scenario.world import CONFIG, POLICY, Clock, World, amount

pytestmark = pytest.mark.integration

GOLDEN = Path(__file__).parents[1] / "golden"
PLAN = "test-eur"
ALIASES = ("epc.mnc070.mcc999.3gppnetwork.org",)  # a realm that clients address us by
GENEROUS = structs.replace(
    POLICY,
    quota={UnitKind.SECONDS: 60, UnitKind.OCTETS: 10_485_760, UnitKind.EVENTS: 1},
    validity_s=600,
    threshold_percent=20,
)


class Play:
    """A connection, an account for each that the file opens, and the answer that is looked at now."""

    def __init__(self, server: DiameterServer, world: World, clock: Clock) -> None:
        self._server, self._world, self._clock = server, world, clock
        self._accounts: list[str] = []
        self._left: list[str] = []
        self._whole: list[str] = []

    async def start(self) -> None:
        (address,) = await self._server.start()
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", int(address.rpartition(":")[2]))

    async def end(self) -> None:
        self._writer.close()
        await self._server.close(0.5)

    async def line(self, line: str) -> None:
        """One line of the stage or of what is expected."""
        match line.split():
            case ["clock", text]:
                self._clock.now_ms = int(datetime.fromisoformat(text).timestamp() * 1000)
            case ["wait", seconds]:
                self._clock.now_ms += int(seconds) * 1000
            case ["account", balance, *identities]:
                await self._open(balance, tuple(identities))
            case ["money", balance, reserved]:
                await self._check_money(balance, reserved)
            case ["<", *_]:
                self._expect(line[2:])
            case ["!", *_]:
                assert not any(line[2:] in each for each in self._whole), f"{line} in {self._whole}"
            case _:
                raise AssertionError(f"no such line: {line}")

    async def send(self, octets: bytes) -> None:
        """What the product says, and our answer to it."""
        self._writer.write(octets)
        header = await asyncio.wait_for(self._reader.readexactly(HEADER_OCTETS), 5)
        rest = int.from_bytes(header[1:4], "big") - HEADER_OCTETS
        frame = header + await asyncio.wait_for(self._reader.readexactly(rest), 5)
        sent, got = octets[12:20], frame[12:20]
        assert got == sent, "both identifiers come back"
        first, *others = map(str, message_lines(frame))
        command, _, flags = first.split()[:3]
        self._whole = [f"{command} flags {first.split()[3]}", *others]
        assert flags == "flags"
        self._left = list(self._whole)

    def _expect(self, wanted: str) -> None:
        passed = []
        while self._left:
            found = self._left.pop(0)
            if found.partition("   <--")[0] == wanted:
                return
            passed.append(found)
        raise AssertionError(f"{wanted!r} is not in\n" + "\n".join(passed or self._whole))

    async def _open(self, balance: str, identities: tuple[str, ...]) -> None:
        name = f"A{len(self._accounts)}"
        self._accounts.append(name)
        desk = self._world.desk
        await desk.create_account(name, "EUR", PLAN, 0, 0, actor="test")
        await desk.subscribers.create(name, name, identities, "")
        await desk.top_up(name, amount(balance), "EUR", key="k", actor="test", reason="")

    async def _check_money(self, balance: str, reserved: str) -> None:
        account = await self._world.desk.account(self._accounts[0])
        assert account is not None
        booked = sum(bucket.balance for bucket in account.buckets)
        held = sum(bucket.reserved for bucket in account.buckets)
        assert (booked, held) == (amount(balance), amount(reserved))


@pytest.fixture
async def play() -> AsyncIterator[Play]:
    """A real server on a free port over the charging core, with a clock that the file sets."""
    clock = Clock()
    world = World(MemoryStore(clock), clock, GENEROUS)
    currencies = load_currencies(CONFIG / "currencies.toml")
    usual = structs.replace(settings(accept_realms=("example.net", *ALIASES)), node=Node(aliases=ALIASES))
    playing = Play(DiameterServer(usual, world.charging, currencies, clock), world, clock)
    await playing.start()
    yield playing
    await playing.end()


@pytest.mark.parametrize("name", sorted(path.stem for path in GOLDEN.glob("*.txt")))
async def test_what_a_product_sends_gets_what_it_needs(play: Play, name: str) -> None:
    """client-expectations 1 to 5: each request of the file is answered as the product expects it. [C-201] [C-203] [C-204] [C-302] [C-306] [C-401] [C-503]"""
    octets = ""
    for line in (GOLDEN / f"{name}.txt").read_text(encoding="utf-8").splitlines():
        if line.startswith("  "):
            octets += line.strip()
            continue
        if octets:
            await play.send(bytes.fromhex(octets))
            octets = ""
        if line and line[0] not in "#>":
            await play.line(line)
    assert not octets, "a file ends with what is expected"
