"""Workers: further daemons of one machine that take RADIUS over UDP from the same ports, one for each core.

A worker is the same daemon with less to listen on. The kernel sends each client's socket to one of them, always the
same (SO_REUSEPORT); what they have to know of one another is in Valkey. Worker 0 is the daemon itself.
"""

from __future__ import annotations

import msgspec

from ocs.addresses import PORT_MAX, parse_address
from ocs.settings import Radius, Settings


def worker_numbers(radius: Radius) -> range:
    """The workers beside the daemon itself."""
    return range(1, radius.workers)


def worker_http(settings: Settings, number: int) -> str:
    """Where a worker tells of itself (/metrics, /ready): as many ports above the daemon's as its number; "" if there is
    no such port.
    """
    address = parse_address(settings.http.listen)
    if address is None or not 0 < address.port <= PORT_MAX - number:
        return ""
    return str(address._replace(port=address.port + number))


def worker_settings(settings: Settings, number: int) -> Settings:
    """The same settings with nothing but RADIUS over UDP to serve, and a port of its own for HTTP."""
    replace = msgspec.structs.replace
    diameter = replace(settings.diameter, listen=(), listen_tls=(), listen_sctp=(), peers=())
    radius = replace(settings.radius, radsec=(), tcp=())
    http = replace(settings.http, listen=worker_http(settings, number))
    changed: Settings = replace(settings, diameter=diameter, radius=radius, http=http)
    return changed
