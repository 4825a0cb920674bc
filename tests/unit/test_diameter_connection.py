"""One connection's shell without a socket: one write a turn, addresses, who may connect."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from ocs.net.diameter_connection import DiameterConnection
from ocs.net.diameter_peers import REFUSED_NAMES_MAX, PeerBook
from ocs.net.diameter_server import DiameterServer
from ocs.net.diameter_transport import plain_address
from protocols.diameter import avp, base, codes
from tests.builders_gy import capabilities_request, ccr
from tests.integration.diameter_world import CURRENCIES, NOW_MS, StandIn, settings


class Transport(asyncio.Transport):
    """Keeps what is written, write by write."""

    def __init__(self, **info: Any) -> None:
        super().__init__({"peername": ("127.0.0.1", 9), "sockname": ("127.0.0.1", 3868), "socket": self} | info)
        self.writes: list[bytes] = []
        self.is_aborted = False

    def setsockopt(self, *_: int) -> None:
        raise OSError("the peer is gone")

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        assert high is not None

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.writes.append(bytes(data))

    def is_closing(self) -> bool:
        return self.is_aborted

    def abort(self) -> None:
        self.is_aborted = True

    def close(self) -> None:
        self.is_aborted = True


def connected(charging: StandIn, **info: Any) -> tuple[DiameterConnection, Transport]:
    server = DiameterServer(settings(), charging, CURRENCIES, lambda: NOW_MS)
    connection, transport = DiameterConnection(server), Transport(**info)
    connection.connection_made(transport)
    return connection, transport


async def test_answers_of_one_turn_leave_in_one_write() -> None:
    """Twenty requests of one read: one write, whether the core answers at once or all of them later."""
    charging = StandIn()
    connection, transport = connected(charging)
    connection.data_received(capabilities_request())
    charging.is_holding = True
    connection.data_received(b"".join(ccr(number=number) for number in range(20)))
    assert len(transport.writes) == 1, "the capabilities answer alone"
    charging.release()
    await asyncio.sleep(0)
    assert len(transport.writes) == 2
    assert len(transport.writes[1]) % 20 == 0
    connection.connection_lost(None)


async def test_watchdog_answer_does_not_wait_for_charging() -> None:
    """B-61: the DWA leaves with the read's write while requests are still being worked on."""
    charging = StandIn()
    charging.is_holding = True
    connection, transport = connected(charging)
    connection.data_received(capabilities_request())
    connection.data_received(ccr() + base.watchdog_request(connection.peer.config.node, 1, 1))
    assert int.from_bytes(transport.writes[1][5:8], "big") == codes.DEVICE_WATCHDOG
    connection.connection_lost(None)


async def test_client_that_is_gone_before_it_is_looked_at() -> None:
    """A transport without a peer's name is let go, and counted out again."""
    connection, transport = connected(StandIn(), peername=None)
    assert transport.is_aborted
    connection.connection_lost(None)
    assert connection._server.connections == 0


@pytest.mark.parametrize(
    ("shown", "address"),
    [
        ("10.0.0.7", "10.0.0.7"),
        ("::ffff:10.0.0.7", "10.0.0.7"),
        ("2001:db8::1", "2001:db8::1"),
        ("fe80::1%eth0", "fe80::1"),
    ],
)
def test_addresses(shown: str, address: str) -> None:
    """A socket for both kinds shows IPv4 addresses as IPv6; a zone means nothing to a peer."""
    assert plain_address(shown) == address


def test_host_ip_address_has_its_family() -> None:
    """RFC 6733, 4.3.1: two octets of family, then four or sixteen."""
    assert avp.octets(base.address_avp("10.0.0.7"), 0) == b"\0\1\x0a\0\0\7"
    assert avp.octets(base.address_avp("::1"), 0) == b"\0\2" + bytes(15) + b"\1"


def test_refusals_are_logged_once_and_boundedly() -> None:
    """A refused peer tries again for ever, and names are free: neither fills the log or the memory."""
    book: PeerBook[object] = PeerBook(settings())
    assert book.is_first_refusal("A.example.org")
    assert not book.is_first_refusal("a.example.org")
    for number in range(REFUSED_NAMES_MAX + 5):
        book.is_first_refusal(f"{number}.example.org")
    assert len(book._refused) == REFUSED_NAMES_MAX


def test_a_connection_does_not_forget_its_successor() -> None:
    """The old connection's end must not take the new one out of the book."""
    book: PeerBook[str] = PeerBook(settings())
    book.enter("a.example.net", "new")
    book.forget("A.example.net", "old")
    assert list(book.lines()) == ["new"]
    book.forget("A.example.net", "new")
    assert list(book.lines()) == book.connected("a.example.net") == []
