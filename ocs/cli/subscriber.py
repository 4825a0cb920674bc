"""``ocs subscriber``: who is charged to which account, and by which names the network asks for them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ocs.cli.account import KeyOption, TagOption, tags_of
from ocs.cli.common import DEFAULT_CONFIG, ConfigOption, DataOption, refusals
from ocs.cli.inspect import JsonOption, LimitOption
from ocs.errors import EXIT_CONFIG, EXIT_UNKNOWN, StartRefusedError

if TYPE_CHECKING:
    from ocs.charging.subscribers import SubscriberResult
    from ocs.cli.desk_world import DeskWorld

group = typer.Typer(no_args_is_help=True, help="Subscribers: whose calls an account pays.", rich_markup_mode="markdown")

IdArgument = Annotated[str, typer.Argument(metavar="ID", help="The subscriber's id.")]
IdentityOption = Annotated[
    list[str] | None,
    typer.Option(
        "--identity", "-i", metavar="NAME", help="Such as e164:4915112345678 or sip:alice@example.net; all of them."
    ),
]
AccountOption = Annotated[str, typer.Option("--account", "-a", metavar="ID", help="The account that pays.")]
PasswordOption = Annotated[
    str | None, typer.Option("--password", envvar="OCS_PASSWORD", help="Where RADIUS checks it; empty takes it away.")
]


def register(app: typer.Typer) -> None:
    """Add the group."""
    app.add_typer(group, name="subscriber", rich_help_panel="Operation")


@group.command()
def create(
    subscriber_id: IdArgument,
    account: AccountOption,
    identity: IdentityOption = None,
    password: PasswordOption = "",
    key: KeyOption = "",
    config: ConfigOption = DEFAULT_CONFIG,
    data: DataOption = None,
) -> None:
    """Give identities to an account, so that calls find it.

    Example: `ocs subscriber create s1 --account alice --identity e164:4915112345678`
    """

    async def made(world: DeskWorld) -> SubscriberResult:
        names = _identities(identity or [])
        return await world.accounts.subscribers.create(subscriber_id, account, names, password or "", key=key)

    _change(config, data, "create_subscriber", subscriber_id, key, made)


@group.command()
def change(
    subscriber_id: IdArgument,
    account: AccountOption = "",
    identity: IdentityOption = None,
    password: PasswordOption = None,
    key: KeyOption = "",
    if_match: TagOption = "",
    config: ConfigOption = DEFAULT_CONFIG,
    data: DataOption = None,
) -> None:
    """Give it another account, other identities (all of them), another password; what is left out stays.

    Example: `ocs subscriber change s1 --identity e164:4915112345678 --identity imsi:262011234567890`
    """

    async def made(world: DeskWorld) -> SubscriberResult:
        from ocs.charging.subscribers import SubscriberChange

        names = _identities(identity) if identity else None
        return await world.accounts.subscribers.change(
            subscriber_id, SubscriberChange(account or None, names, password), key=key, expects=tags_of(if_match)
        )

    _change(config, data, "change_subscriber", subscriber_id, key, made)


@group.command()
def port(
    identity: Annotated[str, typer.Argument(metavar="NAME", help="Such as e164:4915112345678.")],
    giver: Annotated[str, typer.Argument(metavar="FROM", help="The subscriber who has it.")],
    taker: Annotated[str, typer.Argument(metavar="TO", help="The subscriber who gets it.")],
    key: KeyOption = "",
    if_match: TagOption = "",
    config: ConfigOption = DEFAULT_CONFIG,
    data: DataOption = None,
) -> None:
    """Move a number to another subscriber, of whatever account, in one step. Open sessions stay where they began.

    Example: `ocs subscriber port e164:4915187654321 s0 s1`
    """

    async def moved(world: DeskWorld) -> SubscriberResult:
        return await world.accounts.subscribers.port(
            _identities([identity])[0], giver, taker, key=key, expects=tags_of(if_match)
        )

    _change(config, data, "port_identity", taker, key, moved)


@group.command()
def remove(
    subscriber_id: IdArgument,
    key: KeyOption = "",
    if_match: TagOption = "",
    config: ConfigOption = DEFAULT_CONFIG,
    data: DataOption = None,
) -> None:
    """Take a subscriber away: its identities are nobody's then.

    Example: `ocs subscriber remove s1`
    """

    async def removed(world: DeskWorld) -> SubscriberResult:
        return await world.accounts.subscribers.remove(subscriber_id, key=key, expects=tags_of(if_match))

    _change(config, data, "remove_subscriber", subscriber_id, key, removed)


@group.command(name="list")
def list_subscribers(
    account: Annotated[str, typer.Option("--account", "-a", metavar="ID", help="This account's alone.")] = "",
    identity: Annotated[str, typer.Option("--identity", "-i", metavar="NAME", help="The one who has it.")] = "",
    after: Annotated[str, typer.Option(metavar="ID", help="Those after this one.")] = "",
    limit: LimitOption = 100,
    config: ConfigOption = DEFAULT_CONFIG,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """List subscribers in the order of their ids, each with its tag for --if-match. Passwords are never shown.

    Example: `ocs subscriber list --account alice`, or `ocs subscriber list --identity e164:4915112345678`
    """
    with refusals():
        import msgspec

        from ocs.api.views import subscriber_view
        from ocs.cli.bill_view import print_rows
        from ocs.cli.desk_world import run

        async def listed(world: DeskWorld) -> list[dict[str, object]]:
            desk = world.accounts.subscribers
            owner = await desk.find(_identities([identity])[0]) if identity else None
            found = ([owner] if owner is not None else []) if identity else await desk.page(account, "", after, limit)
            own = [each for each in found if account in {"", each.account_id}]
            return [{**msgspec.to_builtins(subscriber_view(each)), "tag": each.tag} for each in own]

        print_rows("subscribers", run(config, data, listed), as_json=as_json)


def _change(
    config: Path,
    data: Path | None,
    action: str,
    subscriber_id: str,
    key: str,
    work: Callable[[DeskWorld], Awaitable[SubscriberResult]],
) -> None:
    with refusals():
        import msgspec

        from balance.store import Subscriber
        from ocs.api.subscribers import PROBLEMS
        from ocs.api.views import subscriber_view
        from ocs.charging.subscribers import SubscriberStatus
        from ocs.cli.desk_world import run

        def fields(subscriber: Subscriber | None) -> dict[str, object]:
            shown: dict[str, object] = {} if subscriber is None else msgspec.to_builtins(subscriber_view(subscriber))
            return shown

        async def done(world: DeskWorld) -> str:
            result = await work(world)
            problem = PROBLEMS.get(result.status)
            if problem is not None:
                facts = problem.value
                exit_status = EXIT_UNKNOWN if facts.status == 404 else EXIT_CONFIG
                raise StartRefusedError(f"{facts.title}. {facts.cure}", exit_status)
            if result.status is SubscriberStatus.REPLAYED:
                return "done before"
            before, after = fields(result.before), fields(result.subscriber)
            await world.note(action, f"subscriber {subscriber_id}", key, before, after)
            return "done"

        print(run(config, data, done))


def _identities(texts: list[str]) -> tuple[str, ...]:
    from ocs.api.identities import IdentityError, normalize_identity

    if not texts:
        raise StartRefusedError("--identity: name one, such as e164:4915112345678", EXIT_CONFIG)
    try:
        return tuple(dict.fromkeys(map(normalize_identity, texts)))
    except IdentityError as error:
        raise StartRefusedError(f"--identity: {error}", EXIT_CONFIG) from error
