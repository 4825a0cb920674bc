"""What the server asks of its sockets."""

from __future__ import annotations

import socket

import pytest

from tests.integration.diameter_world import RawClient, running_server

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
