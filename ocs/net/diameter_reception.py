"""What becomes of a peer that has said who it is: let in, refused, rejected, or held until an election is over."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import structlog

from ocs.net.diameter_peers import PeerBook
from ocs.observe.counters import Counters
from protocols.diameter.base import Capabilities
from protocols.diameter.dialled import DialledPeer, Meeting
from protocols.diameter.peer_table import Ending
from protocols.diameter.result_codes import ResultCode

if TYPE_CHECKING:
    from ocs.net.diameter_connection import DiameterConnection
    from ocs.net.diameter_dialler import Dialler

log = structlog.get_logger()

SILENCE_TO_REPLACE_MS: int = 1000  # no Final: tests do not wait for it


class Reception:
    """One per server. ``diallers`` are the peers that we connect to, by identity in lower case."""

    def __init__(self, peers: PeerBook[DiameterConnection], counters: Counters, clock_ms: Callable[[], int]) -> None:
        self.peers = peers
        self.diallers: dict[str, Dialler] = {}
        self._counters = counters
        self._clock_ms = clock_ms

    def identify(self, connection: DiameterConnection, capabilities: Capabilities) -> None:
        """A CER came: accept, refuse, reject or hold the connection's peer."""
        reason = self.peers.refusal(capabilities, connection.origin)
        if reason:
            self._note_refusal(capabilities.origin_host, connection, reason)
            connection.peer.refuse(ResultCode.UNKNOWN_PEER, reason)
            return
        connection.identity = capabilities.origin_host
        dialler = self.diallers.get(capabilities.origin_host.lower())
        meeting = dialler.meet(connection, self._clock_ms()) if dialler is not None else Meeting.ACCEPTED
        if meeting is Meeting.HELD:
            connection.peer.hold()
        elif meeting is Meeting.REJECTED or not self._has_room(connection):
            self._counters.count("diameter", "connection", "doubled")
            connection.peer.reject("this peer has another connection")
        else:
            self.let_in(connection)

    def let_in(self, connection: DiameterConnection) -> None:
        self.peers.enter(connection.identity, connection)
        connection.peer.accept(self._clock_ms())

    def opened(self, connection: DiameterConnection, capabilities: Capabilities) -> bool:
        """A connection is open; False if it is one that we opened and somebody else has answered."""
        if isinstance(connection.peer, DialledPeer):
            reason = connection.dialler.contradiction(capabilities) if connection.dialler is not None else ""
            reason = reason or self.peers.refusal(capabilities, connection.origin)
            if reason:
                self._note_refusal(capabilities.origin_host, connection, reason)
                return False
            connection.identity = capabilities.origin_host
            self.peers.enter(connection.identity, connection)
        self._counters.count("diameter", "connection", "opened")
        return True

    def ended(self, connection: DiameterConnection, ending: Ending) -> None:
        self.peers.forget(connection.identity, connection)
        if connection.dialler is not None:
            connection.dialler.ended(connection, ending)
        elif (dialler := self.diallers.get(connection.identity.lower())) is not None:
            dialler.rival_ended(connection, self._clock_ms())

    def wake(self, identity: str) -> None:
        """There is something to send to this peer [B-33]."""
        if (dialler := self.diallers.get(identity.lower())) is not None:
            dialler.wake()

    def _has_room(self, connection: DiameterConnection) -> bool:
        """One connection per peer, or as many as declared [B-32].

        Whether the others still live is asked at once, so that a client that lost its connection unnoticed comes in
        with its next attempt.
        """
        others = self.peers.connected(connection.identity)
        if len(others) < self.peers.connections_max(connection.identity):
            return True
        dead = [other for other in others if other.is_replaceable()]
        for other in dead[:1]:
            self.peers.forget(other.identity, other)
            other.abort()
        return bool(dead)

    def _note_refusal(self, identity: str, connection: DiameterConnection, reason: str) -> None:
        self._counters.count("diameter", "connection", "refused")
        if self.peers.is_first_refusal(identity):
            log.warning("diameter_peer_refused", peer=identity, address=connection.origin.address, why=reason)
