"""What a daemon tells of its Diameter peers: state, watchdog and figures of each connection, and who is missing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

import msgspec

if TYPE_CHECKING:
    from ocs.net.diameter_connection import DiameterConnection
    from ocs.net.diameter_server import DiameterServer

KIND: Final = "diameter-peers"
MISSING: Final = "not connected"


class PeerReport(msgspec.Struct, frozen=True):
    """One connection, or a declared peer without any. ``silent_ms``: so long a DWR has been waiting for its answer."""

    identity: str
    state: str
    realm: str = ""
    product: str = ""
    address: str = ""
    transport: str = ""
    dialled: bool = False
    watchdog: str = ""
    silent_ms: int = 0
    requests: int = 0
    unanswered: int = 0


def peer_reports(server: DiameterServer, now_ms: int) -> Iterator[PeerReport]:
    """The connections of peers that were let in, then the declared peers that have none. ``now_ms`` is the loop's."""
    connected = set()
    for connection in server.peers.lines():
        connected.add(connection.identity.lower())
        yield _connected(connection, now_ms)
    for peer in server.peers.all_declared():
        if peer.identity.lower() not in connected:
            yield PeerReport(peer.identity, MISSING, peer.realm, dialled=bool(peer.connect))


def _connected(connection: DiameterConnection, now_ms: int) -> PeerReport:
    peer, origin = connection.peer, connection.origin
    capabilities = peer.capabilities
    return PeerReport(
        connection.identity,
        peer.state.name.lower().replace("_", "-"),
        connection.realm,
        capabilities.product_name if capabilities is not None else "",
        origin.address,
        origin.transport,
        connection.dialler is not None,
        peer.watchdog.state.name.lower(),
        peer.silent_ms(now_ms),
        connection.requests_taken,
        peer.unanswered,
    )
