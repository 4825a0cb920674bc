"""Dunning is a function of debts, flags and the day: stated as a table that a collector can read."""

from __future__ import annotations

from datetime import date, time, timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocs.billing.invoices.dunning import Debt, Flags, Policy, Step, faults_in, judge

POLICY = Policy(
    name="standard",
    least_debt="5.00",
    quiet_days=("sat", "sun"),
    steps=(
        Step(after_days=3, action="remind"),
        Step(after_days=14, action="late_fee", fee="5.00"),
        Step(after_days=21, action="warn"),
        Step(after_days=28, action="suspend"),
        Step(after_days=60, action="close"),
    ),
)
LEAST = 500
DUE = date(2026, 10, 15)  # a Thursday
ONE = Debt(1, "R-1", DUE, 10_000)
FRESH = Debt(2, "R-2", date(2026, 11, 15), 20_000)
ALL_DONE = {(1, "remind-3"), (1, "late_fee-14"), (1, "warn-21")}


@pytest.mark.parametrize(
    ("days", "debts", "flags", "done", "state", "block", "tasks"),
    [
        (0, [ONE], Flags(), (), "current", "", []),  # due today is not late
        (1, [ONE], Flags(), (), "overdue", "", []),
        (4, [ONE], Flags(), (), "remind-3", "", ["remind-3"]),
        (4, [ONE], Flags(), {(1, "remind-3")}, "remind-3", "", []),
        (14, [ONE], Flags(), {(1, "remind-3")}, "late_fee-14", "", ["late_fee-14"]),
        (22, [ONE], Flags(), (), "warn-21", "", ["remind-3", "late_fee-14", "warn-21"]),  # runs that were missed
        (28, [ONE], Flags(), ALL_DONE, "suspend-28", "suspend", []),
        (61, [ONE], Flags(), ALL_DONE, "close-60", "close", []),
        (28, [ONE._replace(open_minor=499)], Flags(), (), "current", "", []),  # cents are not chased
        (28, [ONE._replace(open_minor=499), ONE._replace(invoice_id=3, open_minor=1)], Flags(), ALL_DONE | {(3, "remind-3"), (3, "late_fee-14"), (3, "warn-21")}, "suspend-28", "suspend", []),
        (28, [ONE._replace(is_disputed=True)], Flags(), (), "current", "", []),
        (28, [ONE], Flags(is_exempt=True), (), "current", "", []),
        (28, [ONE], Flags(promised_until=DUE + timedelta(28)), ALL_DONE, "promised", "", []),
        (29, [ONE], Flags(promised_until=DUE + timedelta(28)), ALL_DONE, "suspend-28", "suspend", []),
        (35, [ONE, FRESH], Flags(), ALL_DONE, "suspend-28", "suspend", []),  # the newer one is four days late: Thursday
        (32, [FRESH], Flags(), (), "overdue", "", []),
        (28, [], Flags(), (), "current", "", []),
        (9, [ONE], Flags(), (), "remind-3", "", []),  # a Saturday: nothing is sent
        (30, [ONE], Flags(), ALL_DONE, "suspend-28", "suspend", []),  # but what is suspended stays so
    ],
)  # fmt: skip
def test_where_a_customer_stands(
    days: int, debts: list[Debt], flags: Flags, done: set[tuple[int, str]], state: str, block: str, tasks: list[str]
) -> None:
    """So many days after the first invoice was due."""
    if days == 35:
        done = done | {(2, "remind-3")}
    was = "suspend" if days == 30 else ""
    verdict = judge(POLICY, LEAST, debts, flags, done, DUE + timedelta(days), was)
    assert (verdict.state, verdict.block, [task.step.name for task in verdict.tasks]) == (state, block, tasks)


@given(
    st.lists(st.tuples(st.integers(0, 90), st.integers(1, 10_000), st.booleans()), max_size=5),
    st.integers(0, 120),
    st.integers(0, 4),
)
def test_paying_never_makes_it_worse(rows: list[tuple[int, int, bool]], days: int, paid: int) -> None:
    """Whichever invoice is paid, no block comes that was not there, and nothing more is to be done."""
    debts = [
        Debt(number, f"R-{number}", DUE + timedelta(later), open_minor, is_disputed)
        for number, (later, open_minor, is_disputed) in enumerate(rows)
    ]
    today = DUE + timedelta(days)
    before = judge(POLICY, LEAST, debts, Flags(), (), today)
    after = judge(POLICY, LEAST, [debt for debt in debts if debt.invoice_id != paid], Flags(), (), today)
    order = ["", "suspend", "close"]
    assert order.index(after.block) <= order.index(before.block)
    assert set(after.tasks) <= set(before.tasks)
    assert after.owed_minor <= before.owed_minor


def test_faults_of_a_policy() -> None:
    """What cannot be meant is said at load."""
    policy = Policy(
        name="x",
        steps=(
            Step(after_days=5, action="late_fee"),
            Step(after_days=3, action="warn"),
            Step(after_days=3, action="warn"),
        ),
    )
    assert faults_in(policy) == [
        "steps: put them in the order of their days",
        "steps: one action a day",
        "steps: late_fee-5 has no fee",
    ]
    assert faults_in(POLICY) == []


@pytest.mark.parametrize(
    ("days", "clock", "was", "block", "tasks"),
    [
        (30, None, "", "", []),  # a Saturday: nobody is cut off on a weekend
        (61, None, "suspend", "close", []),  # a Tuesday
        (28, time(7, 59), "", "", []),  # before the hours
        (28, time(8, 0), "", "suspend", ["remind-3", "late_fee-14", "warn-21"]),
        (28, time(20, 0), "limit", "limit", []),  # after them: what is in force stays
        (22, time(3, 0), "suspend", "limit", []),  # a softer step at any hour
        (1, time(3, 0), "suspend", "", []),
    ],
    ids=["weekend", "weekday", "too early", "in time", "too late", "softer", "none"],
)
def test_quiet_times_harden_nothing(days: int, clock: time | None, was: str, block: str, tasks: list[str]) -> None:
    """Steps that hurt wait for days and hours in which somebody can be reached; what helps is done at once."""
    steps = (Step(after_days=20, action="limit"), *POLICY.steps)
    policy = msgspec.structs.replace(
        POLICY, steps=tuple(sorted(steps, key=lambda each: each.after_days)), hours=("08:00", "20:00")
    )
    done = () if tasks else ALL_DONE
    verdict = judge(policy, LEAST, [ONE], Flags(), done, DUE + timedelta(days), was, clock)
    assert (verdict.block, [task.step.name for task in verdict.tasks]) == (block, tasks)


@pytest.mark.parametrize("hours", [("20:00", "08:00"), ("8", "nine"), ("08:00",)])
def test_hours_that_are_none_are_faults(hours: tuple[str, ...]) -> None:
    """Two times of one day, in their order."""
    assert any(fault.startswith("hours:") for fault in faults_in(msgspec.structs.replace(POLICY, hours=hours)))
