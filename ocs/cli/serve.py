"""``ocs serve``: the daemon alone, for those who run Valkey, PostgreSQL and the flusher by other means."""

from __future__ import annotations

from pathlib import Path

import typer

from ocs.cli.common import DEFAULT_CONFIG, ConfigOption, DataOption, find_servers, read_settings, refusals


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(rich_help_panel="Processes")(serve)


def serve(config: ConfigOption = DEFAULT_CONFIG, data: DataOption = None) -> None:
    """Run the daemon alone: Diameter, RADIUS, HTTP.

    `ocs run` starts it for you. By itself it needs a Valkey and a PostgreSQL, named in the settings or by
    OCS_VALKEY_URL and OCS_POSTGRES_DSN. SIGHUP reads the rate files again; SIGTERM drains and stops.

    Example: `ocs serve --config /etc/ocs/ocs.toml`
    """
    from ocs.observe.logging import configure_logging

    with refusals():
        settings = read_settings(config, data)
        servers = find_servers(settings)
        configure_logging("daemon")
        from ocs import daemon

        admin_key = Path(settings.node.data_dir) / "admin.key" if data is not None else None
        endpoints = daemon.Endpoints(config.absolute().parent, servers.valkey_url, servers.postgres_dsn, admin_key)
        daemon.main(settings, endpoints, _report)


def _report(listening: list[str]) -> None:
    import structlog

    structlog.get_logger().info("daemon_started", listening=listening)
