"""A sample invoice set by each legal entity's own template, so that a fault of it is found before the first real one."""

from __future__ import annotations

from datetime import date
from typing import Final

from balance.money import Currency
from ocs.billing.invoices.book import Invoice, InvoiceKind, InvoiceLine, InvoiceState, Parties
from ocs.billing.invoices.calculation import TaxLine
from ocs.billing.invoices.customers import Customer
from ocs.billing.invoices.issuers import BILLING_FILE, Issuers, LegalEntity
from ocs.billing.invoices.printing.paper import paper_of
from ocs.billing.invoices.printing.pdf import TemplateError, pdf_of
from ocs.billing.invoices.usage import Detail

EURO: Final = Currency("EUR", 978, 9, 2)
FIRST, AFTER, DUE = date(2026, 9, 1), date(2026, 10, 1), date(2026, 10, 15)


def template_faults(issuers: Issuers) -> list[str]:
    """Why an entity's template cannot be set, in typst's words."""
    faults = []
    for entity in issuers.entities.values():
        template = issuers.template_of(entity.id)
        if template is None:
            continue
        try:
            pdf_of(_paper(entity), template)
        except TemplateError as error:
            faults.append(f"{BILLING_FILE}: legal_entity {entity.id}: {template} cannot be set: {error}")
    return faults


def _paper(entity: LegalEntity) -> dict[str, object]:
    """With whatever a template may print: a line with records, tax, a note, an annex."""
    customer = Customer(
        customer_id="sample", legal_entity=entity.id, name="Sample", address=("Street 1",), country="DE", currency="EUR",
        accounts=("sample",), since=FIRST,
    )  # fmt: skip
    line = InvoiceLine(
        1,
        "usage",
        "Germany",
        "sample",
        "",
        "voice",
        "Germany",
        1,
        61,
        "s",
        10**9,
        0,
        True,
        "vat",
        190_000,
        100,
        FIRST,
        AFTER,
    )
    invoice = Invoice(
        1, "sample", entity.id, InvoiceKind.INVOICE, InvoiceState.ISSUED, "R-2026-000001", "EUR", 10**7, FIRST, AFTER, AFTER,
        DUE, 100, 19, 119, 0, 0, 10**9, None, "", (TaxLine("vat", "VAT", 190_000, 100, 19, "note"),), None, True,
    )  # fmt: skip
    detail = Detail("sample", 1, 1_790_000_000_000, "4930", "voice", "4915", "Germany", 61, "s", 10**9)
    return paper_of(invoice, Parties(entity, customer), [line], EURO, "", [detail])
