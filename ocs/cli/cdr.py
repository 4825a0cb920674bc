"""``ocs cdr``: rated records in PostgreSQL: one explained, many as a file."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeVar

import typer

from ocs.cli.common import DEFAULT_CONFIG, ConfigOption, DataOption, find_servers, read_settings, refusals
from ocs.errors import EXIT_CONFIG, StartRefusedError

if TYPE_CHECKING:
    from balance.money import Currency
    from ocs.api.history import ExplainedCdr
    from ocs.billing.cdrs import CdrRow, JournalRow

ResultT = TypeVar("ResultT")

CONNECT_S_MAX: Final = 5

group = typer.Typer(help="Rated records in PostgreSQL.", no_args_is_help=True, rich_markup_mode="markdown")


def register(app: typer.Typer) -> None:
    """Add the group."""
    app.add_typer(group, name="cdr", rich_help_panel="Operation")


@group.command()
def explain(
    record: Annotated[str, typer.Argument(metavar="ID", help="ACCOUNT/ENTRY, or the Session-Id of a closed session.")],
    config: ConfigOption = DEFAULT_CONFIG,
    data: DataOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs: JSON instead of text.")] = False,
) -> None:
    """Explain a record: which rates were in question and why each lost, increments, fees, rounding, buckets.

    The price is the record's own. What was in question is shown by the rate files of now; where they are another version
    than the one that made the price, that is said.

    Example: `ocs cdr explain alice/17`
    """
    import msgspec

    from ocs.cli.cdr_view import print_explained
    from ocs.cli.rates_view import print_json

    with refusals():
        found = _explained(record, config, data)
    for each in found:
        if as_json:
            print_json(msgspec.to_builtins(each))
        else:
            print_explained(each)


@group.command()
def export(
    span: Annotated[str, typer.Argument(metavar="SPAN", help="last-month, 2026-10 or 2026-10-01..2026-10-15, in UTC.")],
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The CSV to write.")],
    currency: Annotated[str, typer.Option(help="The records in this currency.")],
    source: Annotated[str, typer.Option(help="Only what files with such names priced, such as decks/acme.csv:")] = "",
    config: ConfigOption = DEFAULT_CONFIG,
    data: DataOption = None,
) -> None:
    """Write the rated uses of a span as CSV, one line for each rating group of a record.

    Example: `ocs cdr export last-month october.csv --currency EUR`
    """
    from balance.store import BackendUnavailable
    from ocs.billing.uses import export_uses
    from ocs.cli.rates_simulate import span as read_span

    with refusals():
        since_ms, until_ms = read_span(span)
        known = _currencies(config)
        if currency not in known:
            raise StartRefusedError(f"{currency} is not in currencies.toml", EXIT_CONFIG)
        dsn = find_servers(read_settings(config, data)).postgres_dsn
        try:
            count = asyncio.run(export_uses(dsn, file, since_ms, until_ms, known[currency], source))
        except BackendUnavailable as error:
            raise StartRefusedError(str(error)) from error
        print(f"{count:,} lines in {file}")


# --- inside ---------------------------------------------------------------------------------------------------------


def _currencies(config: Path) -> dict[str, Currency]:
    from ocs.rating.load import load_currencies

    return load_currencies(config.absolute().parent / "currencies.toml")


def _explained(record: str, config: Path, data: Path | None) -> list[ExplainedCdr]:
    """The records of an id with all that made their prices. Raises StartRefusedError."""
    from ocs.api.history import explained
    from ocs.clock import now_ms
    from ocs.rating.load import load_ratebook

    servers = find_servers(read_settings(config, data))
    found = _ask(servers.postgres_dsn, lambda pool: _find(pool, record))
    if not found:
        raise StartRefusedError(f"there is no record {record!r}: ACCOUNT/ENTRY, or a Session-Id", EXIT_CONFIG)
    currencies = _currencies(config)
    book = load_ratebook(config.absolute().parent, now_ms()).book  # files with faults explain nothing: the price stands
    plan = _plan_of(servers.valkey_url, found[0][0].account_id)
    return [explained(cdr, entry, book, plan, currencies[cdr.currency]) for cdr, entry in found]


async def _find(pool: Any, record: str) -> list[tuple[CdrRow, JournalRow]]:
    from ocs.billing.cdrs import ENTRY_MAX, cdrs_of_session, find_cdr

    account_id, _, number = record.rpartition("/")
    keys = [(account_id, int(number))] if account_id and number.isdecimal() and int(number) <= ENTRY_MAX else []
    if not keys or await find_cdr(pool, *keys[0]) is None:
        keys = [(row.account_id, row.entry_number) for row in await cdrs_of_session(pool, record)]
    return [found for key in keys if (found := await find_cdr(pool, *key)) is not None]


def _ask(dsn: str, work: Callable[[Any], Awaitable[ResultT]]) -> ResultT:
    """Ask PostgreSQL. Raises StartRefusedError when it is away."""
    import asyncpg

    from balance.store import BackendUnavailable

    async def run() -> ResultT:
        pool = await asyncpg.create_pool(dsn, min_size=0, max_size=1, timeout=CONNECT_S_MAX)
        try:
            return await work(pool)
        finally:
            await pool.close()

    try:
        return asyncio.run(run())
    except BackendUnavailable as error:
        raise StartRefusedError(str(error)) from error


def _plan_of(valkey_url: str, account_id: str) -> str:
    """The account's plan as it is now; empty where Valkey does not say: the price does not depend on it."""
    import msgspec
    from redis.asyncio import Redis
    from redis.exceptions import RedisError

    from ocs.inspection import find_account

    async def run() -> str:
        redis = Redis.from_url(valkey_url, socket_connect_timeout=CONNECT_S_MAX, socket_timeout=CONNECT_S_MAX)
        async with redis:
            found = await find_account(redis, account_id)
        return found.account.rate_plan if found is not None else ""

    try:
        return asyncio.run(run())
    except (RedisError, OSError, msgspec.MsgspecError):
        return ""
