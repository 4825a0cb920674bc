"""Diameter over TCP: listeners, admission, timers and the end. What a request means is the gateway's business.

    octets -> Peer -> gateway -> charging -> gateway -> Peer -> octets

All frames of one read are submitted before anything is awaited, and all answers of one loop turn leave in one write.
There is no task, no future and no log line per request.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Final, Protocol

import structlog

from balance.money import Currency
from ocs import limits
from ocs.addresses import Address, parse_address, why_not_free
from ocs.charging.request import ChargingAnswer, ChargingRequest
from ocs.errors import StartRefusedError
from ocs.gateways.gy import GyConfig
from ocs.gateways.numbering import Numbering
from ocs.net.diameter_connection import DiameterConnection
from ocs.net.diameter_peers import PeerBook
from ocs.observe.metrics import Counters
from ocs.settings import Settings
from protocols.diameter.node import LocalNode
from protocols.diameter.peer import PeerConfig

log = structlog.get_logger()

BACKLOG: Final = 1024
JITTER_MS: Final = 2000  # RFC 3539, section 3.4.1: Tw is jittered by two seconds each way


class Charging(Protocol):
    """What Diameter asks of the charging core."""

    def submit(self, request: ChargingRequest, reply: Callable[[ChargingAnswer], None]) -> None:
        """Decide, make durable, then call ``reply`` once, at once or later, in the loop's thread."""


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
    ) -> None:
        self.charging = charging
        self.clock = clock
        self.counters = counters if counters is not None else Counters()
        self.peers: PeerBook[DiameterConnection] = PeerBook(settings)
        self.node = LocalNode(settings.node.identity, settings.node.realm, settings.node.aliases)
        self.gateway = GyConfig(self.node, settings.services, currencies, Numbering.of(settings.numbering))
        self.in_flight = 0
        self.is_draining = False
        self._settings = settings.diameter
        self._connections: set[DiameterConnection] = set()
        self._is_empty = asyncio.Event()
        self._listeners: list[asyncio.Server] = []

    @property
    def connections(self) -> int:
        return len(self._connections)

    @property
    def room(self) -> int:
        """How many more requests are taken in; the others get TOO_BUSY, and the client tries elsewhere [B-14]."""
        return 0 if self.is_draining else self._settings.in_flight_max - self.in_flight

    async def start(self) -> list[str]:
        """Listen on every configured address; raises StartRefusedError with the reason."""
        bound = []
        for text in self._settings.listen:
            address = parse_address(text)
            assert address is not None, "the settings were checked"
            listener = await self._listen(address)
            self._listeners.append(listener)
            names = (socket.getsockname() for socket in listener.sockets)
            bound += [str(Address(name[0], name[1])) for name in names]
        return bound

    async def _listen(self, address: Address) -> asyncio.Server:
        loop = asyncio.get_running_loop()
        try:
            return await loop.create_server(
                lambda: DiameterConnection(self), address.host, address.port, backlog=BACKLOG
            )
        except OSError as error:
            import socket

            reason = why_not_free(address, socket.SOCK_STREAM) or f"cannot be listened on: {error.strerror}"
            raise StartRefusedError(f"Diameter: {address} {reason}") from error

    async def close(self, drain_s: float) -> None:
        """Stop accepting, send DPR to every peer, wait for answers in flight and DPAs for a bounded time [B-51]."""
        self.is_draining = True
        for listener in self._listeners:
            listener.close()
        for connection in tuple(self._connections):
            connection.stop()
        if self._connections:
            try:
                await asyncio.wait_for(self._is_empty.wait(), drain_s)
            except TimeoutError:
                log.warning("diameter_drain_ended", connections=len(self._connections), in_flight=self.in_flight)
        for connection in tuple(self._connections):
            connection.abort()

    def peer_config(self, host_ip: str) -> PeerConfig:
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
            # The high bits follow the clock, so that they are new after a restart [B-8].
            first_identifier=self.clock() // 1000 << 20 | random.getrandbits(20),
        )

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


def _jitter_ms() -> int:
    return random.randint(-JITTER_MS, JITTER_MS)  # noqa: S311 - no secret
