"""Records found by account, number, name of the destination, session and time: newest first, page by page.

Each question is answered from an index by which its records lie in the order of time already, in every month that its
span touches; so a page costs the same among a thousand records and among fifty million.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from ocs.billing.failures import FAILURES, unavailable
from ocs.billing.moments import milliseconds, moment
from ocs.billing.schema import INDEXED_MAX

FAR_FUTURE_MS: Final = 253_402_300_799_000  # the last second of the year 9999
PAGE_MAX: Final = 1000
ENTRY_MAX: Final = 2**63 - 1
ANY: Final = "*"
AS_ASKED: Final = {"plan_cache_mode": "force_custom_plan"}
"""For connections that search: which index is the right one depends on what is asked for, a rare prefix or a country."""

_ABOVE_ALL: Final = "\U0010ffff"
_ORDER: Final = "ORDER BY started_at DESC, entry_number DESC, account_id DESC"


class CursorError(ValueError):
    """The text is not a cursor that we gave out."""


class CdrQuery(msgspec.Struct, frozen=True, kw_only=True):
    """What is looked for; what is empty is not asked. ``number`` is the caller's or the called one, ``destination`` the
    name that the rates give it; a star at the end of either means: beginning so. The use began in ``[since_ms, until_ms)``.
    """

    account_id: str = ""
    number: str = ""
    destination: str = ""
    session_id: str = ""
    service: str = ""
    since_ms: int = 0
    until_ms: int = FAR_FUTURE_MS


class _Statement:
    """Conditions with their arguments."""

    def __init__(self) -> None:
        self.arguments: list[Any] = []
        self.conditions: list[str] = []

    def argument(self, value: Any) -> str:
        self.arguments.append(value)
        return f"${len(self.arguments)}"

    def beginning(self, word: str, text: str) -> str:
        """A condition that the index over the first letters of ``word`` answers, however the text is bound."""
        start = f"left({word}, {INDEXED_MAX})"
        if not text.endswith(ANY):
            exact = f"{start} = {self.argument(text[:INDEXED_MAX])}"
            return exact if len(text) < INDEXED_MAX else f"{exact} AND {word} = {self.argument(text)}"
        low = text.rstrip(ANY)[:INDEXED_MAX]
        return f"{start} ~>=~ {self.argument(low)} AND {start} ~<~ {self.argument(low + _ABOVE_ALL)}"


async def search(pool: Any, query: CdrQuery, cursor: str = "", limit: int = 100) -> tuple[list[Mapping[str, Any]], str]:
    """Rows of ``cdr`` and the cursor of the next page, empty on the last. Raises CursorError, BackendUnavailable."""
    limit = min(limit, PAGE_MAX)
    if "\x00" in f"{query.account_id}{query.number}{query.destination}{query.session_id}{query.service}":
        return [], ""  # PostgreSQL's text holds no NUL: nothing has such a name
    text, arguments = _written(query, cursor, limit + 1)
    try:
        rows: list[Mapping[str, Any]] = await pool.fetch(text, *arguments)
    except FAILURES as error:
        raise unavailable(error) from error
    return rows[:limit], _cursor_of(rows[limit - 1]) if len(rows) > limit else ""


def _written(query: CdrQuery, cursor: str, limit: int) -> tuple[str, list[Any]]:
    """The statement. A number is two questions, each by its own index; their pages are laid over each other."""
    made = _Statement()
    conditions = made.conditions
    since, until = made.argument(moment(query.since_ms)), made.argument(moment(query.until_ms))
    conditions.append(f"started_at >= {since} AND started_at < {until}")
    for name in ("account_id", "session_id", "service"):
        if value := getattr(query, name):
            conditions.append(f"{name} = {made.argument(value)}")
    if query.destination:
        conditions.append(made.beginning("(groups -> 0) ->> 'destination'", query.destination))
    if cursor:
        at_ms, entry, account_id = _read_cursor(cursor)
        last = f"{made.argument(moment(at_ms))}, {made.argument(entry)}, {made.argument(account_id)}"
        conditions.append(
            f"(started_at, entry_number, account_id) < ({last}) AND started_at <= {last.split(',', maxsplit=1)[0]}"
        )
    end = f"{_ORDER} LIMIT {made.argument(limit)}"
    if not query.number:
        return f"SELECT * FROM cdr WHERE {' AND '.join(conditions)} {end}", made.arguments  # noqa: S608 - ours
    called, caller = (made.beginning(word, query.number) for word in ("destination", "origin"))
    parts = [
        f"(SELECT * FROM cdr WHERE {' AND '.join([*conditions, each])} {end})"  # noqa: S608 - ours
        for each in (called, f"{caller} AND NOT ({called})")
    ]
    return f"SELECT * FROM ({' UNION ALL '.join(parts)}) AS found {end}", made.arguments  # noqa: S608 - ours


def _cursor_of(row: Mapping[str, Any]) -> str:
    return f"{milliseconds(row['started_at'])}.{row['entry_number']}.{row['account_id']}"


def _read_cursor(cursor: str) -> tuple[int, int, str]:
    at_ms, entry, account_id = (*cursor.split(".", 2), "", "")[:3]
    if not (account_id and "\x00" not in account_id and _is_number(at_ms) and _is_number(entry)):
        raise CursorError("the cursor is not one of ours: start again without it")
    if int(at_ms) > FAR_FUTURE_MS or int(entry) > ENTRY_MAX:
        raise CursorError("the cursor is not one of ours: start again without it")
    return int(at_ms), int(entry), account_id


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) < 20
