"""Peers that we connect to: dial, and dial again as ``peer_table.RECONNECT`` says (RFC 6733, section 2.1)."""

from __future__ import annotations

import asyncio
import socket
import ssl
from typing import TYPE_CHECKING, Final

import structlog

from ocs.addresses import Address, parse_address
from ocs.net.diameter_listener import SCTP
from ocs.net.socket_transport import SocketTransport
from ocs.settings import DiameterPeer
from protocols.diameter.base import Capabilities
from protocols.diameter.dialled import DialledPeer, Meeting
from protocols.diameter.peer_table import RECONNECT, Again, Ending

if TYPE_CHECKING:
    from ocs.net.diameter_connection import DiameterConnection
    from ocs.net.diameter_server import DiameterServer

log = structlog.get_logger()

ENDING_BY_CAUSE: Final = (Ending.REBOOTING, Ending.BUSY, Ending.NOT_WANTED)  # by Disconnect-Cause


class Dialler:
    """One peer's. At most one connection of ours is under way or open at a time."""

    def __init__(
        self, server: DiameterServer, declared: DiameterPeer, tls: ssl.SSLContext | None, timeout_s: float
    ) -> None:
        self._server = server
        self._declared = declared
        self._tls = tls
        self._timeout_s = timeout_s
        self._addresses = [address for text in declared.connect if (address := parse_address(text)) is not None]
        self._attempts = 0
        self._connection: DiameterConnection | None = None
        self._rival: DiameterConnection | None = None  # opened by the peer, held until the election is over
        self._task: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._again = Again.AFTER_TC
        self._was_silent = False

    def start(self) -> None:
        """Dial now, unless the peer has come by itself."""
        self._cancel_timer()
        if self._connection is not None or self._again is Again.NEVER:
            return
        if self._server.peers.connected(self._declared.identity):
            self._again = Again.WHEN_RIVAL_ENDS
            return
        connection = self._server.dialled_connection(self, self._was_silent)
        self._connection = connection
        self._task = asyncio.get_running_loop().create_task(self._connect(connection))

    def stop(self) -> None:
        """No more dialling; what is open takes its leave like all others."""
        self._again = Again.NEVER
        self._cancel_timer()
        if self._task is not None:
            self._task.cancel()

    def wake(self) -> None:
        if self._again is Again.ON_DEMAND:
            self._again = Again.AFTER_TC
            self.start()

    def contradiction(self, capabilities: Capabilities) -> str:
        """Why who answered is not whom we called, or ""."""
        is_known = capabilities.origin_host.lower() == self._declared.identity.lower()
        return "" if is_known else f"{self._declared.identity} was called, and somebody else answers"

    # -- the election

    def meet(self, connection: DiameterConnection, now_ms: int) -> Meeting:
        """The peer said CER on a connection of its own."""
        ours = self._connection
        if ours is None:
            return Meeting.ACCEPTED
        assert isinstance(ours.peer, DialledPeer), "we opened it"
        meeting = ours.peer.meet(connection.identity, now_ms)
        if meeting is Meeting.HELD:
            self._rival = connection
        elif meeting is Meeting.ACCEPTED:
            self._again = Again.WHEN_RIVAL_ENDS
        ours.pump()
        return meeting

    def rival_wins(self) -> None:
        rival, self._rival = self._rival, None
        self._again = Again.WHEN_RIVAL_ENDS
        if rival is not None:
            self._server.reception.let_in(rival)
            rival.pump()

    def rival_loses(self) -> None:
        rival, self._rival = self._rival, None
        if rival is not None:
            rival.peer.reject("the election was lost")
            rival.pump()

    def rival_ended(self, connection: DiameterConnection, now_ms: int) -> None:
        """A connection that the peer had opened is gone."""
        if connection is self._rival:
            self._rival = None
            if self._connection is not None and isinstance(self._connection.peer, DialledPeer):
                self._connection.peer.rival_lost(now_ms)
        elif self._again is Again.WHEN_RIVAL_ENDS:
            self._again = Again.AFTER_TC
            self._dial_later()

    def ended(self, connection: DiameterConnection, ending: Ending) -> None:
        """Our connection came to its end, or never came about."""
        if connection is not self._connection:
            return
        self._connection = None
        if self._task is not None and self._task is not asyncio.current_task():
            self._task.cancel()
        self.rival_loses()  # of an attempt that ran out of time nothing is left
        self._was_silent = ending is Ending.SILENT
        if self._again is Again.WHEN_RIVAL_ENDS or self._again is Again.NEVER:
            return
        self._again = RECONNECT[ending]
        if self._again is Again.AFTER_TC:
            self._dial_later()

    # -- the transport

    async def _connect(self, connection: DiameterConnection) -> None:
        address = self._addresses[self._attempts % len(self._addresses)]
        self._attempts += 1
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._open(connection, address)
        except (OSError, ssl.SSLError) as error:
            log.info(
                "diameter_peer_not_reached",
                peer=self._declared.identity,
                address=str(address),
                why=str(error) or type(error).__name__,
            )
            connection.refused()

    async def _open(self, connection: DiameterConnection, address: Address) -> None:
        loop = asyncio.get_running_loop()
        if self._declared.transport != "sctp":
            name = self._declared.identity if self._tls is not None else None
            await loop.create_connection(lambda: connection, *address, ssl=self._tls, server_hostname=name)
            return
        family, kind, _, _, where = (await loop.getaddrinfo(*address, type=socket.SOCK_STREAM))[0]
        sock = socket.socket(family, kind, SCTP)
        try:
            sock.setblocking(False)
            await loop.sock_connect(sock, where)
        except BaseException:
            sock.close()
            raise
        SocketTransport(sock, connection)

    def _dial_later(self) -> None:
        self._cancel_timer()
        delay_s = self._server.reconnect_delay_s()
        self._timer = asyncio.get_running_loop().call_later(delay_s, self.start)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
