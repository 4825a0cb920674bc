"""What is done to an account outside of calls: open it, top it up, adjust it, change its state. Pure decisions.

Every operation carries the caller's key. The key's record is written in the same step as the money, so the same
operation under the same key happens once, and another one under it is refused.
"""

from __future__ import annotations

from enum import Enum
from typing import Final, NamedTuple
from zlib import crc32

from msgspec import structs

from balance.account import MAIN_BUCKET, Account, AccountState, Bucket, Hold
from balance.burn import available, credit, with_bucket
from balance.money import Amount
from ocs.charging.cdr import JournalEntry
from ocs.charging.decision import Decision
from ocs.charging.notices import CHANGE_OF_STATE, Change
from ocs.charging.session import OperationRecord, Record
from ocs.charging.steps import with_entry_number, with_expiries

BALANCE_MAX: Final = 2**62
"""Room for one more of the same below the 63 bits that an amount may take."""


class OperationKind(Enum):
    TOP_UP = "top_up"
    ADJUSTMENT = "adjustment"
    INVOICE = "invoice"  # what an invoice asks for beside the calls that were debited
    PAYMENT = "payment"
    STATE = "state"


class RechargeStatus(Enum):
    """Every outcome of an operation that carries a key."""

    APPLIED = "applied"
    REPLAYED = "replayed"
    KEY_REUSED = "key_reused"
    ACCOUNT_UNKNOWN = "account_unknown"
    ACCOUNT_CLOSED = "account_closed"
    CURRENCY_MISMATCH = "currency_mismatch"
    AMOUNT_TOO_LARGE = "amount_too_large"


class AccountFault(Enum):
    """Why an account was not created."""

    EXISTS = "exists"
    CURRENCY_UNKNOWN = "currency_unknown"
    RATE_PLAN_UNKNOWN = "rate_plan_unknown"


class BucketOptions(NamedTuple):
    """Where a top-up goes if not into the main bucket. ``expires_at_ms`` 0: never."""

    priority: int = 100
    expires_at_ms: int = 0


class RechargeResult(NamedTuple):
    """``account`` as it stands now; ``entry_number`` of the journal entry that was written (for a replay: then)."""

    status: RechargeStatus
    account: Account | None = None
    entry_number: int = 0


class Operation(NamedTuple):
    """``amount`` is signed for an adjustment; ``state`` is for a change of state only."""

    kind: OperationKind
    account_id: str
    key: str
    actor: str
    reason: str
    amount: Amount = 0
    currency: str = ""
    bucket: BucketOptions | None = None
    state: AccountState | None = None

    @property
    def record_key(self) -> str:
        """Where the key's record lives: with the account's sessions, under a name that no protocol uses."""
        return f"op:{self.account_id}:{self.key}"

    @property
    def change(self) -> Change | None:
        """What the account's open sessions have to know of it; None: nothing."""
        if self.state is not None:
            return CHANGE_OF_STATE[self.state]
        return Change.PAID_IN if self.amount > 0 else None

    @property
    def fingerprint(self) -> int:
        return crc32(repr((self.kind.value, self.amount, self.currency, self.bucket, self.state)).encode())


def decide_operation(
    operation: Operation, account: Account, record: Record | None, now_ms: int
) -> Decision[RechargeResult]:
    """Do it, or say that it was done, or why it cannot be."""
    if isinstance(record, OperationRecord):
        same = record.fingerprint == operation.fingerprint
        status = RechargeStatus.REPLAYED if same else RechargeStatus.KEY_REUSED
        return Decision(RechargeResult(status, account, record.entry_number), account, is_replay=True)
    account, entries = with_expiries(account, now_ms)
    refusal = _refusal(operation, account)
    if refusal is not None:
        return Decision(RechargeResult(refusal, account), account, entries=entries)
    number = account.entry_number + 1
    account, changes, reason = _apply(operation, with_entry_number(account, number), now_ms)
    entry = JournalEntry(
        account.account_id,
        number,
        now_ms,
        operation.kind.value,
        account.currency,
        changes,
        operation.key,
        operation.actor,
        reason,
    )
    done = OperationRecord(account.account_id, now_ms, operation.fingerprint, number, available(account, now_ms))
    result = RechargeResult(RechargeStatus.APPLIED, account, number)
    return Decision(result, account, ((operation.record_key, done),), (*entries, entry))


def open_account(
    account: Account, existing: Account | None, actor: str, now_ms: int
) -> Decision[Account | AccountFault]:
    """Create the account with its first journal entry, unless there is one."""
    if existing is not None:
        return Decision(AccountFault.EXISTS, existing)
    opened: Account = structs.replace(account, version=0, entry_number=1, created_at_ms=now_ms)
    entry = JournalEntry(account.account_id, 1, now_ms, "opened", account.currency, (), actor=actor)
    return Decision(opened, opened, entries=(entry,))


def _refusal(operation: Operation, account: Account) -> RechargeStatus | None:
    if account.state == AccountState.CLOSED:
        return RechargeStatus.ACCOUNT_CLOSED
    if operation.kind == OperationKind.STATE:
        return None
    if operation.currency != account.currency:
        return RechargeStatus.CURRENCY_MISMATCH
    booked = sum(abs(bucket.balance) for bucket in account.buckets)
    if booked + abs(operation.amount) > BALANCE_MAX:
        return RechargeStatus.AMOUNT_TOO_LARGE
    return None


def _apply(operation: Operation, account: Account, now_ms: int) -> tuple[Account, tuple[Hold, ...], str]:
    if operation.kind == OperationKind.STATE:
        assert operation.state is not None, "a change of state names the state"
        reason = f"{account.state.name.lower()} -> {operation.state.name.lower()}: {operation.reason}".rstrip(": ")
        return structs.replace(account, state=operation.state), (), reason
    if operation.bucket is None:
        change = Hold(MAIN_BUCKET, operation.amount)
        return credit(account, {MAIN_BUCKET: operation.amount}), (change,), operation.reason
    # The entry's number names the bucket: it is never used twice, not even after the bucket is gone.
    bucket_id = account.entry_number
    bucket = Bucket(bucket_id, operation.amount, 0, operation.bucket.priority, operation.bucket.expires_at_ms, now_ms)
    return with_bucket(account, bucket), (Hold(bucket_id, operation.amount),), operation.reason
