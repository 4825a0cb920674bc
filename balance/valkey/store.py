"""Accounts and sessions in Valkey: the hot path over one pipelined connection, the rest through redis-py."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from importlib.resources import files
from typing import Any, Final, NamedTuple, TypeVar, cast

import msgspec
import redis.asyncio as redis
import structlog
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from balance.account import Account
from balance.levels import LEVEL_MARK
from balance.store import (
    BackendUnavailable,
    Due,
    LoadDone,
    LocateDone,
    Posting,
    PostingDone,
    PostingResult,
    PostingStatus,
    ResolveDone,
    SessionWrite,
    Snapshot,
)
from balance.valkey import keys
from balance.valkey.codec import (
    decode_account,
    decode_subscriber,
    encode_account,
    encode_version,
    pack,
    pack_update,
)
from balance.valkey.connection import Connection
from balance.valkey.directory import ValkeyDirectory

log = structlog.get_logger()

ResultT = TypeVar("ResultT")

SAY_AGAIN_S: Final = 10.0

FUNCTIONS = files("balance.valkey").joinpath("post.lua").read_bytes()

_APPLIED = PostingResult(PostingStatus.APPLIED)
_UNAVAILABLE = PostingResult(PostingStatus.UNAVAILABLE)


class PartitionsMismatchError(Exception):
    """The store was created with another number of partitions."""


class _Place(NamedTuple):
    """A partition: how the names of its accounts and sessions begin, and the keys that change with them."""

    accounts: str
    sessions: str
    outbox: str
    deadlines: str
    holders: str


def _is_plain(write: SessionWrite) -> bool:
    """Whether a session only gets a new value, as in most postings."""
    return write.value is not None and not write.keep_ms and write.deadline_ms < 0 and not write.must_be_new


def _post_parts(place: _Place, posting: Posting) -> list[Any]:
    sessions = posting.sessions
    prefix = place.sessions
    account_id = posting.account.account_id
    parts: list[Any] = [b"FCALL", b"ocs_post", 4 + len(sessions) + len(posting.others)]
    parts += (place.accounts + account_id, place.outbox, place.deadlines, place.holders)
    parts += [prefix + write.key for write in sessions]
    parts += [place.accounts + other.account_id for other in posting.others]
    parts += (encode_version(posting.expected_version), encode_account(posting.account))
    for write in sessions:
        life = str(write.keep_ms) if write.keep_ms else ""
        deadline = str(write.deadline_ms) if write.deadline_ms >= 0 else ""
        parts += (
            write.value or b"",
            "N" + life if write.must_be_new else life,
            deadline,
            keys.holder_member(write.owner or account_id, write.key) if deadline else "",
        )
    for other in posting.others:
        parts += (encode_account(other), "", "", "")
    parts += posting.entries
    return parts


class ValkeyStore:
    """The store's protocol on a Valkey (or Redis >= 7) server. Make it with ``open_store``."""

    def __init__(self, client: redis.Redis, connection: Connection, partitions: int) -> None:
        # redis-py types replies by a setting that the type does not know: bytes here, always.
        self.client: Any = client
        self.directory = ValkeyDirectory(client)
        self.partitions = partitions
        self._connection = connection
        self._refusals = 0
        self._say_again_s = 0.0
        self._places = [
            _Place(
                keys.account_key(p, ""),
                keys.session_key(p, ""),
                keys.outbox_key(p),
                keys.deadlines_key(p),
                keys.holders_key(p),
            )
            for p in range(partitions)
        ]

    @property
    def is_ready(self) -> bool:
        return self._connection.is_ready

    def _partition_of(self, account_id: str) -> int:
        return keys.partition_of(account_id, self.partitions)

    async def close(self) -> None:
        await self._connection.close()
        await self.client.aclose()

    # --- the hot path -------------------------------------------------------------------------------------------

    def load(self, account_id: str, session_keys: Sequence[str], done: LoadDone, others: Sequence[str] = ()) -> None:
        partition = self._partition_of(account_id)
        command = pack(
            (
                "MGET",
                keys.account_key(partition, account_id),
                *[keys.session_key(partition, key) for key in session_keys],
                *[keys.account_key(partition, other) for other in others],
            )
        )

        def loaded(reply: Any) -> None:
            done(self._understood(reply, lambda values: _snapshot(values, session_keys, others)))

        self._connection.send(command, loaded)

    def post(self, posting: Posting, done: PostingDone) -> None:
        account, sessions = posting.account, posting.sessions
        assert account.version > posting.expected_version, "a posting moves the version forward"
        account_id = account.account_id
        place = self._places[self._partition_of(account_id)]
        value = None
        if len(sessions) == 1 and not posting.entries and not posting.others and _is_plain(sessions[0]):
            value = sessions[0].value
        if value is not None and posting.expected_version:
            version = encode_version(posting.expected_version)
            session_key = place.sessions + sessions[0].key
            command = pack_update(place.accounts + account_id, session_key, version, encode_account(account), value)
        else:
            command = pack(tuple(_post_parts(place, posting)))

        def posted(reply: Any) -> None:
            if reply == 1:
                done(_APPLIED)
            elif isinstance(reply, list):
                names, others = [write.key for write in sessions], [other.account_id for other in posting.others]
                there = self._understood(reply, lambda values: _snapshot(values, names, others))
                done(PostingResult(PostingStatus.CONFLICT, there) if isinstance(there, Snapshot) else _UNAVAILABLE)
            else:
                self._as_unavailable(reply)
                done(_UNAVAILABLE)

        self._connection.send(command, posted)

    def resolve(self, identity: str, done: ResolveDone) -> None:
        def resolved(reply: Any) -> None:
            done(self._understood(reply, lambda value: decode_subscriber(value) if value is not None else None))

        self._connection.send(pack(("GET", keys.identity_key(identity))), resolved)

    def locate(self, session_key: str, done: LocateDone) -> None:
        waiting = self.partitions
        found: list[bytes] = []
        failure: BackendUnavailable | None = None

        def looked(reply: Any) -> None:
            nonlocal waiting, failure
            waiting -= 1
            if isinstance(reply, Exception):
                failure = self._as_unavailable(reply)
            elif reply is not None:
                found.append(reply)
            if not waiting:
                done(failure or found)

        for partition in range(self.partitions):
            self._connection.send(pack(("GET", keys.session_key(partition, session_key))), looked)

    def _understood(self, reply: Any, read: Callable[[Any], ResultT]) -> ResultT | BackendUnavailable:
        """What ``read`` makes of a reply. Whoever waits for it must be told when it is a refusal, or no record of ours."""
        if isinstance(reply, Exception):
            return self._as_unavailable(reply)
        try:
            return read(reply)
        except (msgspec.MsgspecError, AssertionError) as error:
            log.exception("record_unreadable")
            return BackendUnavailable(f"a record cannot be read: {error}")

    def _as_unavailable(self, reply: object) -> BackendUnavailable:
        if isinstance(reply, BackendUnavailable):
            return reply
        self._refusals += 1
        now_s = asyncio.get_running_loop().time()
        if now_s >= self._say_again_s:  # a full disk or memory refuses each request: one line is enough for many
            log.error("valkey_refused_command", reason=str(reply), count=self._refusals)
            self._refusals, self._say_again_s = 0, now_s + SAY_AGAIN_S
        return BackendUnavailable(str(reply))

    # --- everything else ----------------------------------------------------------------------------------------

    async def probe(self) -> None:
        """Write something of no meaning: a server that only reads (no memory, no disk, a replica) raises RedisError."""
        await self.client.set(keys.PROBE_KEY, b"")

    async def open_sessions(self, account_id: str) -> list[bytes]:
        """The records of the account's open sessions; one that ends meanwhile may show its tombstone."""
        partition = self._partition_of(account_id)
        first, last = (b"[" + keys.holder_member(account_id, "").encode() + end for end in (b"", b"\xff"))
        members = await self.client.zrangebylex(keys.holders_key(partition), first, last)
        found: list[bytes] = []
        for start in range(0, len(members), 500):
            names = [
                keys.session_key(partition, member.decode().partition("\0")[2])
                for member in members[start : start + 500]
            ]
            found += [value for value in await self.client.mget(names) if value is not None]
        return found

    async def sessions_after(
        self, account_id: str, prefix: str, partition: int, member: str, limit: int
    ) -> list[tuple[int, str, bytes | None]]:
        """Up to ``limit`` open sessions in the order of partition, holder and name, those that come after a member.

        Of one account, or (``account_id`` empty) of all whose names begin with ``prefix``. Each with its partition, its member
        and its record (None: it has ended meanwhile).
        """
        last = self.partitions - 1
        if account_id:
            prefix = keys.holder_member(account_id, "")
            partition = last = self._partition_of(account_id)
        found: list[tuple[int, str, bytes | None]] = []
        end = b"[" + prefix.encode() + b"\xff"
        while partition <= last:
            begin = b"(" + member.encode() if member else b"[" + prefix.encode()
            members = await self.client.zrangebylex(
                keys.holders_key(partition), begin, end, start=0, num=limit - len(found)
            )
            names = [each.decode() for each in members]
            keys_there = [keys.session_key(partition, name.partition("\0")[2]) for name in names]
            values = await self.client.mget(keys_there) if keys_there else []
            found += zip([partition] * len(names), names, values, strict=True)
            if len(found) == limit:
                break
            partition, member = partition + 1, ""
        return found

    async def due(self, until_ms: int, limit: int) -> list[Due]:
        """The sessions whose deadline has come, with their records: at most ``limit`` of each partition, oldest first."""
        found: list[Due] = []
        for partition in range(self.partitions):
            index = keys.deadlines_key(partition)
            members = cast(
                "list[bytes]", await self.client.zrange(index, 0, until_ms, byscore=True, offset=0, num=limit)
            )
            if members:
                names = [member.decode() for member in members]
                values = await self.client.mget([keys.session_key(partition, name) for name in names])
                found += [Due(name, value, partition) for name, value in zip(names, values, strict=True)]
        return found

    async def file_deadline(self, due: Due, deadline_ms: int) -> None:
        """Move a session's deadline in the index (0 takes it out)."""
        index = keys.deadlines_key(due.partition)
        if deadline_ms:
            await self.client.zadd(index, {due.key: deadline_ms}, xx=True)
        else:
            await self.client.zrem(index, due.key)

    async def sessions_of(self, prefix: str) -> list[tuple[str, bytes]]:
        """All sessions whose key starts so; walks the open sessions' index, not the whole store."""
        found: list[tuple[str, bytes]] = []
        for partition in range(self.partitions):
            async for member, _ in self.client.zscan_iter(keys.deadlines_key(partition), match=_escaped(prefix) + "*"):
                value = await self.client.get(keys.session_key(partition, member.decode()))
                if value is not None:
                    found.append((member.decode(), value))
        return found

    async def pages_of(self, prefix: str, size: int) -> AsyncIterator[list[bytes]]:
        """The open sessions whose key starts so, some at a time; what opens or ends meanwhile may be left out."""
        for partition in range(self.partitions):
            names: list[str] = []
            async for member, _ in self.client.zscan_iter(keys.deadlines_key(partition), match=_escaped(prefix) + "*"):
                names.append(keys.session_key(partition, member.decode()))
                if len(names) == size:
                    yield [value for value in await self.client.mget(names) if value is not None]
                    names = []
            if names:
                yield [value for value in await self.client.mget(names) if value is not None]

    async def has_below(self, account_id: str) -> bool:
        """Whether there are accounts in levels below this one; walks over all keys."""
        partition = self._partition_of(account_id)
        pattern = _escaped(keys.account_key(partition, account_id)) + LEVEL_MARK + "*"
        async for _ in self.client.scan_iter(match=pattern, count=5000):
            return True
        return False

    async def accounts(self) -> AsyncIterator[Account]:
        """Every account, partition by partition, in no order; an account that is added meanwhile may be left out."""
        for partition in range(self.partitions):
            names: list[bytes] = []
            async for name in self.client.scan_iter(match=keys.account_key(partition, "*"), count=1000):
                names.append(name)
                if len(names) == 500:
                    for account in await self._accounts_of(names):
                        yield account
                    names = []
            for account in await self._accounts_of(names):
                yield account

    async def _accounts_of(self, names: list[bytes]) -> list[Account]:
        values = await self.client.mget(names) if names else []
        return [decode_account(value) for value in values if value is not None]


async def open_store(url: str, partitions: int) -> ValkeyStore:
    """Connect, load the server function and fix (or check) the number of partitions.

    Raises BackendUnavailable when Valkey cannot be reached within a few seconds, PartitionsMismatchError when the store
    was created with another number of partitions.
    """
    # A pooled connection may be of a server that was restarted since: once more, at once. All that we send may be repeated.
    client = redis.Redis.from_url(url, retry=Retry(NoBackoff(), 1))
    try:
        await client.set(keys.PARTITIONS_KEY, partitions, nx=True)
        there = int(await client.get(keys.PARTITIONS_KEY) or 0)
    except (redis.RedisError, OSError) as error:
        await client.aclose()
        raise BackendUnavailable(f"cannot reach Valkey at {url}: {error}") from error
    if there != partitions:
        await client.aclose()
        raise PartitionsMismatchError(
            f"this store was created with {there} partitions and the settings say {partitions}: "
            f"set backends.partitions = {there}"
        )
    load_functions = pack(("FUNCTION", "LOAD", "REPLACE", FUNCTIONS))
    connection = Connection(url, on_connect=(load_functions,))
    connection.start()
    return ValkeyStore(client, connection, partitions)


def _snapshot(values: Sequence[bytes | None], session_keys: Sequence[str], others: Sequence[str]) -> Snapshot:
    account, *rest = (
        None if value is None else decode_account(value) for value in (values[0], *values[1 + len(session_keys) :])
    )
    sessions = values[1 : 1 + len(session_keys)]
    return Snapshot(account, dict(zip(session_keys, sessions, strict=True)), dict(zip(others, rest, strict=True)))


def _escaped(text: str) -> str:
    return "".join(f"\\{char}" if char in "*?[]\\^-" else char for char in text)
