"""``ocs bill pdf``, ``ubl`` and ``annex``: what is written of an invoice."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ocs.cli.bill import InvoiceArgument, group, with_world
from ocs.cli.common import DEFAULT_CONFIG, ConfigOption, DataOption

if TYPE_CHECKING:
    from ocs.cli.bill_world import BillWorld


def register(_app: typer.Typer) -> None:
    """The commands are in the group of ``ocs bill``."""


@group.command()
def pdf(
    invoice: InvoiceArgument,
    out: Annotated[Path | None, typer.Option("--out", "-o", metavar="FILE", help="Else the number with .pdf.")] = None,
    annex: Annotated[bool, typer.Option("--annex", help="With the list of all records.")] = False,
    template: Annotated[Path | None, typer.Option(metavar="FILE", help="A typst template of your own.")] = None,
    config: ConfigOption = DEFAULT_CONFIG,
    data: DataOption = None,
) -> None:
    """Print an invoice in the customer's language.

    Example: `ocs bill pdf R-2026-000001 --annex`
    """

    async def work(world: BillWorld) -> None:
        path, octets = await world.pdf(invoice, out, template, has_annex=annex)
        path.write_bytes(octets)
        print(path)

    with_world(config, data, work)


@group.command()
def ubl(
    invoice: InvoiceArgument,
    out: Annotated[Path | None, typer.Option("--out", "-o", metavar="FILE", help="Else the number with .xml.")] = None,
    config: ConfigOption = DEFAULT_CONFIG,
    data: DataOption = None,
) -> None:
    """Write an issued invoice or credit note as UBL 2.1 (Peppol BIS Billing 3.0, EN 16931), for programs.

    Example: `ocs bill ubl R-2026-000001`
    """

    async def work(world: BillWorld) -> None:
        found = await world.invoice(invoice)
        octets = await world.ubl(found)
        path = out or Path(f"{found.name}.xml")
        path.write_bytes(octets)
        print(path)

    with_world(config, data, work)


@group.command()
def annex(
    invoice: InvoiceArgument,
    out: Annotated[Path | None, typer.Option("--out", "-o", metavar="FILE", help="Else standard output.")] = None,
    words: Annotated[bool, typer.Option("--words", help="Head the columns in the customer's language.")] = False,
    config: ConfigOption = DEFAULT_CONFIG,
    data: DataOption = None,
) -> None:
    """Write the records behind an invoice as CSV, of whatever number.

    Example: `ocs bill annex R-2026-000001 --out october.csv`
    """

    async def work(world: BillWorld) -> None:
        found = await world.invoice(invoice)
        with contextlib.ExitStack() as stack:
            file = stack.enter_context(out.open("w", encoding="utf-8", newline="")) if out else sys.stdout
            async for piece in world.annex(found, in_words=words):
                file.write(piece)

    with_world(config, data, work)
