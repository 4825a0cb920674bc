"""``ocs config check``: settings and rate files, every fault at once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ocs.cli.common import DEFAULT_CONFIG
from ocs.errors import EXIT_CONFIG
from ocs.settings import Settings, load_settings

group = typer.Typer(help="Look at settings and rate files before they go live.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add the group."""
    app.add_typer(group, name="config", rich_help_panel="Configuration")


@group.callback()
def _group() -> None:
    """Keep ``check`` a word of its own, although it is the only one."""


@group.command()
def check(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="Folder with ocs.toml and the rate files.")
    ] = DEFAULT_CONFIG.parent,
) -> None:
    """Check ocs.toml, currencies, rate plans, destinations, decks, and RADIUS profiles and dictionaries.

    All faults are listed at once, as `file:line: field: what is wrong (cure)`. Nothing that runs is touched.

    Example: `ocs config check /etc/ocs`
    """
    from ocs.gateways.radius_products import check_products
    from ocs.rating.load import check_config

    settings = load_settings(folder / DEFAULT_CONFIG.name)
    faults = [] if isinstance(settings, Settings) else [str(fault) for fault in settings]
    faults += [f"{folder}/{fault}" for fault in check_config(folder)]
    if isinstance(settings, Settings):
        faults += check_products(folder, settings.radius)
    for fault in faults:
        print(fault)
    if faults:
        print(f"{len(faults)} fault{'s'[: len(faults) > 1]} in {folder}")
        raise typer.Exit(EXIT_CONFIG)
    print(f"{folder}: no faults")
