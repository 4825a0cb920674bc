"""Requests of the server to a gateway (RFC 5176): Disconnect and CoA, their repeats and their answers. No socket.

A request is repeated with the same identifier and the same octets while nothing comes (RFC 5080, section 2.2.1):
after 2 seconds, then twice as long each time, five transmissions within half a minute, each a tenth sooner or later.
"""

from __future__ import annotations

import hmac
from typing import Final, NamedTuple

from protocols.radius.authenticators import has_valid_message_authenticator, md5
from protocols.radius.packet import HEADER_OCTETS, MESSAGE_AUTHENTICATOR, MalformedPacket, Packet, decode

DISCONNECT_REQUEST: Final = 40
DISCONNECT_ACK: Final = 41
DISCONNECT_NAK: Final = 42
COA_REQUEST: Final = 43
COA_ACK: Final = 44
COA_NAK: Final = 45
ERROR_CAUSE: Final = 101

UNSUPPORTED_SERVICE: Final = 405
UNSUPPORTED_EXTENSION: Final = 406
SESSION_NOT_FOUND: Final = 503

_ANSWERS: Final = {DISCONNECT_REQUEST: (DISCONNECT_ACK, DISCONNECT_NAK), COA_REQUEST: (COA_ACK, COA_NAK)}

DELAYS_MS: Final = (2_000, 4_000, 8_000, 16_000)
"""Between the transmissions; the last one's answer is waited for as long as the first one's."""

TRANSMISSIONS_MAX: Final = len(DELAYS_MS) + 1


class DynamicAnswer(NamedTuple):
    """``error_cause`` 0: none was said."""

    is_ack: bool
    error_cause: int


def dynamic_request(code: int, identifier: int, attributes: bytes, secret: bytes) -> bytes:
    """A signed Disconnect-Request or CoA-Request (RFC 5176, section 2.3: as an Accounting-Request)."""
    assert code in _ANSWERS, "these two are ours to send"
    head = bytes((code, identifier)) + (HEADER_OCTETS + len(attributes)).to_bytes(2, "big")
    return head + md5(head + bytes(16) + attributes + secret) + attributes


def read_answer(datagram: bytes, request: bytes, secret: bytes) -> DynamicAnswer | None:
    """The gateway's answer to ``request``; None for octets that are none, or not by the one who has the secret."""
    try:
        packet = decode(datagram)
    except MalformedPacket:
        return None
    if packet.code not in _ANSWERS[request[0]] or packet.identifier != request[1]:
        return None
    authenticator = request[4:HEADER_OCTETS]
    signed = md5(packet.octets[:4] + authenticator + packet.octets[HEADER_OCTETS:] + secret)
    if not hmac.compare_digest(signed, packet.authenticator):
        return None
    if packet.has(MESSAGE_AUTHENTICATOR) and not has_valid_message_authenticator(packet, secret, authenticator):
        return None
    return DynamicAnswer(packet.code == _ANSWERS[request[0]][0], _error_cause(packet))


def _error_cause(packet: Packet) -> int:
    values = packet.attributes.get(ERROR_CAUSE, (b"",))
    return int.from_bytes(values[0], "big") if len(values[0]) == 4 else 0


def delay_ms(transmissions: int, chance_permille: int) -> int:
    """How long an answer is waited for after so many transmissions. ``chance_permille`` 0..1000 spreads the repeats of
    many requests over a tenth before and after.
    """
    assert 1 <= transmissions <= TRANSMISSIONS_MAX, "the first one is sent without waiting"
    assert 0 <= chance_permille <= 1000, "a share of a thousand"
    delay = DELAYS_MS[transmissions - 1] if transmissions <= len(DELAYS_MS) else DELAYS_MS[0]
    return delay * (900 + chance_permille // 5) // 1000
