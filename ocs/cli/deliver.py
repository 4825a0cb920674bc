"""``ocs deliver``: the deliverer alone."""

from __future__ import annotations

import typer

from ocs.cli.common import DEFAULT_CONFIG, ConfigOption, DataOption, find_servers, read_settings, refusals


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(rich_help_panel="Processes")(deliver)


def deliver(config: ConfigOption = DEFAULT_CONFIG, data: DataOption = None) -> None:
    """Run the deliverer alone: events to webhooks, mails and SMS out of PostgreSQL, as delivery.toml says.

    `ocs run` starts it for you where delivery.toml names somebody to deliver to. Any number of them may run, on any
    machine. SIGTERM finishes what is being sent and stops.

    Example: `ocs deliver --config /etc/ocs/ocs.toml`
    """
    from ocs.cli.delivery_world import delivery_or_refusal, read_currencies
    from ocs.observe.logging import configure_logging

    with refusals():
        settings = read_settings(config, data)
        servers = find_servers(settings)
        configure_logging("deliverer")
        delivery, words = delivery_or_refusal(config.absolute().parent)
        from ocs.delivery import deliverer

        deliverer.main(servers.postgres_dsn, delivery, words, read_currencies(config.absolute().parent))
