"""Dunning: from what is owed to a step and what is to be done. Pure; ``ocs/dunning.py`` does it.

    current ──due date passed──► overdue ──a step's days──► reminded .. limited to incoming calls .. closed

Nothing is remembered but which action was done for which invoice: the step follows, each time anew, from the oldest debt
that counts. So a payment at any time moves back by the same rule that moved forward, and a run that was missed is made
good by the next one.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import date, time
from typing import Final, Literal, NamedTuple, TypeAlias

import msgspec

Action: TypeAlias = Literal["remind", "late_fee", "warn", "limit", "suspend", "close"]
CURRENT: Final = "current"
OVERDUE: Final = "overdue"
_WEEKDAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
BLOCKS: Final = ("", "limit", "suspend", "close")
"""Actions that are states of the account, the harder ones later: in force while their step is reached, undone when it is not."""


class Step(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """So many days after the due date; ``fee`` is net, for a late fee, in the customer's currency."""

    after_days: int
    action: Action
    fee: str = ""
    text: str = ""

    @property
    def name(self) -> str:
        return f"{self.action}-{self.after_days}"


class Policy(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What happens to whom. Debts of less than ``least_debt`` altogether are not chased.

    On ``quiet_days``, and outside ``hours`` (from, to, by the customer's clock), nothing is done but what was paid for is
    given back.
    """

    name: str
    steps: tuple[Step, ...]
    least_debt: str = "0"
    quiet_days: tuple[Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"], ...] = ()
    hours: tuple[str, ...] = ()  # such as ["08:00", "20:00"]; empty: at any hour


class Debt(NamedTuple):
    """One invoice that is not paid. A disputed one does not count until that is settled."""

    invoice_id: int
    number: str
    due_on: date
    open_minor: int
    is_disputed: bool = False


class Flags(NamedTuple):
    """What a customer was promised, or has promised: no step before that day, or none at all."""

    is_exempt: bool = False
    promised_until: date | None = None


class Task(NamedTuple):
    """Something to be done once for an invoice."""

    debt: Debt
    step: Step


class Verdict(NamedTuple):
    """``state`` is what the customer is in now; ``block`` is one of BLOCKS; ``tasks`` are due and not done."""

    state: str
    block: str
    tasks: tuple[Task, ...]
    oldest_due_on: date | None
    owed_minor: int


def judge(
    policy: Policy,
    least_minor: int,
    debts: Sequence[Debt],
    flags: Flags,
    done: Collection[tuple[int, str]],
    today: date,
    was: str = "",
    clock: time | None = None,
) -> Verdict:
    """Where a customer stands today. ``done`` are the (invoice, step) pairs that were acted on before.

    ``was`` is the block that is in force: in quiet times it may become a softer one, never a harder one. ``clock`` is the
    customer's; None: the hour does not matter.
    """
    counted = sorted((debt for debt in debts if not debt.is_disputed and debt.due_on < today), key=lambda debt: debt[2])
    owed = sum(debt.open_minor for debt in counted)
    if not counted or owed < least_minor or flags.is_exempt:
        return Verdict(CURRENT, "", (), None, owed)
    oldest = counted[0]
    if flags.promised_until is not None and today <= flags.promised_until:
        return Verdict("promised", "", (), oldest.due_on, owed)
    reached = [step for step in policy.steps if step.after_days <= (today - oldest.due_on).days]
    block: str = next((step.action for step in reversed(reached) if step.action in BLOCKS), "")
    is_quiet = _is_quiet(policy, today, clock)
    if is_quiet and BLOCKS.index(block) > BLOCKS.index(was):
        block = was
    state = reached[-1].name if reached else OVERDUE
    tasks = tuple(
        Task(debt, step)
        for debt in counted
        for step in policy.steps
        if step.action not in BLOCKS
        and step.after_days <= (today - debt.due_on).days
        and (debt.invoice_id, step.name) not in done
    )
    return Verdict(state, block, () if is_quiet else tasks, oldest.due_on, owed)


def _is_quiet(policy: Policy, today: date, clock: time | None) -> bool:
    if _WEEKDAYS[today.weekday()] in policy.quiet_days:
        return True
    if clock is None or not policy.hours:
        return False
    begins, ends = (time.fromisoformat(text) for text in policy.hours)
    return not begins <= clock < ends


def faults_in(policy: Policy) -> list[str]:
    """What is wrong with a policy beyond its shape."""
    faults = []
    days = [step.after_days for step in policy.steps]
    if any(day < 0 for day in days):
        faults.append("steps: after_days counts from the due date, 0 or more")
    if days != sorted(days):
        faults.append("steps: put them in the order of their days")
    try:
        begins, ends = (time.fromisoformat(text) for text in policy.hours or ("00:00", "23:59"))
        if begins >= ends:
            faults.append("hours: the first comes before the second, on one day")
    except ValueError:
        faults.append('hours: two times of the day, such as ["08:00", "20:00"]')
    names = [step.name for step in policy.steps]
    if len(set(names)) < len(names):
        faults.append("steps: one action a day")
    faults += [f"steps: {step.name} has no fee" for step in policy.steps if step.action == "late_fee" and not step.fee]
    return faults
