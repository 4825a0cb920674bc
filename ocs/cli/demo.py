"""``ocs demo``: play calls against the running server and hold every figure against the expected one."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Annotated

import typer

from ocs.addresses import Address, parse_address
from ocs.cli.common import DEFAULT_CONFIG, ConfigOption, DataOption, find_servers, reachable, read_settings, refusals
from ocs.errors import EXIT_CONFIG, StartRefusedError
from ocs.settings import RadiusClient, Settings

ApiOption = Annotated[
    str, typer.Option("--api", metavar="URL", help="The HTTP API, instead of the running instance's.")
]
KeyOption = Annotated[
    str, typer.Option("--key", envvar="OCS_API_KEY", metavar="TOKEN", help="API key, instead of the data folder's.")
]
DiameterOption = Annotated[str, typer.Option("--diameter", metavar="HOST:PORT", help="Instead of diameter.listen.")]
AuthenticationOption = Annotated[
    str, typer.Option("--radius-auth", metavar="HOST:PORT", help="Instead of radius.authentication.")
]
AccountingOption = Annotated[
    str, typer.Option("--radius-acct", metavar="HOST:PORT", help="Instead of radius.accounting.")
]
SecretOption = Annotated[str, typer.Option("--secret", help="RADIUS secret, instead of the settings'.")]
OriginOption = Annotated[
    str, typer.Option("--origin-host", metavar="NAME", help="Diameter identity, instead of a fresh one in our realm.")
]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(rich_help_panel="First steps")(demo)


def demo(
    config: ConfigOption = DEFAULT_CONFIG,
    data: DataOption = None,
    api: ApiOption = "",
    key: KeyOption = "",
    diameter: DiameterOption = "",
    radius_auth: AuthenticationOption = "",
    radius_acct: AccountingOption = "",
    secret: SecretOption = "",
    origin_host: OriginOption = "",
) -> None:
    """Play calls against the running server: a voice call and a message over Diameter, a call over RADIUS.

    Each run has an account of its own. A table shows each request, what was granted, balance and reserved; then the CDRs
    as they stand in PostgreSQL, with their prices explained. Exit status: 0 every figure is the expected one, 1 one is
    not, 75 nothing runs.

    Example: `ocs demo`, or `ocs demo --data /var/lib/ocs`
    """
    with refusals():
        settings = read_settings(config, data)
        url, token = _api(settings, api, key)
        where = _address("--diameter", diameter, settings.diameter.listen)
        auth = _address("--radius-auth", radius_auth, settings.radius.authentication)
        acct = _address("--radius-acct", radius_acct, settings.radius.accounting)
        client = _radius_client(settings, config.absolute().parent, auth)
        status = _play(settings, url, token, where, (auth, acct), client, secret or client.secret, origin_host)
    raise typer.Exit(status)


def _play(
    settings: Settings,
    url: str,
    token: str,
    diameter: Address,
    radius: tuple[Address, Address],
    client: RadiusClient,
    secret: str,
    origin_host: str,
) -> int:
    import secrets

    from ocs.clock import now_ms
    from ocs.demo.api import ApiClient
    from ocs.demo.diameter import DiameterClient
    from ocs.demo.errors import PlayError
    from ocs.demo.play import perform
    from ocs.demo.radius import Ports
    from ocs.demo.radius import RadiusClient as Switch
    from ocs.demo.report import console
    from ocs.demo.stage import Clients, Stage
    from protocols.diameter.node import LocalNode

    # Two demos at once must not be one peer: a second connection of a peer is taken for its successor.
    name = origin_host or f"demo-{secrets.token_hex(4)}.{settings.node.realm}"
    realm = name.partition(".")[2]
    # Where signing is left to the client, the server demands it for good once it has been seen: the demo must not
    # commit a real switch at the same address to it.
    switch = Switch(Ports(*radius), secret.encode(), signs=client.require_message_authenticator == "yes")
    try:
        peer = DiameterClient(diameter, LocalNode(name, realm), settings.node.realm)
        try:
            peer.open()
            return perform(Stage(Clients(ApiClient(url, token), peer, switch), name, now_ms()), console())
        finally:
            peer.close()
    except PlayError as error:
        raise StartRefusedError(str(error)) from error


def _api(settings: Settings, url: str, key: str) -> tuple[str, str]:
    """Where the API is and the key that opens it. Raises StartRefusedError when nothing runs."""
    if not url:
        url = find_servers(settings).http_url or f"http://{_address('', '', (settings.http.listen,))}"
    path = Path(settings.node.data_dir) / "admin.key"
    try:
        return url, key or path.read_text(encoding="ascii").strip()
    except FileNotFoundError:
        raise StartRefusedError(
            f"there is no API key in {path}: make one with `ocs keys create --scope admin --name demo` and give it by "
            "--key or OCS_API_KEY",
            EXIT_CONFIG,
        ) from None


def _address(option: str, text: str, settings: tuple[str, ...]) -> Address:
    """From the command line, else the first that the server listens on."""
    if not text and not settings:
        raise StartRefusedError(f"{option}: the settings name no address; give one", EXIT_CONFIG)
    found = parse_address(text or settings[0])
    if found is None:
        raise StartRefusedError(f"{option}: {text!r} is no address; write 127.0.0.1:3868", EXIT_CONFIG)
    return reachable(found)


def _radius_client(settings: Settings, config_dir: Path, server: Address) -> RadiusClient:
    """What the settings say of this machine, as the server sees it."""
    from ocs.gateways.radius_products import load_products
    from ocs.net.radius_clients import ClientTable

    family, kind, *_, where = socket.getaddrinfo(server.host, server.port, type=socket.SOCK_DGRAM)[0]
    with socket.socket(family, kind) as probe:
        probe.connect(where)
        own = probe.getsockname()[0]
    found = ClientTable(settings.radius, load_products(config_dir, settings.radius)).find(own)
    if found is None:
        raise StartRefusedError(
            f"no radius.clients entry holds {own}, from where the demo would call: add one", EXIT_CONFIG
        )
    return found.profile.client
