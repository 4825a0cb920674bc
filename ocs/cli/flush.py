"""``ocs flush``: the flusher alone."""

from __future__ import annotations

import typer

from ocs.cli.common import DEFAULT_CONFIG, ConfigOption, DataOption, find_servers, read_settings, refusals
from ocs.errors import EXIT_CONFIG, StartRefusedError


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(rich_help_panel="Processes")(flush)


def flush(config: ConfigOption = DEFAULT_CONFIG, data: DataOption = None) -> None:
    """Run the flusher alone: CDRs and journal entries from Valkey to PostgreSQL.

    `ocs run` starts it for you. SIGTERM finishes the batch and stops; what was not written comes again at the next
    start, and is written once.

    Example: `ocs flush --config /etc/ocs/ocs.toml`
    """
    from ocs.observe.logging import configure_logging

    with refusals():
        settings = read_settings(config, data)
        servers = find_servers(settings)
        configure_logging("flusher")
        from ocs.feeds.settings import load_feeds
        from ocs.outbox import flusher

        feeds = load_feeds(config.absolute().parent)
        if isinstance(feeds, list):
            raise StartRefusedError("feeds.toml has faults:\n" + "\n".join(map(str, feeds)), EXIT_CONFIG)
        flusher.main(settings, servers.valkey_url, servers.postgres_dsn, list(feeds))
