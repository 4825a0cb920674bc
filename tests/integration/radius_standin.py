"""The RADIUS server over real sockets, with a stand-in for the charging core and pyrad as the client."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from pyrad.client import Client
from pyrad.dictionary import Dictionary
from pyrad.packet import Packet

from balance.money import Currency
from balance.store import BackendUnavailable, Subscriber
from ocs.charging.request import (
    ChargingAnswer,
    ChargingRequest,
    ChargingStatus,
    GroupAnswer,
    RequestKind,
)
from ocs.charging.session import CreditSession
from ocs.net.radius_server import RadiusServer
from ocs.rating.units import UnitKind
from ocs.settings import Radius, RadiusClient, Settings
from tests.wire.radius_packets import (
    CONFIG,
    DICTIONARIES,
)

SECRET = "s3cret"
REPLY_S_MAX = 30  # what is certain to come may be late on a busy machine
SILENCE_S = 0.1
NOW_MS = 1_700_000_000_000
ALICE = Subscriber("alice", "acc-alice", ("e164:49151", "name:alice"), password="wonder")
STATUS = ChargingStatus


class Core:
    """A stand-in for the charging core: knows Alice, grants 540 s, remembers what it was asked."""

    def __init__(self) -> None:
        self.requests: list[ChargingRequest] = []
        self.closed: list[tuple[str, int, str]] = []
        self.status = STATUS.SUCCESS
        self.is_away = False
        self.held: list[Callable[[], None]] | None = None
        self.known = ALICE.identities
        self.subscriber = ALICE

    def submit(self, request: ChargingRequest, reply: Callable[[ChargingAnswer], None]) -> None:
        request.complete()
        self.requests.append(request)
        answer = self._answer(request)
        if self.held is None:
            reply(answer)
        else:
            self.held.append(lambda: reply(answer))

    def _answer(self, request: ChargingRequest) -> ChargingAnswer:
        if self.is_away:
            return ChargingAnswer(STATUS.UNAVAILABLE)
        if not set(self.known) & set(request.identities):
            return ChargingAnswer(STATUS.USER_UNKNOWN)
        granted = 540 if request.kind != RequestKind.TERMINATION else 0
        groups = tuple(GroupAnswer(group.key, self.status, UnitKind.SECONDS, granted) for group in request.groups)
        return ChargingAnswer(self.status, groups, currency="EUR", available=5_400_000_000)

    def find_subscriber(
        self, identities: tuple[str, ...], done: Callable[[Subscriber | BackendUnavailable | None], None]
    ) -> None:
        if self.is_away:
            done(BackendUnavailable())
        else:
            done(self.subscriber if set(self.subscriber.identities) & set(identities) else None)

    async def find_session(self, session_key: str) -> CreditSession | None:
        raise NotImplementedError

    async def close_sessions(self, prefix: str, before_ms: int, cause: str, _is_meant: object = None) -> None:
        await asyncio.sleep(0)
        if self.is_away:
            raise BackendUnavailable
        self.closed.append((prefix, before_ms, cause))


class Running:
    def __init__(self, server: RadiusServer, core: Core, addresses: list[str]) -> None:
        self.server = server
        self.core = core
        self.pyrad_clients: list[Client] = []
        self.ports = [int(address.rpartition(":")[2]) for address in addresses]

    def client(self, *, timeout_s: float = 2.0, secret: str = SECRET) -> Client:
        client = Client(
            "127.0.0.1",
            authport=self.ports[0],
            acctport=self.ports[1],
            secret=secret.encode(),
            dict=Dictionary(str(DICTIONARIES / "dictionary")),
        )
        client.timeout, client.retries = timeout_s, 1
        self.pyrad_clients.append(client)
        return client

    async def raw(
        self, octets: bytes, port: int, *, times: int = 1, expected: int | None = None, in_turn: bool = False
    ) -> list[bytes]:
        """Send the same octets from one socket, all at once or each after an answer, and gather what comes back.

        As many replies as were ``expected`` (one for each packet, if not said) are waited for; then, where silence is a
        part of the answer, a moment more.
        """
        expected = times if expected is None else expected
        loop = asyncio.get_running_loop()
        replies: list[bytes] = []
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.setblocking(False)
            sender.connect(("127.0.0.1", self.ports[port]))
            for _ in range(times):
                await loop.sock_sendall(sender, octets)
                if in_turn:
                    replies.append(await asyncio.wait_for(loop.sock_recv(sender, 4096), REPLY_S_MAX))
            try:
                while len(replies) < times:
                    wait_s = REPLY_S_MAX if len(replies) < expected else SILENCE_S
                    replies.append(await asyncio.wait_for(loop.sock_recv(sender, 4096), wait_s))
            except TimeoutError:
                pass
        return replies

    async def until(self, is_so: Callable[[], bool]) -> None:
        """Wait for what a packet on its way brings about."""
        async with asyncio.timeout(REPLY_S_MAX):
            while not is_so():  # noqa: ASYNC110 - the server tells nobody
                await asyncio.sleep(0.01)

    def counted(self, kind: str, result: str) -> int:
        return self.server.counters.requests["radius", kind, result]


@asynccontextmanager
async def running(
    listen: str = "127.0.0.1:0",
    in_flight_max: int = 100,
    radius: dict[str, Any] | None = None,
    in_flight_max_of_client: int = 0,
    **client: Any,
) -> AsyncIterator[Running]:
    options = {"name": "sbc", "networks": ("127.0.0.0/8", "::1"), "secret": SECRET} | client
    options["in_flight_max"] = in_flight_max_of_client
    settings = Radius(
        authentication=(listen,),
        accounting=(listen,),
        in_flight_max=in_flight_max,
        clients=(RadiusClient(**options),),
        **(radius or {}),
    )
    core = Core()
    currencies = {"EUR": Currency("EUR", 978, 9, 2)}
    server = RadiusServer(Settings(radius=settings), core, currencies, lambda: NOW_MS, CONFIG)
    addresses = await server.start()
    everything = Running(server, core, addresses)
    try:
        yield everything
    finally:
        await server.close(0.5)
        for used in everything.pyrad_clients:
            used._CloseSocket()


async def exchange(client: Client, request: Packet) -> Packet:
    return await asyncio.to_thread(client.SendPacket, request)


def access(client: Client, *, sign: bool = True, **attributes: Any) -> Packet:
    request = client.CreateAuthPacket(code=1, message_authenticator=sign)
    for name, value in attributes.items():
        request[name.replace("_", "-")] = value
    return request


def accounting(client: Client, status: str, **attributes: Any) -> Packet:
    request = client.CreateAcctPacket()
    request["Acct-Status-Type"] = status
    for name, value in attributes.items():
        request[name.replace("_", "-")] = value
    return request
