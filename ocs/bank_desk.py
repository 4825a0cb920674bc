"""Bank statements brought to the invoices: what is certain is booked, the rest is suggested to somebody.

An entry is kept first, and booked under a reference of its own (the account and the bank's name for it), so that the same
file, or a copy of it in the next one, books nothing twice, and an interruption is made good by loading it again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import date
from typing import Any, Final

import msgspec

from balance.money import Currency
from ocs.billing.bank import entries
from ocs.billing.bank.camt import BankEntry, read_camt
from ocs.billing.bank.entries import EntryState, KeptEntry
from ocs.billing.bank.matching import Suggestion, Sureness, suggest
from ocs.billing.invoices.book import InvoiceRefusedError
from ocs.billing.invoices.customers import Customer
from ocs.billing.invoices.payments import Payment
from ocs.billing_desk import BillingDesk, NotThereError

METHOD: Final = "bank"


class Loaded(msgspec.Struct):
    """What became of a file's entries."""

    booked: int = 0
    returned: int = 0
    waiting: int = 0
    repeated: int = 0


class BankDesk:
    """Works on the desk of billing and its connection."""

    def __init__(self, desk: BillingDesk, currencies: Mapping[str, Currency]) -> None:
        self._desk = desk
        self._connection: Any = desk.connection
        self._currencies = dict(currencies)

    async def load(self, octets: bytes, today: date) -> Loaded:
        """Keep all entries of a file, and book what is certain. Raises BankFileError."""
        loaded = Loaded()
        for entry in await asyncio.to_thread(read_camt, octets, self._currencies):
            if await entries.keep(self._connection, entry) is None:
                loaded.repeated += 1
        for kept in await entries.entries_in(self._connection, EntryState.OPEN, 1_000_000):
            first = next(iter(await self.suggestions(kept.entry)), None)
            if first is None or first.sureness is not Sureness.CERTAIN:
                loaded.waiting += 1
            elif first.payment_id:
                await self._take_back(kept, first.payment_id, today)
                loaded.returned += 1
            else:
                await self.assign(kept.entry_id, first.customer_id, first.invoices, today)
                loaded.booked += 1
        return loaded

    async def waiting(self, limit: int) -> list[tuple[KeptEntry, list[Suggestion]]]:
        """Entries that somebody has to look at, with what they may be."""
        found = await entries.entries_in(self._connection, EntryState.OPEN, limit)
        return [(each, await self.suggestions(each.entry)) for each in found]

    async def suggestions(self, entry: BankEntry) -> list[Suggestion]:
        if entry.amount_minor < 0:
            return suggest(entry, (), {}, await entries.payments_like(self._connection, METHOD, entry))
        invoices = await entries.open_invoices(self._connection, entry.currency)
        return suggest(entry, invoices, await entries.payers_of(self._connection, entry.party_iban))

    async def assign(self, entry_id: int, customer_id: str, invoices: tuple[int, ...], today: date) -> Payment:
        """Book an entry as a customer's payment. Raises InvoiceRefusedError."""
        kept = await self._open_entry(entry_id)
        entry, customer = kept.entry, await self._desk.customer(customer_id)
        self._check(entry, customer)
        payment, _ = await self._desk.invoicing.pay(
            customer, entry.amount_minor, entries.today_or(entry.booked_on, today), today=today, method=METHOD,
            reference=f"{entry.iban}/{entry.reference}", chosen=invoices,
        )  # fmt: skip
        await entries.settle(self._connection, entry_id, EntryState.BOOKED, payment.payment_id, "")
        return payment

    async def return_payment(self, entry_id: int, payment_id: int, today: date) -> None:
        """Say that an entry takes a payment back. Raises InvoiceRefusedError."""
        await self._take_back(await self._open_entry(entry_id), payment_id, today)

    async def ignore(self, entry_id: int, reason: str) -> None:
        """It is no customer's money: a fee of the bank, a transfer of our own."""
        await self._open_entry(entry_id)
        await entries.settle(self._connection, entry_id, EntryState.IGNORED, None, reason)

    async def _take_back(self, kept: KeptEntry, payment_id: int, today: date) -> None:
        await self._desk.invoicing.reverse(payment_id, entries.today_or(kept.entry.booked_on, today))
        await entries.settle(self._connection, kept.entry_id, EntryState.BOOKED, payment_id, "returned")

    async def _open_entry(self, entry_id: int) -> KeptEntry:
        kept = await entries.find_entry(self._connection, entry_id)
        if kept is None or kept.state is not EntryState.OPEN:
            raise NotThereError(f"there is no open bank entry {entry_id}: ocs bill bank list")
        return kept

    @staticmethod
    def _check(entry: BankEntry, customer: Customer) -> None:
        if entry.amount_minor <= 0:
            raise InvoiceRefusedError("that money went out: it is no payment; say which payment it returns")
        if entry.currency != customer.currency:
            raise InvoiceRefusedError(
                f"{entry.currency} came in, and {customer.customer_id} pays in {customer.currency}"
            )
