"""The memory store judges the Valkey store: the same calls, the same outcomes, the same state afterwards."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from msgspec import structs

from balance.account import MAIN_BUCKET, Account, AccountState, Bucket
from balance.memory import MemoryStore
from balance.store import Mark, Posting, PostingResult, SessionWrite, Snapshot, Store, Subscriber
from balance.valkey.keys import partition_of
from balance.valkey.store import ValkeyStore, open_store

ACCOUNTS = ["A", "B", "C"]
SESSIONS = ["gy:1", "gy:2", "ra:x*[1]"]
SHARED = "gy:shared"
PARTITIONS = 4


class Change(NamedTuple):
    """One posting to be: to which account, how far from its version, and what it writes; ``below``: of accounts below it."""

    account_id: str
    drift: int
    balance: int
    writes: list[SessionWrite]
    entries: list[bytes]
    below: list[str]


WRITES = st.builds(
    SessionWrite,
    st.sampled_from([*SESSIONS, SHARED]),
    st.one_of(st.none(), st.binary(min_size=1, max_size=20)),
    st.sampled_from([0, 0, 3_600_000]),
    st.sampled_from([-1, -1, 0, 1000, 2000]),
    st.booleans(),
)
CHANGES = st.builds(
    Change,
    st.sampled_from(ACCOUNTS),
    st.sampled_from([0, 0, 0, 1, -1]),
    st.integers(-(2**62), 2**62),
    st.lists(WRITES, max_size=3, unique_by=lambda write: write.key),
    st.lists(st.binary(min_size=1, max_size=30), max_size=2),
    st.lists(st.sampled_from(["x", "y~z"]), max_size=2, unique=True),
)


def _account(account_id: str, version: int, balance: int) -> Account:
    return Account(account_id, version, "EUR", "p", AccountState.ACTIVE, 0, 0, version, (Bucket(MAIN_BUCKET, balance),))


async def _post(store: Store, posting: Posting) -> PostingResult:
    future: asyncio.Future[PostingResult] = asyncio.get_running_loop().create_future()
    store.post(posting, future.set_result)
    return await future


async def _load(store: Store, account_id: str, keys: list[str]) -> Snapshot:
    future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    store.load(account_id, keys, future.set_result, [f"{account_id}~x", f"{account_id}~y~z"])
    snapshot = await future
    assert isinstance(snapshot, Snapshot)
    return snapshot


class StoreMachine(RuleBasedStateMachine):
    """Random postings, right and wrong ones, on both stores."""

    url = ""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.memory = MemoryStore(lambda: 0)
        self.valkey: ValkeyStore = self.run(self._open())

    async def _open(self) -> ValkeyStore:
        store = await open_store(self.url, PARTITIONS)
        await store.client.flushall()
        await store.client.set("ocs:partitions", PARTITIONS)
        return store

    def run(self, task: Coroutine[Any, Any, Any]) -> Any:
        return self.loop.run_until_complete(task)

    @rule(changes=st.lists(CHANGES, min_size=1, max_size=6))
    def post(self, changes: list[Change]) -> None:
        """All of them leave in one turn, in one call per partition; the outcome is as one after the other."""
        postings = [self._posting(change) for change in changes]
        one = [self.run(_post(self.memory, posting)) for posting in postings]
        two = self.run(self._post_together(postings))
        assert one == two

    def _posting(self, change: Change) -> Posting:
        account_id = change.account_id
        there = self.memory.accounts.get(account_id)
        expected = max(0, (there.version if there else 0) + change.drift)
        # A session lives in its account's partition, where another account may claim the same name (A and C do here).
        partition = partition_of(account_id, PARTITIONS)
        writes = [
            structs.replace(write, key=f"{write.key}/{partition if write.key == SHARED else account_id}")
            for write in change.writes
        ]
        others = [_account(f"{account_id}~{name}", expected + 1, -change.balance) for name in change.below]
        writes = [structs.replace(write, owner=others[0].account_id) for write in writes] if others else writes
        return Posting(_account(account_id, expected + 1, change.balance), expected, writes, change.entries, others)

    async def _post_together(self, postings: list[Posting]) -> list[PostingResult]:
        return list(await asyncio.gather(*[_post(self.valkey, posting) for posting in postings]))

    @rule(account_id=st.sampled_from(ACCOUNTS), keys=st.lists(st.sampled_from(SESSIONS), unique=True))
    def load(self, account_id: str, keys: list[str]) -> None:
        named = [f"{key}/{account_id}" for key in keys]
        assert self.run(_load(self.memory, account_id, named)) == self.run(_load(self.valkey, account_id, named))

    @rule(
        subscriber_id=st.sampled_from(["s1", "s2"]),
        identities=st.lists(st.sampled_from(["e164:1", "e164:2", "sip:a"]), unique=True),
        key=st.sampled_from(["", "", "k"]),
        account_id=st.sampled_from(["", "A", "B"]),
        after=st.sampled_from(["", "s1"]),
    )
    def put_subscriber(self, subscriber_id: str, identities: list[str], key: str, account_id: str, after: str) -> None:
        subscriber = Subscriber(subscriber_id, account_id or "A", tuple(identities))
        directories = (self.memory.directory, self.valkey.directory)
        wanted = subscriber if identities else None
        mark = Mark(subscriber_id, key, len(identities), 60_000) if key else None
        one, two = (
            self.run(each.write((subscriber_id,), lambda _: {subscriber_id: wanted}, mark)) for each in directories
        )
        assert one == two
        one, two = (self.run(each.page(account_id, "", after, 2)) for each in directories)
        assert one == two

    @rule(until_ms=st.sampled_from([500, 1500, 2500]))
    def due(self, until_ms: int) -> None:
        one, two = [self.run(store.due(until_ms, 99)) for store in (self.memory, self.valkey)]
        assert sorted((due.key, due.value) for due in one) == sorted((due.key, due.value) for due in two)

    @rule(key=st.sampled_from(SESSIONS), account_id=st.sampled_from(ACCOUNTS))
    def locate(self, key: str, account_id: str) -> None:
        async def found(store: Store) -> Any:
            future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
            store.locate(f"{key}/{account_id}", future.set_result)
            return await future

        assert self.run(found(self.memory)) == self.run(found(self.valkey))

    @rule(prefix=st.sampled_from(["gy:", "ra:x*[1]", "gy:1/A", "ra:x*[2]"]))
    def sessions_of(self, prefix: str) -> None:
        """The index of open sessions decides what is found; a pattern's characters mean themselves."""
        filed = self.memory.deadlines
        one = [pair for pair in self.run(self.memory.sessions_of(prefix)) if pair[0] in filed]
        assert sorted(one) == sorted(self.run(self.valkey.sessions_of(prefix)))

    @invariant()
    def the_outbox_holds_the_same(self) -> None:
        async def read() -> list[bytes]:
            found: list[bytes] = []
            for partition in range(PARTITIONS):
                found += [fields[b"e"] for _, fields in await self.valkey.client.xrange(f"{{p{partition}}}outbox")]
            return found

        assert sorted(self.run(read())) == sorted(self.memory.entries)

    def teardown(self) -> None:
        self.run(self.valkey.close())
        self.loop.run_until_complete(asyncio.sleep(0))
        self.loop.close()


@pytest.mark.integration
def test_memory_judges_valkey(valkey_url: str) -> None:
    """Whatever is posted, both stores agree on the outcome and on what stands there afterwards."""
    StoreMachine.url = valkey_url
    run_state_machine_as_test(
        StoreMachine,
        settings=settings(
            max_examples=25, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
