"""The audit of a running system: every account of the store against the journal, the outbox and the open sessions.

Nothing is locked. For one partition at a time: the accounts' versions, the open sessions, the outbox, the journal,
and the accounts again. An account whose version moved in between was read in motion: it is looked at again, a bounded
number of times, and at last on its own (``ocs.snapshot``). All that belongs to an account changes together with its
version, so an account that stood still was read consistently. What the flusher moves meanwhile from the outbox to the journal is seen in at least one
of them (the outbox is read first) and counted once.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, Final, TypeVar

import asyncpg
import msgspec
from redis.exceptions import RedisError

from balance.account import Account
from balance.store import BackendUnavailable
from balance.valkey import keys
from balance.valkey.codec import decode_account
from ocs.audit import Held, audit_totals
from ocs.billing.failures import FAILURES, unavailable
from ocs.billing.invoices.checks import check_invoices
from ocs.billing.totals import JournalTotals, journal_accounts, journal_totals
from ocs.charging.cdr import JournalEntry, decode_entry
from ocs.charging.session import CreditSession, decode_session
from ocs.outbox.reader import connect, dead_key
from ocs.snapshot import snapshot

T = TypeVar("T")

BATCH: Final = 1000
PASSES: Final = 4
SNAPSHOTS_MAX: Final = 1000
"""How many accounts that never stand still are read one by one, each with the whole index of its partition."""

FINDINGS_MAX: Final = 1000
"""How many accounts a report names; beyond that it counts."""

CONNECT_S_MAX: Final = 5

Progress = Callable[[int, int], None]
"""Called with how many accounts are settled, and how many there are."""


class Finding(msgspec.Struct, frozen=True):
    name: str
    differences: tuple[str, ...]


class AuditReport(msgspec.Struct):
    """``in_motion`` names accounts that changed in every pass: neither right nor wrong. ``buried``: see the outbox.
    ``documents`` are invoices and credit notes.
    """

    accounts: int = 0
    differing: int = 0
    findings: list[Finding] = msgspec.field(default_factory=list)
    in_motion: list[str] = msgspec.field(default_factory=list)
    open_sessions: int = 0
    waiting_entries: int = 0
    buried: int = 0
    documents: int = 0
    passes: int = 0

    @property
    def is_clean(self) -> bool:
        return not self.differing

    def add(self, name: str, differences: Sequence[str]) -> None:
        """Note what is wrong with an account (or with something that belongs to none)."""
        if differences:
            self.differing += 1
            if len(self.findings) < FINDINGS_MAX:
                self.findings.append(Finding(name, tuple(differences)))


async def audit(
    valkey_url: str,
    postgres_dsn: str,
    account_id: str = "",
    progress: Progress = lambda _done, _total: None,
    passes: int = PASSES,
) -> AuditReport:
    """Audit all accounts, or one. Raises BackendUnavailable when a server is out of reach."""
    connection = await _connect_postgres(postgres_dsn)
    client: Any = connect(valkey_url)
    try:
        partitions = int(await client.get(keys.PARTITIONS_KEY) or 0)
        report = await _Audit(client, connection, partitions, progress, passes).run(account_id)
        if not account_id:
            await _add_invoices(report, connection)
    except (RedisError, OSError) as error:
        raise BackendUnavailable(f"Valkey: {error or type(error).__name__}") from error
    finally:
        await client.aclose()
        with contextlib.suppress(*FAILURES):
            await connection.close()
    return report


async def _add_invoices(report: AuditReport, connection: Any) -> None:
    """What invoices and payments say, against each other and the journal."""
    report.documents, faults = await check_invoices(connection)
    for fault in faults:
        report.add(fault.name, (fault.what,))


async def _connect_postgres(dsn: str) -> Any:
    try:
        return await asyncpg.connect(dsn, timeout=CONNECT_S_MAX)
    except (*FAILURES, ValueError) as error:
        raise unavailable(error) from error


class _Waiting(msgspec.Struct):
    """An account's entries that are still in the outbox, by number."""

    changes: dict[int, JournalEntry] = msgspec.field(default_factory=dict)


class _Audit:
    def __init__(self, client: Any, connection: Any, partitions: int, progress: Progress, passes: int) -> None:
        self._client = client
        self._connection = connection
        self._partitions = partitions
        self._progress = progress
        self._passes = passes
        self._total = 0
        self._settled = 0
        self._report = AuditReport()
        self._named: set[str] = set()
        self._snapshots = 0

    async def run(self, account_id: str) -> AuditReport:
        accounts = self._by_partition([account_id]) if account_id else await self._all_accounts()
        self._total = sum(map(len, accounts))
        self._progress(0, self._total)
        is_whole = not account_id
        while any(accounts) and self._report.passes < self._passes:
            if self._report.passes:
                await asyncio.sleep(0.05 * self._report.passes)
            self._report.passes += 1
            for partition, ids in enumerate(accounts):
                accounts[partition] = await self._partition(partition, ids, is_whole) if ids or is_whole else []
            is_whole = False
        for partition, ids in enumerate(accounts):
            for name in ids:
                await self._busy(partition, name)
        if not account_id:
            await self._unknown_to_the_store()
        self._report.accounts = self._total
        return self._report

    def _by_partition(self, account_ids: Iterable[str]) -> list[list[str]]:
        accounts: list[list[str]] = [[] for _ in range(self._partitions)]
        for account_id in account_ids:
            if self._partitions:
                accounts[keys.partition_of(account_id, self._partitions)].append(account_id)
        return accounts

    async def _all_accounts(self) -> list[list[str]]:
        """One walk over all keys; a name may come twice while the table grows."""
        names: list[set[str]] = [set() for _ in range(self._partitions)]
        async for key in self._client.scan_iter(match="{p*}a:*", count=5000):
            tag, _, name = key.decode().partition("}a:")
            names[int(tag[2:])].add(name)
        return [list(part) for part in names]

    async def _partition(self, partition: int, ids: list[str], is_whole: bool) -> list[str]:
        """Audit these accounts; those that were in motion are returned."""
        before = await self._versions(partition, ids)
        wanted = None if is_whole else frozenset(ids)
        held = await self._held(partition, wanted)
        waiting = await self._waiting(partition, wanted)
        if is_whole:
            self._report.open_sessions += sum(sums.session_count for sums in held.values())
            self._report.waiting_entries += sum(len(entries.changes) for entries in waiting.values())
            self._report.buried += await self._client.xlen(dead_key(partition))
            await self._without_account(partition, {*held, *waiting} - set(ids))
        in_motion: list[str] = []
        for batch in _batches(ids):
            known = [(name, number) for name in batch if name in waiting for number in waiting[name].changes]
            totals = await journal_totals(self._connection, batch, known)
            for name, value in zip(batch, await self._values(partition, batch), strict=True):
                if (value or b"")[:8] != before[name]:
                    in_motion.append(name)
                    continue
                total = _with_waiting(totals.get(name), waiting.get(name))
                self._settle(name, value, total, held.get(name))
            self._progress(self._settled, self._total)
        return in_motion

    async def _busy(self, partition: int, name: str) -> None:
        """An account that moved in every pass: judge one instant of it, with the entries up to that instant."""
        self._snapshots += 1
        taken = await snapshot(self._client, partition, name) if self._snapshots <= SNAPSHOTS_MAX else None
        number_max = _entry_number(taken.value) if taken and taken.value else None
        if taken is None or number_max is None:
            self._report.in_motion.append(name)
            return
        waiting = (await self._waiting(partition, {name})).get(name) or _Waiting()
        waiting.changes = {number: entry for number, entry in waiting.changes.items() if number <= number_max}
        known = [(name, number) for number in waiting.changes]
        totals = await journal_totals(self._connection, [name], known, number_max)
        self._settle(name, taken.value, _with_waiting(totals.get(name), waiting), taken.held)
        self._progress(self._settled, self._total)

    def _settle(self, name: str, value: bytes | None, total: JournalTotals, held: Held | None) -> None:
        self._settled += 1
        if value is None:
            self._report.add(name, ["there is no such account in the store"])
            return
        try:
            account = decode_account(value)
        except (msgspec.MsgspecError, AssertionError) as error:
            self._report.add(name, [f"the account cannot be read: {error}"])
            return
        self._report.add(name, _compare(account, name, total, held or Held()))

    def _unreadable(self, name: str, error: msgspec.MsgspecError) -> None:
        if name not in self._named:
            self._named.add(name)
            self._report.add(name, [f"the session cannot be read: {error}"])

    async def _versions(self, partition: int, ids: list[str]) -> dict[str, bytes]:
        versions: dict[str, bytes] = {}
        for batch in _batches(ids):
            values = await self._values(partition, batch)
            versions |= {name: (value or b"")[:8] for name, value in zip(batch, values, strict=True)}
        return versions

    async def _values(self, partition: int, ids: Sequence[str]) -> list[bytes | None]:
        values: list[bytes | None] = await self._client.mget([keys.account_key(partition, name) for name in ids])
        return values

    async def _held(self, partition: int, wanted: Collection[str] | None) -> dict[str, Held]:
        """The open sessions, found by the supervision index: every open session has a deadline."""
        held: dict[str, Held] = {}
        cursor = 0
        seen: set[bytes] = set()
        while True:
            cursor, members = await self._client.zscan(keys.deadlines_key(partition), cursor, count=BATCH)
            fresh = [member for member in dict(members) if member not in seen]
            seen.update(fresh)
            for session in await self._sessions(partition, fresh) if fresh else []:
                if wanted is None or session.account_id in wanted:
                    held.setdefault(session.account_id, Held()).add(session)
            if not cursor:
                return held

    async def _sessions(self, partition: int, members: list[bytes]) -> list[CreditSession]:
        names = [keys.session_key(partition, member.decode()) for member in members]
        sessions: list[CreditSession] = []
        for name, value in zip(names, await self._client.mget(names), strict=True):
            try:
                record = decode_session(value) if value is not None else None
            except msgspec.MsgspecError as error:
                self._unreadable(name, error)
                continue
            if isinstance(record, CreditSession):
                sessions.append(record)
        return sessions

    async def _waiting(self, partition: int, wanted: Collection[str] | None) -> dict[str, _Waiting]:
        waiting: dict[str, _Waiting] = {}
        start = "-"
        while True:
            page = await self._client.xrange(keys.outbox_key(partition), min=start, count=BATCH)
            for _, fields in page:
                entry = _entry(fields.get(keys.OUTBOX_FIELD, b""))
                if entry is not None and (wanted is None or entry.account_id in wanted):
                    waiting.setdefault(entry.account_id, _Waiting()).changes[entry.entry_number] = entry
            if len(page) < BATCH:
                return waiting
            start = f"({page[-1][0].decode()}"

    async def _without_account(self, partition: int, names: set[str]) -> None:
        """Sessions or entries of accounts that the walk did not meet: new ones, or ones that were lost."""
        for batch in _batches(sorted(names)):
            for name, value in zip(batch, await self._values(partition, batch), strict=True):
                if value is None:
                    self._named.add(name)
                    self._report.add(name, ["it has open sessions or entries, and there is no such account"])

    async def _unknown_to_the_store(self) -> None:
        """Accounts that the journal knows have to be in the store: accounts are closed, never removed."""
        async for page in journal_accounts(self._connection):
            for partition, names in enumerate(self._by_partition(page)):
                account_keys = [keys.account_key(partition, name) for name in names]
                if not names or await self._client.exists(*account_keys) == len(names):
                    continue
                for name, value in zip(names, await self._values(partition, names), strict=True):
                    if value is None and name not in self._named:
                        self._report.add(name, ["the journal has entries of it, and there is no such account"])


def _entry_number(value: bytes) -> int | None:
    try:
        return decode_account(value).entry_number
    except (msgspec.MsgspecError, AssertionError):
        return None


def _compare(account: Account, name: str, total: JournalTotals, held: Held) -> list[str]:
    if account.account_id != name:
        return [f"the account under this name says that it is {account.account_id}"]
    return audit_totals(account, total.sums, total.entry_count, total.entry_max, held)


def _with_waiting(total: JournalTotals | None, waiting: _Waiting | None) -> JournalTotals:
    total = total or JournalTotals()
    for number, entry in waiting.changes.items() if waiting else ():
        total.entry_count += 1
        total.entry_max = max(total.entry_max, number)
        for change in (*entry.changes, *entry.units):
            total.add(change.bucket_id, change.amount)
    return total


def _entry(raw: bytes) -> JournalEntry | None:
    """None for what the flusher will bury: it counts nowhere, and the account shows the gap."""
    try:
        return decode_entry(raw)
    except msgspec.MsgspecError:
        return None


def _batches(items: Iterable[T]) -> Iterator[list[T]]:
    iterator = iter(items)
    while batch := list(islice(iterator, BATCH)):
        yield batch
