"""The audit on real servers: a right store is clean, every kind of damage is found, traffic does not disturb it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest
from msgspec import structs

from balance.account import Account, AccountState, Bucket, Hold
from balance.store import BackendUnavailable, Posting, PostingResult, PostingStatus, SessionWrite
from balance.valkey import keys
from balance.valkey.codec import encode_account
from balance.valkey.store import ValkeyStore, open_store
from ocs.auditor import AuditReport, audit
from ocs.charging.cdr import JournalEntry, encode_entry
from ocs.charging.request import GroupKey
from ocs.charging.session import CreditSession, GroupState, Seen, SessionKind, encode_session
from ocs.outbox.flusher import Flusher
from ocs.outbox.postgres import PostgresSink
from ocs.outbox.reader import OutboxReader, connect
from ocs.rating.price import Price, Tariff
from ocs.rating.units import UnitKind
from tests.integration.test_outbox_flusher import close

pytestmark = pytest.mark.integration

PARTITIONS = 4
NOW_MS = 1_800_000_000_000
TARIFF = Tariff(Price(UnitKind.SECONDS, 0, 1, 1, 1, 1, 1), "p", "t", "d", "49", "f:1", "v")


def session_of(account_id: str, key: str, reserved: int, debited: int) -> CreditSession:
    """An open session that holds and has used some money of the main bucket."""
    group = GroupState(GroupKey(1), TARIFF, debits=(Hold(0, debited),), reservation=(Hold(0, reserved),))
    return CreditSession(
        account_id, key, SessionKind.CALL, "", "", "voice", "", "49", 1, 1, NOW_MS, NOW_MS, "EUR", Seen(), (group,)
    )


class World:
    """A store that keeps the rule by construction: every change is one posting with its entry or its session."""

    def __init__(self, valkey_url: str, dsn: str, store: ValkeyStore, sql: asyncpg.Connection) -> None:
        self.valkey_url = valkey_url
        self.dsn = dsn
        self.store = store
        self.sql: Any = sql
        self.accounts: dict[str, Account] = {}
        self.sessions: dict[str, CreditSession] = {}
        reader = OutboxReader(connect(valkey_url), "billing", "one")
        self.flusher = Flusher(reader, PostgresSink(dsn), batch_max=50, idle_s=0.001)

    async def post(
        self, account: Account, session: SessionWrite | None = None, entry: JournalEntry | None = None
    ) -> None:
        done: asyncio.Future[PostingResult] = asyncio.get_running_loop().create_future()
        before = self.accounts.get(account.account_id)
        version = before.version if before else 0
        account = structs.replace(account, version=version + 1)
        sessions = [session] if session else []
        entries = [encode_entry(entry)] if entry else []
        self.store.post(Posting(account, version, sessions, entries), done.set_result)
        assert (await done).status is PostingStatus.APPLIED
        self.accounts[account.account_id] = account

    async def top_up(self, name: str, amount: int) -> None:
        bucket = Bucket(0, 0)
        account = self.accounts.get(name) or Account(name, 0, "EUR", "p", AccountState.ACTIVE, 0, 0, 0, (bucket,))
        number = account.entry_number + 1
        bucket = account.buckets[0]
        bucket = structs.replace(bucket, balance=bucket.balance + amount)
        entry = JournalEntry(name, number, NOW_MS, "top_up", "EUR", (Hold(0, amount),))
        await self.post(structs.replace(account, entry_number=number, buckets=(bucket,)), entry=entry)

    async def use(self, name: str, key: str, reserved: int, debited: int) -> None:
        """Open the session, or report ``debited`` in all and reserve anew."""
        account, before = self.accounts[name], self.sessions.get(key)
        bucket = account.buckets[0]
        held, paid = (before.reservation[0].amount, before.debits[0].amount) if before else (0, 0)
        bucket = structs.replace(
            bucket, balance=bucket.balance - (debited - paid), reserved=bucket.reserved - held + reserved
        )
        session = session_of(name, key, reserved, debited)
        write = SessionWrite(key, encode_session(session), deadline_ms=NOW_MS)
        await self.post(structs.replace(account, buckets=(bucket,)), write)
        self.sessions[key] = session

    async def hang_up(self, name: str, key: str) -> None:
        account, session = self.accounts[name], self.sessions.pop(key)
        bucket = account.buckets[0]
        bucket = structs.replace(bucket, reserved=bucket.reserved - session.reservation[0].amount)
        number = account.entry_number + 1
        changes = tuple(Hold(hold.bucket_id, -hold.amount) for hold in session.debits)
        entry = JournalEntry(name, number, NOW_MS, "session", "EUR", changes)
        account = structs.replace(account, entry_number=number, buckets=(bucket,))
        await self.post(account, SessionWrite(key, None, deadline_ms=0), entry)

    async def audit(self, account_id: str = "") -> AuditReport:
        return await audit(self.valkey_url, self.dsn, account_id)

    async def damage(self, account: Account) -> None:
        """A hand in the store: the account changes, and nothing tells why."""
        key = keys.account_key(keys.partition_of(account.account_id, PARTITIONS), account.account_id)
        await self.store.client.set(key, encode_account(account))


@pytest.fixture
async def world(valkey_url: str, billing_dsn: str) -> AsyncIterator[World]:
    """Thirty accounts with money, some with entries in the books, some in the outbox, some with open sessions."""
    store = await open_store(valkey_url, PARTITIONS)
    sql = await asyncpg.connect(billing_dsn)
    world = World(valkey_url, billing_dsn, store, sql)
    for number in range(30):
        await world.top_up(f"a{number}", 1000 + number)
    for number in range(10):
        await world.use(f"a{number}", f"gy:open{number}", 50, 0)
        await world.use(f"a{number}", f"gy:open{number}", 60, 40)
        await world.use(f"a{number}", f"gy:closed{number}", 60, 40)
        await world.hang_up(f"a{number}", f"gy:closed{number}")
    await world.flusher.flush_all()
    for number in range(5, 20):
        await world.top_up(f"a{number}", 7)
    yield world
    await close(world.flusher)
    await store.close()
    await sql.close()


async def test_a_right_store_is_clean(world: World) -> None:
    """Open sessions, entries on their way and settled ones add up, for all and for one (statements 1, 2)."""
    report = await world.audit()
    assert report.findings == []
    assert report.is_clean
    assert (report.accounts, report.open_sessions, report.waiting_entries, report.in_motion) == (30, 10, 15, [])
    assert (await world.audit("a7")).is_clean


async def test_one_minor_unit_too_many_is_found(world: World) -> None:
    """The difference is named with its account, and with its amount."""
    account = world.accounts["a3"]
    bucket = structs.replace(account.buckets[0], balance=account.buckets[0].balance + 1)
    await world.damage(structs.replace(account, buckets=(bucket,)))
    report = await world.audit()
    assert [finding.name for finding in report.findings] == ["a3"]
    assert "+1" in report.findings[0].differences[0]
    assert not (await world.audit("a3")).is_clean
    assert (await world.audit("a4")).is_clean


async def test_a_lost_session_is_found(world: World) -> None:
    """What it held and had used is missing now."""
    partition = keys.partition_of("a3", PARTITIONS)
    await world.store.client.delete(keys.session_key(partition, "gy:open3"))
    report = await world.audit()
    assert [finding.name for finding in report.findings] == ["a3"]
    assert len(report.findings[0].differences) == 2


async def test_a_lost_or_doubled_entry_is_found(world: World) -> None:
    """A hole in the numbers, also at the end, and one number too many."""
    await world.sql.execute("DELETE FROM journal WHERE account_id = 'a1' AND entry_number = 1")
    await world.sql.execute("DELETE FROM journal WHERE account_id = 'a2' AND entry_number = 2")
    await world.sql.execute("UPDATE journal SET entry_number = 9 WHERE account_id = 'a3' AND entry_number = 2")
    assert {finding.name for finding in (await world.audit()).findings} == {"a1", "a2", "a3"}


async def test_a_lost_account_is_found(world: World) -> None:
    """By its session, by its entries on their way, or by the journal alone: each account is reported once."""
    for name in ("a3", "a15", "a25"):
        await world.store.client.delete(keys.account_key(keys.partition_of(name, PARTITIONS), name))
    report = await world.audit()
    assert sorted(finding.name for finding in report.findings) == ["a15", "a25", "a3"]
    assert not (await world.audit("a25")).is_clean
    assert not (await world.audit("nobody")).is_clean


async def test_what_cannot_be_read_is_reported(world: World) -> None:
    """An account or a session of garbage is a finding, not a crash."""
    partition = keys.partition_of("a20", PARTITIONS)
    await world.store.client.set(keys.account_key(partition, "a20"), b"garbage!garbage")
    partition = keys.partition_of("a0", PARTITIONS)
    await world.store.client.set(keys.session_key(partition, "gy:open0"), b"garbage")
    names = {finding.name for finding in (await world.audit()).findings}
    assert names == {"a20", "a0", keys.session_key(partition, "gy:open0")}


async def test_servers_out_of_reach_are_unavailable(world: World) -> None:
    """Neither a missing Valkey nor a missing PostgreSQL looks like a difference."""
    with pytest.raises(BackendUnavailable, match="Valkey"):
        await audit("redis://127.0.0.1:1", world.dsn)
    with pytest.raises(BackendUnavailable, match="PostgreSQL"):
        await audit(world.valkey_url, "postgresql://nobody@127.0.0.1:1/none")


async def make_traffic(world: World, accounts: int, is_over: asyncio.Event, pause_s: float) -> None:
    """Calls come, go on and end, top-ups arrive: one posting after the other."""
    chance = random.Random(7)
    number = 0
    while not is_over.is_set():
        number += 1
        name = f"a{chance.randrange(accounts)}"
        key = f"gy:busy;{name};{chance.randrange(20)}"
        session = world.sessions.get(key)
        if chance.random() < 0.2:
            await world.top_up(name, 5)
        elif session is None or chance.random() < 0.5:
            debited = session.debits[0].amount if session else 0
            await world.use(name, key, chance.randrange(1, 9), debited + chance.randrange(5))
        else:
            await world.hang_up(name, key)
        if pause_s and not number % 20:
            await asyncio.sleep(pause_s)


@pytest.mark.parametrize(("accounts", "pause_s"), [(10, 0.005), (1, 0.0)], ids=["many accounts", "one hot account"])
async def test_traffic_never_makes_a_difference(world: World, accounts: int, pause_s: float) -> None:
    """While calls come and go and the flusher runs, no audit finds anything, and every account is judged."""
    is_over = asyncio.Event()
    flushing = asyncio.create_task(world.flusher.run())
    running = asyncio.create_task(make_traffic(world, accounts, is_over, pause_s))
    for _ in range(8):
        report = await world.audit()
        assert report.findings == []
        assert report.in_motion == []
    is_over.set()
    await running
    world.flusher.stop()
    await flushing
    report = await world.audit()
    assert (report.findings, report.in_motion, report.passes) == ([], [], 1)


async def test_a_fault_of_a_hot_account_is_found_while_it_moves(world: World) -> None:
    """The account that never stands still is the one with the most money: it is not let off."""
    await world.sql.execute("DELETE FROM journal WHERE account_id = 'a0' AND entry_number = 1")
    is_over = asyncio.Event()
    running = asyncio.create_task(make_traffic(world, 1, is_over, 0))
    report = await world.audit()
    is_over.set()
    await running
    assert [finding.name for finding in report.findings] == ["a0"]
