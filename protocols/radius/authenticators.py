"""What the shared secret proves and hides: authenticators, Message-Authenticator, User-Password, CHAP.

MD5 is what the protocol prescribes (RFC 2865, section 3; RFC 2866, section 3; RFC 3579, section 3.2), not what we
would choose. All comparisons take constant time.
"""

from __future__ import annotations

import hmac
from _md5 import md5 as _md5  # type: ignore[import-not-found]
from hmac import compare_digest
from typing import Final

from protocols.radius.packet import (
    HEADER_OCTETS,
    MESSAGE_AUTHENTICATOR,
    PACKET_OCTETS_MAX,
    Packet,
)

_ZEROS: Final = bytes(16)
_MESSAGE_AUTHENTICATOR_HEAD: Final = bytes((MESSAGE_AUTHENTICATOR, 18))
PASSWORD_OCTETS_MAX: Final = 128


def md5(octets: bytes) -> bytes:
    # CPython's own: OpenSSL's takes longer to begin than these packets take.
    digest: bytes = _md5(octets).digest()
    return digest


def has_valid_request_authenticator(packet: Packet, secret: bytes) -> bool:
    """Accounting-Request: MD5 over the packet with a zeroed authenticator, then the secret (RFC 2866, section 3)."""
    octets = packet.octets
    expected = md5(b"%b%b%b%b" % (octets[:4], _ZEROS, octets[HEADER_OCTETS:], secret))
    return compare_digest(expected, packet.authenticator)


def has_valid_message_authenticator(packet: Packet, secret: bytes, authenticator: bytes) -> bool:
    """HMAC-MD5 over the whole packet, its own value zeroed (RFC 3579, section 3.2).

    ``authenticator`` stands in the header's place: the random one of an Access-Request or a Status-Server, sixteen
    zeros for an Accounting-Request, the request's for a reply. More than one instance, or another length than 18,
    is wrong.
    """
    values = packet.values(MESSAGE_AUTHENTICATOR)
    if len(values) != 1 or len(values[0]) != 16:
        return False
    octets = packet.octets
    at = _message_authenticator_at(octets)
    zeroed = octets[:4] + authenticator + octets[HEADER_OCTETS:at] + _ZEROS + octets[at + 16 :]
    return compare_digest(hmac.digest(secret, zeroed, "md5"), values[0])


def zero_authenticator() -> bytes:
    """What an Accounting-Request's Message-Authenticator is computed over (RFC 5997, section 3; RFC 2869)."""
    return _ZEROS


def _message_authenticator_at(octets: bytes) -> int:
    """Where the value of the (only) Message-Authenticator begins. The packet has been decoded, so it is there."""
    offset = HEADER_OCTETS
    while octets[offset] != MESSAGE_AUTHENTICATOR:
        offset += octets[offset + 1]
    return offset + 2


def sign_reply(
    code: int, request: Packet, attributes: bytes, secret: bytes, *, with_message_authenticator: bool
) -> bytes:
    """Build a reply. Message-Authenticator comes first: a forged prefix could otherwise hide in front of it
    (CVE-2024-3596). The Response Authenticator covers it, so it is computed after it.
    """
    if not attributes and not with_message_authenticator:  # nearly every Accounting-Response
        head = bytes((code, request.identifier, 0, HEADER_OCTETS))
        return head + md5(head + request.authenticator + secret)
    body_octets = len(attributes) + (18 if with_message_authenticator else 0)
    length = HEADER_OCTETS + body_octets
    assert length <= PACKET_OCTETS_MAX, "a reply has to fit one packet"
    head = bytes((code, request.identifier, length >> 8, length & 0xFF))
    body = attributes
    if with_message_authenticator:
        unsigned = b"%b%b%b%b%b" % (head, request.authenticator, _MESSAGE_AUTHENTICATOR_HEAD, _ZEROS, attributes)
        body = _MESSAGE_AUTHENTICATOR_HEAD + hmac.digest(secret, unsigned, "md5") + attributes
    return b"%b%b%b" % (head, md5(b"%b%b%b%b" % (head, request.authenticator, body, secret)), body)


def hide_password(password: bytes, authenticator: bytes, secret: bytes) -> bytes:
    """User-Password as a client sends it (RFC 2865, section 5.2)."""
    assert len(password) <= PASSWORD_OCTETS_MAX, "RFC 2865, section 5.2: at most 128 octets"
    padded = password.ljust(max(16, -(-len(password) // 16) * 16), b"\0")
    hidden = b""
    previous = authenticator
    for at in range(0, len(padded), 16):
        previous = _xor(padded[at : at + 16], md5(secret + previous))
        hidden += previous
    return hidden


def reveal_password(hidden: bytes, authenticator: bytes, secret: bytes) -> bytes | None:
    """The clear User-Password without its padding, or None if its length is no lawful one (RFC 2865, section 5.2)."""
    if not hidden or len(hidden) % 16 or len(hidden) > PASSWORD_OCTETS_MAX:
        return None
    clear = b""
    previous = authenticator
    for at in range(0, len(hidden), 16):
        block = hidden[at : at + 16]
        clear += _xor(block, md5(secret + previous))
        previous = block
    return clear.rstrip(b"\0")


def _xor(left: bytes, right: bytes) -> bytes:
    return (int.from_bytes(left, "big") ^ int.from_bytes(right, "big")).to_bytes(16, "big")


def chap_response(chap_id: int, password: bytes, challenge: bytes) -> bytes:
    """RFC 1994, section 4.1: MD5(id, clear password, challenge)."""
    return md5(bytes((chap_id,)) + password + challenge)


def is_chap_password_right(chap_password: bytes, password: bytes, challenge: bytes) -> bool:
    """CHAP-Password is the CHAP id and sixteen octets of response (RFC 2865, section 5.3)."""
    if len(chap_password) != 17:
        return False
    return compare_digest(chap_response(chap_password[0], password, challenge), chap_password[1:])
