"""Access-Request and Accounting-Request as typed records: what charging needs of them, read once.

Nothing is judged here. A number with a wrong length is absent, a text is taken as it came.
"""

from __future__ import annotations

import hmac
from enum import IntEnum
from typing import Final

import msgspec

from protocols.radius import attributes as a
from protocols.radius.authenticators import is_chap_password_right, reveal_password
from protocols.radius.packet import Packet
from protocols.radius.voice import VoiceNames, VoiceTexts, voice_texts


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


class CallRecord(msgspec.Struct, gc=False):
    """What both kinds of request say; all of an Access-Request but its credentials.

    ``nas`` names the gateway by its own words, "" if it said nothing.
    """

    user_name: str
    called: str
    calling: str
    nas: str
    nas_address: str
    session_id: str
    is_framed: bool
    classes: list[bytes] | tuple[()]
    voice: VoiceTexts


class AccountingRecord(CallRecord, gc=False):
    """One Accounting-Request. Times in seconds of the NAS's clock; ``octets`` counts both directions."""

    status_type: int | None
    session_time_s: int | None
    octets: int | None
    delay_s: int
    event_at_ms: int | None
    terminate_cause: int


def _first_text(packet: Packet, kind: int) -> str:
    values = packet.attributes.get(kind)
    return a.text(values[0]) if values is not None else ""


def _first_integer(packet: Packet, kind: int) -> int | None:
    values = packet.attributes.get(kind)
    return a.integer(values[0]) if values is not None else None


def _is_framed(packet: Packet) -> bool:
    """Data access: the user gets a protocol framed, not a call (RFC 2865, sections 5.6 and 5.7)."""
    found = packet.attributes
    return a.FRAMED_PROTOCOL in found or _first_integer(packet, a.SERVICE_TYPE) == a.SERVICE_TYPE_FRAMED


def _nas_address(packet: Packet) -> str:
    values = packet.attributes.get(a.NAS_IP_ADDRESS) or packet.attributes.get(a.NAS_IPV6_ADDRESS)
    return a.address(values[0]) if values is not None else ""


def accounting_record(packet: Packet, names: VoiceNames) -> AccountingRecord:
    found = packet.attributes
    nas_address = _nas_address(packet)
    return AccountingRecord(
        _first_text(packet, a.USER_NAME),
        _first_text(packet, a.CALLED_STATION_ID),
        _first_text(packet, a.CALLING_STATION_ID),
        _first_text(packet, a.NAS_IDENTIFIER) or nas_address,
        nas_address,
        _first_text(packet, a.ACCT_SESSION_ID),
        _is_framed(packet),
        found.get(a.CLASS, ()),
        voice_texts(packet, names),
        _first_integer(packet, a.ACCT_STATUS_TYPE),
        _first_integer(packet, a.ACCT_SESSION_TIME),
        _octets(packet),
        _first_integer(packet, a.ACCT_DELAY_TIME) or 0,
        _event_at_ms(packet),
        _first_integer(packet, a.ACCT_TERMINATE_CAUSE) or 0,
    )


def access_record(packet: Packet, names: VoiceNames) -> CallRecord:
    found = packet.attributes
    nas_address = _nas_address(packet)
    return CallRecord(
        _first_text(packet, a.USER_NAME),
        _first_text(packet, a.CALLED_STATION_ID),
        _first_text(packet, a.CALLING_STATION_ID),
        _first_text(packet, a.NAS_IDENTIFIER) or nas_address,
        nas_address,
        _first_text(packet, a.ACCT_SESSION_ID),
        _is_framed(packet),
        found.get(a.CLASS, ()),
        voice_texts(packet, names),
    )


def _octets(packet: Packet) -> int | None:
    """Both directions; a Gigawords attribute counts how often its 32-bit counter wrapped (RFC 2869, section 5.1)."""
    received = _first_integer(packet, a.ACCT_INPUT_OCTETS)
    sent = _first_integer(packet, a.ACCT_OUTPUT_OCTETS)
    if received is None and sent is None:
        return None
    wraps = (_first_integer(packet, a.ACCT_INPUT_GIGAWORDS) or 0) + (
        _first_integer(packet, a.ACCT_OUTPUT_GIGAWORDS) or 0
    )
    return (received or 0) + (sent or 0) + (wraps << 32)


def _event_at_ms(packet: Packet) -> int | None:
    """Event-Timestamp: seconds as an integer (RFC 2869, section 5.3), or Kamailio's text ``seconds.micros``."""
    values = packet.attributes.get(a.EVENT_TIMESTAMP)
    if values is None:
        return None
    seconds = a.integer(values[0])
    if seconds is not None:
        return seconds * 1000
    whole, _, fraction = values[0].partition(b".")
    if not whole.isdigit() or len(whole) > 11 or not (fraction.isdigit() or not fraction):
        return None
    return int(whole) * 1000 + int(fraction[:3].ljust(3, b"0"))


class Credentials(IntEnum):
    """What an Access-Request proves the user with."""

    NONE = 0
    PASSWORD = 1
    CHAP = 2
    UNSUPPORTED = 3  # both at once, a Digest, or EAP: refused


def credentials_of(packet: Packet) -> Credentials:
    found = packet.attributes
    if a.EAP_MESSAGE in found or has_digest(packet):
        return Credentials.UNSUPPORTED
    if a.USER_PASSWORD in found:
        return Credentials.UNSUPPORTED if a.CHAP_PASSWORD in found else Credentials.PASSWORD
    return Credentials.CHAP if a.CHAP_PASSWORD in found else Credentials.NONE


def has_digest(packet: Packet) -> bool:
    found = packet.attributes
    return a.DIGEST_RESPONSE in found or a.DIGEST_RESPONSE_OF_DRAFT in found


def is_password_right(packet: Packet, secret: bytes, password: bytes) -> bool:
    """Check PAP or CHAP against the clear password. An empty stored password lets nobody in."""
    if not password:
        return False
    match credentials_of(packet):
        case Credentials.PASSWORD:
            revealed = reveal_password(packet.attributes[a.USER_PASSWORD][0], packet.authenticator, secret)
            return revealed is not None and hmac.compare_digest(revealed, password)
        case Credentials.CHAP:
            challenge = packet.attributes.get(a.CHAP_CHALLENGE, [packet.authenticator])[0]
            return is_chap_password_right(packet.attributes[a.CHAP_PASSWORD][0], password, challenge)
        case _:
            return False


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
