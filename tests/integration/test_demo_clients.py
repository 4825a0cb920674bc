"""The demo's clients against servers that lose, interrupt and forge."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable
from typing import Any, cast

import pytest

from ocs import radius_exchange
from ocs.addresses import Address
from ocs.demo.api import ApiClient, RefusedError
from ocs.demo.diameter import DiameterClient
from ocs.demo.errors import PlayError
from ocs.demo.radius import Ports, RadiusClient
from protocols.diameter import base
from protocols.diameter.message import HEADER_OCTETS, Message
from protocols.diameter.node import LocalNode
from protocols.radius.authenticators import sign_reply
from protocols.radius.packet import ACCESS_ACCEPT, ACCOUNTING_RESPONSE, decode

pytestmark = pytest.mark.integration

SECRET = b"s3cret"
SERVER = LocalNode("ocs.example.net", "example.net")
CLIENT = LocalNode("demo.example.net", "example.net")


def _nobody() -> Address:
    """A UDP socket that is closed again."""
    with socket.socket(type=socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return Address(*probe.getsockname())


class Switchboard(asyncio.DatagramProtocol):
    """Answers datagrams as it is told, after having lost the first ``lost``."""

    def __init__(self, answer: Callable[[bytes], bytes], lost: int = 0) -> None:
        self._answer, self._lost = answer, lost
        self.received: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)
        self.address = Address(*transport.get_extra_info("sockname"))

    def datagram_received(self, data: bytes, source: tuple[str | Any, int]) -> None:
        self.received.append(data)
        if len(self.received) > self._lost:
            self._transport.sendto(self._answer(data), source)


async def _account(board: Switchboard) -> str:
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(lambda: board, ("127.0.0.1", 0))
    client = RadiusClient(Ports(board.address, board.address), SECRET, signs=True)
    try:
        return (await asyncio.to_thread(client.account, b"\x2c\x03x")).name
    finally:
        transport.close()


def _reply(secret: bytes, code: int = ACCOUNTING_RESPONSE) -> Callable[[bytes], bytes]:
    return lambda data: sign_reply(code, decode(data), b"", secret, with_message_authenticator=False)


async def test_radius_sends_the_same_octets_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A lost datagram costs a second, not the call."""
    monkeypatch.setattr(radius_exchange, "TIMEOUT_S", 0.2)
    board = Switchboard(_reply(SECRET), lost=1)
    assert await _account(board) == "Accounting-Response"
    assert len(set(board.received)) == 1
    assert len(board.received) >= 2


async def test_radius_gives_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """After three attempts the likeliest cause is named."""
    monkeypatch.setattr(radius_exchange, "TIMEOUT_S", 0.1)
    with pytest.raises(PlayError, match=r"is this machine one of radius\.clients, with the same secret\?"):
        await _account(Switchboard(_reply(SECRET), lost=100))


@pytest.mark.parametrize("answer", [_reply(b"other"), lambda data: b"\x05" + data[1:]])
async def test_radius_believes_no_forged_reply(answer: Callable[[bytes], bytes]) -> None:
    """Another secret, or the request sent back with another code."""
    with pytest.raises(PlayError, match="is not authentic"):
        await _account(Switchboard(answer))


async def test_radius_wants_a_signed_accept() -> None:
    """An Access-Accept without Message-Authenticator may be forged (CVE-2024-3596) [R-24]."""
    board = Switchboard(_reply(SECRET, ACCESS_ACCEPT))
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(lambda: board, ("127.0.0.1", 0))
    client = RadiusClient(Ports(board.address, board.address), SECRET, signs=True)
    with pytest.raises(PlayError, match="has no Message-Authenticator"):
        await asyncio.to_thread(client.authorize, b"", "password")
    transport.close()


def test_radius_at_a_closed_port() -> None:
    """The machine says that nobody listens, and so does the client."""
    address = _nobody()
    client = RadiusClient(Ports(address, address), SECRET, signs=False)
    with pytest.raises(PlayError, match="does not answer"):
        client.account(b"")


async def _diameter(answers: Callable[[Message], bytes]) -> None:
    """Let the client open a connection to a server that answers so."""

    ended = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer), contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                header = await reader.readexactly(HEADER_OCTETS)
                rest = await reader.readexactly(int.from_bytes(header[1:4], "big") - HEADER_OCTETS)
                writer.write(answers(Message(header + rest)))
        ended.set()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    address = Address(*server.sockets[0].getsockname())

    def talk() -> None:
        client = DiameterClient(address, CLIENT, "example.net")
        try:
            client.open()
        finally:
            client.close()

    try:
        await asyncio.to_thread(talk)
    finally:
        await ended.wait()
        server.close()
        await server.wait_closed()
        await asyncio.sleep(0)  # the transport closes one turn later


async def test_diameter_answers_the_watchdog_meanwhile() -> None:
    """A DWR before the awaited answer gets its DWA."""
    seen: list[tuple[int, bool]] = []

    def answers(message: Message) -> bytes:
        seen.append((message.command, message.is_request))
        if message.command == 257:
            return base.watchdog_request(SERVER, 7, 7) + base.capabilities_answer(message, SERVER, "127.0.0.1")
        return base.success_answer(message, SERVER) if message.is_request else b""

    await _diameter(answers)
    assert (280, False) in seen
    assert (282, True) in seen


async def test_diameter_reads_no_rubbish() -> None:
    """An answer with an impossible length is said in one line."""
    with pytest.raises(PlayError, match="does not answer: a message length of 3"):
        await _diameter(lambda _: b"\x01\x00\x00\x03" + bytes(16))


async def test_api_that_is_none() -> None:
    """What answers is not always our API: no problem document, no JSON."""
    answers = [
        b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 4\r\n\r\noops",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n[",
    ]

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answers.pop(0))
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    client = ApiClient(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", "key")
    with pytest.raises(RefusedError, match="refused: 502 no problem details"):
        await asyncio.to_thread(client.account, "a")
    with pytest.raises(PlayError, match="does not answer"):
        await asyncio.to_thread(client.account, "a")
    server.close()
    await server.wait_closed()
