"""The history of the API's unit tests: records and entries in memory."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeVar

from ocs.billing.balances import Invoiced
from ocs.billing.cdrs import CdrRow, JournalRow, Page
from ocs.billing.search import FAR_FUTURE_MS, CdrQuery, CursorError

Row = TypeVar("Row", CdrRow, JournalRow)


@dataclass
class MemoryHistory:
    """Pages by entry number; remembers what it was asked."""

    cdrs: list[CdrRow] = field(default_factory=list)
    journal: list[JournalRow] = field(default_factory=list)
    asked: list[tuple[int, int]] = field(default_factory=list)
    queries: list[CdrQuery] = field(default_factory=list)

    ids: list[str] = field(default_factory=list)
    opened_ms: dict[str, int] = field(default_factory=dict)

    async def find_cdrs(self, query: CdrQuery, cursor: str, limit: int) -> Page[CdrRow]:
        self.asked.append((query.since_ms, query.until_ms))
        self.queries.append(query)
        own = [row for row in self.cdrs if row.account_id.startswith(query.tenant)]
        return _page([row for row in own if query.account_id in {"", row.account_id}], cursor, limit)

    async def list_journal(
        self,
        account_id: str,
        cursor: str,
        limit: int,
        *,
        kind: str = "",
        reference: str = "",
        since_ms: int = 0,
        until_ms: int = FAR_FUTURE_MS,
    ) -> Page[JournalRow]:
        found = [
            row
            for row in self.journal
            if row.account_id == account_id
            and kind in {"", row.kind}
            and reference in {"", row.reference}
            and since_ms <= row.at_ms < until_ms
        ]
        return _page(found, cursor, limit)

    async def account_ids(
        self, after: str, limit: int, *, tenant: str = "", since_ms: int = 0, until_ms: int = FAR_FUTURE_MS
    ) -> list[str]:
        opened = {each: self.opened_ms.get(each, 0) for each in sorted(self.ids)}
        own = [each for each, at_ms in opened.items() if each.startswith(tenant) and since_ms <= at_ms < until_ms]
        return [each for each in own if each > after][:limit]

    async def find_cdr(self, account_id: str, entry_number: int) -> tuple[CdrRow, JournalRow] | None:
        keys = (account_id, entry_number)
        cdrs = [row for row in self.cdrs if (row.account_id, row.entry_number) == keys]
        entries = [row for row in self.journal if (row.account_id, row.entry_number) == keys]
        return (cdrs[0], entries[0]) if cdrs and entries else None

    async def find_entry(self, account_id: str, entry_number: int) -> JournalRow | None:
        keys = (account_id, entry_number)
        return next((row for row in self.journal if (row.account_id, row.entry_number) == keys), None)

    async def invoiced(self, account_id: str) -> Invoiced | None:
        return Invoiced(15 * 10**9, 5 * 10**9) if account_id == "alice" else None

    async def find_reference(self, account_id: str, reference: str) -> JournalRow | None:
        keys = (account_id, reference)
        return next((row for row in self.journal if (row.account_id, row.reference) == keys), None)


def _page(rows: list[Row], cursor: str, limit: int) -> Page[Row]:
    if cursor and not cursor.isdigit():
        raise CursorError("not one of ours")
    found = sorted(
        (row for row in rows if not cursor or row.entry_number < int(cursor)), key=lambda row: -row.entry_number
    )
    return Page(tuple(found[:limit]), str(found[limit - 1].entry_number) if len(found) > limit else "")
