"""``ocs migrate``: bring the billing database's schema up to date."""

from __future__ import annotations

import typer

from ocs.cli.common import DEFAULT_CONFIG, ConfigOption, DataOption, find_servers, read_settings, refusals
from ocs.errors import EXIT_CONFIG, StartRefusedError


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(rich_help_panel="Processes")(migrate)


def migrate(config: ConfigOption = DEFAULT_CONFIG, data: DataOption = None) -> None:
    """Bring the schema in PostgreSQL up to date.

    `ocs run` does so at each start. It is safe to repeat, and two at a time wait for each other.

    Example: `OCS_POSTGRES_DSN=postgresql://ocs:password@10.0.0.6/ocs ocs migrate`
    """
    from ocs.observe.logging import configure_logging

    with refusals():
        servers = find_servers(read_settings(config, data))
        configure_logging("migrate")
        from balance.store import BackendUnavailable
        from ocs.billing.migrate import SchemaRefusedError, upgrade

        try:
            upgrade(servers.postgres_dsn)
        except BackendUnavailable as error:
            raise StartRefusedError(str(error)) from error
        except SchemaRefusedError as error:
            raise StartRefusedError(
                f"{error}; make it the database's owner, or GRANT CREATE ON SCHEMA public", EXIT_CONFIG
            ) from error
