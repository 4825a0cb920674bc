"""The work of ``ocs rates simulate``: a file of records priced by several processes that share one book."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from ocs.errors import EXIT_CONFIG, StartRefusedError

if TYPE_CHECKING:
    from ocs.rates.records import Columns, Part
    from ocs.rates.simulation import Exchange, Outcome, Rates, Simulation
    from ocs.rating.build import LoadResult

PROCESSES_MAX: Final = 8
PART_OCTETS: Final = 4_000_000


class BookUse(NamedTuple):
    """A book in a file, and how records are priced by it. ``at_ms`` None: each at its own time."""

    path: Path
    at_ms: int | None
    now_ms: int
    plan: str = ""
    plan_if_unknown: str = ""
    service: str = ""

    def rates(self) -> Rates:
        """Map the book, as it is at the instant."""
        from ocs.handover import read_book
        from ocs.rates.simulation import Rates

        book = read_book(self.path).book
        assert book is not None, "only whole books are written"
        if self.at_ms is not None:
            book = book.as_at(self.at_ms)
        at_ms = self.now_ms if self.at_ms is None else self.at_ms
        return Rates(book, at_ms, self.plan, self.plan_if_unknown, self.service)


class Work(NamedTuple):
    """What a process is given once."""

    new: BookUse
    cost: BookUse | None
    exchange: Exchange
    currency: str
    scale: int
    deck: str = ""


def keep_book(loaded: LoadResult, folder: Path, name: str) -> Path:
    """Write a book where the processes map it."""
    from ocs.handover import write_book

    path = folder / f"{name}.book"
    write_book(loaded, path)
    return path


def price_all(records: Path, work: Work) -> Outcome:
    """Price all parts of a file, as many at a time as there are processors. Raises StartRefusedError."""
    from concurrent.futures import ProcessPoolExecutor, as_completed
    from multiprocessing import get_context

    from ocs.cli.rates_import_view import progress_bar
    from ocs.rates.records import RecordsError, columns_of, parts_of, rows_of
    from ocs.rates.simulation import Outcome

    try:
        columns = columns_of(records)
        parts = parts_of(records, 1 + records.stat().st_size // PART_OCTETS)
    except (OSError, RecordsError, UnicodeDecodeError) as error:
        raise StartRefusedError(str(error), EXIT_CONFIG) from error
    if len(parts) <= 1:  # no process is worth its start
        return next((simulation_of(work).run(rows_of(part, columns)) for part in parts), Outcome()).finish()
    outcome = Outcome()
    workers = min(PROCESSES_MAX, os.cpu_count() or 1, len(parts))
    with progress_bar() as progress, ProcessPoolExecutor(workers, get_context("spawn"), _begin, (work,)) as pool:
        jobs = [pool.submit(_price, part, columns) for part in parts]
        for done, _ in enumerate(as_completed(jobs), start=1):
            progress("pricing", done, len(parts))
        for job in jobs:  # in the order of the file: what happened at one instant is told apart by it
            outcome.add(job.result())
    return outcome.finish()


def simulation_of(work: Work) -> Simulation:
    """Map the books and make what prices by them."""
    from ocs.rates.simulation import Costs, Simulation

    costs = None if work.cost is None else Costs(work.cost.rates(), work.exchange)
    return Simulation(work.new.rates(), costs, work.currency, work.scale, work.deck)


_simulation: list[Simulation] = []


def _begin(work: Work) -> None:
    import gc

    gc.disable()
    _simulation.append(simulation_of(work))


def _price(part: Part, columns: Columns) -> Outcome:
    from ocs.rates.records import rows_of

    return _simulation[0].run(rows_of(part, columns))
