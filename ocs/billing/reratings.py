"""Re-ratings in PostgreSQL: which records cost something else, and what was done about it in each account.

    previewed ──apply──► applying ──► applied ──roll back──► undoing ──► undone

``applying`` and ``undoing`` are left by doing the same again, after whatever came in between.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from enum import StrEnum
from typing import Any, Final

import msgspec

from balance.money import Amount
from ocs.billing.cdrs import CdrRow, cdr_from_row
from ocs.billing.groups import TERMS
from ocs.billing.moments import milliseconds, moment

LOCK_KEY: Final = 0x0C5_2E2A
"""Our advisory lock: one re-rating is applied or rolled back at a time, so that none builds on another's half."""

PREFETCH: Final = 2000


class RunState(StrEnum):
    PREVIEWED = "previewed"
    APPLYING = "applying"
    APPLIED = "applied"
    UNDOING = "undoing"
    UNDONE = "undone"


class Selection(msgspec.Struct, frozen=True):
    """Which records: those that started in [since_ms, until_ms), and, where not empty, of this account, to numbers that
    begin so, priced by this version."""

    since_ms: int
    until_ms: int
    account_id: str = ""
    destination: str = ""
    rate_version: str = ""


class Line(msgspec.Struct, frozen=True):
    """One record that costs something else. ``source`` is the file and line of the new price."""

    account_id: str
    entry_number: int
    cost_before: Amount
    cost_after: Amount
    source: str


class AccountLine(msgspec.Struct, frozen=True):
    """What a run means for one account. ``amount`` is the adjustment: + is money back."""

    account_id: str
    currency: str
    amount: Amount
    records: int
    applied_entry: int | None = None
    undone_entry: int | None = None
    refusal: str = ""


class Run(msgspec.Struct, frozen=True):
    run_id: str
    created_at_ms: int
    selection: str
    rate_version: str
    state: RunState


# What is applied of a record: its lines in runs whose adjustment of the account stands.
_APPLIED: Final = """
    coalesce((SELECT sum(l.cost_after - l.cost_before) FROM rerating_line l JOIN rerating_account a USING (run_id, account_id)
              WHERE l.account_id = c.account_id AND l.entry_number = c.entry_number
                AND a.applied_entry IS NOT NULL AND a.undone_entry IS NULL), 0)::bigint
"""
# The terms of a price keep their period as an array; its eighth element lists counts: slot, end, before, after, units.
COUNTS: Final = f"""
    SELECT (n->>0)::bigint AS slot, max((n->>3)::bigint) AS counted
    FROM cdr c CROSS JOIN LATERAL jsonb_array_elements(c.groups) AS g
         CROSS JOIN LATERAL jsonb_array_elements({TERMS}->'period'->7) AS n
    WHERE c.account_id = $1 AND (n->>0)::bigint = ANY($2::bigint[]) GROUP BY 1
"""  # noqa: S608 - our own

RECORDS: Final = f"""
    SELECT c.*, {_APPLIED} AS applied FROM cdr c
    WHERE c.started_at >= $1 AND c.started_at < $2 AND ($3 = '' OR c.account_id = $3)
      AND starts_with(c.destination, $4) AND ($5 = '' OR c.rate_version = $5)
    ORDER BY c.account_id, c.entry_number
"""  # noqa: S608 - of constants
CHANGED_SINCE: Final = f"""
    SELECT count(*) FROM rerating_line m JOIN cdr c USING (account_id, entry_number)
    JOIN rerating_account o ON o.run_id = m.run_id AND o.account_id = m.account_id
    WHERE m.run_id = $1 AND o.applied_entry IS NULL AND o.refusal = '' AND c.cost + {_APPLIED} <> m.cost_before
"""  # noqa: S608 - of constants
LATER_RUNS: Final = """
    SELECT DISTINCT l.run_id FROM rerating_line m
    JOIN rerating_line l ON l.account_id = m.account_id AND l.entry_number = m.entry_number AND l.run_id <> m.run_id
    JOIN rerating_account a ON a.run_id = l.run_id AND a.account_id = l.account_id
    JOIN rerating mine ON mine.run_id = m.run_id
    JOIN rerating other ON other.run_id = l.run_id
    WHERE m.run_id = $1 AND a.applied_entry IS NOT NULL AND a.undone_entry IS NULL AND other.created_at > mine.created_at
    ORDER BY l.run_id
"""
ACCOUNTS: Final = "SELECT * FROM rerating_account WHERE run_id = $1 ORDER BY account_id"
POSTED: Final = """
    SELECT entry_number FROM journal
    WHERE account_id = $1 AND reference = $2 AND kind IN ('adjustment', 'invoice', 'payment')
"""


async def records(connection: Any, selection: Selection) -> AsyncIterator[tuple[CdrRow, Amount]]:
    """Go through the selected records with what each costs now, by account."""
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        rows = connection.cursor(
            RECORDS,
            moment(selection.since_ms),
            moment(selection.until_ms),
            selection.account_id,
            selection.destination,
            selection.rate_version,
            prefetch=PREFETCH,
        )
        async for row in rows:
            yield cdr_from_row(row), row["cost"] + row["applied"]


async def counts(connection: Any, account_id: str, slots: Sequence[int]) -> dict[int, int]:
    """What an account's counters came to, by their slots: the highest count that any record has seen."""
    if not slots:
        return {}
    return {row["slot"]: row["counted"] for row in await connection.fetch(COUNTS, account_id, slots)}


async def store_run(connection: Any, run: Run, lines: Sequence[Line], accounts: Sequence[AccountLine]) -> None:
    """Keep a preview, whole or not at all."""
    async with connection.transaction():
        await connection.execute(
            "INSERT INTO rerating (run_id, created_at, selection, rate_version, state) VALUES ($1, $2, $3, $4, $5)",
            run.run_id,
            moment(run.created_at_ms),
            run.selection,
            run.rate_version,
            run.state.value,
        )
        await connection.copy_records_to_table(
            "rerating_line",
            columns=("run_id", *Line.__struct_fields__),
            records=[(run.run_id, *msgspec.structs.astuple(line)) for line in lines],
        )
        columns = AccountLine.__struct_fields__[:4]
        await connection.copy_records_to_table(
            "rerating_account",
            columns=("run_id", *columns),
            records=[(run.run_id, *msgspec.structs.astuple(account)[:4]) for account in accounts],
        )


async def find_run(connection: Any, run_id: str) -> Run | None:
    row = await connection.fetchrow("SELECT * FROM rerating WHERE run_id = $1", run_id)
    return _run(row) if row else None


async def list_runs(connection: Any) -> list[Run]:
    """All runs, the newest first."""
    return [_run(row) for row in await connection.fetch("SELECT * FROM rerating ORDER BY created_at DESC, run_id")]


def _run(row: Any) -> Run:
    return Run(
        row["run_id"], milliseconds(row["created_at"]), row["selection"], row["rate_version"], RunState(row["state"])
    )


async def accounts_of(connection: Any, run_id: str) -> list[AccountLine]:
    """What a run means and has done, account by account."""
    rows = await connection.fetch(ACCOUNTS, run_id)
    return [AccountLine(**{name: row[name] for name in AccountLine.__struct_fields__}) for row in rows]


async def set_state(connection: Any, run_id: str, state: RunState) -> None:
    await connection.execute("UPDATE rerating SET state = $2 WHERE run_id = $1", run_id, state.value)


async def set_applied(connection: Any, run_id: str, account_id: str, entry_number: int) -> None:
    statement = "UPDATE rerating_account SET applied_entry = $3 WHERE run_id = $1 AND account_id = $2"
    await connection.execute(statement, run_id, account_id, entry_number)


async def set_undone(connection: Any, run_id: str, account_id: str, entry_number: int) -> None:
    statement = "UPDATE rerating_account SET undone_entry = $3 WHERE run_id = $1 AND account_id = $2"
    await connection.execute(statement, run_id, account_id, entry_number)


async def set_refusal(connection: Any, run_id: str, account_id: str, refusal: str) -> None:
    statement = "UPDATE rerating_account SET refusal = $3 WHERE run_id = $1 AND account_id = $2"
    await connection.execute(statement, run_id, account_id, refusal)


async def changed_since(connection: Any, run_id: str) -> int:
    """Count the records of a preview that cost something else by now, because another run was applied or undone."""
    return int(await connection.fetchval(CHANGED_SINCE, run_id))


async def later_runs(connection: Any, run_id: str) -> list[str]:
    """Name the runs that were applied to records of this one after it: they have to be rolled back first."""
    return [row[0] for row in await connection.fetch(LATER_RUNS, run_id)]


async def posted_entry(connection: Any, account_id: str, reference: str) -> int | None:
    """The number of the entry that was posted under this key, by the journal."""
    found: int | None = await connection.fetchval(POSTED, account_id, reference)
    return found
