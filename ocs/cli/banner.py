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


def text(settings: Settings, folder: DataFolder, endpoints: Endpoints) -> str:
    """Plain lines, none of them folded, so that each can be copied. Addresses of the operator's own servers stay out."""
    backends = settings.backends
    rows = {
        "Diameter Gy/Ro": f"tcp {' '.join(settings.diameter.listen)}  as {settings.node.identity}",
        "RADIUS": f"udp {' '.join(settings.radius.authentication)}  authentication{_workers(settings)}",
        "": f"udp {' '.join(settings.radius.accounting)}  accounting",
        "HTTP API": f"{endpoints.http_url}  description at /openapi.json, metrics at /metrics",
        "Valkey": "your own, backends.valkey_url" if backends.valkey_url else endpoints.valkey_url,
        "PostgreSQL": "your own, backends.postgres_dsn" if backends.postgres_dsn else endpoints.postgres_dsn,
        "data folder": str(folder.path),
    }
    table = "\n".join(f"  {name:<16}{value}" for name, value in rows.items())
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
