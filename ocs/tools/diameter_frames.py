"""Diameter messages out of captures and octets."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from ocs.tools.pcap import SCTP, TCP, Flow, Packet, packets, sctp_messages
from protocols.diameter.message import HEADER_OCTETS, VERSION

MESSAGE_OCTETS_MAX: Final = 1 << 20


def frames_of_capture(data: bytes, port: int = 0) -> Iterator[tuple[str, bytes]]:
    """Each message with the way it went, as they were said; ``port`` 0: all that looks like Diameter."""
    flows: dict[str, tuple[Flow, bytearray]] = {}
    for packet in packets(data):
        if port and port not in {packet.source[1], packet.destination[1]}:
            continue
        way = _way(packet)
        if packet.protocol == SCTP:
            yield from ((way, message) for message in sctp_messages(packet) if looks_like_diameter(message))
        elif packet.protocol == TCP and (packet.payload or packet.is_start):
            flow, waiting = flows.setdefault(way, (Flow(), bytearray()))
            waiting += flow.feed(packet)
            yield from ((way, frame) for frame in _whole(waiting))


def frames_of_octets(data: bytes) -> Iterator[tuple[str, bytes]]:
    """Message after message; what is left in the end, or cannot be a message, comes as it is."""
    at = 0
    while at < len(data):
        length = int.from_bytes(data[at + 1 : at + 4], "big")
        if length < HEADER_OCTETS or at + length > len(data):
            yield "", data[at:]
            return
        yield "", data[at : at + length]
        at += length


def looks_like_diameter(data: bytes | bytearray) -> bool:
    """A header of version 1 with a length that can be, and no reserved bits."""
    if len(data) < HEADER_OCTETS or data[0] != VERSION or data[4] & 0x0F:
        return False
    length = int.from_bytes(data[1:4], "big")
    return HEADER_OCTETS <= length <= MESSAGE_OCTETS_MAX and length % 4 == 0


def _whole(waiting: bytearray) -> Iterator[bytes]:
    """Take the whole messages from the front; what is no Diameter goes (the capture began in a message's middle)."""
    while len(waiting) >= HEADER_OCTETS:
        if not looks_like_diameter(waiting):
            waiting.clear()
            return
        length = int.from_bytes(waiting[1:4], "big")
        if len(waiting) < length:
            return
        yield bytes(waiting[:length])
        del waiting[:length]


def _way(packet: Packet) -> str:
    ends = (packet.source, packet.destination)
    return " -> ".join(f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in ends)
