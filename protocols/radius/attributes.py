"""Attribute numbers charging reads or writes, and how a value's octets become a number, a text or an address."""

from __future__ import annotations

from ipaddress import IPv6Address
from typing import Final

from protocols.radius.packet import VALUE_OCTETS_MAX, attribute

# RFC 2865, section 5
USER_NAME: Final = 1
USER_PASSWORD: Final = 2
CHAP_PASSWORD: Final = 3
NAS_IP_ADDRESS: Final = 4
SERVICE_TYPE: Final = 6
FRAMED_PROTOCOL: Final = 7
REPLY_MESSAGE: Final = 18
STATE: Final = 24
CLASS: Final = 25
VENDOR_SPECIFIC: Final = 26
SESSION_TIMEOUT: Final = 27
CALLED_STATION_ID: Final = 30
CALLING_STATION_ID: Final = 31
NAS_IDENTIFIER: Final = 32
CHAP_CHALLENGE: Final = 60
# RFC 2866, section 5
ACCT_STATUS_TYPE: Final = 40
ACCT_DELAY_TIME: Final = 41
ACCT_INPUT_OCTETS: Final = 42
ACCT_OUTPUT_OCTETS: Final = 43
ACCT_SESSION_ID: Final = 44
ACCT_SESSION_TIME: Final = 46
ACCT_TERMINATE_CAUSE: Final = 49
# RFC 2869, section 5
ACCT_INPUT_GIGAWORDS: Final = 52
ACCT_OUTPUT_GIGAWORDS: Final = 53
EVENT_TIMESTAMP: Final = 55
EAP_MESSAGE: Final = 79
ACCT_INTERIM_INTERVAL: Final = 85
# RFC 3162, section 2
NAS_IPV6_ADDRESS: Final = 95
# RFC 5090, section 3; the draft before it used 206 and 207
DIGEST_RESPONSE: Final = 103
DIGEST_METHOD: Final = 108
DIGEST_URI: Final = 109
DIGEST_RESPONSE_OF_DRAFT: Final = 206

SERVICE_TYPES_FRAMED: Final = (2, 4)  # Framed, Callback Framed
SERVICE_TYPE_AUTHORIZE_ONLY: Final = 17


def text(value: bytes) -> str:
    """UTF-8 without trailing NULs (RFC 2865, section 5). Octets that are no UTF-8 show as ``\\xff``: never a fault."""
    if value[-1:] == b"\0":
        value = value.rstrip(b"\0")
    return value.decode("utf-8", "backslashreplace")


def integer(value: bytes) -> int | None:
    """A 32-bit unsigned number; None if it is not four octets long."""
    return int.from_bytes(value, "big") if len(value) == 4 else None


def address(value: bytes) -> str:
    """An IPv4 or IPv6 address as text; "" if it is neither four nor sixteen octets long."""
    if len(value) == 4:
        return f"{value[0]}.{value[1]}.{value[2]}.{value[3]}"
    if len(value) == 16:
        return str(IPv6Address(value))
    return ""


def sub_attributes(value: bytes, layout: tuple[int, int]) -> list[tuple[int, bytes]]:
    """The (number, content) pairs of one Vendor-Specific value; empty if its lengths do not agree [R-6] [R-9].

    ``layout``: octets of a sub-attribute's number and of its length, 1 and 1 for nearly all vendors.
    """
    type_octets, length_octets = layout
    head = type_octets + length_octets
    end = len(value)
    found = []
    offset = 4
    while offset < end:
        length_at = offset + type_octets
        size = int.from_bytes(value[length_at : length_at + length_octets], "big") if length_octets else end - offset
        if size < head or offset + size > end:
            return []
        found.append((int.from_bytes(value[offset:length_at], "big"), value[offset + head : offset + size]))
        offset += size
    return found


def integer_attribute(kind: int, value: int) -> bytes:
    return bytes((kind, 6)) + value.to_bytes(4, "big")


def text_attribute(kind: int, value: str) -> bytes:
    return attribute(kind, value.encode()[:VALUE_OCTETS_MAX])


def vendor_attribute(vendor: int, number: int, value: bytes) -> bytes:
    """A Vendor-Specific attribute with one sub-attribute in the usual form (RFC 2865, section 5.26)."""
    assert len(value) <= VALUE_OCTETS_MAX - 6, "a vendor's value has at most 247 octets"
    size = len(value)
    return bytes((VENDOR_SPECIFIC, size + 8)) + vendor.to_bytes(4, "big") + bytes((number, size + 2)) + value
