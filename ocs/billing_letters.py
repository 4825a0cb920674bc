"""What billing tells customers by mail and SMS: the letters, in the values that the words of ``messages/`` show. Pure."""

from __future__ import annotations

from collections.abc import Collection
from datetime import date
from typing import Any, Final, Literal, NamedTuple, TypeAlias

from balance.money import Currency, format_amount
from ocs.billing.invoices.book import Invoice, Parties
from ocs.billing.invoices.customers import Customer
from ocs.billing.invoices.dunning import Task
from ocs.billing.invoices.issuers import LegalEntity
from ocs.delivery.queue import Attachment, Letter

Way: TypeAlias = Literal["mail", "sms"]
MAIL: Final[Way] = "mail"
SMS: Final[Way] = "sms"
KINDS: Final = {"remind": "reminder", "warn": "suspension_warning"}
"""Actions of dunning that are words, and what their words are called."""


ANNOUNCED: Final = "direct_debit_announced"
COLLECTION_FAILED: Final = "collection_failed"


class Collected(NamedTuple):
    """What is said of a collection: ``name`` is the letter's, ``method`` what people know it by, ``on`` the day that it is about."""

    name: str
    kind: str
    number: str
    open_minor: int
    method: str
    on: date | None


def invoice_letter(invoice: Invoice, parties: Parties, currency: Currency, files: tuple[Attachment, ...]) -> Letter:
    """An issued invoice or credit note, with its files."""
    customer = parties.customer
    is_invoice = invoice.corrects is None
    return Letter(
        message_id=f"billing-invoice-{invoice.invoice_id}",
        channel=MAIL,
        receiver=customer.email,
        kind="invoice" if is_invoice else "credit_note",
        values={
            "name": customer.name,
            "number": invoice.number,
            "total": _decimal(abs(invoice.total_minor), currency),
            "currency": invoice.currency,
            "due_on": invoice.due_on.isoformat() if invoice.due_on else "",
            "issuer": parties.issuer.name,
        },
        account_id=customer.payer,
        language=customer.language,
        time_zone=customer.time_zone,
        attachments=files,
    )


def dunning_letters(
    customer: Customer, task: Task, entity: LegalEntity, currency: Currency, ways: Collection[str]
) -> list[Letter]:
    """What a step says, by every way of which the customer has an address. Nothing for steps that do not speak."""
    kind = KINDS.get(task.step.action)
    if kind is None:
        return []
    values = {
        "number": task.debt.number,
        "open": _decimal(task.debt.open_minor, currency),
        "due_on": task.debt.due_on.isoformat(),
        "issuer": entity.name,
    }
    return letters_to(customer, f"billing-dunning-{task.debt.invoice_id}-{task.step.name}", kind, values, ways)


def collection_letters(
    customer: Customer, what: Collected, entity: LegalEntity, currency: Currency, ways: Collection[str]
) -> list[Letter]:
    """That a direct debit will be collected, or that a collection has failed."""
    values = {
        "number": what.number,
        "open": _decimal(what.open_minor, currency),
        "method": what.method,
        "on": what.on.isoformat() if what.on is not None else "",
        "issuer": entity.name,
    }
    return letters_to(customer, what.name, what.kind, values, ways)


def letters_to(customer: Customer, name: str, kind: str, values: dict[str, Any], ways: Collection[str]) -> list[Letter]:
    """The same words by every way of which the customer has an address; ``name`` makes them one letter each, for ever."""
    reached: tuple[tuple[Way, str], ...] = ((MAIL, customer.email), (SMS, customer.phone))
    return [
        Letter(
            message_id=f"{name}-{way}", channel=way, receiver=receiver, kind=kind,
            values={"name": customer.name, "currency": customer.currency, **values}, account_id=customer.payer,
            language=customer.language, time_zone=customer.time_zone,
        )
        for way, receiver in reached
        if way in ways and receiver
    ]  # fmt: skip


def _decimal(minor: int, currency: Currency) -> str:
    return format_amount(minor, currency.digits, currency.digits)
