"""Customers' next invoices: period, charges, amounts. Reads the books for many at once; ``drafts.py`` writes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any, Final, NamedTuple

import msgspec

from balance.money import Amount, Currency
from ocs.billing.invoices.agreed import all_charges
from ocs.billing.invoices.calculation import AppliedTax, Calculation, Charge, ChargeKind, calculate, minor_unit
from ocs.billing.invoices.customers import Agreed, Customer, agreements_of, sites_of
from ocs.billing.invoices.issuers import Issuers
from ocs.billing.invoices.periods import Period, instant_ms, overlap, period_of, prorated
from ocs.billing.invoices.usage import Span, Wanted, next_spans, usage_charges

BILLED_PERIODS: Final = """
    SELECT customer_id, max(after) FROM invoice WHERE customer_id = ANY($1::text[]) AND kind = 'invoice' AND state <> 'void'
    GROUP BY customer_id
"""
# Until when each agreed charge has been billed; where it ended early, since when that came back.
BILLED_CHARGES: Final = """
    SELECT l.charge_id, coalesce(min(l.first) FILTER (WHERE sign(l.amount) <> sign(c.amount)), max(l.after)) AS until
    FROM invoice_line l JOIN charge c USING (charge_id) JOIN invoice i USING (invoice_id)
    WHERE c.customer_id = ANY($1::text[]) AND i.kind = 'invoice' AND i.state <> 'void' GROUP BY l.charge_id
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


class Due(NamedTuple):
    """A customer and the period that his next invoice is for."""

    customer: Customer
    period: Period


class Drafted(NamedTuple):
    """The drafts of each customer, his period's first; and of whom none could be made, because a file is not right."""

    drafts: dict[str, list[Draft]]
    failed: dict[str, str]


class Books(NamedTuple):
    """What the books hold of customers who are billed together: spans and usage by account, charges by customer."""

    spans: Mapping[str, Span]
    usage: Mapping[str, list[Charge]]
    agreed: Mapping[str, list[Agreed]]
    billed: Mapping[str, date]


async def next_dues(
    connection: Any, customers: Sequence[Customer], reached: Mapping[str, date] | None = None
) -> list[Due]:
    """Each customer's next period: it begins where the last invoice ended, or on the customer's first day.

    ``reached`` tells until when there was nothing to be billed.
    """
    names = [customer.customer_id for customer in customers]
    begins = dict(await connection.fetch(BILLED_PERIODS, names)) | dict(reached or {})
    firsts = [begins.get(customer.customer_id, customer.since) for customer in customers]
    return [
        Due(customer, Period(first, period_of(first, customer.cycle_day).after))
        for customer, first in zip(customers, firsts, strict=True)
    ]


async def drafts_of(
    connection: Any, dues: Sequence[Due], issuers: Issuers, currencies: Mapping[str, Currency]
) -> Drafted:
    """The invoices of many customers, from a handful of questions to the books. Nothing is written.

    A customer has one for his period, and one of its late records where the policy gives them one of their own.
    """
    drafted = Drafted({}, {})
    known = []
    for due in dues:
        if due.customer.legal_entity in issuers.entities and due.customer.currency in currencies:
            known.append(due)
        else:
            drafted.failed[due.customer.customer_id] = (
                f"billing.toml or currencies.toml has no {due.customer.legal_entity!r} or {due.customer.currency!r} any more"
            )
    if not known:
        return drafted
    sites = await sites_of(connection, [due.customer.customer_id for due in known])
    parties = {due.customer.customer_id: (due.customer, *sites.get(due.customer.customer_id, ())) for due in known}
    books = await _read(connection, known, parties, issuers)
    for due in known:
        name = due.customer.customer_id
        try:
            drafted.drafts[name] = _drafts(due, parties[name], books, issuers, currencies[due.customer.currency])
        except KeyError as error:
            drafted.failed[name] = f"billing.toml or exchange.csv has no {error} any more"
    return drafted


async def _read(
    connection: Any, dues: Sequence[Due], parties: Mapping[str, tuple[Customer, ...]], issuers: Issuers
) -> Books:
    """Everything of the customers and of the sites that they pay for."""
    wanted = [
        each
        for due in dues
        for party in parties[due.customer.customer_id]
        for each in _wanted(due, party.accounts, issuers)
    ]
    names = [party.customer_id for due in dues for party in parties[due.customer.customer_id]]
    spans = await next_spans(connection, wanted)
    usage = await usage_charges(connection, wanted, spans)
    billed = {row["charge_id"]: row["until"] for row in await connection.fetch(BILLED_CHARGES, names)}
    return Books(spans, usage, await agreements_of(connection, names), billed)


def _wanted(due: Due, accounts: Sequence[str], issuers: Issuers) -> list[Wanted]:
    customer, period = due
    entity = issuers.entities[customer.legal_entity]
    until_ms = instant_ms(period.after, customer.time_zone)
    has_late = entity.late_records != "next_invoice" and period.first > customer.since
    late_before_ms = instant_ms(period.first, customer.time_zone) if has_late else 0
    return [Wanted(name, until_ms, customer.time_zone, entity.usage_tax, late_before_ms) for name in accounts]


# --- pure -------------------------------------------------------------------------------------------------------


def _drafts(due: Due, parties: Sequence[Customer], books: Books, issuers: Issuers, currency: Currency) -> list[Draft]:
    """What the period bears, and apart from it its late records if they go apart.

    The tax is that of the period's last day, the day of supply.
    """
    customer, period = due
    entity = issuers.entities[customer.legal_entity]
    spans = tuple(books.spans[account] for party in parties for account in party.accounts)
    usage, agreed = _charges(due, parties, books)
    supplied_on = date.fromordinal(period.after.toordinal() - 1)
    agreed = [_exchanged(charge, customer.currency, issuers, supplied_on) for charge in agreed]

    def applied(code: str) -> AppliedTax:
        return issuers.applied(code, customer.tax_status, supplied_on, customer.language)

    def made(charges: list[Charge], of_spans: tuple[Span, ...]) -> Draft:
        debited = sum(charge.amount for charge in charges if charge.is_debited)
        return Draft(customer, period, of_spans, calculate(charges, applied, currency), debited, minor_unit(currency))

    late = [charge for charge in usage if charge.is_late]
    if entity.late_records == "supplementary_invoice":
        usage = [charge for charge in usage if not charge.is_late]
    charges = [*usage, *agreed]
    if customer.minimum_minor:
        so_far = calculate(charges, applied, currency)
        charges += _missing_to_minimum(customer, period, entity.usage_tax, so_far, currency)
    if entity.late_records == "write_off":
        charges += [_written_off(charge) for charge in late]
    drafts = [made(charges, spans)]
    if late and entity.late_records == "supplementary_invoice":
        drafts.append(made(late, ()))
    return drafts


def _charges(due: Due, parties: Sequence[Customer], books: Books) -> tuple[list[Charge], list[Charge]]:
    """Usage and agreed charges of the customer, and of his sites by their names."""
    usage: list[Charge] = []
    agreed: list[Charge] = []
    for party in parties:
        name = f"{party.name}: " if party is not due.customer else ""
        as_billed = msgspec.structs.replace(due.customer, accounts=party.accounts)
        agreements = books.agreed.get(party.customer_id, [])
        for account in party.accounts:
            usage += _named(name, books.usage[account])
        agreed += _named(name, all_charges(as_billed, agreements, books.billed, due.period))
    return usage, agreed


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
