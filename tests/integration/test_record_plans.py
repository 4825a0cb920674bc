"""What searches read when the statistics deceive PostgreSQL: words it takes for frequent, of which three records are left."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

import asyncpg
import pytest

from ocs.billing.months import Month, make_month
from ocs.billing.search import AS_ASKED, CdrQuery, search
from tests.integration.test_record_store import at

pytestmark = pytest.mark.integration

RECORDS: Final = 200_000
READ_MAX: Final = 5_000
"""Records that one statement may look at, of 100,000: enough for 500 of each word and for a span; a walk takes them all."""
STALE_MAX: Final = 6
MAKE: Final = """
    INSERT INTO cdr (account_id, entry_number, session_id, protocol, peer, subscriber, service, origin, destination,
        started_at, ended_at, cost, currency, rate_version, flags, cause, groups)
    SELECT CASE n % 2 WHEN 0 THEN 'wholesale' ELSE 'a' || n % 500 END, n, 's' || n, 'gy', '', '', 'voice',
        CASE n % 2 WHEN 0 THEN '4466' || n ELSE '4417' || n % 5000 END,
        CASE n % 2 WHEN 0 THEN '4977' || n % 10 ELSE '33' || n % 997 || n END,
        timestamptz '2026-09-01 UTC' + n / 6 * interval '3 minutes', now(), 1, 'EUR', '', 0, '',
        jsonb_build_array(jsonb_build_object('destination', CASE n % 2 WHEN 0 THEN 'Germany' ELSE 'France ' || n % 1000 END))
    FROM generate_series(1, $1::bigint) AS n
"""
# The same questions in the plainest words: what is found must not depend on how it is asked.
PLAIN: Final = """
    SELECT account_id, entry_number FROM cdr WHERE ($1 = '' OR account_id = $1) AND ($2 = '' OR destination = $2
        OR origin = $2 OR (right($2, 1) = '*' AND (starts_with(destination, rtrim($2, '*')) OR starts_with(origin, rtrim($2, '*')))))
        AND ($3 = '' OR groups -> 0 ->> 'destination' = $3
        OR (right($3, 1) = '*' AND starts_with(groups -> 0 ->> 'destination', rtrim($3, '*')))) AND ($4 = '' OR session_id = $4)
        AND starts_with(account_id, $5)
    ORDER BY started_at DESC, entry_number DESC, account_id DESC
"""
QUESTIONS: Final = {
    "an account, thought frequent": CdrQuery(account_id="wholesale"),
    "an account": CdrQuery(account_id="a7"),
    "a number, thought frequent": CdrQuery(number="49772"),
    "a number": CdrQuery(number="44177"),
    "a prefix, thought frequent": CdrQuery(number="4977*"),
    "a caller's prefix, thought frequent": CdrQuery(number="4466*"),
    "a rare prefix": CdrQuery(number="33123456*"),
    "a prefix of one in a hundred": CdrQuery(number="3312*"),
    "a country": CdrQuery(number="33*"),
    "a destination, thought frequent": CdrQuery(destination="Germany"),
    "a destination": CdrQuery(destination="France 7"),
    "destinations, thought frequent": CdrQuery(destination="Germ*"),
    "nearly all destinations": CdrQuery(destination="France*"),
    "an account and a country": CdrQuery(account_id="a7", number="33*"),
    "an account and a name, both thought frequent": CdrQuery(account_id="wholesale", destination="Germany"),
    "a session": CdrQuery(session_id="s7"),
    "nothing but time": CdrQuery(),
    "a tenant, thought frequent": CdrQuery(tenant="wholesale"),
    "a tenant with one account": CdrQuery(tenant="a123"),
    "a tenant with eleven": CdrQuery(tenant="a7"),
    "a tenant and a country": CdrQuery(tenant="a7", number="33*"),
    "a tenant and a number": CdrQuery(tenant="a177", number="44177"),
}


class Watched:
    """A connection that counts the records which each statement looks at, found or not."""

    def __init__(self, connection: Any) -> None:
        self.connection = connection
        self.read: list[int] = []
        self.indexes: set[str] = set()

    async def fetch(self, text: str, *arguments: Any) -> list[Mapping[str, Any]]:
        plan = await self.connection.fetchval(f"EXPLAIN (ANALYZE, FORMAT JSON) {text}", *arguments)
        self.read.append(self._look(json.loads(plan)[0]["Plan"]))
        rows: list[Mapping[str, Any]] = await self.connection.fetch(text, *arguments)
        return rows

    async def fetchval(self, text: str, *arguments: Any) -> Any:
        return next(iter((await self.fetch(text, *arguments))[0].values()))

    def _look(self, node: Mapping[str, Any]) -> int:
        read = sum(self._look(child) for child in node.get("Plans", ()))
        if "Index Name" in node:
            self.indexes.add(node["Index Name"])
        if "Relation Name" not in node:
            return read
        dropped = sum(node.get(f"Rows Removed by {what}", 0) for what in ("Filter", "Index Recheck"))
        return read + int((node["Actual Rows"] + dropped) * node["Actual Loops"])


async def deceived(dsn: str) -> Any:
    """A connection to months of which the statistics say: half of all is wholesale, to 4977 in Germany, from 4466."""
    connection = await asyncpg.connect(dsn, server_settings=AS_ASKED)
    for number in (9, 10, 11, 12):
        month = Month(2026, number)
        async with connection.transaction():
            await make_month(connection, month)
        await connection.execute(f"ALTER TABLE {month.name} SET (autovacuum_enabled = off)")
    await connection.execute(MAKE, RECORDS)
    await connection.execute("ANALYZE cdr")
    await connection.execute("DELETE FROM cdr WHERE account_id = 'wholesale' AND entry_number > $1", STALE_MAX)
    await connection.execute("VACUUM cdr")
    return connection


def keys(rows: list[Mapping[str, Any]]) -> list[tuple[str, int]]:
    return [(row["account_id"], row["entry_number"]) for row in rows]


async def test_no_search_walks_the_store_whatever_the_statistics_say(billing_dsn: str) -> None:
    """Each kind finds what the plainest statement finds, page by page, from its index, and reads little of 100,000 records."""
    connection = await deceived(billing_dsn)
    walks = {}
    for name, query in QUESTIONS.items():
        watched = Watched(connection)
        words = (query.account_id, query.number, query.destination, query.session_id, query.tenant)
        expected = await connection.fetch(PLAIN, *words)
        found, cursor = await search(watched, query, limit=40)
        if cursor:
            found += (await search(watched, query, cursor, 40))[0]
        assert keys(found) == keys(expected[:80]), name
        if max(watched.read) > READ_MAX:
            walks[name] = (watched.read, watched.indexes)
    await connection.close()
    assert not walks


async def test_a_beginning_with_many_records_is_paged_to_its_end(billing_dsn: str) -> None:
    """A thousand records, from a time long after the others to one long before: none is missed between the spans."""
    connection = await deceived(billing_dsn)
    await connection.execute("UPDATE cdr SET started_at = '2026-12-31T23:59:59Z' WHERE entry_number = 12301")
    await connection.execute("UPDATE cdr SET started_at = '1970-01-01T00:00:01Z' WHERE entry_number = 12303")
    query = CdrQuery(number="3312*", until_ms=at("2027-01-01"))
    expected = await connection.fetch(PLAIN, "", "3312*", "", "", "")
    assert len(expected) > 1000
    found, cursor = await search(connection, query)
    while cursor:
        rows, cursor = await search(connection, query, cursor)
        found += rows
    await connection.close()
    assert keys(found) == keys(expected)
