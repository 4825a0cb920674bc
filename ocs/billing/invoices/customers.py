"""Customers: who is billed, for which accounts, and what they are charged beside usage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from enum import Enum
from typing import Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import asyncpg
import msgspec

from balance.money import Amount, Currency
from ocs.billing.invoices.calculation import ChargeKind
from ocs.billing.invoices.issuers import TAX_STATUSES, Issuers
from ocs.rating.faults import did_you_mean

CHARGED: Final = (ChargeKind.RECURRING, ChargeKind.ONE_TIME, ChargeKind.DISCOUNT)


class Customer(msgspec.Struct, frozen=True, kw_only=True):
    """One customer. ``accounts`` are billed together; the first of them is the one that pays.

    ``minimum_minor`` is the least that a whole period comes to, net. ``terms_days`` -1: those of the legal entity.
    """

    customer_id: str
    legal_entity: str
    name: str
    address: tuple[str, ...]
    country: str
    currency: str
    accounts: tuple[str, ...]
    since: date
    tax_status: str = "standard"
    tax_id: str = ""
    language: str = "en"
    time_zone: str = "UTC"
    cycle_day: int = 1
    terms_days: int = -1
    email: str = ""
    phone: str = ""
    buyer_reference: str = ""  # what the customer wants to read on invoices: an order, a Leitweg-ID
    endpoint: str = ""  # electronic address as Peppol has it, such as 0088:7300010000001
    paid_by: str = ""  # the customer who gets the invoices for this one: an enterprise for its sites
    minimum_minor: int = 0

    @property
    def payer(self) -> str:
        """The account that invoices and payments are booked on."""
        return self.accounts[0]


class Agreed(msgspec.Struct, frozen=True, kw_only=True):
    """What a customer has agreed to be charged: once (``months`` 0), or in advance every so many months.

    ``amount`` is exact and net; a discount is negative. ``after`` is the first day that it is no longer for.
    """

    charge_id: str
    customer_id: str
    kind: ChargeKind
    text: str
    amount: Amount
    tax_code: str
    first: date
    months: int = 0
    after: date | None = None
    currency: str = ""  # of the amount, if it is not the customer's


class CustomerFault(Enum):
    """Why a customer was not written."""

    EXISTS = "there is a customer of that id"
    ACCOUNT_TAKEN = "one of the accounts belongs to another customer"


def faults_of(customer: Customer, issuers: Issuers, currencies: Mapping[str, Currency]) -> list[str]:
    """All that is wrong with a customer's data, in words."""
    faults = []
    if customer.legal_entity not in issuers.entities:
        cure = did_you_mean(customer.legal_entity, issuers.entities)
        faults.append(f"legal_entity: billing.toml has no {customer.legal_entity!r} ({cure})")
    if customer.currency not in currencies:
        faults.append(f"currency: {customer.currency!r} is not in currencies.toml")
    if customer.tax_status not in TAX_STATUSES:
        faults.append(f"tax_status: {customer.tax_status!r} is none of {', '.join(TAX_STATUSES)}")
    if customer.tax_status == "reverse_charge" and not customer.tax_id:
        faults.append("tax_id: a customer with reverse charge has one, and it is printed")
    if not customer.accounts or len(set(customer.accounts)) < len(customer.accounts):
        faults.append("accounts: name at least one, each once")
    if not 1 <= customer.cycle_day <= 31:
        faults.append("cycle_day: a day of the month, 1 to 31")
    if not customer.name.strip():
        faults.append("name: is empty")
    try:
        ZoneInfo(customer.time_zone)
    except (ZoneInfoNotFoundError, ValueError):
        faults.append(f"time_zone: {customer.time_zone!r} is no zone, such as Europe/Berlin")
    return faults


_PLAIN: Final = tuple(name for name in Customer.__struct_fields__ if name not in ("address", "accounts"))
_INSERT: Final = (
    f"INSERT INTO customer (address, {', '.join(_PLAIN)}) "  # noqa: S608 - names of our own
    f"VALUES ({', '.join(f'${number}' for number in range(1, len(_PLAIN) + 2))})"
)
_SELECT: Final = """
    SELECT c.*, (SELECT array_agg(account_id ORDER BY place) FROM customer_account a WHERE a.customer_id = c.customer_id)
        AS accounts
    FROM customer c
"""


async def add_customer(connection: Any, customer: Customer) -> CustomerFault | None:
    """Write a customer with its accounts. Check it with ``faults_of`` before."""
    values = [getattr(customer, name) for name in _PLAIN]
    try:
        async with connection.transaction():
            await connection.execute(_INSERT, msgspec.json.encode(customer.address).decode(), *values)
            await connection.executemany(
                "INSERT INTO customer_account (account_id, customer_id, place) VALUES ($1, $2, $3)",
                [(account, customer.customer_id, place) for place, account in enumerate(customer.accounts)],
            )
    except asyncpg.UniqueViolationError as error:
        taken = error.table_name == "customer_account"
        return CustomerFault.ACCOUNT_TAKEN if taken else CustomerFault.EXISTS
    return None


async def find_customer(connection: Any, customer_id: str) -> Customer | None:
    row = await connection.fetchrow(_SELECT + "WHERE customer_id = $1", customer_id)
    return _customer(row) if row is not None else None


async def list_customers(connection: Any, after: str = "", limit: int = 100) -> list[Customer]:
    """Customers by their id, those that come after ``after``."""
    rows = await connection.fetch(_SELECT + "WHERE customer_id > $1 ORDER BY customer_id LIMIT $2", after, limit)
    return [_customer(row) for row in rows]


async def list_payers(connection: Any, after: str, limit: int) -> list[str]:
    """The ids of those who get invoices, that come after ``after``: sites have none."""
    rows = await connection.fetch(
        "SELECT customer_id FROM customer WHERE customer_id > $1 AND paid_by = '' ORDER BY customer_id LIMIT $2",
        after,
        limit,
    )
    return [row["customer_id"] for row in rows]


async def count_payers(connection: Any) -> int:
    found: int = await connection.fetchval("SELECT count(*) FROM customer WHERE paid_by = ''")
    return found


async def find_customers(connection: Any, names: Sequence[str]) -> list[Customer]:
    """By their ids, in that order."""
    rows = await connection.fetch(_SELECT + "WHERE customer_id = ANY($1::text[]) ORDER BY customer_id", names)
    return [_customer(row) for row in rows]


def _customer(row: Mapping[str, Any]) -> Customer:
    values = {name: row[name] for name in _PLAIN}
    address = tuple(msgspec.json.decode(row["address"], type=list[str]))
    return Customer(address=address, accounts=tuple(row["accounts"]), **values)


async def sites_of(connection: Any, names: Sequence[str]) -> dict[str, list[Customer]]:
    """The customers whom these pay for, by who pays and in the order of their ids."""
    rows = await connection.fetch(_SELECT + "WHERE c.paid_by = ANY($1::text[]) ORDER BY customer_id", names)
    sites: dict[str, list[Customer]] = {}
    for row in rows:
        sites.setdefault(row["paid_by"], []).append(_customer(row))
    return sites


async def all_accounts(connection: Any, customer: Customer) -> list[str]:
    """The customer's own accounts, and those of his sites."""
    sites = (await sites_of(connection, [customer.customer_id])).get(customer.customer_id, ())
    return [*customer.accounts, *(name for site in sites for name in site.accounts)]


async def payer_faults(connection: Any, customer: Customer) -> list[str]:
    """What is wrong with who pays for a new customer."""
    if not customer.paid_by:
        return []
    payer = await find_customer(connection, customer.paid_by)
    if payer is None:
        return [f"paid_by: there is no customer {customer.paid_by!r}"]
    if payer.paid_by:
        return [f"paid_by: {payer.customer_id} is a site of {payer.paid_by}: name that one"]
    if (payer.currency, payer.legal_entity) != (customer.currency, customer.legal_entity):
        return [f"paid_by: {payer.customer_id} is billed in {payer.currency} by {payer.legal_entity}, this one is not"]
    return []


async def add_agreed(connection: Any, agreed: Agreed) -> bool:
    """Write a charge; False if there is one of that id."""
    status: str = await connection.execute(
        """
        INSERT INTO charge (charge_id, customer_id, kind, text, amount, tax_code, months, first, after, currency)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT (charge_id) DO NOTHING
        """,
        agreed.charge_id,
        agreed.customer_id,
        agreed.kind.value,
        agreed.text,
        agreed.amount,
        agreed.tax_code,
        agreed.months,
        agreed.first,
        agreed.after,
        agreed.currency,
    )
    return status.endswith("1")


async def agreements_of(connection: Any, names: Sequence[str]) -> dict[str, list[Agreed]]:
    """What these customers have agreed to, by customer."""
    rows = await connection.fetch(
        "SELECT * FROM charge WHERE customer_id = ANY($1::text[]) ORDER BY first, charge_id", names
    )
    agreed: dict[str, list[Agreed]] = {}
    for row in rows:
        values = {name: row[name] for name in Agreed.__struct_fields__} | {"kind": ChargeKind(row["kind"])}
        agreed.setdefault(row["customer_id"], []).append(Agreed(**values))
    return agreed


async def agreed_charges(connection: Any, customer_id: str) -> list[Agreed]:
    return (await agreements_of(connection, [customer_id])).get(customer_id, [])


async def end_agreed(connection: Any, charge_id: str, after: date) -> bool:
    """Let a charge end: ``after`` is the first day that it is no longer for."""
    status: str = await connection.execute("UPDATE charge SET after = $2 WHERE charge_id = $1", charge_id, after)
    return status.endswith("1")
