"""A Diameter client as small as a softswitch's can be: one connection, one request at a time (RFC 6733, RFC 8506)."""

from __future__ import annotations

import secrets
import socket
from typing import Final

from ocs.addresses import Address
from ocs.demo.errors import PlayError
from ocs.tools.ccr import Answer, Interrogation, name_of, read_answer, request_avps
from protocols.buffer import FrameBuffer
from protocols.diameter import avp, base, codes
from protocols.diameter.message import HEADER_OCTETS, Message, encode, length_checker
from protocols.diameter.node import LocalNode
from protocols.diameter.result_codes import ResultCode
from protocols.errors import RemoteProtocolError

TIMEOUT_S: Final = 10.0
OCTETS_MAX: Final = 65_536
CHUNK_OCTETS: Final = 65_536


class DiameterClient:
    """Connect with ``open``; ``close`` takes leave as the protocol wants it."""

    def __init__(self, address: Address, node: LocalNode, realm: str) -> None:
        self._address = address
        self._node = node
        self._realm = realm
        self._buffer = FrameBuffer(HEADER_OCTETS, length_checker(OCTETS_MAX))
        self._identifier = secrets.randbits(31)
        try:
            self._socket = socket.create_connection(address, TIMEOUT_S)
        except OSError as error:
            raise PlayError(f"Diameter at {address} does not answer: {error}; is `ocs run` running?") from error

    def open(self) -> None:
        """Exchange capabilities. Raises PlayError when we are not let in."""
        host_ip = self._socket.getsockname()[0]
        request = base.capabilities_request(self._node, host_ip, *self._identifiers())
        result_code = base.read_result_code(self._exchange(request))
        if result_code != ResultCode.SUCCESS:
            self._socket.close()
            raise PlayError(
                f"Diameter at {self._address} does not let {self._node.identity} in: {name_of(result_code)}; "
                "let its realm in by diameter.accept_realms, or name a declared peer with --origin-host"
            )

    def ask(self, interrogation: Interrogation) -> Answer:
        """Send a CCR and read its CCA."""
        avps = request_avps(interrogation, self._node, self._realm)
        flags = codes.REQUEST | codes.PROXIABLE
        request = encode(flags, codes.CREDIT_CONTROL, codes.APPLICATION_CREDIT_CONTROL, *self._identifiers(), avps)
        try:
            return read_answer(self._exchange(request))
        except (avp.AvpFault, KeyError) as fault:
            raise PlayError(f"Diameter at {self._address} answered what cannot be read: {fault}") from fault

    def close(self) -> None:
        """DPR, DPA, and the connection is gone."""
        try:
            self._exchange(base.disconnect_request(self._node, base.DisconnectCause.REBOOTING, *self._identifiers()))
        except PlayError:
            pass  # all that was asked is answered; who hangs up first does not matter
        finally:
            self._socket.close()

    def _identifiers(self) -> tuple[int, int]:
        self._identifier = (self._identifier + 1) & 0xFFFF_FFFF
        return self._identifier, self._identifier

    def _exchange(self, request: bytes) -> Message:
        """Send a request; its answer, whatever else the server says before."""
        identifier = Message(request).hop_by_hop
        try:
            self._socket.sendall(request)
            while True:
                message = self._receive()
                if not message.is_request and message.hop_by_hop == identifier:
                    return message
                if message.is_request and message.command == codes.DEVICE_WATCHDOG:
                    self._socket.sendall(base.success_answer(message, self._node))
        except (OSError, RemoteProtocolError) as error:
            raise PlayError(f"Diameter at {self._address} does not answer: {error}") from error

    def _receive(self) -> Message:
        while (frame := self._buffer.next_frame()) is None:
            data = self._socket.recv(CHUNK_OCTETS)
            if not data:
                raise ConnectionError("the connection was closed")
            self._buffer.feed(data)
        return Message(frame)
