"""The operator's settings: ``config/ocs.toml`` as frozen records that refuse what they do not know."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, TypeAlias

import msgspec

from ocs.rating.faults import ConfigFault
from ocs.rating.finals import FinalUnits


class _Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    pass


class Node(_Section, frozen=True):
    """Who we are on the wire and where our data lives."""

    identity: str = "ocs.example.net"
    realm: str = "example.net"
    aliases: tuple[str, ...] = ()
    data_dir: str = "data"


class Backends(_Section, frozen=True):
    """Empty: start embedded servers in the data folder. Else: the operator's own, and none is started."""

    valkey_url: str = ""
    postgres_dsn: str = ""
    partitions: int = 16
    appendfsync: Literal["always", "everysec"] = "always"
    valkey_octets_max: int = 0  # the embedded Valkey's memory; 0: no bound of ours


class DiameterPeer(_Section, frozen=True):
    """One peer by its Origin-Host. ``transport`` is how it has to come, and how we go to it (``any``: by TCP).

    ``connect`` are its addresses if we open the connection; more than one are tried in turn. ``certificate_names`` are
    the names of which its certificate has to bear one; empty: its identity (RFC 6733, section 13.1).
    """

    identity: str
    realm: str = ""
    addresses: tuple[str, ...] = ()
    transport: Literal["any", "tcp", "tls", "sctp"] = "any"
    certificate_names: tuple[str, ...] = ()
    connect: tuple[str, ...] = ()
    connections_max: int = 1
    in_flight_max: int = 0  # 0: only the server's


class DiameterTls(_Section, frozen=True):
    """PEM files, relative to the settings. ``authorities`` are those that sign the certificates of our peers."""

    certificate: str = ""
    key: str = ""
    authorities: str = ""


class Diameter(_Section, frozen=True):
    listen: tuple[str, ...] = ("127.0.0.1:3868",)
    listen_tls: tuple[str, ...] = ()
    listen_sctp: tuple[str, ...] = ()
    watchdog_s: int = 30
    reconnect_s: int = 30  # Tc of RFC 6733, for peers that we connect to
    capabilities_timeout_s: int = 10
    message_octets_max: int = 65_536
    in_flight_max: int = 4096
    connections_max: int = 256
    accept_realms: tuple[str, ...] = ()  # realms whose peers need no declaration
    tls: DiameterTls = DiameterTls()
    peers: tuple[DiameterPeer, ...] = ()


class RadiusClient(_Section, frozen=True):
    name: str
    networks: tuple[str, ...]
    secret: str
    require_message_authenticator: Literal["yes", "auto", "no"] = "yes"
    limit_proxy_state: bool = True
    credentials: Literal["required", "none"] = "required"
    profile: str = "generic"
    account_from: tuple[str, ...] = ()  # attributes; empty: as the profile says
    charged_leg: Literal["", "answer", "originate", "any"] = ""  # "": as the profile says
    language: str = ""  # h323-preferred-lang
    realms: tuple[str, ...] = ()  # of digests; the first one stands in our challenges. Empty: any
    nonces: Literal["any", "ours"] = "any"  # "any": SIP proxies make their own
    status_server: bool = True
    certificate_names: tuple[str, ...] = ()  # of its RadSec certificate: DNS names, or sha256:...
    dynamic_authorization: str = ""  # host:port for Disconnect and CoA; "": the gateway's own address
    interim_s: int = 300
    in_flight_max: int = 0  # 0: only the server's


class RadiusTls(_Section, frozen=True):
    """PEM files, relative to the settings. ``authorities`` sign our clients' certificates, and ``revocations`` is their
    list of those that are void ("": none is looked at).
    """

    certificate: str = ""
    key: str = ""
    authorities: str = ""
    revocations: str = ""


SilentCalls: TypeAlias = Literal["hold", "granted", "zero"]


class Radius(_Section, frozen=True):
    authentication: tuple[str, ...] = ("127.0.0.1:1812",)
    accounting: tuple[str, ...] = ("127.0.0.1:1813",)
    radsec: tuple[str, ...] = ()  # TLS, all kinds of packets on one connection (RFC 6614)
    tcp: tuple[str, ...] = ()  # the same without TLS (RFC 6613): for networks that nobody else is in
    workers: int = 1  # daemons of this machine that share the UDP ports (SO_REUSEPORT)
    dictionaries: str = "dictionaries"
    profiles: str = "profiles"
    in_flight_max: int = 4096
    reply_cache_s: int = 30
    session_max_s: int = 14_400
    ring_s: int = 180
    silent_calls: SilentCalls = "hold"  # without interims and Stop
    hold_s: int = 3600
    attempts_max: int = 10  # wrong passwords from one line, then it has to wait
    lockout_s: int = 300
    tls: RadiusTls = RadiusTls()
    clients: tuple[RadiusClient, ...] = ()


class Http(_Section, frozen=True):
    listen: str = "127.0.0.1:8080"
    requests_per_minute: int = 6000  # per API key


class Stripe(_Section, frozen=True):
    """Payments by card through Stripe. ``success_url`` empty: there are none.

    The secrets stand in files (relative to the settings) or in the environment, never here: OCS_STRIPE_SECRET_KEY and
    OCS_STRIPE_WEBHOOK_SECRET.
    """

    success_url: str = ""  # where the payer comes back to
    cancel_url: str = ""  # likewise, without having paid; empty: the same
    product: str = "Top-up"  # what the payer reads
    secret_key_file: str = ""
    webhook_secret_file: str = ""
    api: str = ""  # empty: Stripe itself; else what stands in its place


class Quota(_Section, frozen=True):
    """How much is granted at once when the client leaves it to us, and for how long."""

    seconds: int = 300
    octets: int = 10_485_760
    events: int = 1
    validity_s: int = 600
    threshold_percent: int = 20
    maximum_is_quota: bool = True  # a client that asks for more gets no more than the quota
    supervision_factor: int = 2  # Tcc = factor x Validity-Time (RFC 8506, section 13)
    reclaim: bool = (
        False  # who finds an account's money set aside by its other sessions has half of it given back (RAR)
    )


class ClientAbilities(_Section, frozen=True):
    """What a client of Gy and Ro can do beyond what all can; by its Origin-Host, ``*`` for all that no other entry names."""

    host: str
    tariff_time_change: bool = False  # it reports what was used before and after a change of price (RFC 8506, 5.1.2)
    qos_final_unit: bool = False  # it reads QoS-Final-Unit-Indication (RFC 8506, 8.68)


IdentityName: TypeAlias = Literal["e164", "imsi", "sip", "nai", "private"]


class CreditControl(_Section, frozen=True):
    """What Gy and Ro answers say beyond the quota. Empty: not said, and the client's own configuration holds."""

    session_failover: Literal["", "not-supported", "supported"] = ""
    failure_handling: Literal["", "terminate", "continue", "retry-and-terminate"] = ""
    debit_failure_handling: Literal["", "terminate-or-buffer", "continue"] = ""
    quota_holding_s: int = 0  # after so long without use the client gives the quota back; 0: not said
    tell_cost: bool = False  # Cost-Information in updates, too
    tell_balance: bool = False  # Remaining-Balance
    currency: str = ""  # of CC-Money that names none; empty: such a request is refused (5005)
    identities: tuple[IdentityName, ...] = ("e164", "sip", "imsi", "nai", "private")  # who is charged: the first known
    data_identities: tuple[IdentityName, ...] = ("imsi", "e164", "nai", "sip", "private")  # the same, for data
    final_units: tuple[FinalUnits, ...] = ()
    clients: tuple[ClientAbilities, ...] = ()


class Rates(_Section, frozen=True):
    """What changed rates mean for sessions that are open: they keep the prices they began with, or follow."""

    open_sessions: Literal["keep", "follow"] = "keep"
    reauthorizations_per_s: int = 200  # when they follow: so many clients are asked to come in a second (RAR)


class Retention(_Section, frozen=True):
    tombstone_s: int = 86_400
    event_s: int = 604_800  # of paid events: clients send them again days later, and have them refunded
    cdr_months: int = 0  # whole months that records are kept in PostgreSQL; 0: for ever


class Outbox(_Section, frozen=True):
    batch_max: int = 2000
    idle_s: float = 0.2


class NumberingEntry(_Section, frozen=True):
    """``[[numbering]]``: how some peers or clients write numbers; without ``clients``, all that no other entry names."""

    clients: tuple[str, ...] = ()
    region: str = ""
    plain: Literal["international", "national"] = "international"
    tech_prefixes: tuple[str, ...] = ()
    international_prefixes: tuple[str, ...] = ()


def _services() -> dict[str, str]:
    """Service-Context-Id, from its last label on, to the service that plans have tariffs for (TS 32.299)."""
    return {
        "32251@3gpp.org": "data",
        "32255@3gpp.org": "data",
        "32260@3gpp.org": "voice",
        "32276@3gpp.org": "voice",
        "32274@3gpp.org": "sms",
        "32270@3gpp.org": "mms",
    }


class Settings(_Section, frozen=True):
    node: Node = Node()
    backends: Backends = Backends()
    diameter: Diameter = Diameter()
    radius: Radius = Radius()
    http: Http = Http()
    stripe: Stripe = Stripe()
    quota: Quota = Quota()
    credit_control: CreditControl = CreditControl()
    rates: Rates = Rates()
    retention: Retention = Retention()
    outbox: Outbox = Outbox()
    numbering: tuple[NumberingEntry, ...] = ()
    services: dict[str, str] = msgspec.field(default_factory=_services)


def load_settings(path: Path) -> Settings | tuple[ConfigFault, ...]:
    """Read a settings file; else all its faults, each with its line and its cure."""
    from ocs.settings_file import read_settings

    return read_settings(path)
