"""A customer's next invoice: its period, its charges, its amounts. Reads the books; ``book.py`` writes."""

from __future__ import annotations

from datetime import date
from typing import Any, Final

import msgspec

from balance.money import Amount, Currency
from ocs.billing.invoices.agreed import all_charges
from ocs.billing.invoices.calculation import AppliedTax, Calculation, Charge, ChargeKind, calculate, minor_unit
from ocs.billing.invoices.customers import Customer, agreed_charges, sites_of
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
    """All that the invoice of the period bears, without what is for a supplementary one."""
    return (await drafts_of(connection, customer, period, issuers, currency))[0]


async def drafts_of(
    connection: Any, customer: Customer, period: Period, issuers: Issuers, currency: Currency
) -> list[Draft]:
    """The invoice of a period, and the one of its late records where the policy gives them one of their own.

    The tax is that of the period's last day, the day of supply.
    """
    policy = issuers.entities[customer.legal_entity].late_records
    spans, usage, agreed = await _gathered(connection, customer, period, issuers)
    supplied_on = date.fromordinal(period.after.toordinal() - 1)
    agreed = [_exchanged(charge, customer.currency, issuers, supplied_on) for charge in agreed]

    def applied(code: str) -> AppliedTax:
        return issuers.applied(code, customer.tax_status, supplied_on, customer.language)

    def made(charges: list[Charge], of_spans: tuple[Span, ...]) -> Draft:
        debited = sum(charge.amount for charge in charges if charge.is_debited)
        return Draft(customer, period, of_spans, calculate(charges, applied, currency), debited, minor_unit(currency))

    late = [charge for charge in usage if charge.is_late]
    if policy == "supplementary_invoice":
        usage = [charge for charge in usage if not charge.is_late]
    charges = [*usage, *agreed]
    usage_tax = issuers.entities[customer.legal_entity].usage_tax
    charges += _missing_to_minimum(customer, period, usage_tax, calculate(charges, applied, currency), currency)
    if policy == "write_off":
        charges += [_written_off(charge) for charge in late]
    drafts = [made(charges, spans)]
    if late and policy == "supplementary_invoice":
        drafts.append(made(late, ()))
    return drafts


async def _gathered(
    connection: Any, customer: Customer, period: Period, issuers: Issuers
) -> tuple[tuple[Span, ...], list[Charge], list[Charge]]:
    """Spans, usage and agreed charges of the customer and of the sites that he pays for."""
    entity = issuers.entities[customer.legal_entity]
    until_ms = instant_ms(period.after, customer.time_zone)
    is_first = period.first <= customer.since
    has_late = entity.late_records != "next_invoice" and not is_first
    late_before_ms = instant_ms(period.first, customer.time_zone) if has_late else 0
    spans: list[Span] = []
    usage: list[Charge] = []
    agreed: list[Charge] = []
    for party in (customer, *await sites_of(connection, customer)):
        name = f"{party.name}: " if party is not customer else ""
        for account_id in party.accounts:
            span = await next_span(connection, account_id, until_ms)
            spans.append(span)
            usage += _named(
                name, await usage_charges(connection, span, customer.time_zone, entity.usage_tax, late_before_ms)
            )
        rows = await connection.fetch(BILLED_CHARGES, party.customer_id)
        billed = {row["charge_id"]: row["until"] for row in rows}
        as_billed = msgspec.structs.replace(customer, accounts=party.accounts)
        agreements = await agreed_charges(connection, party.customer_id)
        agreed += _named(name, all_charges(as_billed, agreements, billed, period))
    return tuple(spans), usage, agreed


def _named(name: str, charges: list[Charge]) -> list[Charge]:
    """What a site uses bears its name."""
    return [msgspec.structs.replace(charge, text=f"{name}{charge.text}") for charge in charges] if name else charges


def _exchanged(charge: Charge, currency: str, issuers: Issuers, day: date) -> Charge:
    """What was agreed in another currency, at the rate of the day of supply, which stays on the line."""
    if charge.source_currency in ("", currency):
        return msgspec.structs.replace(charge, source_currency="") if charge.source_currency else charge
    amount, exchange = issuers.exchanged(charge.amount, charge.source_currency, currency, day)
    return msgspec.structs.replace(charge, amount=amount, source_amount=charge.amount, exchange=exchange)


def _written_off(charge: Charge) -> Charge:
    """Takes a late line back to the cent: the records are billed, and cost nothing."""
    return msgspec.structs.replace(
        charge, kind=ChargeKind.WRITE_OFF, amount=-charge.amount, is_debited=False, records=0, used=0, unit=""
    )


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
