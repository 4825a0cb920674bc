"""Two accounts become one: two steps that survive a crash between them, as money on its way does (``transfers``). Pure.

    giver:  everything leaves it, it is closed and says where to; a record of what is on its way, in one posting
    taker:  all of it arrives, once, by a key that is made of the giver's, in one posting
    giver:  the record is gone

Buckets keep their ends, priorities and origins; counters are added up, so what both have used of a cap or a tier counts.
What blocks the one blocks the other, too: a merger is no way out of a block. A member's own caps go with him.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from msgspec import structs

from balance.account import (
    EACH_MEMBER,
    MAIN_BUCKET,
    NEVER_MS,
    NO_EXTRAS,
    NO_LIMIT,
    Account,
    AccountState,
    Counter,
    Extras,
    Hold,
    Places,
    Subscription,
    new_slot,
    with_entry_number,
    with_extras,
)
from balance.burn import available, credit
from balance.levels import LEVEL_MARK
from ocs.charging.account_events import TYPE_FACT
from ocs.charging.cdr import JournalEntry
from ocs.charging.decision import Decision
from ocs.charging.expiry_notices import due_timer
from ocs.charging.life import ended, joined
from ocs.charging.low_balance import booked
from ocs.charging.operations import Operation, RechargeResult, RechargeStatus, done_before
from ocs.charging.packages import timer_key
from ocs.charging.rules import AccountRules
from ocs.charging.session import Merger, OperationRecord, Record
from ocs.charging.transfers import PATIENCE_MS

KIND: Final = "merge"
EVENT: Final = "merged"
FROM_FACT: Final = "from"
"""Names the account that has come, in the taker's event: its contact follows it when the journal is written down (``ocs/outbox``)."""
_OVER: Final = frozenset({AccountState.CLOSED, AccountState.RECYCLED})


def merger_key(account_id: str, key: str) -> str:
    """Where the record of a merger on its way lives, and by which name the taker's part is known."""
    return f"merge:{account_id}:{key}"


def why_not(giver: Account, taker: Account | None) -> RechargeStatus | None:
    """What stands against it, as far as the two accounts say."""
    if taker is None:
        return RechargeStatus.PAYEE_UNKNOWN
    if LEVEL_MARK in giver.account_id or LEVEL_MARK in taker.account_id:
        return RechargeStatus.IN_LEVELS
    if giver.currency != taker.currency:
        return RechargeStatus.CURRENCY_MISMATCH
    if giver.state in _OVER:
        return RechargeStatus.ACCOUNT_CLOSED
    if taker.state in _OVER:
        return RechargeStatus.PAYEE_CLOSED
    return RechargeStatus.IN_USE if _is_held(giver) else None


def left(
    operation: Operation, taker: Account | None, account: Account, record: Record | None, now_ms: int
) -> Decision[RechargeResult]:
    """The first step: the giver has nothing any more and is closed; its counters stay, as its journal does."""
    if isinstance(record, OperationRecord):
        return done_before(operation, account, record)
    refusal = why_not(account, taker)
    if refusal is not None:
        return Decision(RechargeResult(refusal, account), account)
    extras, number = account.extras or NO_EXTRAS, account.entry_number + 1
    entry = JournalEntry(
        account.account_id, number, now_ms, KIND, account.currency,
        tuple(Hold(each.bucket_id, -each.balance) for each in account.buckets if each.balance),
        merger_key(account.account_id, operation.key), operation.actor,
        f"into {operation.payee}: {operation.reason}".rstrip(": "),
        units=tuple(Hold(each.bucket_id, -each.balance) for each in extras.units if each.balance),
        facts=((TYPE_FACT, EVENT), ("balance", "0"), ("into", operation.payee)),
    )  # fmt: skip
    way = Merger(
        account.account_id,
        now_ms + PATIENCE_MS,
        operation.payee,
        operation.key,
        operation.actor,
        operation.reason,
        account,
    )
    after = _emptied(with_entry_number(account, number), operation.payee)
    done = OperationRecord(account.account_id, now_ms, operation.fingerprint, number, available(after, now_ms))
    result = RechargeResult(RechargeStatus.APPLIED, after, number, account)
    records = (
        (operation.record_key, done), (merger_key(account.account_id, operation.key), way),
        (timer_key(account.account_id), None),
    )  # fmt: skip
    return Decision(result, after, records, (entry,))


def arrived(way: Merger, account: Account, record: Record | None, rules: AccountRules, now_ms: int) -> Decision[bool]:
    """The second step: whatever the taker's state is by now, what was the giver's is its own. Nothing that is out of date comes along."""
    if isinstance(record, OperationRecord):
        return Decision(True, account, is_replay=True)
    before, first = account, account.entry_number + 1
    booking = _Booking(way, account, now_ms)
    buckets = booking.money()
    units = booking.units()
    booking.counters()
    booking.subscriptions(buckets | units)
    booking.caps()
    booking.state()
    account = booking.account
    done = OperationRecord(account.account_id, now_ms, 0, first, available(account, now_ms))
    records: tuple[tuple[str, Record | None], ...] = ((f"op:{account.account_id}:{_key(way)}", done),)
    timer = due_timer(account, rules, now_ms)
    if timer != due_timer(before, rules, now_ms):
        records = (*records, (timer_key(account.account_id), timer))
    return Decision(True, account, records, tuple(booking.entries))


class _Booking:
    """The taker's account and entries, part by part."""

    def __init__(self, way: Merger, account: Account, now_ms: int) -> None:
        self.account = account
        self.entries: list[JournalEntry] = []
        self._way = way
        self._now_ms = now_ms

    def money(self) -> dict[int, int]:
        """The main buckets become one, others stay buckets of their own; which became which."""
        names = {MAIN_BUCKET: MAIN_BUCKET}
        for bucket in self._way.account.buckets:
            if bucket.bucket_id == MAIN_BUCKET:
                self.account = credit(self.account, {MAIN_BUCKET: bucket.balance})
                facts = (
                    (TYPE_FACT, EVENT), ("balance", str(booked(self.account))), (FROM_FACT, self._way.account_id),
                )  # fmt: skip
                self._note((Hold(MAIN_BUCKET, bucket.balance),) if bucket.balance else (), (), "", facts)
            elif bucket.balance:
                number = names[bucket.bucket_id] = self.account.entry_number + 1
                own = structs.replace(bucket, bucket_id=number)
                self.account = structs.replace(self.account, buckets=(*self.account.buckets, own))
                self._note((Hold(number, bucket.balance),), (), f"its bucket {bucket.bucket_id}")
        return names

    def units(self) -> dict[int, int]:
        """Buckets of units keep what they are for; which became which."""
        names: dict[int, int] = {}
        for bucket in self._given.units:
            if bucket.balance:
                number = names[bucket.bucket_id] = self.account.entry_number + 1
                extras = self._own
                own = structs.replace(bucket, bucket_id=number)
                self.account = with_extras(self.account, structs.replace(extras, units=(*extras.units, own)))
                self._note((), (Hold(number, bucket.balance),), f"its bucket {bucket.bucket_id}")
        return names

    def counters(self) -> None:
        """What was used in a period that goes on is added to what the taker has used in it."""
        for counter in self._given.counters:
            if not counter.used or counter.ends_at_ms <= self._now_ms:
                continue
            extras = self._own
            name = (counter.counter_id, counter.ends_at_ms)
            there = next((each for each in extras.counters if (each.counter_id, each.ends_at_ms) == name), None)
            merged = _added(there or structs.replace(counter, slot=new_slot(self.account), tiers=()), counter)
            others = tuple(each for each in extras.counters if each is not there)
            self.account = with_extras(self.account, structs.replace(extras, counters=(*others, merged)))
            self._note((), (Hold(merged.slot, -counter.used),), f"its counter {counter.counter_id!r}")

    def subscriptions(self, buckets: dict[int, int]) -> None:
        """They go on under numbers of their own, with their periods; a trial is not given again."""
        for given in self._given.subscriptions:
            number = self.account.entry_number + 1
            own = _renamed(given, number, buckets)
            extras = self._own
            self.account = with_extras(
                self.account, structs.replace(extras, subscriptions=(*extras.subscriptions, own))
            )
            self._note((), (), f"its subscription {given.number}, {given.package!r}")
        if self._given.trials:
            extras = self._own
            trials = tuple(dict.fromkeys((*extras.trials, *self._given.trials)))
            self.account = with_extras(self.account, structs.replace(extras, trials=trials))

    def caps(self) -> None:
        """Those of one member go where he goes; what holds for an account as a whole is the taker's own."""
        own = {each.name for each in self._own.caps}
        for cap in self._given.caps:
            if cap.member not in {"", EACH_MEMBER} and cap.name not in own:
                extras = self._own
                self.account = with_extras(self.account, structs.replace(extras, caps=(*extras.caps, cap)))
                self._note((), (), f"its cap {cap.name!r} of {cap.member}")

    def state(self) -> None:
        """Blocks, and time that was paid for."""
        before = self.account
        self.account = joined(before, self._way.account, self._now_ms)
        if self.account.state is not before.state:
            words = f"{before.state.name.lower()} -> {self.account.state.name.lower()}"
            self._note((), (), words, ((TYPE_FACT, "state_changed"),))
        elif self.account is not before:
            self._note((), (), "its blocks and its time")

    @property
    def _given(self) -> Extras:
        return self._way.account.extras or NO_EXTRAS

    @property
    def _own(self) -> Extras:
        return self.account.extras or NO_EXTRAS

    def _note(
        self,
        changes: tuple[Hold, ...],
        units: tuple[Hold, ...],
        what: str,
        facts: tuple[tuple[str, str], ...] = (),
    ) -> None:
        way, account = self._way, self.account
        self.account = with_entry_number(account, account.entry_number + 1)
        said = ": ".join(filter(None, (f"from {way.account_id}", what, way.reason)))
        self.entries.append(
            JournalEntry(
                account.account_id, self.account.entry_number, self._now_ms, KIND, account.currency, changes, _key(way),
                way.actor, said, units=units, facts=facts,
            )
        )  # fmt: skip


def finished(way: Merger, account: Account, record: Record | None) -> Decision[bool]:
    """The last step: the record goes."""
    if not isinstance(record, Merger):
        return Decision(False, account)  # somebody else was here
    return Decision(True, account, ((_key(way), None),))


def _key(way: Merger) -> str:
    return merger_key(way.account_id, way.key)


def _is_held(account: Account) -> bool:
    """Whether a session has something of it: what is held cannot go elsewhere."""
    extras = account.extras or NO_EXTRAS
    parts: Sequence[int] = [
        *(each.reserved for each in account.buckets),
        *(each.reserved for each in extras.units),
        *(each.reserved for each in extras.counters),
        *(each.open for each in extras.calls),
    ]
    return any(parts)


def _emptied(account: Account, taker: str) -> Account:
    extras = account.extras or NO_EXTRAS
    kept = Extras(counters=extras.counters, time_zone=extras.time_zone, life=extras.life, merged_into=taker)
    main = next(each for each in account.buckets if each.bucket_id == MAIN_BUCKET)
    empty = structs.replace(main, balance=0, expires_at_ms=NEVER_MS)
    return ended(with_extras(structs.replace(account, buckets=(empty,)), kept))


def _added(there: Counter, counter: Counter) -> Counter:
    """Tier by tier where both have the same ones; else all of it lies in the last one, which no price is promised from."""
    if not there.tiers:
        return structs.replace(there, tiers=tuple(structs.replace(tier, reserved=0) for tier in counter.tiers))
    if [tier.size for tier in there.tiers] == [tier.size for tier in counter.tiers]:
        pairs = zip(there.tiers, counter.tiers, strict=True)
        tiers = tuple(structs.replace(own, used=own.used + tier.used, owed=own.owed + tier.owed) for own, tier in pairs)
        return structs.replace(there, tiers=tiers)
    *first, last = there.tiers
    return structs.replace(there, tiers=(*first, _filled(last, counter.used)))


def _filled(tier: Places, used: int) -> Places:
    return structs.replace(tier, used=tier.used + used, size=tier.size if tier.size == NO_LIMIT else tier.size + used)


def _renamed(given: Subscription, number: int, buckets: dict[int, int]) -> Subscription:
    paid = tuple(Hold(buckets.get(hold.bucket_id, MAIN_BUCKET), hold.amount) for hold in given.paid)
    own = tuple(buckets[each] for each in given.buckets if each in buckets)
    renamed: Subscription = structs.replace(given, number=number, paid=paid, buckets=own)
    return renamed
