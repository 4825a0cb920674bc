"""The transport for SCTP, on any stream socket; and on SCTP itself where the kernel has it."""

from __future__ import annotations

import asyncio
import socket

import pytest

from ocs.net.diameter_listener import SCTP, has_sctp
from ocs.net.socket_transport import SocketTransport
from tests.builders_gy import capabilities_request, ccr
from tests.integration.diameter_world import RawClient, running_server

pytestmark = pytest.mark.integration


class Echo(asyncio.Protocol):
    """Sends back what comes, and notes what it is told."""

    def __init__(self, *, is_echoing: bool = True) -> None:
        self.told: list[str] = []
        self.received = 0
        self.ended = asyncio.Event()
        self.transport: asyncio.Transport | None = None
        self._is_echoing = is_echoing

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.received += len(data)
        if self._is_echoing and self.transport is not None:
            self.transport.write(data)

    def pause_writing(self) -> None:
        self.told.append("pause")

    def resume_writing(self) -> None:
        self.told.append("resume")

    def connection_lost(self, exc: Exception | None) -> None:
        self.told.append("lost" if exc is None else type(exc).__name__)
        self.ended.set()


def pair() -> tuple[SocketTransport, Echo, socket.socket]:
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    echo = Echo()
    return SocketTransport(ours, echo), echo, theirs


async def test_octets_go_both_ways_and_the_end_is_told() -> None:
    """What comes is handed on, what is written leaves, and the peer's end is the protocol's."""
    transport, echo, theirs = pair()
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(theirs, b"hello")
    assert await loop.sock_recv(theirs, 10) == b"hello"
    transport.pause_reading()
    await loop.sock_sendall(theirs, b"later")
    await asyncio.sleep(0)
    assert echo.received == 5
    transport.resume_reading()
    assert await loop.sock_recv(theirs, 10) == b"later"
    theirs.close()
    await asyncio.wait_for(echo.ended.wait(), 5)
    assert (echo.told, transport.is_closing(), transport.is_reading()) == (["lost"], True, False)
    transport.write(b"into the void")
    transport.abort()


async def test_slow_reader_pauses_the_protocol() -> None:
    """Above the limit the protocol is asked to stop, below it to go on; close() sends what is left."""
    transport, echo, theirs = pair()
    transport.set_write_buffer_limits(high=1000)
    data = bytes(4_000_000)
    transport.write(data)
    assert (echo.told, transport.get_write_buffer_size() > 1000) == (["pause"], True)
    transport.close()
    loop, received = asyncio.get_running_loop(), 0
    while chunk := await asyncio.wait_for(loop.sock_recv(theirs, 1 << 20), 5):
        received += len(chunk)
    assert received == len(data)
    await asyncio.wait_for(echo.ended.wait(), 5)
    assert echo.told == ["pause", "resume", "lost"]
    theirs.close()


async def test_broken_connection_is_told_once() -> None:
    """A write that fails ends it, with the reason."""
    transport, echo, theirs = pair()
    theirs.close()
    transport.write(b"x")
    transport.write(b"y")
    await asyncio.wait_for(echo.ended.wait(), 5)
    assert echo.told == ["BrokenPipeError"]


@pytest.mark.skipif(not has_sctp(), reason="this kernel has no SCTP: modprobe sctp")
async def test_b31_call_over_sctp() -> None:
    """B-30, B-31: capabilities and a CCR over SCTP, with the same server."""
    async with running_server(listen=(), listen_sctp=("127.0.0.1:0",)) as (_, port, _):
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM, SCTP)
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", port))
        client = RawClient(*await asyncio.open_connection(sock=sock))
        client.send(capabilities_request())
        assert (await client.receive()).command == 257
        client.send(ccr())
        assert (await client.receive()).command == 272
        await client.close()
