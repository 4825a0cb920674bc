"""``ocs bill review``, ``hold`` and ``release``: what is looked at before it is issued."""

from __future__ import annotations

import getpass
from typing import TYPE_CHECKING, Annotated

import typer

from ocs.cli.bill import InvoiceArgument, JsonOption, group, with_world
from ocs.cli.common import DEFAULT_CONFIG, ConfigOption, DataOption

if TYPE_CHECKING:
    from ocs.cli.bill_world import BillWorld

ByOption = Annotated[str, typer.Option("--by", metavar="NAME", help="Who; else the user who is logged in.")]


def register(_app: typer.Typer) -> None:
    """The commands belong to ``ocs bill``."""
    for command in (review, hold, release):
        group.command()(command)


def review(
    drafts: Annotated[
        list[str] | None, typer.Argument(metavar="DRAFT...", help="Their ids; none: list those without a review.")
    ] = None,
    by: ByOption = "",
    config: ConfigOption = DEFAULT_CONFIG,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Mark drafts as reviewed, or list those that nobody has reviewed.

    Where billing.toml says `review_required` for a legal entity, its drafts are issued when they are reviewed, not before.

    Example: `ocs bill review`, then `ocs bill review 17 18`
    """
    from ocs.billing.invoices import book, reviews
    from ocs.cli.bill_view import print_invoices

    async def work(world: BillWorld) -> None:
        if drafts:
            found = [await world.invoice(each) for each in drafts]
            done = [await reviews.review(world.connection, each.invoice_id, by or getpass.getuser()) for each in found]
        else:
            done = await book.list_invoices(world.connection, limit=10**9, is_unreviewed=True)
        print_invoices(done, world, as_json=as_json)

    with_world(config, data, work)


def hold(
    draft: InvoiceArgument,
    reason: Annotated[str, typer.Option("--reason", "-r", help="Why; whoever issues is told.")],
    by: ByOption = "",
    config: ConfigOption = DEFAULT_CONFIG,
    data: DataOption = None,
) -> None:
    """Keep a draft from being issued, until it is released. Runs pass over it, and say so.

    Example: `ocs bill hold 17 --reason "is the discount agreed?"`
    """
    _hold(draft, by, reason, config, data)


def release(
    draft: InvoiceArgument, by: ByOption = "", config: ConfigOption = DEFAULT_CONFIG, data: DataOption = None
) -> None:
    """Let a draft that was held be issued.

    Example: `ocs bill release 17`
    """
    _hold(draft, by, "", config, data)


def _hold(draft: str, by: str, reason: str, config: ConfigOption, data: DataOption) -> None:
    from ocs.billing.invoices import reviews

    async def work(world: BillWorld) -> None:
        found = await world.invoice(draft)
        await reviews.hold(world.connection, found.invoice_id, by or getpass.getuser(), reason)

    with_world(config, data, work)
