"""What the operator sees of a play: each step, the records with their prices in words, and every difference in red."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ocs.demo.script import Record, Shown, Step

WIDTH_MIN: Final = 110  # of a table that goes into a file or a pipe


def console() -> Console:
    """Standard output; what is no terminal gets whole lines all the same."""
    found = Console(highlight=False)
    return found if found.is_terminal else Console(highlight=False, width=max(WIDTH_MIN, found.width))


def steps_table(title: str, played: Sequence[tuple[Step, Shown]]) -> Table:
    table = Table("over", "request", "granted", "result", title=title, title_justify="left", box=None, pad_edge=False)
    table.add_column("balance", justify="right")
    table.add_column("reserved", justify="right")
    for step, shown in played:
        cells = [_cell(got, wanted) for got, wanted in zip(shown, step.expected, strict=True)]
        table.add_row(step.door, step.request, *cells)
    return table


def cdrs_table(cdrs: Sequence[dict[str, Any]], expected: Sequence[Record]) -> Table:
    """One row a record, oldest first."""
    table = Table("from", "service", "to", "used", title="CDRs in PostgreSQL", title_justify="left", box=None)
    table.add_column("cost", justify="right")
    table.add_column("the price explained")
    table.pad_edge = False
    for cdr, wanted in zip(cdrs, expected, strict=True):
        record = record_of(cdr)
        table.add_row(
            f"{cdr['started_at'][11:19]} {_cell(record.protocol, wanted.protocol)}",
            _cell(record.service, wanted.service),
            cdr["destination"],
            _cell(record.used, wanted.used),
            _cell(record.cost, wanted.cost),
            "\n".join(explanation_of(cdr)),
        )
        table.add_row()
    return table


def record_of(cdr: dict[str, Any]) -> Record:
    """A record of the API in the script's form."""
    used = ", ".join(_use(group["used"], group["unit"]) for group in cdr["groups"])
    return Record(cdr["protocol"], cdr["service"], used, cdr["cost"], tuple(cdr["flags"]))


def _use(count: int, unit: str) -> str:
    return f"{count} {unit.removesuffix('s') if count == 1 else unit}"


def explanation_of(cdr: dict[str, Any]) -> list[str]:
    """The price in words, and which line of which file made it."""
    lines: list[str] = []
    for group in cdr["groups"]:
        lines += [*group["explanation"], f"by {group['source']}"]
    return lines


def differences(played: Sequence[tuple[Step, Shown]]) -> list[str]:
    """Every figure that is not the expected one, as a line of its own."""
    return [
        f"{step.request}: {name} is {got or 'none'!r}, expected {wanted or 'none'!r}"
        for step, shown in played
        for name, got, wanted in zip(Shown._fields, shown, step.expected, strict=True)
        if got != wanted
    ]


def _cell(got: str, expected: str) -> Text:
    """What differs is red, and marked for those who see no colours; what was expected stands below the table."""
    return Text(got) if got == expected else Text(f"{got or 'none'} !", style="bold red")
