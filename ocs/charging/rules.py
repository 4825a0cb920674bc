"""What holds for the accounts of a rate plan beside its prices: ``config/accounts.toml`` as records."""

from __future__ import annotations

from typing import Final, Literal, Protocol, TypeVar

import msgspec

from balance.money import Amount, parse_amount
from ocs.rating.periods import Every


class Lifecycle(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``[[lifecycles]]``: how many local days an account is in each stage. Without ``plans``: for all that none names.

    ``first_use_days``: until it has to be used first; ``valid_days`` from then on; ``top_up_days`` from a top-up on, if that
    is later; 0: for ever. ``grace_days``, ``suspended_days``, ``recycled_days``: the stages that follow; 0: left out.
    """

    plans: tuple[str, ...] = ()
    first_use_days: int = 0
    valid_days: int = 0
    top_up_days: int = 0
    grace_days: int = 0
    suspended_days: int = 0
    recycled_days: int = 0


class CapRule(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``[[caps]]``: a spending cap that accounts of these plans have when they are opened; in words, as in the API.

    Without ``plans``: of every plan in that currency.
    """

    name: str
    currency: str
    every: Every
    most: str
    plans: tuple[str, ...] = ()
    services: tuple[str, ...] = ()
    warn_percent: int = 0
    destinations: tuple[str, ...] = ()
    networks: tuple[str, ...] = ()
    not_networks: tuple[str, ...] = ()


class PlanChangeRule(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``[[plan_changes]]``: the ``packages`` with a period that an account gets when it changes to one of these plans.

    Those of a month or a cycle follow the account's cycle: in the one that runs they are bought for the days that are left
    ("prorated"), or they begin with the "next" one.
    """

    plans: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()
    first_period: Literal["prorated", "next"] = "prorated"


class ExpiryNotice(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``[[expiry_notices]]``: so many times 24 hours before money, units or the account's time end, that is told."""

    days: int
    plans: tuple[str, ...] = ()


class VelocityRule(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``[[velocity]]``: signs of fraud, and what follows: "block" the account, or "shrink" its quotas for some minutes.

    ``spend_per_minute``: more than so much; ``new_destinations``: more than so many in a day that the account never called
    before and that cost ``dear_per_minute`` or more; ``short_percent`` of at least ``calls_min`` ended calls of an hour
    lasted ``short_call_s`` at most. What is 0 is not looked at. ``scale`` is filled in: that of the currency.
    """

    currency: str
    plans: tuple[str, ...] = ()
    action: Literal["block", "shrink"] = "block"
    spend_per_minute: str = "0"
    new_destinations: int = 0
    dear_per_minute: str = "0"
    short_percent: int = 0
    short_call_s: int = 5
    calls_min: int = 20
    shrink_to_s: int = 30
    shrink_to_octets: int = 1_048_576
    shrink_minutes: int = 60
    scale: int = 9

    def amount(self, text: str) -> Amount:
        """One of its amounts, at the scale of the currency."""
        return parse_amount(text, self.scale)


class ForPlans(Protocol):
    """An entry of the file that is for some rate plans."""

    @property
    def plans(self) -> tuple[str, ...]:
        """Their names; none: every plan that no other entry of its kind names."""


EntryT = TypeVar("EntryT", bound=ForPlans)


class AccountRules(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The whole file."""

    lifecycles: tuple[Lifecycle, ...] = ()
    caps: tuple[CapRule, ...] = ()
    velocity: tuple[VelocityRule, ...] = ()
    plan_changes: tuple[PlanChangeRule, ...] = ()
    expiry_notices: tuple[ExpiryNotice, ...] = ()

    def notice_days_of(self, plan: str) -> int:
        """How many days before its end something is told of; 0: it is not."""
        notice = _for_plan(self.expiry_notices, plan) if self.expiry_notices else None
        return notice.days if notice is not None else 0

    def plan_change_to(self, plan: str) -> PlanChangeRule | None:
        """What follows on a change to a plan."""
        return _for_plan(self.plan_changes, plan)

    def velocity_of(self, plan: str, currency: str) -> VelocityRule | None:
        """What is looked at in a plan's accounts."""
        return _for_plan(tuple(rule for rule in self.velocity if rule.currency == currency), plan)

    def caps_of(self, plan: str, currency: str) -> tuple[CapRule, ...]:
        """The caps that a new account of a plan has."""
        return tuple(cap for cap in self.caps if cap.currency == currency and (plan in cap.plans or not cap.plans))

    def lifecycle_of(self, plan: str) -> Lifecycle | None:
        """The stages of a plan's accounts; None: they are active until somebody says otherwise."""
        return _for_plan(self.lifecycles, plan)


def _for_plan(entries: tuple[EntryT, ...], plan: str) -> EntryT | None:
    named = next((entry for entry in entries if plan in entry.plans), None)
    return named or next((entry for entry in entries if not entry.plans), None)


NO_RULES: Final = AccountRules()
