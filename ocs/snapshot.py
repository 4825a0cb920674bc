"""One account and its open sessions, read in one instant, however busy the account is.

A transaction can read keys that it names, and which sessions an account has is known only by reading them. So: read
the account, the index of open sessions and the sessions known so far in one transaction; if the index shows a new
session of this account, get to know it and try again. New sessions come more rarely than postings.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import msgspec

from balance.valkey import keys
from ocs.audit import Held
from ocs.charging.session import CreditSession, Record, decode_session

ATTEMPTS: Final = 50


class Snapshot(NamedTuple):
    """The account's octets (None: there is none) and the sums over its open sessions, of one instant."""

    value: bytes | None
    held: Held


async def snapshot(client: Any, partition: int, account_id: str) -> Snapshot | None:
    """None when new sessions came faster than they could be read. Raises redis-py's exceptions."""
    known: set[bytes] = set()
    own: list[bytes] = []
    for _ in range(ATTEMPTS):
        pipeline = client.pipeline(transaction=True)
        pipeline.get(keys.account_key(partition, account_id))
        pipeline.zrange(keys.deadlines_key(partition), 0, -1)
        if own:
            pipeline.mget([_session_key(partition, member) for member in own])
        value, members, *values = await pipeline.execute()
        fresh = [member for member in members if member not in known]
        owners = await _owners(client, partition, fresh)
        # One that is gone already may have been ours in that instant.
        added = [member for member, owner in zip(fresh, owners, strict=True) if owner in {account_id, None}]
        if not added:
            return Snapshot(value, _held(values[0] if values else [], account_id))
        known.update(fresh)
        own += added
    return None


def _held(values: list[bytes | None], account_id: str) -> Held:
    held = Held()
    for value in values:
        record = _record(value)
        if isinstance(record, CreditSession) and record.account_id == account_id:
            held.add(record)
    return held


async def _owners(client: Any, partition: int, members: list[bytes]) -> list[str | None]:
    if not members:
        return []
    values = await client.mget([_session_key(partition, member) for member in members])
    return [record.account_id if (record := _record(value)) is not None else None for value in values]


def _record(value: bytes | None) -> Record | None:
    try:
        return decode_session(value) if value is not None else None
    except msgspec.MsgspecError:
        return None  # the walk over all sessions reports it


def _session_key(partition: int, member: bytes) -> str:
    return keys.session_key(partition, member.decode())
