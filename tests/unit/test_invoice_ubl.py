"""The machine-readable form: valid by the UBL 2.1 schema of OASIS and the rules of Peppol BIS Billing 3.0."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any
from xml.etree import ElementTree as ET

import msgspec
import pytest
from peppol import check_rules, validate_xsd

from balance.money import Currency
from ocs.billing.invoices.book import Invoice, InvoiceKind, InvoiceLine, InvoiceRefusedError, InvoiceState, Parties
from ocs.billing.invoices.calculation import TaxLine
from ocs.billing.invoices.customers import Customer
from ocs.billing.invoices.issuers import LegalEntity
from ocs.billing.invoices.ubl import ubl_of

EUR, JPY = Currency("EUR", 978, 9, 2), Currency("JPY", 392, 6, 0)
ISSUER = LegalEntity(
    id="example", name="Example Telecom GmbH", address=("Musterstrasse 1", "10115 Berlin"), country="DE",
    tax_id="DE123456788", usage_tax="vat", registration="HRB 1", email="billing@example.net",
    iban="DE89 3704 0044 0532 0130 00", bic="COBADEFFXXX",
)  # fmt: skip
BAKERY = Customer(
    customer_id="bakery", legal_entity="example", name="Bäckerei Müller & Söhne <GmbH>",
    address=("Hauptstr. 1", "Hinterhaus", "10115 Berlin"), country="DE", currency="EUR", accounts=("bakery",),
    since=date(2026, 9, 1), email="ofen@example.net", buyer_reference="04011000-12345-34",
)  # fmt: skip
NAMES = {
    "cac": "urn:oasis:names:specification:ubl:schema:xsd:CommonAggregateComponents-2",
    "cbc": "urn:oasis:names:specification:ubl:schema:xsd:CommonBasicComponents-2",
}


def line(number: int, text: str, net: int, rate: int = 190_000, **changes: Any) -> InvoiceLine:
    made = InvoiceLine(
        number, "usage", text, "bakery", "", "voice", text, 3, 180, "s", net * 10**7, 0, True, "vat", rate, net,
        date(2026, 9, 1), date(2026, 10, 1),
    )  # fmt: skip
    return msgspec.structs.replace(made, **changes)


def invoice(taxes: tuple[TaxLine, ...], customer: Customer = BAKERY, **changes: Any) -> Invoice:
    net, tax = sum(each.base_minor for each in taxes), sum(each.tax_minor for each in taxes)
    made = Invoice(
        17, "bakery", "example", InvoiceKind.INVOICE, InvoiceState.ISSUED, "R-2026-000017", customer.currency, 10**7,
        date(2026, 9, 1), date(2026, 10, 1), date(2026, 10, 1), date(2026, 10, 15), net, tax, net + tax, 0, 0, 0, None, "",
        taxes, Parties(ISSUER, customer), True,
    )  # fmt: skip
    return msgspec.structs.replace(made, **changes)


VAT = TaxLine("vat", "VAT", 190_000, 10_960, 2_082)
LINES = (line(1, "Germany", 11_000), line(2, "Discount", -40, records=0, used=0, unit=""))


def checked(octets: bytes) -> ET.Element:
    """The document, if the schema takes it and no fatal rule is broken."""
    assert validate_xsd(octets) == (True, [])
    assert [str(finding) for finding in check_rules(octets, Decimal(0)) if finding.severity == "fatal"] == []
    return ET.fromstring(octets)


def words(root: ET.Element, path: str) -> list[str]:
    return [node.text or "" for node in root.findall(path, NAMES)]


def test_an_invoice_is_valid_by_schema_and_rules() -> None:
    """With a discount, signs that XML has to escape, and every total as the book has it."""
    root = checked(ubl_of(invoice((VAT,)), LINES, EUR))
    assert words(root, "cac:LegalMonetaryTotal/*") == ["109.60", "109.60", "130.42", "130.42"]
    assert words(root, "cac:TaxTotal/cac:TaxSubtotal/cbc:TaxAmount") == ["20.82"]
    assert words(root, "cac:InvoiceLine/cbc:InvoicedQuantity") == ["1", "-1"]
    assert words(root, "cac:InvoiceLine/cac:Price/cbc:PriceAmount") == ["110.00", "0.40"]
    assert words(root, "cac:InvoicePeriod/cbc:EndDate") == ["2026-09-30"], "the last day is in it"
    assert words(root, "cbc:BuyerReference") == ["04011000-12345-34"]
    assert words(root, ".//cac:Party/cac:PartyName/cbc:Name")[1] == BAKERY.name
    assert words(root, ".//cbc:PayeeFinancialAccount/cbc:ID") == []
    assert words(root, "cac:PaymentMeans/cac:PayeeFinancialAccount/cbc:ID") == ["DE89370400440532013000"]


def test_the_rules_would_notice() -> None:
    """A cent more of tax, or elements in another order: the checks of these tests are none that cannot fail."""
    octets = ubl_of(invoice((VAT,)), LINES, EUR)
    assert any(each.severity == "fatal" for each in check_rules(octets.replace(b"130.42", b"130.43"), Decimal(0)))
    assert not validate_xsd(octets.replace(b"cbc:IssueDate", b"cbc:IssueTime"))[0]


def test_a_credit_note_is_valid_and_positive() -> None:
    """Its amounts are what is credited, and it names the invoice."""
    note = invoice(
        (TaxLine("vat", "VAT", 190_000, -1_000, -190),), kind=InvoiceKind.CREDIT_NOTE, number="G-2026-000001",
        corrects=17, reason="wrong rate",
    )  # fmt: skip
    root = checked(ubl_of(note, (line(1, "Germany", -1_000),), EUR, invoice((VAT,))))
    assert root.tag.endswith("}CreditNote")
    assert words(root, "cac:LegalMonetaryTotal/cbc:PayableAmount") == ["11.90"]
    assert words(root, "cac:BillingReference/cac:InvoiceDocumentReference/cbc:ID") == ["R-2026-000017"]


@pytest.mark.parametrize(
    ("status", "taxes", "categories"),
    [
        ("standard", (VAT, TaxLine("books", "VAT", 70_000, 1_000, 70)), ["S", "S"]),
        ("standard", (TaxLine("a", "VAT", 190_000, 100, 19), TaxLine("b", "VAT", 190_000, 100, 19)), ["S"]),
        ("standard", (TaxLine("zero", "VAT", 0, 100, 0),), ["Z"]),
        ("reverse_charge", (TaxLine("vat", "VAT", 0, 100, 0, "Reverse charge"),), ["AE"]),
        ("exempt", (TaxLine("vat", "VAT", 0, 100, 0, "Exempt"),), ["E"]),
    ],
    ids=["two rates", "two codes of one rate", "zero", "reverse charge", "exempt"],
)
def test_taxes_stand_once_for_each_category_and_rate(
    status: str, taxes: tuple[TaxLine, ...], categories: list[str]
) -> None:
    """With the words that the law wants where there is none."""
    customer = msgspec.structs.replace(BAKERY, tax_status=status, tax_id="DE999999999")
    lines = tuple(
        line(number, "Line", tax.base_minor, tax.rate, tax_code=tax.code) for number, tax in enumerate(taxes, start=1)
    )
    root = checked(ubl_of(invoice(taxes, customer), lines, EUR))
    assert words(root, "cac:TaxTotal/cac:TaxSubtotal/cac:TaxCategory/cbc:ID") == categories


def test_money_without_decimals_has_none() -> None:
    """Yen are whole."""
    customer = msgspec.structs.replace(BAKERY, currency="JPY")
    root = checked(
        ubl_of(invoice((TaxLine("t", "Tax", 100_000, 10, 1),), customer), (line(1, "Calls", 10, 100_000),), JPY)
    )
    assert words(root, "cac:LegalMonetaryTotal/cbc:PayableAmount") == ["11"]


def test_what_has_no_such_form_is_refused() -> None:
    """A draft, and a customer whom nobody can reach electronically."""
    with pytest.raises(InvoiceRefusedError, match="a draft has no UBL form"):
        ubl_of(invoice((VAT,), parties=None), LINES, EUR)
    with pytest.raises(InvoiceRefusedError, match="neither an endpoint nor an email"):
        ubl_of(invoice((VAT,), msgspec.structs.replace(BAKERY, email="")), LINES, EUR)
