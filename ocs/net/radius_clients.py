"""Which client a datagram is from: by the address it came from, never by what it says of itself [R-2]."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final, TypeAlias

import msgspec

from ocs.errors import EXIT_CONFIG, StartRefusedError
from ocs.gateways.numbering import PLAIN_NUMBERING, Numbering
from ocs.gateways.radius import Profile, profile_of
from ocs.gateways.radius_products import Products
from ocs.settings import Radius, RadiusClient
from protocols.radius.responder import Peer

ADDRESSES_MAX: Final = 65_536

_Network: TypeAlias = IPv4Network | IPv6Network


class Client(msgspec.Struct):
    """One client: how the protocol and how charging see it, how many requests it made, the packets that got no answer
    by reason, and what it was asked (RFC 5176) with which result. ``in_flight`` is counted where ``in_flight_max`` is.
    """

    profile: Profile
    peer: Peer
    requests: int = 0
    in_flight: int = 0
    in_flight_max: int = 0
    discarded: dict[str, int] = {}
    asked: dict[str, int] = {}

    @property
    def name(self) -> str:
        return self.profile.client.name

    def discard(self, reason: str) -> None:
        self.discarded[reason] = self.discarded.get(reason, 0) + 1


class ClientTable:
    """The longest network that holds the address wins. What was found is kept, also that nothing was."""

    def __init__(self, settings: Radius, products: Products, numbering: Numbering = PLAIN_NUMBERING) -> None:
        self.clients = [_client(client, settings, products, numbering) for client in settings.clients]
        self._networks = sorted(
            ((network, client) for client in self.clients for network in _networks(client.profile.client)),
            key=lambda entry: -entry[0].prefixlen,
        )
        self._found: dict[str, Client | None] = {}
        self._by_name = {
            name.lower(): client for client in self.clients for name in client.profile.client.certificate_names
        }
        _refuse_doubles(self.clients, [network for network, _ in self._networks])

    def find(self, address: str) -> Client | None:
        try:
            return self._found[address]
        except KeyError:
            return self._look_up(address)

    def find_by_names(self, names: tuple[str, ...]) -> Client | None:
        """The client that has one of a certificate's names."""
        return next((self._by_name[name] for name in names if name in self._by_name), None)

    def holds(self, client: Client, address: str) -> bool:
        """Whether the address is in one of the client's networks."""
        parsed = _address(address)
        return any(parsed in network for network, owner in self._networks if owner is client)

    def _look_up(self, address: str) -> Client | None:
        if len(self._found) >= ADDRESSES_MAX:  # somebody sends from forged addresses
            self._found.clear()
        parsed = _address(address)
        client = next((client for network, client in self._networks if parsed in network), None)
        self._found[address] = client
        return client


def _address(text: str) -> IPv4Address | IPv6Address:
    """A socket for IPv6 shows IPv4 clients as ``::ffff:192.0.2.1`` (RFC 4291, section 2.5.5.2)."""
    parsed = ip_address(text.partition("%")[0])
    mapped = parsed.ipv4_mapped if isinstance(parsed, IPv6Address) else None
    return mapped or parsed


def plain_address(text: str) -> str:
    """An address as a client's networks write it."""
    return str(_address(text))


def _client(client: RadiusClient, settings: Radius, products: Products, numbering: Numbering) -> Client:
    if not client.secret:
        raise StartRefusedError(f"radius client {client.name}: the secret is empty; set one", EXIT_CONFIG)
    profile = profile_of(client, settings, products.dialect_of(client), numbering)
    peer = Peer(
        profile.secret, client.require_message_authenticator, client.limit_proxy_state, client.status_server
    )  # fmt: skip
    return Client(profile, peer, in_flight_max=client.in_flight_max)


def _networks(client: RadiusClient) -> list[_Network]:
    try:
        return [ip_network(network) for network in client.networks]
    except ValueError as error:
        raise StartRefusedError(
            f"radius client {client.name}: networks: {error}; write 192.0.2.0/24 or one address", EXIT_CONFIG
        ) from error


def _refuse_doubles(clients: list[Client], networks: list[_Network]) -> None:
    for what, names in (("client", [client.name for client in clients]), ("network", [str(n) for n in networks])):
        doubles = sorted({name for name in names if names.count(name) > 1})
        if doubles:
            raise StartRefusedError(f"radius: {what} {', '.join(doubles)} is named twice; keep one", EXIT_CONFIG)
