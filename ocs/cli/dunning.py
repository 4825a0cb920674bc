"""``ocs dunning``: who owes since when, what is done about it, and who is left in peace."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from ocs.cli.bill import CustomerArgument, InvoiceArgument, JsonOption, day_of, day_or_today, with_world
from ocs.cli.common import DEFAULT_CONFIG, ConfigOption, DataOption

if TYPE_CHECKING:
    from ocs.cli.bill_world import BillWorld

group = typer.Typer(help="Follow up what is not paid.", no_args_is_help=True, rich_markup_mode="markdown")


def register(app: typer.Typer) -> None:
    """Add the group."""
    app.add_typer(group, name="dunning", rich_help_panel="Billing")


@group.command()
def run(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would happen and why; do nothing.")] = False,
    on: Annotated[str, typer.Option(metavar="DATE", help="As of this day; else today.")] = "",
    config: ConfigOption = DEFAULT_CONFIG,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take every step that is due, each once: reminders noted, late fees charged, accounts suspended or given back.

    Example: `ocs dunning run --dry-run`
    """
    from ocs.cli.bill_view import dunning_row, print_rows
    from ocs.cli.rates_import_view import progress_bar
    from ocs.clock import now_ms

    async def work(world: BillWorld) -> None:
        now = None if on else now_ms()
        day = day_or_today(on, "--on")
        with progress_bar() as progress:
            found = await world.invoicing.dunning.run(day, is_dry=dry_run, now=now, progress=progress)
        print_rows("customers", [dunning_row(each, world) for each in found], as_json=as_json)

    with_world(config, data, work)


@group.command()
def promise(
    customer: CustomerArgument,
    until: Annotated[str, typer.Option(metavar="DATE", help="No step up to this day; none: the promise is over.")] = "",
    config: ConfigOption = DEFAULT_CONFIG,
    data: DataOption = None,
) -> None:
    """Leave a customer in peace until a day, because he has promised to pay.

    Example: `ocs dunning promise bakery --until 2026-11-20`
    """

    async def work(world: BillWorld) -> None:
        day = day_of(until, "--until") if until else None
        await world.invoicing.dunning.promise(await world.customer(customer), day, is_exempt=False)

    with_world(config, data, work)


@group.command()
def exempt(customer: CustomerArgument, config: ConfigOption = DEFAULT_CONFIG, data: DataOption = None) -> None:
    """Leave a customer in peace for good. `ocs dunning promise CUSTOMER` ends it.

    Example: `ocs dunning exempt town-hall`
    """

    async def work(world: BillWorld) -> None:
        await world.invoicing.dunning.promise(await world.customer(customer), None, is_exempt=True)

    with_world(config, data, work)


@group.command()
def dispute(
    invoice: InvoiceArgument,
    settled: Annotated[bool, typer.Option("--settled", help="It is settled: the invoice counts again.")] = False,
    config: ConfigOption = DEFAULT_CONFIG,
    data: DataOption = None,
) -> None:
    """Let a disputed invoice not count until that is settled.

    Example: `ocs dunning dispute R-2026-000001`
    """
    from ocs.billing.invoices.book import set_disputed

    async def work(world: BillWorld) -> None:
        found = await world.invoice(invoice)
        await set_disputed(world.connection, found.invoice_id, not settled)

    with_world(config, data, work)
