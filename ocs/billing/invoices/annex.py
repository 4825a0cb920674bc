"""The records behind an invoice, one by one, of any number: read as they are written, and as CSV.

Columns and values are for programs: times with the offset of the customer's zone, uses as whole numbers of their unit,
amounts as exact decimals. Only the heading may be in the customer's language.
"""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, Final
from zoneinfo import ZoneInfo

from balance.money import Currency, format_amount
from ocs.billing.invoices.book import Invoice, spans_of, supplement_of
from ocs.billing.invoices.customers import Customer
from ocs.billing.invoices.periods import instant_ms
from ocs.billing.invoices.printing.words import words_of
from ocs.billing.invoices.usage import Detail, details_of
from ocs.billing.moments import moment

COLUMNS: Final = (
    "account_id", "entry_number", "started_at", "subscriber", "service", "number", "destination", "used", "unit",
    "amount", "currency", "is_late",
)  # fmt: skip
HEADINGS: Final = (
    "account", "record", "time", "from", "service", "to", "destination", "duration", "unit", "amount", "currency", "late"
)  # fmt: skip
"""The words of the columns, by their keys in words.toml."""
CHUNK: Final = 500


async def records_of(connection: Any, invoice: Invoice, zone: str) -> AsyncGenerator[Detail, None]:
    """An invoice's records by account and time. One that was supplemented has its own without the late ones.

    Raises BackendUnavailable.
    """
    spans = await spans_of(connection, invoice.supplements or invoice.invoice_id)
    is_parted = bool(invoice.supplements) or await supplement_of(connection, invoice.invoice_id) is not None
    async with aclosing(details_of(connection, spans, instant_ms(invoice.first, zone))) as details:
        async for each in details:
            if not is_parted or each.is_late == bool(invoice.supplements):
                yield each


async def annex_csv(
    connection: Any, invoice: Invoice, customer: Customer, currency: Currency, *, in_words: bool
) -> AsyncGenerator[str, None]:
    """The annex as CSV, some hundred lines at a time. ``in_words``: the heading is in the customer's language."""
    words = words_of(customer.language)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([words[key] for key in HEADINGS] if in_words else COLUMNS)
    zone, lines = ZoneInfo(customer.time_zone), 1
    async with aclosing(records_of(connection, invoice, customer.time_zone)) as records:
        async for each in records:
            writer.writerow(_row(each, zone, currency))
            lines += 1
            if not lines % CHUNK:
                yield text.getvalue()
                text.seek(0)
                text.truncate()
    yield text.getvalue()


def _row(each: Detail, zone: ZoneInfo, currency: Currency) -> tuple[Any, ...]:
    return (
        each.account_id, each.entry_number, moment(each.started_at_ms).astimezone(zone).isoformat(timespec="milliseconds"),
        each.subscriber, each.service, each.number, each.destination, each.used, each.unit,
        format_amount(each.amount, currency.scale, currency.digits), currency.code, str(each.is_late).lower(),
    )  # fmt: skip
