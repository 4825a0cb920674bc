"""Which invoices an entry of the bank pays, or which payment it takes back: suggestions, the surest first. Pure.

    certain    it names open invoices, and pays their sum to the cent; or a return names the payment's reference
    likely     it names an invoice, and is of another amount; or comes from an account that paid before
    possible   its amount is that of one open invoice alone, or its name that of a customer

Only what is certain is booked without asking.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import date
from enum import IntEnum
from typing import Final, NamedTuple

from ocs.billing.bank.camt import BankEntry

_NOISE: Final = re.compile(r"[^0-9A-Z]")
_CHUNK: Final = re.compile(r"[0-9]+|[A-Z]+")
SUGGESTED_MAX: Final = 5


class Sureness(IntEnum):
    POSSIBLE = 1
    LIKELY = 2
    CERTAIN = 3


class OpenInvoice(NamedTuple):
    """An invoice that waits for money."""

    invoice_id: int
    number: str
    customer_id: str
    customer_name: str
    currency: str
    open_minor: int
    due_on: date


class KnownPayment(NamedTuple):
    """A payment that a return may take back."""

    payment_id: int
    customer_id: str
    reference: str
    amount_minor: int
    currency: str


class Suggestion(NamedTuple):
    """``payment_id`` is set for a return; else the customer pays these invoices first, and the oldest then."""

    sureness: Sureness
    customer_id: str
    invoices: tuple[int, ...]
    why: str
    payment_id: int = 0


def suggest(
    entry: BankEntry, invoices: Sequence[OpenInvoice], payers: Mapping[str, str], payments: Sequence[KnownPayment] = ()
) -> list[Suggestion]:
    """What an entry may be. ``payers`` are the accounts (IBAN) that customers have paid from before.

    ``invoices`` are in the order of their due days: all that are open, or those of them that OpenBook finds.
    """
    if entry.amount_minor < 0:
        return _returned(entry, payments)
    mine = [invoice for invoice in invoices if invoice.currency == entry.currency]
    named = _named(entry, mine)
    found = [*_by_number(entry, named)]
    payer = payers.get(entry.party_iban, "") if entry.party_iban else ""
    if payer and not found:
        fitting = tuple(each.invoice_id for each in mine if _is(each, payer, entry.amount_minor))[:1]
        found.append(Suggestion(Sureness.LIKELY, payer, fitting, "the account has paid for this customer before"))
    same = [each for each in mine if each.open_minor == entry.amount_minor]
    if len(same) == 1 and not named:
        why = f"{same[0].number} is the only open invoice of this amount"
        found.append(Suggestion(Sureness.POSSIBLE, same[0].customer_id, (same[0].invoice_id,), why))
    name = plain(entry.party)
    namesakes = dict.fromkeys(each.customer_id for each in mine if name and plain(each.customer_name) == name)
    why = f"{entry.party} is the customer's name"
    found += [Suggestion(Sureness.POSSIBLE, customer_id, (), why) for customer_id in namesakes]
    surest: dict[str, Suggestion] = {}
    for each in sorted(found, key=lambda each: -each.sureness):
        surest.setdefault(each.customer_id, each)
    return list(surest.values())[:SUGGESTED_MAX]


def _named(entry: BankEntry, invoices: Sequence[OpenInvoice]) -> list[OpenInvoice]:
    """Invoices whose numbers stand in the texts."""
    return [invoice for invoice in invoices if _stands_in(invoice.number, entry.references)]


def _stands_in(number: str, texts: Sequence[str]) -> bool:
    """However it is spaced and dashed, but as a whole: R-2026-000001 does not stand in R-2026-0000012."""
    if not number:
        return False
    between = "[^0-9A-Z]*"
    pattern = re.compile(between.join(_CHUNK.findall(number.upper())) + "(?![0-9])")
    return any(pattern.search(text.upper()) for text in texts)


def _by_number(entry: BankEntry, named: Sequence[OpenInvoice]) -> list[Suggestion]:
    found = []
    for customer_id in dict.fromkeys(each.customer_id for each in named):
        theirs = [each for each in named if each.customer_id == customer_id]
        numbers = ", ".join(each.number for each in theirs)
        is_all = sum(each.open_minor for each in theirs) == entry.amount_minor
        is_sure = is_all and len(theirs) == len(named)
        why = f"it names {numbers}" + (", and pays to the cent" if is_all else ", and is of another amount")
        sureness = Sureness.CERTAIN if is_sure else Sureness.LIKELY
        found.append(Suggestion(sureness, customer_id, tuple(each.invoice_id for each in theirs), why))
    return found


def _returned(entry: BankEntry, payments: Sequence[KnownPayment]) -> list[Suggestion]:
    if not entry.is_return:
        return []
    fitting = [
        each for each in payments if each.currency == entry.currency and each.amount_minor == -entry.amount_minor
    ]
    named = [each for each in fitting if _stands_in(each.reference, entry.references)]
    if len(named) == 1:
        one = named[0]
        why = f"it takes payment {one.payment_id} back: it names {one.reference}"
        return [Suggestion(Sureness.CERTAIN, one.customer_id, (), why, one.payment_id)]
    return [
        Suggestion(
            Sureness.POSSIBLE, each.customer_id, (), f"payment {each.payment_id} is of this amount", each.payment_id
        )
        for each in (named or fitting)[:SUGGESTED_MAX]
    ]


def _is(invoice: OpenInvoice, customer_id: str, amount_minor: int) -> bool:
    return invoice.customer_id == customer_id and invoice.open_minor == amount_minor


def plain(text: str) -> str:
    return _NOISE.sub("", text.upper())
