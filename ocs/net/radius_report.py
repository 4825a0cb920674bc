"""What a daemon tells of its RADIUS clients, for `ocs clients`."""

from __future__ import annotations

from typing import Final

import msgspec

from ocs.net.radius_clients import Client

KIND: Final = "radius-clients"


class ClientReport(msgspec.Struct, frozen=True):
    """One client's figures since the daemon's start. ``requirement`` is what "auto" has become [R-21] [R-26]."""

    name: str
    requirement: str
    requests: int
    insecure: int
    discarded: dict[str, int]
    asked: dict[str, int]
    connections: int


def report_of(client: Client, connections: int) -> ClientReport:
    peer = client.peer
    return ClientReport(
        client.name, peer.requirement, client.requests, peer.insecure, client.discarded, client.asked, connections
    )  # fmt: skip
