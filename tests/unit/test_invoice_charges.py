"""Fees, discounts and one-time charges: each period of each is billed once, in advance, and comes back if it ends early."""

from __future__ import annotations

from datetime import date
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocs.billing.invoices.agreed import all_charges
from ocs.billing.invoices.calculation import Charge, ChargeKind
from ocs.billing.invoices.customers import Agreed, Customer
from ocs.billing.invoices.periods import Period, period_of

EURO = 10**9
CUSTOMER = Customer(
    customer_id="c", legal_entity="e", name="C", address=(), country="DE", currency="EUR", accounts=("a",),
    since=date(2026, 1, 1),
)  # fmt: skip


def agreed(first: str, months: int = 1, after: str = "", amount: int = 31 * EURO) -> Agreed:
    return Agreed(
        charge_id="fee", customer_id="c", kind=ChargeKind.RECURRING, text="fee", amount=amount, tax_code="vat",
        first=date.fromisoformat(first), months=months, after=date.fromisoformat(after) if after else None,
    )  # fmt: skip


def month(number: int) -> Period:
    return period_of(date(2026, number, 1), 1)


def euros(charges: list[Charge]) -> list[tuple[str, str, int]]:
    return [(each.first.isoformat(), each.after.isoformat(), each.amount // EURO) for each in charges]


@pytest.mark.parametrize(
    ("what", "billed", "number", "expected"),
    [
        # It began in mid-month: its part, and the next month in advance.
        (agreed("2026-10-22"), None, 10, [("2026-10-22", "2026-11-01", 10), ("2026-11-01", "2026-12-01", 31)]),
        (agreed("2026-10-22"), "2026-12-01", 11, [("2026-12-01", "2027-01-01", 31)]),
        (agreed("2026-10-22"), "2026-12-01", 10, []),
        (agreed("2027-02-01"), None, 10, []),  # not yet
        (agreed("2026-11-30"), None, 10, [("2026-11-30", "2026-12-01", 1)]),
        # It ends within the month that is billed in advance: only its days.
        (agreed("2026-10-01", after="2026-12-11"), "2026-12-01", 11, [("2026-12-01", "2026-12-11", 10)]),
        # It ended early: what was paid in advance comes back.
        (agreed("2026-10-01", after="2026-12-22"), "2027-01-01", 12, [("2026-12-22", "2027-01-01", -10)]),
        (agreed("2026-10-01", after="2026-12-22"), "2026-12-22", 12, []),
        # Quarters, counted from January.
        (agreed("2026-11-01", 3, amount=92 * EURO), None, 11, [("2026-11-01", "2027-01-01", 61)]),
        (agreed("2026-11-01", 3, amount=90 * EURO), "2027-01-01", 12, [("2027-01-01", "2027-04-01", 90)]),
        # Once.
        (agreed("2026-10-31", 0), None, 10, [("2026-10-31", "2026-10-31", 31)]),
        (agreed("2026-11-01", 0), None, 10, []),
        (agreed("2026-10-31", 0), "2026-10-31", 11, []),
    ],
)  # fmt: skip
def test_what_falls_due(what: Agreed, billed: str | None, number: int, expected: list[tuple[str, str, int]]) -> None:
    """31.00 a month, so that a day of October is 1.00."""
    until = {"fee": date.fromisoformat(billed)} if billed else {}
    assert euros(all_charges(CUSTOMER, [what], until, month(number))) == expected


@given(st.dates(date(2026, 1, 1), date(2026, 6, 30)), st.integers(0, 200), st.sampled_from([1, 2, 3, 6, 12]))
def test_every_day_is_billed_once(first: date, days: int, months: int) -> None:
    """Month after month, whatever day it begins and ends: the days that were billed are the days that it ran."""
    after = date.fromordinal(first.toordinal() + days)
    what = agreed(first.isoformat(), months, after.isoformat())
    billed: list[Charge] = []
    for number in range(1, 13):
        until = {"fee": billed[-1].after} if billed else {}
        billed += all_charges(CUSTOMER, [what], until, month(number))
    assert all(one.after == other.first for one, other in pairwise(billed))
    assert (billed[0].first, billed[-1].after) == (first, after) if days else not billed
