"""Bank statements brought to the invoices: what is certain is booked, the rest is suggested to somebody.

An entry is kept first, and booked under a reference of its own (the account and the bank's name for it), so that the same
file, or a copy of it in the next one, books nothing twice, and an interruption is made good by loading it again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import date
from itertools import islice
from typing import IO, Any, Final

import msgspec

from balance.money import Currency
from ocs.billing.bank import entries
from ocs.billing.bank.camt import BankEntry, read_camt
from ocs.billing.bank.entries import TOGETHER, EntryState, KeptEntry
from ocs.billing.bank.matching import Suggestion, Sureness, suggest
from ocs.billing.bank.open_book import OpenBook
from ocs.billing.invoices.book import InvoiceRefusedError
from ocs.billing.invoices.customers import Customer
from ocs.billing.invoices.payments import Payment
from ocs.billing.invoices.run import Progress, unheard
from ocs.billing_desk import BillingDesk, NotThereError

METHOD: Final = "bank"


class Loaded(msgspec.Struct):
    """What became of a file's entries."""

    booked: int = 0
    returned: int = 0
    waiting: int = 0
    repeated: int = 0


class Matcher:
    """Suggestions for many entries: what is open is read once for each currency, and again of whom something was booked."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._books: dict[str, OpenBook] = {}

    async def suggestions(self, entry: BankEntry) -> list[Suggestion]:
        """The surest first."""
        if entry.amount_minor < 0:
            return suggest(entry, (), {}, await entries.payments_like(self._connection, METHOD, entry))
        book = self._books.get(entry.currency)
        if book is None:
            book = self._books[entry.currency] = await entries.open_book(self._connection, entry.currency)
        payers = await entries.payers_of(self._connection, entry.party_iban) if entry.party_iban else {}
        return suggest(entry, book.among(entry, payers.get(entry.party_iban, "")), payers)

    async def surest(self, entry: BankEntry) -> Suggestion | None:
        """The first suggestion; if it is certain, it is so by what is open now: others may have paid meanwhile."""
        first = next(iter(await self.suggestions(entry)), None)
        if first is None or first.sureness is not Sureness.CERTAIN or first.payment_id:
            return first
        await self.renew(entry.currency, first.customer_id)
        return next(iter(await self.suggestions(entry)), None)

    async def renew(self, currency: str, customer_id: str) -> None:
        """Read what a customer has open."""
        if currency in self._books:
            theirs = await entries.open_invoices_of(self._connection, currency, customer_id)
            self._books[currency].replace(customer_id, theirs)


class BankDesk:
    """Works on the desk of billing and its connection."""

    def __init__(self, desk: BillingDesk, currencies: Mapping[str, Currency]) -> None:
        self._desk = desk
        self._connection: Any = desk.connection
        self._currencies = dict(currencies)

    async def load(self, source: IO[bytes], today: date, progress: Progress = unheard) -> Loaded:
        """Keep all entries of a file, or none, and book what is certain. Raises BankFileError, InvoiceRefusedError."""
        async with entries.alone(self._connection):
            loaded = Loaded(repeated=await self._keep(source, progress))
            await self._judge_all(today, loaded, progress)
        return loaded

    async def waiting(self, limit: int) -> list[tuple[KeptEntry, list[Suggestion]]]:
        """Entries that somebody has to look at, with what they may be."""
        matcher = Matcher(self._connection)
        found = await entries.open_entries(self._connection, limit)
        return [(each, await matcher.suggestions(each.entry)) for each in found]

    async def _keep(self, source: IO[bytes], progress: Progress) -> int:
        """How many are there already. In one transaction: of a file that breaks off nothing is kept."""
        read, kept, repeated = read_camt(source, self._currencies), 0, 0
        async with self._connection.transaction():
            while page := await asyncio.to_thread(lambda: list(islice(read, TOGETHER))):
                repeated += len(page) - await entries.keep(self._connection, page)
                kept += len(page)
                progress("entries read", kept, kept)
        return repeated

    async def _judge_all(self, today: date, loaded: Loaded, progress: Progress) -> None:
        matcher = Matcher(self._connection)
        total, done = await entries.count_open(self._connection), 0
        page = await entries.open_entries(self._connection, TOGETHER)
        while page:
            for kept in page:
                await self._judge(kept, matcher, today, loaded)
            done += len(page)
            progress("entries matched", done, total)
            page = await entries.open_entries(self._connection, TOGETHER, page[-1])

    async def _judge(self, kept: KeptEntry, matcher: Matcher, today: date, loaded: Loaded) -> None:
        """Book an entry that is certain."""
        first = await matcher.surest(kept.entry)
        if first is None or first.sureness is not Sureness.CERTAIN:
            loaded.waiting += 1
            return
        if first.payment_id:
            await self._take_back(kept, first.payment_id, today)
            loaded.returned += 1
        else:
            await self.assign(kept.entry_id, first.customer_id, first.invoices, today)
            loaded.booked += 1
        await matcher.renew(kept.entry.currency, first.customer_id)

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
            raise NotThereError(f"there is no open bank entry {entry_id}: ocs bank list")
        return kept

    @staticmethod
    def _check(entry: BankEntry, customer: Customer) -> None:
        if entry.amount_minor <= 0:
            raise InvoiceRefusedError("that money went out: it is no payment; say which payment it returns")
        if entry.currency != customer.currency:
            raise InvoiceRefusedError(
                f"{entry.currency} came in, and {customer.customer_id} pays in {customer.currency}"
            )
