"""``ocs bill``: customers and what they are charged, invoices, payments."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Awaitable, Callable
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, TypeVar

import typer

from ocs.cli.common import DEFAULT_CONFIG, ConfigOption, DataOption, refusals
from ocs.errors import EXIT_CONFIG, EXIT_DIFFERENCES, StartRefusedError

if TYPE_CHECKING:
    from ocs.billing.invoices.book import Invoice
    from ocs.cli.bill_world import BillWorld

ResultT = TypeVar("ResultT")
NICENESS: Final = 5  # who answers calls goes before who bills

JsonOption = Annotated[bool, typer.Option("--json", help="For programs: JSON instead of tables.")]
CustomerArgument = Annotated[str, typer.Argument(metavar="CUSTOMER", help="The customer's id.")]
InvoiceArgument = Annotated[str, typer.Argument(metavar="INVOICE", help="Its number; a draft's id.")]
LimitOption = Annotated[int, typer.Option("--limit", "-n", min=1, help="At most so many lines.")]

group = typer.Typer(
    help="Bill postpaid customers: invoices, credit notes, payments.", no_args_is_help=True, rich_markup_mode="markdown"
)


def register(app: typer.Typer) -> None:
    """Add the group."""
    app.add_typer(group, name="bill", rich_help_panel="Billing")


def with_world(config: Path, data: Path | None, work: Callable[[BillWorld], Awaitable[ResultT]]) -> ResultT:
    """Do something with the books and the accounts; refusals become one line and an exit status."""
    from ocs.cli.bill_world import run

    with refusals():
        return run(config, data, work)
    raise AssertionError("refusals() ends the program")


def day_of(text: str, option: str) -> date:
    """Read a date, or refuse with the option's name."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise StartRefusedError(f"{option}: {text!r} is no date: write it as 2026-10-31", EXIT_CONFIG) from None


def day_or_today(text: str, option: str) -> date:
    """Today is the operator's: by the clock and the zone of this machine."""
    from ocs.clock import local_date

    return day_of(text, option) if text else local_date()


@group.command()
def preview(
    customer: CustomerArgument,
    until: Annotated[str, typer.Option(metavar="DATE", help="As if the period ended here; else at its own end.")] = "",
    config: ConfigOption = DEFAULT_CONFIG,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show a customer's next invoice as it would be. Nothing is written.

    Example: `ocs bill preview bakery --until 2026-10-20`
    """
    from ocs.cli.bill_view import print_draft

    async def work(world: BillWorld) -> None:
        print_draft(await world.preview(customer, day_of(until, "--until") if until else None), world, as_json=as_json)

    with_world(config, data, work)


@group.command()
def run(
    until: Annotated[str, typer.Option(metavar="DATE", help="Periods that are over on this day; else today.")] = "",
    issue: Annotated[
        bool, typer.Option("--issue", help="Number and book them at once, with drafts of before that are due.")
    ] = False,
    run_id: Annotated[int, typer.Option("--run", hidden=True, help="Note progress under this run's id.")] = 0,
    config: ConfigOption = DEFAULT_CONFIG,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Draft the invoices of all customers whose period is over. Say it again after an interruption: it goes on.

    It works at a low priority, beside calls. `ocs bill runs` shows how runs get on.

    Exit status: 0 all is drafted, 1 a customer or an account had to wait (it says which), 78 the files have faults.

    Example: `ocs bill run --until 2026-11-01`
    """
    from ocs.cli.bill_view import print_report
    from ocs.cli.rates_import_view import progress_bar

    os.nice(NICENESS)

    async def work(world: BillWorld) -> bool:
        day, today = day_or_today(until, "--until"), day_or_today("", "")
        if day > today:
            raise StartRefusedError(f"--until {day}: that day has not come (today is {today})", EXIT_CONFIG)
        with progress_bar() as progress:
            report = await world.run(day, progress, today, is_issuing=issue, run_id=run_id)
        print_report(report, is_issued=issue, as_json=as_json)
        return bool(report.cut or report.failed)

    if with_world(config, data, work):
        raise typer.Exit(EXIT_DIFFERENCES)


@group.command()
def runs(
    limit: LimitOption = 10, config: ConfigOption = DEFAULT_CONFIG, data: DataOption = None, as_json: JsonOption = False
) -> None:
    """List bill runs, the newest first, and how far they have come.

    Example: `ocs bill runs`
    """
    from ocs.billing.invoices.bill_runs import list_runs
    from ocs.cli.bill_view import print_rows, run_row

    async def work(world: BillWorld) -> None:
        print_rows("runs", [run_row(each) for each in await list_runs(world.connection, limit)], as_json=as_json)

    with_world(config, data, work)


@group.command()
def issue(
    invoices: Annotated[
        list[str] | None, typer.Argument(metavar="DRAFT...", help="Their ids; none: all drafts.")
    ] = None,
    on: Annotated[str, typer.Option(metavar="DATE", help="The day of issue; else today.")] = "",
    config: ConfigOption = DEFAULT_CONFIG,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Give drafts their numbers and book them. An issued invoice stands for ever; `ocs bill credit` corrects it.

    Drafts that are held, or wait for a review that their issuer demands, stay drafts; it says which (`ocs bill review`).

    Example: `ocs bill issue 17 18`
    """
    from ocs.cli.bill_view import print_invoices
    from ocs.cli.rates_import_view import progress_bar
    from ocs.invoicing import BookingRefusedError

    async def work(world: BillWorld) -> None:
        today = day_or_today(on, "--on")
        await world.invoicing.settle(today)
        drafts = [each.invoice_id for each in await world.drafts(invoices or [])]
        issued: list[Invoice] = []
        refused: list[str] = []
        kept: list[str] = []
        with progress_bar() as progress:
            async for done in world.invoicing.issue_all(drafts, today):
                issued += done.invoices
                refused += done.refused.values()
                kept += done.kept.values()
                progress("invoices issued", len(issued), len(drafts))
        print_invoices(issued, world, as_json=as_json)
        if refused or (kept and invoices):
            raise BookingRefusedError("\n".join([*refused, *kept]))
        for why in kept:
            print(why, file=sys.stderr)

    with_world(config, data, work)


@group.command()
def discard(draft: InvoiceArgument, config: ConfigOption = DEFAULT_CONFIG, data: DataOption = None) -> None:
    """Take a draft back: its records are free again. Of several drafts of a customer, the last one first.

    Example: `ocs bill discard 18`
    """
    from ocs.billing.invoices.book import discard as discard_draft

    async def work(world: BillWorld) -> None:
        await discard_draft(world.connection, (await world.invoice(draft)).invoice_id)

    with_world(config, data, work)


@group.command(name="list")
def list_(
    customer: Annotated[str, typer.Option("--customer", metavar="ID", help="This customer's alone.")] = "",
    state: Annotated[str, typer.Option(metavar="STATE", help="draft, issued, paid or void.")] = "",
    limit: LimitOption = 100,
    config: ConfigOption = DEFAULT_CONFIG,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """List invoices and credit notes.

    Example: `ocs bill list --state issued`
    """
    from ocs.billing.invoices.book import list_invoices
    from ocs.cli.bill_view import print_invoices

    async def work(world: BillWorld) -> None:
        print_invoices(await list_invoices(world.connection, customer, state, 0, limit), world, as_json=as_json)

    with_world(config, data, work)


@group.command()
def show(
    invoice: InvoiceArgument,
    config: ConfigOption = DEFAULT_CONFIG,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show an invoice with its lines.

    Example: `ocs bill show R-2026-000001`
    """
    from ocs.billing.invoices.book import lines_of
    from ocs.cli.bill_view import print_invoice

    async def work(world: BillWorld) -> None:
        found = await world.invoice(invoice)
        print_invoice(found, await lines_of(world.connection, found.invoice_id), world, as_json=as_json)

    with_world(config, data, work)


@group.command()
def send(
    invoices: Annotated[
        list[str] | None, typer.Argument(metavar="INVOICE...", help="Their numbers; none: all that were never sent.")
    ] = None,
    annex: Annotated[bool, typer.Option("--annex", help="With the list of all records.")] = False,
    ubl: Annotated[bool, typer.Option("--ubl", help="With the machine-readable form.")] = False,
    again: Annotated[bool, typer.Option("--again", help="Also what was sent before.")] = False,
    config: ConfigOption = DEFAULT_CONFIG,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Send invoices and credit notes to their customers by mail, in their languages; each once.

    They leave by the mail server of `delivery.toml`; `ocs events messages` shows what has arrived.
    Exit status: 0 all are on their way, 1 some are not (it says why).

    Example: `ocs bill send`, or `ocs bill send R-2026-000001 --annex`
    """
    from ocs.cli.bill_view import print_rows

    async def work(world: BillWorld) -> bool:
        rows, today = [], day_or_today("", "")
        for found in await world.to_be_sent(invoices or []):
            why = await world.send(found, today, has_annex=annex, has_ubl=ubl, again=again)
            receiver = found.parties.customer.email if found.parties is not None else ""
            rows.append({"invoice": found.number or found.invoice_id, "to": receiver, "why_not": why})
        print_rows("invoices", rows, as_json=as_json)
        return any(row["why_not"] for row in rows)

    if with_world(config, data, work):
        raise typer.Exit(EXIT_DIFFERENCES)


@group.command()
def credit(
    invoice: InvoiceArgument,
    reason: Annotated[str, typer.Option("--reason", "-r", help="Why; it is printed.")],
    line: Annotated[
        list[str] | None,
        typer.Option(metavar="NUMBER=NET", help="Part of a line, such as 2=12.50; else all that is left."),
    ] = None,
    key: Annotated[str, typer.Option(help="Names the wish: the same again is the same note.")] = "",
    config: ConfigOption = DEFAULT_CONFIG,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Correct an issued invoice by a credit note, in part or whole. The note is issued and booked at once.

    Example: `ocs bill credit R-2026-000001 --reason "wrong rate" --line 2=12.50`
    """
    from ocs.billing.invoices.credit_notes import draft_credit_note
    from ocs.cli.bill_view import print_invoices

    async def work(world: BillWorld) -> None:
        found = await world.invoice(invoice)
        lines = world.line_amounts(line, found.currency) if line else None
        note_id = await draft_credit_note(world.connection, found.invoice_id, reason, lines, key or None)
        print_invoices([await world.invoicing.issue(note_id, day_or_today("", ""))], world, as_json=as_json)

    with_world(config, data, work)


@group.command()
def void(
    invoice: InvoiceArgument,
    reason: Annotated[str, typer.Option("--reason", "-r", help="Why; it is printed on the credit note.")],
    config: ConfigOption = DEFAULT_CONFIG,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take a whole invoice back: a draft goes, an issued one stays as void, with a credit note of its own number.

    Its records are free again, and the next `ocs bill run` bills them; what was paid is the customer's credit. Of several
    invoices of a customer, the last one first. Said again, nothing changes.

    Example: `ocs bill void R-2026-000001 --reason "wrong address"`
    """
    from ocs.cli.bill_view import print_invoices

    async def work(world: BillWorld) -> None:
        notes = await world.void(await world.invoice(invoice), reason, day_or_today("", ""))
        print_invoices(notes, world, as_json=as_json)

    with_world(config, data, work)


@group.command()
def pay(
    customer: CustomerArgument,
    amount: Annotated[str, typer.Argument(metavar="AMOUNT", help="In the customer's currency, such as 19.75.")],
    reference: Annotated[str, typer.Option("--reference", "-r", help="The bank's or the gateway's: counted once.")],
    method: Annotated[str, typer.Option(help="bank, card, cash, ...")] = "bank",
    on: Annotated[str, typer.Option(metavar="DATE", help="The day it came in; else today.")] = "",
    invoice: Annotated[list[str] | None, typer.Option(help="Pay this one first; else the oldest.")] = None,
    config: ConfigOption = DEFAULT_CONFIG,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Book a payment: it pays invoices, and lifts the live balance at once. The same reference again changes nothing.

    Example: `ocs bill pay bakery 19.75 --reference camt-2026-10-05-17`
    """
    from ocs.cli.bill_view import print_payments

    async def work(world: BillWorld) -> None:
        received_on = day_or_today(on, "--on")
        chosen = tuple([(await world.invoice(each)).invoice_id for each in invoice or []])
        payment, is_new = await world.pay(
            customer, amount, received_on, day_or_today("", ""), method, reference, chosen
        )
        print_payments([payment], world, as_json=as_json, note="" if is_new else "It had been booked before.")

    with_world(config, data, work)


@group.command()
def reverse(
    payment: Annotated[int, typer.Argument(metavar="PAYMENT", help="Its id, as `ocs bill payments` shows it.")],
    on: Annotated[str, typer.Option(metavar="DATE", help="The day; else today.")] = "",
    config: ConfigOption = DEFAULT_CONFIG,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take back a payment that the bank has called back: what it paid is open again.

    Example: `ocs bill reverse 12`
    """
    from ocs.cli.bill_view import print_payments

    async def work(world: BillWorld) -> None:
        day = day_or_today(on, "--on")
        print_payments([await world.invoicing.reverse(payment, day)], world, as_json=as_json)

    with_world(config, data, work)


@group.command()
def payments(
    customer: CustomerArgument,
    config: ConfigOption = DEFAULT_CONFIG,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """List a customer's payments and credit notes, and what is left of each.

    Example: `ocs bill payments bakery`
    """
    from ocs.billing.invoices.payments import payments_of
    from ocs.cli.bill_view import print_payments

    async def work(world: BillWorld) -> None:
        found = await payments_of(world.connection, (await world.customer(customer)).customer_id)
        print_payments(found, world, as_json=as_json)

    with_world(config, data, work)


@group.command()
def export(
    first: Annotated[str, typer.Option("--from", metavar="DATE", help="The first day.")],
    after: Annotated[str, typer.Option("--until", metavar="DATE", help="The day after the last one.")],
    out: Annotated[Path | None, typer.Option("--out", "-o", metavar="FILE", help="Else standard output.")] = None,
    config: ConfigOption = DEFAULT_CONFIG,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write what was issued and paid as double entries, by the accounts of `billing.toml`: CSV, or JSON lines.

    Example: `ocs bill export --from 2026-10-01 --until 2026-11-01 --out october.csv`
    """

    async def work(world: BillWorld) -> None:
        days = day_of(first, "--from"), day_of(after, "--until")
        with contextlib.ExitStack() as stack:
            file = stack.enter_context(out.open("w", encoding="utf-8", newline="")) if out else sys.stdout
            async for piece in world.bookkeeping(*days, "jsonl" if as_json else "csv"):
                file.write(piece)

    with_world(config, data, work)
