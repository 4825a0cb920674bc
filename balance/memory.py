"""The reference store: the same protocol in memory. It judges the Valkey store in the tests, and runs scenarios.

Nothing expires by itself here but what the clock that is given says; calls answer at once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from balance.account import Account
from balance.store import (
    Due,
    LoadDone,
    LocateDone,
    Posting,
    PostingDone,
    PostingResult,
    PostingStatus,
    ResolveDone,
    Snapshot,
    Subscriber,
    ported,
)


class MemoryStore:
    """Accounts, sessions, deadlines, outbox and subscribers in dictionaries."""

    def __init__(self, clock: Callable[[], int]) -> None:
        self._clock = clock
        self.accounts: dict[str, Account] = {}
        self.sessions: dict[str, bytes] = {}
        self.expiries: dict[str, int] = {}
        self.deadlines: dict[str, int] = {}
        self.holders: dict[str, str] = {}
        self.entries: list[bytes] = []
        self.subscribers: dict[str, Subscriber] = {}
        self.identities: dict[str, str] = {}

    def load(self, account_id: str, session_keys: Sequence[str], done: LoadDone, others: Sequence[str] = ()) -> None:
        done(self._snapshot(account_id, session_keys, others))

    def post(self, posting: Posting, done: PostingDone) -> None:
        account_id = posting.account.account_id
        there = self.accounts.get(account_id)
        version = there.version if there is not None else 0
        taken = any(write.must_be_new and self._session(write.key) is not None for write in posting.sessions)
        if version != posting.expected_version or taken:
            keys = [write.key for write in posting.sessions]
            others = [other.account_id for other in posting.others]
            done(PostingResult(PostingStatus.CONFLICT, self._snapshot(account_id, keys, others)))
            return
        assert posting.account.version > version, "a posting moves the version forward"
        self.accounts |= {account.account_id: account for account in (posting.account, *posting.others)}
        for write in posting.sessions:
            self.holders[write.key] = write.owner or account_id
            self._write(write.key, write.value, write.keep_ms, write.deadline_ms)
        self.entries.extend(posting.entries)
        done(PostingResult(PostingStatus.APPLIED))

    def resolve(self, identity: str, done: ResolveDone) -> None:
        subscriber_id = self.identities.get(identity)
        done(self.subscribers.get(subscriber_id) if subscriber_id is not None else None)

    def locate(self, session_key: str, done: LocateDone) -> None:
        value = self._session(session_key)
        done([value] if value is not None else [])

    async def put_subscriber(self, subscriber: Subscriber) -> str | None:
        """Write a subscriber and its identities; None, or the identity that belongs to somebody else."""
        for identity in subscriber.identities:
            if self.identities.get(identity, subscriber.subscriber_id) != subscriber.subscriber_id:
                return identity
        before = self.subscribers.get(subscriber.subscriber_id)
        for identity in before.identities if before else ():
            self.identities.pop(identity, None)
        self.subscribers[subscriber.subscriber_id] = subscriber
        self.identities.update(dict.fromkeys(subscriber.identities, subscriber.subscriber_id))
        return None

    async def port(self, identity: str, giver_id: str, taker_id: str) -> bool:
        """Move an identity from one subscriber to another; False if it is not the giver's, or there is no such taker."""
        giver, taker = (self.subscribers.get(each) for each in (giver_id, taker_id))
        if giver is None or taker is None or giver is taker or identity not in giver.identities:
            return False
        given, self.subscribers[taker_id] = ported(identity, giver, taker)
        self.identities[identity] = taker_id
        if given.identities:
            self.subscribers[giver_id] = given
        else:
            del self.subscribers[giver_id]
        return True

    async def subscriber(self, subscriber_id: str) -> Subscriber | None:
        return self.subscribers.get(subscriber_id)

    async def open_sessions(self, account_id: str) -> list[bytes]:  # noqa: ARG002 - values are opaque here
        """The records of all sessions that are filed for supervision; the Valkey store gives the account's alone."""
        return [value for key in list(self.deadlines) if (value := self._session(key)) is not None]

    async def sessions_after(
        self, account_id: str, prefix: str, partition: int, member: str, limit: int
    ) -> list[tuple[int, str, bytes | None]]:
        """Up to ``limit`` open sessions by holder and name, those after a member; there is one partition."""
        members = sorted(f"{self.holders[key]}\0{key}" for key in self.deadlines if key in self.holders)
        wanted = f"{account_id}\0" if account_id else prefix
        after = [each for each in members if each > member and each.startswith(wanted)] if not partition else []
        return [(0, each, self._session(each.partition("\0")[2])) for each in after[:limit]]

    async def due(self, until_ms: int, limit: int) -> list[Due]:
        """The sessions whose deadline has come, oldest first."""
        keys = [key for key, deadline_ms in self.deadlines.items() if deadline_ms <= until_ms]
        return [Due(key, self._session(key)) for key in sorted(keys, key=self.deadlines.__getitem__)[:limit]]

    async def file_deadline(self, due: Due, deadline_ms: int) -> None:
        """Move a session's deadline in the index (0 takes it out)."""
        self._file(due.key, deadline_ms)

    async def sessions_of(self, prefix: str) -> list[tuple[str, bytes]]:
        """All sessions whose key starts so."""
        return [(key, value) for key in list(self.sessions) if key.startswith(prefix) and (value := self._session(key))]

    def _snapshot(self, account_id: str, session_keys: Sequence[str], others: Sequence[str]) -> Snapshot:
        sessions = {key: self._session(key) for key in session_keys}
        return Snapshot(self.accounts.get(account_id), sessions, {name: self.accounts.get(name) for name in others})

    def _session(self, key: str) -> bytes | None:
        expiry_ms = self.expiries.get(key, 0)
        if expiry_ms and expiry_ms <= self._clock():
            self.sessions.pop(key, None)
            self.expiries.pop(key, None)
        return self.sessions.get(key)

    def _write(self, key: str, value: bytes | None, keep_ms: int, deadline_ms: int) -> None:
        self.expiries.pop(key, None)
        if value is None:
            self.sessions.pop(key, None)
        else:
            self.sessions[key] = value
            if keep_ms:
                self.expiries[key] = self._clock() + keep_ms
        if deadline_ms >= 0:
            self._file(key, deadline_ms)

    def _file(self, key: str, deadline_ms: int) -> None:
        if deadline_ms:
            self.deadlines[key] = deadline_ms
        else:
            self.deadlines.pop(key, None)
