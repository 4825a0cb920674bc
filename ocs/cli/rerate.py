"""``ocs rerate``: records at the prices they should have had: preview, apply, roll back."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeVar

import typer

from ocs.cli.common import DEFAULT_CONFIG, ConfigOption, DataOption, find_servers, read_settings, refusals
from ocs.errors import EXIT_CONFIG, EXIT_DIFFERENCES, StartRefusedError

if TYPE_CHECKING:
    from ocs.billing.reratings import AccountLine
    from ocs.embedded.folder import Endpoints
    from ocs.rerating import Direction
    from ocs.settings import Settings

ResultT = TypeVar("ResultT")

RunArgument = Annotated[str, typer.Argument(metavar="RUN", help="As the preview has named it.")]
JsonOption = Annotated[bool, typer.Option("--json", help="For programs: JSON instead of tables.")]
LimitOption = Annotated[int, typer.Option("--limit", "-n", min=1, help="At most so many lines of a table.")]
CONNECT_S_MAX: Final = 5

group = typer.Typer(
    help="Price records anew and settle the differences.", no_args_is_help=True, rich_markup_mode="markdown"
)


def register(app: typer.Typer) -> None:
    """Add the group."""
    app.add_typer(group, name="rerate", rich_help_panel="Operation")


@group.command()
def preview(
    cdrs: Annotated[str, typer.Option("--cdrs", metavar="SPAN", help="last-month, 2026-10 or A..B, in UTC.")],
    account: Annotated[str, typer.Option("--account", "-a", metavar="ID", help="This account's alone.")] = "",
    destination: Annotated[str, typer.Option(metavar="DIGITS", help="To numbers that begin so.")] = "",
    version: Annotated[str, typer.Option(metavar="HASH", help="Priced by this version of the rates.")] = "",
    plan: Annotated[
        str, typer.Option("--plan", "-p", help="By this plan, instead of the one that each record was rated by.")
    ] = "",
    limit: LimitOption = 20,
    config: ConfigOption = DEFAULT_CONFIG,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Price records anew by the rate files of now, each at its own instant, and keep the differences. No money moves.

    Example: `ocs rerate preview --cdrs 2026-10 --destination 234 --version 3f0c7a52d8e1`
    """
    from ocs.billing.reratings import Selection
    from ocs.cli.rates_simulate import span
    from ocs.cli.rerate_view import preview_fields, print_preview, progress_count
    from ocs.clock import now_ms
    from ocs.rating.load import load_ratebook
    from ocs.rerating import preview as find

    with refusals():
        since_ms, until_ms = span(cdrs)
        servers, _ = _servers(config, data)
        loaded = load_ratebook(config.absolute().parent, now_ms())
        if loaded.book is None:
            raise StartRefusedError("the rate files have faults:\n" + "\n".join(map(str, loaded.faults)), EXIT_CONFIG)
        book = loaded.book
        selection = Selection(since_ms, until_ms, account, destination, version)
        with progress_count("records") as progress:
            found = _run(
                servers, lambda redis: find(servers.postgres_dsn, redis, book, selection, plan, now_ms(), progress)
            )
    if as_json:
        _print_json(preview_fields(found, loaded.currencies))
    else:
        print_preview(found, loaded.currencies, limit)


@group.command()
def apply(
    run: RunArgument, config: ConfigOption = DEFAULT_CONFIG, data: DataOption = None, as_json: JsonOption = False
) -> None:
    """Settle a preview: one adjustment an account, exactly once. After an interruption, say the same again.

    Exit status: 0 settled, 1 accounts have refused (closed, for example), 78 it cannot be applied.

    Example: `ocs rerate apply 9a3c51e0b7d2`
    """
    from ocs.rerating import Direction

    _settle(run, Direction.APPLY, config, data, as_json=as_json)


@group.command()
def rollback(
    run: RunArgument, config: ConfigOption = DEFAULT_CONFIG, data: DataOption = None, as_json: JsonOption = False
) -> None:
    """Take a re-rating back: the opposite adjustments, exactly once.

    Example: `ocs rerate rollback 9a3c51e0b7d2`
    """
    from ocs.rerating import Direction

    _settle(run, Direction.UNDO, config, data, as_json=as_json)


@group.command(name="list")
def list_(config: ConfigOption = DEFAULT_CONFIG, data: DataOption = None, as_json: JsonOption = False) -> None:
    """List the re-ratings, the newest first.

    Example: `ocs rerate list`
    """
    from ocs.billing.reratings import list_runs
    from ocs.cli.rerate_view import print_runs, run_fields

    with refusals():
        servers, _ = _servers(config, data)
        runs = _run(servers, lambda _: _asked(servers.postgres_dsn, list_runs))
    rows = [run_fields(each) for each in runs]
    if as_json:
        _print_json({"runs": rows})
    else:
        print_runs(rows)


# --- inside ---------------------------------------------------------------------------------------------------------


def _print_json(fields: dict[str, Any]) -> None:
    from ocs.cli.rates_view import print_json

    print_json(fields)


def _servers(config: Path, data: Path | None) -> tuple[Endpoints, Settings]:
    settings = read_settings(config, data)
    return find_servers(settings), settings


def _run(servers: Endpoints, work: Callable[[Any], Awaitable[ResultT]]) -> ResultT:
    """Work with a client of Valkey. Raises StartRefusedError when a server is away."""
    from redis.asyncio import Redis
    from redis.exceptions import RedisError

    from balance.store import BackendUnavailable

    async def run() -> ResultT:
        async with Redis.from_url(servers.valkey_url, socket_connect_timeout=CONNECT_S_MAX) as redis:
            return await work(redis)

    try:
        return asyncio.run(run())
    except (RedisError, OSError) as error:
        raise StartRefusedError(f"cannot reach Valkey: {error}") from error
    except BackendUnavailable as error:
        raise StartRefusedError(f"{error}; what was settled stays: say the same again") from error


async def _asked(dsn: str, ask: Callable[[Any], Awaitable[ResultT]]) -> ResultT:
    import asyncpg

    from ocs.billing.failures import FAILURES, unavailable

    try:
        connection = await asyncpg.connect(dsn, timeout=CONNECT_S_MAX)
        try:
            return await ask(connection)
        finally:
            await connection.close()
    except FAILURES as error:
        raise unavailable(error) from error


def _settle(run: str, direction: Direction, config: Path, data: Path | None, *, as_json: bool) -> None:
    from ocs.cli.rates_import_view import progress_bar
    from ocs.cli.rerate_view import account_fields, print_settled
    from ocs.rating.load import load_currencies
    from ocs.rerating import RunRefusedError

    with refusals():
        servers, settings = _servers(config, data)
        currencies = load_currencies(config.absolute().parent / "currencies.toml")
        try:
            with progress_bar() as progress:
                accounts = _run(
                    servers,
                    lambda redis: _settled(
                        servers, settings, redis, run, direction, lambda done, total: progress("settling", done, total)
                    ),
                )
        except RunRefusedError as error:
            raise StartRefusedError(str(error), EXIT_CONFIG) from error
    if as_json:
        _print_json({"run": run, "accounts": [account_fields(each, currencies) for each in accounts]})
    else:
        print_settled(run, accounts, currencies)
    if any(each.refusal for each in accounts):
        raise typer.Exit(EXIT_DIFFERENCES)


async def _settled(
    servers: Endpoints,
    settings: Settings,
    redis: Any,
    run: str,
    direction: Direction,
    progress: Callable[[int, int], None],
) -> list[AccountLine]:
    """Settle with a desk of our own: it shares the store with the daemons, as they do with each other."""
    from balance.valkey.store import PartitionsMismatchError, open_store
    from ocs.charging.policy import quota_policy
    from ocs.charging.recharge import AccountDesk
    from ocs.charging.service import OnlineCharging
    from ocs.clock import now_ms
    from ocs.rating.ratebook import RateBook
    from ocs.rerating import settle

    try:
        store = await open_store(servers.valkey_url, settings.backends.partitions)
    except PartitionsMismatchError as error:
        raise StartRefusedError(str(error), EXIT_CONFIG) from error
    try:
        online = OnlineCharging(store, RateBook({}, ""), quota_policy(settings), now_ms)
        desk = AccountDesk(online, store, now_ms, {})
        return await settle(servers.postgres_dsn, redis, desk, run, direction, progress)
    finally:
        await store.close()
