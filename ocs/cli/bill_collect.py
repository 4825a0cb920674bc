"""``ocs bill collect``: invoices by card and direct debit, from their due date on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from ocs.cli.bill import CustomerArgument, JsonOption, day_or_today, group, with_world
from ocs.cli.common import DEFAULT_CONFIG, ConfigOption, DataOption, read_settings, refusals
from ocs.errors import EXIT_CONFIG, StartRefusedError

if TYPE_CHECKING:
    from datetime import date

    from ocs.cli.bill_world import BillWorld
    from ocs.payments.collection import Finding
    from ocs.payments.gateway import Gateway
    from ocs.payments.invoices import Collecting


def register(_app: typer.Typer) -> None:
    """The commands belong to ``ocs bill``."""
    group.command()(collect)
    group.command(name="collect-by")(collect_by)


def collect(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would happen and why; do nothing.")] = False,
    on: Annotated[str, typer.Option(metavar="DATE", help="As of this day; else today.")] = "",
    config: ConfigOption = DEFAULT_CONFIG,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Collect the invoices that are due, of customers whose invoices are collected, by their stored payment methods.

    Each open invoice is shown with what is done about it and why. Failures are tried again as payments.toml says; what the
    scheme forbids to repeat is left to dunning. `ocs run` does the same by itself, every minute, where [stripe] is set.

    Example: `ocs bill collect --dry-run`
    """
    from ocs.cli.bill_view import print_rows
    from ocs.clock import noon_ms, now_ms
    from ocs.payments.invoices import Collecting
    from ocs.payments.settings import read_payments
    from ocs.payments.stripe_gateway import StripeGateway

    folder = config.absolute().parent
    with refusals():
        policy, settings = read_payments(folder).collection, read_settings(config, data)

    async def work(world: BillWorld) -> None:
        today = day_or_today(on, "--on")
        # Retries are counted from the day of the run, whatever day it is here.
        collecting = Collecting(StripeGateway.name, policy, (lambda: noon_ms(today)) if on else now_ms)
        if dry_run:
            findings = await collecting.find(world, today)
        else:
            from ocs.payments.secrets import open_gateway

            gateway = open_gateway(settings.stripe, folder)
            if gateway is None:
                raise StartRefusedError("there is no payment gateway: set [stripe] in ocs.toml", EXIT_CONFIG)
            try:
                findings = await _collect(world, collecting, gateway, today)
            finally:
                await gateway.close()
        print_rows("invoices", [_row(each, world) for each in findings], as_json=as_json)

    with_world(config, data, work)


def collect_by(
    customer: CustomerArgument,
    kind: Annotated[str, typer.Argument(metavar="KIND", help="card, direct_debit or none.")],
    config: ConfigOption = DEFAULT_CONFIG,
    data: DataOption = None,
) -> None:
    """Have a customer's invoices collected by his stored card or direct debit at their due date, or no more.

    Example: `ocs bill collect-by bakery direct_debit`
    """
    from ocs.payments.gateway import MethodKind
    from ocs.payments.invoices import set_collect_by

    if kind not in (*MethodKind, "none"):
        with refusals():
            raise StartRefusedError(f"{kind!r} is none of card, direct_debit, none", EXIT_CONFIG)

    async def work(world: BillWorld) -> None:
        found = await world.customer(customer)
        await set_collect_by(world.connection, found.customer_id, None if kind == "none" else MethodKind(kind))

    with_world(config, data, work)


async def _collect(world: BillWorld, collecting: Collecting, gateway: Gateway, today: date) -> list[Finding]:
    from ocs.clock import noon_ms, now_ms
    from ocs.payments import charges
    from ocs.payments.collector import ask
    from ocs.payments.gateway import PurposeKind

    findings = await collecting.begin(world, today)
    while charge := await charges.claim(world.connection, max(now_ms(), noon_ms(today)), (PurposeKind.INVOICE,)):
        await collecting.settle(world, charge, await ask(gateway, charge), today)
    return findings


def _row(finding: Finding, world: BillWorld) -> dict[str, Any]:
    from balance.money import format_amount

    owed, method = finding.owed, finding.method
    digits = world.currencies[owed.currency].digits
    return {
        "invoice": owed.number,
        "customer": owed.customer_id,
        "due": owed.due_on.isoformat(),
        "open": format_amount(owed.open_minor, digits, digits),
        "currency": owed.currency,
        "by": owed.collect.value,
        "method": f"{method.brand} {method.last4}" if method is not None else "",
        "attempt": finding.attempt,
        "what": finding.action.value,
        "until": finding.until.isoformat() if finding.until is not None else "",
        "why": finding.why,
    }
