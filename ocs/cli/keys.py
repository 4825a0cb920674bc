"""``ocs keys``: make, list, rotate and revoke the keys of the HTTP API."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Final, TypeVar

import typer

from ocs.cli.common import DEFAULT_CONFIG, ConfigOption, DataOption, find_servers, read_settings, refusals
from ocs.errors import EXIT_CONFIG, StartRefusedError
from ocs.settings import Settings

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from ocs.api.keys import ApiKey, Scope

ResultT = TypeVar("ResultT")

CONNECT_TIMEOUT_S: Final = 5
HOUR_MS: Final = 3_600_000
_TENANT: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,19}")
_NAME: Final = re.compile(r"[^\x00-\x1f\x7f]{1,100}")

ScopeOption = Annotated[
    list[str],
    typer.Option("--scope", "-s", help="accounts:read, topup, ... as docs/api.md lists them; may be repeated."),
]
NameOption = Annotated[str, typer.Option("--name", "-n", help="Who will use it, for the list.")]
TenantOption = Annotated[
    str, typer.Option("--tenant", metavar="NAME", help="It knows only accounts and subscribers named NAME:...")
]
IdArgument = Annotated[str, typer.Argument(metavar="ID", help="The 12 characters after ocs_, as `ocs keys list` says.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    keys = typer.Typer(no_args_is_help=True, help="API keys: make, list, rotate, revoke.", rich_markup_mode="markdown")
    keys.command("create")(create)
    keys.command("list")(show)
    keys.command("rotate")(rotate)
    keys.command("revoke")(revoke)
    app.add_typer(keys, name="keys", rich_help_panel="Operation")


def create(
    scope: ScopeOption,
    name: NameOption,
    tenant: TenantOption = "",
    config: ConfigOption = DEFAULT_CONFIG,
    data: DataOption = None,
) -> None:
    """Make a key and print it: once, because only its hash is kept.

    Example: `ocs keys create --scope topup --scope accounts:read --name "web shop"`
    """
    with refusals():
        scopes = _scopes(scope)
        if _NAME.fullmatch(name) is None:
            raise StartRefusedError("--name: 1 to 100 printable characters", EXIT_CONFIG)
        if tenant and _TENANT.fullmatch(tenant) is None:
            raise StartRefusedError("--tenant: 1 to 20 lower-case letters, digits and dashes", EXIT_CONFIG)
        from ocs.api.keys import new_token, store_key
        from ocs.clock import now_ms

        token = new_token()

        async def make(redis: Redis) -> None:
            key = await store_key(redis, token, name, scopes, now_ms(), tenant)
            await _note(redis, "create_key", key.key_id, {"name": name, "scopes": list(key.scopes), "tenant": tenant})

        _with_store(read_settings(config, data), make)
        typer.echo(token)


def show(config: ConfigOption = DEFAULT_CONFIG, data: DataOption = None) -> None:
    """List all keys, the revoked ones too; never their secrets.

    Example: `ocs keys list`
    """
    with refusals():
        from ocs.api.keys import list_keys

        keys = _with_store(read_settings(config, data), list_keys)
        _print_table(keys)


def rotate(
    key_id: IdArgument,
    grace_h: Annotated[int, typer.Option("--grace", min=0, max=8760, help="Hours for which the old one is good.")] = 24,
    config: ConfigOption = DEFAULT_CONFIG,
    data: DataOption = None,
) -> None:
    """Make a key that may do the same and print it; the old one is good for some hours more.

    Example: `ocs keys rotate 4k2m9x0a7bq1 --grace 48`
    """
    with refusals():
        from ocs.api.keys import new_token, rotate_key
        from ocs.clock import now_ms

        short, token = _short(key_id), new_token()

        async def make(redis: Redis) -> bool:
            done = await rotate_key(redis, short, token, now_ms(), grace_h * HOUR_MS)
            if done is not None:
                until = _moment(done[0].expires_at_ms)
                await _note(redis, "rotate_key", short, {"expires_at": until, "successor": done[1].key_id})
            return done is not None

        if not _with_store(read_settings(config, data), make):
            raise StartRefusedError(f"there is no key {short!r} in force: see `ocs keys list`", EXIT_CONFIG)
        typer.echo(token)


def revoke(key_id: IdArgument, config: ConfigOption = DEFAULT_CONFIG, data: DataOption = None) -> None:
    """Disable a key for good; servers notice within seconds.

    Example: `ocs keys revoke 4k2m9x0a7bq1`
    """
    with refusals():
        from ocs.api.keys import CACHE_TTL_MS, revoke_key
        from ocs.clock import now_ms

        short = _short(key_id)

        async def end(redis: Redis) -> ApiKey | None:
            key = await revoke_key(redis, short, now_ms())
            if key is not None:
                await _note(redis, "revoke_key", short, {"disabled_at": _moment(key.disabled_at_ms)})
            return key

        key = _with_store(read_settings(config, data), end)
        if key is None:
            raise StartRefusedError(f"there is no key {short!r}: see `ocs keys list`", EXIT_CONFIG)
        typer.echo(f"{key.key_id} ({key.name}) is revoked; servers notice within {CACHE_TTL_MS // 1000} s")


def _short(key_id: str) -> str:
    """A whole token may have been pasted; its secret must not travel further than here."""
    return key_id.removeprefix("ocs_").partition("_")[0]


async def _note(redis: Redis, action: str, key_id: str, after: dict[str, object]) -> None:
    """The audit log knows who may do what, too."""
    from ocs.billing.trail import FIELD, STREAM_KEY, TrailEntry, encode_trail
    from ocs.clock import now_ms

    entry = TrailEntry(at_ms=now_ms(), actor="cli", action=action, target=f"key {key_id}", after=after)
    await redis.xadd(STREAM_KEY, {FIELD: encode_trail(entry)})


def _scopes(names: list[str]) -> list[Scope]:
    from ocs.api.keys import Scope

    known = {scope.value: scope for scope in Scope}
    wrong = [name for name in names if name not in known]
    if wrong:
        raise StartRefusedError(f"--scope: {', '.join(wrong)} is none of {', '.join(known)}", EXIT_CONFIG)
    return list(dict.fromkeys(known[name] for name in names))


def _with_store(settings: Settings, work: Callable[[Redis], Awaitable[ResultT]]) -> ResultT:
    """Do something with the running instance's Valkey. Raises StartRefusedError when it cannot be reached."""
    from redis.asyncio import Redis
    from redis.exceptions import RedisError

    url = find_servers(settings).valkey_url

    async def run() -> ResultT:
        redis = Redis.from_url(url, socket_connect_timeout=CONNECT_TIMEOUT_S, socket_timeout=CONNECT_TIMEOUT_S)
        async with redis:
            return await work(redis)

    try:
        return asyncio.run(run())
    except (RedisError, OSError) as error:
        raise StartRefusedError(f"cannot reach Valkey: {error}") from error


def _print_table(keys: list[ApiKey]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table("id", "name", "tenant", "scopes", "created", "state", box=None, pad_edge=False)
    for key in keys:
        if key.disabled_at_ms:
            state = f"revoked {_moment(key.disabled_at_ms)}"
        else:
            state = f"until {_moment(key.expires_at_ms)}" if key.expires_at_ms else "in force"
        created = _moment(key.created_at_ms)
        table.add_row(key.key_id, Text(key.name), key.tenant, " ".join(key.scopes), created, state)
    Console().print(table)


def _moment(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms // 1000, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
