"""``ocs account``: what is done to an account by hand, with its reason in the journal. `inspect.py` shows one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from ocs.cli.common import ACTOR, DEFAULT_CONFIG, ConfigOption, DataOption, refusals
from ocs.cli.inspect import ACCOUNT_GROUP, AccountArgument, JsonOption, invoiced_of
from ocs.errors import EXIT_CONFIG, StartRefusedError

if TYPE_CHECKING:
    from ocs.charging.operations import RechargeResult
    from ocs.cli.desk_world import DeskWorld

ReasonOption = Annotated[str, typer.Option("--reason", metavar="TEXT", help="Stands in the journal.")]
KeyOption = Annotated[
    str,
    typer.Option(
        "--key", metavar="KEY", help="The intent's name: with the same key it is done once, however often it is said."
    ),
]
TagOption = Annotated[
    str,
    typer.Option(
        "--if-match", metavar="TAG", help="Only if it is as it was read: the ETag of the API, or of `ocs account tags`."
    ),
]
AmountArgument = Annotated[str, typer.Argument(metavar="AMOUNT", help="In the account's currency, such as 10.00.")]
BlockOption = Annotated[str, typer.Option("--name", metavar="NAME", help="Of the block; each is lifted by its own.")]


def register(app: typer.Typer) -> None:  # noqa: ARG001 - they join the group that `inspect` has added
    """Add the commands to ``ocs account``."""
    for command in (
        top_up, adjust, transfer, merge, block, unblock, close, plan, reseller, buy, cancel, velocity, tags,
    ):  # fmt: skip
        ACCOUNT_GROUP.command(command.__name__.replace("_", "-"))(command)


def top_up(
    account_id: AccountArgument,
    amount: AmountArgument,
    reason: ReasonOption = "",
    key: KeyOption = "",
    config: ConfigOption = DEFAULT_CONFIG,
    data: DataOption = None,
) -> None:
    """Pay money in.

    Example: `ocs account top-up alice 10.00 --reason "cash, receipt 17" --key receipt-17`
    """

    async def paid(world: DeskWorld, key: str) -> RechargeResult:
        exact = await _positive(world, account_id, amount)
        currency = (await world.account(account_id)).currency
        return await world.accounts.top_up(account_id, exact, currency, key=key, actor=ACTOR, reason=reason)

    operate(config, data, "top_up", account_id, key, paid)


def adjust(
    account_id: AccountArgument,
    amount: Annotated[str, typer.Argument(metavar="AMOUNT", help="Such as 2.50; -- -2.50 takes away.")],
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Stands in the journal.")],
    key: KeyOption = "",
    config: ConfigOption = DEFAULT_CONFIG,
    data: DataOption = None,
) -> None:
    """Correct the main bucket, up or down.

    Example: `ocs account adjust alice --reason goodwill -- -2.50`
    """

    async def adjusted(world: DeskWorld, key: str) -> RechargeResult:
        exact = await world.amount(account_id, "AMOUNT", amount)
        if not exact:
            raise StartRefusedError("AMOUNT: must not be zero", EXIT_CONFIG)
        currency = (await world.account(account_id)).currency
        return await world.accounts.adjust(account_id, exact, currency, key=key, actor=ACTOR, reason=reason)

    operate(config, data, "adjust", account_id, key, adjusted)


def transfer(
    account_id: AccountArgument,
    to: Annotated[str, typer.Argument(metavar="TO", help="The account that gets it.")],
    amount: AmountArgument,
    reason: ReasonOption = "",
    key: KeyOption = "",
    config: ConfigOption = DEFAULT_CONFIG,
    data: DataOption = None,
) -> None:
    """Move money to another account: what is free in the main bucket, never credit.

    Example: `ocs account transfer alice bob 2.00 --reason gift`
    """

    async def moved(world: DeskWorld, key: str) -> RechargeResult:
        if to == account_id:
            raise StartRefusedError("TO: is the account itself", EXIT_CONFIG)
        exact = await _positive(world, account_id, amount)
        currency = (await world.account(account_id)).currency
        return await world.money.transfer(account_id, to, exact, currency, key=key, actor=ACTOR, reason=reason)

    operate(config, data, "transfer", account_id, key, moved)


def merge(
    account_id: AccountArgument,
    into: Annotated[str, typer.Argument(metavar="INTO", help="The account that has all of it afterwards.")],
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Stands in the journal.")],
    key: KeyOption = "",
    config: ConfigOption = DEFAULT_CONFIG,
    data: DataOption = None,
) -> None:
    """Make one account of two: all that the first has goes into the other, and the first is closed.

    Not while it has open sessions or invoices. If it is interrupted, say the same again, with --key and the same key; a running
    daemon goes on with it, too.

    Example: `ocs account merge alice-old alice --reason "a second contract by mistake" --key case-17`
    """

    async def merged(world: DeskWorld, key: str) -> RechargeResult:
        if into == account_id:
            raise StartRefusedError("INTO: is the account itself", EXIT_CONFIG)
        return await world.money.merge(account_id, into, key=key, actor=ACTOR, reason=reason)

    with refusals():
        from ocs.api.problems import Kind

        paper = invoiced_of(config, data, account_id)
        if paper is not None and paper.owed:
            facts = Kind.INVOICES_OPEN.value
            raise StartRefusedError(f"{facts.title}. {facts.cure} `ocs account balances {account_id}`", EXIT_CONFIG)
    operate(config, data, "merge_account", account_id, key, merged)


def block(
    account_id: AccountArgument,
    name: BlockOption = "operator",
    limit: Annotated[bool, typer.Option("--limit", help="Let the calls that it receives pass.")] = False,
    reason: ReasonOption = "",
    key: KeyOption = "",
    if_match: TagOption = "",
    config: ConfigOption = DEFAULT_CONFIG,
    data: DataOption = None,
) -> None:
    """Suspend an account: it keeps what it has and gets no new grants; or limit it to incoming calls.

    Example: `ocs account block alice --name fraud-desk --reason "calls to Somalia"`, `ocs account block alice --limit`
    """
    _set_state(config, data, account_id, key, if_match, "LIMITED" if limit else "SUSPENDED", name, reason)


def unblock(
    account_id: AccountArgument,
    name: BlockOption = "operator",
    reason: ReasonOption = "",
    key: KeyOption = "",
    if_match: TagOption = "",
    config: ConfigOption = DEFAULT_CONFIG,
    data: DataOption = None,
) -> None:
    """Lift one block; the account is active when none is left.

    Example: `ocs account unblock alice --name fraud --reason "it was not fraud"`
    """
    _set_state(config, data, account_id, key, if_match, "ACTIVE", name, reason)


def close(
    account_id: AccountArgument,
    reason: ReasonOption = "",
    key: KeyOption = "",
    if_match: TagOption = "",
    config: ConfigOption = DEFAULT_CONFIG,
    data: DataOption = None,
) -> None:
    """Close an account for good; its open sessions are asked to end.

    Example: `ocs account close alice --reason "ported out"`
    """
    _set_state(config, data, account_id, key, if_match, "CLOSED", "operator", reason)


def plan(
    account_id: AccountArgument,
    rate_plan: Annotated[str, typer.Argument(metavar="PLAN", help="One in the account's currency.")],
    at: Annotated[
        Literal["once", "cycle-end"], typer.Option(help="Now, or when the billing cycle ends.")
    ] = "cycle-end",
    reason: ReasonOption = "",
    key: KeyOption = "",
    if_match: TagOption = "",
    config: ConfigOption = DEFAULT_CONFIG,
    data: DataOption = None,
) -> None:
    """Change to another rate plan; open sessions keep their prices.

    Example: `ocs account plan alice retail-eur --at once --reason "by phone"`
    """

    async def changed(world: DeskWorld, key: str) -> RechargeResult:
        from ocs.charging.plans import PlanOrder

        order = PlanOrder(rate_plan, at == "cycle-end")
        return await world.accounts.change_plan(
            account_id, order, key=key, actor=ACTOR, reason=reason, expects=tags_of(if_match)
        )

    operate(config, data, "change_plan", account_id, key, changed)


def reseller(
    account_id: AccountArgument,
    above: Annotated[
        str, typer.Argument(metavar="[RESELLER]", help="The account that is charged along; none: nobody.")
    ] = "",
    reason: ReasonOption = "",
    key: KeyOption = "",
    if_match: TagOption = "",
    config: ConfigOption = DEFAULT_CONFIG,
    data: DataOption = None,
) -> None:
    """Change the reseller that is charged along, or leave it; open sessions end with the one they began with.

    Example: `ocs account reseller alice acme --reason "contract 12"`, `ocs account reseller alice`
    """

    async def moved(world: DeskWorld, key: str) -> RechargeResult:
        expects = tags_of(if_match)
        return await world.accounts.change_reseller(
            account_id, above, key=key, actor=ACTOR, reason=reason, expects=expects
        )

    operate(config, data, "change_reseller", account_id, key, moved)


def buy(
    account_id: AccountArgument,
    package: Annotated[str, typer.Argument(metavar="PACKAGE", help="One of the account's plan.")],
    reason: ReasonOption = "",
    key: KeyOption = "",
    config: ConfigOption = DEFAULT_CONFIG,
    data: DataOption = None,
) -> None:
    """Sell a package of the account's plan; one with a period is a subscription from then on.

    Example: `ocs account buy alice Starter --key order-4712`
    """

    async def bought(world: DeskWorld, key: str) -> RechargeResult:
        from ocs.charging.recharge import PackageUnknown

        result = await world.accounts.buy(account_id, package, key=key, actor=ACTOR, reason=reason)
        if isinstance(result, PackageUnknown):
            raise StartRefusedError(f"plan {result.rate_plan} sells no package {package!r}", EXIT_CONFIG)
        return result

    operate(config, data, "buy_package", account_id, key, bought)


def cancel(
    account_id: AccountArgument,
    subscription: Annotated[int, typer.Argument(metavar="NUMBER", help="As `ocs account show` says.")],
    reason: ReasonOption = "",
    key: KeyOption = "",
    config: ConfigOption = DEFAULT_CONFIG,
    data: DataOption = None,
) -> None:
    """Let a subscription end with its period.

    Example: `ocs account cancel alice 7 --reason "by phone"`
    """

    async def cancelled(world: DeskWorld, key: str) -> RechargeResult:
        return await world.accounts.cancel(account_id, subscription, key=key, actor=ACTOR, reason=reason)

    operate(config, data, "end_subscription", account_id, key, cancelled)


def tags(
    account_id: AccountArgument,
    config: ConfigOption = DEFAULT_CONFIG,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what names its state, limits and plan as they are now, for --if-match; the API's ETags are the same.

    Example: `ocs account tags alice`
    """
    with refusals():
        from ocs.charging.operations import limits_tag, state_tag, version_tag
        from ocs.charging.plans import plan_tag
        from ocs.cli.desk_world import run
        from ocs.cli.inspect_view import print_fields, print_json

        async def named(world: DeskWorld) -> dict[str, str]:
            account = await world.account(account_id)
            return {
                "account": version_tag(account), "state": state_tag(account), "limits": limits_tag(account),
                "plan": plan_tag(account),
            }  # fmt: skip

        (print_json if as_json else print_fields)(run(config, data, named))


def velocity(
    account_id: AccountArgument,
    config: ConfigOption = DEFAULT_CONFIG,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what the rules against fraud have counted of an account, and what they did.

    Example: `ocs account velocity alice`
    """
    with refusals():
        import msgspec

        from ocs.api.parts import pace_view
        from ocs.cli.desk_world import run
        from ocs.cli.inspect_view import print_fields, print_json
        from ocs.clock import now_ms

        async def shown(world: DeskWorld) -> dict[str, object]:
            account = await world.account(account_id)
            rule = world.rules.velocity_of(account.rate_plan, account.currency)
            view = pace_view(account, world.currencies[account.currency], now_ms())
            return {"rule": rule.action if rule is not None else "none for this plan", **msgspec.to_builtins(view)}

        (print_json if as_json else print_fields)(run(config, data, shown))


# --- inside -----------------------------------------------------------------------------------------------------


def operate(
    config: Path,
    data: Path | None,
    action: str,
    account_id: str,
    key: str,
    work: Callable[[DeskWorld, str], Awaitable[RechargeResult]],
) -> None:
    """Do something to an account once for its key, and note it; or say why not, and leave."""
    with refusals():
        from ocs.cli.desk_world import new_key, run

        named = new_key(key)

        async def done(world: DeskWorld) -> None:
            await world.account(account_id)
            await world.done(action, account_id, named, await work(world, named))

        run(config, data, done)


def _set_state(
    config: Path, data: Path | None, account_id: str, key: str, tag: str, state: str, name: str, reason: str
) -> None:
    async def moved(world: DeskWorld, key: str) -> RechargeResult:
        from balance.account import AccountState

        return await world.accounts.set_state(
            account_id, AccountState[state], key=key, actor=ACTOR, reason=reason, block=name, expects=tags_of(tag)
        )

    operate(config, data, "set_state", account_id, key, moved)


def tags_of(text: str) -> frozenset[str]:
    """As a header If-Match has it, or without its quotes; empty: whatever is there."""
    return frozenset(filter(None, (each.strip().strip('"') for each in text.split(","))))


async def _positive(world: DeskWorld, account_id: str, text: str) -> int:
    exact = await world.amount(account_id, "AMOUNT", text)
    if exact <= 0:
        raise StartRefusedError("AMOUNT: must be more than zero", EXIT_CONFIG)
    return exact
