"""A Diameter server that says what a test tells it to, decoded and encoded by an independent library."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable
from typing import Any, Self

from diameter.message import Avp, Message, constants

Decide = Callable[[Any], "list[Avp] | None"]


def granted(seconds: int, *more: Avp) -> Avp:
    """An MSCC with a grant."""
    unit = Avp.new(constants.AVP_GRANTED_SERVICE_UNIT, value=[Avp.new(constants.AVP_CC_TIME, value=seconds)])
    return Avp.new(
        constants.AVP_MULTIPLE_SERVICES_CREDIT_CONTROL,
        value=[unit, Avp.new(constants.AVP_RESULT_CODE, value=2001), *more],
    )


class StandIn:
    """Serves each connection in a thread. ``decide(request)`` gives the AVPs that follow the usual ones of a CCA
    (a Result-Code among them), or None: drop the connection.
    """

    def __init__(self, decide: Decide, capabilities_result: int = 2001) -> None:
        self.requests: list[Any] = []
        self.connections = 0
        self._decide = decide
        self._capabilities_result = capabilities_result
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._sockets: list[socket.socket] = []

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        # shutdown() wakes the accepting thread; close() alone would leave it there.
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for each in self._sockets:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(timeout=10)

    def of_session(self, session_id: str) -> list[Any]:
        """The requests of one session, in the order in which they came."""
        return [each for each in self.requests if each.session_id == session_id]

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._sockets.append(connection)
            thread = threading.Thread(target=self._serve, args=(connection,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, connection.makefile("rb") as stream, contextlib.suppress(OSError):
            while header := stream.read(20):
                length = int.from_bytes(header[1:4], "big")
                answer = self._answer(Message.from_bytes(header + stream.read(length - 20)))
                if answer is None:
                    connection.shutdown(socket.SHUT_RDWR)
                    return
                connection.sendall(answer)

    def _answer(self, request: Any) -> bytes | None:
        answer = request.to_answer()
        answer.origin_host, answer.origin_realm = b"ocs.example.net", b"example.net"
        if request.header.command_code == constants.CMD_CAPABILITIES_EXCHANGE:
            answer.result_code = self._capabilities_result
            return bytes(answer.as_bytes())
        with self._lock:
            self.requests.append(request)
            avps = self._decide(request)
        if avps is None:
            return None
        answer.session_id = request.session_id
        answer.cc_request_type = request.cc_request_type
        answer.cc_request_number = request.cc_request_number
        answer.auth_application_id = 4
        for avp in avps:
            answer.append_avp(avp)
        return bytes(answer.as_bytes())


def result(code: int) -> Avp:
    """A Result-Code at command level."""
    return Avp.new(constants.AVP_RESULT_CODE, value=code)
