"""Sessions in levels: the same use, charged to an account and to those above it, each by its own plan, in one posting.

At the account itself the session has the client's key; at a higher one that key with the account's name behind it. So each
level has a session, records and a journal of its own, and is supervised and audited like any other account.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from msgspec import structs

from balance.account import Account
from balance.burn import with_version
from ocs.charging.decision import Decision

if TYPE_CHECKING:
    from ocs.charging.lane import Work

_ABOVE: Final = " ^"
_ACCOUNT: Final = "account:"


def level_key(key: str, account_id: str) -> str:
    """The key that a session has at a higher account."""
    return f"{key}{_ABOVE}{account_id}"


def is_above(key: str) -> bool:
    """Whether it is the session of a higher account."""
    return _ABOVE in key


def levels_in(key: str) -> int:
    """How many accounts above one another have a session of that key."""
    return key.count(_ABOVE)


def client_key(key: str) -> str:
    """The session as the client knows it, whatever level a key is of."""
    return key.partition(_ABOVE)[0]


def account_key(account_id: str) -> str:
    """Under what name a lane keeps an account below its own, among the sessions."""
    return f"{_ACCOUNT}{account_id}"


def account_of_key(key: str) -> str:
    """The account that such a name is of; empty for a session's key."""
    return key.removeprefix(_ACCOUNT) if key.startswith(_ACCOUNT) else ""


def moved_on(account: Account) -> Account:
    """An account that changes along with its top: whoever expects its old version finds out."""
    return with_version(account, account.version + 1)


def others_of(decision: Decision[Any], before: Account | None) -> tuple[Account, ...]:
    """The account of a decision as one that changes along with its top, if anything of it changes."""
    is_changed = decision.account is not before or decision.records or decision.entries
    return (moved_on(decision.account),) if is_changed else ()


class OfMember:
    """Work for an account below a top, in the top's lane."""

    __slots__ = ("_account_id", "_work", "expects_new", "keys", "may_be_new")

    def __init__(self, account_id: str, work: Work) -> None:
        self._account_id = account_id
        self._work = work
        self.keys = (*work.keys, account_key(account_id))
        self.expects_new = self.may_be_new = False

    def decide(self, account: Account | None, records: Mapping[str, Any], now_ms: int) -> Decision[Any] | None:
        """Decide for the member; of the top nothing changes but its version."""
        if account is None:
            return None
        member = records.get(account_key(self._account_id))
        decision = self._work.decide(member, records, now_ms)
        if decision is None:
            return None
        return structs.replace(decision, account=account, others=others_of(decision, member))

    def answer(self, answer: Any) -> None:
        self._work.answer(answer)

    def unknown_account(self) -> None:
        self._work.unknown_account()

    def unavailable(self) -> None:
        self._work.unavailable()

    def busy(self) -> None:
        self._work.busy()

    def failed(self, error: Exception) -> None:
        self._work.failed(error)
