"""The RADIUS packet (RFC 2865, section 3): octets to a dict of attributes, and a signed reply back to octets.

One packet is one datagram of 20 to 4096 octets: code, identifier, length, authenticator, then attributes as
type, length, value. A value stays the octets it came as; who needs a number or a text reads it by ``attributes``.
"""

from __future__ import annotations

from typing import Final, TypeAlias

HEADER_OCTETS: Final = 20
PACKET_OCTETS_MAX: Final = 4096
VALUE_OCTETS_MAX: Final = 253

ACCESS_REQUEST: Final = 1
ACCESS_ACCEPT: Final = 2
ACCESS_REJECT: Final = 3
ACCOUNTING_REQUEST: Final = 4
ACCOUNTING_RESPONSE: Final = 5
ACCESS_CHALLENGE: Final = 11
STATUS_SERVER: Final = 12

PROXY_STATE: Final = 33
MESSAGE_AUTHENTICATOR: Final = 80

# An empty value counts as absent, but for these two: Proxy-State is copied as it came (RFC 2865, section 5.33),
# and an empty Message-Authenticator is a wrong one (RFC 3579, section 3.2).
_KEPT_WHEN_EMPTY: Final = (PROXY_STATE, MESSAGE_AUTHENTICATOR)


class MalformedPacket(ValueError):  # noqa: N818 - the peer's fault, named as what came
    """The octets are no RADIUS packet. Such a packet is never answered (RFC 2865, section 3)."""


Attributes: TypeAlias = dict[int, tuple[bytes, ...]]


class Packet:
    """``octets`` is the packet without padding; ``attributes`` holds the values of each type in their order."""

    __slots__ = ("attributes", "authenticator", "code", "identifier", "octets")

    def __init__(self, code: int, identifier: int, authenticator: bytes, octets: bytes, attributes: Attributes) -> None:
        self.code: Final = code
        self.identifier: Final = identifier
        self.authenticator: Final = authenticator
        self.octets: Final = octets
        self.attributes: Final = attributes


def decode(datagram: bytes) -> Packet:
    """Read one datagram; MalformedPacket if lengths do not agree.

    Octets beyond Length are padding and ignored (RFC 2865, section 3).
    """
    received_octets = len(datagram)
    if received_octets < HEADER_OCTETS:
        raise MalformedPacket("shorter than a header")
    length = datagram[2] << 8 | datagram[3]
    if length < HEADER_OCTETS or length > PACKET_OCTETS_MAX:
        raise MalformedPacket("Length out of range")
    if length > received_octets:
        raise MalformedPacket("shorter than its Length")
    octets = datagram if length == received_octets else datagram[:length]
    return Packet(octets[0], octets[1], octets[4:HEADER_OCTETS], octets, _attributes(octets, length))


def _attributes(octets: bytes, length: int) -> Attributes:
    attributes: Attributes = {}
    more: dict[int, list[bytes]] | None = None  # of types that come again: a tuple that grows would be quadratic
    offset = HEADER_OCTETS
    last = length - 1
    while offset < last:
        kind = octets[offset]
        value_at = offset + 2
        offset += octets[offset + 1]
        if offset <= value_at:
            if offset < value_at:
                raise MalformedPacket("attribute length below 2")
            if kind not in _KEPT_WHEN_EMPTY:
                continue
        if kind not in attributes:
            attributes[kind] = (octets[value_at:offset],)
        elif more is None:
            more = {kind: [octets[value_at:offset]]}
        else:
            more.setdefault(kind, []).append(octets[value_at:offset])
    if offset != length:
        raise MalformedPacket("attribute past the end")
    for kind, values in more.items() if more is not None else ():
        attributes[kind] += tuple(values)
    return attributes


def attribute(kind: int, value: bytes) -> bytes:
    """One attribute as octets."""
    assert len(value) <= VALUE_OCTETS_MAX, "an attribute value has at most 253 octets"
    return bytes((kind, len(value) + 2)) + value


def proxy_states(packet: Packet) -> bytes:
    """All Proxy-State attributes, unchanged and in order, ready for the reply (RFC 2865, section 5.33)."""
    states = packet.attributes.get(PROXY_STATE)
    return b"".join([attribute(PROXY_STATE, state) for state in states]) if states else b""
