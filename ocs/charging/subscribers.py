"""The desk for subscribers: who is charged to which account, and by which names the network asks for them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from enum import Enum
from functools import partial
from typing import Final, NamedTuple, Protocol
from zlib import crc32

from msgspec import structs

from balance.account import Account
from balance.store import Directory, Mark, Store, Subscriber, Subscribers, WriteStatus, ported
from ocs.charging.answers import asked

KEYS_LAST_MS: Final = 7 * 86_400_000


class SubscriberStatus(Enum):
    """Every outcome of a change of a subscriber."""

    DONE = "done"
    REPLAYED = "replayed"
    KEY_REUSED = "key_reused"
    UNKNOWN = "unknown"
    EXISTS = "exists"
    ACCOUNT_UNKNOWN = "account_unknown"
    IDENTITY_TAKEN = "identity_taken"
    NOT_PORTABLE = "not_portable"
    CHANGED_MEANWHILE = "changed_meanwhile"


_WRITTEN: Final = {
    WriteStatus.WRITTEN: SubscriberStatus.DONE,
    WriteStatus.REPLAYED: SubscriberStatus.REPLAYED,
    WriteStatus.KEY_REUSED: SubscriberStatus.KEY_REUSED,
    WriteStatus.IDENTITY_TAKEN: SubscriberStatus.IDENTITY_TAKEN,
}
assert _WRITTEN.keys() | {WriteStatus.REFUSED} == set(WriteStatus)


class SubscriberResult(NamedTuple):
    """``subscriber`` as it is now, ``before`` as it was; None where there is, or was, none."""

    status: SubscriberStatus
    subscriber: Subscriber | None = None
    before: Subscriber | None = None


class SubscriberChange(NamedTuple):
    """What is to be of a subscriber; None leaves that part as it is."""

    account_id: str | None = None
    identities: tuple[str, ...] | None = None
    password: str | None = None


class SubscriberStore(Store, Protocol):
    """A store that keeps the subscribers, too."""

    @property
    def directory(self) -> Directory: ...


class SubscriberDesk:
    """Raises BackendUnavailable, or what the store's client raises, when the store is away.

    ``key`` names the intent for seven days, empty: it has none. ``expects``: only if the subscriber is tagged so now; empty:
    whatever it is. Open sessions stay with the account that they began with; other processes find the old owner of an identity
    until they forget him.
    """

    def __init__(
        self,
        store: SubscriberStore,
        account: Callable[[str], Awaitable[Account | None]],
        forget: Callable[[], None],
        clock: Callable[[], int],
    ) -> None:
        self._store = store
        self._directory = store.directory
        self._account = account
        self._forget = forget
        self._clock = clock

    async def create(
        self, subscriber_id: str, account_id: str, identities: tuple[str, ...], password: str, *, key: str = ""
    ) -> SubscriberResult:
        assert identities, "a subscriber has at least one identity"
        wanted = Subscriber(subscriber_id, account_id, identities, password, self._clock())

        def made(there: Subscribers) -> Subscribers | SubscriberStatus:
            return SubscriberStatus.EXISTS if there[subscriber_id] is not None else {subscriber_id: wanted}

        if await self._account(account_id) is None:
            return SubscriberResult(SubscriberStatus.ACCOUNT_UNKNOWN)
        what = ("create", account_id, identities, password)
        return await self._written((subscriber_id,), made, subscriber_id, key, what)

    async def change(
        self, subscriber_id: str, change: SubscriberChange, *, key: str = "", expects: frozenset[str] = frozenset()
    ) -> SubscriberResult:
        """Give it another account, other identities, another password."""
        if change.account_id is not None and await self._account(change.account_id) is None:
            return SubscriberResult(SubscriberStatus.ACCOUNT_UNKNOWN)

        def changed(there: Subscribers) -> Subscribers | SubscriberStatus:
            subscriber = _expected(there[subscriber_id], expects)
            if isinstance(subscriber, SubscriberStatus):
                return subscriber
            fields = {name: value for name, value in change._asdict().items() if value is not None}
            return {subscriber_id: structs.replace(subscriber, **fields)}

        return await self._written((subscriber_id,), changed, subscriber_id, key, ("change", *change))

    async def remove(
        self, subscriber_id: str, *, key: str = "", expects: frozenset[str] = frozenset()
    ) -> SubscriberResult:
        """Its identities are nobody's then."""

        def removed(there: Subscribers) -> Subscribers | SubscriberStatus:
            subscriber = _expected(there[subscriber_id], expects)
            return subscriber if isinstance(subscriber, SubscriberStatus) else {subscriber_id: None}

        return await self._written((subscriber_id,), removed, subscriber_id, key, ("remove",))

    async def port(
        self,
        identity: str,
        giver_id: str,
        taker_id: str,
        *,
        key: str = "",
        expects: frozenset[str] = frozenset(),
    ) -> SubscriberResult:
        """Move an identity to another subscriber, in one step; a giver that has none left is no more.

        Without a key, too, a repeat is told that it was done, for as long as the taker has it.
        """

        def moved(there: Subscribers) -> Subscribers | SubscriberStatus:
            giver, taker = there[giver_id], _expected(there[taker_id], expects)
            if isinstance(taker, SubscriberStatus):
                return taker
            if identity in taker.identities:
                return SubscriberStatus.REPLAYED
            if giver is None or identity not in giver.identities:
                return SubscriberStatus.NOT_PORTABLE
            return dict(zip((giver_id, taker_id), ported(identity, giver, taker), strict=True))

        return await self._written((giver_id, taker_id), moved, taker_id, key, ("port", identity, giver_id))

    async def read(self, subscriber_id: str) -> Subscriber | None:
        return await self._directory.read(subscriber_id)

    async def find(self, identity: str) -> Subscriber | None:
        """Who has an identity."""
        return await asked(partial(self._store.resolve, identity))

    async def page(self, account_id: str, prefix: str, after: str, limit: int) -> list[Subscriber]:
        """Up to ``limit`` in the order of their ids, those after one; of one account, or (empty) of all; ids that begin so."""
        return await self._directory.page(account_id, prefix, after, limit)

    async def _written(
        self,
        subscriber_ids: tuple[str, ...],
        change: Callable[[Subscribers], Subscribers | SubscriberStatus],
        own: str,
        key: str,
        what: tuple[object, ...],
    ) -> SubscriberResult:
        mark = Mark(own, key, crc32(repr(what).encode()), KEYS_LAST_MS) if key else None
        written = await self._directory.write(subscriber_ids, change, mark)
        status = written.refusal or _WRITTEN[written.status]
        if status is SubscriberStatus.DONE:
            self._forget()
        return SubscriberResult(status, written.after[own], written.before[own])


def _expected(there: Subscriber | None, expects: frozenset[str]) -> Subscriber | SubscriberStatus:
    if there is None:
        return SubscriberStatus.UNKNOWN
    return SubscriberStatus.CHANGED_MEANWHILE if expects and there.tag not in expects else there
