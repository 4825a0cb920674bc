"""Whether an account whose balance is low is topped up now, later, or not any more. Pure.

    balance at or above the threshold, account not in use      nothing
    no method to charge, or too many failures                  stop: a person has to say so again
    as many, or as much, as the rule or the burst limit allows wait until the day, the month or the hour is over
    else                                                       charge

What is under way counts as done: a second one is not begun before the first is known to have failed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple, TypeAlias

import msgspec

from balance.account import Account, AccountState
from ocs.charging.low_balance import booked
from ocs.payments.settings import AutomaticTopUps
from ocs.rating.periods import period_end_ms

MINUTE_MS: Final = 60_000
DAY_MS: Final = 86_400_000
LOOKED_BACK_MS: Final = 32 * DAY_MS
"""No month is longer."""
IN_USE: Final = frozenset({AccountState.ACTIVE, AccountState.CREATED, AccountState.GRACE})


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """What an account's owner has agreed to. ``minor`` in the currency's smallest coin; 0 in a limit: there is none.

    ``method_id`` empty: the default one. ``failures`` in a row, since the last that was paid. Its threshold is the account's.
    """

    account_id: str
    currency: str
    minor: int
    method_id: str = ""
    per_day: int = 3
    per_month: int = 10
    most_per_day_minor: int = 0
    most_per_month_minor: int = 0
    why_stopped: str = ""
    failures: int = 0


class Past(NamedTuple):
    """An automatic top-up that was paid or is under way."""

    at_ms: int
    minor: int


class Nothing(NamedTuple):
    """All is well, or the account is not in use."""


class ChargeNow(NamedTuple):
    pass


class Wait(NamedTuple):
    until_ms: int
    why: str


class Stop(NamedTuple):
    why: str


Verdict: TypeAlias = Nothing | ChargeNow | Wait | Stop


def judge(
    rule: Rule,
    policy: AutomaticTopUps,
    account: Account,
    past: Sequence[Past],
    zone: str,
    now_ms: int,
    *,
    has_method: bool,
) -> Verdict:
    """``past`` goes back LOOKED_BACK_MS at least, the oldest first; days and months end by the clock of ``zone``."""
    if account.state not in IN_USE or booked(account) >= account.low_balance:
        return Nothing()
    if not has_method:
        return Stop("there is no payment method")
    waits = [wait for wait in _waits(rule, policy, past, zone, now_ms) if wait is not None]
    return max(waits) if waits else ChargeNow()


def after_failure(rule: Rule, policy: AutomaticTopUps, now_ms: int, *, is_final: bool) -> int | None:
    """When it may be tried again, ``failures`` counting what went before; None: not any more."""
    if is_final or rule.failures >= len(policy.retry_minutes):
        return None
    return now_ms + policy.retry_minutes[rule.failures] * MINUTE_MS


def _waits(
    rule: Rule, policy: AutomaticTopUps, past: Sequence[Past], zone: str, now_ms: int
) -> tuple[Wait | None, ...]:
    burst_ms = policy.burst_minutes * MINUTE_MS
    lately = [each for each in past if each.at_ms > now_ms - burst_ms]
    is_burst = len(lately) >= policy.burst_count
    return (
        Wait(lately[-policy.burst_count].at_ms + burst_ms, "too many in a short time") if is_burst else None,
        _limit("day", rule.per_day, rule.most_per_day_minor, rule.minor, past, zone, now_ms),
        _limit("month", rule.per_month, rule.most_per_month_minor, rule.minor, past, zone, now_ms),
    )


def _limit(
    every: str, count_max: int, minor_max: int, minor: int, past: Sequence[Past], zone: str, now_ms: int
) -> Wait | None:
    ends_ms = period_end_ms(every, zone, now_ms)
    within = [each.minor for each in past if period_end_ms(every, zone, each.at_ms) == ends_ms]
    if count_max and len(within) >= count_max:
        return Wait(ends_ms, f"the limit of {count_max} a {every} is reached")
    if minor_max and sum(within) + minor > minor_max:
        return Wait(ends_ms, f"the most for a {every} is reached")
    return None
