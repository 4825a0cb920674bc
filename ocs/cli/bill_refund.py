"""``ocs bill refund``: what a customer has paid, given back through the gateway, or booked as given back."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from ocs.cli.bill import CustomerArgument, day_or_today, group, with_world
from ocs.cli.common import DEFAULT_CONFIG, ConfigOption, DataOption, read_settings, refusals
from ocs.errors import EXIT_CONFIG, StartRefusedError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from ocs.cli.bill_world import BillWorld
    from ocs.payments.kept_refunds import KeptRefund
    from ocs.settings import Stripe


def register(_app: typer.Typer) -> None:
    """The command belongs to ``ocs bill``."""
    group.command()(refund)


def refund(
    customer: CustomerArgument,
    amount: Annotated[str, typer.Argument(metavar="AMOUNT", help="In the customer's currency, such as 19.75.")],
    reference: Annotated[str, typer.Option("--reference", "-r", help="The bank's, or one of your own: counted once.")],
    payment: Annotated[
        int, typer.Option(metavar="PAYMENT", help="Give this payment back, through the gateway (ocs bill payments).")
    ] = 0,
    method: Annotated[str, typer.Option(help="How you have given it back: bank, cash, ...")] = "bank",
    on: Annotated[str, typer.Option(metavar="DATE", help="The day it went out; else today.")] = "",
    config: ConfigOption = DEFAULT_CONFIG,
    data: DataOption = None,
) -> None:
    """Give a payment back by the card or direct debit it came by (--payment); or book money that was given back to a
    customer out of what he had paid in excess, never more.

    Say the same again until it answers: it is given back once. `ocs run` goes on by itself with what was interrupted.

    Example: `ocs bill refund bakery 5.00 --payment 12 --reference case-7`

    Example: `ocs bill refund bakery 5.00 --reference camt-2026-10-09-3`
    """
    folder = config.absolute().parent
    with refusals():
        settings = read_settings(config, data).stripe

    async def work(world: BillWorld) -> None:
        found = await world.customer(customer)
        minor = world.minor(amount, found.currency)
        if minor <= 0:
            raise StartRefusedError(f"{amount} is no refund: an amount above zero", EXIT_CONFIG)
        if payment:
            kept = await _give_back(world, settings, folder, found.customer_id, payment, minor, reference)
            print(
                f"refund {kept.refund_id}: {amount} {found.currency} to {customer} by {kept.method} ({kept.reference})"
            )
            return
        if settings.success_url:
            from ocs.payments.refunding import check_by_hand
            from ocs.payments.stripe_gateway import StripeGateway

            await check_by_hand(world.connection, StripeGateway.name, found.customer_id, method, reference)
        day = day_or_today(on, "--on")
        done = await world.invoicing.refund(found, minor, day, method=method, reference=reference)
        print(f"refund {done.refund_id}: {amount} {found.currency} to {customer}")

    with_world(config, data, work)


async def _give_back(
    world: BillWorld, settings: Stripe, folder: Path, customer_id: str, payment: int, minor: int, key: str
) -> KeptRefund:
    from ocs.clock import now_ms
    from ocs.payments.gateway import GatewayRefusedError
    from ocs.payments.refunding import Refunding
    from ocs.payments.secrets import open_gateway

    @asynccontextmanager
    async def desks() -> AsyncIterator[BillWorld]:
        yield world

    gateway = open_gateway(settings, folder)
    if gateway is None:
        raise StartRefusedError("there is no payment gateway: set [stripe] in ocs.toml", EXIT_CONFIG)
    try:
        return await Refunding(gateway, desks, now_ms).refund(customer_id, payment, minor, key=key)
    except GatewayRefusedError as error:
        raise StartRefusedError(f"{gateway.name} gives nothing back: {error}", EXIT_CONFIG) from error
    finally:
        await gateway.close()
