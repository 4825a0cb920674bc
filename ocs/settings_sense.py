"""Whether settings of the right shape make sense: ranges, addresses, names, and what contradicts what."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from ipaddress import ip_network
from typing import Final, TypeAlias
from urllib.parse import urlsplit

import phonenumbers

from ocs import limits
from ocs.addresses import parse_address
from ocs.rating.finals import faults_of
from ocs.settings import Settings
from ocs.workers import worker_http, worker_numbers

Path: TypeAlias = tuple[str | int, ...]
Fault: TypeAlias = Callable[[Path, str, str], None]

# DiameterIdentity is a fully qualified domain name (RFC 6733, section 4.3.1).
_DOMAIN: Final = re.compile(r"(?!-)[A-Za-z0-9-]{1,63}(?<!-)(\.(?!-)[A-Za-z0-9-]{1,63}(?<!-))+")
_CERTIFICATE_NAME: Final = re.compile(r"sha256:[0-9A-Fa-f]{64}|(\*\.)?[A-Za-z0-9._-]+")
_ADDRESS_CURE: Final = "write host:port, such as 127.0.0.1:3868 or [::1]:3868"

_RANGES: Final[dict[tuple[str, str], tuple[float, float]]] = {
    ("backends", "partitions"): (1, limits.PARTITIONS_MAX),
    ("backends", "valkey_octets_max"): (0, 1 << 46),
    ("diameter", "watchdog_s"): (limits.WATCHDOG_S_MIN, limits.WATCHDOG_S_MAX),
    ("diameter", "reconnect_s"): (1, 3600),
    ("diameter", "capabilities_timeout_s"): (1, 600),
    ("diameter", "message_octets_max"): (limits.MESSAGE_OCTETS_MIN, limits.MESSAGE_OCTETS_MAX),
    ("diameter", "in_flight_max"): (1, limits.IN_FLIGHT_MAX),
    ("diameter", "connections_max"): (1, limits.CONNECTIONS_MAX),
    ("radius", "in_flight_max"): (1, limits.IN_FLIGHT_MAX),
    ("radius", "workers"): (1, limits.WORKERS_MAX),
    ("radius", "reply_cache_s"): (limits.REPLY_CACHE_S_MIN, limits.REPLY_CACHE_S_MAX),
    ("radius", "session_max_s"): (1, limits.SESSION_S_MAX),
    ("radius", "ring_s"): (1, limits.RING_S_MAX),
    ("radius", "hold_s"): (0, limits.SESSION_S_MAX),
    ("radius", "attempts_max"): (1, 1_000_000),
    ("radius", "lockout_s"): (1, 86_400),
    ("http", "requests_per_minute"): (1, 10_000_000),
    ("quota", "seconds"): (1, limits.QUOTA_SECONDS_MAX),
    ("quota", "octets"): (1, limits.QUOTA_OCTETS_MAX),
    ("quota", "events"): (1, limits.QUOTA_EVENTS_MAX),
    ("quota", "validity_s"): (limits.VALIDITY_S_MIN, limits.VALIDITY_S_MAX),
    ("quota", "threshold_percent"): (0, 99),
    ("quota", "supervision_factor"): (limits.SUPERVISION_FACTOR_MIN, limits.SUPERVISION_FACTOR_MAX),
    ("credit_control", "quota_holding_s"): (0, limits.VALIDITY_S_MAX),
    ("rates", "reauthorizations_per_s"): (1, 100_000),
    ("retention", "tombstone_s"): (limits.TOMBSTONE_S_MIN, limits.TOMBSTONE_S_MAX),
    ("retention", "event_s"): (limits.TOMBSTONE_S_MIN, limits.TOMBSTONE_S_MAX),
    ("retention", "cdr_months"): (0, 1200),
    ("outbox", "batch_max"): (1, limits.BATCH_MAX),
    ("outbox", "idle_s"): (0.001, 60),
}


def check_sense(settings: Settings, fault: Fault) -> None:
    """Report each thing that cannot be meant."""
    _check_ranges(settings, fault)
    _check_names(settings, fault)
    _check_backends(settings, fault)
    _check_addresses(settings, fault)
    _check_peers(settings, fault)
    _check_radius_clients(settings, fault)
    _check_certificate_names(settings, fault)
    _check_credit_control(settings, fault)
    _check_numbering(settings, fault)
    _check_radius_tls(settings, fault)
    _check_stripe(settings, fault)


def _check_ranges(settings: Settings, fault: Fault) -> None:
    for (section, name), (low, high) in _RANGES.items():
        value = getattr(getattr(settings, section), name)
        if not low <= value <= high:
            fault((section, name), f"is {value}", f"choose {low} to {high}")


def _check_names(settings: Settings, fault: Fault) -> None:
    node = settings.node
    names: list[tuple[Path, str]] = [(("node", "identity"), node.identity), (("node", "realm"), node.realm)]
    names += [(("node", "aliases"), alias) for alias in node.aliases]
    names += [(("diameter", "accept_realms"), realm) for realm in settings.diameter.accept_realms]
    for path, name in names:
        if not _DOMAIN.fullmatch(name):
            fault(path, f"{name!r} is no domain name", "write it in full, such as ocs.example.net")
    if not node.data_dir:
        fault(("node", "data_dir"), "is empty", 'name a folder, such as "data"')


def _check_backends(settings: Settings, fault: Fault) -> None:
    url, dsn = settings.backends.valkey_url, settings.backends.postgres_dsn
    if url and urlsplit(url).scheme not in {"redis", "rediss", "valkey", "valkeys", "unix"}:
        fault(("backends", "valkey_url"), "is no address of a Valkey", "such as redis://:password@10.0.0.5:6379/0")
    if dsn and urlsplit(dsn).scheme not in {"postgresql", "postgres"}:
        fault(
            ("backends", "postgres_dsn"),
            "is no address of a PostgreSQL",
            "such as postgresql://ocs:password@10.0.0.6/ocs",
        )


def listening(settings: Settings) -> Iterator[tuple[Path, str, str]]:
    """Each address to listen on: where it is set, as what (``tcp``, ``udp`` or ``sctp``), the text."""
    for text in settings.diameter.listen:
        yield ("diameter", "listen"), "tcp", text
    for text in settings.diameter.listen_tls:
        yield ("diameter", "listen_tls"), "tcp", text
    for text in settings.diameter.listen_sctp:
        yield ("diameter", "listen_sctp"), "sctp", text
    for text in settings.radius.authentication:
        yield ("radius", "authentication"), "udp", text
    for text in settings.radius.accounting:
        yield ("radius", "accounting"), "udp", text
    for text in settings.radius.radsec:
        yield ("radius", "radsec"), "tcp", text
    for text in settings.radius.tcp:
        yield ("radius", "tcp"), "tcp", text
    yield ("http", "listen"), "tcp", settings.http.listen
    for number in worker_numbers(settings.radius):
        yield ("radius", "workers"), "tcp", worker_http(settings, number)


def _check_addresses(settings: Settings, fault: Fault) -> None:
    seen: dict[tuple[str, str], Path] = {}
    for path, kind, text in listening(settings):
        address = parse_address(text)
        if address is None:
            fault(path, f"{text!r} is no address", _ADDRESS_CURE)
        elif address.port and (kind, str(address)) in seen:
            other = ".".join(map(str, seen[kind, str(address)]))
            fault(path, f"{text} is the address of {other}, too", "give each its own port")
        else:
            seen[kind, str(address)] = path


def _check_peers(settings: Settings, fault: Fault) -> None:
    seen: set[str] = set()
    for at, peer in enumerate(settings.diameter.peers):
        path = ("diameter", "peers", at)
        if not _DOMAIN.fullmatch(peer.identity):
            fault((*path, "identity"), f"{peer.identity!r} is no domain name", "write the Origin-Host of its CER")
        if peer.identity.lower() == settings.node.identity.lower():
            fault((*path, "identity"), f"{peer.identity} is our own name", "write the Origin-Host of its CER")
        if peer.identity.lower() in seen:
            fault((*path, "identity"), f"{peer.identity} stands here twice", "remove one")
        seen.add(peer.identity.lower())
        for text in peer.addresses:
            _check_network(text, (*path, "addresses"), fault)
        for text in peer.connect:
            if parse_address(text) is None:
                fault((*path, "connect"), f"{text!r} is no address", _ADDRESS_CURE)
        if not 1 <= peer.connections_max <= limits.CONNECTIONS_MAX:
            fault((*path, "connections_max"), f"is {peer.connections_max}", f"choose 1 to {limits.CONNECTIONS_MAX}")
        if not 0 <= peer.in_flight_max <= limits.IN_FLIGHT_MAX:
            fault((*path, "in_flight_max"), f"is {peer.in_flight_max}", "choose 1 or more, or 0 for the server's")
        if peer.connect and peer.connections_max > 1:
            fault((*path, "connect"), "is one connection, and connections_max says more", "leave one of them out")
        if peer.transport == "tls" and not settings.diameter.tls.certificate:
            fault((*path, "transport"), "is tls without [diameter.tls]", "name certificate, key and authorities there")
    _check_tls(settings, fault)


def _check_tls(settings: Settings, fault: Fault) -> None:
    tls = settings.diameter.tls
    values = {name: getattr(tls, name) for name in ("certificate", "key", "authorities")}
    missing = [name for name, value in values.items() if not value]
    if missing and (len(missing) < len(values) or settings.diameter.listen_tls):
        where = ("diameter", "tls") if len(missing) < len(values) else ("diameter", "listen_tls")
        fault(where, f"needs {', '.join(missing)} of [diameter.tls]", "name PEM files, relative to this file")


def _check_radius_tls(settings: Settings, fault: Fault) -> None:
    tls = settings.radius.tls
    for name in ("certificate", "key", "authorities") if settings.radius.radsec else ():
        if not getattr(tls, name):
            fault(("radius", "tls", name), "is missing, and radius.radsec needs it", "name a PEM file")
    if settings.radius.radsec and not any(client.certificate_names for client in settings.radius.clients):
        cure = "give certificate_names to the clients that use it"
        fault(("radius", "radsec"), "nobody could connect: no client has a certificate name", cure)


def _check_stripe(settings: Settings, fault: Fault) -> None:
    for name in ("success_url", "cancel_url", "api"):
        url = getattr(settings.stripe, name)
        parts = urlsplit(url)
        if url and (parts.scheme not in {"http", "https"} or not parts.hostname):
            fault(("stripe", name), f"{url!r} is no address", "such as https://shop.example.net/paid")


def _check_radius_clients(settings: Settings, fault: Fault) -> None:
    names: set[str] = set()
    networks: dict[str, str] = {}
    for at, client in enumerate(settings.radius.clients):
        path = ("radius", "clients", at)
        if not re.fullmatch(r"[A-Za-z0-9._-]{1,64}", client.name):
            fault((*path, "name"), f"{client.name!r} is no plain name", "letters, digits, dot, dash, underscore")
        if client.name in names:
            fault((*path, "name"), f"{client.name} stands here twice", "name each client once")
        names.add(client.name)
        # RFC 2865, section 3: the secret should be at least 16 octets; many switches in the field have less.
        if len(client.secret.encode()) < limits.SECRET_OCTETS_MIN:
            fault((*path, "secret"), "is too short", f"{limits.SECRET_OCTETS_MIN} octets or more; 16 are good")
        if not 0 <= client.in_flight_max <= limits.IN_FLIGHT_MAX:
            fault((*path, "in_flight_max"), f"is {client.in_flight_max}", "choose 1 or more, or 0 for the server's")
        if client.interim_s and client.interim_s < limits.INTERIM_S_MIN:
            fault((*path, "interim_s"), f"is {client.interim_s}", f"{limits.INTERIM_S_MIN} or more, or 0 for none")
        if client.dynamic_authorization and parse_address(client.dynamic_authorization) is None:
            cure = "write host:port, such as 10.0.0.7:3799"
            fault((*path, "dynamic_authorization"), f"{client.dynamic_authorization!r} is no address", cure)
        if client.language and not re.fullmatch(r"[a-z]{2}", client.language):
            fault((*path, "language"), f"{client.language!r} is no language", "two small letters, such as en (ISO 639)")
        if not client.networks:
            fault((*path, "networks"), "is empty", 'name where it sends from, such as ["10.0.0.7"]')
        for text in client.networks:
            known = _check_network(text, (*path, "networks"), fault)
            if known and networks.setdefault(known, client.name) != client.name:
                fault((*path, "networks"), f"{text} belongs to {networks[known]}, too", "one client per network")


def _check_certificate_names(settings: Settings, fault: Fault) -> None:
    owners: dict[str, str] = {}
    for at, client in enumerate(settings.radius.clients):
        path = ("radius", "clients", at, "certificate_names")
        for name in client.certificate_names:
            if not _CERTIFICATE_NAME.fullmatch(name):
                fault(path, f"{name!r} is no name of a certificate", "a DNS name, or sha256: and 64 hex digits")
            if owners.setdefault(name.lower(), client.name) != client.name:
                fault(path, f"{name} is a name of {owners[name.lower()]}, too", "one client per name")


def _check_credit_control(settings: Settings, fault: Fault) -> None:
    hosts: set[str] = set()
    for at, client in enumerate(settings.credit_control.clients):
        path: Path = ("credit_control", "clients", at, "host")
        if client.host != "*" and not _DOMAIN.fullmatch(client.host):
            fault(path, f"{client.host!r} is no domain name", 'write its Origin-Host, or "*" for all others')
        if client.host.lower() in hosts:
            fault(path, f"{client.host} stands here twice", "remove one")
        hosts.add(client.host.lower())
    seen: set[str] = set()
    for name in ("identities", "data_identities"):
        order = getattr(settings.credit_control, name)
        if not order or len(set(order)) < len(order):
            fault(("credit_control", name), "is empty or names one twice", 'such as ["e164", "imsi"]')
    for at, final in enumerate(settings.credit_control.final_units):
        path = ("credit_control", "final_units", at)
        if final.service not in settings.services.values():
            fault((*path, "service"), f"{final.service!r} is no service", "one that [services] names")
        if final.service in seen:
            fault((*path, "service"), f"{final.service} stands here twice", "remove one")
        seen.add(final.service)
        for field, message, cure in faults_of(final):
            fault((*path, field), message, cure)
        # The session has to outlive the time that the client is told to wait [G-42].
        if not limits.VALIDITY_S_MIN <= final.validity_s <= settings.quota.validity_s:
            longest = f"choose {limits.VALIDITY_S_MIN} to quota.validity_s, {settings.quota.validity_s}"
            fault((*path, "validity_s"), f"is {final.validity_s}", longest)


def _check_network(text: str, path: Path, fault: Fault) -> str:
    try:
        return str(ip_network(text))
    except ValueError as error:
        fault(path, str(error), "write an address or a network, such as 10.0.0.7 or 10.0.0.0/24")
        return ""


def _check_numbering(settings: Settings, fault: Fault) -> None:
    seen: set[str] = set()
    for at, entry in enumerate(settings.numbering):
        path: Path = ("numbering", at)
        if entry.region and entry.region not in phonenumbers.SUPPORTED_REGIONS:
            fault((*path, "region"), f"{entry.region!r} is no country", 'two capital letters of ISO 3166, such as "DE"')
        if entry.plain == "national" and not entry.region:
            fault((*path, "plain"), "national numbers of which country?", 'add region = "DE"')
        for prefix in entry.international_prefixes:
            if not (prefix.isascii() and prefix.isdigit()):
                fault((*path, "international_prefixes"), f"{prefix!r} is not made of digits", 'such as "011"')
        if "" in entry.tech_prefixes:
            fault((*path, "tech_prefixes"), "has an empty prefix", "remove it")
        for client in entry.clients or ("",):
            if client in seen:
                message = f"{client!r} has an entry above" if client else "a second entry for all other clients"
                fault((*path, "clients"), message, "keep one of them")
            seen.add(client)
