"""Which Diameter peers may connect, and which are connected."""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from typing import Final, Generic, TypeVar

from ocs.settings import DiameterPeer, Settings
from protocols.diameter.base import Capabilities

REFUSED_NAMES_MAX: Final = 1000

Connection = TypeVar("Connection")


class PeerBook(Generic[Connection]):
    """Peers by identity. Identities are compared without case (RFC 6733, section 4.3.1)."""

    def __init__(self, settings: Settings) -> None:
        self._own = settings.node.identity.lower()
        self._realms = frozenset(realm.lower() for realm in settings.diameter.accept_realms)
        self._declared = {peer.identity.lower(): peer for peer in settings.diameter.peers}
        self._refused: set[str] = set()
        self.connected: dict[str, Connection] = {}

    def refusal(self, capabilities: Capabilities, address: str) -> str:
        """Why this peer is not let in, or "" if it is [B-43, B-45]."""
        identity = capabilities.origin_host.lower()
        if identity == self._own:
            return "it has our own identity"
        declared = self._declared.get(identity)
        if declared is not None:
            return _contradiction(declared, capabilities, address)
        if capabilities.origin_realm.lower() in self._realms:
            return ""
        return "neither the peer nor its realm is configured"

    def is_first_refusal(self, identity: str) -> bool:
        """Whether to log it: a peer that is refused tries again for ever."""
        name = identity.lower()
        if name in self._refused or len(self._refused) >= REFUSED_NAMES_MAX:
            return False
        self._refused.add(name)
        return True

    def forget(self, identity: str, connection: Connection) -> None:
        """The connection is gone; another one may have taken its place."""
        name = identity.lower()
        if self.connected.get(name) is connection:
            del self.connected[name]


def _contradiction(declared: DiameterPeer, capabilities: Capabilities, address: str) -> str:
    if declared.realm and declared.realm.lower() != capabilities.origin_realm.lower():
        return "its realm is not the configured one"
    if not declared.addresses:
        return ""
    remote = ip_address(address)
    networks = [ip_network(network, strict=False) for network in declared.addresses]
    return "" if any(remote in network for network in networks) else "it comes from an address that is not its own"
