"""What Access-Requests and Accounting-Requests say by the standard alone, whatever product sent them.

Nothing is judged here. A number with a wrong length is absent, a text is taken as it came.
"""

from __future__ import annotations

import hmac
from enum import IntEnum
from typing import Final

from protocols.radius import attributes as a
from protocols.radius.authenticators import is_chap_password_right, reveal_password
from protocols.radius.digest import HA1_MARK, made_of
from protocols.radius.packet import Packet
from protocols.radius.reading import Reading


class StatusType(IntEnum):
    """Acct-Status-Type (RFC 2866, section 5.1; 9 to 14 are RFC 2867's tunnel records)."""

    START = 1
    STOP = 2
    INTERIM_UPDATE = 3
    ACCOUNTING_ON = 7
    ACCOUNTING_OFF = 8
    FAILED = 15


TERMINATE_CAUSES: Final = (
    "",
    "user request",
    "lost carrier",
    "lost service",
    "idle timeout",
    "session timeout",
    "admin reset",
    "admin reboot",
    "port error",
    "NAS error",
    "NAS request",
    "NAS reboot",
    "port unneeded",
    "port preempted",
    "port suspended",
    "service unavailable",
    "callback",
    "user error",
    "host request",
)


def is_framed(reading: Reading) -> bool:
    """Data access: the user gets a protocol framed, not a call (RFC 2865, sections 5.6 and 5.7).

    Service-Type has the last word: one voice gateway (Eltex SMG) says Login, and Framed-Protocol SLIP beside it.
    """
    service_type = reading.number(a.SERVICE_TYPE)
    return reading.packet.has(a.FRAMED_PROTOCOL) if service_type is None else service_type in a.SERVICE_TYPES_FRAMED


def octets_used(reading: Reading) -> int | None:
    """Both directions; a Gigawords attribute counts how often its 32-bit counter wrapped (RFC 2869, section 5.1)."""
    received = reading.number(a.ACCT_INPUT_OCTETS)
    sent = reading.number(a.ACCT_OUTPUT_OCTETS)
    if received is None and sent is None:
        return None
    wraps = (reading.number(a.ACCT_INPUT_GIGAWORDS) or 0) + (reading.number(a.ACCT_OUTPUT_GIGAWORDS) or 0)
    return (received or 0) + (sent or 0) + (wraps << 32)


def counts_wraps(reading: Reading) -> bool:
    """Whether the record says how often its counters of octets have begun again."""
    return reading.packet.has(a.ACCT_INPUT_GIGAWORDS) or reading.packet.has(a.ACCT_OUTPUT_GIGAWORDS)


def event_at_ms(reading: Reading) -> int | None:
    """Event-Timestamp: seconds as an integer (RFC 2869, section 5.3), or Kamailio's text ``seconds.micros``."""
    said = reading.packet.first(a.EVENT_TIMESTAMP)
    if said is None:
        return None
    seconds = a.integer(said)
    if seconds is not None:
        return seconds * 1000
    whole, _, fraction = said.partition(b".")
    if not whole.isdigit() or len(whole) > 11 or not (fraction.isdigit() or not fraction):
        return None
    return int(whole) * 1000 + int(fraction[:3].ljust(3, b"0"))


class Credentials(IntEnum):
    """What an Access-Request proves the user with."""

    NONE = 0
    PASSWORD = 1
    CHAP = 2
    DIGEST = 3
    UNSUPPORTED = 4  # two kinds at once, or EAP: refused


def credentials_of(packet: Packet) -> Credentials:
    found = packet.places
    kinds = [kind for kind, attribute in _KINDS if attribute in found]
    if a.EAP_MESSAGE in found or len(kinds) > 1:
        return Credentials.UNSUPPORTED
    if kinds:
        return kinds[0]
    # A client that has no digest yet asks for a challenge by naming what it would be for (RFC 5090, section 2.1.1).
    wants_challenge = a.DIGEST_METHOD in found and a.DIGEST_URI in found
    return Credentials.DIGEST if wants_challenge else Credentials.NONE


_KINDS: Final = (
    (Credentials.PASSWORD, a.USER_PASSWORD),
    (Credentials.CHAP, a.CHAP_PASSWORD),
    (Credentials.DIGEST, a.DIGEST_RESPONSE),
    (Credentials.DIGEST, a.DIGEST_RESPONSE_OF_DRAFT),
)


def has_digest(packet: Packet) -> bool:
    """Of RFC 5090, which demands a Message-Authenticator. The clients of its draft do not know that one."""
    found = packet.places
    return a.DIGEST_RESPONSE in found or (a.DIGEST_METHOD in found and a.DIGEST_URI in found)


def is_password_right(packet: Packet, secret: bytes, password: bytes) -> bool:
    """Check PAP or CHAP against the clear password. An empty stored password lets nobody in."""
    if not password:
        return False
    if password.startswith(HA1_MARK.encode()):
        return _is_of_digests(packet, secret, password.decode())
    match credentials_of(packet):
        case Credentials.PASSWORD:
            revealed = reveal_password(packet.attributes[a.USER_PASSWORD][0], packet.authenticator, secret)
            return revealed is not None and hmac.compare_digest(revealed, password)
        case Credentials.CHAP:
            challenge = packet.attributes.get(a.CHAP_CHALLENGE, (packet.authenticator,))[0]
            return is_chap_password_right(packet.attributes[a.CHAP_PASSWORD][0], password, challenge)
        case _:
            return False


def _is_of_digests(packet: Packet, secret: bytes, kept: str) -> bool:
    """PAP against digests that are kept instead of the password; CHAP cannot be checked by them [R-84]."""
    if credentials_of(packet) is not Credentials.PASSWORD or a.USER_NAME not in packet.attributes:
        return False
    revealed = reveal_password(packet.attributes[a.USER_PASSWORD][0], packet.authenticator, secret)
    if revealed is None:
        return False
    said, name = a.text(revealed), a.text(packet.attributes[a.USER_NAME][0])
    return any(made_of(each, said, kept) for each in (name, name.partition("@")[0]))


def is_secret_suspect(packet: Packet, secret: bytes) -> bool:
    """A revealed password that is no text is most often hidden with another secret [R-14]."""
    if credentials_of(packet) is not Credentials.PASSWORD:
        return False
    revealed = reveal_password(packet.attributes[a.USER_PASSWORD][0], packet.authenticator, secret)
    if revealed is None:
        return False
    try:
        revealed.decode()
    except UnicodeDecodeError:
        return True
    return False
