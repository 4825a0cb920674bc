"""``ocs account limits``, ``cap``, ``lift-cap``: what an account may spend, and how many calls it may have, put one by one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias

import typer

from ocs.cli.account import KeyOption, ReasonOption, TagOption, operate, tags_of
from ocs.cli.common import ACTOR, DEFAULT_CONFIG, ConfigOption, DataOption, refusals
from ocs.cli.inspect import ACCOUNT_GROUP, AccountArgument
from ocs.errors import EXIT_CONFIG, StartRefusedError

if TYPE_CHECKING:
    from balance.account import Account
    from ocs.charging.operations import CapChoice, Limits, RechargeResult
    from ocs.cli.desk_world import DeskWorld

Unit: TypeAlias = Literal["money", "seconds", "octets", "events"]
Every: TypeAlias = Literal["day", "week", "month", "cycle"]


def register(app: typer.Typer) -> None:  # noqa: ARG001 - they join the group that `inspect` has added
    """Add the commands to ``ocs account``."""
    for command in (limits, cap, lift_cap):
        ACCOUNT_GROUP.command(command.__name__.replace("_", "-"))(command)


def limits(
    account_id: AccountArgument,
    credit_limit: Annotated[str, typer.Option("--credit-limit", metavar="AMOUNT", help="How far below zero.")] = "",
    low_balance: Annotated[
        str, typer.Option("--low-balance", metavar="AMOUNT", help="Below it somebody is told; 0: never.")
    ] = "",
    calls: Annotated[
        list[str] | None,
        typer.Option(
            "--calls", metavar="SERVICE=N[/M]", help="N calls at once, M begun in a second; 0: as many as come."
        ),
    ] = None,
    reason: ReasonOption = "",
    key: KeyOption = "",
    if_match: TagOption = "",
    config: ConfigOption = DEFAULT_CONFIG,
    data: DataOption = None,
) -> None:
    """Change the credit limit, the threshold, the limits of calls; what is left out stays. `ocs account show` shows them.

    Example: `ocs account limits alice --credit-limit 20.00 --calls voice=2/5`
    """
    chosen = [_calls(text) for text in calls or ()]

    async def made(world: DeskWorld, account: Account) -> Limits:
        from ocs.charging.operations import CallsChoice, Limits

        known = {each.service: each for each in account.extras.calls} if account.extras is not None else {}
        there = {service: CallsChoice(service, each.at_once, each.per_second) for service, each in known.items()}
        there |= {each[0]: CallsChoice(*each) for each in chosen}
        left = tuple(each for each in there.values() if each.at_once or each.per_second)
        amounts = [
            await _not_negative(world, account_id, option, text) if text else None
            for option, text in (("--credit-limit", credit_limit), ("--low-balance", low_balance))
        ]
        return Limits(credit_limit=amounts[0], low_balance=amounts[1], calls=left if chosen else None)

    if not (credit_limit or low_balance or chosen):
        with refusals():
            raise StartRefusedError("nothing to change: name --credit-limit, --low-balance or --calls", EXIT_CONFIG)
    _set_limits(config, data, account_id, key, if_match, reason, made)


def cap(
    account_id: AccountArgument,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Of the cap; one of that name is put in its place.")],
    most: Annotated[str, typer.Argument(metavar="MOST", help='Such as 50.00, or with --unit "2 GB".')],
    every: Annotated[Every, typer.Option(help="Its period, in the account's time zone.")] = "month",
    unit: Annotated[Unit, typer.Option(help="What is counted.")] = "money",
    service: Annotated[list[str] | None, typer.Option(metavar="NAME", help="Of these services alone.")] = None,
    destination: Annotated[list[str] | None, typer.Option(metavar="NAME", help="To these destinations alone.")] = None,
    network: Annotated[list[str] | None, typer.Option(metavar="MCC", help="In these networks alone.")] = None,
    not_network: Annotated[list[str] | None, typer.Option(metavar="MCC", help="Elsewhere than in these.")] = None,
    member: Annotated[str, typer.Option(metavar="ID", help="Of this subscriber; *: of each of them.")] = "",
    warn_percent: Annotated[int, typer.Option("--warn", min=0, max=99, help="Warn at so many percent.")] = 0,
    reason: ReasonOption = "",
    key: KeyOption = "",
    if_match: TagOption = "",
    config: ConfigOption = DEFAULT_CONFIG,
    data: DataOption = None,
) -> None:
    """Put a spending cap: at its end it is refused like without money.

    Example: `ocs account cap alice roaming 50.00 --service data --warn 80 --not-network 262`

    Example: `ocs account cap alice kid "2 GB" --unit octets --member s1`
    """

    async def made(world: DeskWorld, account: Account) -> Limits:
        from ocs.api.schemas import CAP_UNITS
        from ocs.charging.operations import CapChoice, Limits
        from ocs.rating.units import UnitKind, parse_quantity

        number = CAP_UNITS.index(unit)
        try:
            exact = parse_quantity(most, UnitKind(number)) if number else 0
        except ValueError as error:
            raise StartRefusedError(f"MOST: {error}", EXIT_CONFIG) from error
        exact = exact if number else await _not_negative(world, account_id, "MOST", most)
        groups = [tuple(each or ()) for each in (service, destination, network, not_network)]
        choice = CapChoice(name, every, exact, groups[0], warn_percent, member, number, *groups[1:])
        return Limits(caps=(*(each for each in _caps_of(account) if each.name != name), choice))

    _set_limits(config, data, account_id, key, if_match, reason, made)


def lift_cap(
    account_id: AccountArgument,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Of the cap.")],
    reason: ReasonOption = "",
    key: KeyOption = "",
    if_match: TagOption = "",
    config: ConfigOption = DEFAULT_CONFIG,
    data: DataOption = None,
) -> None:
    """Take a cap away.

    Example: `ocs account lift-cap alice roaming --reason "by phone"`
    """

    async def made(_: DeskWorld, account: Account) -> Limits:
        from ocs.charging.operations import Limits

        known = _caps_of(account)
        if name not in {each.name for each in known}:
            names = ", ".join(each.name for each in known) or "none"
            raise StartRefusedError(f"there is no cap {name!r}: it has {names}", EXIT_CONFIG)
        return Limits(caps=tuple(each for each in known if each.name != name))

    _set_limits(config, data, account_id, key, if_match, reason, made)


# --- inside -----------------------------------------------------------------------------------------------------


def _set_limits(
    config: Path,
    data: Path | None,
    account_id: str,
    key: str,
    tag: str,
    reason: str,
    make: Callable[[DeskWorld, Account], Awaitable[Limits]],
) -> None:
    """Put limits that are made of those that there are; refused if somebody else was faster."""

    async def changed(world: DeskWorld, key: str) -> RechargeResult:
        from ocs.charging.operations import limits_tag

        account = await world.account(account_id)
        return await world.accounts.set_limits(
            account_id,
            await make(world, account),
            key=key,
            actor=ACTOR,
            reason=reason,
            expects=tags_of(tag) or frozenset({limits_tag(account)}),
        )

    operate(config, data, "set_limits", account_id, key, changed)


def _caps_of(account: Account) -> list[CapChoice]:
    from ocs.charging.operations import CapChoice

    caps = account.extras.caps if account.extras is not None else ()
    return [CapChoice(*(getattr(each, name) for name in CapChoice._fields)) for each in caps]


def _calls(text: str) -> tuple[str, int, int]:
    service, _, numbers = text.partition("=")
    at_once, _, per_second = numbers.partition("/")
    if not service or not at_once.isdigit() or not (per_second or "0").isdigit():
        with refusals():
            raise StartRefusedError(f"--calls: {text!r} is not like voice=2 or voice=2/5", EXIT_CONFIG)
    return service, int(at_once), int(per_second or 0)


async def _not_negative(world: DeskWorld, account_id: str, option: str, text: str) -> int:
    exact = await world.amount(account_id, option, text)
    if exact < 0:
        raise StartRefusedError(f"{option}: must not be negative", EXIT_CONFIG)
    return exact
