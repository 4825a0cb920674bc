"""Files, rows and faults of mediation on a terminal and for programs."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from rich.table import Table
from rich.text import Text

from ocs.billing.mediated import Fault, TakenFile
from ocs.cli.rates_view import console, print_json
from ocs.mediation import Report


def print_reports(reports: Sequence[tuple[str, Report]], *, as_json: bool) -> None:
    """What became of the rows of each file, or of each switch's queue."""
    if as_json:
        print_json({"reports": [{"name": name, **msgspec.to_builtins(report)} for name, report in reports]})
        return
    table = Table("name", "charged", "repeated", "passed over", "faulty", "", box=None, header_style="bold")
    for name, report in reports:
        note = "taken before: nothing was done now" if report.is_repeat else ""
        counts = (report.charged, report.repeated, report.passed_over, report.faulty)
        table.add_row(name, *[f"{count:,}" for count in counts], note)
    console().print(table)


def print_files(files: Sequence[TakenFile], *, as_json: bool) -> None:
    """The files that were taken."""
    if as_json:
        rows = [{**msgspec.to_builtins(each), "fingerprint": each.fingerprint.hex()} for each in files]
        print_json({"files": rows})
        return
    table = Table(
        "switch", "file", "taken", "charged", "repeated", "passed over", "faulty", box=None, header_style="bold"
    )
    for each in files:
        taken = f"{each.began_at:%Y-%m-%d %H:%M}" + ("" if each.finished_at is not None else " (not to its end)")
        counts = (each.charged, each.repeated, each.passed_over, each.faulty)
        table.add_row(each.switch, each.name, taken, *[f"{count:,}" for count in counts])
    console().print(table)


def print_faults(faults: Sequence[Fault], *, as_json: bool) -> None:
    """Rows of the queue, each with its cells."""
    if as_json:
        print_json({"faults": msgspec.to_builtins(faults)})
        return
    out = console()
    if not faults:
        out.print(Text("no rows"))
    for each in faults:
        out.print(Text(f"{each.fault_id}  {each.switch} {each.file}:{each.line}: {each.why}"))
        out.print(Text(f"    {', '.join(f'{name}={text}' for name, text in each.cells.items())}"))
