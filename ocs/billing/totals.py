"""What the audit asks the journal: sums per account and bucket, computed by PostgreSQL, accounts by the page."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Any, Final

import msgspec

from balance.money import Amount
from ocs.billing.failures import FAILURES, unavailable

ACCOUNTS_PAGE: Final = 5000
ENTRY_MAX: Final = 2**63 - 1

# An entry without changes (an account that was opened) has no bucket, and counts. An entry with several is counted
# at its first. $2 and $3 name entries that are known already from the outbox: a flush in between counts them once.
TOTALS: Final = """
    SELECT account_id, bucket_id, sum(change) AS amount,
           count(*) FILTER (WHERE coalesce(place, 1) = 1) AS entries, max(entry_number) AS highest
    FROM journal
    LEFT JOIN LATERAL unnest(bucket_ids || unit_ids, bucket_amounts || unit_amounts)
        WITH ORDINALITY AS c(bucket_id, change, place) ON true
    WHERE account_id = ANY($1::text[]) AND entry_number <= $4
      AND NOT EXISTS (
          SELECT FROM unnest($2::text[], $3::bigint[]) AS known(account, number)
          WHERE known.account = account_id AND known.number = entry_number)
    GROUP BY account_id, bucket_id
"""
ACCOUNTS: Final = """
    SELECT account_id FROM journal WHERE account_id > $1 GROUP BY account_id ORDER BY account_id LIMIT $2
"""


class JournalTotals(msgspec.Struct):
    """All entries of one account: the sum per bucket, how many there are and the highest number."""

    sums: dict[int, Amount] = msgspec.field(default_factory=dict)
    entry_count: int = 0
    entry_max: int = 0

    def add(self, bucket_id: int, amount: Amount) -> None:
        self.sums[bucket_id] = self.sums.get(bucket_id, 0) + amount


async def journal_totals(
    connection: Any, account_ids: Sequence[str], known: Iterable[tuple[str, int]] = (), number_max: int = ENTRY_MAX
) -> dict[str, JournalTotals]:
    """The totals of these accounts without the entries in ``known``; accounts without entries are left out."""
    known = list(known)
    known_ids, known_numbers = [account_id for account_id, _ in known], [number for _, number in known]
    rows = await _fetch(connection, TOTALS, account_ids, known_ids, known_numbers, number_max)
    totals: dict[str, JournalTotals] = {}
    for account_id, bucket_id, amount, entries, highest in rows:
        total = totals.setdefault(account_id, JournalTotals())
        if bucket_id is not None:
            total.add(bucket_id, int(amount))
        total.entry_count += entries
        total.entry_max = max(total.entry_max, highest)
    return totals


async def journal_accounts(connection: Any) -> AsyncIterator[list[str]]:
    """Every account that has an entry, in pages."""
    last = ""
    while True:
        page = [row[0] for row in await _fetch(connection, ACCOUNTS, last, ACCOUNTS_PAGE)]
        if not page:
            return
        yield page
        last = page[-1]


async def _fetch(connection: Any, statement: str, *arguments: Any) -> list[Any]:
    try:
        rows: list[Any] = await connection.fetch(statement, *arguments)
    except FAILURES as error:
        raise unavailable(error) from error
    return rows
