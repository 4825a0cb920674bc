"""What comes beside credit control on Diameter connections: accounting (Rf) and Session-Termination, one by one."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import structlog

from ocs.charging.request import ChargingAnswer, ChargingRequest, ChargingStatus, RequestKind
from ocs.gateways.gy import PREFIX, RESULT_CODES
from ocs.gateways.rf import accounting_charge, accounting_result
from protocols.diameter import avp, codes
from protocols.diameter.message import Fault, Message, encode_answer, error_answer, salvage
from protocols.diameter.result_codes import ResultCode, is_protocol_error
from protocols.diameter.rf import AccountingRequest, accounting_answer, accounting_fault, read_accounting

if TYPE_CHECKING:
    from ocs.net.diameter_connection import DiameterConnection
    from ocs.net.diameter_server import DiameterServer

log = structlog.get_logger()


class OtherRequests:
    """One per server. ``interim_s``: how often a running session is to report [B-125]."""

    def __init__(self, server: DiameterServer, interim_s: int) -> None:
        self._server = server
        self._interim_s = interim_s

    def receive(self, connection: DiameterConnection, message: Message) -> None:
        """It is answered once, now or later."""
        if message.command == codes.SESSION_TERMINATION:
            self._terminate(connection, message)
        else:
            self._account(connection, message)

    def _terminate(self, connection: DiameterConnection, message: Message) -> None:
        """STR, which Gy has no use for: a known session ends as by supervision, else 5002 [B-107]."""
        server = self._server
        session_id, proxies = salvage(message)
        if not session_id:
            missing = avp.missing(codes.SESSION_ID)
            fault = Fault(missing.result_code, missing.failed_avp, missing.message)
            connection.answer(error_answer(message, fault, server.node.origin, error=True))
            return

        def reply(answer: ChargingAnswer) -> None:
            server.in_flight -= 1
            result = avp.avp_u32(codes.RESULT_CODE, RESULT_CODES[answer.status])
            is_error = is_protocol_error(RESULT_CODES[answer.status])
            connection.answer(encode_answer(message, session_id + result + server.node.origin + proxies, is_error))

        key = PREFIX + avp.octets(session_id, 0).decode("utf-8", "replace")
        request = ChargingRequest(
            RequestKind.EXPIRY, key, -1, (), "", server.clock(), (), cause="session-termination-request", is_forced=True
        )
        server.in_flight += 1
        server.charging.submit(request, reply)

    def _account(self, connection: DiameterConnection, message: Message) -> None:
        server = self._server
        try:
            acr = read_accounting(message, server.node) if server.room > 0 else Fault(ResultCode.TOO_BUSY)
            request = acr if isinstance(acr, Fault) else accounting_charge(acr, server.clock(), server.gateway)
        except Exception:
            log.exception("diameter_request_failed", peer=connection.identity, message=repr(message))
            request = Fault(ResultCode.UNABLE_TO_COMPLY)
        if isinstance(request, Fault):
            server.counters.count("diameter", "fault", request.result_code.name.lower())
            connection.answer(accounting_fault(message, request, server.node))
            return
        assert isinstance(acr, AccountingRequest), "a fault was answered"
        server.in_flight += 1
        reply = partial(self._reply, connection, acr)
        try:
            server.charging.submit(request, reply)
        except Exception:
            log.exception("diameter_request_failed", peer=connection.identity, session_key=request.session_key)
            reply(ChargingAnswer(ChargingStatus.INTERNAL_FAULT))

    def _reply(self, connection: DiameterConnection, acr: AccountingRequest, answer: ChargingAnswer) -> None:
        server = self._server
        server.in_flight -= 1
        result_code = accounting_result(answer)
        server.counters.count("diameter", "accounting", result_code.name.lower())
        connection.answer(accounting_answer(acr, result_code, server.node, self._interim_s))
