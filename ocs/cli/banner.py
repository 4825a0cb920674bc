"""What `ocs run` says when everything answers: what listens where, and what to try next."""

from __future__ import annotations

from ocs.embedded.folder import DataFolder, Endpoints
from ocs.settings import Settings


def show(settings: Settings, folder: DataFolder, endpoints: Endpoints) -> None:
    """Print it on standard output; the log goes to standard error."""
    print(text(settings, folder, endpoints), flush=True)


def _workers(settings: Settings) -> str:
    number = settings.radius.workers
    return f", by {number} processes" if number > 1 else ""


def _listening(settings: Settings) -> list[tuple[str, str]]:
    """What and where, one row for each transport; the name stands in front of the first."""
    diameter, radius, own_name = settings.diameter, settings.radius, f"  as {settings.node.identity}"
    ways = {
        "Diameter Gy/Ro": (
            ("tcp", diameter.listen, own_name),
            ("tls", diameter.listen_tls, own_name),
            ("sctp", diameter.listen_sctp, own_name),
        ),
        "RADIUS": (
            ("udp", radius.authentication, f"  authentication{_workers(settings)}"),
            ("udp", radius.accounting, "  accounting"),
            ("tls", radius.radsec, "  RadSec"),
            ("tcp", radius.tcp, ""),
        ),
    }
    rows: list[tuple[str, str]] = []
    for name, listeners in ways.items():
        used = [f"{kind} {' '.join(addresses)}{remark}" for kind, addresses, remark in listeners if addresses]
        rows += zip((name, *[""] * len(used)), used, strict=False)
    return rows


def text(settings: Settings, folder: DataFolder, endpoints: Endpoints) -> str:
    """Plain lines, none of them folded, so that each can be copied. Addresses of the operator's own servers stay out."""
    backends, rows = settings.backends, _listening(settings)
    rows += {
        "HTTP API": f"{endpoints.http_url}  description at /openapi.json, metrics at /metrics",
        "Valkey": "your own, backends.valkey_url" if backends.valkey_url else endpoints.valkey_url,
        "PostgreSQL": "your own, backends.postgres_dsn" if backends.postgres_dsn else endpoints.postgres_dsn,
        "data folder": str(folder.path),
    }.items()
    table = "\n".join(f"  {name:<16}{value}" for name, value in rows)
    key = folder.path / "admin.key"
    return f"""
online charging server: ready

{table}

Try in a second terminal (source .venv/bin/activate):

  ocs demo        plays calls and a message over the real sockets and shows their CDRs
  ocs audit       proves every balance from the journal
  curl {endpoints.http_url}/ready
  curl -H "Authorization: Bearer $(cat {key})" {endpoints.http_url}/openapi.json

Ctrl-C drains and stops everything.
"""
