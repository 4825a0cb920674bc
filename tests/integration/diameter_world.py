"""A Diameter server with a stand-in for the charging core, and clients to talk to it."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import msgspec

from balance.money import Currency
from ocs.charging.request import (
    ChargingAnswer,
    ChargingRequest,
    ChargingStatus,
    EventAction,
    GroupAnswer,
    RequestKind,
)
from ocs.net.diameter_server import DiameterServer
from ocs.rating.units import UnitKind
from ocs.settings import Diameter, DiameterTls, Settings
from protocols.diameter import avp, codes
from protocols.diameter.message import HEADER_OCTETS, Message, encode_answer
from protocols.diameter.node import LocalNode
from tests.builders_gy import capabilities_request

NOW_MS = 1_790_000_000_000
ANSWER_S_MAX = 30  # what is certain to come may be late on a busy machine
CURRENCIES = {"EUR": Currency("EUR", 978, 9, 2)}
GRANTED_S = 60
CERTIFICATES = Path(__file__).parents[1] / "certificates"
TLS = DiameterTls(certificate="ocs.pem", key="ocs.key", authorities="authority.pem")


class StandIn:
    """Grants a minute to everybody but a few; answers at once, in a later turn, or when told."""

    def __init__(self) -> None:
        self.requests: list[ChargingRequest] = []
        self.held: list[Callable[[], None]] = []
        self.is_holding = False

    def submit(self, request: ChargingRequest, reply: Callable[[ChargingAnswer], None]) -> None:
        self.requests.append(request)
        answer = self._answer(request)
        if self.is_holding:
            self.held.append(lambda: reply(answer))
        elif len(self.requests) % 2:
            reply(answer)
        else:
            asyncio.get_running_loop().call_soon(reply, answer)

    def halve(self, session_key: str) -> None:
        raise AssertionError(f"nobody is short of money here: {session_key}")

    def release(self) -> None:
        held, self.held = self.held, []
        for answer in held:
            answer()

    def _answer(self, request: ChargingRequest) -> ChargingAnswer:
        if "e164:404" in request.identities:
            return ChargingAnswer(ChargingStatus.USER_UNKNOWN)
        if "e164:402" in request.identities:
            return ChargingAnswer(ChargingStatus.CREDIT_LIMIT_REACHED)
        if "e164:500" in request.identities:
            raise RuntimeError("a bug of ours")
        if request.action is EventAction.CHECK_BALANCE:
            return ChargingAnswer(ChargingStatus.SUCCESS, currency="EUR", check_balance=0)
        groups = []
        for group in request.groups:
            if group.key.rating_group == 99:
                groups.append(GroupAnswer(group.key, ChargingStatus.RATING_FAILED))
            elif group.requested is None:
                groups.append(GroupAnswer(group.key, ChargingStatus.SUCCESS))
            else:
                kind = group.requested[0].kind if group.requested else UnitKind.SECONDS
                groups.append(GroupAnswer(group.key, ChargingStatus.SUCCESS, kind, GRANTED_S, 600, threshold=12))
        cost = 300_000_000 if request.kind >= RequestKind.TERMINATION else 0
        return ChargingAnswer(ChargingStatus.SUCCESS, tuple(groups), cost, "EUR")


def settings(**diameter: object) -> Settings:
    usual = Diameter(listen=("127.0.0.1:0",), accept_realms=("example.net",))
    return Settings(diameter=msgspec.structs.replace(usual, **diameter))


@asynccontextmanager
async def running_server(
    charging: StandIn | None = None, **diameter: object
) -> AsyncIterator[tuple[DiameterServer, int, StandIn]]:
    """A server on a free port, the first that it listens on."""
    charging = charging if charging is not None else StandIn()
    server = DiameterServer(settings(**diameter), charging, CURRENCIES, lambda: NOW_MS, config_dir=CERTIFICATES)
    addresses = await server.start()
    try:
        yield server, int(addresses[0].rpartition(":")[2]) if addresses else 0, charging
    finally:
        charging.release()
        await server.close(0.2)


class RawClient:
    """Speaks whole messages over a TCP connection, right ones and wrong ones."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def connect(cls, port: int, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None) -> RawClient:
        return cls(*await asyncio.open_connection(host, port, ssl=tls))

    async def open(self, identity: str = "client.example.net", realm: str = "example.net") -> Message:
        """Exchange capabilities."""
        self.send(capabilities_request(identity, realm))
        return await self.receive()

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def receive(self) -> Message:
        """The next message that is no watchdog: those come when a machine is slow, and are answered."""
        while True:
            message = await self.receive_any()
            if not (message.is_request and message.command == codes.DEVICE_WATCHDOG):
                return message
            origin = LocalNode("client.example.net", "example.net").origin
            self.send(encode_answer(message, avp.avp_u32(codes.RESULT_CODE, 2001) + origin))

    async def receive_any(self) -> Message:
        header = await asyncio.wait_for(self.reader.readexactly(HEADER_OCTETS), ANSWER_S_MAX)
        rest = int.from_bytes(header[1:4], "big") - HEADER_OCTETS
        return Message(header + await asyncio.wait_for(self.reader.readexactly(rest), ANSWER_S_MAX))

    async def is_closed_by_server(self) -> bool:
        try:
            return await asyncio.wait_for(self.reader.read(1), ANSWER_S_MAX) == b""
        except ConnectionError:
            return True

    async def close(self) -> None:
        self.writer.close()
        with suppress(ConnectionError, ssl.SSLError):
            await self.writer.wait_closed()
