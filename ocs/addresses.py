"""Addresses to listen on, as operators write them: ``127.0.0.1:3868``, ``[::1]:3868``."""

from __future__ import annotations

import errno
import socket
from typing import NamedTuple

PORT_MAX = 65_535


class Address(NamedTuple):
    """A host (name or number, without brackets) and a port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_address(text: str) -> Address | None:
    """Split ``host:port``; None when it is no such thing."""
    host, colon, port = text.rpartition(":")
    bare = host.removeprefix("[").removesuffix("]")
    is_bracketed = host != bare
    if not colon or not bare or (":" in bare and not is_bracketed) or not port.isascii() or not port.isdigit():
        return None
    return Address(bare, int(port)) if int(port) <= PORT_MAX else None


def why_not_free(address: Address, kind: socket.SocketKind) -> str:
    """Say in a few words why nobody could listen there now; "" if one could."""
    try:
        family, _, protocol, _, where = socket.getaddrinfo(address.host, address.port, type=kind)[0]
        with socket.socket(family, kind, protocol) as probe:
            if kind == socket.SOCK_STREAM:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(where)
    except socket.gaierror:
        return "is no address of this machine"
    except OSError as error:
        return {
            errno.EADDRINUSE: "is taken by another process",
            errno.EACCES: "needs more rights than this user has (ports below 1024 are root's)",
            errno.EADDRNOTAVAIL: "is no address of this machine",
        }.get(error.errno or 0, f"cannot be listened on: {error.strerror}")
    return ""
