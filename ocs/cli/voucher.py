"""``ocs voucher``: batches of codes that pay money in, printed once as CSV, watched, withdrawn."""

from __future__ import annotations

import asyncio
import csv
import sys
from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from ocs.cli.common import ACTOR, DEFAULT_CONFIG, ConfigOption, DataOption, find_servers, read_settings, refusals
from ocs.errors import EXIT_CONFIG, EXIT_UNKNOWN, StartRefusedError

if TYPE_CHECKING:
    from ocs.vouchers import VoucherDesk

ResultT = TypeVar("ResultT")

group = typer.Typer(no_args_is_help=True, help="Vouchers: codes that pay money in, once.", rich_markup_mode="markdown")

BatchArgument = Annotated[str, typer.Argument(metavar="BATCH", help="The batch's name.")]
JsonOption = Annotated[bool, typer.Option("--json", help="For programs: JSON instead of a table.")]


def register(app: typer.Typer) -> None:
    """Add the group."""
    app.add_typer(group, name="voucher", rich_help_panel="Operation")


@group.command()
def create(
    batch: BatchArgument,
    count: Annotated[int, typer.Option(min=1, max=1_000_000, help="How many.")],
    amount: Annotated[str, typer.Option(metavar="AMOUNT", help="What each pays in, such as 10.00.")],
    currency: Annotated[str, typer.Option(metavar="CODE", help="Of the accounts that may redeem it.")],
    out: Annotated[Path, typer.Option(metavar="FILE", help="Where the codes go, as CSV; - for standard output.")],
    days: Annotated[int, typer.Option(min=0, max=3660, help="To be redeemed within so many days; 0: for ever.")] = 0,
    bucket_days: Annotated[
        int, typer.Option(min=0, max=3660, help="The money ends so many days after; 0: it goes into the main bucket.")
    ] = 0,
    config: ConfigOption = DEFAULT_CONFIG,
    data: DataOption = None,
) -> None:
    """Make a batch and write its codes. They are stored as hashes only: this file is the only place to read them.

    Example: `ocs voucher create spring-26 --count 1000 --amount 10.00 --currency EUR --days 365 --out spring-26.csv`
    """
    with refusals():
        from balance.money import AmountError, parse_amount
        from ocs.clock import now_ms
        from ocs.rating.load import load_currencies
        from ocs.vouchers import Batch

        known = load_currencies(config.absolute().parent / "currencies.toml")
        if currency not in known:
            raise StartRefusedError(f"--currency: {currency!r} is not in currencies.toml", EXIT_CONFIG)
        try:
            exact = parse_amount(amount, known[currency].scale)
        except AmountError as error:
            raise StartRefusedError(f"--amount: {error}", EXIT_CONFIG) from error
        if exact <= 0:
            raise StartRefusedError("--amount: must be more than zero", EXIT_CONFIG)
        made_at_ms = now_ms()
        expires_at_ms = made_at_ms + days * 86_400_000 if days else 0
        made = Batch(batch, count, exact, currency, made_at_ms, "operator", expires_at_ms, bucket_days)

        async def work(desk: VoucherDesk) -> None:
            with nullcontext(sys.stdout) if str(out) == "-" else out.open("x", encoding="utf-8", newline="") as file:
                writer = csv.writer(file, lineterminator="\n")
                writer.writerow(("serial", "code", "amount", "currency"))
                async for printed in desk.make(made):
                    writer.writerows((each.serial, each.code, amount, currency) for each in printed)
                    if str(out) != "-" and count > len(printed):
                        print(f"{printed[-1].serial} of {count}", file=sys.stderr)

        try:
            _with_desk(config, data, work)
        except (ValueError, FileExistsError) as error:
            raise StartRefusedError(str(error), EXIT_CONFIG) from error


@group.command(name="list")
def list_batches(config: ConfigOption = DEFAULT_CONFIG, data: DataOption = None, as_json: JsonOption = False) -> None:
    """List the batches, and how many of each have been redeemed.

    Example: `ocs voucher list`
    """
    with refusals():
        from balance.money import format_amount
        from ocs.api.schemas import instant
        from ocs.cli.bill_view import print_rows
        from ocs.rating.load import load_currencies

        known = load_currencies(config.absolute().parent / "currencies.toml")
        rows = [
            {
                "batch": batch.name,
                "amount": format_amount(batch.amount, known[batch.currency].scale, known[batch.currency].digits),
                "currency": batch.currency,
                "count": batch.count,
                "redeemed": redeemed,
                "made_at": instant(batch.made_at_ms),
                "expires_at": instant(batch.expires_at_ms) if batch.expires_at_ms else "",
                "void": batch.is_void,
            }
            for batch, redeemed in _with_desk(config, data, lambda desk: desk.batches())
        ]
        print_rows("batches", rows, as_json=as_json)


@group.command()
def void(batch: BatchArgument, config: ConfigOption = DEFAULT_CONFIG, data: DataOption = None) -> None:
    """Withdraw what is left of a batch: stolen, misprinted. What was redeemed stays.

    Example: `ocs voucher void spring-26`
    """
    with refusals():
        if not _with_desk(config, data, lambda desk: desk.void(batch)):
            raise StartRefusedError(f"there is no batch {batch!r}: ocs voucher list", EXIT_UNKNOWN)
        print(f"{batch} pays nothing more")


@group.command()
def show(
    code: Annotated[str, typer.Argument(metavar="CODE", help="As it is printed.")],
    config: ConfigOption = DEFAULT_CONFIG,
    data: DataOption = None,
) -> None:
    """Say what became of a code: free, or whose it is and by which entry of the journal.

    Example: `ocs voucher show 1234-5678-9012-3456-7890`
    """
    with refusals():
        found = _with_desk(config, data, lambda desk: desk.find(code))
        if found is None:
            raise StartRefusedError("there is no voucher with that code", EXIT_UNKNOWN)
        fate = f"redeemed by {found.account_id}, entry {found.entry_number}" if found.entry_number else "free"
        if found.account_id and not found.entry_number:
            fate = f"claimed by {found.account_id}, not paid in yet: it may redeem it again"
        print(f"{found.batch} {found.serial}: {fate}")


@group.command()
def redeem(
    account_id: Annotated[str, typer.Argument(metavar="ACCOUNT", help="Who gets the money.")],
    code: Annotated[str, typer.Argument(metavar="CODE", help="As it is printed.")],
    config: ConfigOption = DEFAULT_CONFIG,
    data: DataOption = None,
) -> None:
    """Pay a voucher into an account, once: for who reads a code out by phone.

    Example: `ocs voucher redeem alice 1234-5678-9012-3456-7890`
    """
    with refusals():
        from ocs.cli.desk_world import DeskWorld, run
        from ocs.vouchers import VoucherFault

        async def paid(world: DeskWorld) -> None:
            result = await world.vouchers.redeem(account_id, code, actor=ACTOR)
            if isinstance(result, VoucherFault):
                exit_status = EXIT_UNKNOWN if result is VoucherFault.UNKNOWN else EXIT_CONFIG
                raise StartRefusedError(f"the voucher pays nothing in: {result.value}", exit_status)
            await world.done("redeem_voucher", account_id, "", result)

        run(config, data, paid)


def _with_desk(config: Path, data: Path | None, work: Callable[[VoucherDesk], Awaitable[ResultT]]) -> ResultT:
    """Work on the running instance's Valkey. Raises StartRefusedError when it cannot be reached."""
    from redis.asyncio import Redis
    from redis.exceptions import RedisError

    from balance.valkey.store import open_store
    from ocs.charging.policy import quota_policy
    from ocs.charging.recharge import AccountDesk
    from ocs.charging.service import OnlineCharging
    from ocs.clock import now_ms
    from ocs.rating.ratebook import RateBook
    from ocs.vouchers import VoucherDesk

    settings = read_settings(config, data)
    url = find_servers(settings).valkey_url

    async def run() -> ResultT:
        store = await open_store(url, settings.backends.partitions)
        try:
            async with Redis.from_url(url) as redis:
                online = OnlineCharging(store, RateBook({}, ""), quota_policy(settings), now_ms)
                return await work(VoucherDesk(redis, AccountDesk(online, store, now_ms, {}), now_ms))
        finally:
            await store.close()

    try:
        return asyncio.run(run())
    except (RedisError, OSError) as error:
        if isinstance(error, FileExistsError):
            raise
        raise StartRefusedError(f"cannot reach Valkey: {error}") from error
