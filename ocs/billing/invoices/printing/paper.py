"""An invoice in words: what the template prints, in the customer's language. Pure; ``pdf.py`` sets it."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, Final
from zoneinfo import ZoneInfo

from babel import Locale, UnknownLocaleError
from babel.dates import format_date, format_datetime
from babel.numbers import format_decimal, format_percent

from balance.money import Currency
from ocs.billing.invoices.book import Invoice, InvoiceKind, InvoiceLine, InvoiceState, Parties
from ocs.billing.invoices.calculation import RATE_UNIT, ChargeKind
from ocs.billing.invoices.printing.words import FALLBACK, words_of
from ocs.billing.invoices.usage import Detail

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
MEGABYTE: Final = 10**6
WIDE_YEN, YEN = "\uffe5", "\u00a5"
"""The sign of Japanese locales, which the built-in font lacks, and the one that it has."""


class Scribe:
    """Writes amounts, dates and quantities as one customer reads them."""

    def __init__(self, language: str, zone: str, currency: Currency) -> None:
        self.words = words_of(language)
        try:
            self._locale = Locale.parse(language.replace("-", "_"))
        except (UnknownLocaleError, ValueError):
            self._locale = Locale.parse(FALLBACK)
        self.language = self._locale.language
        self._zone = ZoneInfo(zone)
        self._currency = currency
        # Our own number of decimals: an invoice has no fewer and no more than its amounts were rounded to.
        self._pattern = copy(self._locale.currency_formats["standard"])
        self._pattern.frac_prec = (currency.digits, currency.digits)

    def money(self, minor: int) -> str:
        amount = Decimal(minor).scaleb(-self._currency.digits)
        text: str = self._pattern.apply(amount, self._locale, currency=self._currency.code, currency_digits=False)
        return text.replace(WIDE_YEN, YEN)

    def exact(self, amount: int) -> str:
        """An amount at the currency's scale, without zeros at its end."""
        return format_decimal(
            Decimal(amount).scaleb(-self._currency.scale).normalize(), locale=self._locale, decimal_quantization=False
        )

    def percent(self, rate: int) -> str:
        return format_percent(Decimal(rate) / RATE_UNIT, locale=self._locale, decimal_quantization=False)

    def day(self, day: date) -> str:
        return format_date(day, "medium", locale=self._locale)

    def days(self, first: date, after: date) -> str:
        """The days ``[first, after)``, as people write them: with the last one."""
        last = after - timedelta(days=1)
        return self.day(first) if last <= first else f"{self._short(first)} - {self._short(last)}"

    def moment(self, at_ms: int) -> str:
        at = (EPOCH + timedelta(milliseconds=at_ms)).astimezone(self._zone)
        return format_datetime(at, "short", tzinfo=self._zone, locale=self._locale)

    def use(self, used: int, unit: str) -> str:
        """Seconds as h:mm:ss, octets as MB, whatever is counted as a number."""
        if unit == "s":
            minutes, seconds = divmod(used, 60)
            return f"{minutes // 60}:{minutes % 60:02d}:{seconds:02d}"
        if unit == "octets":
            return f"{format_decimal(Decimal(used) / MEGABYTE, '#,##0.000', locale=self._locale)} MB"
        return format_decimal(used, locale=self._locale) if unit else ""

    def count(self, records: int) -> str:
        return f"{format_decimal(records, locale=self._locale)} {self.words['records']}"

    def _short(self, day: date) -> str:
        return format_date(day, "short", locale=self._locale)


def paper_of(
    invoice: Invoice,
    parties: Parties,
    lines: Sequence[InvoiceLine],
    currency: Currency,
    corrected: str = "",
    details: Sequence[Detail] = (),
) -> dict[str, Any]:
    """All that the template prints. ``corrected`` is the number of the invoice that a credit note corrects."""
    customer, issuer = parties.customer, parties.issuer
    scribe = Scribe(customer.language, customer.time_zone, currency)
    words = scribe.words
    is_credit = invoice.kind is InvoiceKind.CREDIT_NOTE
    title = words["credit_note" if is_credit else "invoice"]
    return {
        "lang": scribe.language,
        "words": words,
        "title": f"{title} {invoice.number}" if invoice.number else title,
        "is_draft": invoice.state is InvoiceState.DRAFT,
        "is_void": invoice.state is InvoiceState.VOID,
        "issuer": {
            name: getattr(issuer, name)
            for name in ("name", "address", "tax_id", "registration", "email", "bank", "iban", "bic")
        },
        "customer": {"name": customer.name, "address": customer.address, "country": customer.country},
        "facts": _facts(invoice, parties, scribe, corrected),
        "lines": [_line(line, scribe) for line in lines],
        "sums": _sums(invoice, scribe),
        "notes": list(dict.fromkeys(tax.note for tax in invoice.taxes if tax.note)),
        "annex": [
            [
                scribe.moment(each.started_at_ms) + (f" ({words['late']})" if each.is_late else ""),
                each.subscriber,
                each.number or each.destination,
                scribe.use(each.used, each.unit),
                scribe.exact(each.amount),
            ]
            for each in details
        ],
    }


def _facts(invoice: Invoice, parties: Parties, scribe: Scribe, corrected: str) -> list[tuple[str, str]]:
    words, customer = scribe.words, parties.customer
    facts = [(words["number"], invoice.number)] if invoice.number else []
    if invoice.issued_on is not None:
        facts.append((words["date"], scribe.day(invoice.issued_on)))
    facts.append((words["period"], scribe.days(invoice.first, invoice.after)))
    if invoice.due_on is not None and invoice.kind is InvoiceKind.INVOICE:
        facts.append((words["due"], scribe.day(invoice.due_on)))
    facts.append((words["customer"], customer.customer_id))
    if customer.tax_id:
        facts.append((words["your_tax_id"], customer.tax_id))
    if invoice.supplements is not None:
        facts.append((words["supplementary"], words["late_records"]))
    if corrected:
        facts += [(words["corrects"], corrected), (words["reason"], invoice.reason)]
    return facts


def _line(line: InvoiceLine, scribe: Scribe) -> dict[str, str]:
    is_usage = line.kind == ChargeKind.USAGE
    text = scribe.words["minimum"] if line.kind == ChargeKind.MINIMUM else line.text
    if line.kind == ChargeKind.WRITE_OFF:
        text = f"{scribe.words['written_off']}: {line.text}"
    if line.kind == ChargeKind.ADJUSTMENT:
        text = f"{scribe.words['adjustment']}: {line.text}"
    return {
        "text": text,
        "note": scribe.count(line.records) if is_usage and line.records else line.exchange,
        "period": scribe.days(line.first, line.after),
        "quantity": scribe.use(line.used, line.unit) if line.used else "",
        "amount": scribe.money(line.net_minor),
    }


def _sums(invoice: Invoice, scribe: Scribe) -> list[tuple[str, str, bool]]:
    """Label, amount, and whether it is printed bold."""
    words = scribe.words
    sums = [(words["net"], scribe.money(invoice.net_minor), False)]
    for tax in invoice.taxes:
        if tax.rate or tax.tax_minor:
            label = f"{tax.name} {scribe.percent(tax.rate)} {words['tax_on']} {scribe.money(tax.base_minor)}"
            sums.append((label, scribe.money(tax.tax_minor), False))
    if invoice.kind is InvoiceKind.CREDIT_NOTE:
        return [*sums, (words["credited"], scribe.money(-invoice.total_minor), True)]
    sums.append((words["total"], scribe.money(invoice.total_minor), True))
    if invoice.paid_minor:
        sums.append((words["paid"], scribe.money(-invoice.paid_minor), False))
        sums.append((words["open"], scribe.money(invoice.open_minor), True))
    return sums
