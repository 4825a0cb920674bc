"""Diameter peers over HTTP: what `ocs peers` shows, for monitoring."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from litestar import get

from ocs.api.context import Given
from ocs.api.keys import Scope
from ocs.api.operations import operation
from ocs.api.ports import PeerView


class PeersView(msgspec.Struct, frozen=True, kw_only=True):
    """``missing`` are declared peers that no daemon has a connection with."""

    peers: tuple[PeerView, ...]
    missing: tuple[str, ...]


@get("/diameter/peers", tags=["diameter"], **operation("list_diameter_peers", Scope.PEERS_READ))
async def list_peers(context: Given) -> PeersView:
    """The Diameter peers of all daemons on this Valkey, as each told some five seconds ago."""
    peers = sorted(await context.peers(), key=lambda peer: (peer.identity, peer.daemon))
    connected = {peer.identity.lower() for peer in peers if peer.address}
    missing = dict.fromkeys(peer.identity for peer in peers if peer.identity.lower() not in connected)
    return PeersView(peers=tuple(peers), missing=tuple(missing))


ROUTES: Final[tuple[Any, ...]] = (list_peers,)
