"""Accounts in levels: who is charged along with whom stands in the names.

``acme~north~alice`` is charged together with ``acme~north`` and ``acme``. All accounts below one top share its partition, so
one posting can change them together; and all that happens to them goes by the top's lane, so its version orders them.
"""

from __future__ import annotations

from typing import Final

LEVEL_MARK: Final = "~"


def top_of(account_id: str) -> str:
    """The highest account that is charged along: itself for an account without levels."""
    return account_id.partition(LEVEL_MARK)[0]


def parent_of(account_id: str) -> str:
    """The next higher account; empty for a top."""
    return account_id.rpartition(LEVEL_MARK)[0]


def levels_of(account_id: str) -> tuple[str, ...]:
    """Every account that is charged, from the top to the account itself."""
    names = account_id.split(LEVEL_MARK)
    return tuple(LEVEL_MARK.join(names[: at + 1]) for at in range(len(names)))
