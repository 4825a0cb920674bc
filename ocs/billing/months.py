"""The months of the CDR table: made ahead, filled, and dropped when their records have been kept long enough.

A month is a partition of ``cdr`` by the start of the use, in UTC. Records of a month that nobody has made yet wait in
``cdr_other`` and move when it is made, so that no record is ever refused for its date. A month is dropped as a whole; one
that holds a record which no issued invoice bears yet stays, however old it is.
"""

from __future__ import annotations

import re
from typing import Any, Final, NamedTuple

import asyncpg
import msgspec

from ocs.billing.failures import FAILURES, unavailable
from ocs.billing.moments import moment

AHEAD: Final = 3
"""Months that are made before they begin: a back end that nobody restarts has room for a quarter."""

OTHER: Final = "cdr_other"
LOCK_KEY: Final = 0x0C5_0CD4
_NAME: Final = re.compile(r"cdr_(\d{4})_(\d{2})", re.ASCII)
_YEAR_MIN: Final = 2000
"""Clients without a clock write of 1970: such records stay where they are instead of making months of their own."""

EXISTING: Final = """
    SELECT c.relname AS name, greatest(c.reltuples, 0)::bigint AS records, pg_total_relation_size(c.oid) AS octets
    FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = 'cdr'::regclass ORDER BY c.relname
"""
WAITING: Final = f"""
    SELECT DISTINCT extract(year FROM m)::int AS year, extract(month FROM m)::int AS month
    FROM (SELECT started_at AT TIME ZONE 'UTC' AS m FROM {OTHER}) AS s
"""  # noqa: S608 - our own name
# Kept: records of billed accounts until an issued invoice bears them, and what a feed has not been given yet.
UNBILLED: Final = """
    SELECT EXISTS (
        SELECT FROM (SELECT account_id, max(entry_number) AS highest FROM {name} GROUP BY account_id) AS c
        JOIN customer_account a USING (account_id)
        WHERE c.highest > (
            SELECT coalesce(max(s.last_entry), 0) FROM invoice_span s JOIN invoice i USING (invoice_id)
            WHERE s.account_id = c.account_id AND i.state <> 'draft'
        )
    ) OR EXISTS (SELECT FROM cdr_feed JOIN {name} USING (account_id, entry_number, started_at))
"""


class Month(NamedTuple):
    """A month of a year, UTC."""

    year: int
    month: int

    @classmethod
    def of(cls, at_ms: int) -> Month:
        at = moment(at_ms)
        return cls(at.year, at.month)

    def plus(self, months: int) -> Month:
        count = self.year * 12 + self.month - 1 + months
        return Month(count // 12, count % 12 + 1)

    @property
    def name(self) -> str:
        """The partition's."""
        return f"cdr_{self.year:04}_{self.month:02}"

    @property
    def begins(self) -> str:
        """As SQL reads it."""
        return f"{self.year:04}-{self.month:02}-01 00:00:00+00"


class Part(NamedTuple):
    """A partition as it is: ``records`` by PostgreSQL's estimate."""

    name: str
    records: int
    octets: int

    @property
    def month(self) -> Month | None:
        match = _NAME.fullmatch(self.name)
        return Month(int(match[1]), int(match[2])) if match else None


class Kept(msgspec.Struct):
    """What was done: months made, dropped, and those that are past their time and hold unbilled records."""

    made: list[str] = []
    dropped: list[str] = []
    held: list[str] = []


async def parts_of(connection: Any) -> list[Part]:
    """All partitions by their names. Raises BackendUnavailable."""
    try:
        return [Part(*row) for row in await connection.fetch(EXISTING)]
    except FAILURES as error:
        raise unavailable(error) from error


async def keep_months(connection: Any, now_ms: int, keep: int = 0) -> Kept:
    """Make what is missing up to AHEAD months from now, and drop what began more than ``keep`` whole months ago.

    ``keep`` 0: nothing is dropped. One process at a time; safe to call at any time. Raises BackendUnavailable.
    """
    kept = Kept()
    now = Month.of(now_ms)
    try:
        waiting = {Month(*row) for row in await connection.fetch(WAITING)}
        wanted = {month for month in waiting if _YEAR_MIN <= month.year < now.year + 2}
        wanted |= {now.plus(ahead) for ahead in range(AHEAD + 1)}
        for month in sorted(wanted):
            async with connection.transaction():
                await connection.execute("SELECT pg_advisory_xact_lock($1)", LOCK_KEY)
                if month not in {part.month for part in await parts_of(connection)}:
                    await make_month(connection, month)
                    kept.made.append(month.name)
        if keep:
            await _drop_old(connection, now.plus(-keep), kept)
    except FAILURES as error:
        raise unavailable(error) from error
    return kept


async def make_month(connection: Any, month: Month) -> None:
    """Make a month, with what waits for it. Nobody reads a state in which a record is in neither place."""
    span = f"FROM ('{month.begins}') TO ('{month.plus(1).begins}')"
    inside = f"started_at >= '{month.begins}' AND started_at < '{month.plus(1).begins}'"
    await connection.execute(f"LOCK TABLE {OTHER} IN ACCESS EXCLUSIVE MODE")
    await connection.execute(f"CREATE TABLE {month.name} (LIKE cdr INCLUDING DEFAULTS INCLUDING CONSTRAINTS)")
    await connection.execute(
        f"WITH moved AS (DELETE FROM {OTHER} WHERE {inside} RETURNING *) "  # noqa: S608 - our own names
        f"INSERT INTO {month.name} SELECT * FROM moved"
    )
    await connection.execute(f"ALTER TABLE cdr ATTACH PARTITION {month.name} FOR VALUES {span}")


async def _drop_old(connection: Any, first_kept: Month, kept: Kept) -> None:
    old = [part for part in await parts_of(connection) if part.month is not None and part.month < first_kept]
    for part in old:
        if await connection.fetchval(UNBILLED.format(name=part.name)):
            kept.held.append(part.name)
            continue
        try:
            async with connection.transaction():
                # Whoever reads now is not made to wait for long behind us: then it is dropped the next time.
                await connection.execute("SET LOCAL lock_timeout = '2s'")
                await connection.execute(f"DROP TABLE {part.name}")
        except asyncpg.LockNotAvailableError:
            continue
        kept.dropped.append(part.name)


def is_partition(name: str) -> bool:
    """Whether a table is a part of ``cdr``: made as time goes by, not by a migration."""
    return name == OTHER or _NAME.fullmatch(name) is not None
