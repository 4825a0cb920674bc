"""``ocs run``: everything in one terminal."""

from __future__ import annotations

import typer

from ocs.cli.common import DEFAULT_CONFIG, ConfigOption, DataOption, read_settings, refusals


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(rich_help_panel="Processes")(run)


def run(config: ConfigOption = DEFAULT_CONFIG, data: DataOption = None) -> None:
    """Start everything and keep it running; Ctrl-C drains and stops it, a second one forces.

    Starts a Valkey and a PostgreSQL of its own in the data folder (unless the settings name yours), brings the schema
    up to date, then runs the daemon and the flusher and starts again whatever dies. SIGHUP reads the rate files again.

    Example: `ocs run --config config/ocs.toml --data /var/lib/ocs`
    """
    import asyncio

    from ocs.cli.banner import show
    from ocs.observe.logging import configure_logging
    from ocs.supervisor import Supervisor

    with refusals():
        settings = read_settings(config, data)
        configure_logging("supervisor")
        status = asyncio.run(Supervisor(settings, config.absolute(), show).run())
    raise typer.Exit(status)
