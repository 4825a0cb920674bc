"""The reference store: the same protocol in memory. It judges the Valkey store in the tests, and runs scenarios.

Nothing expires by itself here but what the clock that is given says; calls answer at once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import Enum

from balance.account import Account
from balance.levels import LEVEL_MARK
from balance.store import (
    Due,
    LoadDone,
    LocateDone,
    Mark,
    Posting,
    PostingDone,
    PostingResult,
    PostingStatus,
    RefusalT,
    ResolveDone,
    Snapshot,
    Subscriber,
    Subscribers,
    SubscribersWritten,
    WriteStatus,
    next_version,
)


class MemoryDirectory:
    """Subscribers by id; keys of changes stay for ever."""

    def __init__(self) -> None:
        self.known: dict[str, Subscriber] = {}
        self._owners: dict[str, str] = {}
        self._marks: dict[tuple[str, str], int] = {}

    def owner_of(self, identity: str) -> Subscriber | None:
        return self.known.get(self._owners.get(identity, ""))

    def put(self, subscriber: Subscriber) -> None:
        """Write one whose identities are nobody else's."""
        self.known[subscriber.subscriber_id] = subscriber
        self._owners |= dict.fromkeys(subscriber.identities, subscriber.subscriber_id)

    def _drop(self, subscriber_id: str) -> None:
        there = self.known.pop(subscriber_id, None)
        for identity in there.identities if there is not None else ():
            del self._owners[identity]

    async def read(self, subscriber_id: str) -> Subscriber | None:
        return self.known.get(subscriber_id)

    async def write(
        self,
        subscriber_ids: Sequence[str],
        change: Callable[[Subscribers], Subscribers | RefusalT],
        mark: Mark | None = None,
    ) -> SubscribersWritten[RefusalT]:
        before = {each: self.known.get(each) for each in subscriber_ids}
        done = self._marks.get((mark.subscriber_id, mark.key)) if mark is not None else None
        if mark is not None and done is not None:
            same = done == mark.fingerprint
            return SubscribersWritten(WriteStatus.REPLAYED if same else WriteStatus.KEY_REUSED, before, before)
        wanted = change(before)
        if isinstance(wanted, Enum):
            return SubscribersWritten(WriteStatus.REFUSED, before, before, wanted)
        after = {each: next_version(before[each], wanted[each]) for each in subscriber_ids}
        owners = [
            self.owner_of(identity) for each in after.values() if each is not None for identity in each.identities
        ]
        if any(owner is not None and owner.subscriber_id not in subscriber_ids for owner in owners):
            return SubscribersWritten(WriteStatus.IDENTITY_TAKEN, before, before)
        for subscriber_id in subscriber_ids:
            self._drop(subscriber_id)
        for subscriber in after.values():
            if subscriber is not None:
                self.put(subscriber)
        if mark is not None:
            self._marks[mark.subscriber_id, mark.key] = mark.fingerprint
        return SubscribersWritten(WriteStatus.WRITTEN, before, after)

    async def page(self, account_id: str, prefix: str, after: str, limit: int) -> list[Subscriber]:
        known = sorted(self.known.items())
        found = [each for name, each in known if name > after and name.startswith(prefix)]
        return [each for each in found if account_id in {"", each.account_id}][:limit]


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
        self.directory = MemoryDirectory()

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
        done(self.directory.owner_of(identity))

    def locate(self, session_key: str, done: LocateDone) -> None:
        value = self._session(session_key)
        done([value] if value is not None else [])

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

    async def has_below(self, account_id: str) -> bool:
        """Whether there are accounts in levels below this one."""
        return any(name.startswith(f"{account_id}{LEVEL_MARK}") for name in self.accounts)

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
