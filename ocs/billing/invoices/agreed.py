"""Which agreed charges an invoice bears: each period of each once, whole or in part. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Final

from ocs.billing.invoices.calculation import Charge
from ocs.billing.invoices.customers import Agreed, Customer
from ocs.billing.invoices.periods import Period, overlap, period_of, periods_between, prorated

FOREVER: Final = date.max


def due_charges(customer: Customer, agreed: Agreed, billed_until: date | None, period: Period) -> list[Charge]:
    """What of one agreement falls due on the invoice of ``period``: for what comes after ``billed_until``.

    Recurring ones are paid in advance: the invoice of October bears November. The first one bears what ran before, too.
    """
    if not agreed.months:
        is_due = agreed.first < period.after and billed_until is None
        return [_charge(customer, agreed, Period(agreed.first, agreed.first), agreed.amount)] if is_due else []
    runs = Period(billed_until or agreed.first, agreed.after or FOREVER)
    ahead = period_of(period.after, customer.cycle_day, agreed.months).after
    found = []
    for whole in periods_between(runs.first, min(ahead, runs.after), customer.cycle_day, agreed.months):
        part = overlap(whole, runs)
        if part is not None and part.first < ahead:
            found.append(_charge(customer, agreed, part, prorated(agreed.amount, part, whole)))
    return found


def ended_early(customer: Customer, agreed: Agreed, billed_until: date | None) -> list[Charge]:
    """What was paid in advance for days after the end comes back, by the same arithmetic."""
    if not agreed.months or agreed.after is None or billed_until is None or agreed.after >= billed_until:
        return []
    runs = Period(max(agreed.after, agreed.first), billed_until)
    return [
        _charge(customer, agreed, part, -prorated(agreed.amount, part, whole))
        for whole in periods_between(runs.first, runs.after, customer.cycle_day, agreed.months)
        if (part := overlap(whole, runs)) is not None
    ]


def all_charges(
    customer: Customer, agreements: list[Agreed], billed: Mapping[str, date], period: Period
) -> list[Charge]:
    """Every agreed charge that the invoice of this period bears; ``billed`` tells until when each has been charged."""
    found: list[Charge] = []
    for agreed in agreements:
        billed_until = billed.get(agreed.charge_id)
        found += ended_early(customer, agreed, billed_until)
        found += due_charges(customer, agreed, billed_until, period)
    return found


def _charge(customer: Customer, agreed: Agreed, part: Period, amount: int) -> Charge:
    return Charge(
        kind=agreed.kind,
        text=agreed.text,
        account_id=customer.payer,
        amount=amount,
        tax_code=agreed.tax_code,
        first=part.first,
        after=part.after,
        charge_id=agreed.charge_id,
        source_currency=agreed.currency,
    )
