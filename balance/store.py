"""The store's protocol: what the charging core asks of the place where accounts and sessions live.

Results arrive by callback, never by a task or a future per request: the callback runs in the loop's turn in which
the answer of the back end arrived. The memory store calls back at once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from types import MappingProxyType
from typing import Generic, NamedTuple, Protocol, TypeAlias, TypeVar

import msgspec

from balance.account import Account


class Subscriber(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """Who is charged: identities such as ``e164:4915112345`` or ``sip:alice@example.net`` lead to one account."""

    subscriber_id: str
    account_id: str
    identities: tuple[str, ...]
    password: str = ""
    created_at_ms: int = 0
    version: int = 0  # how often it was written

    @property
    def tag(self) -> str:
        """Names it as it is now: another one of that name, and each change of it, has another tag."""
        return f"{self.created_at_ms:x}.{self.version}"


def ported(identity: str, giver: Subscriber, taker: Subscriber) -> tuple[Subscriber, Subscriber]:
    """Both as they are when an identity has gone from one to the other; a giver that has none left is no more."""
    left = tuple(each for each in giver.identities if each != identity)
    given: Subscriber = msgspec.structs.replace(giver, identities=left)
    taken: Subscriber = msgspec.structs.replace(taker, identities=(*taker.identities, identity))
    return given, taken


class Mark(NamedTuple):
    """The key of an intent that concerns a subscriber, and the fingerprint of what was wanted; remembered for so long."""

    subscriber_id: str
    key: str
    fingerprint: int
    keep_ms: int


class WriteStatus(Enum):
    """What became of a change of subscribers."""

    WRITTEN = "written"
    REPLAYED = "replayed"  # it was done before under its key
    KEY_REUSED = "key_reused"
    IDENTITY_TAKEN = "identity_taken"
    REFUSED = "refused"  # by the change itself


Subscribers: TypeAlias = Mapping[str, Subscriber | None]
RefusalT = TypeVar("RefusalT", bound=Enum)


class SubscribersWritten(NamedTuple, Generic[RefusalT]):
    """Those that were named, before and after; equal where nothing was written. ``refusal``: why the change did not want to."""

    status: WriteStatus
    before: Subscribers
    after: Subscribers
    refusal: RefusalT | None = None


def next_version(before: Subscriber | None, after: Subscriber | None) -> Subscriber | None:
    """What is written when one takes the place of the other; none without an identity is left."""
    if after is None or not after.identities:
        return None
    written: Subscriber = msgspec.structs.replace(after, version=(before.version if before is not None else 0) + 1)
    return written


class Directory(Protocol):
    """The subscribers by their ids: who is charged for whom. The hot path asks ``Store.resolve`` alone."""

    async def read(self, subscriber_id: str) -> Subscriber | None: ...

    async def write(
        self,
        subscriber_ids: Sequence[str],
        change: Callable[[Subscribers], Subscribers | RefusalT],
        mark: Mark | None = None,
    ) -> SubscribersWritten[RefusalT]:
        """Change some subscribers in one step, by what they are in it; one that is None afterwards is no more.

        An identity leads to one subscriber: who has it stays. ``change`` may be asked several times.
        """

    async def page(self, account_id: str, prefix: str, after: str, limit: int) -> list[Subscriber]:
        """Up to ``limit`` in the order of their ids, those after one; of one account, or (empty) whose ids begin so."""


class BackendUnavailable(Exception):  # noqa: N818 - a state of the world, not an error of ours
    """The store cannot be reached or refuses to write. Nothing of the call is known to have happened."""


class SessionWrite(msgspec.Struct, frozen=True, gc=False):
    """One session's new value.

    ``value`` None deletes it. ``keep_ms`` > 0 lets it expire by itself (a tombstone). ``deadline_ms`` > 0 files it
    for supervision at that instant, 0 takes it out, -1 leaves the index as it is. ``must_be_new`` makes the posting
    fail as a conflict when the key exists. ``owner`` is the account whose session it is, if not the posting's.
    """

    key: str
    value: bytes | None
    keep_ms: int = 0
    deadline_ms: int = -1
    must_be_new: bool = False
    owner: str = ""


class Posting(msgspec.Struct, frozen=True, gc=False):
    """One atomic change: the account moves from ``expected_version`` (0: does not exist) to ``account.version``.

    ``others`` are accounts of its partition that change along: accounts in levels below it. Theirs are not compared, since
    they change in no other way.
    """

    account: Account
    expected_version: int
    sessions: Sequence[SessionWrite] = ()
    entries: Sequence[bytes] = ()
    others: Sequence[Account] = ()


class PostingStatus(Enum):
    APPLIED = "applied"
    CONFLICT = "conflict"
    UNAVAILABLE = "unavailable"


class Due(NamedTuple):
    """A session whose deadline has come: its key, its record (None: there is none) and the partition it was found in."""

    key: str
    value: bytes | None
    partition: int = 0


class Snapshot(NamedTuple):
    """What stands in the store now, read in one step: the account, the sessions and the other accounts that were named."""

    account: Account | None
    sessions: dict[str, bytes | None]
    others: Mapping[str, Account | None] = MappingProxyType({})


class PostingResult(msgspec.Struct, frozen=True, gc=False):
    """``current`` says, for a conflict, what stands there instead."""

    status: PostingStatus
    current: Snapshot | None = None


PostingDone: TypeAlias = Callable[[PostingResult], None]
LoadDone: TypeAlias = Callable[[Snapshot | BackendUnavailable], None]
ResolveDone: TypeAlias = Callable[[Subscriber | BackendUnavailable | None], None]
LocateDone: TypeAlias = Callable[[list[bytes] | BackendUnavailable], None]


class Store(Protocol):
    """The hot path's four questions. All other access (lists, scans, API keys) is an adapter's own matter."""

    def load(self, account_id: str, session_keys: Sequence[str], done: LoadDone, others: Sequence[str] = ()) -> None:
        """Read an account, some of its sessions, and others of its partition, in one step."""

    def post(self, posting: Posting, done: PostingDone) -> None:
        """Compare the account's version and, if equal, write everything in one step; else tell what is there."""

    def resolve(self, identity: str, done: ResolveDone) -> None:
        """Find the subscriber of an identity such as ``e164:4915112345``."""

    def locate(self, session_key: str, done: LocateDone) -> None:
        """Find the sessions of that key, whosever they are (rare: a request without identity).

        Accounts of different partitions may have a session of the same name each, usually one open and others closed.
        """
