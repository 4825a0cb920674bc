"""Records in months of their own, found by whatever a clerk knows of a call, in a real PostgreSQL."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import asyncpg
import msgspec
import pytest

from ocs.billing.cdrs import find_cdrs
from ocs.billing.months import Kept, keep_months, parts_of
from ocs.billing.search import CdrQuery, written
from ocs.outbox.postgres import PostgresSink
from ocs.outbox.sinks import OutboxEntry
from tests.integration.test_outbox_flusher import session_entry

pytestmark = pytest.mark.integration


def at(text: str) -> int:
    """UTC, in milliseconds."""
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 1000


CALLS = (
    # account, begins, caller, called, name of the destination
    ("a", "2026-09-30T23:59:59", "3005550001", "4930111", "Germany"),
    ("a", "2026-10-01T00:00:00", "3005550001", "49170222", "Germany mobile"),
    ("b", "2026-10-15T12:00:00", "4930111", "33144", "France"),
    ("b", "2026-11-02T12:00:00", "3005550002", "4930112", "Germany"),
    ("b", "1970-01-01T00:00:01", "3005550002", "4930112", "Germany"),
)


async def write(dsn: str, calls: tuple[tuple[str, str, str, str, str], ...] = CALLS) -> None:
    """The calls as the flusher writes them, numbered in their accounts."""
    numbers: dict[str, int] = {}
    batch = []
    for place, (account, begins, caller, called, name) in enumerate(calls):
        numbers[account] = number = numbers.get(account, 0) + 1
        entry = session_entry(account, number)
        assert entry.cdr is not None
        group = msgspec.structs.replace(entry.cdr.groups[0], destination=name)
        record = msgspec.structs.replace(
            entry.cdr, started_at_ms=at(begins), origin=caller, destination=called, groups=(group,)
        )
        batch.append(OutboxEntry(0, f"1-{place}", msgspec.structs.replace(entry, cdr=record), b""))
    sink = PostgresSink(dsn)
    await sink.write(batch)
    await sink.write(batch)  # a batch whose COMMIT was not heard comes again
    await sink.close()


@pytest.fixture
async def books(billing_dsn: str) -> AsyncIterator[Any]:
    """Five calls in four months; the second connection is the flusher's."""
    await write(billing_dsn)
    connection = await asyncpg.connect(billing_dsn)
    yield connection
    await connection.close()


async def rows_of(connection: Any) -> dict[str, int]:
    """How many records each part really has; empty ones are left out."""
    found = {}
    for part in await parts_of(connection):
        if rows := await connection.fetchval(f"SELECT count(*) FROM {part.name}"):
            found[part.name] = rows
    return found


async def test_records_lie_in_the_months_of_their_beginning(books: Any) -> None:
    """Months are made with what waited for them and three ahead; a client without a clock makes none; twice is once."""
    assert await rows_of(books) == {"cdr_other": 5}, "nobody has made a month yet: no record is refused for that"
    now_ms = at("2026-11-26T10:00:00")
    kept = await keep_months(books, now_ms)
    assert kept.made == ["cdr_2026_09", "cdr_2026_10", "cdr_2026_11", "cdr_2026_12", "cdr_2027_01", "cdr_2027_02"]
    assert await rows_of(books) == {"cdr_2026_09": 1, "cdr_2026_10": 2, "cdr_2026_11": 1, "cdr_other": 1}
    assert await keep_months(books, now_ms) == Kept()


async def test_a_record_that_comes_again_is_one_record_in_its_month(books: Any, billing_dsn: str) -> None:
    """Also where it was moved meanwhile."""
    await keep_months(books, at("2026-11-26T10:00:00"))
    await write(billing_dsn)
    assert sum((await rows_of(books)).values()) == 5


async def test_old_months_are_dropped_unless_something_in_them_is_not_billed(books: Any) -> None:
    """Two whole months are kept; September goes only when the account's invoice is issued. Others are prepaid."""
    now_ms = at("2026-12-05T10:00:00")
    await books.execute(
        "INSERT INTO customer (customer_id, legal_entity, name, address, country, tax_status, tax_id, currency, language,"
        " time_zone, cycle_day, terms_days, email, since, minimum_minor) VALUES ('c', 'e', 'C', '[]', 'DE', 'standard',"
        " '', 'EUR', 'en', 'UTC', 1, 14, '', '2026-09-01', 0);"
        "INSERT INTO customer_account VALUES ('a', 'c', 0);"
        "INSERT INTO invoice (customer_id, legal_entity, kind, state, currency, minor_unit, first, after, net_minor,"
        " tax_minor, total_minor, residue, debited, taxes) VALUES ('c', 'e', 'invoice', 'draft', 'EUR', 1, '2026-09-01',"
        " '2026-10-01', 0, 0, 0, 0, 0, '[]'); INSERT INTO invoice_span SELECT 'a', 0, 1, invoice_id FROM invoice"
    )
    kept = await keep_months(books, now_ms, keep=2)
    assert (kept.dropped, kept.held) == ([], ["cdr_2026_09"]), "a draft may be discarded: its records are needed then"
    await books.execute("UPDATE invoice SET state = 'issued', number = 'R-1'")
    kept = await keep_months(books, now_ms, keep=2)
    assert (kept.dropped, kept.held) == (["cdr_2026_09"], [])
    assert await rows_of(books) == {"cdr_2026_10": 2, "cdr_2026_11": 1, "cdr_other": 1}


@pytest.mark.parametrize(
    ("query", "found"),
    [
        (CdrQuery(account_id="a"), ["a/2", "a/1"]),
        (CdrQuery(number="4930111"), ["b/1", "a/1"]),  # called in one, calling in the other
        (CdrQuery(number="4930*"), ["b/2", "b/1", "a/1", "b/3"]),
        (CdrQuery(number="4930"), []),
        (CdrQuery(number="4930*", account_id="a"), ["a/1"]),
        (CdrQuery(destination="Germany"), ["b/2", "a/1", "b/3"]),
        (CdrQuery(destination="Germany*"), ["b/2", "a/2", "a/1", "b/3"]),
        (CdrQuery(session_id="a;2"), ["a/2"]),
        (CdrQuery(since_ms=at("2026-10-01"), until_ms=at("2026-11-01")), ["b/1", "a/2"]),
        (CdrQuery(since_ms=at("2026-10-01"), number="49*"), ["b/2", "b/1", "a/2"]),
        (CdrQuery(service="sms"), []),
        (CdrQuery(number="\x00"), []),
        (CdrQuery(tenant="a"), ["a/2", "a/1"]),
        (CdrQuery(tenant="c"), []),
        (CdrQuery(tenant="b", number="4930*"), ["b/2", "b/1", "b/3"]),
        (CdrQuery(tenant="b", session_id="a;2"), []),
        (CdrQuery(tenant="b", account_id="a"), []),
        (CdrQuery(tenant="b", account_id="b", destination="France"), ["b/1"]),
    ],
)
@pytest.mark.parametrize("has_months", [False, True])
async def test_records_are_found_by_what_is_known_of_a_call(
    books: Any, query: CdrQuery, found: list[str], has_months: bool
) -> None:
    """All that is asked holds, the newest first, whether the months are made or not; page by page they are the same."""
    if has_months:
        await keep_months(books, at("2026-11-26T10:00:00"))
    page = await find_cdrs(books, query)
    assert [f"{row.account_id}/{row.entry_number}" for row in page.items] == found
    one_by_one, cursor = [], ""
    while True:
        page = await find_cdrs(books, query, cursor, 1)
        one_by_one += [f"{row.account_id}/{row.entry_number}" for row in page.items]
        if not (cursor := page.next_cursor):
            break
    assert one_by_one == found


@pytest.mark.parametrize(
    ("query", "index"),
    [
        (CdrQuery(account_id="a7"), "account_id_started_at|pkey"),  # the key begins with the account, too
        (CdrQuery(number="49307"), "left_started_at"),
        (CdrQuery(number="49307*", since_ms=at("2026-10-10")), "left_started_at"),
        (CdrQuery(destination="Germany 7"), "left_started_at"),
        (CdrQuery(session_id="s7"), "session_id"),
        (CdrQuery(since_ms=at("2026-10-10"), until_ms=at("2026-10-11")), "started_at"),
    ],
    ids=["account", "number", "prefix", "destination", "session", "time"],
)
async def test_every_search_is_answered_from_an_index(books: Any, query: CdrQuery, index: str) -> None:
    """Among many records none of the questions reads a month from end to end."""
    await keep_months(books, at("2026-11-26T10:00:00"))
    await books.execute(
        "INSERT INTO cdr (account_id, entry_number, session_id, protocol, peer, subscriber, service, origin, destination,"
        " started_at, ended_at, cost, currency, rate_version, flags, cause, groups)"
        " SELECT 'a' || n % 500, n, 's' || n, 'gy', '', '', 'voice', '4417' || n, '4930' || n,"
        " timestamptz '2026-09-01 UTC' + n * interval '6 minutes', now(), 1, 'EUR', '', 0, '',"
        " jsonb_build_array(jsonb_build_object('destination', 'Germany ' || n % 1000)) FROM generate_series(10, 20000) n"
    )
    await books.execute("ANALYZE cdr")
    text, arguments = written(query, "", 101)
    plan = "\n".join(row[0] for row in await books.fetch(f"EXPLAIN {text}", *arguments))
    assert re.search(index, plan), plan
    assert not re.search("Seq Scan on cdr_2026_(09|10|11)", plan), plan
