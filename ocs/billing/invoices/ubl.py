"""An invoice or credit note as UBL 2.1, in the form of Peppol BIS Billing 3.0, which is EN 16931's. Pure.

Amounts are those of the book: lines add up to the net, taxes stand once for each category and rate. A credit note's
amounts are positive there, because the document says what they are. Elements come in the order of the schema.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Final
from xml.etree import ElementTree as ET

from balance.money import Currency, format_amount
from ocs.billing.invoices.book import Invoice, InvoiceKind, InvoiceLine, InvoiceRefusedError, Parties
from ocs.billing.invoices.customers import Customer
from ocs.billing.invoices.issuers import EXEMPT, REVERSE_CHARGE, LegalEntity

CUSTOMIZATION: Final = "urn:cen.eu:en16931:2017#compliant#urn:fdc:peppol.eu:2017:poacc:billing:3.0"
PROFILE: Final = "urn:fdc:peppol.eu:2017:poacc:billing:01:1.0"
INVOICE_TYPE: Final = "380"  # UNTDID 1001: commercial invoice
CREDIT_NOTE_TYPE: Final = "381"
CREDIT_TRANSFER: Final = "30"  # UNTDID 4461
ONE: Final = "C62"  # UN/ECE recommendation 20: one
MAIL_SCHEME: Final = "EM"  # electronic address scheme: SMTP

_URN: Final = "urn:oasis:names:specification:ubl:schema:xsd:"
_CAC: Final = f"{_URN}CommonAggregateComponents-2"
_CBC: Final = f"{_URN}CommonBasicComponents-2"
for _prefix, _name in (("cac", _CAC), ("cbc", _CBC)):
    ET.register_namespace(_prefix, _name)


class _Writer:
    """Adds elements, and knows the currency of all amounts and the sign of the document."""

    def __init__(self, currency: Currency, sign: int) -> None:
        self._currency = currency
        self.sign = sign

    def text(self, parent: ET.Element, name: str, text: str, **attributes: str) -> None:
        """Add an element, unless there is nothing to say."""
        if text:
            ET.SubElement(parent, f"{{{_CBC}}}{name}", attributes).text = text

    def part(self, parent: ET.Element, name: str) -> ET.Element:
        return ET.SubElement(parent, f"{{{_CAC}}}{name}")

    def amount(self, parent: ET.Element, name: str, minor: int) -> None:
        digits = self._currency.digits
        self.text(parent, name, format_amount(minor, digits, digits), currencyID=self._currency.code)


def ubl_of(
    invoice: Invoice, lines: Sequence[InvoiceLine], currency: Currency, corrected: Invoice | None = None
) -> bytes:
    """The document, as UTF-8. Raises InvoiceRefusedError for a draft, or where somebody has no electronic address."""
    if invoice.parties is None or invoice.number is None or invoice.issued_on is None:
        raise InvoiceRefusedError("a draft has no UBL form: issue it first")
    is_credit = invoice.kind is InvoiceKind.CREDIT_NOTE
    kind = "CreditNote" if is_credit else "Invoice"
    ET.register_namespace("", f"{_URN}{kind}-2")
    root = ET.Element(f"{{{_URN}{kind}-2}}{kind}")
    writer = _Writer(currency, -1 if is_credit else 1)
    writer.text(root, "CustomizationID", CUSTOMIZATION)
    writer.text(root, "ProfileID", PROFILE)
    writer.text(root, "ID", invoice.number)
    writer.text(root, "IssueDate", invoice.issued_on.isoformat())
    if not is_credit and invoice.due_on is not None:
        writer.text(root, "DueDate", invoice.due_on.isoformat())
    writer.text(root, f"{kind}TypeCode", CREDIT_NOTE_TYPE if is_credit else INVOICE_TYPE)
    writer.text(root, "Note", invoice.reason)
    writer.text(root, "DocumentCurrencyCode", invoice.currency)
    customer = invoice.parties.customer
    writer.text(root, "BuyerReference", customer.buyer_reference or customer.customer_id)
    period = writer.part(root, "InvoicePeriod")
    writer.text(period, "StartDate", invoice.first.isoformat())
    writer.text(period, "EndDate", (invoice.after - timedelta(days=1)).isoformat())
    if corrected is not None:
        document = writer.part(writer.part(root, "BillingReference"), "InvoiceDocumentReference")
        writer.text(document, "ID", corrected.number or "")
    _parties(writer, root, invoice.parties)
    _payment(writer, root, invoice, invoice.parties.issuer)
    _taxes(writer, root, invoice, customer.tax_status)
    _totals(writer, root, invoice)
    for line in lines:
        _line(writer, root, line, kind, customer.tax_status)
    ET.indent(root)
    octets: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return octets


def _parties(writer: _Writer, root: ET.Element, parties: Parties) -> None:
    issuer, customer = parties.issuer, parties.customer
    for role, party, registration in (("Supplier", issuer, issuer.registration), ("Customer", customer, "")):
        node = writer.part(writer.part(root, f"Accounting{role}Party"), "Party")
        scheme, _, address = _endpoint(party).partition(":")
        writer.text(node, "EndpointID", address, schemeID=scheme)
        writer.text(writer.part(node, "PartyName"), "Name", party.name)
        place = writer.part(node, "PostalAddress")
        for name, text in zip(("StreetName", "AdditionalStreetName"), party.address, strict=False):
            writer.text(place, name, text)
        for text in party.address[2:]:
            writer.text(writer.part(place, "AddressLine"), "Line", text)
        writer.text(writer.part(place, "Country"), "IdentificationCode", party.country)
        if party.tax_id:
            scheme_node = writer.part(node, "PartyTaxScheme")
            writer.text(scheme_node, "CompanyID", party.tax_id)
            writer.text(writer.part(scheme_node, "TaxScheme"), "ID", "VAT")
        legal = writer.part(node, "PartyLegalEntity")
        writer.text(legal, "RegistrationName", party.name)
        writer.text(legal, "CompanyID", registration)
        if party.email:
            writer.text(writer.part(node, "Contact"), "ElectronicMail", party.email)


def _endpoint(party: LegalEntity | Customer) -> str:
    """``scheme:address``, as Peppol has it, else the mail address."""
    if party.endpoint:
        return party.endpoint
    if not party.email:
        raise InvoiceRefusedError(f"{party.name} has neither an endpoint nor an email: UBL wants an electronic address")
    return f"{MAIL_SCHEME}:{party.email}"


def _payment(writer: _Writer, root: ET.Element, invoice: Invoice, issuer: LegalEntity) -> None:
    if issuer.iban and writer.sign > 0:
        means = writer.part(root, "PaymentMeans")
        writer.text(means, "PaymentMeansCode", CREDIT_TRANSFER)
        writer.text(means, "PaymentID", invoice.number or "")
        account = writer.part(means, "PayeeFinancialAccount")
        writer.text(account, "ID", issuer.iban.replace(" ", ""))
        writer.text(account, "Name", issuer.name)
        if issuer.bic:
            writer.text(writer.part(account, "FinancialInstitutionBranch"), "ID", issuer.bic)


def _category(status: str, rate: int) -> str:
    """UNCL 5305: standard, zero, exempt, or reverse charge."""
    if status == REVERSE_CHARGE:
        return "AE"
    if status == EXEMPT:
        return "E"
    return "S" if rate else "Z"


def _taxes(writer: _Writer, root: ET.Element, invoice: Invoice, status: str) -> None:
    """Once for each category and rate: two codes of one rate are one tax here."""
    node = writer.part(root, "TaxTotal")
    writer.amount(node, "TaxAmount", writer.sign * invoice.tax_minor)
    merged: dict[int, tuple[int, int, str]] = {}
    for tax in invoice.taxes:
        base, amount, note = merged.get(tax.rate, (0, 0, ""))
        merged[tax.rate] = (base + tax.base_minor, amount + tax.tax_minor, note or tax.note)
    for rate, (base, amount, note) in merged.items():
        part = writer.part(node, "TaxSubtotal")
        writer.amount(part, "TaxableAmount", writer.sign * base)
        writer.amount(part, "TaxAmount", writer.sign * amount)
        _tax_category(writer, writer.part(part, "TaxCategory"), status, rate, note)


def _tax_category(writer: _Writer, node: ET.Element, status: str, rate: int, note: str = "") -> None:
    writer.text(node, "ID", _category(status, rate))
    writer.text(node, "Percent", format_amount(rate, 4, 0))
    writer.text(node, "TaxExemptionReason", note)
    writer.text(writer.part(node, "TaxScheme"), "ID", "VAT")


def _totals(writer: _Writer, root: ET.Element, invoice: Invoice) -> None:
    node = writer.part(root, "LegalMonetaryTotal")
    for name, minor in (
        ("LineExtensionAmount", invoice.net_minor),
        ("TaxExclusiveAmount", invoice.net_minor),
        ("TaxInclusiveAmount", invoice.total_minor),
        ("PayableAmount", invoice.total_minor),
    ):
        writer.amount(node, name, writer.sign * minor)


def _line(writer: _Writer, root: ET.Element, line: InvoiceLine, kind: str, status: str) -> None:
    """A line is one of itself: a call's price per second has more decimals than a price may have there."""
    net = writer.sign * line.net_minor
    node = writer.part(root, f"{kind}Line")
    writer.text(node, "ID", str(line.line_number))
    if line.records:
        writer.text(node, "Note", f"{line.records} records, {line.used} {line.unit}")
    quantity = "CreditedQuantity" if kind == "CreditNote" else "InvoicedQuantity"
    writer.text(node, quantity, "-1" if net < 0 else "1", unitCode=ONE)
    writer.amount(node, "LineExtensionAmount", net)
    if line.after > line.first:
        period = writer.part(node, "InvoicePeriod")
        writer.text(period, "StartDate", line.first.isoformat())
        writer.text(period, "EndDate", (line.after - timedelta(days=1)).isoformat())
    item = writer.part(node, "Item")
    writer.text(item, "Name", line.text or line.service)
    _tax_category(writer, writer.part(item, "ClassifiedTaxCategory"), status, line.rate)
    writer.amount(writer.part(node, "Price"), "PriceAmount", abs(net))
