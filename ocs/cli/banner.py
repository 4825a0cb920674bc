"""What `ocs run` says when everything answers: what listens where, and what to try next."""

from __future__ import annotations

import sys

from rich.console import Console
from rich.table import Table

from ocs.embedded.folder import DataFolder, Endpoints
from ocs.settings import Settings


def show(settings: Settings, folder: DataFolder, endpoints: Endpoints) -> None:
    """Print the table, on standard output."""
    console = Console(file=sys.stdout)
    table = Table(title="online charging server: ready", title_justify="left", show_header=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    rows = {
        "Diameter Gy/Ro": f"tcp {' '.join(settings.diameter.listen)} as {settings.node.identity}",
        "RADIUS authentication": f"udp {' '.join(settings.radius.authentication)}",
        "RADIUS accounting": f"udp {' '.join(settings.radius.accounting)}",
        "HTTP API, metrics": endpoints.http_url,
        "Valkey": "yours (backends.valkey_url)" if settings.backends.valkey_url else f"ours, {endpoints.valkey_url}",
        "PostgreSQL": "yours (backends.postgres_dsn)"
        if settings.backends.postgres_dsn
        else f"ours, {endpoints.postgres_dsn}",
        "data folder": str(folder.path),
    }
    for name, value in rows.items():
        table.add_row(name, value)
    console.print(table)
    console.print(_next_steps(folder, endpoints), markup=False, highlight=False, soft_wrap=True)


def _next_steps(folder: DataFolder, endpoints: Endpoints) -> str:
    key = folder.path / "admin.key"
    return f"""\
Try in a second terminal (source .venv/bin/activate):
  ocs demo                                  calls, messages and data over the real sockets, and their CDRs
  curl {endpoints.http_url}/ready
  curl -H "Authorization: Bearer $(cat {key})" {endpoints.http_url}/v1/accounts/demo
  ocs audit                                 proves every balance from the journal
Ctrl-C drains and stops everything.
"""
