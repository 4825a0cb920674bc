"""``ocs customer``: who is billed, and what they are charged beside usage."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from ocs.cli.bill import CustomerArgument, JsonOption, LimitOption, day_of, with_world
from ocs.cli.common import DEFAULT_CONFIG, ConfigOption, DataOption, refusals
from ocs.errors import EXIT_CONFIG, StartRefusedError

if TYPE_CHECKING:
    from ocs.billing.invoices.customers import Customer
    from ocs.cli.bill_world import BillWorld

group = typer.Typer(
    help="Postpaid customers and their agreed charges.", no_args_is_help=True, rich_markup_mode="markdown"
)


def register(app: typer.Typer) -> None:
    """Add the group."""
    app.add_typer(group, name="customer", rich_help_panel="Billing")


@group.command()
def add(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A customer as TOML; docs/billing.md has an example.")],
    config: ConfigOption = DEFAULT_CONFIG,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Add a customer. Its accounts must be there; the first of them is the one that pays.

    Example: `ocs customer add bakery.toml`
    """
    from ocs.billing.invoices.book import InvoiceRefusedError
    from ocs.cli.bill_view import customer_row, print_rows

    with refusals():
        customer = read_customer(file)

    async def work(world: BillWorld) -> None:
        try:
            await world.add_customer(customer)
        except InvoiceRefusedError as error:
            raise StartRefusedError(
                "\n".join(f"{file}: {line}" for line in str(error).splitlines()), EXIT_CONFIG
            ) from error
        print_rows("customers", [customer_row(customer)], as_json=as_json)

    with_world(config, data, work)


@group.command(name="list")
def list_(
    after: Annotated[str, typer.Option(metavar="ID", help="Those that come after this one.")] = "",
    limit: LimitOption = 100,
    config: ConfigOption = DEFAULT_CONFIG,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """List customers by their id.

    Example: `ocs customer list`
    """
    from ocs.billing.invoices.customers import list_customers
    from ocs.cli.bill_view import customer_row, print_rows

    async def work(world: BillWorld) -> None:
        found = await list_customers(world.connection, after, limit)
        print_rows("customers", [customer_row(each) for each in found], as_json=as_json)

    with_world(config, data, work)


@group.command()
def charges(
    customer: CustomerArgument,
    config: ConfigOption = DEFAULT_CONFIG,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """List what a customer is charged beside usage.

    Example: `ocs customer charges bakery`
    """
    from ocs.billing.invoices.customers import agreed_charges
    from ocs.cli.bill_view import agreed_row, print_rows

    async def work(world: BillWorld) -> None:
        found = await world.customer(customer)
        rows = [
            agreed_row(each, found.currency, world)
            for each in await agreed_charges(world.connection, found.customer_id)
        ]
        print_rows("charges", rows, as_json=as_json)

    with_world(config, data, work)


@group.command()
def charge(
    customer: CustomerArgument,
    charge_id: Annotated[str, typer.Argument(metavar="CHARGE", help="A name of your choice: counted once.")],
    amount: Annotated[str, typer.Argument(metavar="AMOUNT", help="Net, such as 10.00; a discount is negative.")],
    text: Annotated[str, typer.Option("--text", "-t", help="What is printed.")],
    first: Annotated[str, typer.Option("--from", metavar="DATE", help="The first day that it is for.")],
    months: Annotated[int, typer.Option(min=0, help="In advance for each period of so many months; 0: once.")] = 0,
    tax: Annotated[str, typer.Option(help="Its tax code; else that of usage.")] = "",
    currency: Annotated[str, typer.Option(help="Of the amount; else the customer's. Billed at the day's rate.")] = "",
    config: ConfigOption = DEFAULT_CONFIG,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Agree on a charge: a monthly fee, something once, a discount.

    Example: `ocs customer charge bakery bakery-line 10.00 --text "Line rental" --from 2026-09-16 --months 1`
    """
    from ocs.billing.invoices.customers import add_agreed
    from ocs.cli.bill_view import agreed_row, print_rows

    async def work(world: BillWorld) -> None:
        found = await world.customer(customer)
        agreed = world.agreed(found, charge_id, amount, text, day_of(first, "--from"), months, tax, currency)
        if not await add_agreed(world.connection, agreed):
            raise StartRefusedError(f"there is a charge {charge_id!r} already: choose another name", EXIT_CONFIG)
        print_rows("charges", [agreed_row(agreed, found.currency, world)], as_json=as_json)

    with_world(config, data, work)


@group.command()
def end(
    charge_id: Annotated[str, typer.Argument(metavar="CHARGE", help="The charge's name.")],
    after: Annotated[str, typer.Option("--on", metavar="DATE", help="The first day that it is no longer for.")],
    config: ConfigOption = DEFAULT_CONFIG,
    data: DataOption = None,
) -> None:
    """Let a charge end. What was billed in advance for later days comes back with the next invoice.

    Example: `ocs customer end bakery-line --on 2026-12-15`
    """
    from ocs.billing.invoices.customers import end_agreed

    async def work(world: BillWorld) -> None:
        if not await end_agreed(world.connection, charge_id, day_of(after, "--on")):
            raise StartRefusedError(f"there is no charge {charge_id!r}", EXIT_CONFIG)

    with_world(config, data, work)


@group.command()
def note(
    customer: CustomerArgument,
    text: Annotated[str, typer.Argument(metavar="TEXT", help="What is to be known.")],
    file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A document that goes with it.", exists=True)
    ] = None,
    config: ConfigOption = DEFAULT_CONFIG,
    data: DataOption = None,
) -> None:
    """Note something about a customer, with a document if there is one. Notes stay.

    Example: `ocs customer note bakery "contract signed" --file contract.pdf`
    """
    from ocs.billing.invoices.notes import FILE_OCTETS_MAX, add_note

    async def work(world: BillWorld) -> None:
        found, content = await world.customer(customer), file.read_bytes() if file else None
        if content is not None and len(content) > FILE_OCTETS_MAX:
            raise StartRefusedError(f"{file} has more than {FILE_OCTETS_MAX:,} octets", EXIT_CONFIG)
        name = file.name if file else ""
        print(f"note {await add_note(world.connection, found.customer_id, 'operator', text, name, content)}")

    with_world(config, data, work)


@group.command()
def notes(
    customer: CustomerArgument,
    document: Annotated[int, typer.Option("--document", metavar="NOTE", help="Write this note's document here.")] = 0,
    config: ConfigOption = DEFAULT_CONFIG,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """List what is noted about a customer, the newest first; or write a note's document to the current folder.

    Example: `ocs customer notes bakery`, or `ocs customer notes bakery --document 3`
    """
    import msgspec

    from ocs.billing.invoices.notes import document_of, notes_of
    from ocs.cli.bill_view import print_rows

    async def work(world: BillWorld) -> tuple[str, bytes] | None:
        found = await world.customer(customer)
        if document:
            return await document_of(world.connection, found.customer_id, document)
        rows = [msgspec.to_builtins(each) for each in await notes_of(world.connection, found.customer_id)]
        print_rows("notes", rows, as_json=as_json)
        return None

    kept = with_world(config, data, work)
    if kept is not None:
        path = Path(Path(kept[0]).name)
        path.write_bytes(kept[1])
        print(path)
    elif document:
        with refusals():
            raise StartRefusedError(f"{customer} has no document {document}", EXIT_CONFIG)


def read_customer(path: Path) -> Customer:
    """A customer's file. Raises StartRefusedError that says what is wrong in it."""
    from ocs.billing.invoices.customers import Customer

    try:
        table: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
        unknown = sorted(table.keys() - set(Customer.__struct_fields__))
        if unknown:
            known = ", ".join(Customer.__struct_fields__)
            raise StartRefusedError(f"{path}: {unknown[0]} is not a known field (known: {known})", EXIT_CONFIG)
        return msgspec.convert(table, Customer)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise StartRefusedError(f"{path}: {str(error).replace('`', '')}", EXIT_CONFIG) from error
