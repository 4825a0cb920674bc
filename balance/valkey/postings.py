"""The commands of the hot path: read an account with its sessions, post, find a subscriber or a session.

All over one pipelined connection, by callbacks; a posting is one command, and most are one server function of three keys.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple, TypeVar

import msgspec
import structlog
from mypy_extensions import mypyc_attr

from balance.store import (
    BackendUnavailable,
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
from balance.valkey.codec import decode_account, decode_subscriber, encode_account, encode_version, pack, pack_update
from balance.valkey.connection import Connection

log = structlog.get_logger()

ResultT = TypeVar("ResultT")

SAY_AGAIN_S: Final = 10.0

_APPLIED: Final = PostingResult(PostingStatus.APPLIED)
_UNAVAILABLE: Final = PostingResult(PostingStatus.UNAVAILABLE)


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


class Postings:
    """The part of the store's protocol that charging waits for."""

    def __init__(self, connection: Connection, partitions: int) -> None:
        self._connection = connection
        self._partitions = partitions
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

    def load(self, account_id: str, session_keys: Sequence[str], done: LoadDone, others: Sequence[str] = ()) -> None:
        partition = keys.partition_of(account_id, self._partitions)
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
        place = self._places[keys.partition_of(account_id, self._partitions)]
        value = None
        if len(sessions) == 1 and not posting.entries and not posting.others and _is_plain(sessions[0]):
            value = sessions[0].value
        if value is not None and posting.expected_version:
            version = encode_version(posting.expected_version)
            session_key = place.sessions + sessions[0].key
            command = pack_update(place.accounts + account_id, session_key, version, encode_account(account), value)
        else:
            command = pack(tuple(_post_parts(place, posting)))

        self._connection.send(command, _Posted(self, posting, done))

    def result_of(self, posting: Posting, reply: Any) -> PostingResult:
        """What became of a posting that was not simply applied."""
        if isinstance(reply, list):
            names = [write.key for write in posting.sessions]
            others = [other.account_id for other in posting.others]
            there = self._understood(reply, lambda values: _snapshot(values, names, others))
            return PostingResult(PostingStatus.CONFLICT, there) if isinstance(there, Snapshot) else _UNAVAILABLE
        self._as_unavailable(reply)
        return _UNAVAILABLE

    def resolve(self, identity: str, done: ResolveDone) -> None:
        def resolved(reply: Any) -> None:
            done(self._understood(reply, lambda value: decode_subscriber(value) if value is not None else None))

        self._connection.send(pack(("GET", keys.identity_key(identity))), resolved)

    def locate(self, session_key: str, done: LocateDone) -> None:
        waiting = self._partitions
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

        for partition in range(self._partitions):
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


@mypyc_attr(acyclic=True)
class _Posted:
    """Called with Valkey's reply to a posting."""

    __slots__ = ("_done", "_posting", "_postings")

    def __init__(self, postings: Postings, posting: Posting, done: PostingDone) -> None:
        self._postings = postings
        self._posting = posting
        self._done = done

    def __call__(self, reply: Any) -> None:
        self._done(_APPLIED if reply == 1 else self._postings.result_of(self._posting, reply))


def _snapshot(values: Sequence[bytes | None], session_keys: Sequence[str], others: Sequence[str]) -> Snapshot:
    account, *rest = (
        None if value is None else decode_account(value) for value in (values[0], *values[1 + len(session_keys) :])
    )
    sessions = values[1 : 1 + len(session_keys)]
    return Snapshot(account, dict(zip(session_keys, sessions, strict=True)), dict(zip(others, rest, strict=True)))
