"""Accounting requests (Rf) on Diameter connections: read, charge, answer. Rare beside credit control, so one by one."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import structlog

from ocs.charging.request import ChargingAnswer, ChargingStatus
from ocs.gateways.rf import accounting_charge, accounting_result
from protocols.diameter.message import Fault, Message
from protocols.diameter.result_codes import ResultCode
from protocols.diameter.rf import AccountingRequest, accounting_answer, accounting_fault, read_accounting

if TYPE_CHECKING:
    from ocs.net.diameter_connection import DiameterConnection
    from ocs.net.diameter_server import DiameterServer

log = structlog.get_logger()


class Accounting:
    """One per server. ``interim_s``: how often a running session is to report [B-125]."""

    def __init__(self, server: DiameterServer, interim_s: int) -> None:
        self._server = server
        self._interim_s = interim_s

    def receive(self, connection: DiameterConnection, message: Message) -> None:
        """An ACR came; it is answered once, now or later."""
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
