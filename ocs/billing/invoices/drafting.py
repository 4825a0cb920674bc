"""A customer's next invoice: its period, its charges, its amounts. Reads the books; ``book.py`` writes."""

from __future__ import annotations

from datetime import date
from typing import Any, Final

import msgspec

from balance.money import Amount, Currency
from ocs.billing.invoices.agreed import all_charges
from ocs.billing.invoices.calculation import AppliedTax, Calculation, Charge, ChargeKind, calculate, minor_unit
from ocs.billing.invoices.customers import Customer, agreed_charges
from ocs.billing.invoices.issuers import Issuers
from ocs.billing.invoices.periods import Period, instant_ms, overlap, period_of, prorated
from ocs.billing.invoices.usage import Span, next_span, usage_charges

BILLED_PERIOD: Final = "SELECT max(after) FROM invoice WHERE customer_id = $1 AND kind = 'invoice'"

# Until when each agreed charge has been billed; where it ended early, since when that came back.
BILLED_CHARGES: Final = """
    SELECT l.charge_id, coalesce(min(l.first) FILTER (WHERE sign(l.amount) <> sign(c.amount)), max(l.after)) AS until
    FROM invoice_line l JOIN charge c USING (charge_id) JOIN invoice i USING (invoice_id)
    WHERE c.customer_id = $1 AND i.kind = 'invoice' GROUP BY l.charge_id
"""


class Draft(msgspec.Struct, frozen=True):
    """An invoice before it is written. ``debited`` is what the accounts have paid of it already, exact."""

    customer: Customer
    period: Period
    spans: tuple[Span, ...]
    calculation: Calculation
    debited: Amount
    minor_unit: int

    @property
    def is_empty(self) -> bool:
        """Nothing to print, and nothing to count as billed."""
        return not self.calculation.lines and not any(span.last_entry > span.after_entry for span in self.spans)


async def next_period(connection: Any, customer: Customer) -> Period:
    """The period of the next invoice: it begins where the last one ended, or on the customer's first day."""
    billed_until: date | None = await connection.fetchval(BILLED_PERIOD, customer.customer_id)
    first = billed_until or customer.since
    return Period(first, period_of(first, customer.cycle_day).after)


async def draft(connection: Any, customer: Customer, period: Period, issuers: Issuers, currency: Currency) -> Draft:
    """All that the invoice of the period bears. The tax is that of the period's last day, the day of supply."""
    entity = issuers.entities[customer.legal_entity]
    until_ms = instant_ms(period.after, customer.time_zone)
    spans, charges = [], []
    for account_id in customer.accounts:
        span = await next_span(connection, account_id, until_ms)
        spans.append(span)
        charges += await usage_charges(connection, span, customer.time_zone, entity.usage_tax)
    billed = {row["charge_id"]: row["until"] for row in await connection.fetch(BILLED_CHARGES, customer.customer_id)}
    charges += all_charges(customer, await agreed_charges(connection, customer.customer_id), billed, period)
    supplied_on = date.fromordinal(period.after.toordinal() - 1)

    def applied(code: str) -> AppliedTax:
        return issuers.applied(code, customer.tax_status, supplied_on, customer.language)

    charges += _missing_to_minimum(customer, period, entity.usage_tax, calculate(charges, applied, currency), currency)
    debited = sum(charge.amount for charge in charges if charge.is_debited)
    return Draft(customer, period, tuple(spans), calculate(charges, applied, currency), debited, minor_unit(currency))


def _missing_to_minimum(
    customer: Customer, period: Period, tax_code: str, so_far: Calculation, currency: Currency
) -> list[Charge]:
    """What is missing to the least that was agreed for a period; for a part of one, to that part of it."""
    if not customer.minimum_minor:
        return []
    whole = period_of(period.first, customer.cycle_day)
    part = overlap(period, whole)
    assert part is not None, "a period lies in its cycle"
    least = prorated(customer.minimum_minor * minor_unit(currency), part, whole)
    missing = least - so_far.net_minor * minor_unit(currency)
    if missing <= 0:
        return []
    return [
        Charge(
            kind=ChargeKind.MINIMUM,
            text="minimum charge",
            account_id=customer.payer,
            amount=missing,
            tax_code=tax_code,
            first=period.first,
            after=period.after,
        )
    ]
