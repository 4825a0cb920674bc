"""Money from one account to another, whatever partitions they are in: two steps that survive a crash between them. Pure.

    payer:  the debit, and a record that the money is on its way, in one posting
    payee:  the credit, once, by a key that is made of the payer's
    payer:  the record is gone; or the payee refused, and the money is back, in one posting

The record is filed with the deadlines: if the process dies in between, supervision goes on with it.
"""

from __future__ import annotations

from typing import Final

from msgspec import structs

from balance.account import MAIN_BUCKET, Account, AccountState, Hold, with_entry_number
from balance.burn import available, credit
from ocs.charging.cdr import JournalEntry
from ocs.charging.decision import Decision
from ocs.charging.giving_back import free_in
from ocs.charging.operations import BALANCE_MAX, Operation, RechargeResult, RechargeStatus, done_before
from ocs.charging.session import OperationRecord, Record, Transfer

KIND: Final = "transfer"
PATIENCE_MS: Final = 30_000
"""What is not done by then is taken up by supervision."""

STUCK_MS: Final = 6 * 86_400_000
"""Keys are remembered for seven days: what is on its way for longer is nobody's to repeat, and an operator's to look at."""


def transfer_key(account_id: str, key: str) -> str:
    """Where the record of money on its way lives, and by which name the payee's credit is known."""
    return f"transfer:{account_id}:{key}"


def sent(
    operation: Operation, payee: str, account: Account, record: Record | None, now_ms: int
) -> Decision[RechargeResult]:
    """The first step: what is free in the main bucket pays, never credit nor what was given for promotion."""
    if isinstance(record, OperationRecord):
        return done_before(operation, account, record)
    refusal = _refusal(operation, account)
    if refusal is not None:
        return Decision(RechargeResult(refusal, account), account)
    before, number, amount = account, account.entry_number + 1, operation.amount
    account = with_entry_number(credit(account, {MAIN_BUCKET: -amount}), number)
    key = transfer_key(account.account_id, operation.key)
    entry = JournalEntry(
        account.account_id, number, now_ms, KIND, account.currency, (Hold(MAIN_BUCKET, -amount),), key, operation.actor,
        f"to {payee}: {operation.reason}".rstrip(": "),
    )  # fmt: skip
    way = Transfer(
        account.account_id, now_ms + PATIENCE_MS, now_ms, payee, amount, account.currency, operation.key, operation.actor,
        operation.reason,
    )  # fmt: skip
    done = OperationRecord(account.account_id, now_ms, operation.fingerprint, number, available(account, now_ms))
    result = RechargeResult(RechargeStatus.APPLIED, account, number, before)
    return Decision(result, account, ((operation.record_key, done), (key, way)), (entry,))


def ended(
    way: Transfer, refusal: RechargeStatus | None, account: Account, record: Record | None, now_ms: int
) -> Decision[bool]:
    """The last step: the record goes; if the payee refused, the money comes back with it."""
    if not isinstance(record, Transfer):
        return Decision(False, account)  # somebody else was here
    key = transfer_key(way.account_id, way.key)
    if refusal is None:
        return Decision(True, account, ((key, None),))
    number = account.entry_number + 1
    account = with_entry_number(credit(account, {MAIN_BUCKET: way.amount}), number)
    entry = JournalEntry(
        account.account_id, number, now_ms, KIND, account.currency, (Hold(MAIN_BUCKET, way.amount),), key, way.actor,
        f"back from {way.payee}: {refusal.value}",
    )  # fmt: skip
    # The key is free again: a refused transfer may be tried anew.
    forgotten = f"op:{way.account_id}:{way.key}"
    return Decision(True, account, ((key, None), (forgotten, None)), (entry,))


def _refusal(operation: Operation, account: Account) -> RechargeStatus | None:
    if account.state in {AccountState.CLOSED, AccountState.RECYCLED}:
        return RechargeStatus.ACCOUNT_CLOSED
    if account.state is not AccountState.ACTIVE:
        return RechargeStatus.ACCOUNT_SUSPENDED
    if operation.currency != account.currency:
        return RechargeStatus.CURRENCY_MISMATCH
    if operation.amount > BALANCE_MAX:
        return RechargeStatus.AMOUNT_TOO_LARGE
    main = next(bucket for bucket in account.buckets if bucket.bucket_id == MAIN_BUCKET)
    return RechargeStatus.NOT_ENOUGH_MONEY if operation.amount > free_in(main) else None


def filed_later(way: Transfer, due_at_ms: int) -> Transfer:
    """The same record, to be looked at then."""
    later: Transfer = structs.replace(way, due_at_ms=due_at_ms)
    return later
