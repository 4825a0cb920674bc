"""A connection that we open to a peer, and the election if the peer opens one to us meanwhile (RFC 6733, 5.6).

The shell makes the transport, says ``connected``, and tells of the peer's own connection with ``meet``. That one is
accepted, held or rejected as the answer says; what was held is accepted on ``RivalWins``, closed on ``RivalLoses``.
"""

from __future__ import annotations

from enum import Enum, auto

from protocols.diameter import base
from protocols.diameter.message import Fault, Message
from protocols.diameter.peer import Peer, PeerConfig, RivalLoses, RivalWins
from protocols.diameter.peer_table import TRANSITIONS, Action, Event, State


class Meeting(Enum):
    """What becomes of the connection on which a peer said CER while we were opening one to it."""

    ACCEPTED = auto()  # ours is over
    HELD = auto()  # until RivalWins or RivalLoses
    REJECTED = auto()


class DialledPeer(Peer):
    """It begins before its transport: in Wait-Conn-Ack."""

    _lost_event = Event.I_PEER_DISC

    def __init__(self, config: PeerConfig, now_ms: int, was_lost: bool = False) -> None:
        super().__init__(config, now_ms, was_lost)
        self._rival = ""  # the identity that said CER on a connection of its own
        self._fire(Event.START)

    def connected(self, host_ip: str, now_ms: int) -> None:
        """The transport is up; ``host_ip`` is our end of it."""
        self._now_ms = now_ms
        self.config = self.config._replace(host_ip=host_ip)
        self._fire(Event.I_RCV_CONN_ACK)

    def refused(self, now_ms: int) -> None:
        """No transport came about."""
        self._now_ms = now_ms
        if not self.is_over:
            self._fire(Event.I_RCV_CONN_NACK, reason="no connection came about")

    def meet(self, identity: str, now_ms: int) -> Meeting:
        """The peer has opened a connection to us and said CER on it."""
        self._now_ms = now_ms
        if self.is_over:
            return Meeting.ACCEPTED
        before = self.state
        if (before, Event.R_CONN_CER) not in TRANSITIONS:
            return Meeting.REJECTED
        self._rival = identity
        self._fire(Event.R_CONN_CER)
        if self.state is State.CLOSED:  # we have won: that is said at once, not as an event
            assert isinstance(self._events[-2], RivalWins), "who wins is said before the end"
            del self._events[-2]
            return Meeting.ACCEPTED
        return Meeting.HELD if self.state is not before else Meeting.REJECTED

    def rival_lost(self, now_ms: int) -> None:
        """The peer's own connection, which was held, is gone."""
        self._now_ms = now_ms
        if self.state in {State.WAIT_CONN_ACK_ELECT, State.WAIT_RETURNS}:
            self._fire(Event.R_PEER_DISC)

    def _act(self, action: Action, message: Message | None) -> None:
        if action is Action.SEND_CER:
            self._send_cer()
        elif action is Action.SEND_CER_AND_ELECT:
            self._send_cer()
            self._elect()
        elif action is Action.ELECT:
            self._elect()
        elif action is Action.PROCESS_CEA and message is not None:
            self._process_cea(message)
        elif action is Action.DROP_RESPONDER and message is not None:
            self._process_cea(message)
            if self.is_over:  # refused: the rival is let in, before our end is said
                self._events.insert(-1, RivalWins())
            else:
                self._events.append(RivalLoses())
        elif action in {Action.DROP_INITIATED, Action.ACCEPT_HELD}:
            self._events.append(RivalWins())
            self._close("the peer's own connection is taken")
        else:  # what is held or rejected is the shell's, and a rival that is gone needs nothing
            assert action in {Action.CONNECT, Action.HOLD_CER, Action.REJECT, Action.DROP_RESPONDER}, action

    def _elect(self) -> None:
        """The greater identity wins, and its responder connection stays; compared as octets without case."""
        if self.config.node.identity.lower().encode() > self._rival.lower().encode():
            self._fire(Event.WIN_ELECTION)

    def _send_cer(self) -> None:
        identifier = self.next_identifier()
        self._output.append(
            base.capabilities_request(self.config.node, self.config.host_ip, identifier, identifier),
        )

    def _process_cea(self, message: Message) -> None:
        result_code = base.read_result_code(message)
        capabilities = base.read_capabilities(message)
        if result_code // 1000 != 2 or isinstance(capabilities, Fault):
            self._close(f"the peer refused our capabilities with {result_code}")
            return
        self.capabilities = capabilities
        self._open(capabilities)
