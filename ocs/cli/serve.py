"""``ocs serve``: the daemon alone, for those who run Valkey, PostgreSQL and the flusher by other means."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ocs.cli.common import DEFAULT_CONFIG, ConfigOption, DataOption, find_servers, read_settings, refusals
from ocs.errors import EXIT_CONFIG, StartRefusedError
from ocs.settings import Settings
from ocs.workers import worker_numbers, worker_settings

WorkerOption = Annotated[
    int, typer.Option("--worker", metavar="N", help="Be worker N of radius.workers: RADIUS over UDP alone.")
]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(rich_help_panel="Processes")(serve)


def serve(config: ConfigOption = DEFAULT_CONFIG, data: DataOption = None, worker: WorkerOption = 0) -> None:
    """Run the daemon alone: Diameter, RADIUS, HTTP.

    `ocs run` starts it for you. By itself it needs a Valkey and a PostgreSQL, named in the settings or by
    OCS_VALKEY_URL and OCS_POSTGRES_DSN. SIGHUP reads the rate files again; SIGTERM drains and stops.

    With radius.workers above 1 further daemons share its RADIUS ports: `ocs run` starts them, or you start them as
    workers 1, 2 and so on. A worker has /metrics and /ready at http.listen's port plus its number.

    Example: `ocs serve --config /etc/ocs/ocs.toml`, or `ocs serve --config /etc/ocs/ocs.toml --worker 1`
    """
    from ocs.native import use_huge_pages
    from ocs.observe.logging import configure_logging

    use_huge_pages()
    with refusals():
        settings = read_settings(config, data)
        servers = find_servers(settings)
        if worker:
            settings = _as_worker(settings, worker)
        configure_logging(f"worker-{worker}" if worker else "daemon")
        from ocs import daemon

        admin_key = Path(settings.node.data_dir) / "admin.key" if data is not None and not worker else None
        endpoints = daemon.Endpoints(
            config.absolute().parent, servers.valkey_url, servers.postgres_dsn, admin_key, config.absolute()
        )
        daemon.main(settings, endpoints, _report)


def _as_worker(settings: Settings, number: int) -> Settings:
    if number not in worker_numbers(settings.radius):
        last = settings.radius.workers - 1
        why = f"choose 1 to {last}" if last else "set radius.workers to 2 or more"
        raise StartRefusedError(f"--worker {number}: there is no such worker; {why}", EXIT_CONFIG)
    return worker_settings(settings, number)


def _report(listening: list[str]) -> None:
    import structlog

    structlog.get_logger().info("daemon_started", listening=listening)
