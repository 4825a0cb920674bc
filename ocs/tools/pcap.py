"""Captures without a library: pcap and pcapng to what UDP, SCTP and TCP carried.

Ethernet, loopback, raw IP and Linux's cooked frames; IPv4 and IPv6 without fragments. What cannot be read is passed over.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from struct import Struct, error
from typing import Final, NamedTuple

TCP: Final = 6
UDP: Final = 17
SCTP: Final = 132
EARLY_MAX: Final = 256  # packets that wait for one that was not captured
_SEQUENCE: Final = 0xFFFF_FFFF
_MAGICS: Final = {
    b"\xd4\xc3\xb2\xa1": "<", b"\xa1\xb2\xc3\xd4": ">", b"\x4d\x3c\xb2\xa1": "<", b"\xa1\xb2\x3c\x4d": ">",
}  # fmt: skip
_NG: Final = b"\n\r\r\n"
_ETHERNET, _NULL, _SLL, _SLL2 = 1, 0, 113, 276
_RAW: Final = frozenset({12, 14, 101, 228, 229})
_VLAN: Final = frozenset({0x8100, 0x88A8})


class Packet(NamedTuple):
    """One transport packet. ``sequence`` and ``is_start`` are TCP's."""

    protocol: int
    source: tuple[str, int]
    destination: tuple[str, int]
    payload: bytes
    sequence: int = 0
    is_start: bool = False


def is_capture(data: bytes) -> bool:
    """Whether it begins as a pcap or pcapng file does."""
    return data[:4] in _MAGICS or data[:4] == _NG


def packets(data: bytes) -> Iterator[Packet]:
    """The transport packets of a capture, in its order; a file that is cut ends where it ends."""
    for link, frame in _ng_frames(data) if data[:4] == _NG else _frames(data):
        try:
            found = _packet(link, frame)
        except (IndexError, ValueError, error):
            continue
        if found is not None:
            yield found


class Flow:
    """One direction of a TCP connection, put together: repeats dropped, what overtook put back."""

    def __init__(self) -> None:
        self._next: int | None = None
        self._early: dict[int, bytes] = {}

    def feed(self, packet: Packet) -> bytes:
        """The octets that are in order now; a hole holds back what follows it until too much is waiting."""
        if packet.is_start:
            self._next = packet.sequence + 1 & _SEQUENCE
            self._early.clear()
            return b""
        if self._next is None or len(self._early) > EARLY_MAX:
            self._next = min(self._early, default=packet.sequence)
        self._early[packet.sequence] = max(packet.payload, self._early.get(packet.sequence, b""), key=len)
        data = bytearray()
        while (piece := self._take()) is not None:
            data += piece
        return bytes(data)

    def _take(self) -> bytes | None:
        """The next piece, less what is known of it already."""
        assert self._next is not None, "it has begun"
        for sequence in sorted(self._early):
            known = self._next - sequence & _SEQUENCE
            if known > _SEQUENCE >> 1:
                continue  # it is still ahead
            payload = self._early.pop(sequence)
            if known < len(payload):
                self._next = sequence + len(payload) & _SEQUENCE
                return payload[known:]
        return None


def sctp_messages(packet: Packet) -> Iterator[bytes]:
    """The whole user messages of an SCTP packet's DATA chunks; messages in several chunks are passed over."""
    data, at = packet.payload, 12
    while at + 4 <= len(data):
        kind, flags, length = data[at], data[at + 1], int.from_bytes(data[at + 2 : at + 4], "big")
        if length < 4:
            return
        if kind == 0 and flags & 3 == 3:
            yield data[at + 16 : at + length]
        at += length + 3 & -4


def _frames(data: bytes) -> Iterator[tuple[int, bytes]]:
    head = Struct(_MAGICS[data[:4]] + "IIII")
    (link,) = Struct(_MAGICS[data[:4]] + "I").unpack_from(data.ljust(24, b"\0"), 20)
    at = 24
    while at + 16 <= len(data):
        length = head.unpack_from(data, at)[2]
        yield link & 0xFFFF, data[at + 16 : at + 16 + length]
        at += 16 + length


def _ng_frames(data: bytes) -> Iterator[tuple[int, bytes]]:
    links: list[int] = []
    order, at = "<", 0
    while at + 12 <= len(data):
        if data[at : at + 4] == _NG:
            order = "<" if data[at + 8 : at + 12] == b"\x4d\x3c\x2b\x1a" else ">"
            links.clear()
        kind, length = Struct(order + "II").unpack_from(data, at)
        if length < 12:
            return
        if kind == 1:
            links.append(Struct(order + "H").unpack_from(data, at + 8)[0])
        elif kind == 6 and at + 28 <= len(data):
            interface, _, _, captured = Struct(order + "IIII").unpack_from(data, at + 8)
            yield links[interface] if interface < len(links) else _ETHERNET, data[at + 28 : at + 28 + captured]
        at += length + 3 & -4


def _packet(link: int, frame: bytes) -> Packet | None:
    network = _network(link, frame)
    version = network[0] >> 4
    if version == 4:
        header, protocol = (network[0] & 15) * 4, network[9]
        is_fragment = int.from_bytes(network[6:8], "big") & 0x3FFF
        end = int.from_bytes(network[2:4], "big") or len(network)
        addresses = network[12:16], network[16:20]
    elif version == 6:
        header, protocol, is_fragment = 40, network[6], 0
        end = 40 + int.from_bytes(network[4:6], "big")
        addresses = network[8:24], network[24:40]
    else:
        return None
    return None if is_fragment else _transport(protocol, addresses, network[header:end])


def _network(link: int, frame: bytes) -> bytes:
    if link == _ETHERNET:
        at = 12
        while int.from_bytes(frame[at : at + 2], "big") in _VLAN:
            at += 4
        return frame[at + 2 :]
    if link == _NULL:
        return frame[4:]
    if link in _RAW:
        return frame
    return frame[{_SLL: 16, _SLL2: 20}.get(link, len(frame)) :]


def _transport(protocol: int, addresses: tuple[bytes, bytes], data: bytes) -> Packet | None:
    source_port, destination_port = Struct(">HH").unpack_from(data)
    source, destination = (str(ipaddress.ip_address(address)) for address in addresses)
    ends = (source, source_port), (destination, destination_port)
    if protocol == UDP:
        return Packet(UDP, *ends, data[8 : int.from_bytes(data[4:6], "big")])
    if protocol == SCTP:
        return Packet(SCTP, *ends, data)
    if protocol == TCP:
        return Packet(TCP, *ends, data[(data[12] >> 4) * 4 :], int.from_bytes(data[4:8], "big"), bool(data[13] & 2))
    return None
