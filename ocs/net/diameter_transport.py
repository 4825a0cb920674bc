"""What a transport says of its far end: the address, the kind, the names of the certificate."""

from __future__ import annotations

import asyncio
from ipaddress import ip_address

from ocs.net.diameter_listener import SCTP
from ocs.net.diameter_tls import names_of


def plain_address(text: str) -> str:
    """An address without its zone, and an IPv4 address as such where a socket for both kinds shows it as IPv6."""
    address = ip_address(text.partition("%")[0])
    mapped = address.ipv4_mapped if address.version == 6 else None
    return str(mapped or address)


def transport_kind(transport: asyncio.Transport) -> tuple[str, frozenset[str]]:
    """``tcp``, ``tls`` or ``sctp``, and by TLS the names of the peer's certificate."""
    secured = transport.get_extra_info("ssl_object")
    if secured is not None:
        return "tls", names_of(secured.getpeercert() or {})
    is_sctp = getattr(transport.get_extra_info("socket"), "proto", 0) == SCTP
    return "sctp" if is_sctp else "tcp", frozenset()
