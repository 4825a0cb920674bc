"""What holds for the accounts of a rate plan beside its prices: ``config/accounts.toml`` as records."""

from __future__ import annotations

from typing import Final, Protocol, TypeVar

import msgspec


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


class ForPlans(Protocol):
    """An entry of the file that is for some rate plans."""

    @property
    def plans(self) -> tuple[str, ...]:
        """Their names; none: every plan that no other entry of its kind names."""


EntryT = TypeVar("EntryT", bound=ForPlans)


class AccountRules(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The whole file."""

    lifecycles: tuple[Lifecycle, ...] = ()

    def lifecycle_of(self, plan: str) -> Lifecycle | None:
        """The stages of a plan's accounts; None: they are active until somebody says otherwise."""
        return _for_plan(self.lifecycles, plan)


def _for_plan(entries: tuple[EntryT, ...], plan: str) -> EntryT | None:
    named = next((entry for entry in entries if plan in entry.plans), None)
    return named or next((entry for entry in entries if not entry.plans), None)


NO_RULES: Final = AccountRules()
