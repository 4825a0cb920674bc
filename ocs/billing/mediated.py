"""What was taken from switches' files: files and rows by their fingerprints, and the queue of rows that have faults.

A row is noted before it is charged and marked after, so whoever goes on after a crash knows which ones to look at. A row
that cannot be charged is forgotten again and stands in the queue with its cells, until somebody mends, repeats or
dismisses it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, NamedTuple

import msgspec

from ocs.billing.groups import encode_details

LISTED_MAX: Final = 1000


class FaultState(StrEnum):
    """What became of a row in the queue."""

    OPEN = "open"
    REPLAYED = "replayed"
    DISMISSED = "dismissed"


class TakenFile(msgspec.Struct, frozen=True):
    """A file as it was taken; ``finished_at`` None: not to its end yet."""

    switch: str
    fingerprint: bytes
    name: str
    charged: int
    repeated: int
    passed_over: int
    faulty: int
    began_at: datetime
    finished_at: datetime | None


class Fault(msgspec.Struct, frozen=True):
    """A row that was not charged, and why."""

    fault_id: int
    switch: str
    file: str
    line: int
    cells: dict[str, str]
    why: str
    state: FaultState


class FaultyRow(NamedTuple):
    """One for the queue."""

    fingerprint: bytes
    line: int
    cells: dict[str, str]
    why: str


_FILE: Final = ", ".join(TakenFile.__struct_fields__)
_FAULT: Final = ", ".join(Fault.__struct_fields__)
BEGIN_FILE: Final = f"""
    INSERT INTO mediated_file (switch, fingerprint, name) VALUES ($1, $2, $3)
    ON CONFLICT (switch, fingerprint) DO UPDATE SET name = mediated_file.name RETURNING {_FILE}
"""  # noqa: S608 - names of our own
FINISH_FILE: Final = """
    UPDATE mediated_file SET charged = $3, repeated = $4, passed_over = $5, faulty = $6, finished_at = now()
    WHERE switch = $1 AND fingerprint = $2
"""
NOTE: Final = """
    INSERT INTO mediated_record (switch, fingerprint) SELECT $1, unnest($2::bytea[]) ON CONFLICT DO NOTHING
    RETURNING fingerprint
"""
UNMARKED: Final = """
    SELECT fingerprint FROM mediated_record WHERE switch = $1 AND fingerprint = ANY($2::bytea[]) AND NOT is_charged
"""
MARK: Final = "UPDATE mediated_record SET is_charged = true WHERE switch = $1 AND fingerprint = ANY($2::bytea[])"
FORGET: Final = "DELETE FROM mediated_record WHERE switch = $1 AND fingerprint = ANY($2::bytea[])"
QUEUE: Final = """
    INSERT INTO mediation_fault (switch, fingerprint, file, line, cells, why) VALUES ($1, $2, $3, $4, $5, $6)
    ON CONFLICT (switch, fingerprint) DO UPDATE SET why = excluded.why, cells = excluded.cells, state = 'open'
    WHERE mediation_fault.state <> 'dismissed'
"""


async def begin_file(connection: Any, switch: str, fingerprint: bytes, name: str) -> TakenFile:
    """Note a file; as it stands where it was begun, or taken, before."""
    return TakenFile(**await connection.fetchrow(BEGIN_FILE, switch, fingerprint, name))


async def finish_file(
    connection: Any, switch: str, fingerprint: bytes, charged: int, repeated: int, passed_over: int, faulty: int
) -> None:
    await connection.execute(FINISH_FILE, switch, fingerprint, charged, repeated, passed_over, faulty)


async def files_of(connection: Any, switch: str = "", limit: int = LISTED_MAX) -> list[TakenFile]:
    """The files that were taken, the newest first."""
    rows = await connection.fetch(
        f"SELECT {_FILE} FROM mediated_file WHERE $1 IN ('', switch) ORDER BY began_at DESC, name LIMIT $2",  # noqa: S608
        switch,
        limit,
    )
    return [TakenFile(**row) for row in rows]


async def note(connection: Any, switch: str, fingerprints: Sequence[bytes]) -> tuple[set[bytes], set[bytes]]:
    """Note rows before they are charged: those that are new, and those that were noted and never marked."""
    new = {row[0] for row in await connection.fetch(NOTE, switch, fingerprints)}
    known = [each for each in fingerprints if each not in new]
    unmarked = {row[0] for row in await connection.fetch(UNMARKED, switch, known)} if known else set()
    return new, unmarked


async def settle(
    connection: Any, switch: str, file: str, charged: Sequence[bytes], faulty: Sequence[FaultyRow]
) -> None:
    """Mark what is charged, and put what is not into the queue: together."""
    async with connection.transaction():
        if charged:
            await connection.execute(MARK, switch, charged)
        if faulty:
            await connection.execute(FORGET, switch, [row.fingerprint for row in faulty])
            await connection.executemany(
                QUEUE,
                [
                    (switch, row.fingerprint, file, row.line, encode_details(tuple(row.cells.items())), row.why)
                    for row in faulty
                ],
            )


async def faults_of(
    connection: Any, switch: str = "", state: FaultState = FaultState.OPEN, limit: int = LISTED_MAX
) -> list[Fault]:
    """Rows of the queue, the oldest first."""
    rows = await connection.fetch(
        f"SELECT {_FAULT} FROM mediation_fault WHERE $1 IN ('', switch) AND state = $2 "  # noqa: S608 - names of our own
        "ORDER BY fault_id LIMIT $3",
        switch,
        state.value,
        limit,
    )
    return [_fault(row) for row in rows]


async def find_fault(connection: Any, fault_id: int) -> Fault | None:
    row = await connection.fetchrow(f"SELECT {_FAULT} FROM mediation_fault WHERE fault_id = $1", fault_id)  # noqa: S608
    return _fault(row) if row is not None else None


async def mend(connection: Any, fault: Fault, cells: dict[str, str]) -> None:
    """Give a row of the queue other cells."""
    await connection.execute(
        "UPDATE mediation_fault SET cells = $2 WHERE fault_id = $1",
        fault.fault_id,
        encode_details(tuple((fault.cells | cells).items())),
    )


async def set_state(connection: Any, fault_id: int, state: FaultState, why: str = "") -> None:
    """What became of a row; ``why`` where it has another fault now."""
    await connection.execute(
        "UPDATE mediation_fault SET state = $2, why = CASE WHEN $3 = '' THEN why ELSE $3 END WHERE fault_id = $1",
        fault_id,
        state.value,
        why,
    )


def _fault(row: Any) -> Fault:
    cells = msgspec.json.decode(row["cells"], type=dict[str, str])
    return Fault(**{**dict(row), "cells": cells, "state": FaultState(row["state"])})
