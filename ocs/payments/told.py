"""What an account's journal says of automatic top-ups that move no money: one entry, and so one event, for each key. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from zlib import crc32

from balance.account import Account, with_entry_number
from balance.burn import available
from ocs.charging.account_events import TYPE_FACT
from ocs.charging.cdr import JournalEntry
from ocs.charging.decision import Decision
from ocs.charging.operations import OperationKind
from ocs.charging.session import OperationRecord, Record

FAILED: Final = "automatic_top_up_failed"
STOPPED: Final = "automatic_top_up_stopped"


def record_key(account_id: str, key: str) -> str:
    """Where it is remembered that this was told, among the account's operations."""
    return f"op:{account_id}:{key}"


def told(
    account: Account | None,
    records: Mapping[str, Record | None],
    now_ms: int,
    event: str,
    key: str,
    why: str,
    actor: str,
) -> Decision[bool] | None:
    """Tell it, unless it was told before."""
    if account is None:
        return None
    name = record_key(account.account_id, key)
    if records.get(name) is not None:
        return Decision(True, account, is_replay=True)
    account = with_entry_number(account, account.entry_number + 1)
    entry = JournalEntry(
        account.account_id, account.entry_number, now_ms, OperationKind.AUTOMATIC_TOP_UP.value, account.currency, (), key,
        actor, why, facts=((TYPE_FACT, event), ("why", why), ("threshold", str(account.low_balance))),
    )  # fmt: skip
    record = OperationRecord(
        account.account_id, now_ms, crc32(event.encode()), account.entry_number, available(account, now_ms)
    )
    return Decision(True, account, ((name, record),), (entry,))
