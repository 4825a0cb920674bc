"""``ocs radius``: read a packet as the server would, and send one as a switch would."""

from __future__ import annotations

import re
import secrets
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from ocs.cli.common import DEFAULT_CONFIG, ConfigOption, read_settings, refusals
from ocs.errors import EXIT_CONFIG, EXIT_DIFFERENCES, StartRefusedError

if TYPE_CHECKING:
    from ocs.addresses import Address
    from ocs.gateways.radius_products import Products
    from ocs.settings import RadiusClient, Settings
    from protocols.radius.packet import Packet

DATAGRAM_OCTETS_MAX: Final = 65_535

HexArgument = Annotated[str, typer.Argument(metavar="HEX", help="The packet's octets in hex, or - for standard input.")]
FileArgument = Annotated[Path, typer.Argument(metavar="FILE", help="A request in words, or - for standard input.")]
ClientOption = Annotated[
    str, typer.Option("--client", metavar="NAME", help="As this radius.clients entry: its secret and profile.")
]
SecretOption = Annotated[str, typer.Option("--secret", envvar="OCS_RADIUS_SECRET", help="Instead of the client's.")]
ProfileOption = Annotated[str, typer.Option("--profile", metavar="NAME", help="Instead of the client's.")]
ToOption = Annotated[str, typer.Option("--to", metavar="HOST:PORT", help="Instead of where the settings listen.")]
UnsignedOption = Annotated[bool, typer.Option("--unsigned", help="Without Message-Authenticator, as old switches do.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(no_args_is_help=True, help="RADIUS packets: read one, send one.", rich_markup_mode="markdown")
    group.command("decode")(decode_packet)
    group.command("send")(send_packet)
    app.add_typer(group, name="radius", rich_help_panel="Operation")


def decode_packet(
    octets: HexArgument,
    client: ClientOption = "",
    secret: SecretOption = "",
    profile: ProfileOption = "",
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Show what a packet says, whether it is genuine, and what a profile reads of it.

    The names are those of the dictionaries, so that the lines can go into a request for `ocs radius send`. With a client
    or a secret the authenticators are checked.

    Example: `ocs radius decode --client sbc-west 04070034d177...`, or `tshark ... -T fields -e udp.payload | ocs radius decode -`
    """
    with refusals():
        from ocs.cli.radius_view import print_packet
        from protocols.radius.packet import MalformedPacket, decode

        settings = read_settings(config)
        products = _products(settings, config)
        named = _client(settings, client)
        dialect = products.dialects.get(profile or (named.profile if named is not None else "generic"))
        if dialect is None:
            raise StartRefusedError(f"there is no profile {profile}: see {settings.radius.profiles}/", EXIT_CONFIG)
        try:
            packet = decode(_octets(sys.stdin.read(DATAGRAM_OCTETS_MAX * 3) if octets == "-" else octets))
        except MalformedPacket as error:
            raise StartRefusedError(f"no RADIUS packet: {error}; it would get no answer", EXIT_DIFFERENCES) from error
        known = secret or (named.secret if named is not None else "")
        print_packet(packet, products.dictionary, dialect, known.encode())


def send_packet(
    file: FileArgument,
    to: ToOption = "",
    client: ClientOption = "",
    secret: SecretOption = "",
    unsigned: UnsignedOption = False,
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Send a request to a running server and show its reply.

    The file has the packet's name in its first line (Access-Request, Accounting-Request or Status-Server), then one
    attribute a line: `User-Name = "alice"`. Lines that begin with # are comments. A User-Password is hidden on the way.
    Exit status: 0 accepted or answered, 1 rejected or challenged, 75 no answer.

    Example: `ocs radius send call.txt --client sbc-west`, or `echo Status-Server | ocs radius send -`
    """
    with refusals():
        from ocs.cli.radius_view import print_reply
        from ocs.radius_exchange import NoReplyError, ReplyError, exchange
        from protocols.radius.client import signed_request

        settings = read_settings(config)
        products = _products(settings, config)
        server_client = _client(settings, client) or _only_client(settings)
        key = (secret or (server_client.secret if server_client is not None else "")).encode()
        if not key:
            raise StartRefusedError("which secret? name a client with --client, or give one with --secret", EXIT_CONFIG)
        authenticator = secrets.token_bytes(16)
        text = sys.stdin.read() if str(file) == "-" else _text(file)
        code, attributes = _request(text, products, authenticator, key)
        server = _server(settings, to, code)
        request = signed_request(code, secrets.randbelow(256), authenticator, attributes, key, signs=not unsigned)
        try:
            reply = exchange(request, server, key, wants_signature=not unsigned)
        except (NoReplyError, ReplyError) as error:
            raise StartRefusedError(str(error)) from error
        print_reply(reply, products.dictionary)
    raise typer.Exit(_exit_status(reply))


def _exit_status(reply: Packet) -> int:
    from protocols.radius.packet import ACCESS_ACCEPT, ACCOUNTING_RESPONSE

    return 0 if reply.code in (ACCESS_ACCEPT, ACCOUNTING_RESPONSE) else EXIT_DIFFERENCES


def _products(settings: Settings, config: Path) -> Products:
    from ocs.gateways.radius_products import load_products

    return load_products(config.absolute().parent, settings.radius)


def _client(settings: Settings, name: str) -> RadiusClient | None:
    if not name:
        return None
    for client in settings.radius.clients:
        if client.name == name:
            return client
    known = ", ".join(client.name for client in settings.radius.clients)
    raise StartRefusedError(f"--client: there is no radius.clients entry {name}; known: {known}", EXIT_CONFIG)


def _only_client(settings: Settings) -> RadiusClient | None:
    clients = settings.radius.clients
    return clients[0] if len(clients) == 1 else None


def _octets(text: str) -> bytes:
    try:
        return bytes.fromhex(re.sub(r"[\s:]|0x", "", text))
    except ValueError as error:
        raise StartRefusedError(f"that is no hex: {error}", EXIT_CONFIG) from error


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise StartRefusedError(f"{file} cannot be read: {error}", EXIT_CONFIG) from error


def _request(text: str, products: Products, authenticator: bytes, secret: bytes) -> tuple[int, bytes]:
    """Code and attributes of a request in words. Raises StartRefusedError that names the line."""
    from protocols.radius.words import CODES, WordsError, line_octets

    lines = [(number, line.strip()) for number, line in enumerate(text.splitlines(), start=1)]
    lines = [(number, line) for number, line in lines if line and not line.startswith("#")]
    codes = {name.lower(): code for code, name in CODES.items() if code in (1, 4, 12)}
    if not lines or lines[0][1].lower() not in codes:
        raise StartRefusedError(
            "the first line names the packet: Access-Request, Accounting-Request or Status-Server", EXIT_CONFIG
        )
    octets = b""
    for number, line in lines[1:]:
        try:
            made = line_octets(line, products.dictionary)
        except WordsError as error:
            raise StartRefusedError(f"line {number}: {error}", EXIT_CONFIG) from error
        octets += _hidden(made, authenticator, secret)
    return codes[lines[0][1].lower()], octets


def _hidden(made: bytes, authenticator: bytes, secret: bytes) -> bytes:
    """User-Password leaves hidden (RFC 2865, section 5.2)."""
    from protocols.radius.attributes import USER_PASSWORD
    from protocols.radius.authenticators import PASSWORD_OCTETS_MAX, hide_password
    from protocols.radius.packet import attribute

    if made[0] != USER_PASSWORD:
        return made
    if len(made) - 2 > PASSWORD_OCTETS_MAX:
        raise StartRefusedError(f"User-Password: at most {PASSWORD_OCTETS_MAX} octets fit", EXIT_CONFIG)
    return attribute(USER_PASSWORD, hide_password(made[2:], authenticator, secret))


def _server(settings: Settings, to: str, code: int) -> Address:
    from ocs.addresses import parse_address
    from protocols.radius.packet import ACCOUNTING_REQUEST

    listening = settings.radius.accounting if code == ACCOUNTING_REQUEST else settings.radius.authentication
    if not to and not listening:
        raise StartRefusedError("the settings listen nowhere: give an address with --to", EXIT_CONFIG)
    address = parse_address(to or listening[0])
    if address is None:
        raise StartRefusedError(f"--to: {to!r} is no address; write 127.0.0.1:1812", EXIT_CONFIG)
    return address._replace(host={"0.0.0.0": "127.0.0.1", "::": "::1"}.get(address.host, address.host))  # noqa: S104
