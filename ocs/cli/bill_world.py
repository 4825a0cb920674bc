"""What ``ocs bill`` works with: the books, the accounts, the files of the issuers; opened together, closed together."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from datetime import date
from pathlib import Path
from typing import Any, Final, TypeVar

import asyncpg
from redis.asyncio import Redis
from redis.exceptions import RedisError

from balance.money import AmountError, Currency, parse_amount
from balance.store import BackendUnavailable
from balance.valkey.store import PartitionsMismatchError, open_store
from ocs.accountfile import account_rules
from ocs.billing.failures import FAILURES
from ocs.billing.invoices import book
from ocs.billing.invoices import run as bill_run
from ocs.billing.invoices.book import Invoice, InvoiceRefusedError, InvoiceState, Parties
from ocs.billing.invoices.bookkeeping import Entry, entries
from ocs.billing.invoices.calculation import ChargeKind
from ocs.billing.invoices.customers import Agreed, Customer, find_customer
from ocs.billing.invoices.drafting import Draft, draft, next_period
from ocs.billing.invoices.issuers import Issuers, load_issuers
from ocs.billing.invoices.payments import Payment
from ocs.billing.invoices.periods import Period, instant_ms
from ocs.billing.invoices.run import RunReport
from ocs.billing.invoices.usage import details_of
from ocs.charging.policy import quota_policy
from ocs.charging.recharge import AccountDesk
from ocs.charging.rules import AccountRules
from ocs.charging.service import OnlineCharging
from ocs.cli.common import find_servers, read_settings
from ocs.clock import now_ms
from ocs.embedded.folder import Endpoints
from ocs.errors import EXIT_CONFIG, StartRefusedError
from ocs.invoicing import BookingRefusedError, Invoicing
from ocs.rating.faults import did_you_mean
from ocs.rating.load import load_currencies
from ocs.rating.ratebook import RateBook
from ocs.settings import Settings

ResultT = TypeVar("ResultT")
CONNECT_S_MAX: Final = 5


class BillWorld:
    """One command's view of it all. What is not there is refused in words."""

    def __init__(
        self, dsn: str, connection: Any, invoicing: Invoicing, issuers: Issuers, currencies: Mapping[str, Currency]
    ) -> None:
        self.dsn = dsn
        self.connection = connection
        self.invoicing = invoicing
        self.issuers = issuers
        self.currencies = currencies

    async def customer(self, customer_id: str) -> Customer:
        found = await find_customer(self.connection, customer_id)
        if found is None:
            raise StartRefusedError(f"there is no customer {customer_id!r}: ocs customer list", EXIT_CONFIG)
        return found

    async def account_faults(self, customer: Customer) -> list[str]:
        """What is wrong with the accounts that a customer is to have."""
        faults = []
        for account_id in customer.accounts:
            account = await self.invoicing.desk.account(account_id)
            if account is None:
                faults.append(f"accounts: there is no account {account_id!r}")
            elif account.currency != customer.currency:
                faults.append(
                    f"accounts: {account_id} is kept in {account.currency}, the customer in {customer.currency}"
                )
        return faults

    def agreed(
        self, customer: Customer, charge_id: str, amount: str, text: str, first: date, months: int, tax: str
    ) -> Agreed:
        """A charge as it was typed."""
        try:
            exact = parse_amount(amount, self.currencies[customer.currency].scale)
        except AmountError as error:
            raise StartRefusedError(f"{error} ({customer.currency})", EXIT_CONFIG) from error
        code = tax or self.issuers.entities[customer.legal_entity].usage_tax
        if code not in self.issuers.taxes:
            cure = did_you_mean(code, self.issuers.taxes)
            raise StartRefusedError(f"--tax: billing.toml has no tax {code!r} ({cure})", EXIT_CONFIG)
        kind = ChargeKind.DISCOUNT if exact < 0 else ChargeKind.RECURRING if months else ChargeKind.ONE_TIME
        return Agreed(
            charge_id=charge_id, customer_id=customer.customer_id, kind=kind, text=text, amount=exact, tax_code=code,
            first=first, months=months,
        )  # fmt: skip

    async def invoice(self, name: str) -> Invoice:
        found = await book.find_invoice(self.connection, name)
        if found is None:
            raise StartRefusedError(f"there is no invoice {name!r}: ocs bill list", EXIT_CONFIG)
        return found

    async def drafts(self, names: Sequence[str]) -> list[Invoice]:
        """Those that are named, or all drafts."""
        if names:
            return [await self.invoice(name) for name in names]
        return await book.list_invoices(self.connection, state=InvoiceState.DRAFT.value, limit=10**9)

    async def preview(self, customer_id: str, until: date | None) -> Draft:
        """The next invoice, of its whole period or as if it ended on ``until``."""
        customer = await self.customer(customer_id)
        period = await next_period(self.connection, customer)
        if until is not None:
            if until <= period.first:
                raise StartRefusedError(f"{customer_id} is billed until {period.first} already", EXIT_CONFIG)
            period = Period(period.first, until)
        return await draft(self.connection, customer, period, self.issuers, self.currencies[customer.currency])

    async def run(self, until: date, progress: Callable[[int], None]) -> RunReport:
        return await bill_run.run(self.dsn, until, self.issuers, self.currencies, progress)

    async def pay(
        self,
        customer_id: str,
        amount: str,
        received_on: date,
        today: date,
        method: str,
        reference: str,
        chosen: tuple[int, ...],
    ) -> tuple[Payment, bool]:
        customer = await self.customer(customer_id)
        minor = self.minor(amount, customer.currency)
        if minor <= 0:
            raise StartRefusedError(f"{amount} is no payment: an amount above zero", EXIT_CONFIG)
        return await self.invoicing.pay(
            customer, minor, received_on, today=today, method=method, reference=reference, chosen=chosen
        )

    async def entries(self, first: date, after: date) -> list[Entry]:
        """The double entries of these days."""
        return [entry async for entry in entries(self.connection, first, after, self.issuers.bookkeeping)]

    def minor(self, text: str, currency: str) -> int:
        """An amount as it is paid: in cents."""
        try:
            return parse_amount(text, self.currencies[currency].digits)
        except AmountError as error:
            raise StartRefusedError(f"{error} ({currency})", EXIT_CONFIG) from error

    def line_amounts(self, texts: Sequence[str], currency: str) -> dict[int, int]:
        """``2=12.50`` as line number and net amount."""
        found = {}
        for text in texts:
            number, equals, amount = text.partition("=")
            if not equals or not number.isdigit():
                raise StartRefusedError(f"--line {text}: write it as 2=12.50", EXIT_CONFIG)
            found[int(number)] = self.minor(amount, currency)
        return found

    async def pdf(self, name: str, out: Path | None, template: Path | None, *, has_annex: bool) -> tuple[Path, bytes]:
        """The printed invoice, and where it goes."""
        from ocs.billing.invoices.printing.paper import paper_of
        from ocs.billing.invoices.printing.pdf import TemplateError, pdf_of

        found = await self.invoice(name)
        customer = await self.customer(found.customer_id)
        parties = found.parties or Parties(self.issuers.entities[found.legal_entity], customer)
        details = []
        if has_annex:
            first_ms = instant_ms(found.first, customer.time_zone)
            details = await details_of(
                self.connection, await book.spans_of(self.connection, found.invoice_id), first_ms
            )
        corrected = await book.find_invoice(self.connection, str(found.corrects)) if found.corrects else None
        paper = paper_of(
            found,
            parties,
            await book.lines_of(self.connection, found.invoice_id),
            self.currencies[found.currency],
            (corrected.number or "") if corrected is not None else "",
            details,
        )
        try:
            octets = pdf_of(paper, template)
        except TemplateError as error:
            raise StartRefusedError(f"the template cannot be set: {error}", EXIT_CONFIG) from error
        return out or Path(f"{found.number or f'draft-{found.invoice_id}'}.pdf"), octets


def run(config: Path, data: Path | None, work: Callable[[BillWorld], Awaitable[ResultT]]) -> ResultT:
    """Open all of it, work, close it. Raises StartRefusedError for whatever does not go."""
    settings = read_settings(config, data)
    servers = find_servers(settings)
    folder = config.absolute().parent
    issuers = load_issuers(folder)
    if not isinstance(issuers, Issuers):
        raise StartRefusedError("billing.toml has faults:\n" + "\n".join(map(str, issuers)), EXIT_CONFIG)
    currencies = load_currencies(folder / "currencies.toml")
    try:
        return asyncio.run(_work(settings, servers, issuers, currencies, account_rules(folder), work))
    except (InvoiceRefusedError, BookingRefusedError, PartitionsMismatchError) as error:
        raise StartRefusedError(str(error), EXIT_CONFIG) from error
    except RedisError as error:
        raise StartRefusedError(f"cannot reach Valkey: {error}") from error
    except BackendUnavailable as error:
        raise StartRefusedError(f"{error}; what was done stays: say the same again") from error
    except FAILURES as error:
        raise StartRefusedError(f"PostgreSQL: {error or type(error).__name__}; say the same again") from error


async def _work(
    settings: Settings,
    servers: Endpoints,
    issuers: Issuers,
    currencies: Mapping[str, Currency],
    rules: AccountRules,
    work: Callable[[BillWorld], Awaitable[ResultT]],
) -> ResultT:
    async with AsyncExitStack() as stack:
        redis = await stack.enter_async_context(
            Redis.from_url(servers.valkey_url, socket_connect_timeout=CONNECT_S_MAX)
        )
        store = await open_store(servers.valkey_url, settings.backends.partitions)
        stack.push_async_callback(store.close)
        connection = await asyncpg.connect(servers.postgres_dsn, timeout=CONNECT_S_MAX)
        stack.push_async_callback(connection.close)
        online = OnlineCharging(store, RateBook({}, ""), quota_policy(settings, rules), now_ms)
        desk = AccountDesk(online, store, now_ms, {})
        invoicing = Invoicing(connection, redis, desk, issuers, currencies)
        return await work(BillWorld(servers.postgres_dsn, connection, invoicing, issuers, currencies))
