"""Datagrams by the batch: whoever asked gets each of his replies as a datagram of its own, from the address he asked."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from ocs.native import batches
from ocs.net.datagrams import DatagramSocket, Local, Source

LENGTHS = [20, 20, 20, 46, 20, 20, 46, 700, 700, 0, 20, 999, 1000, 1000, 1001, 1001]  # some go together, some may not
Asked = list[tuple[bytes, Source, Local]]


def _replies(name: int, count: int) -> list[bytes]:
    return [bytes([name, at % 256, at // 256, *[7] * LENGTHS[at % len(LENGTHS)]]) for at in range(count)]


def _open(listen: str, asked: Asked) -> DatagramSocket:
    bound = DatagramSocket(listen, lambda _, received: asked.extend(received))
    bound.open(asyncio.get_running_loop())
    return bound


def _client(bound: DatagramSocket, host: str) -> socket.socket:
    client = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
    client.connect((host, int(bound.address.rpartition(":")[2])))  # takes nothing from any other address
    client.settimeout(10)
    return client


@pytest.mark.parametrize(("listen", "hosts"), [
    ("127.0.0.1:0", ["127.0.0.1", "127.0.0.1"]),
    ("0.0.0.0:0", ["127.0.0.1", "127.0.0.2", "127.0.0.1"]),
    ("[::]:0", ["127.0.0.3", "::1", "127.0.0.1"]),
    ("[::1]:0", ["::1", "::1"]),
], ids=["one address", "all of IPv4", "all of both", "one of IPv6"])  # fmt: skip
async def test_r3_replies_of_one_turn_reach_their_askers_one_by_one(listen: str, hosts: list[str]) -> None:
    """Several askers, lengths that go together and lengths that do not, more than one batch, answered in turns of all."""
    asked: Asked = []
    with contextlib.ExitStack() as closing:
        bound = _open(listen, asked)
        closing.callback(bound.close)
        clients = [closing.enter_context(_client(bound, host)) for host in hosts]
        for name, client in enumerate(clients):
            client.send(bytes([name]))
        async with asyncio.timeout(10):
            while len(asked) < len(hosts):  # noqa: ASYNC110 - the socket's own turns bring them
                await asyncio.sleep(0.001)
        told = {octets[0]: (source, local) for octets, source, local in asked}
        for turn in zip(*(_replies(name, 70) for name in told), strict=True):
            for octets in turn:
                bound.send(octets, *told[octets[0]])
        await asyncio.sleep(0)  # the turn ends: they leave together
        for name, client in enumerate(clients):
            assert sorted(client.recv(4096) for _ in range(70)) == sorted(_replies(name, 70))
        assert bound.unsent == 0
        bound.stop_reading(asyncio.get_running_loop())


@pytest.mark.skipif(batches() is None, reason="interpreted: datagrams leave one by one")
def test_what_cannot_leave_is_counted_and_holds_up_nobody() -> None:
    """A reply longer than a datagram can be is lost alone; those before and after it arrive."""
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taker,
    ):
        taker.bind(("127.0.0.1", 0))
        taker.settimeout(10)
        there = taker.getsockname()
        replies = [(octets, there, b"") for octets in [b"one", b"two", bytes(70_000), b"six"]]
        assert batches().send_all(sender.fileno(), replies) == 1
        assert sorted(taker.recv(100) for _ in range(3)) == [b"one", b"six", b"two"]


@pytest.mark.skipif(batches() is None, reason="interpreted: datagrams leave one by one")
@pytest.mark.parametrize(
    "reply", [("text", ("127.0.0.1", 1), b""), (b"", ("nowhere", 1), b""), (b"", ("127.0.0.1", 1)), b"", (b"", 5, b"")]
)
def test_what_is_no_reply_is_an_error_of_ours(reply: object) -> None:
    """Nothing is sent for it."""
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender,
        pytest.raises((TypeError, ValueError, SystemError)),
    ):
        batches().send_all(sender.fileno(), [reply])


REFUSED = """
import socket
import subprocess
import sys
from pathlib import Path
from ocs.native import batches

with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taker:
    taker.bind(("127.0.0.1", 0))
    taker.settimeout(10)
    sender.setsockopt(socket.SOL_SOCKET, 11, 1)  # SO_NO_CHECK: without checksums the kernel cuts nothing
    for turn in (b"one", b"two"):
        replies = [(turn + bytes([at]), taker.getsockname(), b"") for at in range(20)]
        assert batches().send_all(sender.fileno(), replies) == 0
        assert [taker.recv(100) for _ in replies] == [octets for octets, _, _ in replies]
"""


@pytest.mark.skipif(batches() is None, reason="interpreted: datagrams leave one by one")
def test_a_way_out_that_cannot_cut_messages_gets_single_datagrams() -> None:
    """What the kernel refuses to take together leaves one by one, at once and from then on."""
    subprocess.run([sys.executable, "-c", REFUSED], check=True, cwd=Path(__file__).parents[2])
