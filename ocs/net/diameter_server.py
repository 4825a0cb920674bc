"""Diameter over TCP: listeners, admission, timers and the end. What a request means is the gateway's business.

    octets -> Peer -> gateway -> charging -> gateway -> Peer -> octets

All frames of one read are submitted before anything is awaited, and all answers of one loop turn leave in one write.
There is no task, no future and no log line per request.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import ssl
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final, Protocol

import structlog

from balance.money import Currency
from ocs import limits
from ocs.addresses import Address, parse_address
from ocs.charging.request import ChargingAnswer, ChargingRequest
from ocs.errors import StartRefusedError
from ocs.gateways.gy import GyConfig
from ocs.gateways.numbering import Numbering
from ocs.net.diameter_connection import DiameterConnection
from ocs.net.diameter_dialler import Dialler
from ocs.net.diameter_listener import Listener, open_sockets
from ocs.net.diameter_notices import ServerRequests
from ocs.net.diameter_others import OtherRequests
from ocs.net.diameter_peers import PeerBook
from ocs.net.diameter_reception import Reception
from ocs.net.diameter_report import PeerReport, peer_reports
from ocs.net.diameter_restarts import Restarts
from ocs.net.diameter_tls import client_context, load_files, server_context
from ocs.observe.counters import Counters
from ocs.observe.seldom import SeldomLog
from ocs.settings import Settings
from protocols.diameter.node import LocalNode
from protocols.diameter.peer import PeerConfig

log = structlog.get_logger()

JITTER_MS: Final = 2000  # RFC 3539, section 3.4.1: Tw is jittered by two seconds each way


class Charging(Protocol):
    """What Diameter asks of the charging core."""

    def submit(self, request: ChargingRequest, reply: Callable[[ChargingAnswer], None]) -> None:
        """Decide, make durable, then call ``reply`` once, at once or later, in the loop's thread."""

    def halve(self, session_key: str) -> None:
        """The session's client was asked to come because another session of its account needs money."""


class DiameterServer:
    """``start`` returns the addresses bound; ``close`` takes leave of every peer and drains.

    ``clock`` gives UTC milliseconds for charging. The peers' timers run on the loop's own clock, which nobody sets.
    """

    def __init__(
        self,
        settings: Settings,
        charging: Charging,
        currencies: dict[str, Currency],
        clock: Callable[[], int],
        counters: Counters | None = None,
        config_dir: Path = Path(),
    ) -> None:
        self.charging = charging
        self.clock = clock
        self.counters = counters if counters is not None else Counters()
        self.peers: PeerBook[DiameterConnection] = PeerBook(settings)
        self.reception = Reception(self.peers, self.counters, _loop_ms)
        self.node = LocalNode(settings.node.identity, settings.node.realm, settings.node.aliases)
        self.gateway = GyConfig(
            self.node, settings.services, currencies, settings.credit_control, Numbering.of(settings.numbering)
        )
        self.process = f"{random.getrandbits(48):012x}"
        self.requests = ServerRequests(
            self.node,
            self.peers.lines,
            charging,
            clock,
            self.counters,
            self._first_identifier(),
            self.reception.wake,
        )
        self.restarts = Restarts(clock)
        self.others = OtherRequests(self, settings.quota.validity_s)
        self.in_flight = 0
        self.is_draining = False
        self._settings = settings.diameter
        self.strangers = SeldomLog("diameter", "address", "why")
        self._connections: set[DiameterConnection] = set()
        self._is_empty = asyncio.Event()
        self._config_dir = config_dir
        self._contexts: list[ssl.SSLContext] = []  # for connections that peers open, and for ours
        self._listeners: list[Listener] = []
        self._connection_numbers = itertools.count(1)

    @property
    def connections(self) -> int:
        return len(self._connections)

    @property
    def room(self) -> int:
        """How many more requests are taken in; the others get TOO_BUSY, and the client tries elsewhere [B-14]."""
        return 0 if self.is_draining else self._settings.in_flight_max - self.in_flight

    def reports(self) -> Iterable[PeerReport]:
        """What there is to tell of the peers, for `ocs peers`."""
        return peer_reports(self, _loop_ms())

    async def start(self) -> list[str]:
        """Listen on every configured address and dial; raises StartRefusedError with the reason."""
        settings = self._settings
        tls: ssl.SSLContext | None = None
        if settings.tls.certificate:
            tls = server_context(settings.tls, self._config_dir)
            self._contexts = [tls, client_context(settings.tls, self._config_dir)]
        try:
            for texts, context, is_sctp in (
                (settings.listen, None, False),
                (settings.listen_tls, tls, False),
                (settings.listen_sctp, None, True),
            ):
                for address in map(parse_address, texts):
                    assert address is not None, "the settings were checked"
                    self._listeners.append(self._listen(address, context, is_sctp))
        except StartRefusedError:
            await self._close_listeners()
            raise
        self._dial()
        return [address for listener in self._listeners for address in listener.addresses]

    def _listen(self, address: Address, context: ssl.SSLContext | None, is_sctp: bool) -> Listener:
        sockets = open_sockets(address, "Diameter", is_sctp)
        timeout_s = self._settings.capabilities_timeout_s
        return Listener(sockets, self._accepted, self._admits, self._handshake_failed, context, timeout_s)

    def _handshake_failed(self, address: str, reason: str) -> None:
        self.counters.count("diameter", "connection", "handshake_failed")
        self.strangers.warn("diameter_handshake_failed", address, reason, _loop_ms())

    def _accepted(self) -> DiameterConnection:
        return DiameterConnection(self)

    def _dial(self) -> None:
        settings = self._settings
        tls = self._contexts[1] if self._contexts else None
        for peer in settings.peers:
            if peer.connect:
                context = tls if peer.transport == "tls" else None
                dialler = Dialler(self, peer, context, settings.capabilities_timeout_s)
                self.reception.diallers[peer.identity.lower()] = dialler
                dialler.start()

    def reload_certificates(self) -> None:
        """Read the PEM files anew, for connections from now on; files that cannot be used change nothing."""
        tls = self._settings.tls
        if not self._contexts:
            return
        try:
            server_context(tls, self._config_dir)  # tried on the side first: a half-read pair must not stay
        except StartRefusedError as error:
            log.warning("certificates_kept", reason=str(error))
            return
        for context in self._contexts:
            load_files(context, tls, self._config_dir)
        log.info("certificates_read")

    def dialled_connection(self, dialler: Dialler, was_silent: bool) -> DiameterConnection:
        return DiameterConnection(self, dialler, was_silent)

    def connection_name(self) -> str:
        """Unique among all processes on one store."""
        return f"{self.process}/{next(self._connection_numbers)}"

    def reconnect_delay_s(self) -> float:
        """Tc, spread a little, so that peers that were lost together do not come back together."""
        return self._settings.reconnect_s * random.uniform(0.9, 1.1)  # noqa: S311 - no secret

    async def close(self, drain_s: float) -> None:
        """Stop accepting, send DPR to every peer, wait for answers in flight and DPAs for a bounded time [B-51]."""
        self.is_draining = True
        for dialler in self.reception.diallers.values():
            dialler.stop()
        await self._close_listeners()
        await self.requests.close()
        await self.restarts.close()
        for connection in tuple(self._connections):
            connection.stop()
        if self._connections:
            try:
                await asyncio.wait_for(self._is_empty.wait(), drain_s)
            except TimeoutError:
                log.warning("diameter_drain_ended", connections=len(self._connections), in_flight=self.in_flight)
        for connection in tuple(self._connections):
            connection.abort()

    async def _close_listeners(self) -> None:
        for listener in self._listeners:
            await listener.close()

    def peer_config(self, host_ip: str, is_secure: bool = False) -> PeerConfig:
        """What a new connection's Peer has to know; chance comes in here and nowhere else."""
        settings = self._settings
        return PeerConfig(
            node=self.node,
            host_ip=host_ip,
            octets_max=settings.message_octets_max,
            capabilities_timeout_ms=settings.capabilities_timeout_s * 1000,
            closing_timeout_ms=int(limits.DRAIN_S * 1000),
            watchdog_ms=settings.watchdog_s * 1000,
            jitter_ms=_jitter_ms,
            first_identifier=self._first_identifier(),
            is_secure=is_secure,
        )

    def _first_identifier(self) -> int:
        """The high bits follow the clock, so that they are new after a restart [B-8]."""
        return self.clock() // 1000 << 20 | random.getrandbits(20)

    def _admits(self, arriving: int) -> bool:
        """Whether one more may come, of which the handshake has not even begun."""
        if self.is_draining or len(self._connections) + arriving >= self._settings.connections_max:
            self.counters.count("diameter", "connection", "turned_away")
            return False
        return True

    def admit(self, connection: DiameterConnection) -> bool:
        """Take a new connection in, unless there are too many or we are about to leave."""
        if self.is_draining or len(self._connections) >= self._settings.connections_max:
            self.counters.count("diameter", "connection", "turned_away")
            return False
        self._connections.add(connection)
        self._is_empty.clear()
        return True

    def forget(self, connection: DiameterConnection) -> None:
        self._connections.discard(connection)
        if not self._connections:
            self._is_empty.set()


def _loop_ms() -> int:
    return int(asyncio.get_running_loop().time() * 1000)


def _jitter_ms() -> int:
    return random.randint(-JITTER_MS, JITTER_MS)  # noqa: S311 - no secret
