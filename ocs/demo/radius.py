"""A RADIUS client: signs requests, sends them again when nothing comes, and believes no reply it cannot verify."""

from __future__ import annotations

import hmac
import secrets
import socket
from collections.abc import Callable
from typing import Final, NamedTuple

from ocs.addresses import Address
from ocs.demo.errors import PlayError
from protocols.radius import attributes as a
from protocols.radius.attributes import sub_attributes
from protocols.radius.authenticators import has_valid_message_authenticator, hide_password, md5
from protocols.radius.packet import (
    ACCESS_ACCEPT,
    ACCESS_REJECT,
    ACCESS_REQUEST,
    ACCOUNTING_REQUEST,
    ACCOUNTING_RESPONSE,
    HEADER_OCTETS,
    MESSAGE_AUTHENTICATOR,
    PACKET_OCTETS_MAX,
    MalformedPacket,
    Packet,
    attribute,
    decode,
)

ATTEMPTS: Final = 3
TIMEOUT_S: Final = 2.0
CISCO: Final = 9
CREDIT_TIME: Final = 102
REPLIES: Final = {
    ACCESS_ACCEPT: "Access-Accept",
    ACCESS_REJECT: "Access-Reject",
    ACCOUNTING_RESPONSE: "Accounting-Response",
}
_ZEROS: Final = bytes(16)


class Ports(NamedTuple):
    authentication: Address
    accounting: Address


class Reply(NamedTuple):
    """``seconds`` and ``credit_time`` -1: not said. ``classes`` are to be given back in accounting."""

    name: str
    seconds: int = -1
    credit_time: int = -1
    classes: tuple[bytes, ...] = ()


class RadiusClient:
    """``signs``: whether Access-Requests carry a Message-Authenticator."""

    def __init__(self, ports: Ports, secret: bytes, *, signs: bool) -> None:
        self._ports = ports
        self._secret = secret
        self._signs = signs
        self._identifier = secrets.randbelow(256)

    def authorize(self, body: bytes, password: str) -> Reply:
        """Send an Access-Request; its authenticator is random (RFC 2865, section 3)."""
        authenticator = secrets.token_bytes(16)
        hidden = attribute(a.USER_PASSWORD, hide_password(password.encode(), authenticator, self._secret))
        signature = attribute(MESSAGE_AUTHENTICATOR, _ZEROS) if self._signs else b""
        octets = self._packet(ACCESS_REQUEST, authenticator, signature + hidden + body)
        if self._signs:  # RFC 3579, section 3.2; the first attribute, so that no forged prefix fits before it
            at = HEADER_OCTETS + 2
            octets = octets[:at] + hmac.digest(self._secret, octets, "md5") + octets[at + 16 :]

        def is_signed(packet: Packet) -> bool:
            return has_valid_message_authenticator(packet, self._secret, authenticator)

        return self._exchange(octets, self._ports.authentication, is_signed)

    def account(self, body: bytes) -> Reply:
        """Send an Accounting-Request; its authenticator is a checksum with the secret (RFC 2866, section 3)."""
        unsigned = self._packet(ACCOUNTING_REQUEST, _ZEROS, body)
        octets = unsigned[:4] + md5(unsigned + self._secret) + unsigned[HEADER_OCTETS:]
        return self._exchange(octets, self._ports.accounting, lambda _: True)

    def _packet(self, code: int, authenticator: bytes, body: bytes) -> bytes:
        self._identifier = (self._identifier + 1) % 256
        length = HEADER_OCTETS + len(body)
        return bytes((code, self._identifier)) + length.to_bytes(2, "big") + authenticator + body

    def _exchange(self, request: bytes, address: Address, is_signed: Callable[[Packet], bool]) -> Reply:
        try:
            family, kind, *_, where = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_DGRAM)[0]
            with socket.socket(family, kind) as sender:
                sender.settimeout(TIMEOUT_S)
                sender.connect(where)
                for _ in range(ATTEMPTS):
                    sender.send(request)
                    try:
                        return self._read(sender.recv(PACKET_OCTETS_MAX), request, is_signed, address)
                    except TimeoutError:
                        continue
        except OSError as error:
            raise PlayError(f"RADIUS at {address} does not answer: {error}; is `ocs run` running?") from error
        raise PlayError(
            f"RADIUS at {address} does not answer: is this machine one of radius.clients, with the same secret?"
        )

    def _read(self, datagram: bytes, request: bytes, is_signed: Callable[[Packet], bool], address: Address) -> Reply:
        try:
            packet = decode(datagram)
        except MalformedPacket as error:
            raise PlayError(f"RADIUS at {address} answered what cannot be read: {error}") from error
        octets = packet.octets
        expected = md5(octets[:4] + request[4:HEADER_OCTETS] + octets[HEADER_OCTETS:] + self._secret)
        if packet.identifier != request[1] or packet.authenticator != expected or not is_signed(packet):
            raise PlayError(f"the reply of RADIUS at {address} is not authentic: is the secret the same?")
        return Reply(
            REPLIES.get(packet.code, f"code {packet.code}"),
            _seconds(packet),
            _credit_time(packet),
            tuple(packet.attributes.get(a.CLASS, ())),
        )


def _seconds(packet: Packet) -> int:
    values = packet.attributes.get(a.SESSION_TIMEOUT)
    seconds = a.integer(values[0]) if values else None
    return -1 if seconds is None else seconds


def _credit_time(packet: Packet) -> int:
    """Cisco's h323-credit-time, with or without its name in front."""
    for value in packet.attributes.get(a.VENDOR_SPECIFIC, ()):
        if int.from_bytes(value[:4], "big") != CISCO:
            continue
        for number, content in sub_attributes(value, (1, 1)):
            text = content.decode("ascii", "replace").rpartition("=")[2]
            if number == CREDIT_TIME and text.isdigit():
                return int(text)
    return -1
