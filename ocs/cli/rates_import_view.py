"""Imports on a terminal: a progress bar, what was concluded, the difference, the versions."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from ocs.cli.rates_view import console, print_difference
from ocs.rates.intake import Intake
from ocs.rates.moments import moment_text
from ocs.rates.report import Fields, difference_fields
from ocs.rates.sheets.reader import Progress as Report
from ocs.rates.versions import DeckVersions, hash_of


@contextlib.contextmanager
def progress_bar() -> Iterator[Report]:
    """Show on standard error what is being done and how far it is, where that is a terminal."""
    bar = Progress(
        TextColumn("{task.description:10}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn(),
        console=Console(stderr=True), transient=True,
    )  # fmt: skip
    with bar:
        task = bar.add_task("", total=None)
        bar.disable = not bar.console.is_terminal

        def report(what: str, done: int, total: int) -> None:
            bar.update(task, description=what, completed=done, total=total or None)

        yield report


@contextlib.contextmanager
def waiting(what: str) -> Iterator[None]:
    """Say on standard error what is being waited for, where that is a terminal."""
    with Console(stderr=True).status(what):
        yield


def intake_fields(found: Intake) -> Fields:
    """What an import found, for programs."""
    manifest = found.manifest
    return {
        "deck": manifest.deck,
        "hash": manifest.hash,
        "base": manifest.base,
        "source": manifest.source,
        "at": moment_text(manifest.at_ms),
        "codes": len(found.reading.rates),
        "notes": list(found.notes),
        "warnings": list(manifest.warnings),
        "difference": difference_fields(found.difference, {found.currency.code: found.currency}),
    }


def print_intake(found: Intake, limit: int) -> None:
    """What was concluded, what is doubtful, what changes."""
    out = console()
    out.print(Text(f"{found.manifest.source}: {len(found.reading.rates)} codes in {found.currency.code}"))
    for field, title in found.supplier.columns.items():
        out.print(Text(f"  {field.replace('_', ' ')}: column {title!r}"))
    for note in found.notes:
        out.print(Text(f"  {note}"))
    for warning in found.manifest.warnings:
        out.print(Text(f"warning: {warning}"))
    changes = [found.difference] if found.difference.changes else []
    print_difference(changes, {found.currency.code: found.currency}, limit)


def version_rows(versions: DeckVersions) -> list[Fields]:
    """The versions of a deck, as fields."""
    live, state = hash_of(versions.live()), versions.state()
    rows: list[Fields] = []
    for manifest in versions.manifests():
        is_scheduled = manifest.hash == state.scheduled
        states = {live: "live", state.previous: "before", state.scheduled: "scheduled"}
        rows.append(
            {
                "deck": manifest.deck,
                "version": manifest.hash,
                "state": states.get(manifest.hash, "staged" if manifest.base == live else "outdated"),
                "when": moment_text(state.scheduled_at_ms) if is_scheduled else "",
                "supplier": manifest.supplier,
                "source": manifest.source,
                "staged": moment_text(manifest.staged_at_ms),
                "changes": ", ".join(f"{count} {kind}" for kind, count in sorted(manifest.counts.items())),
                "warnings": len(manifest.warnings),
            }
        )
    return rows


def print_versions(rows: Sequence[Fields]) -> None:
    """One line a version."""
    out = console()
    if not rows:
        out.print("nothing was imported yet: ocs rates import")
        return
    table = Table(*rows[0])
    for row in rows:
        table.add_row(*(Text(str(value)) for value in row.values()))
    out.print(table)
