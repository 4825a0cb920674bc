"""The PostgreSQL sink: COPY into stage tables, INSERT .. ON CONFLICT DO NOTHING, one transaction a batch.

A batch whose COMMIT was not heard is written again; the primary key (account, entry number) makes that harmless.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any, Final

import asyncpg
import msgspec
import structlog

from balance.burn import total_of
from ocs.billing.failures import FAILURES, unavailable
from ocs.billing.groups import encode_details, encode_groups
from ocs.billing.moments import moment
from ocs.billing.months import LOCK_KEY
from ocs.charging.account_events import AccountEvent, event_of
from ocs.charging.cdr import JournalEntry
from ocs.charging.merging import EVENT, FROM_FACT
from ocs.outbox.sinks import EntryRefused, OutboxEntry, Written

log = structlog.get_logger()

CONNECT_S_MAX: Final = 5
STATEMENT_S_MAX: Final = 60

JOURNAL_COLUMNS: Final = (
    "account_id",
    "entry_number",
    "at",
    "kind",
    "currency",
    "amount",
    "bucket_ids",
    "bucket_amounts",
    "unit_ids",
    "unit_amounts",
    "reference",
    "actor",
    "reason",
    "stream_id",
)
CDR_COLUMNS: Final = (
    "account_id",
    "entry_number",
    "session_id",
    "protocol",
    "peer",
    "subscriber",
    "service",
    "origin",
    "destination",
    "started_at",
    "ended_at",
    "cost",
    "currency",
    "rate_version",
    "flags",
    "cause",
    "groups",
    "details",
    "rate_plan",
    "whereabouts",
)
EVENT_COLUMNS: Final = ("account_id", "entry_number", "event_type", "at", "currency", "amount", "facts")
CONTACT_COLUMNS: Final = (
    "mail", "phone", "language", "time_zone", "muted", "quiet_begins", "quiet_ends",
)  # fmt: skip
STAGES: Final = (("journal", JOURNAL_COLUMNS), ("cdr", CDR_COLUMNS), ("account_event", EVENT_COLUMNS))

CONTRADICTED: Final = """
    SELECT s.stream_id, s.account_id, s.entry_number FROM stage_journal s JOIN journal j USING (account_id, entry_number)
    WHERE (s.at, s.kind, s.currency, s.bucket_ids, s.bucket_amounts, s.unit_ids, s.unit_amounts, s.reference)
       IS DISTINCT FROM (j.at, j.kind, j.currency, j.bucket_ids, j.bucket_amounts, j.unit_ids, j.unit_amounts, j.reference)
"""

# What was not there before waits for every feed from now on.
ADD_FED: Final = f"""
    WITH added AS (
        INSERT INTO cdr ({", ".join(CDR_COLUMNS)}) SELECT {", ".join(CDR_COLUMNS)} FROM stage_cdr ON CONFLICT DO NOTHING
        RETURNING account_id, entry_number, started_at
    )
    INSERT INTO cdr_feed (feed, account_id, entry_number, started_at)
    SELECT feed, account_id, entry_number, started_at FROM added CROSS JOIN unnest($1::text[]) AS feed
    ON CONFLICT DO NOTHING
"""  # noqa: S608 - our own constants

# Accounts with an automatic top-up are looked at when their money has changed, by their last new entry (ocs/payments).
LOOK: Final = """
    INSERT INTO automatic_top_up_look (account_id, entry_number)
    SELECT account_id, max(entry_number) FROM stage_journal JOIN automatic_top_up USING (account_id) GROUP BY account_id
    ON CONFLICT DO NOTHING
"""

# Who was told of one account is told of the one that it was merged into, unless that has a contact of its own.
FOLLOW: Final = f"""
    INSERT INTO contact (account_id, {", ".join(CONTACT_COLUMNS)})
    SELECT e.account_id, {", ".join(f"c.{name}" for name in CONTACT_COLUMNS)}
    FROM stage_account_event e JOIN contact c ON c.account_id = e.facts ->> '{FROM_FACT}' WHERE e.event_type = '{EVENT}'
    ON CONFLICT DO NOTHING
"""  # noqa: S608 - our own constants

# PostgreSQL's classes for "this value is wrong here": data, integrity and limit faults (SQLSTATE 22, 23, 54).
REFUSALS: Final = (
    asyncpg.DataError,
    asyncpg.IntegrityConstraintViolationError,
    asyncpg.ProgramLimitExceededError,
    ValueError,
    TypeError,
    OverflowError,
)


class PostgresSink:
    """One connection, made when it is needed and made anew after any failure. ``feeds`` are given new records, too."""

    name = "billing"

    def __init__(self, dsn: str, feeds: Sequence[str] = ()) -> None:
        self._dsn = dsn
        self._feeds = list(feeds)
        self._connection: Any = None

    async def write(self, batch: Sequence[OutboxEntry]) -> Written:
        try:
            journal = [journal_row(item) for item in batch]
            cdrs = [cdr_row(item.entry) for item in batch if item.entry.cdr is not None]
            events = [event_row(event) for item in batch if (event := event_of(item.entry)) is not None]
        except REFUSALS as error:
            raise EntryRefused(str(error)) from error
        connection = await self._connected()
        try:
            return await _write(connection, journal, cdrs, events, self._feeds)
        except REFUSALS as error:
            self._drop()
            raise EntryRefused(str(error)) from error
        except FAILURES as error:
            self._drop()
            raise unavailable(error) from error
        except BaseException:
            self._drop()
            raise

    async def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(*FAILURES):
                await connection.close(timeout=CONNECT_S_MAX)

    async def _connected(self) -> Any:
        if self._connection is None or self._connection.is_closed():
            try:
                self._connection = await asyncpg.connect(
                    self._dsn, timeout=CONNECT_S_MAX, command_timeout=STATEMENT_S_MAX
                )
                await _prepare(self._connection)
            except (*FAILURES, ValueError) as error:
                # A wrong DSN is a ValueError: no fault of the entries.
                self._drop()
                raise unavailable(error) from error
        return self._connection

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.terminate()


async def _prepare(connection: Any) -> None:
    if await connection.fetchval("SHOW synchronous_commit") == "off":
        # The outbox forgets an entry after COMMIT, so COMMIT has to mean that it is on disk.
        log.warning("synchronous_commit_enforced")
        await connection.execute("SET synchronous_commit = on")
    for table, columns in STAGES:
        await connection.execute(
            f"CREATE TEMP TABLE stage_{table} ON COMMIT DELETE ROWS AS"  # noqa: S608 - our own constants
            f" SELECT {', '.join(columns)} FROM {table} WITH NO DATA"
        )


async def _write(
    connection: Any,
    journal: list[tuple[Any, ...]],
    cdrs: list[tuple[Any, ...]],
    events: list[tuple[Any, ...]],
    feeds: list[str],
) -> Written:
    async with connection.transaction():
        if cdrs:
            # A month that is made meanwhile refuses rows that were on their way to where it was not yet (23514).
            await connection.execute("SELECT pg_advisory_xact_lock_shared($1)", LOCK_KEY)
        added = await _add(connection, "journal", JOURNAL_COLUMNS, journal)
        contradicted: frozenset[str] = frozenset()
        if added < len(journal):
            found = await connection.fetch(CONTRADICTED)
            contradicted = frozenset([row["stream_id"] for row in found])
            # The key of a record has its time in it: a number is given once by the journal alone.
            others = {(row["account_id"], row["entry_number"]) for row in found}
            cdrs = [row for row in cdrs if row[:2] not in others]
        if cdrs and feeds:
            await connection.copy_records_to_table("stage_cdr", records=cdrs, columns=CDR_COLUMNS)
            await connection.execute(ADD_FED, feeds)
        elif cdrs:
            await _add(connection, "cdr", CDR_COLUMNS, cdrs)
        if events:
            await _add(connection, "account_event", EVENT_COLUMNS, events)
            await connection.execute(FOLLOW)
        await connection.execute(LOOK)
    return Written(added, len(journal) - added - len(contradicted), contradicted)


async def _add(connection: Any, table: str, columns: tuple[str, ...], rows: list[tuple[Any, ...]]) -> int:
    await connection.copy_records_to_table(f"stage_{table}", records=rows, columns=columns)
    names = ", ".join(columns)
    status = await connection.execute(
        f"INSERT INTO {table} ({names}) SELECT {names} FROM stage_{table} ON CONFLICT DO NOTHING"  # noqa: S608 - ours
    )
    return int(status.rsplit(" ", 1)[1])


def journal_row(item: OutboxEntry) -> tuple[Any, ...]:
    entry = item.entry
    return (
        _text(entry.account_id),
        entry.entry_number,
        moment(entry.at_ms),
        _text(entry.kind),
        _text(entry.currency),
        total_of(entry.changes),
        [change.bucket_id for change in entry.changes],
        [change.amount for change in entry.changes],
        [change.bucket_id for change in entry.units],
        [change.amount for change in entry.units],
        _text(entry.reference),
        _text(entry.actor),
        _text(entry.reason),
        item.name,
    )


def cdr_row(entry: JournalEntry) -> tuple[Any, ...]:
    cdr = entry.cdr
    assert cdr is not None, "asked only for entries with a record"
    return (
        _text(entry.account_id),
        entry.entry_number,
        _text(cdr.session_id),
        _text(cdr.protocol),
        _text(cdr.peer),
        _text(cdr.subscriber),
        _text(cdr.service),
        _text(cdr.origin),
        _text(cdr.destination),
        moment(cdr.started_at_ms),
        moment(cdr.ended_at_ms),
        cdr.cost,
        _text(entry.currency),
        _text(cdr.rate_version),
        cdr.flags,
        _text(cdr.cause),
        encode_groups(cdr.groups),
        encode_details(cdr.details),
        _text(cdr.rate_plan),
        _text(cdr.whereabouts),
    )


def event_row(event: AccountEvent) -> tuple[Any, ...]:
    facts = {name: _text(value) for name, value in event.facts.items()}
    return (
        _text(event.account_id),
        event.entry_number,
        event.event_type,
        moment(event.at_ms),
        _text(event.currency),
        event.amount,
        msgspec.json.encode(facts).decode(),
    )


def _text(text: str) -> str:
    # PostgreSQL's text holds no NUL, and a peer's Session-Id may: it must not stop the books.
    return text.replace("\x00", "\ufffd") if "\x00" in text else text
