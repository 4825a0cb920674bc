"""Open invoices by what an entry may say of them, so that none is compared with all of them. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import date
from heapq import nsmallest
from itertools import islice

from ocs.billing.bank.camt import BankEntry
from ocs.billing.bank.matching import SUGGESTED_MAX, OpenInvoice, plain


class OpenBook:
    """Open invoices of one currency. What ``among`` finds of them makes the same suggestions as all of them would."""

    def __init__(self, invoices: Iterable[OpenInvoice] = ()) -> None:
        self._by_customer: defaultdict[str, list[OpenInvoice]] = defaultdict(list)
        self._by_number: defaultdict[str, dict[int, OpenInvoice]] = defaultdict(dict)
        self._by_amount: defaultdict[int, dict[int, OpenInvoice]] = defaultdict(dict)
        self._by_name: defaultdict[str, set[str]] = defaultdict(set)
        self._lengths: set[int] = set()
        for each in invoices:
            self.add(each)

    def add(self, invoice: OpenInvoice) -> None:
        """Those of a customer come in the order of their due days."""
        number = plain(invoice.number)
        self._lengths.add(len(number))
        self._by_number[number][invoice.invoice_id] = invoice
        self._by_amount[invoice.open_minor][invoice.invoice_id] = invoice
        self._by_name[plain(invoice.customer_name)].add(invoice.customer_id)
        self._by_customer[invoice.customer_id].append(invoice)

    def replace(self, customer_id: str, invoices: Sequence[OpenInvoice]) -> None:
        """Take a customer's invoices as they are now."""
        for each in self._by_customer.pop(customer_id, ()):
            del self._by_number[plain(each.number)][each.invoice_id]
            del self._by_amount[each.open_minor][each.invoice_id]
            self._by_name[plain(each.customer_name)].discard(customer_id)
        for each in invoices:
            self.add(each)

    def among(self, entry: BankEntry, payer: str = "") -> list[OpenInvoice]:
        """What the rules of ``suggest`` can meet, and no more of it than they tell apart, in the order of the due days."""
        named = self._named(entry.references)
        # One of an amount is a suggestion, two are none: a third makes no difference, and a flat rate has thousands.
        same = islice(self._by_amount.get(entry.amount_minor, {}).values(), 2)
        theirs = (each for each in self._by_customer.get(payer, ()) if each.open_minor == entry.amount_minor)
        found = {each.invoice_id: each for each in (*named, *same, *islice(theirs, 1), *self._namesakes(entry.party))}
        return sorted(found.values(), key=_order)

    def _named(self, texts: Sequence[str]) -> Iterator[OpenInvoice]:
        """Each number that may stand in the texts, once spaces and dashes are left out."""
        for text in map(plain, texts):
            for length in self._lengths:
                for begin in range(len(text) - length + 1):
                    yield from self._by_number.get(text[begin : begin + length], {}).values()

    def _namesakes(self, party: str) -> list[OpenInvoice]:
        """An invoice of each customer of that name, of as many as are suggested."""
        customers = self._by_name.get(plain(party), ()) if plain(party) else ()
        return nsmallest(SUGGESTED_MAX, (self._by_customer[each][0] for each in customers), key=_order)


def _order(invoice: OpenInvoice) -> tuple[date, int]:
    return invoice.due_on, invoice.invoice_id
