"""A listening socket: admission comes before the TLS handshake, so that half-open peers cannot fill the memory."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from typing import Final

import structlog

from ocs.addresses import Address, why_not_free
from ocs.errors import StartRefusedError
from ocs.net.socket_transport import SocketTransport

log = structlog.get_logger()

BACKLOG: Final = 1024
SCTP: Final = 132  # IANA's protocol number
SCTP_NODELAY: Final = 3  # Linux, linux/sctp.h
PAUSE_S: Final = 0.1  # after an accept that failed, such as for want of file descriptors


class Listener:
    """``admits`` says whether one more connection may come; ``make`` makes its protocol; ``failed`` is told of a handshake
    that came to nothing: from which address, and why.

    Several sockets if the host's name leads to several addresses.
    """

    def __init__(
        self,
        sockets: list[socket.socket],
        make: Callable[[], asyncio.Protocol],
        admits: Callable[[int], bool],
        failed: Callable[[str, str], None],
        tls: ssl.SSLContext | None = None,
        handshake_s: float = 10.0,
    ) -> None:
        self._sockets = sockets
        self._make = make
        self._admits = admits
        self._failed = failed
        self._tls = tls
        self._handshake_s = handshake_s
        self._arriving: set[asyncio.Task[None]] = set()
        self._accepting = [asyncio.get_running_loop().create_task(self._accept(each)) for each in sockets]

    @property
    def addresses(self) -> list[str]:
        names = (each.getsockname() for each in self._sockets)
        return [str(Address(name[0], name[1])) for name in names]

    async def close(self) -> None:
        tasks = (*self._accepting, *self._arriving)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for each in self._sockets:
            each.close()

    async def _accept(self, listening: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                accepted, origin = await loop.sock_accept(listening)
            except OSError as error:
                log.warning("accept_failed", reason=str(error))
                await asyncio.sleep(PAUSE_S)
                continue
            if not self._admits(len(self._arriving)):
                accepted.close()
                continue
            task = loop.create_task(self._arrive(accepted, str(origin[0])))
            self._arriving.add(task)
            task.add_done_callback(self._arriving.discard)

    async def _arrive(self, accepted: socket.socket, address: str) -> None:
        """Up to the protocol's ``connection_made``; a failed handshake is the peer's affair."""
        try:
            accepted.setblocking(False)
            with suppress(OSError):
                accepted.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)  # [B-35]
            if accepted.proto == SCTP:
                with suppress(OSError):
                    accepted.setsockopt(SCTP, SCTP_NODELAY, 1)
                SocketTransport(accepted, self._make())
                return
            with suppress(OSError):
                accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            timeout_s = self._handshake_s if self._tls is not None else None
            await asyncio.get_running_loop().connect_accepted_socket(
                self._make, accepted, ssl=self._tls, ssl_handshake_timeout=timeout_s
            )
        except (OSError, ssl.SSLError) as error:
            accepted.close()
            self._failed(address, str(error) or type(error).__name__)


def open_sockets(address: Address, protocol: str, is_sctp: bool = False) -> list[socket.socket]:
    """Sockets that listen on an address. Raises StartRefusedError with the reason and the cure."""
    found: list[socket.socket] = []
    try:
        for family, _, _, _, where in socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM):
            listening = socket.socket(family, socket.SOCK_STREAM, SCTP if is_sctp else 0)
            found.append(listening)
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:  # "::" beside "0.0.0.0": each listener serves its own kind
                listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            listening.bind(where)
            listening.listen(BACKLOG)
            listening.setblocking(False)
    except OSError as error:
        for each in found:
            each.close()
        if is_sctp and isinstance(error, OSError) and not has_sctp():
            reason = "this kernel has no SCTP (Linux: modprobe sctp), or empty listen_sctp"
        else:
            reason = why_not_free(address, socket.SOCK_STREAM) or f"cannot be listened on: {error.strerror}"
        raise StartRefusedError(f"{protocol}: {address} {reason}") from error
    return found


def has_sctp() -> bool:
    """Whether the kernel makes SCTP sockets."""
    try:
        socket.socket(socket.AF_INET, socket.SOCK_STREAM, SCTP).close()
    except OSError:
        return False
    return True
