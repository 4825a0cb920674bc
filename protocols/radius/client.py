"""The client's side: requests as RFC 2865, 2866 and 5997 want them signed, and which replies are to be believed [R-24]."""

from __future__ import annotations

import hmac
from typing import Final

from protocols.radius.authenticators import has_valid_message_authenticator, md5
from protocols.radius.packet import (
    ACCESS_REQUEST,
    ACCOUNTING_REQUEST,
    HEADER_OCTETS,
    MESSAGE_AUTHENTICATOR,
    STATUS_SERVER,
    MalformedPacket,
    Packet,
    decode,
)

_SIGNATURE: Final = bytes((MESSAGE_AUTHENTICATOR, 18)) + bytes(16)
_ACCESS_REPLIES: Final = (2, 3, 11)


class ReplyError(ValueError):
    """What came is no reply to believe; the message says why."""


def signed_request(
    code: int, identifier: int, authenticator: bytes, attributes: bytes, secret: bytes, *, signs: bool = True
) -> bytes:
    """``authenticator`` is sixteen octets that nobody can guess; an Accounting-Request makes its own.

    ``signs``: with Message-Authenticator, as the first attribute, so that no forged prefix fits before it.
    """
    if code == ACCOUNTING_REQUEST:
        head = _head(code, identifier, attributes)
        return head + md5(head + bytes(16) + attributes + secret) + attributes
    assert code in (ACCESS_REQUEST, STATUS_SERVER), "these three are a client's to send"
    body = _SIGNATURE + attributes if signs else attributes
    octets = _head(code, identifier, body) + authenticator + body
    if not signs:
        return octets
    at = HEADER_OCTETS + 2
    return octets[:at] + hmac.digest(secret, octets, "md5") + octets[at + 16 :]


def _head(code: int, identifier: int, body: bytes) -> bytes:
    return bytes((code, identifier)) + (HEADER_OCTETS + len(body)).to_bytes(2, "big")


def believed_reply(datagram: bytes, request: bytes, secret: bytes, *, wants_signature: bool) -> Packet:
    """The reply, if it is one to this request by somebody who has the secret. Raises ReplyError."""
    try:
        packet = decode(datagram)
    except MalformedPacket as error:
        raise ReplyError(f"what came cannot be read: {error}") from error
    authenticator = request[4:HEADER_OCTETS]
    octets = packet.octets
    expected = md5(octets[:4] + authenticator + octets[HEADER_OCTETS:] + secret)
    if packet.identifier != request[1] or not hmac.compare_digest(expected, packet.authenticator):
        raise ReplyError("the reply is not authentic: is the secret the same?")
    is_signed = packet.has(MESSAGE_AUTHENTICATOR)
    if is_signed and not has_valid_message_authenticator(packet, secret, authenticator):
        raise ReplyError("the reply's Message-Authenticator is wrong")
    if wants_signature and packet.code in _ACCESS_REPLIES and not is_signed:
        raise ReplyError("the reply has no Message-Authenticator")
    return packet
