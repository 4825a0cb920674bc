"""Velocity: signs of fraud in how an account is used, looked at in the posting of each use; it blocks, or shrinks quotas. Pure.

Three signs, each by a rule of the account's plan: so much is spent within a minute; so many dear destinations that it never
called before are called within a day; of the calls within an hour too many are short. What a rule has found is told once.
"""

from __future__ import annotations

from typing import Final

from msgspec import structs

from balance.account import NO_EXTRAS, Account, Pace, with_entry_number, with_extras
from balance.money import Amount, format_amount
from ocs.charging.account_events import TYPE_FACT
from ocs.charging.cdr import JournalEntry
from ocs.charging.decision import Case, Decision
from ocs.charging.life import with_block
from ocs.charging.policy import QuotaPolicy
from ocs.charging.request import ChargingAnswer, RequestKind
from ocs.charging.rules import VelocityRule
from ocs.charging.session import CreditSession, GroupState
from ocs.rating.price import cost_of
from ocs.rating.units import UnitKind

KIND: Final = "fraud"
BLOCK: Final = "fraud"
KNOWN_MAX: Final = 100
"""Dear destinations that are remembered of an account, the last ones."""

_MINUTE_MS: Final = 60_000
_HOUR_MS: Final = 3_600_000
_DAY_MS: Final = 86_400_000
NO_PACE: Final = Pace()


def with_velocity(
    case: Case, rule: VelocityRule, before: Account, decision: Decision[ChargingAnswer]
) -> Decision[ChargingAnswer]:
    """The same decision with what it says about the account's pace, and what follows from that."""
    if decision.account is before:
        return decision
    account = decision.account
    pace = (account.extras or NO_EXTRAS).pace or NO_PACE
    now_ms, why = case.now_ms, []
    pace, spent = _spent(pace, before, account, now_ms)
    most = rule.amount(rule.spend_per_minute)
    if most and spent > most >= spent - _debit(before, account):
        why.append(f"{format_amount(spent, rule.scale, 2)} are spent in a minute")
    for session in _begun(case, decision):
        pace, count = _called(pace, rule, session, now_ms)
        if rule.new_destinations and count == rule.new_destinations + 1:
            why.append(f"{count} new dear destinations in a day")
    if case.request.kind is RequestKind.TERMINATION and isinstance(case.record, CreditSession):
        pace, is_odd = _ended(pace, rule, decision, now_ms)
        if is_odd:
            why.append(f"{pace.short} of {pace.calls} calls of an hour are short")
    if why:
        pace = structs.replace(pace, shrunk_until_ms=now_ms + rule.shrink_minutes * _MINUTE_MS)
    account = with_extras(account, structs.replace(account.extras or NO_EXTRAS, pace=pace))
    return _told(case, rule, structs.replace(decision, account=account), why)


def shrunk(policy: QuotaPolicy, rule: VelocityRule, account: Account, now_ms: int) -> QuotaPolicy:
    """The quotas of an account of which a rule has found something lately, if that is what follows."""
    pace = (account.extras or NO_EXTRAS).pace
    if rule.action != "shrink" or pace is None or pace.shrunk_until_ms <= now_ms:
        return policy
    quota = policy.quota | {UnitKind.SECONDS: rule.shrink_to_s, UnitKind.OCTETS: rule.shrink_to_octets}
    small: QuotaPolicy = structs.replace(policy, quota=quota, maximum_is_quota=True)
    return small


def _told(
    case: Case, rule: VelocityRule, decision: Decision[ChargingAnswer], why: list[str]
) -> Decision[ChargingAnswer]:
    account, entries = decision.account, []
    for reason in why:
        if rule.action == "block":
            account = with_block(account, BLOCK)
        account = with_entry_number(account, account.entry_number + 1)
        facts = ((TYPE_FACT, "fraud_suspected"), ("why", reason), ("action", rule.action))
        entries.append(
            JournalEntry(
                account.account_id, account.entry_number, case.now_ms, KIND, account.currency, (),
                case.request.session_key, case.request.peer, f"{reason}: {rule.action}", facts=facts,
            )
        )  # fmt: skip
    return structs.replace(decision, account=account, entries=(*decision.entries, *entries))


def _debit(before: Account, after: Account) -> Amount:
    return max(0, sum(each.balance for each in before.buckets) - sum(each.balance for each in after.buckets))


def _spent(pace: Pace, before: Account, after: Account, now_ms: int) -> tuple[Pace, Amount]:
    minute = now_ms // _MINUTE_MS
    spent = (pace.spent if pace.minute == minute else 0) + _debit(before, after)
    return structs.replace(pace, minute=minute, spent=spent), spent


def _begun(case: Case, decision: Decision[ChargingAnswer]) -> list[CreditSession]:
    """The session that this very request has begun."""
    if case.request.kind is not RequestKind.INITIAL:
        return []
    return [record for _, record in decision.records if isinstance(record, CreditSession)]


def _called(pace: Pace, rule: VelocityRule, session: CreditSession, now_ms: int) -> tuple[Pace, int]:
    """Remember the dear destination of a call; how many new ones there were on this day."""
    day = now_ms // _DAY_MS
    count = pace.new_count if pace.day == day else 0
    for state in session.groups:
        name = state.tariff.destination
        if name and _is_dear(state, rule) and name not in pace.known:
            count += 1
            pace = structs.replace(pace, known=(*pace.known, name)[-KNOWN_MAX:])
    return structs.replace(pace, day=day, new_count=count), count


def _is_dear(state: GroupState, rule: VelocityRule) -> bool:
    price = state.tariff.price
    dear = rule.amount(rule.dear_per_minute)
    return price.kind is UnitKind.SECONDS and bool(dear) and cost_of(price, 60) >= dear


def _ended(pace: Pace, rule: VelocityRule, decision: Decision[ChargingAnswer], now_ms: int) -> tuple[Pace, bool]:
    """Count a call that was answered and has ended; whether too many of them are short by now."""
    records = [entry.cdr for entry in decision.entries if entry.cdr is not None]
    used = [group.used for record in records for group in record.groups if group.unit_kind == UnitKind.SECONDS]
    if not used or not max(used) or not rule.short_percent:
        return pace, False
    hour = now_ms // _HOUR_MS
    calls, short = (pace.calls, pace.short) if pace.hour == hour else (0, 0)
    was_odd = _is_odd(calls, short, rule)
    calls, short = calls + 1, short + (max(used) <= rule.short_call_s)
    return structs.replace(pace, hour=hour, calls=calls, short=short), _is_odd(calls, short, rule) and not was_odd


def _is_odd(calls: int, short: int, rule: VelocityRule) -> bool:
    return calls >= rule.calls_min and short * 100 >= rule.short_percent * calls
