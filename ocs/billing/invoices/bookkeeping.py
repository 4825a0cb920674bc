"""Invoices, credit notes and payments as double entries for the operator's bookkeeping: each adds up to nothing.

invoice       receivable  to  revenue (by kind of charge), tax (by code)
credit note   the same with the signs turned
payment       bank (by method)  to  receivable; called back, or given back: the same, turned
exchange      receivable  to  gain, or loss to receivable: what a paid part is worth more or less than when it was issued
"""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from contextlib import aclosing
from datetime import date
from typing import Any, Final, Literal, TypeAlias

import msgspec

from balance.money import Amount, Currency, format_amount
from ocs.billing.failures import FAILURES, unavailable
from ocs.billing.invoices.calculation import TaxLine
from ocs.billing.invoices.payments import CREDIT_NOTE_METHOD, NOT_ASKED_FOR

INVOICES: Final = """
    SELECT i.invoice_id, i.legal_entity, i.customer_id, i.number, i.issued_on, i.currency, i.minor_unit, i.taxes,
           i.total_minor, l.kind, sum(l.net_minor)::bigint AS net_minor
    FROM invoice i LEFT JOIN invoice_line l USING (invoice_id)
    WHERE i.issued_on >= $1 AND i.issued_on < $2 GROUP BY i.invoice_id, l.kind ORDER BY i.issued_on, i.invoice_id, l.kind
"""
PAYMENTS: Final = f"""
    SELECT c.legal_entity, p.customer_id, p.method, p.reference, p.currency, p.amount_minor, d.day, d.sign
    FROM payment p JOIN customer c USING (customer_id)
    CROSS JOIN LATERAL (VALUES (p.received_on, 1), (p.reversed_on, -1)) AS d(day, sign)
    WHERE d.day >= $1 AND d.day < $2 AND p.method <> $3
    UNION ALL
    SELECT c.legal_entity, r.customer_id, r.method, r.reference, r.currency, r.amount_minor, r.paid_on, -1
    FROM refund r JOIN customer c USING (customer_id) WHERE r.paid_on >= $1 AND r.paid_on < $2
        AND {NOT_ASKED_FOR}
    ORDER BY day, customer_id, reference, sign DESC
"""  # noqa: S608 - words of our own


# What was paid of an invoice in another currency than the issuer's: worth more, or less, than when it was issued.
PAID_PARTS: Final = """
    SELECT i.legal_entity, i.customer_id, i.number, i.currency, i.minor_unit, i.issued_on, p.method, p.reference,
           p.received_on AS day, a.amount_minor
    FROM allocation a JOIN payment p USING (payment_id) JOIN invoice i USING (invoice_id)
    WHERE p.received_on >= $1 AND p.received_on < $2 AND p.method <> $3 AND p.reversed_on IS NULL
    ORDER BY p.received_on, p.payment_id, i.invoice_id
"""

ExchangeOf: TypeAlias = Callable[[str, Amount, str, date, date], tuple[int, str] | None]
"""Of an entity: an exact amount in a currency, worth how many minor units more on the second day, and in which currency."""


class Bookkeeping(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The operator's accounts. The tables name other ones by kind of charge, tax code and method of payment."""

    receivable: str = "receivable"
    revenue: str = "revenue"
    tax: str = "tax"
    bank: str = "bank"
    exchange_gain: str = "exchange_gain"
    exchange_loss: str = "exchange_loss"
    revenue_by_kind: dict[str, str] = {}
    tax_by_code: dict[str, str] = {}
    bank_by_method: dict[str, str] = {}


class Entry(msgspec.Struct, frozen=True):
    """One line: ``amount_minor`` above zero is debit, below it credit. All lines of a document add up to zero."""

    day: date
    document: str
    legal_entity: str
    customer_id: str
    account: str
    currency: str
    amount_minor: int
    text: str


FIELDS: Final = ("day", "document", "issuer", "customer", "account", "debit", "credit", "currency", "text")
CHUNK: Final = 500
Form: TypeAlias = Literal["csv", "jsonl"]


async def written(
    found: AsyncGenerator[Entry, None], currencies: Mapping[str, Currency], form: Form
) -> AsyncGenerator[str, None]:
    """Double entries with a column for each side, as CSV or as a JSON object a line, some hundred lines at a time."""
    text = io.StringIO()
    writer = csv.DictWriter(text, FIELDS, lineterminator="\n")
    if form == "csv":
        writer.writeheader()
    lines = 1
    async with aclosing(found) as entries_found:
        async for entry in entries_found:
            row = _row(entry, currencies[entry.currency].digits)
            if form == "csv":
                writer.writerow(row)
            else:
                text.write(msgspec.json.encode(row).decode() + "\n")
            lines += 1
            if not lines % CHUNK:
                yield text.getvalue()
                text.seek(0)
                text.truncate()
    yield text.getvalue()


def _row(entry: Entry, digits: int) -> dict[str, str]:
    amount = format_amount(abs(entry.amount_minor), digits, digits)
    sides = (amount, "") if entry.amount_minor > 0 else ("", amount)
    values = (entry.day.isoformat(), entry.document, entry.legal_entity, entry.customer_id, entry.account, *sides)
    return dict(zip(FIELDS, (*values, entry.currency, entry.text), strict=True))


async def entries(
    connection: Any, first: date, after: date, accounts: Bookkeeping, exchange_of: ExchangeOf = lambda *_: None
) -> AsyncGenerator[Entry, None]:
    """What was issued, paid and called back on the days ``[first, after)``. Raises BackendUnavailable."""
    try:
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            document: list[Any] = []
            async for row in connection.cursor(INVOICES, first, after):
                if document and document[0]["invoice_id"] != row["invoice_id"]:
                    for entry in _of_invoice(document, accounts):
                        yield entry
                    document = []
                document.append(row)
            for entry in _of_invoice(document, accounts) if document else ():
                yield entry
            async for row in connection.cursor(PAYMENTS, first, after, CREDIT_NOTE_METHOD):
                for entry in _of_payment(row, accounts):
                    yield entry
            async for row in connection.cursor(PAID_PARTS, first, after, CREDIT_NOTE_METHOD):
                for entry in _of_exchange(row, accounts, exchange_of):
                    yield entry
    except FAILURES as error:
        raise unavailable(error) from error


def _of_invoice(rows: list[Any], accounts: Bookkeeping) -> Iterable[Entry]:
    """``rows`` are the nets of one document by kind."""
    head = rows[0]
    parts = [(accounts.receivable, head["total_minor"], head["number"])]
    for row in rows:
        if row["kind"] is not None:
            account = accounts.revenue_by_kind.get(row["kind"], accounts.revenue)
            parts.append((account, -row["net_minor"], row["kind"]))
    parts += [
        (accounts.tax_by_code.get(tax.code, accounts.tax), -tax.tax_minor, f"{tax.name} {tax.code}")
        for tax in msgspec.json.decode(head["taxes"], type=tuple[TaxLine, ...])
    ]
    assert sum(amount for _, amount, _ in parts) == 0, "an invoice adds up"
    for account, amount, text in parts:
        if amount:
            yield Entry(
                head["issued_on"], head["number"], head["legal_entity"], head["customer_id"], account, head["currency"],
                amount, text,
            )  # fmt: skip


def _of_exchange(row: Any, accounts: Bookkeeping, exchange_of: ExchangeOf) -> Iterable[Entry]:
    """The difference of exchange of a paid part, in the issuer's currency: the receivable against gain or loss."""
    exact = row["amount_minor"] * row["minor_unit"]
    found = exchange_of(row["legal_entity"], exact, row["currency"], row["issued_on"], row["day"])
    if found is None or not found[0]:
        return
    more, currency = found
    other = accounts.exchange_gain if more > 0 else accounts.exchange_loss
    for account, part in ((accounts.receivable, more), (other, -more)):
        yield Entry(
            row["day"], row["number"], row["legal_entity"], row["customer_id"], account, currency, part,
            f"exchange {row['method']} {row['reference']}",
        )  # fmt: skip


def _of_payment(row: Any, accounts: Bookkeeping) -> Iterable[Entry]:
    amount = row["amount_minor"] * row["sign"]
    bank = accounts.bank_by_method.get(row["method"], accounts.bank)
    for account, part in ((bank, amount), (accounts.receivable, -amount)):
        yield Entry(
            row["day"], row["reference"], row["legal_entity"], row["customer_id"], account, row["currency"], part,
            f"{row['method']} {row['reference']}",
        )  # fmt: skip
