"""RADIUS packets out of a stream (RFC 6613, section 2.6.4): each says its own length, and nothing lies between them."""

from __future__ import annotations

from protocols.buffer import FrameBuffer
from protocols.errors import RemoteProtocolError
from protocols.radius.packet import HEADER_OCTETS, PACKET_OCTETS_MAX

_LENGTH_OCTETS = 4  # code, identifier and Length: enough to know how much follows


def packet_buffer() -> FrameBuffer:
    """``feed`` it; ``next_frame`` raises RemoteProtocolError when the stream cannot be read on [R-112]."""
    return FrameBuffer(_LENGTH_OCTETS, _length)


def _length(octets: bytes, start: int) -> int:
    length = octets[start + 2] << 8 | octets[start + 3]
    if not HEADER_OCTETS <= length <= PACKET_OCTETS_MAX:
        raise RemoteProtocolError(f"Length {length} is out of range")
    return length
