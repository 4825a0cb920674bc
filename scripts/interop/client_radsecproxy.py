"""radsecproxy between radclient and us: RADIUS over TLS with certificates on both sides."""

from __future__ import annotations

from typing import Final

from client_radclient import send, wants
from world import CENT_A_SECOND, CERTIFICATES, SECRET, Client, World, free_port

NAME: Final = "radsecproxy"
CALLER: Final = "4915100000009"
SETTINGS: Final = """
LogLevel 3
ListenUDP 127.0.0.1:{port}
client 127.0.0.1 {{
    type udp
    secret {secret}
}}
tls default {{
    CACertificateFile {certificates}/authority.pem
    CertificateFile {certificates}/client.pem
    CertificateKeyFile {certificates}/client.key
}}
server localhost {{
    type tls
    host 127.0.0.1
    port {radsec}
    secret radsec
    CertificateNameCheck off
    StatusServer on
}}
realm * {{
    server localhost
    accountingServer localhost
}}
"""


def play(world: World) -> None:
    """A call from authorization to Stop; the switch knows the proxy alone."""
    world.open_account(NAME, [f"e164:{CALLER}"], "5.00")
    port = free_port()
    settings = SETTINGS.format(port=port, secret=SECRET, certificates=CERTIFICATES, radsec=world.ports.radsec)
    (world.folder / "radsecproxy.conf").write_text(settings, encoding="ascii")
    proxy = world.start(["radsecproxy", "-f", "-c", world.folder / "radsecproxy.conf"], "radsecproxy.log")
    proxy.wait_for(lambda: "connect" in proxy.words().lower() and "localhost" in proxy.words(), 20)
    call = {
        "User-Name": f'"{CALLER}"',
        "Calling-Station-Id": f'"{CALLER}"',
        "Called-Station-Id": f'"{CENT_A_SECOND}555"',
        "NAS-Identifier": '"gw1"',
        "Acct-Session-Id": '"rs1"',
    }
    accept = send(world, "auth", port, call | {"User-Password": '"arctangent"', "Message-Authenticator": "0x00"})
    wants(accept, "Received Access-Accept", "Session-Timeout = 500")
    world.check_money(NAME, "5.00", "5.00")
    for status, seconds in (("Start", ""), ("Stop", "42")):
        use = {"Acct-Session-Time": seconds} if seconds else {}
        wants(send(world, "acct", port, call | {"Acct-Status-Type": status} | use), "Received Accounting-Response")
    world.check_money(NAME, "4.58")
    world.check_records(NAME, 1)


CLIENT: Final = Client(NAME, ["radsecproxy", "radclient"], ["radsecproxy", "freeradius-utils"], play)
