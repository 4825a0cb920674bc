"""``ocs rates simulate``: last month's records at the new prices, before they are live."""

from __future__ import annotations

import os
import re
import tempfile
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, NamedTuple

import typer

from ocs.cli.common import DEFAULT_CONFIG, ConfigOption, DataOption, find_servers, read_settings, refusals
from ocs.cli.rates import AtOption, JsonOption, LimitOption, group, instant
from ocs.errors import EXIT_CONFIG, StartRefusedError

if TYPE_CHECKING:
    from balance.money import Currency
    from ocs.rates.records import Part
    from ocs.rates.simulation import Exchange, Outcome, Simulation
    from ocs.rating.deckfile import DeckTemplate

PROCESSES: Final = 2
PART_OCTETS: Final = 4_000_000
_MONTH: Final = re.compile(r"\d{4}-\d\d")

DeckOption = Annotated[
    str,
    typer.Option("--deck", metavar="NEW", help="A deck file, or DECK@HASH of a staged version, or DECK: its newest."),
]
RecordsOption = Annotated[
    str,
    typer.Option(
        "--cdrs", metavar="WHAT", help="A CSV or JSON lines file, or from PostgreSQL: last-month, 2026-10, A..B."
    ),
]
CostOption = Annotated[
    Path | None, typer.Option("--cost-deck", metavar="FILE", help="What the calls are bought for: gives the margin.")
]
ExchangeOption = Annotated[
    str,
    typer.Option("--exchange", metavar="RATE", help="What a unit of the cost deck's currency is worth, such as 0.92."),
]
TablesOption = Annotated[
    Path | None, typer.Option("--csv", metavar="DIR", help="Write all sums: by-destination.csv, by-customer.csv.")
]
PlotOption = Annotated[
    Path | None, typer.Option("--plot", metavar="FILE", help="Draw the changes: .png, .svg or .pdf.")
]


class Deck(NamedTuple):
    """A deck as text, with what the tariff gives to its lines."""

    name: str
    text: str
    template: DeckTemplate


def register(_app: typer.Typer) -> None:
    """Add the command to ``ocs rates``."""
    group.command()(simulate)


def simulate(
    deck: DeckOption,
    cdrs: RecordsOption,
    replaces: Annotated[
        str, typer.Option(metavar="DECK", help="Which live deck it replaces; else that of its name.")
    ] = "",
    plan: Annotated[str, typer.Option("--plan", "-p", help="As this plan reads the deck, where several do.")] = "",
    cost_deck: CostOption = None,
    exchange: ExchangeOption = "1",
    at: AtOption = "",
    csv: TablesOption = None,
    plot: PlotOption = None,
    limit: LimitOption = 15,
    config: ConfigOption = DEFAULT_CONFIG,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Price records anew by a deck: revenue and margin by destination and customer, winners, losers, calls at a loss.

    All records are priced as at one instant: --at, else the last date in the deck, so that all announced prices hold.
    From PostgreSQL come the records that the live deck of that name has priced. A file has the columns account_id,
    number, used, amount (`ocs cdr export` writes them). Exit status: 0 done, 78 something has to be said otherwise.

    Example: `ocs rates simulate --deck wholesale-voice-usd --cdrs last-month --cost-deck acme.csv --plot change.png`
    """
    from ocs.cli.rates_simulate_view import outcome_fields, print_outcome, write_tables
    from ocs.cli.rates_view import print_json

    with refusals():
        folder = config.absolute().parent
        text, name = _new_deck(folder, deck)
        new, currency = _as_used(folder, Deck(replaces or name, text, _plain()), plan)
        bought = _cost_deck(folder, cost_deck)
        for each in (new, bought):
            _checked(each)
        at_ms = instant(at) if at else _last_date(new.text)
        with tempfile.TemporaryDirectory() as scratch:
            records = _records(cdrs, new, currency, Path(scratch) / "uses.csv", config, data)
            outcome = _run(records, new, bought, at_ms, _exchange(exchange))
        if csv is not None:
            write_tables(csv, outcome, currency)
        if plot is not None:
            _plot(plot, outcome, currency, f"{name}: {cdrs}")
    if as_json:
        print_json(outcome_fields(outcome, currency, at_ms))
    else:
        print_outcome(outcome, currency, at_ms, limit, has_cost=bought is not None)


def _plain() -> DeckTemplate:
    from ocs.rates.decks import PLAIN

    return PLAIN


def _new_deck(folder: Path, deck: str) -> tuple[str, str]:
    """The new deck's text and name. Raises StartRefusedError."""
    from ocs.rates.versions import DeckVersions, VersionError

    path = Path(deck)
    try:
        if path.suffix == ".csv":
            return path.read_text(encoding="utf-8-sig"), path.stem
        name, _, version = deck.partition("@")
        versions = DeckVersions(folder, name)
        newest = next((manifest.hash for manifest in versions.manifests()), "")
        return versions.content(version or newest).decode(), name
    except VersionError as error:
        raise StartRefusedError(f"--deck {deck}: {error}; a file ends with .csv", EXIT_CONFIG) from error
    except (OSError, UnicodeDecodeError) as error:
        raise StartRefusedError(f"cannot read {deck}: {error}", EXIT_CONFIG) from error


def _as_used(folder: Path, deck: Deck, plan: str) -> tuple[Deck, Currency]:
    """Read the deck as the plan does that uses the live one. Raises StartRefusedError."""
    from ocs.rates.decks import uses_of
    from ocs.rates.report import NO_CURRENCY
    from ocs.rating.load import load_currencies, read_files

    uses = [use for use in uses_of(read_files(folder)[0], deck.name) if plan in {"", use.plan}]
    if plan and not uses:
        raise StartRefusedError(f"plan {plan} does not use the deck {deck.name}: --replaces names another", EXIT_CONFIG)
    if len({(use.template, use.currency) for use in uses}) > 1:
        names = ", ".join(use.plan for use in uses)
        raise StartRefusedError(f"{deck.name} is read in several ways: --plan with one of {names}", EXIT_CONFIG)
    if not uses:
        return deck, NO_CURRENCY
    return deck._replace(template=uses[0].template), load_currencies(folder / "currencies.toml")[uses[0].currency]


def _cost_deck(folder: Path, path: Path | None) -> Deck | None:
    if path is None:
        return None
    text, name = _new_deck(folder, str(path))
    return _as_used(folder, Deck(name, text, _plain()), "")[0]


def _last_date(text: str) -> int:
    """The last instant at which a price of the deck begins, or now."""
    from ocs.clock import now_ms
    from ocs.rates.sheets.merge import read_lines

    starts = (version.from_ms for versions in read_lines(text).live.values() for version in versions)
    return max(now_ms(), *starts, 0)


def _exchange(text: str) -> Exchange:
    from fractions import Fraction

    from ocs.rates.simulation import Exchange

    try:
        rate = Fraction(text)
    except (ValueError, ZeroDivisionError):
        rate = Fraction(0)
    if rate <= 0:
        raise StartRefusedError(f"--exchange {text}: write a decimal number such as 0.92", EXIT_CONFIG)
    return Exchange(rate.numerator, rate.denominator)


def _records(what: str, deck: Deck, currency: Currency, scratch: Path, config: Path, data: Path | None) -> Path:
    """The file of records; from PostgreSQL it is made first. Raises StartRefusedError."""
    import asyncio

    from balance.store import BackendUnavailable
    from ocs.billing.uses import export_uses
    from ocs.rates.decks import deck_file

    if Path(what).is_file():
        return Path(what)
    since_ms, until_ms = span(what)
    if not currency.code:
        raise StartRefusedError(f"no plan uses a deck {deck.name}: --replaces names the live one", EXIT_CONFIG)
    dsn = find_servers(read_settings(config, data)).postgres_dsn
    try:
        source = f"{deck_file(deck.name)}:"
        count = asyncio.run(export_uses(dsn, scratch, since_ms, until_ms, currency, source))
    except BackendUnavailable as error:
        raise StartRefusedError(str(error)) from error
    if not count:
        raise StartRefusedError(f"no record of {what} was priced by {deck_file(deck.name)}", EXIT_CONFIG)
    return scratch


def span(text: str) -> tuple[int, int]:
    """Read ``last-month``, ``2026-10`` or ``A..B`` as the instants [A, B) in UTC. Raises StartRefusedError."""
    from ocs.rating.dated import instant_ms

    first, is_range, last = text.partition("..")
    try:
        if is_range:
            return instant_ms(first), instant_ms(last)
        begin = _first_day(text)
        return instant_ms(begin), instant_ms(date(begin.year + begin.month // 12, begin.month % 12 + 1, 1))
    except ValueError as error:
        message = f"{text} is no file and no span: write last-month, 2026-10 or 2026-10-01..2026-10-15"
        raise StartRefusedError(message, EXIT_CONFIG) from error


def _first_day(text: str) -> date:
    """The first day of ``last-month`` or ``2026-10``. Raises ValueError."""
    from ocs.clock import now_ms
    from ocs.rates.moments import moment_text

    if text == "last-month":
        today = date.fromisoformat(moment_text(now_ms())[:10])
        return date(today.year - (today.month == 1), (today.month - 2) % 12 + 1, 1)
    return date.fromisoformat(f"{text}-01" if _MONTH.fullmatch(text) else "no month")


def _plot(path: Path, outcome: Outcome, currency: Currency, title: str) -> None:
    from ocs.cli.rates_simulate_view import draw

    try:
        draw(path, outcome, currency, title)
    except ImportError as error:
        raise StartRefusedError("--plot needs matplotlib: pip install 'ocs[plot]'", EXIT_CONFIG) from error
    except (OSError, ValueError) as error:
        raise StartRefusedError(f"cannot draw {path}: {error}", EXIT_CONFIG) from error


# --- the work, in processes ---------------------------------------------------------------------------------------------


def _run(records: Path, new: Deck, bought: Deck | None, at_ms: int, exchange: Exchange) -> Outcome:
    """Price all parts of a file, several at a time. Raises StartRefusedError."""
    from concurrent.futures import ProcessPoolExecutor, as_completed
    from multiprocessing import get_context

    from ocs.cli.rates_import_view import progress_bar
    from ocs.rates.records import RecordsError, parts_of, places_of
    from ocs.rates.simulation import Outcome

    try:
        places = places_of(records)
    except (OSError, RecordsError, UnicodeDecodeError) as error:
        raise StartRefusedError(str(error), EXIT_CONFIG) from error
    parts = parts_of(records, max(PROCESSES, records.stat().st_size // PART_OCTETS))
    outcome = Outcome()
    workers = min(PROCESSES, len(parts), os.cpu_count() or 1)
    arguments = (new, bought, at_ms, exchange)
    with (
        progress_bar() as progress,
        ProcessPoolExecutor(max(workers, 1), get_context("spawn"), _begin, arguments) as pool,
    ):
        jobs = [pool.submit(_price, part, places) for part in parts]
        for done, job in enumerate(as_completed(jobs), start=1):
            outcome.add(job.result())
            progress("pricing", done, len(parts))
    return outcome


def _checked(deck: Deck | None) -> None:
    """Refuse a deck with faults before processes are started for it."""
    from ocs.rates.decks import read_deck

    faults = read_deck(deck.name, deck.text, deck.template, 0)[1] if deck else []
    if faults:
        raise StartRefusedError("the deck has faults:\n" + "\n".join(map(str, faults)), EXIT_CONFIG)


_simulation: list[Simulation] = []


def _begin(new: Deck, bought: Deck | None, at_ms: int, exchange: Exchange) -> None:
    """What a process is given once: the decks are large, the parts are not."""
    import gc

    from ocs.rates.decks import read_deck
    from ocs.rates.simulation import Simulation

    gc.disable()
    rates, costs = (
        read_deck(deck.name, deck.text, deck.template, at_ms)[0] if deck else None for deck in (new, bought)
    )
    assert rates is not None, "there is a deck to simulate"
    _simulation.append(Simulation(rates, costs, new.template.scale, at_ms, exchange))


def _price(part: Part, places: dict[str, int]) -> Outcome:
    from ocs.rates.records import rows_of

    return _simulation[0].run(rows_of(part), places)
