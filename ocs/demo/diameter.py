"""A Diameter client as small as a softswitch's can be: one connection, one request at a time (RFC 6733, RFC 8506)."""

from __future__ import annotations

import secrets
import socket
from typing import Final, NamedTuple

from balance.money import format_amount
from ocs.addresses import Address
from ocs.demo.errors import PlayError
from protocols.buffer import FrameBuffer
from protocols.diameter import avp, base, codes
from protocols.diameter.gy_answer import units
from protocols.diameter.message import HEADER_OCTETS, Message, encode, length_checker
from protocols.diameter.node import LocalNode
from protocols.diameter.result_codes import ResultCode
from protocols.errors import RemoteProtocolError

TIMEOUT_S: Final = 10.0
OCTETS_MAX: Final = 65_536
CHUNK_OCTETS: Final = 65_536
END_USER_E164: Final = 0
DIRECT_DEBITING: Final = 0
LOGOUT: Final = 1
_NTP_TO_UNIX_S: Final = 2_208_988_800  # RFC 6733, section 4.3.1: Time counts from 1900
_UNIT_CODES: Final = (codes.CC_TIME, codes.CC_SERVICE_SPECIFIC_UNITS)


class Interrogation(NamedTuple):
    """One Credit-Control-Request. ``wanted`` and ``used`` count in ``unit``, an AVP code; -1: not said."""

    session_id: str
    request_type: int
    request_number: int
    context: str
    subscriber: str
    called: str
    at_ms: int
    unit: int
    wanted: int = -1
    used: int = -1


class Granted(NamedTuple):
    """What the answer says: the least good of its result codes, the units, and the cost where it is told."""

    result_code: int
    granted: int = 0
    is_final: bool = False
    cost: str = ""


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

    def ask(self, interrogation: Interrogation) -> Granted:
        """Send a CCR and read its CCA."""
        avps = self._avps(interrogation)
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

    def _avps(self, asked: Interrogation) -> bytes:
        """The mandatory AVPs of RFC 8506, section 3.1, and what says who, where to and how much."""
        is_event = asked.request_type == 4
        who = avp.avp_u32(codes.SUBSCRIPTION_ID_TYPE, END_USER_E164)
        who += avp.avp_text(codes.SUBSCRIPTION_ID_DATA, asked.subscriber)
        parts = [
            avp.avp_text(codes.SESSION_ID, asked.session_id),
            self._node.origin,
            avp.avp_text(codes.DESTINATION_REALM, self._realm),
            avp.avp_u32(codes.AUTH_APPLICATION_ID, codes.APPLICATION_CREDIT_CONTROL),
            avp.avp_text(codes.SERVICE_CONTEXT_ID, asked.context),
            avp.avp_u32(codes.CC_REQUEST_TYPE, asked.request_type),
            avp.avp_u32(codes.CC_REQUEST_NUMBER, asked.request_number),
            avp.avp_u32(codes.EVENT_TIMESTAMP, (asked.at_ms // 1000 + _NTP_TO_UNIX_S) & 0xFFFF_FFFF),
            avp.avp(codes.SUBSCRIPTION_ID, who),
        ]
        if is_event:
            parts += [avp.avp_u32(codes.REQUESTED_ACTION, DIRECT_DEBITING), _quantities(asked)]
        else:
            parts.append(avp.avp(codes.MULTIPLE_SERVICES_CREDIT_CONTROL, _quantities(asked)))
        if asked.request_type == 3:
            parts.append(avp.avp_u32(codes.TERMINATION_CAUSE, LOGOUT))
        parts.append(_called_sms(asked) if is_event else _called(asked))
        return b"".join(parts)


def read_answer(message: Message) -> Granted:
    """Raises AvpFault when the answer breaks its grammar."""
    frame = message.frame
    found, _ = message.walk()
    result_code = avp.u32(frame, found[codes.RESULT_CODE]) if codes.RESULT_CODE in found else 0
    cost = _cost(frame, found[codes.COST_INFORMATION]) if codes.COST_INFORMATION in found else ""
    group = found.get(codes.MULTIPLE_SERVICES_CREDIT_CONTROL)
    if group is not None:
        found, _ = avp.walk(frame, *avp.bounds(frame, group))
        in_group = avp.u32(frame, found[codes.RESULT_CODE]) if codes.RESULT_CODE in found else result_code
        result_code = in_group if result_code == ResultCode.SUCCESS else result_code
    return Granted(result_code, _granted(frame, found), codes.FINAL_UNIT_INDICATION in found, cost)


def name_of(result_code: int) -> str:
    """Such as ``2001 SUCCESS``."""
    known = result_code in ResultCode.__members__.values()
    return f"{result_code} {ResultCode(result_code).name}" if known else str(result_code)


def _quantities(asked: Interrogation) -> bytes:
    parts = b""
    if asked.wanted >= 0:
        parts += avp.avp(codes.REQUESTED_SERVICE_UNIT, units(asked.unit, asked.wanted))
    if asked.used >= 0:
        parts += avp.avp(codes.USED_SERVICE_UNIT, units(asked.unit, asked.used))
    return parts


def _called(asked: Interrogation) -> bytes:
    """Service-Information of a call (TS 32.299, section 7.2.77)."""
    called = avp.avp_text(codes.CALLED_PARTY_ADDRESS, f"tel:+{asked.called}")
    calling = avp.avp_text(codes.CALLING_PARTY_ADDRESS, f"tel:+{asked.subscriber}")
    return avp.avp(codes.SERVICE_INFORMATION, avp.avp(codes.IMS_INFORMATION, calling + called))


def _called_sms(asked: Interrogation) -> bytes:
    """Service-Information of a message: the recipient's address (TS 32.299, section 7.2.173)."""
    address = avp.avp(codes.RECIPIENT_ADDRESS, avp.avp_text(codes.ADDRESS_DATA, asked.called))
    return avp.avp(codes.SERVICE_INFORMATION, avp.avp(codes.SMS_INFORMATION, avp.avp(codes.RECIPIENT_INFO, address)))


def _granted(frame: bytes, found: dict[int, int]) -> int:
    if codes.GRANTED_SERVICE_UNIT not in found:
        return 0
    inner, _ = avp.walk(frame, *avp.bounds(frame, found[codes.GRANTED_SERVICE_UNIT]))
    code = next((code for code in _UNIT_CODES if code in inner), None)
    if code is None:
        return 0
    return avp.u32(frame, inner[code]) if code == codes.CC_TIME else avp.u64(frame, inner[code])


def _cost(frame: bytes, position: int) -> str:
    """Cost-Information as a decimal number."""
    found, _ = avp.walk(frame, *avp.bounds(frame, position))
    inner, _ = avp.walk(frame, *avp.bounds(frame, found[codes.UNIT_VALUE]))
    digits = avp.i64(frame, inner[codes.VALUE_DIGITS])
    exponent = avp.i32(frame, inner[codes.EXPONENT]) if codes.EXPONENT in inner else 0
    return format_amount(digits * 10 ** max(exponent + 9, 0), 9)
