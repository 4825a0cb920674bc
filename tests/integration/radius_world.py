"""A switch that speaks RADIUS over UDP, and behind it the gateway, the charging core and the memory store."""

from __future__ import annotations

import asyncio
import itertools
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from balance.memory import MemoryStore
from ocs.charging.cdr import Cdr
from ocs.charging.policy import QuotaPolicy
from ocs.net.radius_server import RadiusServer
from ocs.rating.load import load_currencies
from ocs.settings import Radius, RadiusClient, Settings
from protocols.radius.attributes import integer, sub_attributes
from protocols.radius.packet import decode
from tests.scenario.world import CONFIG, POLICY, Clock, World, amount
from tests.wire.radius_packets import access_request, accounting_request, attributes_of


class Charging:
    """The core as the daemon shows it to the server."""

    def __init__(self, world: World) -> None:
        self.submit = world.charging.submit
        self.find_subscriber = world.charging.find_subscriber
        self.close_sessions = world.supervision.close_sessions
        self.find_session = world.supervision.find_session


class Gateway:
    """A switch that speaks RADIUS, and a look at the account behind it."""

    def __init__(self, world: World, server: RadiusServer, ports: list[int], sender: socket.socket) -> None:
        self.world = world
        self.server = server
        self._ports = ports
        self._sender = sender
        self._identifiers = itertools.count()

    async def access(self, values: dict[int, Any]) -> dict[str, Any]:
        """An Access-Request; the Accept's or Reject's figures."""
        return self._figures_of(await self._exchange(0, access_request(attributes_of(values), self._identifier())))

    async def say(self, code: str, attributes: bytes) -> dict[str, Any]:
        """A request of attributes that are octets already."""
        if code == "Access-Request":
            return self._figures_of(await self._exchange(0, access_request(attributes, self._identifier())))
        assert (await self._exchange(1, accounting_request(attributes, self._identifier())))[0] == 5
        return {}

    def _identifier(self) -> int:
        return next(self._identifiers) % 256

    def _figures_of(self, reply: bytes) -> dict[str, Any]:
        found = decode(reply).attributes
        cisco_texts = {
            number: text.decode().partition("=")[2]
            for value in found.get(26, [])
            for number, text in sub_attributes(value, (1, 1))
        }
        return {
            "code": reply[0],
            "seconds": integer(found[27][0]) if 27 in found else None,
            "class": found.get(25, [b""])[0],
            "return_code": cisco_texts.get(103),
            "amount": cisco_texts.get(101),
        }

    async def account(self, status: int, values: dict[int, Any]) -> None:
        """An Accounting-Request in a packet of its own; it must be answered."""
        body = attributes_of({40: status, **values})
        assert (await self._exchange(1, accounting_request(body, self._identifier())))[0] == 5

    async def _exchange(self, port: int, octets: bytes) -> bytes:
        loop = asyncio.get_running_loop()
        await loop.sock_sendto(self._sender, octets, ("127.0.0.1", self._ports[port]))
        return await asyncio.wait_for(loop.sock_recv(self._sender, 4096), 2)

    async def figures(self) -> tuple[int, int]:
        """Booked and reserved, in cents; the books are checked on the way."""
        await self.world.check_books()
        booked, reserved, _ = await self.world.figures()
        return booked // amount("0.01"), reserved // amount("0.01")

    async def records(self) -> list[Cdr]:
        return [entry.cdr for entry in await self.world.entries() if entry.cdr is not None]


@asynccontextmanager
async def playing(
    balance: str = "10.00", policy: QuotaPolicy = POLICY, config: Path = CONFIG, **client: Any
) -> AsyncIterator[Gateway]:
    options: dict[str, Any] = {"name": "sbc", "networks": ("127.0.0.1",), "secret": "s3cret", "credentials": "none"}
    radius = Radius(
        authentication=("127.0.0.1:0",),
        accounting=("127.0.0.1:0",),
        session_max_s=3600,
        clients=(RadiusClient(**(options | client)),),
    )
    clock = Clock()
    world = World(MemoryStore(clock), clock, policy)
    await world.open(balance)
    currencies = load_currencies(CONFIG / "currencies.toml")
    server = RadiusServer(Settings(radius=radius), Charging(world), currencies, clock, config)
    ports = [int(address.rpartition(":")[2]) for address in await server.start()]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.setblocking(False)
        sender.bind(("127.0.0.1", 0))
        try:
            yield Gateway(world, server, ports, sender)
        finally:
            await server.close(0.5)
