"""The subscribers in Valkey: records under their identities, an id leads to the first of them, two indexes for lists.

A change watches all keys that it looked at and writes in one transaction, so two callers never both own an identity, and
whoever looks finds the old owner or the new one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import Enum
from typing import Any, Final

import redis.asyncio as redis

from balance.store import (
    Mark,
    RefusalT,
    Subscriber,
    Subscribers,
    SubscribersWritten,
    WriteStatus,
    next_version,
)
from balance.valkey import keys
from balance.valkey.codec import decode_subscriber, encode_subscriber

BATCH: Final = 500


class ValkeyDirectory:
    """Raises redis' errors when Valkey is away."""

    def __init__(self, client: Any) -> None:
        self._client = client

    async def read(self, subscriber_id: str) -> Subscriber | None:
        return (await self._read_all([subscriber_id]))[0]

    async def write(
        self,
        subscriber_ids: Sequence[str],
        change: Callable[[Subscribers], Subscribers | RefusalT],
        mark: Mark | None = None,
    ) -> SubscribersWritten[RefusalT]:
        names = [keys.subscriber_key(each) for each in subscriber_ids]
        marks = [keys.mark_key(mark.subscriber_id, mark.key)] if mark is not None else []
        while True:
            async with self._client.pipeline(transaction=True) as pipe:
                await pipe.watch(*names, *marks)
                # First the key: who finds it sees what was written with it.
                done = await self._client.get(marks[0]) if mark is not None else None
                before = await self._all_of(subscriber_ids)
                if mark is not None and done is not None:
                    same = int(done) == mark.fingerprint
                    return SubscribersWritten(WriteStatus.REPLAYED if same else WriteStatus.KEY_REUSED, before, before)
                wanted = change(before)
                if isinstance(wanted, Enum):
                    return SubscribersWritten(WriteStatus.REFUSED, before, before, wanted)
                after = {each: next_version(before[each], wanted[each]) for each in subscriber_ids}
                identities = _identities(before) | _identities(after)
                if identities:
                    await pipe.watch(*map(keys.identity_key, sorted(identities)))
                if before != await self._all_of(subscriber_ids):
                    continue
                if await self._is_taken(_identities(after), set(subscriber_ids)):
                    return SubscribersWritten(WriteStatus.IDENTITY_TAKEN, before, before)
                pipe.multi()
                _put(pipe, before, after)
                if mark is not None:
                    pipe.set(marks[0], mark.fingerprint, px=mark.keep_ms)
                try:
                    await pipe.execute()
                except redis.WatchError:
                    continue
                return SubscribersWritten(WriteStatus.WRITTEN, before, after)

    async def page(self, account_id: str, prefix: str, after: str, limit: int) -> list[Subscriber]:
        if not await self._client.exists(keys.SUBSCRIBERS_INDEXED_KEY):
            await self._index()
        index, held = keys.SUBSCRIBERS_KEY, ""
        if account_id:
            index, held = keys.HELD_SUBSCRIBERS_KEY, keys.holder_member(account_id, "")
        begin = b"(" + (held + after).encode() if after > prefix else b"[" + (held + prefix).encode()
        end = b"[" + (held + prefix).encode() + b"\xff"
        members = await self._client.zrangebylex(index, begin, end, start=0, num=limit)
        found = await self._read_all([member.decode().removeprefix(held) for member in members])
        return [each for each in found if each is not None]

    async def _all_of(self, subscriber_ids: Sequence[str]) -> Subscribers:
        return dict(zip(subscriber_ids, await self._read_all(subscriber_ids), strict=True))

    async def _read_all(self, subscriber_ids: Sequence[str]) -> list[Subscriber | None]:
        """Each as it is now, by way of its first identity: where that has just moved on, it is asked for again."""
        if not subscriber_ids:
            return []
        names = [keys.subscriber_key(each) for each in subscriber_ids]
        ways = await self._client.mget(names)
        while True:
            identities = [keys.identity_key(way.decode()) for way in ways if way is not None]
            values = iter(await self._client.mget(identities) if identities else [])
            read = [next(values) if way is not None else None for way in ways]
            there = [decode_subscriber(value) if value is not None else None for value in read]
            found = [
                each if each is not None and each.subscriber_id == name else None
                for name, each in zip(subscriber_ids, there, strict=True)
            ]
            lost = any(way is not None and each is None for way, each in zip(ways, found, strict=True))
            before, ways = ways, await self._client.mget(names) if lost else ways
            if not lost or before == ways:
                return found

    async def _is_taken(self, identities: set[str], by: set[str]) -> bool:
        """Whether one of them is that of somebody else."""
        if not identities:
            return False
        values = await self._client.mget([keys.identity_key(each) for each in sorted(identities)])
        return any(value is not None and decode_subscriber(value).subscriber_id not in by for value in values)

    async def _index(self) -> None:
        """Once: index those who were written before there were indexes."""
        ids: list[str] = []
        start = keys.subscriber_key("")
        async for name in self._client.scan_iter(match=f"{start}*", count=1000):
            ids.append(name.decode().removeprefix(start))
            if len(ids) == BATCH:
                await self._put_into_indexes(ids)
                ids = []
        await self._put_into_indexes(ids)
        await self._client.set(keys.SUBSCRIBERS_INDEXED_KEY, 1)

    async def _put_into_indexes(self, ids: list[str]) -> None:
        found = [each for each in await self._read_all(ids) if each is not None]
        if found:
            await self._client.zadd(keys.SUBSCRIBERS_KEY, {each.subscriber_id: 0 for each in found})
            await self._client.zadd(keys.HELD_SUBSCRIBERS_KEY, {_held(each): 0 for each in found})


def _put(pipe: Any, before: Subscribers, after: Subscribers) -> None:
    """Queue all commands that lead from the ones to the others."""
    for identity in sorted(_identities(before) - _identities(after)):
        pipe.delete(keys.identity_key(identity))
    for subscriber_id, subscriber in after.items():
        was = before[subscriber_id]
        if was is not None and (subscriber is None or subscriber.account_id != was.account_id):
            pipe.zrem(keys.HELD_SUBSCRIBERS_KEY, _held(was))
        if subscriber is None:
            pipe.delete(keys.subscriber_key(subscriber_id))
            pipe.zrem(keys.SUBSCRIBERS_KEY, subscriber_id)
            continue
        for identity in subscriber.identities:
            pipe.set(keys.identity_key(identity), encode_subscriber(subscriber))
        pipe.set(keys.subscriber_key(subscriber_id), subscriber.identities[0])
        pipe.zadd(keys.SUBSCRIBERS_KEY, {subscriber_id: 0})
        pipe.zadd(keys.HELD_SUBSCRIBERS_KEY, {_held(subscriber): 0})


def _identities(subscribers: Subscribers) -> set[str]:
    return {identity for each in subscribers.values() if each is not None for identity in each.identities}


def _held(subscriber: Subscriber) -> str:
    return keys.holder_member(subscriber.account_id, subscriber.subscriber_id)
