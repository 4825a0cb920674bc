"""``ocs account``, ``ocs session``: what stands in Valkey now, in words, so that nobody has to read octets.

Only ``session close`` says something to the running servers, by the stream of notices.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, TypeVar

import typer

from ocs.cli.common import DEFAULT_CONFIG, ConfigOption, DataOption, find_servers, read_settings, refusals
from ocs.errors import EXIT_INTERNAL, EXIT_UNKNOWN, StartRefusedError

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from balance.money import Currency
    from ocs.billing.balances import Invoiced

ResultT = TypeVar("ResultT")

CONNECT_TIMEOUT_S: Final = 5

AccountArgument = Annotated[str, typer.Argument(metavar="ID", help="The account's id.")]
KeyArgument = Annotated[
    str, typer.Argument(metavar="KEY", help="As `ocs session list` says, or a Diameter Session-Id alone.")
]
ReasonOption = Annotated[str, typer.Option("--reason", metavar="TEXT", help="Goes into the log.")]
JsonOption = Annotated[bool, typer.Option("--json", help="For programs: JSON instead of tables.")]
OfAccountOption = Annotated[str, typer.Option("--account", "-a", metavar="ID", help="This account's alone.")]
LimitOption = Annotated[int, typer.Option("--limit", "-n", min=1, max=100_000, help="At most so many.")]


ACCOUNT_GROUP: Final = typer.Typer(
    no_args_is_help=True,
    help="Accounts as they stand in Valkey, and what is done to them by hand.",
    rich_markup_mode="markdown",
)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    ACCOUNT_GROUP.command("show")(show_account)
    ACCOUNT_GROUP.command("balances")(show_balances)
    app.add_typer(ACCOUNT_GROUP, name="account", rich_help_panel="Operation")
    session = typer.Typer(no_args_is_help=True, help="Credit-control sessions in Valkey.", rich_markup_mode="markdown")
    session.command("show")(show_session)
    session.command("list")(list_sessions)
    session.command("close")(close_sessions)
    app.add_typer(session, name="session", rich_help_panel="Operation")


def show_account(
    account_id: AccountArgument,
    config: ConfigOption = DEFAULT_CONFIG,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show an account: money, buckets, state, and where it lies in Valkey. Exit status: 66 there is none of that id.

    Example: `ocs account show alice`
    """
    with refusals():
        from ocs.cli.inspect_view import account_fields, print_account, print_json
        from ocs.clock import now_ms
        from ocs.inspection import find_account

        found = _read(config, data, lambda redis: find_account(redis, account_id))
        if found is None:
            raise StartRefusedError(
                f"there is no account {account_id!r} on this Valkey; --config and --data say which one that is",
                EXIT_UNKNOWN,
            )
        fields = account_fields(found, _currencies(config), now_ms())
        (print_json if as_json else print_account)(fields)


def show_balances(
    account_id: AccountArgument,
    config: ConfigOption = DEFAULT_CONFIG,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the three balances of an account: live, invoiced, available. + is the customer's money, - what the customer owes.

    Exit status: 66 there is none of that id.

    Example: `ocs account balances alice`
    """
    with refusals():
        import msgspec

        from ocs.api.views import balances_view
        from ocs.cli.inspect_view import print_fields, print_json
        from ocs.clock import now_ms
        from ocs.inspection import find_account

        found = _read(config, data, lambda redis: find_account(redis, account_id))
        if found is None:
            raise StartRefusedError(f"there is no account {account_id!r} on this Valkey", EXIT_UNKNOWN)
        paper = invoiced_of(config, data, account_id)
        currency = _currencies(config)[found.account.currency]
        view = balances_view(found.account, None if paper is None else paper.balance, currency, now_ms())
        fields = msgspec.to_builtins(view)
        (print_json if as_json else print_fields)(fields)


def invoiced_of(config: Path, data: Path | None, account_id: str) -> Invoiced | None:
    """What stands on an account's invoices; None: no customer pays by it. Raises StartRefusedError."""
    import asyncpg

    from balance.store import BackendUnavailable
    from ocs.billing.balances import invoiced
    from ocs.billing.failures import FAILURES

    async def read() -> Invoiced | None:
        connection = await asyncpg.connect(find_servers(read_settings(config, data)).postgres_dsn)
        try:
            return await invoiced(connection, account_id)
        finally:
            await connection.close()

    try:
        return asyncio.run(read())
    except (BackendUnavailable, *FAILURES) as error:
        raise StartRefusedError(f"cannot reach PostgreSQL, where invoices are: {error}") from error


def show_session(
    key: KeyArgument,
    config: ConfigOption = DEFAULT_CONFIG,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show a session, open or closed: its groups with their tariffs, what is reserved, its last answers.

    Exit status: 66 there is none of that key.

    Example: `ocs session show "gy:pgw.example.net;1;42"`
    """
    with refusals():
        from ocs.cli.inspect_view import print_json, print_session, record_fields
        from ocs.inspection import find_record

        found = _read(config, data, lambda redis: find_record(redis, key))
        if found is None:
            raise StartRefusedError(f"there is no session {key!r}: see `ocs session list`", EXIT_UNKNOWN)
        fields = record_fields(found, _currencies(config))
        (print_json if as_json else print_session)(fields)


def list_sessions(
    config: ConfigOption = DEFAULT_CONFIG,
    data: DataOption = None,
    account: OfAccountOption = "",
    service: Annotated[str, typer.Option(metavar="NAME", help="Of this service alone, such as voice.")] = "",
    protocol: Annotated[str, typer.Option(metavar="NAME", help="gy, rf or ra (RADIUS).")] = "",
    peer: Annotated[str, typer.Option(metavar="NAME", help="Of this Diameter peer or RADIUS client alone.")] = "",
    subscriber: Annotated[str, typer.Option(metavar="ID", help="Of this subscriber alone.")] = "",
    older_than_s: Annotated[
        int, typer.Option("--older-than-s", metavar="SECONDS", min=0, help="Those that began so long ago.")
    ] = 0,
    silent_s: Annotated[
        int, typer.Option("--silent-s", metavar="SECONDS", min=0, help="Those of which nothing was heard for so long.")
    ] = 0,
    limit: LimitOption = 100,
    as_json: JsonOption = False,
) -> None:
    """List the open sessions, those first whose time runs out first.

    Example: `ocs session list --account alice`

    Example: `ocs session list --peer pgw2.example.net --silent-s 600 --limit 1000`
    """
    with refusals():
        from ocs.charging.session_search import SessionQuery
        from ocs.cli.inspect_view import print_json, print_sessions, session_summary
        from ocs.clock import now_ms
        from ocs.inspection import open_sessions

        opened_ms, heard_ms = (now_ms() - 1000 * each if each else 0 for each in (older_than_s, silent_s))
        query = SessionQuery(account, "", service, protocol, peer, subscriber, opened_ms, heard_ms)
        found = _read(config, data, lambda redis: open_sessions(redis, query, limit))
        currencies = _currencies(config)
        rows = [session_summary(session, currencies) for session in found.sessions]
        if as_json:
            print_json({"sessions": rows, "truncated": found.truncated})
        else:
            print_sessions(rows, truncated=found.truncated)


def close_sessions(
    keys: Annotated[
        list[str], typer.Argument(metavar="KEY...", help="As `ocs session list` says, or Diameter Session-Ids.")
    ],
    config: ConfigOption = DEFAULT_CONFIG,
    data: DataOption = None,
    reason: ReasonOption = "",
) -> None:
    """Ask the network elements to end sessions (Diameter: Abort-Session-Request, RADIUS: Disconnect-Request).

    A session ends with its last report, which is charged; if none comes, by supervision. Exit status: 66 one of them is not open.

    Example: `ocs session close "gy:pgw.example.net;1;42" --reason fraud`

    Example: `ocs session list --peer pgw2 --json | jq -r ".sessions[].session_key" | xargs -d "\\n" ocs session close`
    """
    with refusals():
        from ocs.inspection import ask_to_end

        cause, unknown = f"operator: {reason}".rstrip(": "), []
        for key in keys:
            session = _read(config, data, partial(ask_to_end, session_key=key, cause=cause))
            if session is None:
                unknown.append(key)
            else:
                print(f"asked {session.peer} to end {session.session_key}")
        if unknown:
            names = ", ".join(map(repr, unknown))
            raise StartRefusedError(f"there is no open session {names}: see `ocs session list`", EXIT_UNKNOWN)


def _currencies(config: Path) -> dict[str, Currency]:
    from ocs.rating.load import load_currencies

    return load_currencies(config.absolute().parent / "currencies.toml")


def _read(config: Path, data: Path | None, work: Callable[[Redis], Awaitable[ResultT]]) -> ResultT:
    """Ask the running instance's Valkey. Raises StartRefusedError when it cannot be reached or read."""
    import msgspec
    from redis.asyncio import Redis
    from redis.exceptions import RedisError

    url = find_servers(read_settings(config, data)).valkey_url

    async def run() -> ResultT:
        redis = Redis.from_url(url, socket_connect_timeout=CONNECT_TIMEOUT_S, socket_timeout=CONNECT_TIMEOUT_S)
        async with redis:
            return await work(redis)

    try:
        return asyncio.run(run())
    except (RedisError, OSError) as error:
        raise StartRefusedError(f"cannot reach Valkey: {error}") from error
    except msgspec.MsgspecError as error:
        raise StartRefusedError(f"the record is none of this version: {error}", EXIT_INTERNAL) from error
