"""A UDP socket in the loop: drained in turns, and replies that leave from the address that was asked [R-3]."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import sys
from collections.abc import Callable
from typing import Any, Final, TypeAlias

from ocs.errors import StartRefusedError
from ocs.native import batches

DATAGRAM_OCTETS_MAX: Final = 8192  # more than any lawful packet: what is longer shows as such
DATAGRAMS_PER_TURN: Final = 64  # then others have their turn; the loop calls again for the rest
RECEIVE_BUFFER_OCTETS: Final = 4 * 1024 * 1024  # some 5,000 records; Linux gives 512 unasked (docs/adr/0042-workers.md)

_BATCHES: Final = batches()
_SO_RCVBUFFORCE: Final = 33  # Linux: beyond net.core.rmem_max, for who has CAP_NET_ADMIN (socket(7))

# Linux: a socket bound to every address says with each datagram which of them was asked (ip(7), ipv6(7)).
_IP_PKTINFO: Final = 8
_IPV4_INFO: Final = struct.Struct("=I4s4s")

Source: TypeAlias = tuple[Any, ...]
Local: TypeAlias = (
    bytes  # of a socket bound to all: the address that was asked, as the kernel wants it back; else empty
)
OnTurn: TypeAlias = Callable[["DatagramSocket", list[tuple[bytes, Source, Local]]], None]


class DatagramSocket:
    """``on_turn`` gets all datagrams of one turn: (octets, source, where to answer from)."""

    def __init__(self, listen: str, on_turn: OnTurn, *, is_shared: bool = False) -> None:
        self._on_turn = on_turn
        self._socket = _bind(listen, is_shared=is_shared)
        self._is_wildcard = self._socket.getsockname()[0] in ("0.0.0.0", "::")  # noqa: S104 - a comparison
        if self._is_wildcard:
            self._ask_for_local_address()
        self.unsent = 0  # replies the kernel had no room for; the client's repeat finds them in the cache
        self._outgoing: list[tuple[bytes, Source, Local]] = []
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def address(self) -> str:
        host, port = self._socket.getsockname()[:2]
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    @property
    def is_buffer_small(self) -> bool:
        """Whether the system gave less room for what waits than was asked for."""
        return self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) < RECEIVE_BUFFER_OCTETS

    def open(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        loop.add_reader(self._socket, self._on_readable)

    def stop_reading(self, loop: asyncio.AbstractEventLoop) -> None:
        loop.remove_reader(self._socket)

    def close(self) -> None:
        self._send_all()
        self._socket.close()

    def send(self, octets: bytes, source: Source, local: Local) -> None:
        """Send now, or with all others of this turn. UDP promises nothing, so neither does this."""
        if _BATCHES is not None and self._loop is not None:
            if not self._outgoing:
                self._loop.call_soon(self._send_all)
            self._outgoing.append((octets, source, local))
            return
        try:
            if local:
                self._socket.sendmsg((octets,), [(*self._local_info, local)], 0, source)
            else:
                self._socket.sendto(octets, source)
        except OSError:
            self.unsent += 1

    def _send_all(self) -> None:
        if self._outgoing:
            outgoing, self._outgoing = self._outgoing, []
            self.unsent += _BATCHES.send_all(self._socket.fileno(), outgoing)

    def _on_readable(self) -> None:
        if _BATCHES is not None:
            datagrams: list[tuple[bytes, Source, Local]] = _BATCHES.receive(self._socket.fileno())
        else:
            datagrams = self._receive_with_local() if self._is_wildcard else self._receive()
        if datagrams:
            self._on_turn(self, datagrams)

    def _receive(self) -> list[tuple[bytes, Source, Local]]:
        receive = self._socket.recvfrom
        datagrams: list[tuple[bytes, Source, Local]] = []
        # OSError: nothing more to read, or an ICMP error of a reply that found nobody.
        with contextlib.suppress(OSError):
            for _ in range(DATAGRAMS_PER_TURN):
                octets, source = receive(DATAGRAM_OCTETS_MAX)
                datagrams.append((octets, source, b""))
        return datagrams

    def _receive_with_local(self) -> list[tuple[bytes, Source, Local]]:
        datagrams: list[tuple[bytes, Source, Local]] = []
        with contextlib.suppress(OSError):
            for _ in range(DATAGRAMS_PER_TURN):
                octets, ancillary, _, source = self._socket.recvmsg(DATAGRAM_OCTETS_MAX, 64)
                local = b"".join(
                    _goes_from(info) for level, kind, info in ancillary if (level, kind) == self._local_info
                )
                datagrams.append((octets, source, local))
        return datagrams

    @property
    def _local_info(self) -> tuple[int, int]:
        """How the kernel calls the address that was asked: level and kind."""
        if self._socket.family == socket.AF_INET6:
            return socket.IPPROTO_IPV6, socket.IPV6_PKTINFO
        return socket.IPPROTO_IP, _IP_PKTINFO

    def _ask_for_local_address(self) -> None:
        if self._socket.family == socket.AF_INET6:
            self._socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
        else:
            self._socket.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)


def _goes_from(info: bytes) -> bytes:
    """What was received as "came to" is sent back as "goes from"; IPv4 has two address fields for that."""
    if len(info) == _IPV4_INFO.size:
        _, local, _ = _IPV4_INFO.unpack(info)
        return _IPV4_INFO.pack(0, local, bytes(4))
    return info


def _enlarge_buffer(bound: socket.socket) -> None:
    """While the loop is busy the kernel keeps what comes; what does not fit is lost without a sign."""
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_OCTETS)
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            bound.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, RECEIVE_BUFFER_OCTETS)


def _bind(listen: str, *, is_shared: bool) -> socket.socket:
    """``is_shared``: other processes may bind the same address, and the kernel chooses one of them by the sender's
    address and port, always the same one, so that a repeat finds the reply that was kept for it.
    """
    host, _, port = listen.rpartition(":")
    host = host.strip("[]")
    bound = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
    try:
        bound.setblocking(False)
        _enlarge_buffer(bound)
        if is_shared:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        bound.bind((host, int(port)))
    except (OSError, ValueError) as error:
        bound.close()
        raise StartRefusedError(f"RADIUS cannot listen on {listen}: {error}; choose a free address") from error
    return bound
