"""RADIUS over TLS and over TCP: framing, who is let in by which certificate, and when a connection is closed [R-110..R-117]."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import shutil
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import pytest

from ocs.charging.session import CreditSession, Seen, SessionKind
from ocs.errors import StartRefusedError
from ocs.net.radius_server import RadiusServer
from ocs.settings import Radius, RadiusClient, RadiusTls, Settings
from protocols.radius.authenticators import md5
from protocols.radius.packet import decode
from tests.integration.radius_standin import NOW_MS, Core, Running, running
from tests.wire.radius_packets import CONFIG, access_request, accounting_request, attributes_of

pytestmark = pytest.mark.integration

CERTIFICATES: Final = Path(__file__).parent / "radius_certificates"
TLS: Final = RadiusTls(
    certificate=str(CERTIFICATES / "server.pem"),
    key=str(CERTIFICATES / "server.key"),
    authorities=str(CERTIFICATES / "authority.pem"),
    revocations=str(CERTIFICATES / "revocations.pem"),
)
RADSEC: Final = b"radsec"
STOP: Final = attributes_of({40: 2, 44: "s1", 1: "alice", 46: 5})


@asynccontextmanager
async def radsec(**client: Any) -> AsyncIterator[Running]:
    options = {"certificate_names": ("sbc.example.net",), "credentials": "none"} | client
    async with running(radius={"radsec": ("127.0.0.1:0",), "tls": TLS}, **options) as server:
        yield server


class Connection:
    """A client's end; what comes is cut by Length."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self.writer = writer

    async def say(self, *packets: bytes) -> None:
        self.writer.write(b"".join(packets))
        await self.writer.drain()

    async def next(self) -> bytes:
        head = await asyncio.wait_for(self._reader.readexactly(4), 5)
        return head + await asyncio.wait_for(self._reader.readexactly(int.from_bytes(head[2:], "big") - 4), 5)

    async def is_closed(self) -> bool:
        with contextlib.suppress(OSError):
            return await asyncio.wait_for(self._reader.read(1), 5) == b""
        return True


@asynccontextmanager
async def connected(server: Running, certificate: str | None = "client", port: int = 2) -> AsyncIterator[Connection]:
    context: ssl.SSLContext | None = None
    if certificate is not None:
        context = ssl.create_default_context(cafile=str(CERTIFICATES / "authority.pem"))
        if certificate:
            context.load_cert_chain(CERTIFICATES / f"{certificate}.pem", CERTIFICATES / f"{certificate}.key")
    options: dict[str, Any] = {"ssl": context, "server_hostname": "localhost"} if context is not None else {}
    reader, writer = await asyncio.open_connection("127.0.0.1", server.ports[port], **options)
    try:
        yield Connection(reader, writer)
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def test_r111_all_kinds_of_packets_on_one_connection() -> None:
    """Authorization, accounting and Status-Server, several in one read, one cut in two; answers by identifier [R-25]."""
    body = attributes_of({1: "alice", 30: "44"})
    access = access_request(body, 1, sign=False, secret=RADSEC)
    stop = accounting_request(STOP, 2, secret=RADSEC)
    async with radsec() as server, connected(server) as client:
        await client.say(access + stop[:7])
        assert (await client.next())[:2] == bytes((2, 1))
        await client.say(stop[7:] + accounting_request(STOP, 3, secret=RADSEC))
        assert {(await client.next())[:2] for _ in range(2)} == {bytes((5, 2)), bytes((5, 3))}
        assert server.core.requests[0].peer == "sbc"
        assert len(server.server.streams.connections) == 1


async def test_r110_the_secret_is_radsec_and_answers_are_signed_with_it() -> None:
    """RFC 6614, section 2.3."""
    async with radsec() as server, connected(server) as client:
        request = accounting_request(STOP, 9, secret=RADSEC)
        await client.say(request)
        reply = await client.next()
        assert reply[4:20] == md5(reply[:4] + request[4:20] + reply[20:] + RADSEC)


async def test_r100_status_server_is_the_watchdog_of_a_connection() -> None:
    """RFC 6614, section 3: answered on TLS as everywhere, with a Message-Authenticator [R-115]."""
    octets = bytes((12, 5, 0, 38)) + bytes(range(16)) + b"\x50\x12" + bytes(16)
    async with radsec() as server, connected(server) as client:
        await client.say(octets[:22] + hmac.digest(RADSEC, octets, "md5"))
        reply = await client.next()
        assert (reply[:2], set(decode(reply).attributes)) == (bytes((2, 5)), {80})


@pytest.mark.parametrize("certificate", ["void", "stranger", ""])
async def test_r111_r117_without_a_good_certificate_there_is_no_connection(certificate: str) -> None:
    """Revoked, of an authority that we do not know, or none."""
    async with radsec() as server:
        with contextlib.suppress(OSError):
            async with connected(server, certificate) as client:
                await client.say(accounting_request(STOP, secret=RADSEC))
                assert await client.is_closed()
        assert server.core.requests == []
        assert not server.server.streams.connections


@pytest.mark.parametrize(
    "client",
    [{"certificate_names": ("other.example.net",)}, {"networks": ("192.0.2.0/24",)}, {"certificate_names": ()}],
)
async def test_r111_a_certificate_that_is_no_clients_is_refused(client: dict[str, Any]) -> None:
    """A known authority is not enough: the name has to be a client's, and the address one of its own."""
    async with radsec(**client) as server, connected(server) as connection:
        assert await connection.is_closed()
        assert sum(server.counted("connection", why) for why in ("unknown_client", "opened")) == 1
        assert server.counted("connection", "opened") == 0


async def test_r111_a_client_may_be_known_by_its_certificates_fingerprint() -> None:
    """Where names cannot be relied upon."""
    octets = ssl.PEM_cert_to_DER_cert((CERTIFICATES / "client.pem").read_text())
    fingerprint = f"sha256:{hashlib.sha256(octets).hexdigest()}"
    async with radsec(certificate_names=(fingerprint,)) as server, connected(server) as client:
        await client.say(accounting_request(STOP, secret=RADSEC))
        assert (await client.next())[0] == 5


@pytest.mark.parametrize(
    "octets",
    [
        bytes((4, 1, 0, 19)) + bytes(20),
        bytes((4, 1, 0x10, 1)) + bytes(20),
        bytes((4, 1, 0, 22)) + bytes(16) + b"\x01\x01",
        bytes((4, 1, 0, 23)) + bytes(16) + b"\x01\x09a",
        accounting_request(STOP, secret=b"guess"),
        access_request(attributes_of({1: "alice"}), secret=b"guess"),
    ],
)
async def test_r112_a_stream_out_of_step_is_closed(octets: bytes) -> None:
    """Lengths that lie and signatures that are wrong: what was asked before is answered, then it is over [R-25]."""
    async with radsec() as server, connected(server) as client:
        await client.say(octets)
        assert await client.is_closed()
        assert server.counted("connection", "out_of_step") == 1


async def test_r112_a_code_that_nobody_serves_is_passed_over() -> None:
    """The connection stays."""
    async with radsec() as server, connected(server) as client:
        await client.say(bytes((2, 1, 0, 20)) + bytes(16), accounting_request(STOP, 4, secret=RADSEC))
        assert (await client.next())[:2] == bytes((5, 4))


async def test_r94_r116_we_are_no_gateway() -> None:
    """Disconnect and CoA are refused with Error-Cause 406 on a connection, and passed over on UDP."""
    async with radsec() as server, connected(server) as client:
        for code in (40, 43):
            request = bytes((code, 6, 0, 20)) + bytes(16)
            request = request[:4] + md5(request + RADSEC)
            await client.say(request)
            reply = decode(await client.next())
            assert (reply.code, reply.attributes[101]) == (code + 2, ((406).to_bytes(4, "big"),))
        assert await server.raw(bytes((40, 6, 0, 20)) + bytes(16), 1, expected=0) == []


async def test_r114_repeats_are_known_on_their_connection_only() -> None:
    """The same octets again on the same one get the same answer; on another one the application's keys decide."""
    request = accounting_request(STOP, 5, secret=RADSEC)
    async with radsec() as server:
        async with connected(server) as first:
            await first.say(request)
            reply = await first.next()
            await first.say(request)
            assert await first.next() == reply
            assert len(server.core.requests) == 1
        async with connected(server) as second:
            await second.say(request)
            assert await second.next() == reply
            assert len(server.core.requests) == 2


async def test_r111_the_server_asks_on_the_clients_own_connection() -> None:
    """A Disconnect-Request goes where the gateway already is, once [R-113], and its answer comes back the same way."""
    session = CreditSession(
        "A", "ra:sbc:gw1:s1", SessionKind.CALL, "S", "sbc", "voice", "1", "2", NOW_MS, NOW_MS, 0, 0, "EUR", Seen()
    )
    async with radsec() as server, connected(server) as client:
        await client.say(accounting_request(STOP, secret=RADSEC))
        await client.next()
        server.server.dynamic.disconnect(session, "test")
        request = await client.next()
        assert (request[0], decode(request).attributes) == (40, {44: (b"s1",), 32: (b"gw1",)})
        assert request[4:20] == md5(request[:4] + bytes(16) + request[20:] + RADSEC)
        answer = bytes((41, request[1], 0, 20))
        await client.say(answer + md5(answer + request[4:20] + RADSEC))
        async with asyncio.timeout(5):
            while not server.counted("disconnect", "success"):  # noqa: ASYNC110 - counters tell nobody
                await asyncio.sleep(0.01)
        assert server.server.dynamic.unanswered == 0


async def test_rfc_6613_tcp_knows_clients_by_address_and_secret() -> None:
    """As UDP does, policies included."""
    async with running(radius={"tcp": ("127.0.0.1:0",)}) as server, connected(server, None) as client:
        await client.say(accounting_request(STOP, 8))
        assert (await client.next())[:2] == bytes((5, 8))
        await client.say(access_request(attributes_of({1: "alice"}), 9, sign=False), accounting_request(STOP, 10))
        assert (await client.next())[:2] == bytes((5, 10))
        assert server.counted("datagram", "no_message_authenticator") == 1


async def test_r117_certificates_are_read_anew_for_connections_to_come(tmp_path: Path) -> None:
    """The open connection goes on; with a broken file the old certificates stay in use."""
    for name in ("server.pem", "server.key"):
        shutil.copy(CERTIFICATES / name, tmp_path / name)
    tls = RadiusTls(
        certificate=str(tmp_path / "server.pem"), key=str(tmp_path / "server.key"), authorities=TLS.authorities
    )
    options: dict[str, Any] = {"certificate_names": ("sbc.example.net",)}
    async with running(radius={"radsec": ("127.0.0.1:0",), "tls": tls}, **options) as server, connected(server) as old:
        for content in ("broken", (CERTIFICATES / "client.pem").read_text()):
            (tmp_path / "server.pem").write_text(content)
            if content != "broken":
                shutil.copy(CERTIFICATES / "client.key", tmp_path / "server.key")
            server.server.reload()
            await old.say(accounting_request(STOP, secret=RADSEC))
            assert (await old.next())[0] == 5
            if content == "broken":
                async with connected(server) as another:
                    await another.say(accounting_request(STOP, secret=RADSEC))
                    assert (await another.next())[0] == 5
            else:
                with pytest.raises(ssl.SSLCertVerificationError):  # its name is another one now
                    async with connected(server):
                        pass


def test_certificates_that_cannot_be_used_are_one_clear_line(tmp_path: Path) -> None:
    """At the start."""
    client = RadiusClient(name="sbc", networks=("127.0.0.1",), secret="s", certificate_names=("x",))
    tls = RadiusTls(certificate="no.pem", key="no.key", authorities="no.pem")
    radius = Radius(radsec=("127.0.0.1:0",), tls=tls, clients=(client,))
    with pytest.raises(StartRefusedError, match=r"radius\.tls: a PEM file cannot be used"):
        RadiusServer(Settings(radius=radius), Core(), {}, lambda: NOW_MS, CONFIG)


async def test_daemons_of_one_machine_may_share_the_ports() -> None:
    """SO_REUSEPORT: the kernel sends each client's socket to one of them, always the same."""
    async with running(radius={"workers": 2}) as first:
        address = f"127.0.0.1:{first.ports[1]}"
        async with running(radius={"workers": 2}) as free:
            listen = Radius(
                authentication=(), accounting=(address,), workers=2,
                clients=(RadiusClient(name="sbc", networks=("127.0.0.1",), secret="s3cret"),),
            )  # fmt: skip
            second = RadiusServer(Settings(radius=listen), free.core, {}, lambda: NOW_MS, CONFIG)
            await second.start()
            try:
                for identifier in range(40):
                    assert len(await first.raw(accounting_request(STOP, identifier), 1, times=2, in_turn=True)) == 2
            finally:
                await second.close(1.0)
        counts = [server.counters.requests["radius", "stop", "success"] for server in (first.server, second)]
        assert sum(counts) == 40
        assert all(counts)
