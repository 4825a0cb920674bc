"""What is done to an account outside of calls: open it, top it up, adjust it, change its state. Pure decisions.

Every operation carries the caller's key. The key's record is written in the same step as the money, so the same
operation under the same key happens once, and another one under it is refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import Enum
from typing import Final, NamedTuple
from zlib import crc32

from msgspec import structs

from balance.account import (
    EACH_MEMBER,
    MAIN_BUCKET,
    NO_EXTRAS,
    OPERATOR,
    Account,
    AccountState,
    Bucket,
    CallLimit,
    Cap,
    Hold,
    Source,
    new_slot,
    with_entry_number,
    with_extras,
)
from balance.burn import available, credit, with_bucket
from balance.money import Amount, format_amount
from ocs.charging.cdr import JournalEntry
from ocs.charging.decision import Decision, Rates
from ocs.charging.dues import with_dues
from ocs.charging.expiry_notices import due_timer
from ocs.charging.giving_back import given_back
from ocs.charging.life import blocks_of, ended, topped_up, with_block, with_limit, without_block, zone_of
from ocs.charging.low_balance import booked
from ocs.charging.notices import CHANGE_OF_STATE, Change
from ocs.charging.packages import Sale, can_pay, cancelled, sold, timer_key, timer_of
from ocs.charging.plans import PlanOrder, is_bound, ordered, plan_tag
from ocs.charging.refused import forgotten
from ocs.charging.rules import AccountRules
from ocs.charging.session import OperationRecord, Record
from ocs.rating.bundles import Package
from ocs.rating.periods import Every
from ocs.rating.units import UnitKind, quantity_text

BALANCE_MAX: Final = 2**62
"""Room for one more of the same below the 63 bits that an amount may take."""


class OperationKind(Enum):
    TOP_UP = "top_up"
    ADJUSTMENT = "adjustment"
    INVOICE = "invoice"  # what an invoice asks for beside the calls that were debited
    PAYMENT = "payment"
    TRANSFER = "transfer"
    REFUND = "refund"  # of a record
    REVERSAL = "reversal"  # of another entry
    AUTOMATIC_TOP_UP = "automatic_top_up"
    CHARGEBACK = "chargeback"  # what a payer had his bank take back, and what came again
    STATE = "state"
    PACKAGE = "package"
    LIMITS = "limits"
    CANCEL = "cancel"
    PLAN = "plan"
    MERGE = "merge"
    RESELLER = "reseller"


_PAID_IN: Final = frozenset(
    {OperationKind.TOP_UP, OperationKind.AUTOMATIC_TOP_UP, OperationKind.PAYMENT, OperationKind.TRANSFER}
)


class RechargeStatus(Enum):
    """Every outcome of an operation that carries a key."""

    APPLIED = "applied"
    REPLAYED = "replayed"
    KEY_REUSED = "key_reused"
    ACCOUNT_UNKNOWN = "account_unknown"
    ACCOUNT_CLOSED = "account_closed"
    CURRENCY_MISMATCH = "currency_mismatch"
    AMOUNT_TOO_LARGE = "amount_too_large"
    NOT_ENOUGH_MONEY = "not_enough_money"
    ACCOUNT_SUSPENDED = "account_suspended"
    SUBSCRIPTION_UNKNOWN = "subscription_unknown"
    PAYEE_UNKNOWN = "payee_unknown"
    PAYEE_CLOSED = "payee_closed"
    NOT_REVERSIBLE = "not_reversible"
    CHANGED_MEANWHILE = "changed_meanwhile"
    RATE_PLAN_UNKNOWN = "rate_plan_unknown"
    COMMITTED = "committed"
    IN_USE = "in_use"  # sessions are open
    IN_LEVELS = "in_levels"  # it is charged along with others
    RESELLER_UNKNOWN = "reseller_unknown"  # or over
    IN_CIRCLE = "in_circle"  # the reseller is charged along with the account itself


class AccountFault(Enum):
    """Why an account was not created."""

    EXISTS = "exists"
    CURRENCY_UNKNOWN = "currency_unknown"
    RATE_PLAN_UNKNOWN = "rate_plan_unknown"
    PARENT_UNKNOWN = "parent_unknown"
    RESELLER_UNKNOWN = "reseller_unknown"
    IN_LEVELS = "in_levels"
    REPLAYED = "replayed"  # it was created under this key before
    KEY_REUSED = "key_reused"


class BucketOptions(NamedTuple):
    """Where a top-up goes if not into the main bucket. ``expires_at_ms`` 0: never."""

    priority: int = 100
    expires_at_ms: int = 0
    origin: Source = Source.PAID


class RechargeResult(NamedTuple):
    """``account`` as it stands now; ``entry_number`` of the journal entry that was written (for a replay: then).

    ``before`` is the account before it, where the operation was carried out now.
    """

    status: RechargeStatus
    account: Account | None = None
    entry_number: int = 0
    before: Account | None = None

    @property
    def goes_on_at(self) -> str:
        """The account that has what this one had, where it was refused because of that; else empty."""
        is_closed = self.status is RechargeStatus.ACCOUNT_CLOSED and self.account is not None
        return (self.account.extras or NO_EXTRAS).merged_into if is_closed and self.account is not None else ""


class CallsChoice(NamedTuple):
    """How many sessions of a service may be open at once, and begin in a second; 0 is no limit."""

    service: str
    at_once: int = 0
    per_second: int = 0


class CapChoice(NamedTuple):
    """The most that may be spent on some services (none named: all) in a period, and when to warn of it; of one member or
    of each, and of units instead of money, as in ``Cap``.
    """

    name: str
    every: Every
    most: Amount
    services: tuple[str, ...] = ()
    warn_percent: int = 0
    member: str = ""
    unit: int = 0
    destinations: tuple[str, ...] = ()
    networks: tuple[str, ...] = ()
    not_networks: tuple[str, ...] = ()


class Limits(NamedTuple):
    """What an account may do from now on; None leaves that part as it is.

    ``zone`` is the plan's time zone, ``scale`` that of the account's currency, for the words in the journal. ``low_balance`` is
    the threshold below which the account's followers are told.
    """

    credit_limit: Amount | None = None
    calls: tuple[CallsChoice, ...] | None = None
    caps: tuple[CapChoice, ...] | None = None
    zone: str = ""
    scale: int = 0
    low_balance: Amount | None = None


def record_key(account_id: str, key: str) -> str:
    """Where the record of a key lives: with the account's sessions, under a name that no protocol uses."""
    return f"op:{account_id}:{key}"


class Operation(NamedTuple):
    """``amount`` is signed for an adjustment; ``state`` is for a change of state only, ``package`` for a purchase.

    ``block`` names what suspends an account, and what is lifted when it is activated. ``takes_back`` are the changes of an
    earlier entry, of which ``amount`` (0: all) is undone. ``is_covered``: what is taken has to be there.
    """

    kind: OperationKind
    account_id: str
    key: str
    actor: str
    reason: str
    amount: Amount = 0
    currency: str = ""
    bucket: BucketOptions | None = None
    state: AccountState | None = None
    package: Package | None = None
    subscription: int = 0
    limits: Limits | None = None
    block: str = OPERATOR
    payee: str = ""
    takes_back: tuple[Hold, ...] = ()
    expects: frozenset[str] = (
        frozenset()
    )  # the tags of its limits, state, plan, or of all, that it is meant for; empty: any
    plan: PlanOrder | None = None
    is_covered: bool = False

    @property
    def record_key(self) -> str:
        return record_key(self.account_id, self.key)

    @property
    def change(self) -> Change | None:
        """What the account's open sessions have to know of it; None: nothing."""
        if self.state is not None:
            return CHANGE_OF_STATE[self.state]
        if self.package is not None or self.limits is not None:
            return Change.PAID_IN  # who waits for money may find some now
        if self.plan is not None:
            return None if self.plan.at_cycle_end else Change.PAID_IN
        return Change.PAID_IN if self.amount > 0 or self.takes_back else None

    @property
    def fingerprint(self) -> int:
        what = repr((self.kind.value, self.amount, self.currency, self.bucket, self.state))
        if self.block != OPERATOR:
            what += self.block
        what += self.payee
        if self.subscription:
            what += str(self.subscription)
        if self.limits is not None:
            what += repr(self.limits._replace(zone="", scale=0))
        if self.package is not None:  # by its name: a repeat may come when its price has changed
            what += self.package.name
        if self.plan is not None:
            what += repr(tuple(self.plan))
        return crc32(what.encode())


def decide_operation(
    operation: Operation, account: Account, record: Record | None, now_ms: int, rates: Rates, rules: AccountRules
) -> Decision[RechargeResult]:
    """Do it, or say that it was done, or why it cannot be."""
    if isinstance(record, OperationRecord):
        return done_before(operation, account, record)
    before = account
    account, entries = with_dues(account, rates, rules, now_ms)
    refusal = _refusal(operation, account, rates, now_ms)
    if refusal is not None:
        return Decision(RechargeResult(refusal, account), account, entries=entries)
    first = account.entry_number + 1
    if operation.change is not None:
        account = forgotten(account)
    if operation.package is not None:
        sale = Sale(operation.key, operation.actor, operation.reason)
        account, done = sold(account, operation.package, sale, now_ms)
    elif operation.plan is not None:
        sale = Sale(operation.key, operation.actor, operation.reason)
        account, noted = ordered(account, operation.plan, sale, rates, now_ms)
        done = (noted,)
    else:
        account, done = _done(operation, account, now_ms)
    if operation.kind in _PAID_IN and operation.amount > 0:
        zone = zone_of(account, rates.time_zone_of(account.rate_plan))
        account, longer = topped_up(account, rules.lifecycle_of(account.rate_plan), zone, now_ms)
        done = (*done, *longer)
    account, more = with_dues(account, rates, rules, now_ms)  # what waited for money, or for the account to be active
    record = OperationRecord(account.account_id, now_ms, operation.fingerprint, first, available(account, now_ms))
    result = RechargeResult(RechargeStatus.APPLIED, account, first, before)
    records: tuple[tuple[str, Record | None], ...] = ((operation.record_key, record),)
    timer = due_timer(account, rules, now_ms)
    if timer != due_timer(before, rules, now_ms):
        records = (*records, (timer_key(account.account_id), timer))
    return Decision(result, account, records, (*entries, *done, *more))


def done_before(operation: Operation, account: Account, record: OperationRecord) -> Decision[RechargeResult]:
    """What was done under the operation's key: the same, or something else."""
    same = record.fingerprint == operation.fingerprint
    status = RechargeStatus.REPLAYED if same else RechargeStatus.KEY_REUSED
    return Decision(RechargeResult(status, account, record.entry_number), account, is_replay=True)


def _done(operation: Operation, account: Account, now_ms: int) -> tuple[Account, tuple[JournalEntry, ...]]:
    account, changes, reason = _apply(operation, with_entry_number(account, account.entry_number + 1), now_ms)
    return account, (_entry(operation, account, changes, reason, now_ms),)


def _entry(
    operation: Operation,
    account: Account,
    changes: tuple[Hold, ...],
    reason: str,
    now_ms: int,
    units: tuple[Hold, ...] = (),
) -> JournalEntry:
    return JournalEntry(
        account.account_id, account.entry_number, now_ms, operation.kind.value, account.currency, changes,
        operation.key, operation.actor, reason, units=units, facts=(("balance", str(booked(account))),) if changes else (),
    )  # fmt: skip


def limits_tag(account: Account) -> str:
    """Names what limits an account has, whatever it spends meanwhile."""
    extras = account.extras or NO_EXTRAS
    calls = [(each.service, each.at_once, each.per_second) for each in extras.calls]
    caps = [structs.astuple(each) for each in extras.caps]
    return _tag((account.credit_limit, account.low_balance, calls, caps))


def state_tag(account: Account) -> str:
    """Names what an account's state is made of: its blocks, and its stage with its end."""
    life = (account.extras or NO_EXTRAS).life
    return _tag((account.state, blocks_of(account), life.until_ms if life is not None else 0))


def version_tag(account: Account) -> str:
    """Names the account as a whole; a tag of it is as good as one of a part."""
    return f"v{account.version}"


def _tag(what: tuple[object, ...]) -> str:
    return f"{crc32(repr(what).encode()):08x}"


class Opening(NamedTuple):
    """An account to be, who wants it, and under which key (empty: none)."""

    account: Account
    actor: str
    key: str = ""
    wanted: tuple[object, ...] = ()

    @property
    def record_keys(self) -> tuple[str, ...]:
        return (record_key(self.account.account_id, self.key),) if self.key else ()

    @property
    def fingerprint(self) -> int:
        return crc32(repr(self.wanted).encode())


def open_account(
    opening: Opening, existing: Account | None, records: Mapping[str, Record | None], now_ms: int
) -> Decision[Account | AccountFault]:
    """Create the account with its first journal entry, unless there is one."""
    account, keys = opening.account, opening.record_keys
    if existing is not None:
        done = records.get(keys[0]) if keys else None
        if not isinstance(done, OperationRecord):
            return Decision(AccountFault.EXISTS, existing)
        same = done.fingerprint == opening.fingerprint
        return Decision(AccountFault.REPLAYED if same else AccountFault.KEY_REUSED, existing, is_replay=True)
    opened: Account = structs.replace(account, version=0, entry_number=1, created_at_ms=now_ms)
    entry = JournalEntry(account.account_id, 1, now_ms, "opened", account.currency, (), opening.key, opening.actor)
    timer = timer_of(opened, now_ms)
    made: tuple[tuple[str, Record | None], ...] = tuple(
        (key, OperationRecord(account.account_id, now_ms, opening.fingerprint, 1, 0)) for key in keys
    )
    return Decision(
        opened, opened, ((timer_key(account.account_id), timer), *made) if timer is not None else made, (entry,)
    )


def _refusal(operation: Operation, account: Account, rates: Rates, now_ms: int) -> RechargeStatus | None:
    if account.state is AccountState.CLOSED:
        return RechargeStatus.ACCOUNT_CLOSED
    if account.state is AccountState.RECYCLED and operation.state is not AccountState.CLOSED:
        return RechargeStatus.ACCOUNT_CLOSED
    if operation.expects and not operation.expects & {_part_tag(operation, account), version_tag(account)}:
        return RechargeStatus.CHANGED_MEANWHILE
    if operation.plan is not None:
        return _refusal_to_change(operation.plan, account, rates, now_ms)
    if operation.kind in {OperationKind.STATE, OperationKind.LIMITS}:
        return None
    if operation.kind is OperationKind.CANCEL:
        known = cancelled(account, operation.subscription) is not None
        return None if known else RechargeStatus.SUBSCRIPTION_UNKNOWN
    if operation.package is not None:
        return _refusal_to_sell(operation.package, account, now_ms)
    if operation.currency != account.currency:
        return RechargeStatus.CURRENCY_MISMATCH
    if operation.is_covered and available(account, now_ms) < -operation.amount:
        return RechargeStatus.NOT_ENOUGH_MONEY
    booked = sum(abs(bucket.balance) for bucket in account.buckets)
    if booked + abs(operation.amount) > BALANCE_MAX:
        return RechargeStatus.AMOUNT_TOO_LARGE
    return None


def _part_tag(operation: Operation, account: Account) -> str:
    if operation.plan is not None:
        return plan_tag(account)
    return state_tag(account) if operation.state is not None else limits_tag(account)


def _refusal_to_change(order: PlanOrder, account: Account, rates: Rates, now_ms: int) -> RechargeStatus | None:
    currency = rates.currency_of(order.plan)
    if currency != account.currency:
        return RechargeStatus.RATE_PLAN_UNKNOWN if currency is None else RechargeStatus.CURRENCY_MISMATCH
    return RechargeStatus.COMMITTED if is_bound(account, order, rates, now_ms) else None


def _refusal_to_sell(package: Package, account: Account, now_ms: int) -> RechargeStatus | None:
    if account.state not in {AccountState.ACTIVE, AccountState.CREATED}:
        return RechargeStatus.ACCOUNT_SUSPENDED
    return None if can_pay(account, package, now_ms) else RechargeStatus.NOT_ENOUGH_MONEY


def _limited(limits: Limits, account: Account) -> tuple[Account, str]:
    """Put limits in place, and say in words what was and what is. Grants that are out stay as they are (statement 108)."""
    extras, words = account.extras or NO_EXTRAS, []
    if limits.credit_limit is not None:
        before, after = (format_amount(each, limits.scale) for each in (account.credit_limit, limits.credit_limit))
        words.append(f"credit limit {before} -> {after}")
        account = structs.replace(account, credit_limit=limits.credit_limit)
    if limits.low_balance is not None:
        before, after = (format_amount(each, limits.scale) for each in (account.low_balance, limits.low_balance))
        words.append(f"low balance {before} -> {after}")
        account = structs.replace(account, low_balance=limits.low_balance)
    if limits.calls is not None:
        words.append(f"calls {_calls_text(extras.calls)} -> {_calls_text(limits.calls)}")
        known = {limit.service: limit for limit in extras.calls}
        account = with_extras(account, structs.replace(extras, calls=()))
        for choice in limits.calls:
            extras = account.extras or NO_EXTRAS
            limit = known.get(choice.service) or CallLimit(new_slot(account), choice.service)
            limit = structs.replace(limit, at_once=choice.at_once, per_second=choice.per_second)
            account = with_extras(account, structs.replace(extras, calls=(*extras.calls, limit)))
        extras = account.extras or NO_EXTRAS
    if limits.caps is not None:
        words.append(f"caps {_caps_text(extras.caps, limits.scale)} -> {_caps_text(limits.caps, limits.scale)}")
        zone = extras.time_zone or limits.zone
        caps = tuple(Cap(cap.name, cap.every, zone, *cap[2:]) for cap in limits.caps)
        account = with_extras(account, structs.replace(extras, caps=caps))
    return account, "; ".join(words)


def _calls_text(calls: Iterable[CallLimit | CallsChoice]) -> str:
    return ", ".join(f"{each.service} {each.at_once} at once {each.per_second} a second" for each in calls) or "none"


def _caps_text(caps: Iterable[Cap | CapChoice], scale: int) -> str:
    return ", ".join(_cap_text(each, scale) for each in caps) or "none"


def _cap_text(cap: Cap | CapChoice, scale: int) -> str:
    most = quantity_text(UnitKind(cap.unit), cap.most) if cap.unit else format_amount(cap.most, scale)
    whose = {"": "", EACH_MEMBER: " for each member"}.get(cap.member, f" for {cap.member}")
    return f"{cap.name} {most} a {cap.every}{whose}"


def _in_state(operation: Operation, account: Account) -> Account:
    """Suspend or limit by a block of that name, lift that block alone, or close."""
    if operation.state is AccountState.CLOSED:
        return ended(account)
    if operation.state is AccountState.SUSPENDED:
        return with_block(account, operation.block)
    if operation.state is AccountState.LIMITED:
        return with_limit(account, operation.block)
    return without_block(account, operation.block)


def _apply(operation: Operation, account: Account, now_ms: int) -> tuple[Account, tuple[Hold, ...], str]:
    if operation.kind == OperationKind.STATE:
        assert operation.state is not None, "a change of state names the state"
        moved = _in_state(operation, account)
        whose = f" ({operation.block})" if operation.block != OPERATOR else ""
        reason = f"{account.state.name.lower()} -> {moved.state.name.lower()}{whose}: {operation.reason}".rstrip(": ")
        return moved, (), reason
    if operation.subscription:
        after = cancelled(account, operation.subscription)
        assert after is not None, "the refusal has looked for it"
        return after, (), f"subscription {operation.subscription} ends with its period: {operation.reason}".rstrip(": ")
    if operation.limits is not None:
        account, reason = _limited(operation.limits, account)
        return account, (), f"{reason}: {operation.reason}".rstrip(": ")
    if operation.takes_back:
        back = given_back(operation.takes_back, account, operation.amount)
        return credit(account, {hold.bucket_id: hold.amount for hold in back}), back, operation.reason
    if operation.bucket is None:
        change = Hold(MAIN_BUCKET, operation.amount)
        return credit(account, {MAIN_BUCKET: operation.amount}), (change,), operation.reason
    # The entry's number names the bucket: it is never used twice, not even after the bucket is gone.
    bucket_id = account.entry_number
    where = operation.bucket
    bucket = Bucket(bucket_id, operation.amount, 0, where.priority, where.expires_at_ms, now_ms, where.origin)
    return with_bucket(account, bucket), (Hold(bucket_id, operation.amount),), operation.reason
