"""``ocs config check``: settings and rate files, every fault at once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ocs.cli.common import DEFAULT_CONFIG
from ocs.errors import EXIT_CONFIG
from ocs.settings import Settings

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
    """Check ocs.toml, accounts.toml, currencies, plans, decks, suppliers, billing, mediation, feeds, payments, delivery, RADIUS profiles, dictionaries.

    All faults are listed at once, as `file:line: field: what is wrong (cure)`; what is lawful and probably not meant
    is listed as a warning: gaps and times without offset, a long prefix to come with a cheaper short one until then,
    prices far from their country's, decks nobody has renewed, figures read in two currencies. Certificates that are
    named are read, too. Nothing that runs is touched. Exit status: 0 no faults, 78 faults.

    Example: `ocs config check /etc/ocs`
    """
    from ocs.accountfile import load_account_rules
    from ocs.billing.invoices.issuers import Issuers, load_issuers
    from ocs.billing.invoices.printing.samples import template_faults
    from ocs.clock import now_ms
    from ocs.delivery.check import check_delivery
    from ocs.feeds.settings import load_feeds
    from ocs.gateways.gy import currency_fault
    from ocs.mediation_files import load_switches
    from ocs.payments.settings import load_payments
    from ocs.rates.lint import check_suppliers, lint
    from ocs.rates.sheets.supplier import SUPPLIERS
    from ocs.rating.load import load_ratebook, read_files
    from ocs.settings_file import decode_settings

    settings, senseless = decode_settings(folder / DEFAULT_CONFIG.name)
    faults = [str(fault) for fault in senseless]
    at_ms = now_ms()
    loaded = load_ratebook(folder, at_ms)
    suppliers = {f"{SUPPLIERS}/{path.name}": path.read_bytes() for path in (folder / SUPPLIERS).glob("*.toml")}
    issuers = load_issuers(folder)
    switches = load_switches(folder)
    book = loaded.book
    plans = {name: book.currency_of(name) or "" for name in book.plans()} if book is not None else None
    wares = {name: book.packages_of(name, at_ms) for name in book.plans()} if book is not None else None
    found = (
        issuers, switches, load_account_rules(folder, plans, wares), load_feeds(folder), load_payments(folder),
    )  # fmt: skip
    billing = [fault for each in found if isinstance(each, list) for fault in each]
    faults += [
        f"{folder}/{fault}"
        for fault in (*loaded.faults, *check_suppliers(suppliers), *billing, *check_delivery(folder))
    ]
    if settings is not None:
        faults += _faults_of_what_is_named(folder, settings)
    if isinstance(issuers, Issuers):
        faults += [f"{folder}/{fault}" for fault in template_faults(issuers)]
    if settings is not None:
        fault = currency_fault(settings, loaded.currencies)
        faults += [f"{folder}/{DEFAULT_CONFIG.name}: {fault}"] if fault else []
    for fault in faults:
        print(fault)
    warnings = lint(read_files(folder)[0], loaded, at_ms)
    for warning in warnings:
        print(f"{folder}/{warning.file}:{warning.line}: warning: {warning.field}: {warning.message} ({warning.cure})")
    also = f", {_count(len(warnings), 'warning')}" if warnings else ""
    if faults:
        print(f"{_count(len(faults), 'fault')} in {folder}{also}")
        raise typer.Exit(EXIT_CONFIG)
    print(f"{folder}: no faults{also}")


def _faults_of_what_is_named(folder: Path, settings: Settings) -> list[str]:
    """Of dictionaries, profiles and certificates, and of the settings that name them."""
    from ocs.gateways.radius_products import check_products
    from ocs.net.pem_files import check_pem_files
    from ocs.rating.faults import FaultList
    from ocs.rating.tomlfile import TomlFile

    path = folder / DEFAULT_CONFIG.name
    faults = FaultList(str(path))
    file = TomlFile(path.read_text(encoding="utf-8"), faults)
    lines = check_products(folder, settings.radius, file.fault)
    check_pem_files(folder, settings, file.fault)
    return lines + [str(fault) for fault in faults.sorted()]


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'s'[: number > 1]}"
