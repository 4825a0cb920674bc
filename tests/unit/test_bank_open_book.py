"""Open invoices that are looked up: the same suggestions as by comparing an entry with all of them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta

from hypothesis import given
from hypothesis import strategies as st

from ocs.billing.bank.camt import BankEntry
from ocs.billing.bank.matching import OpenInvoice, suggest
from ocs.billing.bank.open_book import OpenBook

# Few of each, so that they meet: numbers that stand in one another, names and amounts of several customers.
NUMBERS = ("R-1", "R-12", "r 2", "R2", "1", "12", "---", "R-2026-1", "Ä-7", "7")
NAMES = ("Bäckerei", "BCKEREI", "Groß", "gross", "...", "")
PIECES = (*NUMBERS, " ", "/", "x", "R", "2026", "ß", "0")
CUSTOMERS = tuple(f"c{place}" for place in range(8))


@st.composite
def books(draw: st.DrawFn) -> list[OpenInvoice]:
    """In the order of their due days, as they are read."""
    name_of = {each: draw(st.sampled_from(NAMES)) for each in CUSTOMERS}
    invoices = []
    for invoice_id in range(draw(st.integers(0, 14))):
        customer_id = draw(st.sampled_from(CUSTOMERS))
        invoices.append(
            OpenInvoice(
                invoice_id, draw(st.sampled_from(NUMBERS)), customer_id, name_of[customer_id], "EUR",
                draw(st.integers(1, 4)), date(2026, 10, 1) + timedelta(draw(st.integers(0, 2))),
            )
        )  # fmt: skip
    return in_order(invoices)


def in_order(invoices: Sequence[OpenInvoice]) -> list[OpenInvoice]:
    return sorted(invoices, key=lambda each: (each.due_on, each.invoice_id))


entries = st.builds(
    BankEntry,
    iban=st.just("DE1"),
    reference=st.just("a1"),
    booked_on=st.just(date(2026, 10, 5)),
    amount_minor=st.integers(1, 6),
    currency=st.just("EUR"),
    party=st.sampled_from(NAMES),
    party_iban=st.sampled_from(("", "DE2")),
    references=st.lists(st.lists(st.sampled_from(PIECES), max_size=5).map("".join), max_size=3).map(tuple),
)


def assert_same(entry: BankEntry, book: OpenBook, invoices: Sequence[OpenInvoice], payer: str) -> None:
    payers = {"DE2": payer} if payer else {}
    found = book.among(entry, payers.get(entry.party_iban, ""))
    assert suggest(entry, found, payers) == suggest(entry, in_order(invoices), payers)


@given(books(), entries, st.sampled_from(("", *CUSTOMERS)), st.sampled_from(CUSTOMERS), st.integers(0, 3))
def test_what_is_looked_up_suggests_the_same(
    invoices: list[OpenInvoice], entry: BankEntry, payer: str, changed: str, paid: int
) -> None:
    """Of random books; also after a customer has paid, or what he had paid was taken back."""
    book = OpenBook(invoices)
    assert_same(entry, book, invoices, payer)
    others = [each for each in invoices if each.customer_id != changed]
    left = [
        each._replace(open_minor=each.open_minor - paid)
        for each in invoices
        if each.customer_id == changed and each.open_minor > paid
    ]
    book.replace(changed, left)
    assert_same(entry, book, others + left, payer)
    book.replace(changed, [each for each in invoices if each.customer_id == changed])
    assert_same(entry, book, invoices, payer)


def test_a_flat_rate_of_thousands_is_not_looked_through() -> None:
    """All invoices of one amount: two of them are read, whatever the entry pays."""
    rate = [
        OpenInvoice(n, f"R-2026-{n:06}", f"c{n}", f"Customer {n}", "EUR", 1190, date(2026, 10, 1)) for n in range(3000)
    ]
    entry = BankEntry(
        iban="DE1", reference="a1", booked_on=date(2026, 10, 5), amount_minor=1190, currency="EUR",
        references=("Rechnung R 2026 002999 danke",),
    )  # fmt: skip
    assert [each.invoice_id for each in OpenBook(rate).among(entry)] == [0, 1, 2999]
