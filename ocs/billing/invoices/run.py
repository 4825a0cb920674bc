"""The bill run: a draft for every customer whose period is over. Restartable, and once however many run it.

Nothing remembers that a run took place. A customer's next period begins where its last invoice ended, and that is looked
up under the customer's lock: whoever comes second, or comes again after a crash, finds nothing left to do.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from datetime import date
from typing import Any, Final

import asyncpg
import msgspec

from balance.money import Currency
from ocs.billing.failures import FAILURES, unavailable
from ocs.billing.invoices.bill_runs import note_progress
from ocs.billing.invoices.book import lock_customer, write_draft
from ocs.billing.invoices.customers import Customer, list_customers
from ocs.billing.invoices.drafting import Draft, drafts_of, next_period
from ocs.billing.invoices.issuers import Issuers
from ocs.billing.invoices.periods import Period, period_of

PAGE: Final = 500
CONNECTIONS: Final = 4
TELL_S: Final = 1.0


class RunReport(msgspec.Struct):
    """What a run did. ``cut`` names accounts of which a record is missing in the books: the rest waits for it."""

    customers: int = 0
    drafts: list[int] = msgspec.field(default_factory=list)
    cut: list[str] = msgspec.field(default_factory=list)
    failed: dict[str, str] = msgspec.field(default_factory=dict)


async def bill_customer(
    connection: Any, customer: Customer, until: date, issuers: Issuers, currencies: Mapping[str, Currency]
) -> list[tuple[int, Draft]]:
    """Draft all invoices of periods that are over on ``until``; each in a transaction of its own. Sites have none."""
    if customer.paid_by:
        return []
    written: list[tuple[int, Draft]] = []
    period: Period | None = None
    while True:
        async with connection.transaction():
            await lock_customer(connection, customer.customer_id)
            period = period or await next_period(connection, customer)
            if period.after > until:
                return written
            made, *late = await drafts_of(connection, customer, period, issuers, currencies[customer.currency])
            if not made.is_empty:
                written.append((await write_draft(connection, made), made))
                main_id = written[-1][0]
                written += [(await write_draft(connection, each, main_id), each) for each in late]
        following = Period(period.after, period_of(period.after, customer.cycle_day).after)
        if following.after > until:
            return written  # the usual end: nobody need be asked
        period = following if made.is_empty else None


async def run(
    dsn: str,
    until: date,
    issuers: Issuers,
    currencies: Mapping[str, Currency],
    progress: Callable[[int], None],
    run_id: int | None = None,
) -> RunReport:
    """Bill every customer. One customer's fault is reported and costs no other its invoice. Raises BackendUnavailable.

    Where the run has an id, its progress is noted under it.
    """
    report = RunReport()
    is_over = asyncio.Event()
    waiting: asyncio.Queue[Customer | None] = asyncio.Queue(2 * PAGE)

    async def work(pool: Any) -> None:
        async with pool.acquire() as connection:
            while (customer := await waiting.get()) is not None:
                await _bill(connection, customer, until, issuers, currencies, report)
                report.customers += 1
                progress(report.customers)

    async def tell(pool: Any, number: int) -> None:
        while not is_over.is_set():
            async with pool.acquire() as connection:
                await note_progress(connection, number, report.customers, len(report.drafts))
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(is_over.wait(), TELL_S)

    try:
        async with (
            asyncpg.create_pool(dsn, min_size=CONNECTIONS + 1, max_size=CONNECTIONS + 2) as pool,
            asyncio.TaskGroup() as group,
        ):
            workers = [group.create_task(work(pool)) for _ in range(CONNECTIONS)]
            if run_id is not None:
                group.create_task(tell(pool, run_id))
            async with pool.acquire() as connection:
                last = ""
                while page := await list_customers(connection, last, PAGE):
                    for customer in page:
                        await waiting.put(customer)
                    last = page[-1].customer_id
            for _ in workers:
                await waiting.put(None)
            await asyncio.wait(workers)
            is_over.set()
    except* FAILURES as group_error:
        raise unavailable(group_error.exceptions[0]) from group_error
    return report


async def _bill(
    connection: Any,
    customer: Customer,
    until: date,
    issuers: Issuers,
    currencies: Mapping[str, Currency],
    report: RunReport,
) -> None:
    try:
        written = await bill_customer(connection, customer, until, issuers, currencies)
    except KeyError as error:
        report.failed[customer.customer_id] = f"billing.toml, currencies.toml or exchange.csv has no {error} any more"
        return
    for invoice_id, made in written:
        report.drafts.append(invoice_id)
        report.cut += [span.account_id for span in made.spans if span.is_cut]
