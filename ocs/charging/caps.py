"""Caps: the most that an account may spend on a service in a period, kept in the charging path.

What is spent is a counter of money, changed in the posting that debits, and a grant holds its share of the cap as it holds
its money: so sessions at once cannot pass it together. A crossing of the cap, or of its warning, is told once.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, TypeVar

from msgspec import structs

from balance.account import NO_EXTRAS, NO_LIMIT, Account, Cap, Counter, Extras, with_entry_number
from balance.counters import counted, counter_in, counter_of
from balance.money import Amount
from ocs.charging.account_events import TYPE_FACT
from ocs.charging.cdr import JournalEntry
from ocs.charging.decision import Decision
from ocs.charging.session import CapUse, GroupState, UnitUse
from ocs.rating.periods import period_end_ms

AnswerT = TypeVar("AnswerT")

ALL_PERCENT: Final = 100


def caps_for(account: Account, service: str) -> tuple[Cap, ...]:
    """The caps that a use of a service counts for."""
    extras = account.extras or NO_EXTRAS
    return tuple(cap for cap in extras.caps if not cap.services or service in cap.services)


def room(account: Account, units: UnitUse, now_ms: int) -> tuple[Account, tuple[int, ...], Amount | None]:
    """Find what the caps of a group leave: their counters of the running periods, and the least that is left of any."""
    slots, least = [], None
    caps = {cap.name: cap for cap in (account.extras or NO_EXTRAS).caps}
    for name in units.caps:
        cap = caps.get(name)
        if cap is None:
            continue  # it was lifted meanwhile
        account, counter = _running(account, cap, now_ms)
        slots.append(counter.slot)
        left = max(0, cap.most - counter.used - counter.reserved)
        least = left if least is None else min(least, left)
    return account, tuple(slots), least


def hold(account: Account, state: GroupState, slots: tuple[int, ...], amount: Amount) -> tuple[Account, GroupState]:
    """Hold a grant's share of its caps."""
    assert state.units is not None, "asked only for a group that has caps"
    uses = {use.slot: use for use in state.units.spent}
    for slot in slots if amount else ():
        account = _changed(account, slot, 0, amount)
        known = uses.get(slot) or CapUse(slot)
        uses[slot] = CapUse(slot, known.spent, amount)
    return account, structs.replace(state, units=structs.replace(state.units, spent=tuple(uses.values())))


def settle_caps(
    account: Account, state: GroupState, units: UnitUse, debit: Amount, now_ms: int, keeps_grant: bool = False
) -> tuple[Account, GroupState]:
    """End what a grant held of its caps, and count what was debited, in the periods of the grant."""
    uses = {use.slot: use for use in units.spent}
    slots = tuple(use.slot for use in units.spent if use.held)
    if not slots and debit:
        account, slots, _ = room(account, units, now_ms)
    for slot in slots:
        known = uses.get(slot) or CapUse(slot)
        kept = known.held if keeps_grant else 0
        account = _changed(account, slot, debit, kept - known.held)
        uses[slot] = CapUse(slot, known.spent + debit, kept)
    return account, structs.replace(state, units=structs.replace(units, spent=tuple(uses.values())))


def with_crossings(before: Account, decision: Decision[AnswerT], now_ms: int, reference: str) -> Decision[AnswerT]:
    """The same decision with an entry for each cap, or warning of one, that it has passed: so each is told once."""
    account, entries = decision.account, []
    extras = account.extras
    if extras is None or not extras.caps or before.extras is extras:
        return decision
    for cap, percent in _passed(before, extras):
        account = with_entry_number(account, account.entry_number + 1)
        event_type = "cap_reached" if percent == ALL_PERCENT else "cap_warning"
        facts = ((TYPE_FACT, event_type), ("cap", cap.name), ("percent", str(percent)), ("most", str(cap.most)))
        entries.append(
            JournalEntry(
                account.account_id,
                account.entry_number,
                now_ms,
                "cap",
                account.currency,
                (),
                reference,
                reason=f"{percent} % of the cap {cap.name!r} are spent",
                facts=facts,
            )
        )
    if not entries:
        return decision
    return structs.replace(decision, account=account, entries=(*decision.entries, *entries))


def _passed(before: Account, extras: Extras) -> Iterator[tuple[Cap, int]]:
    for cap in extras.caps:
        for counter in extras.counters:
            if counter.counter_id == cap.counter_id:
                known = counter_of(before, counter.slot)
                spent = known.used if known is not None else 0
                for percent in sorted({cap.warn_percent, ALL_PERCENT} - {0}):
                    if spent * 100 < cap.most * percent <= counter.used * 100:
                        yield cap, percent


def _running(account: Account, cap: Cap, now_ms: int) -> tuple[Account, Counter]:
    extras = account.extras or NO_EXTRAS
    end_ms = period_end_ms(cap.every, cap.zone, now_ms, extras.cycle_day)
    return counter_in(account, cap.counter_id, end_ms, (NO_LIMIT,))


def _changed(account: Account, slot: int, used: Amount, reserved: Amount) -> Account:
    counter = counter_of(account, slot)
    return account if counter is None else counted(account, counter, (used,), (reserved,))
