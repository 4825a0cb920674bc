"""``ocs cdr``: rated records in PostgreSQL: found, explained, written to a file."""

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
    from ocs.feeds.settings import Feed

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


@group.command()
def search(
    account: Annotated[str, typer.Option(metavar="ID", help="Records of this account.")] = "",
    number: Annotated[str, typer.Option(help="The caller's or the called one; `4930*`: all that begin so.")] = "",
    destination: Annotated[str, typer.Option(help="Its name in the rates, such as `Germany*`.")] = "",
    session: Annotated[str, typer.Option(metavar="ID", help="The Session-Id or Acct-Session-Id.")] = "",
    service: Annotated[str, typer.Option(help="voice, sms, data, ...")] = "",
    span: Annotated[
        str, typer.Option(help="When the use began: last-month, 2026-10 or 2026-10-01..2026-10-15, UTC.")
    ] = "",
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=1000, help="At most so many, the newest.")] = 100,
    config: ConfigOption = DEFAULT_CONFIG,
    data: DataOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs: JSON instead of a table.")] = False,
) -> None:
    """Find records by account, number, destination, session and time: all that is said has to hold. The newest first.

    Example: `ocs cdr search --number "4930*" --span 2026-10`
    """
    from ocs.billing.cdrs import find_cdrs
    from ocs.billing.search import FAR_FUTURE_MS, CdrQuery
    from ocs.cli.cdr_view import print_records
    from ocs.cli.rates_simulate import span as read_span

    with refusals():
        since_ms, until_ms = read_span(span) if span else (0, FAR_FUTURE_MS)
        query = CdrQuery(
            account_id=account, number=number, destination=destination, session_id=session, service=service,
            since_ms=since_ms, until_ms=until_ms,
        )  # fmt: skip
        dsn = find_servers(read_settings(config, data)).postgres_dsn
        found = _ask(dsn, lambda pool: find_cdrs(pool, query, limit=limit))
        print_records(found.items, _currencies(config), as_json=as_json, has_more=bool(found.next_cursor))


@group.command()
def feed(config: ConfigOption = DEFAULT_CONFIG, data: DataOption = None) -> None:
    """Give rated records to the receivers of `feeds.toml` (files, HTTP, Kafka), each at least once.

    `ocs run` starts this where there are feeds; the flusher queues new records for them.

    Example: `ocs cdr feed --config /etc/ocs/ocs.toml`
    """
    from ocs.feeds.feeder import serve
    from ocs.observe.logging import configure_logging

    with refusals():
        settings, found = read_settings(config, data), _feeds(config)
        configure_logging("feeder")
        dsn = find_servers(settings).postgres_dsn
        try:
            asyncio.run(serve(dsn, found, Path(settings.node.data_dir), _currencies(config)))
        except ImportError as error:
            raise StartRefusedError("a Kafka feed needs its library: pip install 'ocs[kafka]'", EXIT_CONFIG) from error


@group.command()
def feeds(
    config: ConfigOption = DEFAULT_CONFIG,
    data: DataOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs: JSON instead of a table.")] = False,
) -> None:
    """Show the receivers of `feeds.toml`, and how many records each of them has not been given yet.

    Example: `ocs cdr feeds`
    """
    import msgspec

    from ocs.cli.bill_view import print_rows
    from ocs.feeds.queue import state_of

    async def states(pool: Any) -> list[dict[str, Any]]:
        return [msgspec.structs.asdict(await state_of(pool, each)) for each in found.values()]

    with refusals():
        found = _feeds(config)
        dsn = find_servers(read_settings(config, data)).postgres_dsn
        print_rows("feeds", _ask(dsn, states), as_json=as_json)


@group.command()
def replay(
    name: Annotated[str, typer.Argument(metavar="FEED", help="Its name in `feeds.toml`.")],
    span: Annotated[str, typer.Option(metavar="SPAN", help="When the use began: 2026-10, or 2026-10-01..2026-10-08.")],
    config: ConfigOption = DEFAULT_CONFIG,
    data: DataOption = None,
) -> None:
    """Give records to a receiver again, under the same ids: what he has already he knows by them.

    Example: `ocs cdr replay warehouse --span 2026-10`
    """
    from ocs.cli.rates_simulate import span as read_span
    from ocs.feeds.queue import replay as give_again

    with refusals():
        if name not in _feeds(config):
            raise StartRefusedError(f"feeds.toml has no feed {name!r}", EXIT_CONFIG)
        since_ms, until_ms = read_span(span)
        dsn = find_servers(read_settings(config, data)).postgres_dsn
        count = _ask(dsn, lambda pool: give_again(pool, name, since_ms, until_ms))
        print(f"{count:,} records are given to {name} again")


@group.command()
def months(
    config: ConfigOption = DEFAULT_CONFIG,
    data: DataOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs: JSON instead of a table.")] = False,
) -> None:
    """Show in which months the records lie, how many there are (about) and what they take on disk.

    The flusher makes months ahead, and drops those that `retention.cdr_months` no longer keeps.

    Example: `ocs cdr months`
    """
    from ocs.billing.months import parts_of
    from ocs.cli.cdr_view import print_months

    with refusals():
        dsn = find_servers(read_settings(config, data)).postgres_dsn
        print_months(_ask(dsn, parts_of), as_json=as_json)


# --- inside ---------------------------------------------------------------------------------------------------------


def _feeds(config: Path) -> dict[str, Feed]:
    from ocs.feeds.settings import load_feeds

    found = load_feeds(config.absolute().parent)
    if isinstance(found, list):
        raise StartRefusedError("feeds.toml has faults:\n" + "\n".join(map(str, found)), EXIT_CONFIG)
    return found


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
    from ocs.billing.cdrs import cdrs_of_session, find_cdr
    from ocs.billing.search import ENTRY_MAX

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
