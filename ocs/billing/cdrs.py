"""Reads of the books: an account's rated records and its journal, newest first, page by page.

A page is named by the last row of the one before (a keyset), never by an offset: page 1,000 costs what page 1
costs, and rows that arrive meanwhile neither repeat nor hide others.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Generic, TypeVar

import msgspec

from balance.account import Hold
from balance.money import Amount
from ocs.billing.failures import FAILURES, unavailable
from ocs.billing.groups import decode_details, decode_groups
from ocs.billing.moments import milliseconds, moment
from ocs.billing.search import ENTRY_MAX, FAR_FUTURE_MS, PAGE_MAX, CdrQuery, CursorError, search
from ocs.charging.cdr import CdrGroup
from ocs.rating.origins import Origin, origin_of

T = TypeVar("T")


class Page(msgspec.Struct, Generic[T], frozen=True):
    """``next_cursor`` is empty on the last page."""

    items: tuple[T, ...]
    next_cursor: str = ""


class CdrRow(msgspec.Struct, frozen=True, kw_only=True):
    """One rated record as it is billed; ``groups`` hold what its price is computed from."""

    account_id: str
    entry_number: int
    session_id: str
    protocol: str
    peer: str
    subscriber: str
    service: str
    origin: str
    destination: str
    started_at_ms: int
    ended_at_ms: int
    cost: Amount
    currency: str
    rate_version: str
    flags: int
    cause: str
    groups: tuple[CdrGroup, ...]
    details: dict[str, str] = {}
    rate_plan: str = ""
    whereabouts: str = ""

    def from_where_of(self, group: CdrGroup) -> Origin:
        """Where the use of a group came from, as prices may depend on it."""
        return origin_of(self.origin, self.peer, group.whereabouts or self.whereabouts)


class JournalRow(msgspec.Struct, frozen=True, kw_only=True):
    """One change of the account; ``changes`` are signed, + is the customer's money in."""

    account_id: str
    entry_number: int
    at_ms: int
    kind: str
    currency: str
    amount: Amount
    changes: tuple[Hold, ...]
    units: tuple[Hold, ...] = ()
    reference: str
    actor: str
    reason: str


CDR_OF_SESSION: Final = "SELECT * FROM cdr WHERE session_id = $1 ORDER BY started_at, entry_number LIMIT $2"
CDR_ONE: Final = "SELECT * FROM cdr WHERE account_id = $1 AND entry_number = $2"
JOURNAL_ONE: Final = "SELECT * FROM journal WHERE account_id = $1 AND entry_number = $2"
JOURNAL_BY_REFERENCE: Final = """
    SELECT * FROM journal WHERE account_id = $1 AND reference = $2 ORDER BY entry_number LIMIT 1
"""
JOURNAL_PAGE: Final = """
    SELECT * FROM journal
    WHERE account_id = $1 AND entry_number < $2 AND ($3 = '' OR kind = $3) AND ($4 = '' OR reference = $4)
        AND at >= $5 AND at < $6
    ORDER BY entry_number DESC LIMIT $7
"""
ACCOUNT_IDS: Final = """
    SELECT account_id FROM journal
    WHERE entry_number = 1 AND account_id > $1 AND ($2 = '' OR starts_with(account_id, $2)) AND at >= $4 AND at < $5
    ORDER BY account_id LIMIT $3
"""


async def list_cdrs(
    pool: Any,
    account_id: str,
    cursor: str = "",
    limit: int = 100,
    *,
    since_ms: int = 0,
    until_ms: int = FAR_FUTURE_MS,
) -> Page[CdrRow]:
    """An account's records that started in ``[since_ms, until_ms)``, newest first. Raises CursorError."""
    query = CdrQuery(account_id=account_id, since_ms=since_ms, until_ms=until_ms)
    return await find_cdrs(pool, query, cursor, limit)


async def find_cdrs(pool: Any, query: CdrQuery, cursor: str = "", limit: int = 100) -> Page[CdrRow]:
    """The records that a query asks for, newest first. Raises CursorError."""
    rows, next_cursor = await search(pool, query, cursor, limit)
    return Page(tuple([cdr_from_row(row) for row in rows]), next_cursor)


async def cdrs_of_session(pool: Any, session_id: str, limit: int = 100) -> tuple[CdrRow, ...]:
    """All records of one Session-Id: more than one when a client opened it anew."""
    return tuple([cdr_from_row(row) for row in await _fetch(pool, CDR_OF_SESSION, session_id, min(limit, PAGE_MAX))])


async def find_cdr(pool: Any, account_id: str, entry_number: int) -> tuple[CdrRow, JournalRow] | None:
    """One record with the entry that it stands in: the same key in both tables."""
    cdrs = await _fetch(pool, CDR_ONE, account_id, entry_number)
    entries = await _fetch(pool, JOURNAL_ONE, account_id, entry_number)
    return (cdr_from_row(cdrs[0]), journal_from_row(entries[0])) if cdrs and entries else None


async def find_entry(pool: Any, account_id: str, entry_number: int) -> JournalRow | None:
    """One entry of the journal."""
    rows = await _fetch(pool, JOURNAL_ONE, account_id, entry_number)
    return journal_from_row(rows[0]) if rows else None


async def find_reference(pool: Any, account_id: str, reference: str) -> JournalRow | None:
    """The first entry of an account that was posted under a key."""
    rows = await _fetch(pool, JOURNAL_BY_REFERENCE, account_id, reference)
    return journal_from_row(rows[0]) if rows else None


async def list_journal(
    pool: Any,
    account_id: str,
    cursor: str = "",
    limit: int = 100,
    *,
    kind: str = "",
    reference: str = "",
    since_ms: int = 0,
    until_ms: int = FAR_FUTURE_MS,
) -> Page[JournalRow]:
    """An account's entries in [since, until), newest first; of one kind, or reference, if it is named. Raises CursorError."""
    limit = min(limit, PAGE_MAX)
    before = _cursor_number(cursor) if cursor else ENTRY_MAX
    span = moment(since_ms), moment(until_ms)
    rows = await _fetch(pool, JOURNAL_PAGE, account_id, before, kind, reference, *span, limit + 1)
    items = tuple([journal_from_row(row) for row in rows[:limit]])
    return Page(items, str(items[-1].entry_number) if len(rows) > limit else "")


async def account_ids(
    pool: Any, after: str, limit: int, *, tenant: str = "", since_ms: int = 0, until_ms: int = FAR_FUTURE_MS
) -> list[str]:
    """The names of accounts after ``after`` that were opened in [since, until), in the order of their octets; those that begin
    with ``tenant``.
    """
    # A tenant's names lie together: the walk begins at the first of them.
    rows = await _fetch(pool, ACCOUNT_IDS, max(after, tenant), tenant, limit, moment(since_ms), moment(until_ms))
    return [row["account_id"] for row in rows]


def cdr_from_row(row: Mapping[str, Any]) -> CdrRow:
    return CdrRow(
        started_at_ms=milliseconds(row["started_at"]),
        ended_at_ms=milliseconds(row["ended_at"]),
        groups=decode_groups(row["groups"]),
        details=decode_details(row["details"]),
        **{name: row[name] for name in _CDR_PLAIN},
    )


def journal_from_row(row: Mapping[str, Any]) -> JournalRow:
    return JournalRow(
        at_ms=milliseconds(row["at"]),
        changes=_holds(row["bucket_ids"], row["bucket_amounts"]),
        units=_holds(row["unit_ids"], row["unit_amounts"]),
        **{name: row[name] for name in _JOURNAL_PLAIN},
    )


def _holds(bucket_ids: list[int], amounts: list[int]) -> tuple[Hold, ...]:
    return tuple([Hold(bucket_id, amount) for bucket_id, amount in zip(bucket_ids, amounts, strict=True)])


_CDR_PLAIN: Final = tuple(
    name for name in CdrRow.__struct_fields__ if name not in {"started_at_ms", "ended_at_ms", "groups", "details"}
)
_JOURNAL_PLAIN: Final = tuple(
    name for name in JournalRow.__struct_fields__ if name not in {"at_ms", "changes", "units"}
)


async def _fetch(pool: Any, statement: str, name: str, *arguments: Any) -> list[Mapping[str, Any]]:
    if "\x00" in name:
        return []  # PostgreSQL's text holds no NUL: nothing has such a name
    try:
        rows: list[Mapping[str, Any]] = await pool.fetch(statement, name, *arguments)
    except FAILURES as error:
        raise unavailable(error) from error
    return rows


def _cursor_number(cursor: str) -> int:
    if not (cursor.isdecimal() and cursor.isascii() and len(cursor) < 19):
        raise CursorError("the cursor is not one of ours: start again without it")
    return int(cursor)
