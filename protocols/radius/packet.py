"""The RADIUS packet (RFC 2865, section 3): octets to a dict of attributes, and a signed reply back to octets.

One packet is one datagram of 20 to 4096 octets: code, identifier, length, authenticator, then attributes as
type, length, value. A value stays the octets it came as; who needs a number or a text reads it by ``attributes``.
"""

from __future__ import annotations

from typing import Final, TypeAlias

from mypy_extensions import mypyc_attr

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


@mypyc_attr(acyclic=True)
class Packet:
    """``octets`` is the packet without padding; ``places`` is by type where its first value begins: a value is read when it
    is asked for, since most records say more than anybody wants to know. ``kept`` is where the reply cache has its place.
    """

    __slots__ = ("authenticator", "code", "identifier", "kept", "octets", "places")

    def __init__(self, code: int, identifier: int, authenticator: bytes, octets: bytes, places: dict[int, int]) -> None:
        self.code: Final = code
        self.identifier: Final = identifier
        self.authenticator: Final = authenticator
        self.octets: Final = octets
        self.places: Final = places
        self.kept: object = None

    def has(self, kind: int) -> bool:
        """Whether an attribute of the type is there."""
        return kind in self.places

    def first(self, kind: int) -> bytes | None:
        """The type's first value; None if it is not there."""
        place = self.places.get(kind)
        if place is None:
            return None
        octets = self.octets
        return octets[place : place - 2 + octets[place - 1]]

    def values(self, kind: int) -> tuple[bytes, ...]:
        """The type's values in their order."""
        place = self.places.get(kind)
        return () if place is None else tuple([value for each, value in self._from(place - 2) if each == kind])

    @property
    def attributes(self) -> Attributes:
        """All values, of each type in their order."""
        found: dict[int, list[bytes]] = {}
        for kind, value in self._from(HEADER_OCTETS):
            found.setdefault(kind, []).append(value)
        return {kind: tuple(values) for kind, values in found.items()}

    def _from(self, offset: int) -> list[tuple[int, bytes]]:
        """The attributes from one on."""
        octets, found = self.octets, []
        while offset < len(octets):
            kind, size = octets[offset], octets[offset + 1]
            if size > 2 or kind in _KEPT_WHEN_EMPTY:
                found.append((kind, octets[offset + 2 : offset + size]))
            offset += size
        return found


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
    return Packet(octets[0], octets[1], octets[4:HEADER_OCTETS], octets, _places(octets, length))


def _places(octets: bytes, length: int) -> dict[int, int]:
    places: dict[int, int] = {}
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
        if kind not in places:
            places[kind] = value_at
    if offset != length:
        raise MalformedPacket("attribute past the end")
    return places


def attribute(kind: int, value: bytes) -> bytes:
    """One attribute as octets."""
    assert len(value) <= VALUE_OCTETS_MAX, "an attribute value has at most 253 octets"
    return bytes((kind, len(value) + 2)) + value


def proxy_states(packet: Packet) -> bytes:
    """All Proxy-State attributes, unchanged and in order, ready for the reply (RFC 2865, section 5.33)."""
    if not packet.has(PROXY_STATE):
        return b""
    return b"".join([attribute(PROXY_STATE, state) for state in packet.values(PROXY_STATE)])
