"""Calls of the API, tag diameter. Written by scripts/client.py from its routes: change those."""

from __future__ import annotations

from ocs.api import diameter
from ocs.client.transport import Transport


class DiameterCalls(Transport):
    """What the API has under the tag diameter."""

    def list_diameter_peers(self) -> diameter.PeersView:
        """The Diameter peers of all daemons on this Valkey, as each told some five seconds ago."""
        answer: diameter.PeersView = self._call("GET", "/v1/diameter/peers", diameter.PeersView)
        return answer
