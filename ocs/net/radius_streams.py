"""RADIUS over TLS (RadSec, RFC 6614) and over bare TCP (RFC 6613): connections of clients, both ways.

    connection -> client by certificate (TLS) or address (TCP) -> packets by their length -> responder -> desk

A stream that cannot be trusted to be in step any more is closed: the client opens another and asks again [R-112].
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, cast

import structlog

from ocs.addresses import parse_address
from ocs.errors import StartRefusedError
from ocs.net.datagrams import Local, Source
from ocs.net.diameter_listener import Listener, open_sockets
from ocs.net.radius_clients import Client, ClientTable, plain_address
from ocs.net.radius_desk import RadiusDesk
from ocs.net.radius_tls import TlsFiles, names_of_certificate
from ocs.net.radius_work import Work
from ocs.observe.counters import Counters
from ocs.observe.seldom import SeldomLog
from ocs.settings import Radius
from protocols.errors import RemoteProtocolError
from protocols.radius.dedup import ReplyCache
from protocols.radius.dynauth import COA_NAK, COA_REQUEST, DISCONNECT_NAK, DISCONNECT_REQUEST, ERROR_CAUSE
from protocols.radius.framing import packet_buffer
from protocols.radius.packet import Packet
from protocols.radius.responder import Discard, Peer, Responder, Role

log = structlog.get_logger()

TLS_SECRET: Final = b"radsec"  # RFC 6614, section 2.3: the transport protects, the secret is a formality
WRITE_BUFFER_OCTETS_MAX: Final = 1 << 20
HANDSHAKE_S: Final = 10.0
IDLE_S: Final = 900.0  # three watchdogs of a client that is slow to ask (RFC 3539)
CONNECTIONS_PER_CLIENT_MAX: Final = 64
CONNECTIONS_MAX: Final = 1024  # with those whose handshake is not over
REPLIES_KEPT_MAX: Final = 1024  # an identifier has 8 bits: more are never waited for on one connection

# What says that the two sides do not read the same packets any more.
_OUT_OF_STEP: Final = frozenset((
    Discard.MALFORMED,
    Discard.WRONG_AUTHENTICATOR,
    Discard.WRONG_MESSAGE_AUTHENTICATOR,
))  # fmt: skip
_NOWHERE: Final[Local] = b""
_REFUSALS: Final = {DISCONNECT_REQUEST: DISCONNECT_NAK, COA_REQUEST: COA_NAK}
_ANSWERS: Final = frozenset((41, 42, 44, 45))


class RadiusStreams:
    """The listeners and the connections of both kinds."""

    def __init__(
        self,
        settings: Radius,
        clients: ClientTable,
        desk: RadiusDesk,
        counters: Counters,
        seldom: SeldomLog,
        clock: Callable[[], int],
        is_ready: Callable[[], bool],
        tls: TlsFiles | None,
    ) -> None:
        self._settings = settings
        self._tls = tls
        self.clients = clients
        self.desk = desk
        self.counters = counters
        self.seldom = seldom
        self.clock = clock
        self.is_ready = is_ready
        self.keep_ms = settings.reply_cache_s * 1000
        self.connections: set[RadiusStream] = set()
        self.on_answer: Callable[[RadiusStream, bytes], None] = lambda _stream, _octets: None
        self._listeners: list[Listener] = []

    def start(self) -> list[str]:
        """Raises StartRefusedError if an address cannot be bound."""
        bound = []
        for text in self._settings.tcp:
            bound += self._listen(text, is_tls=False)
        for text in self._settings.radsec:
            bound += self._listen(text, is_tls=True)
        return bound

    def _listen(self, text: str, *, is_tls: bool) -> list[str]:
        address = parse_address(text)
        if address is None:
            raise StartRefusedError(f"RADIUS: {text!r} is no address; write 0.0.0.0:2083")
        assert self._tls is not None or not is_tls, "the settings were checked"
        listener = Listener(
            open_sockets(address, "RADIUS"),
            lambda: RadiusStream(self, is_tls=is_tls),
            lambda arriving: len(self.connections) + arriving < CONNECTIONS_MAX,
            self._handshake_failed,
            self._tls.context if self._tls is not None and is_tls else None,
            HANDSHAKE_S,
        )
        self._listeners.append(listener)
        return listener.addresses

    def _handshake_failed(self, address: str, reason: str) -> None:
        self.counters.count("radius", "connection", "handshake_failed")
        self.seldom.warn("radius_handshake_failed", address, reason, self.clock())

    def reload(self) -> None:
        """Read certificates anew; connections that are open stay [R-117]."""
        if self._tls is not None:
            self._tls.reload()

    async def stop_reading(self) -> None:
        for listener in self._listeners:
            await listener.close()
        for stream in self.connections:
            stream.stop_reading()

    def close(self) -> None:
        for stream in tuple(self.connections):
            stream.close()

    def line_to(self, client: Client) -> RadiusStream | None:
        """An open connection of the client, by which it can be asked, too [R-111]."""
        return next((stream for stream in self.connections if stream.client is client), None)

    def count_of(self, client: Client) -> int:
        return sum(stream.client is client for stream in self.connections)


class RadiusStream(asyncio.Protocol):
    """One connection of one client, with replies of its own [R-114]."""

    def __init__(self, streams: RadiusStreams, *, is_tls: bool) -> None:
        self._streams = streams
        self._buffer = packet_buffer()
        self._transport: asyncio.Transport | None = None
        self._idle: asyncio.TimerHandle | None = None
        self._peer = Peer(b"")
        self._source: Source = ("", 0)
        self.client: Client | None = None
        self.is_protected = is_tls
        self.responder = Responder(Role.BOTH, ReplyCache(streams.keep_ms, REPLIES_KEPT_MAX), streams.is_ready)

    @property
    def secret(self) -> bytes:
        return self._peer.secret

    # --- the transport ----------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        remote = transport.get_extra_info("peername")
        if remote is None:  # gone before we could look
            self._transport.abort()
            return
        self._source = (plain_address(remote[0]), *remote[1:])
        client = self._identify()
        if client is None or self._streams.count_of(client) >= CONNECTIONS_PER_CLIENT_MAX:
            why = "unknown_client" if client is None else "too_many_connections"
            self._streams.counters.count("radius", "connection", why)
            self._streams.seldom.warn("radius_connection_refused", self._source[0], why, self._streams.clock())
            self._transport.abort()
            return
        self.client = client
        self._peer = self._peer_of(client)
        self._streams.connections.add(self)
        self._transport.set_write_buffer_limits(high=WRITE_BUFFER_OCTETS_MAX)
        self._heard()
        self._streams.counters.count("radius", "connection", "opened")

    def _identify(self) -> Client | None:
        """TLS: by what the certificate is called, from an address of the client's only. TCP: by the address [R-2]."""
        address = str(self._source[0])
        if not self.is_protected:
            return self._streams.clients.find(address)
        assert self._transport is not None, "it was made"
        names = names_of_certificate(self._transport.get_extra_info("ssl_object"))
        found = self._streams.clients.find_by_names(names)
        return found if found is not None and self._streams.clients.holds(found, address) else None

    def _peer_of(self, client: Client) -> Peer:
        """On TLS the client's policies of unsigned requests are off: nobody can have changed them [R-25]."""
        if not self.is_protected:
            return client.peer
        return Peer(TLS_SECRET, "no", limit_proxy_state=False, has_status_server=client.peer.has_status_server)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - why does not matter here
        if self._idle is not None:
            self._idle.cancel()
        self._streams.connections.discard(self)
        self._transport = None

    def pause_writing(self) -> None:
        """A client that does not read its answers is not read."""
        if self._transport is not None:
            self._transport.pause_reading()

    def resume_writing(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def stop_reading(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.pause_reading()

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def send(self, octets: bytes, source: Source = (), local: Local = _NOWHERE) -> None:  # noqa: ARG002
        """What is answered after the connection is gone goes nowhere; the client asks again on another [R-114]."""
        if self._transport is not None:
            self._transport.write(octets)

    # --- packets ----------------------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        if self.client is None:
            return
        self._heard()
        self._buffer.feed(data)
        now_ms = self._streams.clock()
        works: list[Work] = []
        try:
            while (frame := self._buffer.next_frame()) is not None:
                work = self._receive(frame, self.client, now_ms)
                if work is not None:
                    works.append(work)
        except RemoteProtocolError as error:
            self._give_up(self.client, str(error), now_ms)
        self._streams.desk.take(works, now_ms)

    def _receive(self, frame: bytes, client: Client, now_ms: int) -> Work | None:
        """Raises RemoteProtocolError for what says that the stream is out of step."""
        if frame[0] in _ANSWERS:
            self._streams.on_answer(self, frame)
            return None
        result = self.responder.receive(frame, self._source, self._peer, now_ms)
        if type(result) is Packet:
            client.requests += 1
            return Work(self, client, self._peer, result, self._source, _NOWHERE)
        if isinstance(result, bytes):
            self._streams.counters.count("radius", "datagram", "answered_at_once")
            self.send(result)
        elif result is Discard.WRONG_CODE and frame[0] in _REFUSALS:
            self._refuse(frame)
        elif isinstance(result, Discard):
            client.discard(result.value)
            self._streams.counters.count("radius", "datagram", result.value)
            if result in _OUT_OF_STEP:
                raise RemoteProtocolError(result.value)
            self._streams.seldom.warn("radius_discarded", client.name, result.value, now_ms)
        return None

    def _refuse(self, frame: bytes) -> None:
        """We are no gateway: such a request is refused (RFC 6614, section 2.5) [R-94] [R-116]."""
        octets = self.responder.refuse(frame, self._peer, _REFUSALS[frame[0]], UNSUPPORTED)
        if octets is not None:
            self.send(octets)

    def _heard(self) -> None:
        """A connection without a sign of life is closed."""
        if self._idle is not None:
            self._idle.cancel()
        self._idle = asyncio.get_running_loop().call_later(IDLE_S, self.close)

    def _give_up(self, client: Client, why: str, now_ms: int) -> None:
        self._streams.counters.count("radius", "connection", "out_of_step")
        self._streams.seldom.warn("radius_connection_closed", client.name, why, now_ms)
        if self._transport is not None:
            self._transport.abort()


UNSUPPORTED: Final = bytes((ERROR_CAUSE, 6)) + (406).to_bytes(4, "big")
