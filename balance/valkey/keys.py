"""Names in Valkey. The hash tag ``{p17}`` keeps an account and all that changes with it in one cluster slot."""

from __future__ import annotations

from typing import Final
from zlib import crc32

from balance.levels import LEVEL_MARK, top_of

PARTITIONS_KEY = "ocs:partitions"
PROBE_KEY = "ocs:probe"


def partition_of(account_id: str, partitions: int) -> int:
    """The account's partition; fixed for ever once the store is created with its number of partitions.

    Accounts in levels are where their top is.
    """
    name = top_of(account_id) if LEVEL_MARK in account_id else account_id
    return crc32(name.encode()) % partitions


def account_key(partition: int, account_id: str) -> str:
    return f"{{p{partition}}}a:{account_id}"


def session_key(partition: int, key: str) -> str:
    return f"{{p{partition}}}s:{key}"


OUTBOX_FIELD: Final = b"e"
"""The field of a stream's entry that holds the journal entry."""


def outbox_key(partition: int) -> str:
    return f"{{p{partition}}}outbox"


def deadlines_key(partition: int) -> str:
    return f"{{p{partition}}}deadlines"


def holders_key(partition: int) -> str:
    """The open sessions by account: members are ``holder_member``, all with the score 0, in lexical order."""
    return f"{{p{partition}}}holders"


def holder_member(account_id: str, session_key: str) -> str:
    return f"{account_id}\0{session_key}"


def subscriber_key(subscriber_id: str) -> str:
    return f"ocs:subscriber:{subscriber_id}"


SUBSCRIBERS_KEY: Final = "ocs:subscribers"
"""All ids, in lexical order."""

HELD_SUBSCRIBERS_KEY: Final = "ocs:subscribers:accounts"
"""Account and id with an octet 0 between, in lexical order."""

SUBSCRIBERS_INDEXED_KEY: Final = "ocs:subscribers:indexed"
"""There when both indexes know those that are older than the indexes."""


def mark_key(subscriber_id: str, key: str) -> str:
    """Where the key of a change of a subscriber is remembered."""
    return f"ocs:subscriber-key:{subscriber_id}\0{key}"


def identity_key(identity: str) -> str:
    return f"ocs:identity:{identity}"
