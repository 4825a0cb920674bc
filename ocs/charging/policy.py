"""How much is granted at once, for how long, and what is done when the standards leave a choice."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import msgspec
from msgspec import structs

from ocs.charging.request import ChargingStatus, FinalHandling, FinalUnitAction, GroupAnswer
from ocs.charging.rules import NO_RULES, AccountRules
from ocs.rating.finals import FinalUnits
from ocs.rating.units import UnitKind
from ocs.settings import Quota, Settings, SilentCalls

USED_MAX: Final = {
    UnitKind.SECONDS: 10 * 366 * 86_400,
    UnitKind.OCTETS: 2**60,
    UnitKind.EVENTS: 10**9,
    UnitKind.MONEY: 2**62,
}
"""Reports beyond these are refused as implausible; they could only be a client's defect (statement 64)."""

COST_MAX: Final = 2**62

SILENCE_MARGIN_S: Final = 60
"""A reservation outlives its grant by at least this [G-42]."""


_ACTIONS: Final = {
    "redirect": FinalUnitAction.REDIRECT,
    "restrict": FinalUnitAction.RESTRICT_ACCESS,
}


class FinalPolicy(msgspec.Struct, frozen=True):
    """What follows on the last quota of a service whose client goes on, redirected or restricted."""

    action: FinalUnitAction
    validity_s: int
    handling: FinalHandling = FinalHandling()

    def applied(self, answer: GroupAnswer) -> GroupAnswer:
        """The same answer with this action: on the last quota, or at once when there is none [G-50, G-51]."""
        if answer.status is ChargingStatus.CREDIT_LIMIT_REACHED:
            status, validity_s = ChargingStatus.SUCCESS, self.validity_s
            return GroupAnswer(answer.key, status, validity_s=validity_s, final=self.action, handling=self.handling)
        if answer.final < 0:
            return answer
        return structs.replace(answer, final=self.action, handling=self.handling)


@lru_cache(maxsize=1024)
def final_policy(final: FinalUnits, validity_s_max: int) -> FinalPolicy | None:
    """The same in our words; None for TERMINATE. A session outlives the time that its client is told to wait [G-42]."""
    if final.action == "terminate":
        return None
    handling = FinalHandling(final.redirect, final.filter_rules, final.filter_ids)
    return FinalPolicy(_ACTIONS[final.action], min(final.validity_s, validity_s_max), handling)


class QuotaPolicy(msgspec.Struct, frozen=True):
    quota: dict[UnitKind, int]
    validity_s: int = 600
    threshold_percent: int = 0
    maximum_is_quota: bool = True
    supervision_factor: int = 2
    tombstone_ms: int = 86_400_000
    event_ms: int = 604_800_000
    silent_calls: SilentCalls = "zero"  # RADIUS calls that nothing was ever reported of
    hold_ms: int = 3_600_000
    finals: dict[str, FinalPolicy] = {}  # by service; without: TERMINATE
    reclaims: bool = False  # who is refused for what others hold has them asked to give half of it back
    rules: AccountRules = NO_RULES
    watches: bool = False  # some plan has rules against fraud
    follows_rates: bool = False  # open sessions are charged by changed rates from their next grant on

    def wish(self, kind: UnitKind, asked: int, all_affordable: bool) -> int:
        """How many units to try for: what was asked, at most the quota; the quota when the choice is ours."""
        quota = self.quota[kind]
        if not asked:
            return quota
        return asked if all_affordable or not self.maximum_is_quota else min(asked, quota)


def quota_policy(settings: Settings, rules: AccountRules = NO_RULES) -> QuotaPolicy:
    quota: Quota = settings.quota
    return QuotaPolicy(
        quota={
            UnitKind.SECONDS: quota.seconds,
            UnitKind.OCTETS: quota.octets,
            UnitKind.EVENTS: quota.events,
            UnitKind.MONEY: COST_MAX,  # who has rated the use itself knows what it needs: the account alone bounds it
        },
        validity_s=quota.validity_s,
        threshold_percent=quota.threshold_percent,
        maximum_is_quota=quota.maximum_is_quota,
        supervision_factor=quota.supervision_factor,
        silent_calls=settings.radius.silent_calls,
        hold_ms=settings.radius.hold_s * 1000,
        tombstone_ms=settings.retention.tombstone_s * 1000,
        event_ms=settings.retention.event_s * 1000,
        finals={
            final.service: found
            for final in settings.credit_control.final_units
            if (found := final_policy(final, quota.validity_s)) is not None
        },
        rules=rules,
        watches=bool(rules.velocity),
        reclaims=quota.reclaim,
        follows_rates=settings.rates.open_sessions == "follow",
    )
