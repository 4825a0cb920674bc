"""The bill run: a draft for every customer whose period is over. Restartable, and once however many run it.

Nothing remembers that a run took place. A customer's next period begins where its last invoice ended, and that is looked
up under the customer's lock: whoever comes second, or comes again after a crash, finds nothing left to do. Customers are
billed a batch at a time, each batch in one transaction: the books are asked once for all of them. Whom another run has
in work is left to it, and looked at once more in the end, so that at the end of any run all is drafted that was due.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from typing import Any, Final, TypeAlias

import asyncpg
import msgspec

from balance.money import Currency
from ocs.billing.failures import FAILURES, unavailable
from ocs.billing.invoices.bill_runs import note_progress
from ocs.billing.invoices.customers import count_payers, find_customers, list_payers
from ocs.billing.invoices.drafting import Draft, Due, drafts_of, next_dues
from ocs.billing.invoices.drafts import write_drafts
from ocs.billing.invoices.issuers import Issuers
from ocs.billing.invoices.locks import lock_customers
from ocs.billing.invoices.periods import period_of

BATCH: Final = 100
CONNECTIONS: Final = 4
TELL_S: Final = 1.0


Progress: TypeAlias = Callable[[str, int, int], None]
"""Is told of what, how many are done, and how many there are."""


class RunReport(msgspec.Struct):
    """What a run did: ``customers`` of ``payers`` looked at. ``cut`` names accounts of which a record is missing in the
    books: the rest waits for it. ``kept`` says why drafts were not issued: they are held, or not reviewed.
    """

    payers: int = 0
    customers: int = 0
    issued: int = 0
    drafts: list[int] = msgspec.field(default_factory=list)
    cut: list[str] = msgspec.field(default_factory=list)
    kept: list[str] = msgspec.field(default_factory=list)
    failed: dict[str, str] = msgspec.field(default_factory=dict)


class BillRunner:
    """What one run bills by, and what it has done so far."""

    def __init__(self, until: date, issuers: Issuers, currencies: Mapping[str, Currency]) -> None:
        self._until = until
        self._issuers = issuers
        self._currencies = currencies
        self.report = RunReport()

    async def bill(self, connection: Any, names: Sequence[str], *, is_waiting: bool = False) -> list[str]:
        """Draft all invoices of these customers' periods that are over; whom another run has in work.

        A customer's fault is reported and costs no other its invoice.
        """
        in_work: list[str] = []
        reached: dict[str, date] = {}
        left = list(names)
        while left:
            async with connection.transaction():
                locked = await lock_customers(connection, left, is_waiting=is_waiting)
                in_work += sorted(set(left) - set(locked))
                customers = await find_customers(connection, locked)
                dues = [due for due in await next_dues(connection, customers, reached) if not self._is_early(due)]
                drafts, failed = await drafts_of(connection, dues, self._issuers, self._currencies)
                full = [made for made in drafts.values() if not made[0].is_empty]
                written = await write_drafts(connection, full) if full else []
            self._note(written, failed)
            reached |= {name: made[0].period.after for name, made in drafts.items() if made[0].is_empty}
            left = [name for name, made in drafts.items() if self._has_more(made[0])]
        return in_work

    def _is_early(self, due: Due) -> bool:
        return due.period.after > self._until

    def _has_more(self, made: Draft) -> bool:
        return period_of(made.period.after, made.customer.cycle_day).after <= self._until

    def _note(self, written: Sequence[tuple[int, Draft]], failed: Mapping[str, str]) -> None:
        self.report.failed |= failed
        for invoice_id, made in written:
            self.report.drafts.append(invoice_id)
            self.report.cut += [span.account_id for span in made.spans if span.is_cut]


def unheard(_what: str, _done: int, _total: int) -> None:
    """Nobody listens."""


async def run(
    dsn: str,
    until: date,
    issuers: Issuers,
    currencies: Mapping[str, Currency],
    progress: Progress = unheard,
    run_id: int | None = None,
) -> RunReport:
    """Bill every customer. Raises BackendUnavailable; then say it again.

    Where the run has an id, its progress is noted under it.
    """
    runner = BillRunner(until, issuers, currencies)
    report = runner.report
    is_over = asyncio.Event()
    waiting: asyncio.Queue[list[str]] = asyncio.Queue(2 * CONNECTIONS)
    in_work: list[str] = []

    async def work(pool: Any) -> None:
        async with pool.acquire() as connection:
            while names := await waiting.get():
                in_work.extend(await runner.bill(connection, names))
                report.customers += len(names)
                progress("customers", report.customers, report.payers)

    async def tell(pool: Any, number: int) -> None:
        was_over = False
        while not was_over:
            was_over = is_over.is_set()
            async with pool.acquire() as connection:
                await note_progress(connection, number, report)
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
                report.payers = await count_payers(connection)
                last = ""
                while names := await list_payers(connection, last, BATCH):
                    await waiting.put(names)
                    last = names[-1]
                for _ in workers:
                    await waiting.put([])
                await asyncio.wait(workers)
                for first in range(0, len(in_work), BATCH):
                    await runner.bill(connection, in_work[first : first + BATCH], is_waiting=True)
            is_over.set()
    except* FAILURES as group_error:
        raise unavailable(group_error.exceptions[0]) from group_error
    return report
