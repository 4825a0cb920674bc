"""One accepted Diameter connection: octets to its Peer, requests to the gateway, answers back in one write a turn."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from time import perf_counter_ns
from typing import TYPE_CHECKING, Final, cast

import structlog

from ocs.charging.request import ChargingAnswer, ChargingRequest, ChargingStatus, RequestKind
from ocs.gateways.gy import charging_request, credit_control_answer
from ocs.net.diameter_dialler import ENDING_BY_CAUSE
from ocs.net.diameter_peers import Origin
from ocs.net.diameter_reception import SILENCE_TO_REPLACE_MS
from ocs.net.diameter_transport import plain_address, transport_kind
from protocols.diameter import avp, codes
from protocols.diameter.avp import AvpFault
from protocols.diameter.base import Capabilities, DisconnectCause
from protocols.diameter.dialled import DialledPeer
from protocols.diameter.gy import CreditControlRequest
from protocols.diameter.gy_layout import RequestReader
from protocols.diameter.message import Fault, Message
from protocols.diameter.peer import (
    Answered,
    Closed,
    Identified,
    Opened,
    OtherRequest,
    Peer,
    PeerEvent,
    RivalLoses,
    RivalWins,
    StateTold,
    Stopping,
    Suspected,
)
from protocols.diameter.peer_table import Ending
from protocols.diameter.result_codes import ResultCode

if TYPE_CHECKING:
    from ocs.net.diameter_dialler import Dialler
    from ocs.net.diameter_server import DiameterServer

log = structlog.get_logger()

WRITE_BUFFER_OCTETS_MAX: Final = 1 << 20
CLOSE_TIMEOUT_S: Final = 5.0  # for what is written but not taken
LOG_EVERY_MS: Final = 60_000
_ORIGIN_STATE_ID: Final = codes.ORIGIN_STATE_ID
# One peer's share of a turn of the loop; then the others, the store and the timers have theirs. The loop reads a full
# socket again and again before it looks anywhere else, so a peer that floods us would be all it sees for seconds.
REQUESTS_PER_TURN: Final = 128
READ_OCTETS_PER_TURN: Final = 65_536

# The counters' keys, made once: (protocol, type, result).
_COUNTED: Final = {
    int(kind): {int(status): ("diameter", kind.name.lower(), status.name.lower()) for status in ChargingStatus}
    for kind in RequestKind
}
_TIMED: Final = {int(kind): ("diameter", kind.name.lower()) for kind in RequestKind}


class _Pending:
    """One request between its arrival and its answer."""

    __slots__ = ("answer", "ccr", "connection", "started_ns")

    def __init__(self, connection: DiameterConnection, ccr: CreditControlRequest, started_ns: int) -> None:
        self.connection = connection
        self.ccr = ccr
        self.started_ns = started_ns
        self.answer: ChargingAnswer | None = None

    def reply(self, answer: ChargingAnswer) -> None:
        if self.answer is None:  # after a fault of ours has been answered nothing else may be
            self.answer = answer
            self.connection.reply(self)


class DiameterConnection(asyncio.Protocol):
    """The shell of one ``Peer``. It holds the transport, one timer, and nothing that a peer could make grow."""

    def __init__(self, server: DiameterServer, dialler: Dialler | None = None, was_silent: bool = False) -> None:
        self._server = server
        self.dialler = dialler  # of a connection that we open
        self.name = server.connection_name()
        self.origin = Origin("")
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._is_admitted = False
        self._is_pumping = False  # answers that come now are written at its end
        self._answered: list[_Pending] = []  # of this turn, to be written together
        self._is_flush_due = False
        self._is_yielding = False  # the rest of what has come waits for the next turn
        self._is_blocked = False  # the peer does not take its answers
        self._started_ns = 0
        self._in_flight_max = 0  # the peer's own
        self.requests_taken = 0
        self._last_host, self._last_state = "", b""  # Origin-Host and Origin-State-Id of the last request
        self._ending = Ending.FAILED
        self._requests = RequestReader(server.node)
        self._logged_ms: dict[ResultCode, int] = {}
        self.identity = ""
        config = server.peer_config("0.0.0.0")  # noqa: S104 - until there is a transport
        self.peer = Peer(config, self._now_ms()) if dialler is None else DialledPeer(config, self._now_ms(), was_silent)

    # -- the transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._is_admitted = self._server.admit(self)
        if not self._is_admitted:
            self._transport.abort()
            return
        names = [self._transport.get_extra_info(which) for which in ("peername", "sockname")]
        if None in names:  # gone before we could look
            self._transport.abort()
            return
        remote, own = (plain_address(name[0]) for name in names)
        self.origin = Origin(remote, *transport_kind(self._transport))
        self._transport.set_write_buffer_limits(high=WRITE_BUFFER_OCTETS_MAX)
        if isinstance(self.peer, DialledPeer):
            if self.peer.is_over:  # the peer's own connection was taken meanwhile
                self._transport.abort()
                return
            self.peer.connected(own, self._now_ms())
            self._pump()
        else:
            self.peer = Peer(self._server.peer_config(own, self.origin.transport == "tls"), self._now_ms())
        self._arm()

    def data_received(self, data: bytes) -> None:
        self._started_ns = perf_counter_ns()
        self.peer.receive_data(data, self._now_ms())
        self._pump()
        if len(data) >= READ_OCTETS_PER_TURN:
            self._yield_turn()

    def pause_writing(self) -> None:
        """The peer does not take its answers: take no more of its requests."""
        self._is_blocked = True
        self._read_or_not()

    def resume_writing(self) -> None:
        self._is_blocked = False
        self._yield_turn()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the reason is of no use
        self.peer.connection_lost(self._now_ms())
        if self._timer is not None:
            self._timer.cancel()
        if self._is_admitted:
            self._pump()
            self._server.forget(self)
        self._transport = None
        self._say_end()

    # -- what the server asks

    def stop(self) -> None:
        """Send DPR; the transport closes when the peer has agreed and all answers are out."""
        self.peer.stop(DisconnectCause.REBOOTING, self._now_ms())
        self._pump()
        self._arm()

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def refused(self) -> None:
        """The transport that we wanted to open did not come about."""
        assert isinstance(self.peer, DialledPeer), "we opened it"
        self.peer.refused(self._now_ms())
        self._pump()

    def pump(self) -> None:
        """The peer's state was changed from outside: see what follows from it."""
        self._pump()
        self._arm()

    def is_replaceable(self) -> bool:
        """Whether this connection is found dead; if nobody has asked yet, ask."""
        now_ms = self._now_ms()
        if self.peer.is_over or self.peer.silent_ms(now_ms) >= SILENCE_TO_REPLACE_MS:
            return True
        self.peer.probe(now_ms)
        self._flush()
        self._arm()
        return False

    def answer(self, data: bytes) -> None:
        """The answer to a request that is no credit control; it leaves with all others of this loop turn."""
        self.peer.send_answer(data)
        if not self._is_pumping and not self._is_flush_due:
            self._is_flush_due = True
            self._loop.call_soon(self._flush_turn)

    # -- requests of ours

    @property
    def realm(self) -> str:
        return self.peer.capabilities.origin_realm if self.peer.capabilities is not None else ""

    @property
    def is_sound(self) -> bool:
        return self._transport is not None and not self._transport.is_closing() and self.peer.is_sound

    @property
    def is_agent(self) -> bool:
        return self._serves(codes.APPLICATION_RELAY)

    @property
    def serves_credit_control(self) -> bool:
        return self._serves(codes.APPLICATION_CREDIT_CONTROL)

    def _serves(self, application_id: int) -> bool:
        return self.peer.capabilities is not None and application_id in self.peer.capabilities.application_ids

    def next_identifier(self) -> int:
        return self.peer.next_identifier()

    def send_request(self, data: bytes) -> None:
        self.peer.send_request(data)
        self._flush()

    # -- requests

    def _pump(self) -> None:
        """Work off all that has come, then write once."""
        self._is_pumping = True
        try:
            self._take_events()
            if self._answered:  # by a store that answers at once
                self._send_answers()
                self._take_events()  # the last answer may have let the peer go
        finally:
            self._is_pumping = False
        self._flush()

    def _take_events(self) -> None:
        next_event = self.peer.next_event
        requests: list[Message] = []
        while not self._is_yielding and (event := next_event()) is not None:
            if type(event) is Message:
                requests.append(event)
                if len(requests) == REQUESTS_PER_TURN:
                    self._yield_turn()
            else:
                self._receive_requests(requests)
                requests = []
                self._receive_event(event)
        self._receive_requests(requests)

    def _yield_turn(self) -> None:
        """Let everybody else have a turn before more of this peer's octets are looked at."""
        if not self._is_yielding:
            self._is_yielding = True
            self._read_or_not()
            self._loop.call_soon(self._take_turn)

    def _take_turn(self) -> None:
        self._is_yielding = False
        if not self._is_blocked:
            self._pump()
        self._read_or_not()

    def _read_or_not(self) -> None:
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        if self._is_yielding or self._is_blocked:
            transport.pause_reading()
        else:
            transport.resume_reading()

    def _receive_requests(self, messages: list[Message]) -> None:
        """Read all of them, then translate all, then submit all: see docs/adr/0015-steps.md."""
        submit = self._server.charging.submit
        for ccr, request in self._translate(self._read(messages)):
            pending = _Pending(self, ccr, self._started_ns)
            self._server.in_flight += 1
            try:
                submit(request, pending.reply)
            except Exception:
                log.exception("diameter_request_failed", peer=self.identity, session_key=request.session_key)
                pending.reply(ChargingAnswer(ChargingStatus.INTERNAL_FAULT))

    def _read(self, messages: list[Message]) -> list[CreditControlRequest]:
        """A defect of ours costs one request, nothing else."""
        room = self._server.room
        self.requests_taken += len(messages)
        if self._in_flight_max:
            room = min(room, self._in_flight_max - self.peer.unanswered + len(messages))
        requests: list[CreditControlRequest] = []
        for message in messages:
            try:
                found = self._requests.read(message) if len(requests) < room else Fault(ResultCode.TOO_BUSY)
            except Exception:
                log.exception("diameter_request_failed", peer=self.identity, message=repr(message))
                found = Fault(ResultCode.UNABLE_TO_COMPLY)
            if isinstance(found, CreditControlRequest):
                requests.append(found)
            else:
                self._answer_fault(message, found)
        return requests

    def _translate(self, requests: list[CreditControlRequest]) -> list[tuple[CreditControlRequest, ChargingRequest]]:
        now_ms = self._server.clock()
        gateway = self._server.gateway
        translated: list[tuple[CreditControlRequest, ChargingRequest]] = []
        for ccr in requests:
            if ccr.origin_host != self._last_host:
                self._learn_route(ccr)
            at = ccr.positions.get(_ORIGIN_STATE_ID, 0)
            if at and ccr.message.frame[at : at + 12] != self._last_state:  # mostly it is as in the request before
                self._note_state(ccr, at)
            try:
                found = charging_request(ccr, now_ms, gateway)
            except Exception:
                log.exception("diameter_request_failed", peer=self.identity, message=repr(ccr.message))
                found = Fault(ResultCode.UNABLE_TO_COMPLY)
            if isinstance(found, ChargingRequest):
                translated.append((ccr, found))
            else:
                self._answer_fault(ccr.message, found)
        return translated

    def _note_state(self, ccr: CreditControlRequest, position: int) -> None:
        """Of a client behind an agent only its requests say that it was started anew [B-103]."""
        with suppress(AvpFault):
            state_id = avp.u32(ccr.message.frame, position)
            self._last_state = ccr.message.frame[position : position + 12]
            self._server.restarts.seen(ccr.origin_host, state_id)

    def _learn_route(self, ccr: CreditControlRequest) -> None:
        """Another client than the one before: requests of ours find it by this connection."""
        self._last_host, self._last_state = ccr.origin_host, b""
        realm = avp.text(ccr.message.frame, ccr.positions[codes.ORIGIN_REALM])
        self._server.requests.learn_route(ccr.origin_host, realm, self.identity)

    def reply(self, pending: _Pending) -> None:
        """An answer may leave: it does so with all others of this loop turn."""
        self._answered.append(pending)
        if not self._is_pumping and not self._is_flush_due:
            self._is_flush_due = True
            self._loop.call_soon(self._flush_turn)

    def _send_answers(self) -> None:
        """Write the answers of this turn."""
        answered, self._answered = self._answered, []
        server, gateway = self._server, self._server.gateway
        server.in_flight -= len(answered)
        send = self.peer.send_answer
        tally: dict[tuple[int, int, int], int] = {}  # the requests of one read came together
        for pending in answered:
            ccr, answer = pending.ccr, pending.answer
            assert answer is not None, "it is answered"
            try:
                data = credit_control_answer(ccr, answer, gateway)
            except Exception:
                log.exception("diameter_answer_failed", peer=self.identity, session_id=ccr.session_id)
                data = gateway.encoder.answer(ccr, ResultCode.UNABLE_TO_COMPLY)
            send(data)
            alike = ccr.request_type, answer.status, pending.started_ns
            tally[alike] = tally.get(alike, 0) + 1
        for (kind, status, started_ns), number in tally.items():
            server.counters.requests[_COUNTED[kind][status]] += number
            server.counters.latency[_TIMED[kind]].observe((perf_counter_ns() - started_ns) // 1000, number)

    def _answer_fault(self, message: Message, fault: Fault) -> None:
        self._server.counters.count("diameter", "fault", fault.result_code.name.lower())
        self.peer.send_answer(self._server.gateway.encoder.fault(message, fault))
        now_ms = self._now_ms()
        if now_ms - self._logged_ms.get(fault.result_code, now_ms - LOG_EVERY_MS) >= LOG_EVERY_MS:
            self._logged_ms[fault.result_code] = now_ms
            log.warning(
                "diameter_request_refused",
                peer=self.identity,
                result_code=int(fault.result_code),
                why=fault.message or fault.result_code.name,
            )

    def _flush_turn(self) -> None:
        self._is_flush_due = False
        self._send_answers()
        self._pump()  # the last answer may have let the peer go

    def _flush(self) -> None:
        data = self.peer.data_to_send()
        if data and self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    # -- the peer's fate

    def _receive_event(self, event: PeerEvent) -> None:
        match event:
            case OtherRequest(message):
                self._server.others.receive(self, message)
            case Answered(message):
                self._server.requests.answered(self, message)
            case Identified(capabilities):
                self._server.reception.identify(self, capabilities)
            case Opened(capabilities):
                self._open(capabilities)
            case StateTold(origin_state_id):
                self._server.restarts.seen(self.identity, origin_state_id)
            case RivalWins() if self.dialler is not None:
                self.dialler.rival_wins()
            case RivalLoses() if self.dialler is not None:
                self.dialler.rival_loses()
            case Suspected():
                log.warning("diameter_peer_suspected", peer=self.identity)
                self._server.requests.fail_over(self)
            case Stopping(cause):
                log.info("diameter_peer_leaving", peer=self.identity, disconnect_cause=cause)
                self._ending = ENDING_BY_CAUSE[cause] if cause < len(ENDING_BY_CAUSE) else Ending.FAILED
            case Closed():
                self._end(event)
        self._arm()

    def _open(self, capabilities: Capabilities) -> None:
        if not self._server.reception.opened(self, capabilities):
            self.peer.stop(DisconnectCause.DO_NOT_WANT_TO_TALK_TO_YOU, self._now_ms())
            return
        self._server.restarts.seen(self.identity, capabilities.origin_state_id)
        declared = self._server.peers.declared(self.identity)
        self._in_flight_max = declared.in_flight_max if declared is not None else 0
        log.info(
            "diameter_peer_opened",
            peer=capabilities.origin_host,
            realm=capabilities.origin_realm,
            product=capabilities.product_name,
            address=self.origin.address,
            transport=self.origin.transport,
        )

    def _say_end(self) -> None:
        self._server.requests.fail_over(self)
        self._server.reception.ended(self, self._ending)

    def _end(self, event: Closed) -> None:
        if event.is_silent:
            self._ending = Ending.SILENT
        if event.is_breach:
            self._server.counters.count("diameter", "connection", "breach")
        if self.identity:
            note = log.warning if event.is_breach else log.info
            note("diameter_peer_closed", peer=self.identity, address=self.origin.address, why=event.reason)
        else:  # whoever finds the port can open connections without end
            self._server.strangers.warn("diameter_stranger_closed", self.origin.address, event.reason, self._now_ms())
        transport = self._transport
        if transport is None:
            self._say_end()
            return
        if transport.is_closing():
            return
        if event.abort:
            transport.abort()
            return
        self._flush()
        transport.close()
        # Not for ever: a peer that reads nothing any more would hold the transport open.
        self._timer_at(CLOSE_TIMEOUT_S, transport.abort)

    # -- time

    def _now_ms(self) -> int:
        return int(self._loop.time() * 1000)

    def _arm(self) -> None:
        """Set the one timer to the peer's deadline."""
        deadline_ms = self.peer.get_timer()
        if deadline_ms is not None and self._transport is not None:
            self._timer_at(max(0, deadline_ms - self._now_ms()) / 1000, self._handle_timer)

    def _timer_at(self, delay_s: float, callback: Callable[[], None]) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(delay_s, callback)

    def _handle_timer(self) -> None:
        self.peer.handle_timer(self._now_ms())
        self._pump()
        self._arm()
