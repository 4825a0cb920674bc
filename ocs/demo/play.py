"""The performance: one step after the other, then the records; the exit status says whether all was as written."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, Final

from rich.console import Console
from rich.text import Text

from ocs.demo.errors import PlayError
from ocs.demo.report import cdrs_table, differences, record_of, steps_table
from ocs.demo.script import RECORDS, STEPS, Record, Shown, Step
from ocs.demo.stage import Stage
from ocs.errors import EXIT_DIFFERENCES

CDR_WAIT_S: Final = 20.0  # the flusher may have just been started again
CDR_WAIT_AFTER_A_FAULT_S: Final = 2.0  # what was not charged has no record to wait for
CDR_POLL_S: Final = 0.1


def perform(stage: Stage, out: Console, steps: Sequence[Step] = STEPS, records: Sequence[Record] = RECORDS) -> int:
    """Play, print, and return the exit status: 0 when every figure was the expected one, else 1.

    Raises PlayError when not even the first step could be done: then there is nothing to show.
    """
    played: list[tuple[Step, Shown]] = []
    found: list[str] = []
    try:
        for step in steps:
            outcome = step.act(stage)
            played.append((step, Shown(*outcome, *stage.money())))
    except PlayError as error:
        if not played:
            raise
        found.append(str(error))
    out.print(steps_table(f"account {stage.account_id}, subscriber +{stage.number}, amounts in EUR", played))
    out.print()
    found += differences(played)
    if len(played) == len(steps):
        found += _show_records(stage, out, records, CDR_WAIT_AFTER_A_FAULT_S if found else CDR_WAIT_S)
    for line in found:
        out.print(Text(f"DIFFERENT: {line}", style="bold red"), soft_wrap=True)
    if not found:
        out.print(Text(f"all {len(steps)} steps and {len(records)} records are as expected", style="green"))
    return EXIT_DIFFERENCES if found else 0


def _show_records(stage: Stage, out: Console, expected: Sequence[Record], wait_s: float) -> list[str]:
    """Print the records when they have arrived; what is wrong with them."""
    try:
        cdrs = _wait_for_cdrs(stage, len(expected), wait_s)
    except PlayError as error:
        return [str(error)]
    if len(cdrs) != len(expected):
        return [f"{len(cdrs)} of {len(expected)} CDRs are in PostgreSQL after {wait_s:.0f} s: does the flusher run?"]
    out.print(cdrs_table(cdrs, expected))
    return [line for cdr, wanted in zip(cdrs, expected, strict=True) for line in _record_differences(cdr, wanted)]


def _wait_for_cdrs(stage: Stage, count: int, wait_s: float) -> list[dict[str, Any]]:
    """The records, oldest first: all of them, or those that came in time."""
    give_up_at_s = time.monotonic() + wait_s
    while len(cdrs := stage.cdrs()) < count and time.monotonic() < give_up_at_s:
        time.sleep(CDR_POLL_S)
    return cdrs[::-1]


def _record_differences(cdr: dict[str, Any], wanted: Record) -> list[str]:
    name = f"CDR {cdr['session_id']}"
    found = [
        f"{name}: {field} is {got!r}, expected {value!r}"
        for field, got, value in zip(Record._fields, record_of(cdr), wanted, strict=True)
        if got != value
    ]
    said = [line for group in cdr["groups"] for line in group["explanation"][-1:]]
    if said != [f"{wanted.cost} {cdr['currency']} in all"]:
        found.append(f"{name}: the explanation ends with {said}, expected {wanted.cost} {cdr['currency']} in all")
    return found
