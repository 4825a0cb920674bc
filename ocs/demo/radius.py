"""A RADIUS client: signs requests, sends them again when nothing comes, and believes no reply it cannot verify."""

from __future__ import annotations

import secrets
from typing import Final, NamedTuple

from ocs.addresses import Address
from ocs.demo.errors import PlayError
from ocs.radius_exchange import NoReplyError, ReplyError, exchange
from protocols.radius import attributes as a
from protocols.radius.attributes import sub_attributes
from protocols.radius.authenticators import hide_password
from protocols.radius.client import signed_request
from protocols.radius.packet import (
    ACCESS_ACCEPT,
    ACCESS_REJECT,
    ACCESS_REQUEST,
    ACCOUNTING_REQUEST,
    ACCOUNTING_RESPONSE,
    Packet,
    attribute,
)

CISCO: Final = 9
CREDIT_TIME: Final = 102
REPLIES: Final = {
    ACCESS_ACCEPT: "Access-Accept",
    ACCESS_REJECT: "Access-Reject",
    ACCOUNTING_RESPONSE: "Accounting-Response",
}


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
        return self._exchange(ACCESS_REQUEST, authenticator, hidden + body, self._ports.authentication)

    def account(self, body: bytes) -> Reply:
        """Send an Accounting-Request; its authenticator is a checksum with the secret (RFC 2866, section 3)."""
        return self._exchange(ACCOUNTING_REQUEST, b"", body, self._ports.accounting)

    def _exchange(self, code: int, authenticator: bytes, body: bytes, server: Address) -> Reply:
        self._identifier = (self._identifier + 1) % 256
        request = signed_request(code, self._identifier, authenticator, body, self._secret, signs=self._signs)
        try:
            packet = exchange(request, server, self._secret, wants_signature=True)
        except NoReplyError as error:
            raise PlayError(str(error)) from error
        except ReplyError as error:
            raise PlayError(f"RADIUS at {server}: {error}") from error
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
