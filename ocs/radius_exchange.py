"""One RADIUS request over UDP and its reply, for tools: repeated as RFC 5080 says, and no forged reply believed."""

from __future__ import annotations

import socket
from typing import Final

from ocs.addresses import Address
from protocols.radius.client import ReplyError, believed_reply
from protocols.radius.packet import PACKET_OCTETS_MAX, Packet

ATTEMPTS: Final = 3
TIMEOUT_S: Final = 2.0


class NoReplyError(Exception):
    """Nobody answered; the message says what may be the reason."""


def exchange(request: bytes, server: Address, secret: bytes, *, wants_signature: bool) -> Packet:
    """Raises NoReplyError, or ReplyError for what came and is not to be believed."""
    try:
        family, kind, *_, where = socket.getaddrinfo(server.host, server.port, type=socket.SOCK_DGRAM)[0]
        with socket.socket(family, kind) as sender:
            sender.settimeout(TIMEOUT_S)
            sender.connect(where)
            for _ in range(ATTEMPTS):
                sender.send(request)
                try:
                    datagram = sender.recv(PACKET_OCTETS_MAX)
                except TimeoutError:
                    continue
                return believed_reply(datagram, request, secret, wants_signature=wants_signature)
    except OSError as error:
        raise NoReplyError(f"RADIUS at {server} does not answer: {error}; is `ocs run` running?") from error
    raise NoReplyError(
        f"RADIUS at {server} does not answer: is this machine one of radius.clients, with the same secret?"
    )


__all__ = ["NoReplyError", "ReplyError", "exchange"]
