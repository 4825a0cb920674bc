"""The ``ocs`` command: which commands there are. Each lives in a module of its own; add a line to COMMANDS."""

from __future__ import annotations

from types import ModuleType
from typing import Final

import typer

from ocs.cli import (
    account,
    account_limits,
    audit,
    bank,
    bill,
    bill_collect,
    bill_papers,
    bill_refund,
    bill_review,
    cdr,
    clients,
    collect,
    configuration,
    customer,
    deliver,
    demo,
    diameter,
    dunning,
    events,
    flush,
    inspect,
    keys,
    mediate,
    migrate,
    peers,
    radius,
    rates,
    rates_import,
    rates_simulate,
    rerate,
    run,
    serve,
    subscriber,
    voucher,
)

COMMANDS: Final[tuple[ModuleType, ...]] = (
    run,
    serve,
    flush,
    deliver,
    collect,
    migrate,
    demo,
    audit,
    inspect,
    account,
    account_limits,
    subscriber,
    clients,
    cdr,
    rerate,
    mediate,
    customer,
    bill,
    bill_papers,
    bill_refund,
    bill_collect,
    bill_review,
    bank,
    dunning,
    voucher,
    events,
    keys,
    rates,
    rates_import,
    rates_simulate,
    configuration,
    diameter,
    radius,
    peers,
)

HELP: Final = """\
Online charging server: calls, messages and data are charged while they last.

First steps: `ocs run` starts everything; then, in a second terminal, `ocs demo` plays calls against it and
`ocs audit` proves the ledger. Exit status: 0 done, 1 differences found, 75 try again later, 78 repair a file.
"""

app = typer.Typer(
    help=HELP, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode="markdown"
)
for module in COMMANDS:
    module.register(app)
