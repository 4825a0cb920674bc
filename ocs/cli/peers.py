"""``ocs peers``: the Diameter peers of the running daemons."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, Final

import typer

from ocs.cli.common import DEFAULT_CONFIG, ConfigOption, DataOption, find_servers, read_settings, refusals
from ocs.errors import EXIT_DIFFERENCES, StartRefusedError

if TYPE_CHECKING:
    from ocs.net.diameter_report import PeerReport

CONNECT_TIMEOUT_S: Final = 5
PIPE_COLUMNS: Final = 200
NUMBERS: Final = ("silent", "requests", "unanswered")

JsonOption = Annotated[bool, typer.Option("--json", help="For programs: JSON instead of a table.")]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("peers", rich_help_panel="Operation")(show_peers)


def show_peers(config: ConfigOption = DEFAULT_CONFIG, data: DataOption = None, as_json: JsonOption = False) -> None:
    """List the Diameter peers: state (RFC 6733, 5.6), watchdog (RFC 3539), and what they have asked since they came.

    Declared peers that are not connected are in it, too. Each daemon tells its figures every five seconds.
    Exit status: 0 all declared peers are connected somewhere, 1 one is not, 75 no daemon runs.

    Example: `ocs peers`, or `ocs peers --json`
    """
    with refusals():
        by_daemon = _reports(find_servers(read_settings(config, data)).valkey_url)
        if not by_daemon:
            raise StartRefusedError("no daemon runs on this Valkey, or none for ten seconds yet")
    if as_json:
        import msgspec

        typer.echo(msgspec.json.encode(by_daemon))
    else:
        _print(by_daemon)
    raise typer.Exit(EXIT_DIFFERENCES if _missing(by_daemon) else 0)


def _reports(url: str) -> dict[str, list[PeerReport]]:
    from redis.asyncio import Redis
    from redis.exceptions import RedisError

    from ocs.net.diameter_report import KIND, PeerReport
    from ocs.observe.reports import read_reports

    async def run() -> dict[str, list[PeerReport]]:
        redis = Redis.from_url(url, socket_connect_timeout=CONNECT_TIMEOUT_S, socket_timeout=CONNECT_TIMEOUT_S)
        async with redis:
            return await read_reports(redis, KIND, PeerReport)

    try:
        return asyncio.run(run())
    except (RedisError, OSError) as error:
        raise StartRefusedError(f"cannot reach Valkey: {error}") from error


def _missing(by_daemon: dict[str, list[PeerReport]]) -> set[str]:
    """Declared peers that no daemon has a connection with."""
    from ocs.net.diameter_report import MISSING

    found = [report for reports in by_daemon.values() for report in reports]
    connected = {report.identity.lower() for report in found if report.state != MISSING}
    return {report.identity.lower() for report in found} - connected


def _print(by_daemon: dict[str, list[PeerReport]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    if not console.is_terminal:
        console.width = PIPE_COLUMNS
    table = Table(box=None, pad_edge=False)
    for name in ("peer", "realm", "product", "address", "state", "watchdog", *NUMBERS, "daemon"):
        table.add_column(name, justify="right" if name in NUMBERS else "left")
    for daemon, reports in sorted(by_daemon.items()):
        for report in sorted(reports, key=lambda each: each.identity):
            table.add_row(*map(Text, (*_cells(report), daemon)))
    console.print(table if table.row_count else "no Diameter peer is connected, and none is declared")


def _cells(report: PeerReport) -> tuple[str, ...]:
    """What peers chose themselves is shown as plain text."""
    way = f"{report.transport} {report.address}{', dialled' if report.dialled else ''}" if report.address else ""
    silent = f"{report.silent_ms / 1000:.1f} s" if report.silent_ms else ""
    figures = (str(report.requests), str(report.unanswered)) if report.address else ("", "")
    return report.identity, report.realm, report.product, way, report.state, report.watchdog, silent, *figures
