"""Whether an invoice is collected now, by the customer's stored method, or when, or why not. Pure.

    a first direct debit that is not announced yet         announce
    not due yet, announced for later, or too soon after a failure   wait
    asked for, and its end is not known                   under way
    disputed, no such method, given back on purpose,
    declined for good, tried too often                    leave: a person, or dunning, has to go on
    else                                                  collect

A decline for good is one of that method: another one may be tried.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from enum import StrEnum
from typing import Final

import msgspec

from ocs.payments.gateway import MethodKind
from ocs.payments.methods import Method
from ocs.payments.settings import Collection

OPEN: Final = frozenset({"charging", "pending"})
FAILED: Final = frozenset({"failed", "taken_back"})


class Action(StrEnum):
    COLLECT = "collect"
    ANNOUNCE = "announce"
    WAIT = "wait"
    UNDER_WAY = "under way"
    LEAVE = "leave"


class Owed(msgspec.Struct, frozen=True):
    """An invoice that is not paid, of a customer whose invoices are collected."""

    invoice_id: int
    number: str
    customer_id: str
    currency: str
    open_minor: int
    due_on: date
    is_disputed: bool
    collect: MethodKind


class Try(msgspec.Struct, frozen=True):
    """What was asked of the gateway for it, and the day on which that ended, or else began."""

    method_id: str
    state: str
    why: str
    is_final: bool
    on: date


class Finding(msgspec.Struct, frozen=True):
    """``until``: the day before which nothing is done. ``attempt`` counts the tries by this method, this one with it."""

    owed: Owed
    action: Action
    attempt: int = 1
    method: Method | None = None
    until: date | None = None
    why: str = ""


def judge(
    owed: Owed,
    method: Method | None,
    tries: Sequence[Try],
    policy: Collection,
    today: date,
    announced: date | None = None,
    *,
    can_announce: bool = False,
) -> Finding:
    """``method`` is the customer's default one; ``tries`` are all of the invoice, the oldest first. ``announced``: the day on which
    the customer was told; ``can_announce``: he has an address for letters.
    """
    if any(each.state in OPEN for each in tries):
        return Finding(owed, Action.UNDER_WAY, len(tries), method)
    if owed.is_disputed:
        return Finding(owed, Action.LEAVE, method=method, why="it is disputed")
    notice = timedelta(days=policy.prenotification_days if can_announce and not tries else 0)
    if notice and method is not None and method.kind is owed.collect is MethodKind.DIRECT_DEBIT:
        if announced is None and owed.due_on - notice <= today:
            return Finding(owed, Action.ANNOUNCE, method=method, until=max(owed.due_on, today + notice))
        if announced is not None and announced + notice > max(today, owed.due_on):
            return Finding(owed, Action.WAIT, method=method, until=announced + notice, why="it is announced for then")
    if owed.due_on > today:
        return Finding(owed, Action.WAIT, method=method, until=owed.due_on, why="it is not due yet")
    if method is None or method.kind is not owed.collect:
        return Finding(
            owed, Action.LEAVE, method=method, why=f"the default method is no {owed.collect.replace('_', ' ')}"
        )
    back = next((each for each in tries if each.state == "taken_back" and each.is_final), None)
    if back is not None:
        return Finding(owed, Action.LEAVE, len(tries), method, why=f"it was taken back: {back.why}")
    failed = [each for each in tries if each.state in FAILED and each.method_id == method.method_id]
    return _after(owed, method, failed, policy, today) if failed else Finding(owed, Action.COLLECT, 1, method)


def _after(owed: Owed, method: Method, failed: Sequence[Try], policy: Collection, today: date) -> Finding:
    last, attempt = failed[-1], len(failed) + 1
    if last.is_final:
        return Finding(owed, Action.LEAVE, len(failed), method, why=f"declined for good: {last.why}")
    if len(failed) > len(policy.retry_days):
        return Finding(owed, Action.LEAVE, len(failed), method, why=f"tried {len(failed)} times: {last.why}")
    again_on = last.on + timedelta(days=policy.retry_days[len(failed) - 1])
    if again_on > today:
        return Finding(owed, Action.WAIT, attempt, method, again_on, f"the last try failed: {last.why}")
    return Finding(owed, Action.COLLECT, attempt, method, why=f"the last try failed: {last.why}")
