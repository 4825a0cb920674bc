"""One connection to one peer, without any IO: octets in, events out, octets out (RFC 6733, section 5).

    peer.receive_data(data, now_ms)
    while (event := peer.next_event()) is not None: ...
    transport.write(peer.data_to_send())
    loop.call_later(peer.get_timer() - now_ms, peer.handle_timer)

Requests of an application come out as ``Message``; everything of the base protocol is answered in here. After
``Closed`` the connection is over for good. Only our own misuse raises; what the peer does wrong becomes an answer, or
``Closed`` with the reason.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple, TypeAlias

from protocols.buffer import FrameBuffer
from protocols.diameter import base, codes
from protocols.diameter.base import Capabilities, DisconnectCause
from protocols.diameter.message import (
    HEADER_OCTETS,
    VERSION,
    Fault,
    Message,
    MessageTooLargeError,
    error_answer,
    length_checker,
)
from protocols.diameter.node import LocalNode
from protocols.diameter.peer_table import TRANSITIONS, Action, Event, Sign, State, Watch, Watching
from protocols.diameter.result_codes import ResultCode
from protocols.diameter.watchdog import Watchdog
from protocols.errors import LocalProtocolError, RemoteProtocolError

SERVED: Final[Mapping[int, frozenset[int]]] = {
    codes.APPLICATION_CREDIT_CONTROL: frozenset({codes.CREDIT_CONTROL, codes.SESSION_TERMINATION}),
    codes.APPLICATION_ACCOUNTING: frozenset({codes.ACCOUNTING}),
}
UNANSWERED_MAX: Final = 1024
_R_OPEN: Final = State.R_OPEN  # the hot path asks for it; looking up an enumeration's member is not free
_REQUEST_AND_ERROR: Final = codes.REQUEST | codes.ERROR
_OPEN: Final = frozenset({State.R_OPEN, State.I_OPEN})
_TALKING: Final = frozenset({State.R_OPEN, State.I_OPEN, State.CLOSING})
_WAITING_FOR_CEA: Final = frozenset({State.WAIT_I_CEA, State.WAIT_RETURNS})


class PeerConfig(NamedTuple):
    """``first_identifier`` is where hop-by-hop and end-to-end ids begin; the shell draws it by chance [B-7, B-8]."""

    node: LocalNode
    host_ip: str
    octets_max: int = 65_536
    capabilities_timeout_ms: int = 10_000
    closing_timeout_ms: int = 5_000
    watchdog_ms: int = 30_000
    jitter_ms: Callable[[], int] = lambda: 0
    first_identifier: int = 1
    is_secure: bool = False  # TLS from the first octet
    served: Mapping[int, frozenset[int]] = SERVED


class Identified(NamedTuple):
    """A sound CER came: the shell now has to ``accept`` or ``refuse`` before it asks for the next event."""

    capabilities: Capabilities


class Opened(NamedTuple):
    capabilities: Capabilities


class Suspected(NamedTuple):
    """The peer has not answered a DWR in time (RFC 3539: failover)."""


class OtherRequest(NamedTuple):
    """A request that is no credit control (a ``Message`` is): accounting (Rf), or Session-Termination."""

    message: Message


class Answered(NamedTuple):
    """The answer to a request of ours."""

    message: Message


class Stopping(NamedTuple):
    """The peer sent DPR; it gets its DPA when the requests it made before are answered."""

    cause: int


class Closed(NamedTuple):
    """Close the transport when all is written; ``abort``: at once, the stream is lost [B-11].

    ``is_silent``: the watchdog gave it up.
    """

    reason: str
    abort: bool = False
    is_breach: bool = False
    is_silent: bool = False


class StateTold(NamedTuple):
    """The peer named its Origin-State-Id in a watchdog message [B-103]."""

    origin_state_id: int


class RivalWins(NamedTuple):
    """Accept the connection that the peer opened and that was held: ours is over (RFC 6733, section 5.6.4)."""


class RivalLoses(NamedTuple):
    """Close the connection that the peer opened and that was held: ours is open."""


PeerEvent: TypeAlias = (
    Message
    | OtherRequest
    | Answered
    | Identified
    | Opened
    | Suspected
    | StateTold
    | RivalWins
    | RivalLoses
    | Stopping
    | Closed
)


class Peer:
    """A connection that the peer opened; ``dialled.DialledPeer`` is one that we opened.

    ``unanswered`` counts the application requests that went out as events. ``was_lost``: the watchdog gave the
    connection before it up, so this one has to prove itself (RFC 3539, section 3.4.1, REOPEN).
    """

    _lost_event = Event.R_PEER_DISC  # what the end of the transport is in the table

    def __init__(self, config: PeerConfig, now_ms: int, was_lost: bool = False) -> None:
        self.config = config
        self.state = State.CLOSED
        self.capabilities: Capabilities | None = None
        self.unanswered = 0
        self.is_over = False
        self.watchdog = Watchdog(config.watchdog_ms, config.jitter_ms, was_lost)
        self._buffer = FrameBuffer(HEADER_OCTETS, length_checker(config.octets_max))
        self._events: deque[PeerEvent] = deque()
        self._output: list[bytes] = []
        self._now_ms = now_ms
        self._deadline_ms = now_ms + config.capabilities_timeout_ms
        self._identifier = config.first_identifier & 0xFFFF_FFFF
        self._dwr_sent_ms = now_ms
        self._sent: dict[int, None] = {}  # hop-by-hop ids of our requests that are not answered, oldest first
        self._offered: Message | None = None  # a CER that waits for accept or refuse
        self._is_held = False  # the CER waits for the election
        self._held_dpr: Message | None = None  # a DPR whose DPA waits for our last answer
        self._is_dpa_received = False

    # -- in: octets, time, the transport's fate

    def receive_data(self, data: bytes, now_ms: int) -> None:
        self._now_ms = now_ms
        if not self.is_over:
            self._buffer.feed(data)

    def connection_lost(self, now_ms: int) -> None:
        self._now_ms = now_ms
        if not self.is_over:
            self._fire(self._lost_event, reason="the connection was lost")
        self.watchdog.see(Sign.CONNECTION_DOWN, now_ms)

    def get_timer(self) -> int | None:
        """When ``handle_timer`` wants to be called (a later call is no harm)."""
        if self.is_over:
            return None
        return self.watchdog.deadline_ms() if self.state in _OPEN else self._deadline_ms

    def handle_timer(self, now_ms: int) -> None:
        self._now_ms = now_ms
        deadline_ms = self.get_timer()
        if deadline_ms is None or now_ms < deadline_ms:
            return
        if self.state not in _OPEN:
            self._fire(Event.TIMEOUT, reason=f"time ran out in {self.state.name}")
            return
        action = self.watchdog.expired(now_ms)
        if action is Watching.SEND_DWR:
            self._send_dwr()
        elif action is Watching.FAIL_OVER:
            self._events.append(Suspected())
        elif action is Watching.CLOSE:
            self._fire(Event.TIMEOUT, reason="the watchdog was not answered")

    # -- out: events and octets

    def next_event(self) -> PeerEvent | None:
        if self._offered is not None and not self._events:
            if self._is_held:
                return None
            raise LocalProtocolError("accept or refuse the peer first")
        while True:
            if self._events:
                return self._events.popleft()
            if self.is_over:
                return None
            try:
                frame = self._buffer.next_frame()
            except RemoteProtocolError as error:
                self._lose_framing(error)
                continue
            if frame is None:
                return None
            message = Message(frame)
            if self._is_application_request(message):
                self.unanswered += 1
                return message if message.command == codes.CREDIT_CONTROL else OtherRequest(message)

    def data_to_send(self) -> bytes:
        output = self._output
        data = output[0] if len(output) == 1 else b"".join(output)
        output.clear()
        return data

    def send_answer(self, data: bytes) -> None:
        """Answer one application request. Once the connection is over the answer goes nowhere [B-77]."""
        self.unanswered -= 1
        assert self.unanswered >= 0, "one answer per request"
        if self.is_over:
            return
        self._output.append(data)
        if self.unanswered == 0 and self.state is not _R_OPEN and self.state is State.CLOSING:
            self._finish_closing()

    def send_request(self, data: bytes) -> None:
        """Send a request of ours; its answer comes as ``Answered``."""
        if self.state not in _OPEN:
            raise LocalProtocolError(f"no request may leave in {self.state.name}")
        if len(self._sent) >= UNANSWERED_MAX:  # a peer that never answers must not fill the memory
            del self._sent[next(iter(self._sent))]
        self._sent[Message(data).hop_by_hop] = None
        self._output.append(data)

    @property
    def is_sound(self) -> bool:
        """Whether requests of ours may be sent: open, and not suspected (RFC 3539, section 3.4.1; [B-60])."""
        return self.state in _OPEN and self.watchdog.state is Watch.OKAY

    def next_identifier(self) -> int:
        self._identifier = (self._identifier + 1) & 0xFFFF_FFFF
        return self._identifier

    # -- what the shell decides

    def accept(self, now_ms: int) -> None:
        """Let the identified peer in: CEA 2001."""
        self._now_ms = now_ms
        self._fire(Event.R_CONN_CER)

    def refuse(self, result_code: ResultCode, message: str = "") -> None:
        """Answer the CER with an error and close [B-43]."""
        request = self._take_offer()
        self._refuse(request, Fault(result_code, message=message))

    def reject(self, reason: str) -> None:
        """Close without an answer (RFC 6733, section 5.6: R-Reject)."""
        self._take_offer()
        self._close(reason)

    def hold(self) -> None:
        """The election decides later; ``accept`` or ``reject`` then."""
        self._is_held = True

    def stop(self, cause: DisconnectCause, now_ms: int) -> None:
        """Take leave: DPR, then answers in flight and DPA for a bounded time [B-51]."""
        self._now_ms = now_ms
        if self.state in _TALKING:
            self._fire(Event.STOP, cause=cause)
        else:
            self._close("stopped before the peer was known")

    def probe(self, now_ms: int) -> None:
        """Ask for a sign of life out of turn: another connection claims to be this peer."""
        self._now_ms = now_ms
        if self.state in _OPEN and not self.watchdog.is_pending:
            self.watchdog.see(Sign.TIMER_IDLE, now_ms)
            self._send_dwr()

    def silent_ms(self, now_ms: int) -> int:
        """For how long a DWR has been waiting for its answer; 0 when none is."""
        return now_ms - self._dwr_sent_ms if self.watchdog.is_pending else 0

    # -- a message came

    def _is_application_request(self, message: Message) -> bool:
        """Sort a message out; True when it is a request of a served application on an open connection.

        The order of the checks is RFC 6733's: version, flags, state, application, command.
        """
        if message.frame[0] != VERSION:
            self._answer_fault(message, Fault(ResultCode.UNSUPPORTED_VERSION))
            return False
        if message.flags & _REQUEST_AND_ERROR == _REQUEST_AND_ERROR:  # [B-3]
            self._answer_fault(message, Fault(ResultCode.INVALID_HDR_BITS))
            return False
        if self.state is not _R_OPEN and self.state not in _TALKING:
            self._receive_before_open(message)
            return False
        if message.application_id == codes.APPLICATION_COMMON and message.command in _COMMON:
            self._receive_common(message)
            return False
        self.watchdog.heard(self._now_ms)
        if not message.flags & codes.REQUEST:
            if self._sent.pop(message.hop_by_hop, self) is None:
                self._events.append(Answered(message))
            return False  # an answer to nothing that we asked is thrown away in silence [B-6]
        commands = self.config.served.get(message.application_id)
        if commands is None or message.command not in commands:
            self._answer_fault(message, Fault(_unsupported(message, commands)))
            return False
        return True

    def _receive_before_open(self, message: Message) -> None:
        is_capabilities = message.command == codes.CAPABILITIES_EXCHANGE
        if self.state is State.CLOSED and is_capabilities and message.is_request:
            self._offer(message)
        elif self.state in _WAITING_FOR_CEA:
            is_cea = is_capabilities and not message.is_request
            self._fire(Event.I_RCV_CEA if is_cea else Event.I_RCV_NON_CEA, message, reason="no CEA came")
        else:  # [B-40]
            self._close(f"command {message.command} before the capabilities exchange", is_breach=True)

    def _offer(self, request: Message) -> None:
        capabilities = base.read_capabilities(request)
        if isinstance(capabilities, Fault):
            self._refuse(request, capabilities)
            return
        self.capabilities = capabilities
        if capabilities.offers_only_tls and not self.config.is_secure:
            self._refuse(request, Fault(ResultCode.NO_COMMON_SECURITY))
        elif not capabilities.application_ids & {*self.config.served, codes.APPLICATION_RELAY}:
            self._refuse(request, Fault(ResultCode.NO_COMMON_APPLICATION))
        else:
            self._offered = request
            self._events.append(Identified(capabilities))

    def _receive_common(self, message: Message) -> None:
        is_request = message.is_request
        if message.command == codes.DEVICE_WATCHDOG:
            if is_request:
                self.watchdog.heard(self._now_ms)
            self._fire(Event.RCV_DWR if is_request else Event.RCV_DWA, message)
            state_id = base.read_origin_state_id(message)
            if state_id:
                self._events.append(StateTold(state_id))
        elif message.command == codes.DISCONNECT_PEER:
            self.watchdog.heard(self._now_ms)
            self._fire(Event.RCV_DPR if is_request else Event.RCV_DPA, message)
        else:  # a second capabilities exchange [B-48]
            self._close("a capabilities exchange on an open connection", is_breach=True)

    # -- the table, and its actions

    def _fire(
        self,
        event: Event,
        message: Message | None = None,
        cause: DisconnectCause | None = None,
        reason: str = "",
    ) -> None:
        row = TRANSITIONS.get((self.state, event))
        if row is None:
            self._close(f"{event.name} in {self.state.name}", is_breach=True)
            return
        action, self.state = row
        if action is Action.ACCEPT:
            self._accept()
        elif action is Action.SEND_DWA and message is not None:
            self._output.append(base.success_answer(message, self.config.node))
        elif action is Action.PROCESS_DWA:
            self.watchdog.answered(self._now_ms)
        elif action is Action.SEND_DPR and cause is not None:
            self._send_dpr(cause)
        elif action is Action.SEND_DPA and message is not None:
            self._receive_dpr(message)
        elif action is Action.DISCONNECT:
            self._is_dpa_received = True
            self._finish_closing()
        elif action is Action.CLEAN_UP:
            self._close(reason)
        elif action is not Action.IGNORE:
            self._act(action, message)

    def _act(self, action: Action, message: Message | None) -> None:
        """Carry out what only a connection of ours needs."""
        raise AssertionError(f"{action.name} for {message} needs a connection that we opened")

    def _accept(self) -> None:
        request = self._take_offer()
        assert self.capabilities is not None, "an offer has capabilities"
        self._output.append(base.capabilities_answer(request, self.config.node, self.config.host_ip))
        self._open(self.capabilities)

    def _open(self, capabilities: Capabilities) -> None:
        if self.watchdog.see(Sign.CONNECTION_UP, self._now_ms) is Watching.START_REOPEN:
            self._send_dwr()
        self._events.append(Opened(capabilities))

    def _send_dwr(self) -> None:
        self._dwr_sent_ms = self._now_ms
        identifier = self.next_identifier()
        self._output.append(base.watchdog_request(self.config.node, identifier, identifier))

    def _send_dpr(self, cause: DisconnectCause) -> None:
        identifier = self.next_identifier()
        self._output.append(base.disconnect_request(self.config.node, cause, identifier, identifier))
        self._deadline_ms = self._now_ms + self.config.closing_timeout_ms

    def _receive_dpr(self, message: Message) -> None:
        self._held_dpr = message
        self._deadline_ms = self._now_ms + self.config.closing_timeout_ms
        self._events.append(Stopping(base.read_disconnect_cause(message)))
        self._finish_closing()

    def _finish_closing(self) -> None:
        """Answers in flight go first: who receives a DPA closes the transport [B-50, B-52]."""
        if self.unanswered > 0:
            return
        if self._held_dpr is not None:
            self._output.append(base.success_answer(self._held_dpr, self.config.node))
            self._held_dpr = None
        if self._is_dpa_received:
            self._close("the peer agreed to disconnect")

    # -- the end

    def _take_offer(self) -> Message:
        if self._offered is None:
            raise LocalProtocolError("no peer waits to be let in")
        request, self._offered = self._offered, None
        return request

    def _refuse(self, request: Message, fault: Fault) -> None:
        self._output.append(base.capabilities_answer(request, self.config.node, self.config.host_ip, fault))
        self._close(f"refused with {fault.result_code} {fault.result_code.name}")

    def _answer_fault(self, message: Message, fault: Fault) -> None:
        """Answer a request with a protocol error; a broken answer is thrown away: no error for an error."""
        if not message.is_request:
            return
        self._output.append(error_answer(message, fault, self.config.node.origin))
        if self.state not in _TALKING:
            self._close(f"{fault.result_code.name} before the capabilities exchange", is_breach=True)

    def _lose_framing(self, error: RemoteProtocolError) -> None:
        if isinstance(error, MessageTooLargeError):
            self._close(str(error), abort=True, is_breach=True)
            return
        header = Message(self._buffer.peek(HEADER_OCTETS))
        if header.is_request and header.version == VERSION:
            self._output.append(error_answer(header, Fault(ResultCode.INVALID_MESSAGE_LENGTH), self.config.node.origin))
        self._close(str(error), is_breach=True)

    def _close(self, reason: str, abort: bool = False, is_breach: bool = False) -> None:
        if self.is_over:
            return
        self.state = State.CLOSED
        self.is_over = True
        self._events.append(Closed(reason, abort, is_breach, self.watchdog.state is Watch.DOWN))


_COMMON: Final = frozenset({codes.CAPABILITIES_EXCHANGE, codes.DEVICE_WATCHDOG, codes.DISCONNECT_PEER})


def _unsupported(message: Message, commands: frozenset[int] | None) -> ResultCode:
    """3007 for an unknown application, 3001 for an unknown command of one that we know."""
    is_common = message.application_id == codes.APPLICATION_COMMON
    return ResultCode.APPLICATION_UNSUPPORTED if commands is None and not is_common else ResultCode.COMMAND_UNSUPPORTED
