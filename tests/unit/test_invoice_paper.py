"""What is printed: words, amounts and dates as the customer writes them, and PDF that is PDF."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import cast

import msgspec
import pytest

from balance.money import Currency
from ocs.billing.invoices.book import Invoice, InvoiceKind, InvoiceLine, InvoiceState, Parties
from ocs.billing.invoices.calculation import TaxLine
from ocs.billing.invoices.customers import Customer
from ocs.billing.invoices.issuers import Issuers, LegalEntity, load_issuers
from ocs.billing.invoices.printing.paper import paper_of
from ocs.billing.invoices.printing.pdf import pdf_of
from ocs.billing.invoices.printing.samples import template_faults
from ocs.billing.invoices.printing.words import words_of
from ocs.billing.invoices.usage import Detail
from ocs.rating.faults import ConfigFault

EUR, JPY = Currency("EUR", 978, 9, 2), Currency("JPY", 392, 6, 0)
ISSUER = LegalEntity(id="e", name="Example", address=("Here",), country="DE", tax_id="DE1", usage_tax="vat")
CUSTOMER = Customer(
    customer_id="c", legal_entity="e", name='Müller "& <Söhne>" #1 $x$', address=("Straße 1", ""), country="DE",
    currency="EUR", accounts=("a",), since=date(2026, 1, 1), language="de", time_zone="Europe/Berlin",
)  # fmt: skip
LINE = InvoiceLine(
    1, "usage", "Germany", "a", "", "voice", "Germany", 1234, 4000, "s", 0, 0, True, "vat", 190_000, 123_456,
    date(2026, 9, 1), date(2026, 10, 1),
)  # fmt: skip
INVOICE = Invoice(
    1, "c", "e", InvoiceKind.INVOICE, InvoiceState.ISSUED, "R-2026-000001", "EUR", 10**7, date(2026, 9, 1), date(2026, 10, 1),
    date(2026, 10, 1), date(2026, 10, 15), 123_456, 23_457, 146_913, 46_913, 0, 0, None, "",
    (TaxLine("vat", "USt.", 190_000, 123_456, 23_457),), Parties(ISSUER, CUSTOMER), True,
)  # fmt: skip


@pytest.mark.parametrize(
    ("language", "currency", "title", "net", "period"),
    [
        ("de", EUR, "Rechnung R-2026-000001", "1.234,56 €", "01.09.26 - 30.09.26"),
        ("en", EUR, "Invoice R-2026-000001", "€1,234.56", "9/1/26 - 9/30/26"),
        ("fr_FR", EUR, "Facture R-2026-000001", "1 234,56 €", "01/09/2026 - 30/09/2026"),
        ("es", EUR, "Factura R-2026-000001", "1.234,56 €", "1/9/26 - 30/9/26"),
        ("xx", EUR, "Invoice R-2026-000001", "€1,234.56", "9/1/26 - 9/30/26"),
        ("en", JPY, "Invoice R-2026-000001", "¥123,456", "9/1/26 - 9/30/26"),
    ],
)
def test_in_the_customers_language(language: str, currency: Currency, title: str, net: str, period: str) -> None:
    """Amounts keep the currency's decimals; the last day of a period is the day before the next one begins."""
    parties = Parties(ISSUER, msgspec.structs.replace(CUSTOMER, language=language))
    paper = paper_of(INVOICE, parties, [LINE], currency)
    assert paper["title"] == title
    assert paper["sums"][0][1].replace("\xa0", " ").replace("\u202f", " ") == net
    assert paper["lines"][0]["period"] == period
    assert paper["lines"][0]["quantity"] == "1:06:40"


def test_sums_of_an_invoice_that_is_paid_in_part() -> None:
    """Net, tax with its base, total, what was paid and what is left."""
    sums = [
        (label, amount.replace("\xa0", " "))
        for label, amount, _ in paper_of(INVOICE, Parties(ISSUER, CUSTOMER), [LINE], EUR)["sums"]
    ]
    assert [label.replace("\xa0", " ") for label, _ in sums] == [
        "Netto", "USt. 19 % auf 1.234,56 €", "Gesamtbetrag", "Bezahlt", "Zu zahlen",
    ]  # fmt: skip
    assert [amount for _, amount in sums] == ["1.234,56 €", "234,57 €", "1.469,13 €", "-469,13 €", "1.000,00 €"]


def test_a_credit_note_names_what_it_corrects() -> None:
    """With the invoice's number and the reason, and the amount without a sign to be puzzled by."""
    note = msgspec.structs.replace(
        INVOICE, kind=InvoiceKind.CREDIT_NOTE, number="G-2026-000001", corrects=1, reason="Kulanz", net_minor=-100,
        tax_minor=-19, total_minor=-119, taxes=(TaxLine("vat", "USt.", 190_000, -100, -19),),
    )  # fmt: skip
    paper = paper_of(note, Parties(ISSUER, CUSTOMER), [LINE], EUR, "R-2026-000001")
    assert ("Berichtigt Rechnung", "R-2026-000001") in paper["facts"]
    assert ("Grund", "Kulanz") in paper["facts"]
    assert paper["sums"][-1][:2] == ("Gutgeschrieben werden", "1,19\xa0€")


def test_every_language_has_every_word() -> None:
    """A word that is missing would be seen on paper only."""
    assert all(words_of(language).keys() == words_of("en").keys() for language in ("de", "fr", "es"))


@pytest.mark.parametrize("state", [InvoiceState.DRAFT, InvoiceState.ISSUED, InvoiceState.VOID])
def test_it_is_set(state: InvoiceState) -> None:
    """Whatever characters are in it, with an annex over pages, typst makes PDF of it."""
    details = [
        Detail(
            "a",
            number,
            1_788_000_000_000 + number,
            "s",
            "voice",
            f"49{number}",
            "Germany",
            61,
            "s",
            123_456_789,
            not number,
        )
        for number in range(100)
    ]
    invoice = msgspec.structs.replace(INVOICE, state=state, number=None if state is InvoiceState.DRAFT else "R-1")
    pdf = pdf_of(paper_of(invoice, Parties(ISSUER, CUSTOMER), [LINE], EUR, "", details))
    assert pdf.startswith(b"%PDF-")
    assert b"/Type/Pages/Count 3" in pdf


def test_each_legal_entity_has_a_template_of_its_own(sample_config: Path) -> None:
    """With what lies beside it, such as a logo; a template that cannot be set is told before the first invoice."""
    folder = sample_config.parent
    billing = folder / "billing.toml"
    text = billing.read_text(encoding="utf-8")
    billing.write_text(text.replace('id = "example"', 'id = "example"\ntemplates = "letters"', 1), encoding="utf-8")
    (fault,) = cast(list[ConfigFault], load_issuers(folder))
    assert (fault.field, fault.message) == ("legal_entity.templates", "there is no letters/invoice.typ")

    letters = folder / "letters"
    letters.mkdir()
    (letters / "logo.svg").write_text(
        '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>', encoding="utf-8"
    )
    template = letters / "invoice.typ"
    template.write_text('#image("logo.svg")\n#json(bytes(sys.inputs.data)).title', encoding="utf-8")
    issuers = load_issuers(folder)
    assert isinstance(issuers, Issuers)
    assert (issuers.template_of("example"), issuers.template_of("other")) == (template, None)
    assert template_faults(issuers) == []
    template.write_text("#json(bytes(sys.inputs.data)).no_such_field", encoding="utf-8")
    (why,) = template_faults(issuers)
    assert why.startswith("billing.toml: legal_entity example: ")
    assert "no_such_field" in why
