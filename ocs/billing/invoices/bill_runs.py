"""How bill runs get on: for whoever asks. A run itself asks nothing of it, and is restarted by saying it again."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any, Final, Protocol

import msgspec


class BillRun(msgspec.Struct, frozen=True):
    """``customers`` of ``payers`` were looked at; ``drafts`` were made, ``issued`` those of them and of earlier runs.

    ``waiting`` names accounts of which a record is missing, ``failed`` customers whose files or accounts are not right.

    ``state`` is running, done or failed. One that runs and was not ``heard_at`` for a minute was interrupted: run again.
    """

    run_id: int
    until: date
    is_issuing: bool
    state: str
    customers: int
    drafts: int
    waiting: tuple[str, ...]
    failed: dict[str, str]
    began_at: datetime
    heard_at: datetime
    ended_at: datetime | None
    payers: int
    issued: int


class Counts(Protocol):
    """How far a run has come."""

    payers: int
    customers: int
    drafts: list[int]
    issued: int


_FIELDS: Final = ", ".join(BillRun.__struct_fields__)


async def begin_run(connection: Any, until: date, *, is_issuing: bool) -> int:
    run_id: int = await connection.fetchval(
        "INSERT INTO bill_run (until, is_issuing) VALUES ($1, $2) RETURNING run_id", until, is_issuing
    )
    return run_id


async def note_progress(connection: Any, run_id: int, counts: Counts) -> None:
    await connection.execute(
        "UPDATE bill_run SET customers = $2, drafts = $3, payers = $4, issued = $5, heard_at = now() WHERE run_id = $1",
        run_id,
        counts.customers,
        len(counts.drafts),
        counts.payers,
        counts.issued,
    )


async def end_run(connection: Any, run_id: int, state: str, waiting: list[str], failed: dict[str, str]) -> None:
    await connection.execute(
        "UPDATE bill_run SET state = $2, waiting = $3, failed = $4, heard_at = now(), ended_at = now() WHERE run_id = $1",
        run_id,
        state,
        msgspec.json.encode(waiting).decode(),
        msgspec.json.encode(failed).decode(),
    )


async def find_run(connection: Any, run_id: int) -> BillRun | None:
    row = await connection.fetchrow(f"SELECT {_FIELDS} FROM bill_run WHERE run_id = $1", run_id)  # noqa: S608 - ours
    return _run(row) if row is not None else None


async def list_runs(connection: Any, limit: int) -> list[BillRun]:
    """The newest first."""
    rows = await connection.fetch(f"SELECT {_FIELDS} FROM bill_run ORDER BY run_id DESC LIMIT $1", limit)  # noqa: S608
    return [_run(row) for row in rows]


def _run(row: Any) -> BillRun:
    values = dict(row)
    values["waiting"] = tuple(msgspec.json.decode(row["waiting"], type=list[str]))
    values["failed"] = msgspec.json.decode(row["failed"], type=dict[str, str])
    return BillRun(**values)
