"""Three postpaid customers in three currencies, zones and tax regimes, with calls at dates that a test chooses."""

from __future__ import annotations

import asyncio
from datetime import date, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import asyncpg
from redis.asyncio import Redis

from balance.account import Account
from balance.money import Currency
from balance.valkey.store import ValkeyStore, open_store
from ocs.auditor import audit
from ocs.billing.invoices import book
from ocs.billing.invoices.book import Invoice
from ocs.billing.invoices.calculation import ChargeKind
from ocs.billing.invoices.customers import Agreed, Customer, add_agreed, add_customer, faults_of, find_customer
from ocs.billing.invoices.issuers import Issuers, load_issuers
from ocs.billing.invoices.run import RunReport, run
from ocs.charging.policy import quota_policy
from ocs.charging.recharge import AccountDesk
from ocs.charging.request import ChargingAnswer, ChargingRequest, GroupKey, GroupRequest, Quantity, RequestKind
from ocs.charging.service import OnlineCharging
from ocs.invoicing import Invoicing
from ocs.rating.load import load_ratebook
from ocs.rating.units import UnitKind
from ocs.settings import Settings
from tests.integration.books import flush_all

SETTINGS = Settings()
LIMIT = 10**15
PLANS = {
    # Yen have no decimals: 1.5 a second makes a half of them. The price has the tax inside.
    "test-jpy": 'name = "test-jpy"\ncurrency = "JPY"\n\n[[tariffs]]\nservice = "voice"\nname = "Calls"\nper = "second"\nrate = "1.5"\n'
    'tax = "10%"\ntax_included = true\n',
    "test-usd": 'name = "test-usd"\ncurrency = "USD"\n\n[[tariffs]]\nservice = "voice"\nname = "Calls"\nper = "minute"\nrate = "0.007"\n'
    'initial = "1 s"\nnext = "1 s"\n',
}
TAXES = """
[[tax]]
code = "shohizei"
name = "Consumption tax"

[[tax.steps]]
since = "2019-10-01"
percent = "10"

[[legal_entity]]
id = "japan"
name = "Example KK"
address = ["Tokyo"]
country = "JP"
tax_id = "T0000000000000"
usage_tax = "shohizei"
"""

BAKERY = Customer(
    customer_id="bakery", legal_entity="example", name="Bäckerei Müller", address=("Hauptstr. 1", "10115 Berlin"),
    country="DE", currency="EUR", accounts=("bakery", "bakery-oven"), since=date(2026, 9, 1), language="de",
    time_zone="Europe/Berlin",
)  # fmt: skip
CARRIER = Customer(
    customer_id="carrier", legal_entity="example", name="Carrier Inc.", address=("New York",), country="US",
    currency="USD", accounts=("carrier",), since=date(2026, 9, 1), tax_status="reverse_charge", tax_id="US-1",
    time_zone="America/New_York", cycle_day=15, minimum_minor=10_000,
)  # fmt: skip
KAISHA = Customer(
    customer_id="kaisha", legal_entity="japan", name="Kaisha", address=("Osaka",), country="JP", currency="JPY",
    accounts=("kaisha",), since=date(2026, 9, 1), language="ja", time_zone="Asia/Tokyo",
)  # fmt: skip
PLAN_OF = {"EUR": "test-eur", "USD": "test-usd", "JPY": "test-jpy"}


class World:
    """Real Valkey and PostgreSQL, one charging core, and a clock that is set by the calls."""

    def __init__(self, config: Path, valkey_url: str, dsn: str, store: ValkeyStore, connection: Any) -> None:
        self.valkey_url, self.dsn, self.store, self.connection = valkey_url, dsn, store, connection
        self.now_ms = at("2026-09-01T00:00", "UTC")
        self.redis: Any = Redis.from_url(valkey_url)
        loaded = load_ratebook(config.parent, self.now_ms)
        assert loaded.book is not None, loaded.faults
        self.currencies: dict[str, Currency] = dict(loaded.currencies)
        issuers = load_issuers(config.parent)
        assert isinstance(issuers, Issuers), issuers
        self.issuers = issuers
        self.online = OnlineCharging(store, loaded.book, quota_policy(SETTINGS), lambda: self.now_ms)
        self.desk = AccountDesk(self.online, store, lambda: self.now_ms, loaded.currencies)
        self.invoicing = Invoicing(connection, self.redis, self.desk, issuers, self.currencies)
        self._calls = 0

    async def add(self, customer: Customer) -> None:
        """A customer with an account of each name, which may go down as far as it likes."""
        assert faults_of(customer, self.issuers, self.currencies) == []
        for name in customer.accounts:
            created = await self.desk.create_account(
                name, customer.currency, PLAN_OF[customer.currency], LIMIT, 0, actor="test"
            )
            assert isinstance(created, Account)
            await self.desk.subscribers.create(name, name, (f"name:{name}",), "")
        assert await add_customer(self.connection, customer) is None

    async def fee(self, customer: Customer, text: str, amount: int, first: date, months: int = 1) -> None:
        """A fee of so many exact units, taxed as usage is."""
        entity = self.issuers.entities[customer.legal_entity]
        kind = ChargeKind.RECURRING if months else ChargeKind.ONE_TIME
        agreed = Agreed(
            charge_id=f"{customer.customer_id}-{text}", customer_id=customer.customer_id, kind=kind, text=text,
            amount=amount, tax_code=entity.usage_tax, first=first, months=months,
        )  # fmt: skip
        assert await add_agreed(self.connection, agreed)

    async def call(self, account: str, when: str, zone: str, seconds: int, destination: str = "100123") -> None:
        """One call that begins at a local time and is charged when it ends."""
        self._calls += 1
        begins_ms = at(when, zone)
        for number, kind in enumerate((RequestKind.INITIAL, RequestKind.TERMINATION)):
            self.now_ms = begins_ms + 1000 * seconds * number
            done: asyncio.Future[ChargingAnswer] = asyncio.get_running_loop().create_future()
            request = ChargingRequest(
                kind=kind,
                session_key=f"gy:call-{self._calls}",
                request_number=number,
                identities=(f"name:{account}",),
                service="voice",
                event_at_ms=self.now_ms,
                groups=(
                    GroupRequest(
                        GroupKey(),
                        None if number else (Quantity(UnitKind.SECONDS, seconds),),
                        (Quantity(UnitKind.SECONDS, seconds),) if number else None,
                    ),
                ),
                destination=destination,
                fingerprint=number,
            )
            self.online.submit(request, done.set_result)
            await done

    async def flush(self) -> None:
        """Carry all that waits to PostgreSQL."""
        await flush_all(self.valkey_url, self.dsn)

    async def bill(self, until: date) -> list[Invoice]:
        """A bill run, after all records have come."""
        await self.flush()
        report: RunReport = await run(self.dsn, until, self.issuers, self.currencies)
        assert (report.cut, report.failed) == ([], {})
        found = [await book.find_invoice(self.connection, str(each)) for each in sorted(report.drafts)]
        return [each for each in found if each is not None]

    async def balance(self, account: str) -> int:
        """In exact units."""
        found = await self.desk.account(account)
        assert found is not None
        return found.buckets[0].balance

    async def is_clean(self) -> bool:
        """The ledger and the store agree."""
        report = await audit(self.valkey_url, self.dsn)
        return report.is_clean

    async def customer(self, customer_id: str) -> Customer:
        found = await find_customer(self.connection, customer_id)
        assert found is not None
        return found


def at(when: str, zone: str) -> int:
    return int(datetime.fromisoformat(when).replace(tzinfo=ZoneInfo(zone)).timestamp()) * 1000


async def open_world(config: Path, valkey_url: str, dsn: str) -> World:
    """With the plans and taxes of all three customers; close it by ``close_world``."""
    for name, text in PLANS.items():
        (config.parent / "rateplans" / f"{name}.toml").write_text(text, encoding="utf-8")
    billing = config.parent / "billing.toml"
    billing.write_text(billing.read_text(encoding="utf-8") + TAXES, encoding="utf-8")
    store = await open_store(valkey_url, SETTINGS.backends.partitions)
    return World(config, valkey_url, dsn, store, await asyncpg.connect(dsn))


async def close_world(world: World) -> None:
    await world.connection.close()
    await world.redis.aclose()
    await world.store.close()
