"""Captures made by hand: frames of Ethernet and IPv4 with TCP, UDP and SCTP, as pcap and pcapng."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_address
from struct import pack

CLIENT, SERVER = ("10.0.0.1", 40_000), ("10.0.0.2", 3868)
START = 0xFFFF_FF00  # the sequence wraps on the way
SYN, ACK = 2, 16


def pcap(frames: Sequence[bytes]) -> bytes:
    """The old form."""
    head = pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65_535, 1)
    return head + b"".join(pack("<IIII", 0, 0, len(frame), len(frame)) + frame for frame in frames)


def pcapng(frames: Sequence[bytes]) -> bytes:
    """The new form: a section, an interface, a block for each packet."""
    blocks = [_block(0x0A0D0D0A, pack("<IHHq", 0x1A2B3C4D, 1, 0, -1)), _block(1, pack("<HHI", 1, 0, 65_535))]
    blocks += [_block(6, pack("<IIIII", 0, 0, 0, len(frame), len(frame)) + frame) for frame in frames]
    return b"".join(blocks)


def ethernet(payload: bytes) -> bytes:
    """An Ethernet frame of IPv4."""
    return bytes(12) + b"\x08\x00" + payload


def segments(data: bytes, size: int, *, start: bool = True, at: int = 0) -> list[bytes]:
    """TCP from the client to the server in pieces, with the SYN in front."""
    found = [_tcp(b"", START, SYN)] if start else []
    first = START + 1 + at
    pieces = (_tcp(data[offset : offset + size], first + offset, ACK) for offset in range(0, len(data), size))
    return [*found, *pieces]


def udp(payload: bytes, port: int, source: int = CLIENT[1]) -> bytes:
    """A datagram to a port of the server."""
    return _ip(17, pack(">HHHH", source, port, 8 + len(payload), 0) + payload)


def sctp(message: bytes) -> bytes:
    """One whole user message in one DATA chunk."""
    chunk = pack(">BBHIHHI", 0, 3, 16 + len(message), 1, 0, 0, 46) + message
    return _ip(132, pack(">HHII", CLIENT[1], SERVER[1], 0, 0) + chunk)


def _tcp(payload: bytes, sequence: int, flags: int) -> bytes:
    ports = (CLIENT[1], SERVER[1])
    return _ip(6, pack(">HHIIBBHHH", *ports, sequence & 0xFFFF_FFFF, 0, 0x50, flags, 1000, 0, 0) + payload)


def _ip(protocol: int, payload: bytes) -> bytes:
    addresses = ip_address(CLIENT[0]).packed + ip_address(SERVER[0]).packed
    head = pack(">BBHHHBBH", 0x45, 0, 20 + len(payload), 0, 0, 64, protocol, 0)
    return ethernet(head + addresses + payload)


def _block(kind: int, body: bytes) -> bytes:
    body += bytes(-len(body) % 4)
    return pack("<II", kind, 12 + len(body)) + body + pack("<I", 12 + len(body))
