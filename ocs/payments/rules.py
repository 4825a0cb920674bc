"""The rules of automatic top-ups, in PostgreSQL, and the entries that say whose balance is to be looked at."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final, NamedTuple

from ocs.billing.moments import moment
from ocs.payments.automatic import Rule

_FIELDS: Final = Rule.__struct_fields__
_PUT: Final = f"""
    INSERT INTO automatic_top_up ({", ".join(_FIELDS)}) VALUES ({", ".join(f"${at}" for at in range(1, len(_FIELDS) + 1))})
    ON CONFLICT (account_id) DO UPDATE SET ({", ".join(_FIELDS)}, not_before)
        = ({", ".join(f"excluded.{name}" for name in _FIELDS)}, now())
"""  # noqa: S608 - names of our own
# Looks stay while a charge is under way, and while it is too early.
_DUE: Final = f"""
    SELECT {", ".join(_FIELDS)}, (
        SELECT max(entry_number) FROM automatic_top_up_look l WHERE l.account_id = r.account_id
    ) AS cause
    FROM automatic_top_up r
    WHERE why_stopped = '' AND not_before <= $1
        AND EXISTS (SELECT FROM automatic_top_up_look l WHERE l.account_id = r.account_id)
        AND NOT EXISTS (
            SELECT FROM gateway_charge c
            WHERE c.purpose = 'automatic_top_up' AND c.name = r.account_id AND c.state IN ('charging', 'pending')
        )
    LIMIT 1 FOR UPDATE OF r SKIP LOCKED
"""  # noqa: S608 - names of our own


class Due(NamedTuple):
    """A rule whose account is to be looked at, because of that entry and those before it."""

    rule: Rule
    cause: int


async def put_rule(connection: Any, rule: Rule) -> None:
    """A rule that is put again begins anew: what it had failed or waited for is forgotten."""
    await connection.execute(_PUT, *(getattr(rule, name) for name in _FIELDS))


async def find_rule(connection: Any, account_id: str) -> Rule | None:
    row = await connection.fetchrow(
        f"SELECT {', '.join(_FIELDS)} FROM automatic_top_up WHERE account_id = $1",  # noqa: S608 - names of our own
        account_id,
    )
    return Rule(**row) if row is not None else None


async def drop_rule(connection: Any, account_id: str) -> Rule | None:
    """What is under way goes on."""
    async with connection.transaction():
        found = await find_rule(connection, account_id)
        await connection.execute("DELETE FROM automatic_top_up WHERE account_id = $1", account_id)
        await connection.execute("DELETE FROM automatic_top_up_look WHERE account_id = $1", account_id)
    return found


@asynccontextmanager
async def due_rule(connection: Any, now_ms: int) -> AsyncIterator[Due | None]:
    """A rule to be looked at, for us alone until this ends; None: there is none."""
    async with connection.transaction():
        row = await connection.fetchrow(_DUE, moment(now_ms))
        yield Due(Rule(**{name: row[name] for name in _FIELDS}), row["cause"]) if row is not None else None


async def looked(connection: Any, due: Due) -> None:
    """What there was to see has been seen."""
    await connection.execute(
        "DELETE FROM automatic_top_up_look WHERE account_id = $1 AND entry_number <= $2",
        due.rule.account_id,
        due.cause,
    )


async def wait(connection: Any, account_id: str, until_ms: int, failures: int) -> None:
    """Leave the rule be until then."""
    await connection.execute(
        "UPDATE automatic_top_up SET not_before = $2, failures = $3 WHERE account_id = $1",
        account_id,
        moment(until_ms),
        failures,
    )


async def stop(connection: Any, account_id: str, why: str) -> None:
    """Until somebody puts the rule again."""
    await connection.execute("UPDATE automatic_top_up SET why_stopped = $2 WHERE account_id = $1", account_id, why)


async def succeeded(connection: Any, account_id: str) -> None:
    await connection.execute("UPDATE automatic_top_up SET failures = 0 WHERE account_id = $1", account_id)
