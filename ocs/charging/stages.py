"""Deciding for an account that is not active: its first use activates a new one, a limited one takes incoming calls. Pure.

All else that it is asked is decided by the same rules, which look at its state where something would cost.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias

from msgspec import structs

from balance.account import Account, AccountState
from ocs.charging.decision import Case, Decision
from ocs.charging.direction import is_incoming
from ocs.charging.expiry_notices import due_timer
from ocs.charging.life import used_first, zone_of
from ocs.charging.packages import timer_key
from ocs.charging.request import ChargingAnswer, RequestKind

_BEGINS: Final = frozenset({RequestKind.INITIAL, RequestKind.EVENT})
_GRANTS: Final = _BEGINS | {RequestKind.UPDATE}

Rule: TypeAlias = Callable[[Case, Account], Decision[ChargingAnswer]]


def in_stage(rule: Rule, case: Case, account: Account) -> Decision[ChargingAnswer]:
    """Decide for an account that is anything but active."""
    if account.state is AccountState.CREATED:
        return _on_first_use(rule, case, account)
    if account.state is AccountState.LIMITED and case.request.kind in _GRANTS and is_incoming(case):
        return _as_active(rule, case, account)
    return rule(case, account)


def _on_first_use(rule: Rule, case: Case, account: Account) -> Decision[ChargingAnswer]:
    """Decide for an account that was never used: a use that is let through activates it, in the same step."""
    if case.request.kind not in _BEGINS and not case.request.cumulative:
        return rule(case, account)
    zone = zone_of(account, case.rates.time_zone_of(account.rate_plan))
    lifecycle = case.policy.rules.lifecycle_of(account.rate_plan)
    active, entries = used_first(account, lifecycle, zone, case.now_ms)
    decision = rule(case, active)
    if not decision.records:
        return structs.replace(decision, account=account)
    timer = (timer_key(account.account_id), due_timer(decision.account, case.policy.rules, case.now_ms))
    return structs.replace(decision, records=(*decision.records, timer), entries=(*entries, *decision.entries))


def _as_active(rule: Rule, case: Case, account: Account) -> Decision[ChargingAnswer]:
    """What an active account would get; it stays in the state it is in."""
    active: Account = structs.replace(account, state=AccountState.ACTIVE)
    decision = rule(case, active)
    if decision.account is active:
        return structs.replace(decision, account=account)
    return structs.replace(decision, account=structs.replace(decision.account, state=account.state))
