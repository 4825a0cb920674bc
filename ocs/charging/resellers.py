"""Another reseller for an account: whom it is charged along with, from what begins next on. Pure.

Sessions that are open carry the one that they began with (``links``), and end with it.
"""

from __future__ import annotations

from typing import Final

from msgspec import structs

from balance.account import NO_EXTRAS, Account, AccountState, with_entry_number, with_extras
from balance.burn import available
from ocs.charging.account_events import TYPE_FACT
from ocs.charging.cdr import JournalEntry
from ocs.charging.decision import Decision
from ocs.charging.operations import Operation, RechargeResult, RechargeStatus, done_before, version_tag
from ocs.charging.session import OperationRecord, Record

KIND: Final = "reseller"
EVENT: Final = "reseller_changed"


def is_over(account: Account) -> bool:
    """Whether nothing can be charged to it any more."""
    return account.state in {AccountState.CLOSED, AccountState.RECYCLED}


def resold(
    operation: Operation, refusal: RechargeStatus | None, account: Account, record: Record | None, now_ms: int
) -> Decision[RechargeResult]:
    """Note the reseller that ``payee`` names (empty: none); ``refusal`` is what its own accounts say against it."""
    if isinstance(record, OperationRecord):
        return done_before(operation, account, record)
    if is_over(account):
        refusal = RechargeStatus.ACCOUNT_CLOSED
    elif operation.expects and version_tag(account) not in operation.expects:
        refusal = RechargeStatus.CHANGED_MEANWHILE
    if refusal is not None:
        return Decision(RechargeResult(refusal, account), account)
    extras, number = account.extras or NO_EXTRAS, account.entry_number + 1
    before, reseller = extras.reseller or "", operation.payee
    entry = JournalEntry(
        account.account_id, number, now_ms, KIND, account.currency, (), operation.key, operation.actor,
        f"{before or 'nobody'} -> {reseller or 'nobody'}: {operation.reason}".rstrip(": "),
        facts=((TYPE_FACT, EVENT), ("reseller_before", before), ("reseller", reseller)),
    )  # fmt: skip
    after = with_entry_number(with_extras(account, structs.replace(extras, reseller=reseller)), number)
    done = OperationRecord(account.account_id, now_ms, operation.fingerprint, number, available(after, now_ms))
    result = RechargeResult(RechargeStatus.APPLIED, after, number, account)
    return Decision(result, after, ((operation.record_key, done),), (entry,))
