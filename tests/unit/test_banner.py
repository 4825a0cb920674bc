"""What `ocs run` says when all is ready."""

from __future__ import annotations

from pathlib import Path

from msgspec import structs

from ocs.cli.banner import text
from ocs.embedded.folder import DataFolder, Endpoints
from ocs.settings import Settings

ENDPOINTS = Endpoints("unix:///v", "postgresql:///p", "http://127.0.0.1:8080")


def rows(settings: Settings) -> list[str]:
    return text(settings, DataFolder(Path("data")), ENDPOINTS).split("\n\n")[1].splitlines()


def test_every_listener_is_in_it() -> None:
    """TLS, SCTP, RadSec and RADIUS over TCP, too: what is not there is not listened on."""
    settings = Settings()
    plain = rows(settings)
    assert plain[0] == "  Diameter Gy/Ro  tcp 127.0.0.1:3868  as ocs.example.net"
    assert plain[2] == "                  udp 127.0.0.1:1813  accounting"
    full = structs.replace(
        settings,
        diameter=structs.replace(settings.diameter, listen=(), listen_tls=("[::]:5868",), listen_sctp=("h:3868",)),
        radius=structs.replace(settings.radius, radsec=("[::]:2083",), tcp=("h:1812",)),
    )
    assert [row.split()[-5:] for row in rows(full)[:2]] == [
        ["Gy/Ro", "tls", "[::]:5868", "as", "ocs.example.net"], ["sctp", "h:3868", "as", "ocs.example.net"],
    ]  # fmt: skip
    assert rows(full)[4:6] == ["                  tls [::]:2083  RadSec", "                  tcp h:1812"]
