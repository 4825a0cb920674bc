"""``ocs audit``: derive every account anew and compare."""

from __future__ import annotations

from typing import Annotated

import typer

from ocs.cli.common import DEFAULT_CONFIG, ConfigOption, DataOption, find_servers, read_settings, refusals

AccountOption = Annotated[str, typer.Option("--account", "-a", metavar="ID", help="This account alone.")]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(rich_help_panel="Operation")(audit)


def audit(config: ConfigOption = DEFAULT_CONFIG, data: DataOption = None, account: AccountOption = "") -> None:
    """Prove the ledger: derive every account from the journal and the open sessions, and compare.

    Runs beside the traffic and locks nothing. Exit status: 0 the ledger balances, 1 it does not, 75 a server is away.

    Example: `ocs audit`, or `ocs audit --account alice`
    """
    with refusals():
        servers = find_servers(read_settings(config, data))
    from ocs.cli.audit_view import run_audit

    raise typer.Exit(run_audit(servers.valkey_url, servers.postgres_dsn, account))
