"""Reads single records of a running system for people. No account or session is written, no lane or cache involved."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from balance.account import Account
from balance.valkey import keys
from balance.valkey.codec import decode_account
from ocs.charging.notice_stream import NoticeStream
from ocs.charging.notices import NoticeKind, notice_to
from ocs.charging.session import CreditSession, Record, decode_session
from ocs.charging.session_search import SessionQuery
from ocs.clock import now_ms

BATCH: Final = 500
DIAMETER_PREFIX: Final = "gy:"


class FoundAccount(NamedTuple):
    """``key`` is its name in Valkey; ``open_sessions`` counts."""

    account: Account
    key: str
    partition: int
    open_sessions: int


class FoundRecord(NamedTuple):
    """``expires_in_ms`` -1: it stays."""

    record: Record
    session_key: str
    key: str
    expires_in_ms: int


class OpenSessions(NamedTuple):
    """``truncated``: there are more than were asked for."""

    sessions: list[CreditSession]
    truncated: bool


async def partitions_of(client: Any) -> int:
    """How many parts the store was created with; 0: no store has ever been here."""
    return int(await client.get(keys.PARTITIONS_KEY) or 0)


async def find_account(client: Any, account_id: str) -> FoundAccount | None:
    partitions = await partitions_of(client)
    if not partitions:
        return None
    partition = keys.partition_of(account_id, partitions)
    key = keys.account_key(partition, account_id)
    value = await client.get(key)
    if value is None:
        return None
    sessions = [each async for each in _sessions_of(client, partition) if each.account_id == account_id]
    return FoundAccount(decode_account(value), key, partition, len(sessions))


async def find_record(client: Any, session_key: str) -> FoundRecord | None:
    """A session by its whole key, or by its Diameter Session-Id; it may lie in any partition."""
    for name in (session_key, DIAMETER_PREFIX + session_key):
        for partition in range(await partitions_of(client)):
            key = keys.session_key(partition, name)
            value = await client.get(key)
            if value is not None:
                return FoundRecord(decode_session(value), name, key, max(-1, await client.pttl(key)))
    return None


async def ask_to_end(client: Any, session_key: str, cause: str) -> CreditSession | None:
    """Have the client of an open session asked to end it; None when there is no such session."""
    found = await find_record(client, session_key)
    if found is None or not isinstance(found.record, CreditSession):
        return None
    notice = notice_to(found.record, NoticeKind.ABORT, cause, now_ms())
    await NoticeStream(client, "command line").publish([notice])
    return found.record


async def open_sessions(client: Any, query: SessionQuery, limit: int) -> OpenSessions:
    """Those that are asked for; within a partition by their deadlines."""
    partitions = await partitions_of(client)
    where = range(partitions)
    if query.account_id and partitions:
        where = range(at := keys.partition_of(query.account_id, partitions), at + 1)
    found: list[CreditSession] = []
    for partition in where:
        async for session in _sessions_of(client, partition):
            if query.fits(session):
                found.append(session)
                if len(found) > limit:
                    return OpenSessions(sorted(found[:limit], key=_deadline), truncated=True)
    return OpenSessions(sorted(found, key=_deadline), truncated=False)


def _deadline(session: CreditSession) -> int:
    return session.deadline_ms


async def _sessions_of(client: Any, partition: int) -> Any:
    """The open sessions of a partition, by their deadlines; one that ends meanwhile is left out."""
    start = 0
    while members := await client.zrange(keys.deadlines_key(partition), start, start + BATCH - 1):
        for value in await client.mget([keys.session_key(partition, member.decode()) for member in members]):
            record = decode_session(value) if value is not None else None
            if isinstance(record, CreditSession):
                yield record
        start += BATCH
