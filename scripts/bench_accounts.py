"""Accounts by the hundred thousand, each with its first top-up in the journal, as the audit wants to see them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, NamedTuple

import redis.asyncio as redis

from balance.account import MAIN_BUCKET, Account, AccountState, Bucket, Hold
from balance.store import Posting, PostingResult, PostingStatus, Subscriber
from balance.valkey import keys
from balance.valkey.codec import encode_subscriber
from balance.valkey.store import ValkeyStore, open_store
from ocs.charging.cdr import JournalEntry, encode_entry
from ocs.clock import now_ms

CURRENCY: Final = "EUR"
BALANCE: Final = 10**15  # 1,000,000.00 EUR at 9 decimals: no run can use it up
CHUNK: Final = 500


class Memory(NamedTuple):
    """Octets of Valkey's memory in use, and how many CDRs and journal entries wait to be flushed."""

    used: int
    backlog: int


def msisdn(number: int) -> str:
    """The same digits as the load generators put into their requests."""
    return f"4915{number:08d}"


async def create_accounts(url: str, partitions: int, first: int, count: int, progress: Callable[[int], None]) -> None:
    """Create accounts ``first`` to ``first + count - 1`` with one subscriber each."""
    store = await open_store(url, partitions)
    try:
        while not store.is_ready:  # noqa: ASYNC110 - the store has no event for it, and this waits once
            await asyncio.sleep(0.01)
        for start in range(first, first + count, CHUNK):
            numbers = range(start, min(start + CHUNK, first + count))
            await _post_accounts(store, numbers)
            await _put_subscribers(store, numbers)
            progress(len(numbers))
    finally:
        await store.close()


async def _post_accounts(store: ValkeyStore, numbers: range) -> None:
    waiting = len(numbers)
    done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def posted(result: PostingResult) -> None:
        nonlocal waiting
        waiting -= 1
        if result.status != PostingStatus.APPLIED and not done.done():
            done.set_exception(RuntimeError(f"an account was not created: {result}"))
        if waiting == 0 and not done.done():
            done.set_result(None)

    at_ms = now_ms()
    for number in numbers:
        store.post(_opening(msisdn(number), at_ms), posted)
    await done


def _opening(name: str, at_ms: int) -> Posting:
    account = Account(
        account_id=name,
        version=1,
        currency=CURRENCY,
        rate_plan="bench",
        state=AccountState.ACTIVE,
        credit_limit=0,
        low_balance=0,
        entry_number=1,
        buckets=(Bucket(MAIN_BUCKET, BALANCE, created_at_ms=at_ms),),
        created_at_ms=at_ms,
    )
    entry = JournalEntry(
        account_id=name,
        entry_number=1,
        at_ms=at_ms,
        kind="top_up",
        currency=CURRENCY,
        changes=(Hold(MAIN_BUCKET, BALANCE),),
        reference="bench",
        actor="bench",
    )
    return Posting(account, 0, entries=(encode_entry(entry),))


async def _put_subscribers(store: ValkeyStore, numbers: range) -> None:
    """The two keys of ``ValkeyStore.put_subscriber``, without asking whether somebody else has them."""
    values: dict[str, bytes | str] = {}
    for number in numbers:
        name = msisdn(number)
        identity = f"e164:{name}"
        values[keys.identity_key(identity)] = encode_subscriber(Subscriber(name, name, (identity,)))
        values[keys.subscriber_key(name)] = identity
    await store.client.mset(values)


def memory(url: str, partitions: int) -> Memory:
    """What Valkey holds now."""
    return asyncio.run(_memory(url, partitions))


async def _memory(url: str, partitions: int) -> Memory:
    client = redis.Redis.from_url(url)
    try:
        info = await client.info("memory")
        backlog = [await client.xlen(keys.outbox_key(partition)) for partition in range(partitions)]
        return Memory(int(info["used_memory"]), sum(backlog))
    finally:
        await client.aclose()


def key_octets(url: str, partitions: int, number: int) -> dict[str, int]:
    """MEMORY USAGE of one account's keys."""
    return asyncio.run(_key_octets(url, partitions, number))


async def _key_octets(url: str, partitions: int, number: int) -> dict[str, int]:
    client = redis.Redis.from_url(url)
    name = msisdn(number)
    names = {
        "account": keys.account_key(keys.partition_of(name, partitions), name),
        "identity": keys.identity_key(f"e164:{name}"),
        "subscriber": keys.subscriber_key(name),
    }
    try:
        return {kind: int(await client.memory_usage(key) or 0) for kind, key in names.items()}
    finally:
        await client.aclose()


def appendfsync(url: str) -> str:
    """The durability that Valkey itself says it has."""
    return asyncio.run(_appendfsync(url))


async def _appendfsync(url: str) -> str:
    client = redis.Redis.from_url(url)
    try:
        return str((await client.config_get("appendfsync"))["appendfsync"])
    finally:
        await client.aclose()
