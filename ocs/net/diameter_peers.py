"""Which Diameter peers may connect, and which are connected."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from ipaddress import ip_address, ip_network
from typing import Final, Generic, NamedTuple, TypeVar

from ocs.net.diameter_tls import bears_one_of
from ocs.settings import DiameterPeer, Settings
from protocols.diameter.base import Capabilities

REFUSED_NAMES_MAX: Final = 1000

Connection = TypeVar("Connection")


class Origin(NamedTuple):
    """Where a connection comes from, and how: ``tcp``, ``tls`` or ``sctp``; the names of its certificate, by TLS."""

    address: str
    transport: str = "tcp"
    certificate_names: frozenset[str] = frozenset()


class PeerBook(Generic[Connection]):
    """Peers by identity. Identities are compared without case (RFC 6733, section 4.3.1)."""

    def __init__(self, settings: Settings) -> None:
        self._own = settings.node.identity.lower()
        self._realms = frozenset(realm.lower() for realm in settings.diameter.accept_realms)
        self._declared = {peer.identity.lower(): peer for peer in settings.diameter.peers}
        self._refused: set[str] = set()
        self._connected: dict[str, list[Connection]] = {}

    def declared(self, identity: str) -> DiameterPeer | None:
        return self._declared.get(identity.lower())

    def all_declared(self) -> Iterable[DiameterPeer]:
        return self._declared.values()

    def connections_max(self, identity: str) -> int:
        """One connection per peer [B-32], unless it is declared with more."""
        declared = self.declared(identity)
        return declared.connections_max if declared is not None else 1

    def refusal(self, capabilities: Capabilities, origin: Origin) -> str:
        """Why this peer is not let in, or "" if it is [B-34, B-43, B-45]."""
        identity = capabilities.origin_host.lower()
        if identity == self._own:
            return "it has our own identity"
        declared = self._declared.get(identity)
        if declared is None:
            if capabilities.origin_realm.lower() not in self._realms:
                return "neither the peer nor its realm is configured"
        elif contradiction := _contradiction(declared, capabilities, origin):
            return contradiction
        if origin.transport == "tls":
            names = (declared.certificate_names if declared is not None else ()) or (identity,)
            if not bears_one_of(origin.certificate_names, names):
                return "its certificate is for another name"
        return ""

    def is_first_refusal(self, identity: str) -> bool:
        """Whether to log it: a peer that is refused tries again for ever."""
        name = identity.lower()
        if name in self._refused or len(self._refused) >= REFUSED_NAMES_MAX:
            return False
        self._refused.add(name)
        return True

    def connected(self, identity: str) -> list[Connection]:
        return self._connected.get(identity.lower(), [])

    def lines(self) -> Iterator[Connection]:
        """All connections of peers that were let in."""
        for connections in self._connected.values():
            yield from connections

    def enter(self, identity: str, connection: Connection) -> None:
        self._connected.setdefault(identity.lower(), []).append(connection)

    def forget(self, identity: str, connection: Connection) -> None:
        """The connection is gone; another one may have taken its place."""
        name = identity.lower()
        left = [other for other in self._connected.get(name, ()) if other is not connection]
        if left:
            self._connected[name] = left
        else:
            self._connected.pop(name, None)


def _contradiction(declared: DiameterPeer, capabilities: Capabilities, origin: Origin) -> str:
    if declared.realm and declared.realm.lower() != capabilities.origin_realm.lower():
        return "its realm is not the configured one"
    if declared.transport not in {"any", origin.transport}:
        return f"it has to come by {declared.transport}"
    if not declared.addresses:
        return ""
    remote = ip_address(origin.address)
    networks = [ip_network(network, strict=False) for network in declared.addresses]
    return "" if any(remote in network for network in networks) else "it comes from an address that is not its own"
