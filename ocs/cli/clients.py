"""``ocs clients``: the RADIUS clients as they are set, and what the running daemons have had of them."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from ocs.cli.common import DEFAULT_CONFIG, ConfigOption, DataOption, find_servers, read_settings, refusals
from ocs.errors import StartRefusedError

if TYPE_CHECKING:
    from ocs.net.radius_report import ClientReport
    from ocs.settings import RadiusClient, Settings

CONNECT_TIMEOUT_S: Final = 5
PIPE_COLUMNS: Final = 200

JsonOption = Annotated[bool, typer.Option("--json", help="For programs: JSON instead of a table.")]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("clients", rich_help_panel="Operation")(show_clients)


def show_clients(config: ConfigOption = DEFAULT_CONFIG, data: DataOption = None, as_json: JsonOption = False) -> None:
    """List the RADIUS clients: where they send from, how they speak, and what came of it since the daemons' start.

    "insecure" counts Access-Requests without Message-Authenticator; "discarded" what got no answer, by reason; "asked"
    what gateways answered to Disconnect and CoA. Without a running daemon the settings alone are shown.

    Example: `ocs clients`, or `ocs clients --json`
    """
    with refusals():
        settings = read_settings(config, data)
        reports = _reports(settings)
        rows = [
            _row(client, [found for found in reports if found.name == client.name])
            for client in settings.radius.clients
        ]
        if as_json:
            import msgspec

            typer.echo(msgspec.json.encode(rows))
        else:
            _print(rows)


def _reports(settings: Settings) -> list[ClientReport]:
    """Of all daemons that run; none if nothing runs."""
    from redis.asyncio import Redis
    from redis.exceptions import RedisError

    from ocs.net.radius_report import KIND, ClientReport
    from ocs.observe.reports import read_reports

    try:
        url = find_servers(settings).valkey_url
    except StartRefusedError:
        return []

    async def run() -> dict[str, list[ClientReport]]:
        redis = Redis.from_url(url, socket_connect_timeout=CONNECT_TIMEOUT_S, socket_timeout=CONNECT_TIMEOUT_S)
        async with redis:
            return await read_reports(redis, KIND, ClientReport)

    try:
        return [report for found in asyncio.run(run()).values() for report in found]
    except (RedisError, OSError) as error:
        raise StartRefusedError(f"cannot reach Valkey: {error}") from error


def _row(client: RadiusClient, reports: list[ClientReport]) -> dict[str, Any]:
    discarded: Counter[str] = Counter()
    asked: Counter[str] = Counter()
    for report in reports:
        discarded.update(report.discarded)
        asked.update(report.asked)
    return {
        "client": client.name,
        "networks": list(client.networks),
        "certificate_names": list(client.certificate_names),
        "profile": client.profile,
        "credentials": client.credentials,
        "message_authenticator": reports[0].requirement if reports else client.require_message_authenticator,
        "daemons": len(reports),
        "requests": sum(report.requests for report in reports),
        "insecure": sum(report.insecure for report in reports),
        "discarded": dict(discarded),
        "asked": dict(asked),
        "connections": sum(report.connections for report in reports),
    }


def _print(rows: list[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console()
    if not console.is_terminal:
        console.width = PIPE_COLUMNS
    if not rows:
        console.print("no RADIUS clients: add [[radius.clients]] to the settings")
        return
    table = Table()
    columns = ("client", "networks", "profile", "message_authenticator", "requests", "insecure", "discarded", "asked")
    for name in columns:
        table.add_column(name.replace("_", " "), justify="right" if name in ("requests", "insecure") else "left")
    for row in rows:
        table.add_row(*(_cell(row[name]) for name in columns))
    console.print(table)
    if not any(row["daemons"] for row in rows):
        console.print("no daemon runs here: these are the settings alone")


def _cell(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {count}" for name, count in sorted(value.items()))
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)
