"""Records found by account, number, name of the destination, session and time: newest first, page by page.

Each question is answered from the index of its most telling word, in every month that its span touches. What is equal to
a word lies in its index in the order of time already: a page costs the same among a thousand records and fifty million.
What only begins so does not: few are taken all at once (``FEW``), many in spans of time that grow, from the newest on.

Left to itself, PostgreSQL walks by time where it takes a word for frequent, and reads the whole store when the word is not.
So the word is hidden from its statistics, and the records are asked for in the order of the word's own index. As plans do not
depend on words, a question without a time is planned once for each connection: planning took longer than the answer.
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
PLANNED_ONCE: Final = {"plan_cache_mode": "force_generic_plan", "jit": "off"}
"""For connections that search: whatever a plan depends on is part of the statement; compiling takes longer than the answer."""

FEW: Final = 200
"""So many records that begin so are read and sorted at once; in vain, where there are more, for some milliseconds."""
SPAN_MIN_MS: Final = 4 * 60_000
SPAN_WALKED_MS: Final = 4 * 3_600_000
"""Up to here the span's records are all looked at: fewer than a country's numbers in the index of a month."""
SPAN_MAX_MS: Final = 32 * 86_400_000
SPAN_GROWS: Final = 4

TENANT: Final = "tenant"
_ABOVE_ALL: Final = "\U0010ffff"
_ORDER: Final = "ORDER BY started_at DESC, entry_number DESC, account_id DESC"
_WORDS: Final = {"number": ("destination", "origin"), "destination": ("(groups -> 0) ->> 'destination'",)}


class CursorError(ValueError):
    """The text is not a cursor that we gave out."""


class CdrQuery(msgspec.Struct, frozen=True, kw_only=True):
    """What is looked for; what is empty is not asked. ``number`` is the caller's or the called one, ``destination`` the
    name that the rates give it; a star at the end of either means: beginning so. The use began in ``[since_ms, until_ms)``.
    ``tenant``: of accounts whose names begin so.
    """

    account_id: str = ""
    number: str = ""
    destination: str = ""
    session_id: str = ""
    service: str = ""
    since_ms: int = 0
    until_ms: int = FAR_FUTURE_MS
    tenant: str = ""


class _Statement:
    """Conditions with their arguments."""

    def __init__(self) -> None:
        self.arguments: list[Any] = []
        self.conditions: list[str] = []

    def argument(self, value: Any) -> str:
        self.arguments.append(value)
        return f"${len(self.arguments)}"

    def hidden(self, value: str) -> str:
        """An argument that the planner does not look up in its statistics: it is the answer of a query."""
        return f"(SELECT {self.argument(value)}::text)"

    def select(self, key: str, end: str) -> str:
        return f"SELECT * FROM cdr WHERE {' AND '.join([*self.conditions, key])} {end}"  # noqa: S608 - ours

    def beginning(self, word: str, text: str) -> str:
        """A condition that the index over the first letters of ``word`` answers, however the text is bound."""
        start = _start(word)
        if not _is_beginning(text):
            exact = f"{start} = {self.argument(text[:INDEXED_MAX])}"
            return exact if len(text) < INDEXED_MAX else f"{exact} AND {word} = {self.argument(text)}"
        low = text.rstrip(ANY)[:INDEXED_MAX]
        return f"{start} ~>=~ {self.argument(low)} AND {start} ~<~ {self.argument(low + _ABOVE_ALL)}"


async def search(pool: Any, query: CdrQuery, cursor: str = "", limit: int = 100) -> tuple[list[Mapping[str, Any]], str]:
    """Rows of ``cdr`` and the cursor of the next page, empty on the last. Raises CursorError, BackendUnavailable."""
    limit = min(limit, PAGE_MAX)
    if query.account_id and not query.account_id.startswith(query.tenant):
        return [], ""
    if "\x00" in f"{query.account_id}{query.number}{query.destination}{query.session_id}{query.service}":
        return [], ""  # PostgreSQL's text holds no NUL: nothing has such a name
    try:
        rows = await _found(pool, query, cursor, limit + 1)
    except FAILURES as error:
        raise unavailable(error) from error
    return rows[:limit], _cursor_of(rows[limit - 1]) if len(rows) > limit else ""


async def _found(pool: Any, query: CdrQuery, cursor: str, limit: int) -> list[Mapping[str, Any]]:
    name, word = _key_of(query)
    is_begun = name == TENANT or (name in _WORDS and _is_beginning(word))
    if is_begun and query.since_ms:
        # The first few of a month's index may all lie before: then it is read on and on. Most pages are in the first span.
        rows = await _by_spans(pool, query, cursor, limit, is_first_alone=True)
        if len(rows) >= limit:
            return rows
    text, arguments = written(query, cursor, limit)
    rows = await pool.fetch(text, *arguments)
    is_few = not is_begun or not rows or rows[0]["matches"] <= FEW
    return rows if is_few else await _by_spans(pool, query, cursor, limit)


async def _by_spans(
    pool: Any, query: CdrQuery, cursor: str, limit: int, *, is_first_alone: bool = False
) -> list[Mapping[str, Any]]:
    """From the newest on, in spans that grow: each begins at a record, so that times without any cost nothing."""
    rows: list[Mapping[str, Any]] = []
    until_ms = min(query.until_ms, _read_cursor(cursor)[0] + 1) if cursor else query.until_ms
    span_ms = SPAN_MIN_MS
    while len(rows) < limit:
        inside = " AND ".join(_within(query.since_ms, until_ms))
        newest = await pool.fetchval(f"SELECT max(started_at) FROM cdr WHERE {inside}")  # noqa: S608 - ours
        if newest is None:
            break
        since_ms = max(query.since_ms, milliseconds(newest) - span_ms)
        span = msgspec.structs.replace(query, since_ms=since_ms, until_ms=until_ms)
        text, arguments = written(span, cursor, limit - len(rows), span_ms)
        rows += await pool.fetch(text, *arguments)
        until_ms, span_ms = since_ms, min(span_ms * SPAN_GROWS, SPAN_MAX_MS)
        if is_first_alone:
            break
    return rows


def _is_beginning(text: str) -> bool:
    return text.endswith(ANY)


def _start(word: str) -> str:
    return f"left({word}, {INDEXED_MAX})"


def _key_of(query: CdrQuery) -> tuple[str, str]:
    """The field that the records are found by, and its text: what fewest have comes first. The others are looked at."""
    if query.session_id:
        return "session_id", query.session_id
    asked = {name: getattr(query, name) for name in ("number", "account_id", "destination")}
    exact = [(name, text) for name, text in asked.items() if text and (name == "account_id" or not _is_beginning(text))]
    begun = [(name, text) for name, text in asked.items() if text]
    if query.tenant:
        begun.append((TENANT, query.tenant))
    return next(iter(exact + begun), ("", ""))


def written(query: CdrQuery, cursor: str, limit: int, span_ms: int = 0) -> tuple[str, list[Any]]:
    """The statement for a page of ``limit``. A number is two questions, each by its own index, laid over each other.

    Of what begins so: the first ``FEW`` and one more as they come, and ``matches`` is how many there were; or, with
    ``span_ms``, all in a span of that length.
    """
    made = _Statement()
    name, text = _key_of(query)
    _narrow(made, query, name, cursor)
    page = f"LIMIT {int(limit)}"
    if name in _WORDS:
        parts = [_by_word(made, _WORDS[name], word, text, page, span_ms) for word in _WORDS[name]]
    elif name == "account_id":
        key = f"account_id >= {made.hidden(text)} AND account_id <= {made.hidden(text)}"
        parts = [made.select(key, f"ORDER BY account_id DESC, started_at DESC, entry_number DESC {page}")]
    elif name == TENANT:
        parts = [_of_tenant(made, text, span_ms)]
    elif name == "session_id":
        parts = [made.select(f"session_id = {made.hidden(text)}", "OFFSET 0")]
    else:
        parts = [made.select("true", f"{_ORDER} {page}")]
    laid = " UNION ALL ".join(f"({part})" for part in parts)
    return f"SELECT *, count(*) OVER () AS matches FROM ({laid}) AS found {_ORDER} {page}", made.arguments  # noqa: S608 - ours


def _of_tenant(made: _Statement, tenant: str, span_ms: int) -> str:
    """The records of the accounts whose names begin so, which lie together in the accounts' index: the first few, or a span's."""
    if span_ms:
        return made.select(_tenants(made, tenant), "OFFSET 0")
    first = made.select(
        f"account_id >= {made.hidden(tenant)}", f"ORDER BY account_id, started_at, entry_number LIMIT {FEW + 1}"
    )
    return f"SELECT * FROM ({first}) AS first WHERE account_id < {made.argument(tenant + _ABOVE_ALL)}"  # noqa: S608 - ours


def _tenants(made: _Statement, tenant: str) -> str:
    return f"account_id >= {made.argument(tenant)} AND account_id < {made.argument(tenant + _ABOVE_ALL)}"


def _by_word(made: _Statement, words: tuple[str, ...], word: str, text: str, page: str, span_ms: int) -> str:
    """The records with a word, by its index; those of the word before it are not found again."""
    start, other = _start(word), "" if word == words[0] else f" AND NOT ({made.beginning(words[0], text)})"
    if not _is_beginning(text):
        low = made.hidden(text[:INDEXED_MAX])
        whole = f" AND {word} = {made.argument(text)}" if len(text) >= INDEXED_MAX else ""
        order = f"ORDER BY {start} USING ~>~, {_ORDER.removeprefix('ORDER BY ')} {page}"
        return made.select(f"{start} ~>=~ {low} AND {start} ~<=~ {low}{whole}{other}", order)
    low = text.rstrip(ANY)[:INDEXED_MAX]
    if 0 < span_ms <= SPAN_WALKED_MS:
        return made.select(f"starts_with({word}, {made.argument(low)}){other}", "OFFSET 0")
    lowest, highest = f"{start} ~>=~ {made.hidden(low)}", f"{start} ~<~ {made.hidden(low + _ABOVE_ALL)}"
    if span_ms:
        return made.select(f"{lowest} AND {highest}{other}", "OFFSET 0")
    # From the lowest on, in the index's own order: PostgreSQL expects a third of all, and takes no other way to the first few.
    # What is another word's, too, is left out afterwards: it counts there.
    first = made.select(lowest, f"ORDER BY {start} USING ~<~, started_at LIMIT {FEW + 1}")
    return f"SELECT * FROM ({first}) AS first WHERE {highest}{other}"  # noqa: S608 - ours


def _instant(at_ms: int) -> str:
    """A time as a part of the statement: when it is planned, the months are chosen, and the others not even looked at."""
    return f"timestamptz '{moment(at_ms).isoformat()}'"


def _within(since_ms: int, until_ms: int) -> list[str]:
    """What is asked of the time, a condition at least: ``[since_ms, until_ms)``; nothing for a bound that all records keep."""
    since = [f"started_at >= {_instant(since_ms)}"] if since_ms > 0 else []
    return [*since, f"started_at < {_instant(until_ms)}"] if until_ms < FAR_FUTURE_MS else since or ["true"]


def _narrow(made: _Statement, query: CdrQuery, key: str, cursor: str) -> None:
    """All conditions but the key's."""
    conditions = made.conditions
    conditions += _within(query.since_ms, query.until_ms)
    for name in ("account_id", "session_id", "service"):
        if name != key and (value := getattr(query, name)):
            conditions.append(f"{name} = {made.argument(value)}")
    if query.tenant and key not in {TENANT, "account_id"}:
        conditions.append(_tenants(made, query.tenant))
    if query.number and key != "number":
        either = " OR ".join(f"({made.beginning(word, query.number)})" for word in _WORDS["number"])
        conditions.append(f"({either})")
    if query.destination and key != "destination":
        conditions.append(made.beginning(_WORDS["destination"][0], query.destination))
    if cursor:
        at_ms, entry, account_id = _read_cursor(cursor)
        at = _instant(at_ms)
        last = f"{at}, {made.argument(entry)}, {made.argument(account_id)}"
        conditions.append(f"(started_at, entry_number, account_id) < ({last}) AND started_at <= {at}")


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
