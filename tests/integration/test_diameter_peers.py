"""Peers by TLS and IPv6, peers that we connect to, peers with several connections (diameter-base 3), on real sockets."""

from __future__ import annotations

import asyncio
import shutil
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from ocs.errors import StartRefusedError
from ocs.net.diameter_dialler import Dialler
from ocs.net.diameter_listener import has_sctp
from ocs.net.diameter_tls import bears_one_of, names_of
from ocs.settings import DiameterPeer, DiameterTls
from protocols.diameter import avp, base, codes
from protocols.diameter.base import DisconnectCause
from protocols.diameter.message import Message
from protocols.diameter.node import LocalNode
from protocols.diameter.peer_table import State
from tests.builders_gy import capabilities_request, ccr
from tests.integration import diameter_world
from tests.integration.diameter_world import CERTIFICATES, TLS, RawClient, running_server

pytestmark = pytest.mark.integration

PEER = LocalNode("client.example.net", "example.net")


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - sockets tell nobody else
            await asyncio.sleep(0.005)


def client_tls(name: str | None = "client", version: ssl.TLSVersion | None = None) -> ssl.SSLContext:
    """What a peer brings; None: no certificate."""
    context = ssl.create_default_context(cafile=str(CERTIFICATES / "authority.pem"))
    context.check_hostname = False
    if name is not None:
        context.load_cert_chain(CERTIFICATES / f"{name}.pem", CERTIFICATES / f"{name}.key")
    if version is not None:
        context.minimum_version = context.maximum_version = version
    return context


class Accepting:
    """A peer that waits to be dialled, and keeps each connection."""

    def __init__(self) -> None:
        self.clients: list[RawClient] = []
        self.address = ""

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.clients.append(RawClient(reader, writer))

    @asynccontextmanager
    async def listening(self, tls: ssl.SSLContext | None = None) -> AsyncIterator[Accepting]:
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0, ssl=tls)
        self.address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with server:
            yield self
            for client in self.clients:
                await client.close()

    async def next(self, number: int) -> RawClient:
        """The connection of that number, once its CER was answered."""
        await until(lambda: len(self.clients) >= number)
        client = self.clients[number - 1]
        cer = await client.receive()
        assert (cer.command, cer.is_request) == (codes.CAPABILITIES_EXCHANGE, True)
        client.send(base.capabilities_answer(cer, PEER, "127.0.0.1"))
        return client


# -- TLS


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_b34_call_over_tls(version: ssl.TLSVersion) -> None:
    """TLS 1.2 and 1.3 from the first octet, certificates on both sides; then as over TCP."""
    async with running_server(listen=(), listen_tls=("127.0.0.1:0",), tls=TLS) as (_, port, _):
        client = await RawClient.connect(port, tls=client_tls(version=version))
        assert base.read_result_code(await client.open()) == 2001
        client.send(ccr())
        assert base.read_result_code(await client.receive()) == 2001
        await client.close()


async def test_b34_inband_security_of_a_secure_peer() -> None:
    """A peer that is secure already may offer TLS alone in its CER; in clear that is 5017."""
    offer = [avp.avp_u32(codes.INBAND_SECURITY_ID, 1), avp.avp_u32(codes.AUTH_APPLICATION_ID, 4)]
    async with running_server(listen=("127.0.0.1:0",), listen_tls=("127.0.0.1:0",), tls=TLS) as (server, port, _):
        secure_port = int(server._listeners[1].addresses[0].rpartition(":")[2])
        for where, tls, expected in ((port, None, 5017), (secure_port, client_tls(), 2001)):
            client = await RawClient.connect(where, tls=tls)
            client.send(capabilities_request("client.example.net", "example.net", *offer))
            assert base.read_result_code(await client.receive()) == expected
            await client.close()


@pytest.mark.parametrize(
    ("certificate", "peer", "expected"),
    [
        ("client", None, 2001),
        ("client", DiameterPeer(identity="client.example.net", transport="tls"), 2001),
        ("client", DiameterPeer(identity="client.example.net", certificate_names=("other.example.net",)), 3010),
        ("client", DiameterPeer(identity="client.example.net", transport="tcp"), 3010),
        ("ocs", None, 3010),
        ("ocs", DiameterPeer(identity="client.example.net", certificate_names=("*.example.net",)), 3010),
    ],
)
async def test_b34_certificate_has_to_be_the_peers(certificate: str, peer: DiameterPeer | None, expected: int) -> None:
    """The name in the certificate against Origin-Host, or against the names that the peer is declared with."""
    peers = (peer,) if peer is not None else ()
    async with running_server(listen=(), listen_tls=("127.0.0.1:0",), tls=TLS, peers=peers) as (_, port, _):
        client = await RawClient.connect(port, tls=client_tls(certificate))
        assert base.read_result_code(await client.open()) == expected
        await client.close()


@pytest.mark.parametrize("certificate", [None, "foreign"])
async def test_b34_without_a_known_certificate_there_is_no_connection(certificate: str | None) -> None:
    """No certificate, or one of a stranger: the handshake fails, CER is never read, and one line says from where and why."""
    with capture_logs() as lines:
        async with running_server(listen=(), listen_tls=("127.0.0.1:0",), tls=TLS) as (server, port, charging):
            for _ in range(2):
                with pytest.raises((ConnectionError, ssl.SSLError, asyncio.IncompleteReadError)):  # noqa: PT012 - either may tell
                    client = await RawClient.connect(port, tls=client_tls(certificate))
                    try:
                        await client.open()
                    finally:
                        await client.close()
            assert (server.connections, charging.requests) == (0, [])
    (line,) = [line for line in lines if line["event"] == "diameter_handshake_failed"]
    assert (line["address"], "certificate" in line["why"]) == ("127.0.0.1", True)


async def test_tcp_peer_that_has_to_come_by_tls_is_refused() -> None:
    """transport = "tls" is not satisfied by a connection in clear."""
    peer = DiameterPeer(identity="client.example.net", transport="tls")
    async with running_server(peers=(peer,), tls=TLS) as (_, port, _):
        client = await RawClient.connect(port)
        assert base.read_result_code(await client.open()) == 3010
        await client.close()


async def test_half_open_handshakes_are_bounded() -> None:
    """Connections that never begin their handshake count, and are gone after a while."""
    async with running_server(
        listen=(), listen_tls=("127.0.0.1:0",), tls=TLS, connections_max=2, capabilities_timeout_s=1
    ) as (server, port, _):
        silent = [await RawClient.connect(port) for _ in range(2)]
        await until(lambda: len(server._listeners[0]._arriving) == 2)
        third = await RawClient.connect(port)
        assert await third.is_closed_by_server()
        for client in silent:
            assert await client.is_closed_by_server()
        fourth = await RawClient.connect(port, tls=client_tls())
        assert base.read_result_code(await fourth.open()) == 2001
        for client in (*silent, third, fourth):
            await client.close()


async def test_certificate_that_is_none_is_said_at_the_start() -> None:
    """One line that names the section, and exit status 78."""
    with pytest.raises(StartRefusedError, match=r"diameter\.tls: a PEM file cannot be used") as refused:
        async with running_server(tls=DiameterTls(certificate="none.pem", key="none.key", authorities="none.pem")):
            pass
    assert refused.value.exit_status == 78


async def test_certificates_are_read_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SIGHUP after a renewal: new connections see the new certificate; broken files change nothing."""
    for path in CERTIFICATES.glob("*.*"):
        shutil.copy(path, tmp_path)
    monkeypatch.setattr(diameter_world, "CERTIFICATES", tmp_path)

    async def shown(port: int) -> frozenset[str]:
        client = await RawClient.connect(port, tls=client_tls())
        secured = client.writer.get_extra_info("ssl_object")
        names = names_of(secured.getpeercert())
        await client.close()
        return names

    async with running_server(listen=(), listen_tls=("127.0.0.1:0",), tls=TLS) as (server, port, _):
        assert await shown(port) == {"ocs.example.net"}
        for kind in ("pem", "key"):
            shutil.copy(tmp_path / f"client.{kind}", tmp_path / f"ocs.{kind}")
        server.reload_certificates()
        assert await shown(port) == {"client.example.net"}
        (tmp_path / "ocs.pem").write_text("none")
        server.reload_certificates()
        assert await shown(port) == {"client.example.net"}
    async with running_server() as (server, _, _):
        server.reload_certificates()  # nothing to read


@pytest.mark.parametrize(
    ("names", "wanted", "expected"),
    [
        ({"a.example.net"}, "A.example.net", True),
        ({"*.example.net"}, "a.example.net", True),
        ({"*.example.net"}, "a.b.example.net", False),
        ({"example.net"}, "a.example.net", False),
        (set(), "a.example.net", False),
    ],
)
def test_names_of_certificates(names: set[str], wanted: str, expected: bool) -> None:
    """Without case; a star is one label."""
    assert bears_one_of(frozenset(names), [wanted]) == expected


# -- listeners


async def test_b30_several_listeners_and_ipv6() -> None:
    """Each listening address works, of both families."""
    async with running_server(listen=("127.0.0.1:0", "[::1]:0")) as (server, port, _):
        (_, six) = [address for listener in server._listeners for address in listener.addresses]
        assert six.startswith("[::1]:")
        for host, where in (("127.0.0.1", port), ("::1", int(six.rpartition(":")[2]))):
            client = await RawClient.connect(where, host)
            answer = await client.open()
            assert base.read_result_code(answer) == 2001
            found, _ = answer.walk()
            family = avp.octets(answer.frame, found[codes.HOST_IP_ADDRESS])[:2]
            assert family == (b"\0\1" if host == "127.0.0.1" else b"\0\2")
            await client.close()
            await until(lambda: server.connections == 0)


@pytest.mark.skipif(has_sctp(), reason="this kernel has SCTP")
async def test_b30_kernel_without_sctp_is_said_at_the_start() -> None:
    """listen_sctp where there is none: one line with the cure."""
    with pytest.raises(StartRefusedError, match="this kernel has no SCTP"):
        async with running_server(listen_sctp=("127.0.0.1:0",)):
            pass


async def test_declared_peer_may_have_two_connections() -> None:
    """connections_max = 2: two, and the third one is closed; requests are answered on both."""
    peer = DiameterPeer(identity="client.example.net", connections_max=2)
    async with running_server(peers=(peer,)) as (server, port, _):
        clients = [await RawClient.connect(port) for _ in range(3)]
        for client in clients[:2]:
            assert base.read_result_code(await client.open()) == 2001
        clients[2].send(capabilities_request())
        assert await clients[2].is_closed_by_server()
        assert len(server.peers.connected("client.example.net")) == 2
        for client in clients[:2]:
            dwr_or_answer = None
            client.send(ccr())
            while dwr_or_answer is None or dwr_or_answer.command != codes.CREDIT_CONTROL:  # it was asked for a sign
                dwr_or_answer = await client.receive()
        for client in clients:
            await client.close()


async def test_b14_declared_peer_has_its_own_limit() -> None:
    """in_flight_max of a peer: what is beyond is TOO_BUSY at once, whatever the server has room for."""
    peer = DiameterPeer(identity="client.example.net", in_flight_max=2)
    async with running_server(peers=(peer,)) as (_, port, charging):
        charging.is_holding = True
        client = await RawClient.connect(port)
        await client.open()
        client.send(b"".join(ccr(number=number, hop_by_hop=number) for number in range(5)))
        refused = [await client.receive() for _ in range(3)]
        assert [base.read_result_code(answer) for answer in refused] == [3004] * 3
        charging.release()
        assert sorted([(await client.receive()).hop_by_hop for _ in range(2)]) == [0, 1]
        await client.close()


# -- dialled peers


async def test_b33_we_connect_to_a_peer_and_serve_it() -> None:
    """CER from us, CCR from the peer on the connection we opened; it is lost, and we come again."""
    async with Accepting().listening() as peer:
        declared = DiameterPeer(identity="client.example.net", connect=(peer.address,))
        async with running_server(peers=(declared,), reconnect_s=1) as (server, _, _):
            first = await peer.next(1)
            first.send(ccr())
            assert base.read_result_code(await first.receive()) == 2001
            (connection,) = server.peers.connected("client.example.net")
            assert connection.peer.state is State.I_OPEN
            await first.close()
            second = await peer.next(2)
            second.send(ccr(number=1))
            assert base.read_result_code(await second.receive()) == 2001


async def test_b33_peer_that_does_not_want_us_is_left_alone_until_needed() -> None:
    """DPR with DO_NOT_WANT_TO_TALK_TO_YOU: no new connection, until there is something to send."""
    async with Accepting().listening() as peer:
        declared = DiameterPeer(identity="client.example.net", connect=(peer.address,))
        async with running_server(peers=(declared,), reconnect_s=1) as (server, _, _):
            first = await peer.next(1)
            first.send(base.disconnect_request(PEER, DisconnectCause.DO_NOT_WANT_TO_TALK_TO_YOU, 1, 1))
            assert (await first.receive()).command == codes.DISCONNECT_PEER
            await first.close()
            await until(lambda: server.connections == 0)
            dialler = server.reception.diallers["client.example.net"]
            assert dialler._timer is None
            server.reception.wake("CLIENT.example.net")
            await peer.next(2)


async def test_peer_that_is_somebody_else_gets_our_leave() -> None:
    """Who answers has to be whom we called."""
    async with Accepting().listening() as peer:
        declared = DiameterPeer(identity="other.example.net", connect=(peer.address,))
        async with running_server(peers=(declared,), reconnect_s=60) as (server, _, _):
            client = await peer.next(1)
            dpr = await client.receive()
            assert dpr.command == codes.DISCONNECT_PEER
            assert base.read_disconnect_cause(dpr) == DisconnectCause.DO_NOT_WANT_TO_TALK_TO_YOU
            assert not list(server.peers.lines())


async def test_address_that_does_not_answer_is_followed_by_the_next() -> None:
    """Two addresses, the first one dead: the second attempt takes the other."""
    async with Accepting().listening() as peer:
        declared = DiameterPeer(identity="client.example.net", connect=("127.0.0.1:1", peer.address))
        async with running_server(peers=(declared,), reconnect_s=1):
            await peer.next(1)


async def test_b34_we_connect_by_tls() -> None:
    """The peer's certificate is checked as ours is."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATES / "client.pem", CERTIFICATES / "client.key")
    context.load_verify_locations(CERTIFICATES / "authority.pem")
    context.verify_mode = ssl.CERT_REQUIRED
    async with Accepting().listening(context) as peer:
        declared = DiameterPeer(identity="client.example.net", connect=(peer.address,), transport="tls")
        async with running_server(peers=(declared,), tls=TLS) as (server, _, _):
            await peer.next(1)
            await until(lambda: server.peers.connected("client.example.net"))


@pytest.mark.parametrize("identity", ["aaa.example.net", "zzz.example.net"])
async def test_b32_election_over_sockets(identity: str) -> None:
    """The peer's CER arrives while ours waits for its CEA: one connection is left, the greater identity's choice."""
    node = LocalNode(identity, "example.net")
    async with Accepting().listening() as peer:
        declared = DiameterPeer(identity=identity, connect=(peer.address,))
        async with running_server(peers=(declared,)) as (server, port, _):
            await until(lambda: peer.clients)
            dialled = peer.clients[0]
            cer = await dialled.receive()
            accepted = await RawClient.connect(port)
            accepted.send(capabilities_request(identity))
            if identity < "ocs.example.net":  # we win: the connection that the peer opened stays
                assert base.read_result_code(await accepted.receive()) == 2001
                assert await dialled.is_closed_by_server()
            else:
                dialled.send(base.capabilities_answer(cer, node, "127.0.0.1"))
                assert await accepted.is_closed_by_server()
            await until(lambda: len(server.peers.connected(identity)) == 1)
            (connection,) = server.peers.connected(identity)
            assert connection.peer.state is (State.R_OPEN if identity < "ocs.example.net" else State.I_OPEN)
            await accepted.close()


async def test_b32_held_connection_is_let_in_when_ours_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The peer's CER comes while our transport is still under way; ours fails, and the peer's is answered."""
    fails = asyncio.Event()

    async def never_reached(*_: object) -> None:
        await fails.wait()
        raise ConnectionRefusedError("nobody listens")

    monkeypatch.setattr(Dialler, "_open", never_reached)
    declared = DiameterPeer(identity="client.example.net", connect=("127.0.0.1:1",))
    async with running_server(peers=(declared,)) as (server, port, _):
        client = await RawClient.connect(port)
        client.send(capabilities_request())
        dialler = server.reception.diallers["client.example.net"]
        await until(lambda: dialler._rival)
        fails.set()
        assert base.read_result_code(await client.receive()) == 2001
        (connection,) = server.peers.connected("client.example.net")
        assert (connection.peer.state, dialler._connection) == (State.R_OPEN, None)
        await client.close()


async def test_peer_that_came_by_itself_is_not_dialled() -> None:
    """It has a connection: ours begins only when that one ends."""
    async with Accepting().listening() as peer:
        declared = DiameterPeer(identity="client.example.net", connect=("127.0.0.1:1", peer.address))
        async with running_server(peers=(declared,), reconnect_s=1) as (server, port, _):
            client = await RawClient.connect(port)
            assert base.read_result_code(await client.open()) == 2001
            dialler = server.reception.diallers["client.example.net"]
            dialler.start()
            assert dialler._connection is None
            await client.close()
            await peer.next(1)


# -- requests of ours


async def test_b78_request_of_ours_goes_out_and_its_answer_comes_back() -> None:
    """An answer on the socket ends what was sent on it; a lost connection hands it on."""
    from ocs.charging.notice_stream import Route
    from ocs.charging.notices import Notice, NoticeKind
    from ocs.net.diameter_notices import _Sent

    async with running_server() as (server, port, _):
        client = await RawClient.connect(port)
        await client.open()
        client.send(ccr())
        await client.receive()
        assert server.requests.routes.route("Client.example.net", 0) == Route("example.net", "client.example.net")
        (line,) = server.peers.lines()
        notice = Notice(NoticeKind.REAUTHORIZE, "gy:client.example.net;1;1", "client.example.net", "test", 0)
        server.requests._send(line, _Sent("1-0", notice, 5, "example.net", ""))
        request = await client.receive()
        assert (request.command, request.end_to_end, server.requests.unanswered) == (codes.RE_AUTH, 5, 1)
        client.send(base.success_answer(request, PEER))
        await until(lambda: not server.requests.unanswered)
        assert server.counters.requests["diameter", "re_auth", "success"] == 1
        server.requests._send(line, _Sent("1-0", notice, 6, "example.net", ""))
        assert isinstance(await client.receive(), Message)
        await client.close()
        await until(lambda: not server.requests.unanswered)
