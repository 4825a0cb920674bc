"""What the server asks of its sockets."""

from __future__ import annotations

import socket

import pytest

from ocs.net.diameter_routes import lines_to
from tests.integration.diameter_world import RawClient, running_server
from tests.integration.test_server_requests import FakeLine

pytestmark = pytest.mark.integration


async def test_b35_no_delay_and_keepalive() -> None:
    """B-35: Nagle's algorithm is off and TCP keepalive on, on the connection of a client that is let in."""
    async with running_server() as (server, port, _):
        client = await RawClient.connect(port)
        await client.open()
        transport = server.peers.connected("client.example.net")[0]._transport
        assert transport is not None
        sock = transport.get_extra_info("socket")
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        await client.close()


def test_b46_requests_of_ours_go_where_they_are_understood() -> None:
    """B-46: the client itself if it announced credit control, else the peer that brought it, else any relay."""
    host, via = "client.example.net", "dra.example.net"
    deaf = FakeLine(host, "a", serves_credit_control=False)
    client, relay = FakeLine(host, "b"), FakeLine("other.example.net", "c", is_agent=True)
    brought, stranger = FakeLine(via, "d"), FakeLine("pgw.example.net", "e")
    lines = [deaf, stranger, relay, brought, client]
    assert [line.name for line in lines_to(host, via, lines)] == ["b", "d", "c"]
