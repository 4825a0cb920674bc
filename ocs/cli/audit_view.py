"""What an operator sees of an audit: a progress bar, a table, the differences; and the exit status."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from balance.store import BackendUnavailable
from ocs.auditor import AuditReport, audit
from ocs.auditor import Progress as ProgressCallback
from ocs.errors import EXIT_DIFFERENCES, EXIT_TEMPORARY

FINDINGS_SHOWN_MAX: Final = 50
NAMES_SHOWN_MAX: Final = 10


def run_audit(valkey_url: str, postgres_dsn: str, account_id: str = "", out: Console | None = None) -> int:
    """Audit, print a table, and return the exit status. Progress goes to stderr, and only to a terminal."""
    out = out or Console(highlight=False)
    try:
        with _progress_bar() as progress:
            report = asyncio.run(audit(valkey_url, postgres_dsn, account_id, progress))
    except BackendUnavailable as error:
        Console(stderr=True, highlight=False).print(f"audit: {error}", markup=False, soft_wrap=True)
        return EXIT_TEMPORARY
    out.print(_summary(report))
    _print_findings(report, out)
    return 0 if report.is_clean else EXIT_DIFFERENCES


@contextmanager
def _progress_bar() -> Iterator[ProgressCallback]:
    columns = (TextColumn("auditing accounts"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("accounts", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _summary(report: AuditReport) -> Table:
    table = Table("audited", "count", title="ledger audit")
    rows = {
        "accounts": report.accounts,
        "invoices and credit notes": report.documents,
        "with differences": report.differing,
        "in motion": len(report.in_motion),
        "open sessions": report.open_sessions,
        "entries on their way": report.waiting_entries,
        "entries set aside": report.buried,
    }
    for name, count in rows.items():
        table.add_row(name, f"{count:,}")
    return table


def _print_findings(report: AuditReport, out: Console) -> None:
    for finding in report.findings[:FINDINGS_SHOWN_MAX]:
        for difference in finding.differences:
            out.print(f"{finding.name}: {difference}", markup=False, soft_wrap=True)
    if report.differing > FINDINGS_SHOWN_MAX:
        out.print(f"and {report.differing - FINDINGS_SHOWN_MAX:,} more accounts")
    if report.in_motion:
        names = ", ".join(report.in_motion[:NAMES_SHOWN_MAX])
        out.print(f"in motion in all {report.passes} passes (not judged): {names}", markup=False, soft_wrap=True)
    if report.buried:
        out.print("entries set aside lie in the streams {p<n>}outbox-dead: see ocs/outbox/README.md", markup=False)
    out.print("the ledger balances" if report.is_clean else "the ledger does NOT balance")
