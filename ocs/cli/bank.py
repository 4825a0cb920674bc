"""``ocs bank``: statements of the bank brought to the invoices."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ocs.cli.bill import JsonOption, LimitOption, day_or_today, with_world
from ocs.cli.common import DEFAULT_CONFIG, ConfigOption, DataOption
from ocs.errors import EXIT_CONFIG, EXIT_DIFFERENCES, StartRefusedError

if TYPE_CHECKING:
    from ocs.cli.bill_world import BillWorld

group = typer.Typer(
    help="Bring bank statements (camt.053) to the invoices.", no_args_is_help=True, rich_markup_mode="markdown"
)
EntryArgument = Annotated[int, typer.Argument(metavar="ENTRY", help="Its id, as `ocs bank list` shows it.")]


def register(app: typer.Typer) -> None:
    """Add the group."""
    app.add_typer(group, name="bank", rich_help_panel="Billing")


@group.command()
def load(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="camt.053, .052 or .054.", exists=True)],
    config: ConfigOption = DEFAULT_CONFIG,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take statements: what names its invoices and pays them to the cent is booked, the rest waits with suggestions.

    The same entry in another file is known. Exit status: 0 all is booked, 1 entries wait, 78 a file cannot be read.

    Example: `ocs bank load camt053-2026-10-05.xml`
    """
    import msgspec

    from ocs.bank_desk import BankDesk
    from ocs.billing.bank.camt import BankFileError
    from ocs.cli.bill_view import print_rows
    from ocs.cli.rates_import_view import progress_bar

    async def work(world: BillWorld) -> bool:
        desk, rows = BankDesk(world, world.currencies), []
        for path in files:
            try:
                with path.open("rb") as file, progress_bar() as progress:
                    loaded = await desk.load(file, day_or_today("", ""), progress)
            except (BankFileError, OSError) as error:
                raise StartRefusedError(f"{path} {error}", EXIT_CONFIG) from error
            rows.append({"file": path.name, **msgspec.structs.asdict(loaded)})
        print_rows("files", rows, as_json=as_json)
        return bool(rows[-1]["waiting"])

    if with_world(config, data, work):
        raise typer.Exit(EXIT_DIFFERENCES)


@group.command(name="list")
def list_(
    limit: LimitOption = 100,
    config: ConfigOption = DEFAULT_CONFIG,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """List entries that wait for somebody, with what they may be, the surest first.

    Example: `ocs bank list`
    """
    from balance.money import format_amount
    from ocs.bank_desk import BankDesk
    from ocs.cli.bill_view import print_rows

    async def work(world: BillWorld) -> None:
        rows = []
        for kept, found in await BankDesk(world, world.currencies).waiting(limit):
            digits = world.currencies[kept.entry.currency].digits
            rows.append(
                {
                    "entry": kept.entry_id,
                    "booked": kept.entry.booked_on.isoformat(),
                    "amount": format_amount(kept.entry.amount_minor, digits, digits),
                    "currency": kept.entry.currency,
                    "party": kept.entry.party,
                    "text": kept.entry.text,
                    "may_be": "; ".join(
                        f"{each.customer_id} ({each.sureness.name.lower()}: {each.why})" for each in found
                    ),
                }
            )
        print_rows("entries", rows, as_json=as_json)

    with_world(config, data, work)


@group.command()
def assign(
    entry: EntryArgument,
    customer: Annotated[str, typer.Option("--customer", metavar="ID", help="Whose payment it is.")] = "",
    invoice: Annotated[list[str] | None, typer.Option(help="Pay this one first; else the oldest.")] = None,
    payment: Annotated[int, typer.Option(metavar="PAYMENT", help="It takes this payment back.")] = 0,
    config: ConfigOption = DEFAULT_CONFIG,
    data: DataOption = None,
) -> None:
    """Say what an entry is: a customer's payment, or the return of one.

    Example: `ocs bank assign 17 --customer bakery --invoice R-2026-000001`
    """
    from ocs.bank_desk import BankDesk

    if bool(customer) == bool(payment):
        raise typer.BadParameter("say --customer or --payment")

    async def work(world: BillWorld) -> None:
        desk, today = BankDesk(world, world.currencies), day_or_today("", "")
        if payment:
            await desk.return_payment(entry, payment, today)
            return
        chosen = tuple([(await world.invoice(each)).invoice_id for each in invoice or []])
        booked = await desk.assign(entry, customer, chosen, today)
        print(f"payment {booked.payment_id}")

    with_world(config, data, work)


@group.command()
def ignore(
    entry: EntryArgument,
    reason: Annotated[str, typer.Option("--reason", "-r", help="Why; kept with it.")],
    config: ConfigOption = DEFAULT_CONFIG,
    data: DataOption = None,
) -> None:
    """Leave an entry out: a fee of the bank, a transfer of our own.

    Example: `ocs bank ignore 18 --reason "bank fee"`
    """
    from ocs.bank_desk import BankDesk

    async def work(world: BillWorld) -> None:
        await BankDesk(world, world.currencies).ignore(entry, reason)

    with_world(config, data, work)
