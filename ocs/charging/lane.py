"""What is known of one account between requests, and the work that waits for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Protocol, TypeAlias

from balance.account import Account
from ocs.charging.decision import Decision
from ocs.charging.session import CreditSession, Record

BATCH_MAX: Final = 64

Known: TypeAlias = Record | Account | None
"""What a lane keeps by key: sessions, and accounts in levels below its own."""


class Work(Protocol):
    """One request or operation that waits in a lane.

    ``keys`` are the records it is decided from; with ``expects_new`` they are assumed not to exist,
    unread; with ``may_be_new`` only if the account holds nothing in reserve, so that there is nothing to be taken over.
    """

    keys: tuple[str, ...]
    expects_new: bool
    may_be_new: bool

    def decide(self, account: Account | None, records: Mapping[str, Any], now_ms: int) -> Decision[Any] | None:
        """Decide; None when the account does not exist."""

    def answer(self, answer: Any) -> None:
        """Everything that the answer says has become true."""

    def unknown_account(self) -> None: ...
    def unavailable(self) -> None: ...
    def busy(self) -> None: ...
    def failed(self, error: Exception) -> None: ...


def _holds_nothing(account: Account) -> bool:
    """No session and no authorization has money or units set aside."""
    return account.extras is None and not any(bucket.reserved for bucket in account.buckets)


class Lane:
    """What is known of one account, and the work that waits for it."""

    __slots__ = (
        "account", "account_id", "attempts", "batch", "busy", "fresh", "has_closed", "has_levels", "pending", "records",
    )  # fmt: skip

    def __init__(self, account_id: str) -> None:
        self.account_id = account_id
        self.account: Account | None = None
        self.records: dict[str, Known] = {}
        self.pending: list[Work] = []
        self.batch: list[Work] = []  # what is decided and posted together now
        self.busy = False
        self.fresh = False  # read from the store for this very batch
        self.attempts = 0
        self.has_closed = False
        self.has_levels = False  # accounts below this one were asked for

    def take_batch(self) -> None:
        """Begin with what has come meanwhile."""
        pending = self.pending
        if len(pending) <= BATCH_MAX:
            self.batch, self.pending = pending, []
        else:
            self.batch, self.pending = pending[:BATCH_MAX], pending[BATCH_MAX:]
        self.attempts = 0
        self.fresh = False

    def missing(self) -> list[str] | None:
        """Which records the batch is decided from and nobody has read; None: the batch can be decided."""
        known = self.records
        found: list[str] = []
        account = self.account
        for work in self.batch:
            if account is None or not (work.expects_new or (work.may_be_new and _holds_nothing(account))):
                for key in work.keys:
                    if key not in known:
                        found.append(key)  # noqa: PERF401 - a comprehension is a call more, in every request
        return found if found or self.account is None else None

    def drop_closed(self) -> None:
        """Of closed and absent sessions the store knows enough."""
        self.has_closed = False
        for key, record in list(self.records.items()):
            if type(record) is not CreditSession and type(record) is not Account:
                del self.records[key]
