"""What a decision has passed in its account's counters, as entries of the journal: told once, in the posting that passes it.

A cap, or its warning, is only told. A tier for volume that is reached makes what was used before cheaper: that money is in
the main bucket already, and its entry says so.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple, TypeVar

from msgspec import structs

from balance.account import EACH_MEMBER, MAIN_BUCKET, MEMBER_MARK, Account, Counter, Extras, Hold, with_entry_number
from balance.counters import counter_of
from balance.money import Amount
from ocs.charging.account_events import TYPE_FACT
from ocs.charging.cdr import JournalEntry
from ocs.charging.decision import Decision
from ocs.rating.units import UnitKind, quantity_text

AnswerT = TypeVar("AnswerT")

ALL_PERCENT: Final = 100


class _Passed(NamedTuple):
    """One entry to be: its kind, the money that comes back with it, and what it says."""

    kind: str
    amount: Amount
    reason: str
    facts: tuple[tuple[str, str], ...] = ()


def with_crossings(before: Account, decision: Decision[AnswerT], now_ms: int, reference: str) -> Decision[AnswerT]:
    """The same decision with an entry for everything that it has passed; asked where an account has extras after it."""
    account, entries = decision.account, []
    extras = account.extras
    if extras is None or before.extras is extras:
        return decision
    passed = [*_caps(before, extras), *_tiers(before, extras)]
    for kind, amount, reason, facts in passed:
        account = with_entry_number(account, account.entry_number + 1)
        changes = (Hold(MAIN_BUCKET, amount),) if amount else ()
        entries.append(
            JournalEntry(
                account.account_id,
                account.entry_number,
                now_ms,
                kind,
                account.currency,
                changes,
                reference,
                reason=reason,
                facts=facts,
            )
        )
    if not entries:
        return decision
    return structs.replace(decision, account=account, entries=(*decision.entries, *entries))


def _caps(before: Account, extras: Extras) -> Iterator[_Passed]:
    for cap in extras.caps:
        for counter in extras.counters:
            if cap.is_counter(counter.counter_id):
                spent = _known(before, counter).used
                member = cap.member if cap.member != EACH_MEMBER else counter.counter_id.partition(MEMBER_MARK)[2]
                for percent in sorted({cap.warn_percent, ALL_PERCENT} - {0}):
                    if spent * 100 < cap.most * percent <= counter.used * 100:
                        event_type = "cap_reached" if percent == ALL_PERCENT else "cap_warning"
                        facts = (
                            (TYPE_FACT, event_type),
                            ("cap", cap.name),
                            ("percent", str(percent)),
                            ("units", quantity_text(UnitKind(cap.unit), cap.most))
                            if cap.unit
                            else ("most", str(cap.most)),
                            *((("member", member),) if member else ()),
                        )
                        whose = f" of {member}" if member else ""
                        reason = f"{percent} % of the cap {cap.name!r}{whose} are {'used' if cap.unit else 'spent'}"
                        yield _Passed("cap", 0, reason, facts)


def _tiers(before: Account, extras: Extras) -> Iterator[_Passed]:
    for counter in extras.counters:
        known = _known(before, counter)
        back, tier = counter.given_back - known.given_back, str(counter.reached + 1)
        if back or counter.status != known.status:
            reason = f"{counter.counter_id!r} has come to {counter.used}"
            reason += f": all that was counted is in tier {tier}" if back else f", status {counter.status!r}"
            facts = {"counter": counter.counter_id, "tier": tier, "used": str(counter.used), "status": counter.status}
            facts |= {"ends_at_ms": str(counter.ends_at_ms)}
            told = ((TYPE_FACT, "tier_reached"), *((name, fact) for name, fact in facts.items() if fact))
            yield _Passed("tier", back, reason, told)


def _known(before: Account, counter: Counter) -> Counter:
    """The counter as it was; empty before its first use."""
    return counter_of(before, counter.slot) or structs.replace(counter, tiers=())
