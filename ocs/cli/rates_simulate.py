"""``ocs rates simulate``: last month's records at the new prices, before they are live."""

from __future__ import annotations

import re
import tempfile
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, NamedTuple

import typer

from ocs.cli.common import DEFAULT_CONFIG, ConfigOption, DataOption, find_servers, read_settings, refusals
from ocs.cli.rates import JsonOption, LimitOption, group, instant
from ocs.errors import EXIT_CONFIG, StartRefusedError

if TYPE_CHECKING:
    from balance.money import Currency
    from ocs.cli.rates_simulate_work import Work
    from ocs.rates.simulation import Exchange, Outcome
    from ocs.rating.build import LoadResult

OWN: Final = "own"
_MONTH: Final = re.compile(r"\d{4}-\d\d")

DeckOption = Annotated[
    str,
    typer.Option("--deck", metavar="NEW", help="A deck file, or DECK@HASH of a staged version, or DECK: its newest."),
]
RatesOption = Annotated[
    Path | None, typer.Option("--rates", metavar="DIR", help="Instead of a deck: a whole configuration folder.")
]
RecordsOption = Annotated[
    str,
    typer.Option(
        "--cdrs", metavar="WHAT", help="A CSV or JSON lines file, or from PostgreSQL: last-month, 2026-10, A..B."
    ),
]
AtOption = Annotated[
    str,
    typer.Option(
        "--at",
        metavar="TIME",
        help="By the prices in force at this instant; own: each record by those of its own time. "
        "If left out: with --deck the last date in it, with --rates own.",
    ),
]
PlanOption = Annotated[
    str, typer.Option("--plan", "-p", help="All records by this plan, instead of the one each was rated by.")
]
CostDeckOption = Annotated[
    Path | None, typer.Option("--cost-deck", metavar="FILE", help="What the calls are bought for: gives the margin.")
]
CostPlanOption = Annotated[
    str, typer.Option("--cost-plan", metavar="PLAN", help="The same, as a plan of the configuration says it.")
]
ExchangeOption = Annotated[
    str,
    typer.Option("--exchange", metavar="RATE", help="What a unit of the costs' currency is worth, such as 0.92."),
]
TablesOption = Annotated[
    Path | None,
    typer.Option("--csv", metavar="DIR", help="Write all sums: by-destination.csv, by-customer.csv, at-a-loss.csv."),
]
PlotOption = Annotated[
    Path | None, typer.Option("--plot", metavar="FILE", help="Draw the changes: .png, .svg or .pdf.")
]


class Proposed(NamedTuple):
    """The rates to simulate by, and what of the records they are for."""

    loaded: LoadResult
    currency: Currency
    at_ms: int | None  # None: each record at its own time
    title: str
    plan: str = ""
    plan_if_unknown: str = ""
    service: str = ""
    deck: str = ""  # the file that is replaced; other records than its own are passed over


def register(_app: typer.Typer) -> None:
    """Add the command to ``ocs rates``."""
    group.command()(simulate)


def simulate(
    cdrs: RecordsOption,
    deck: DeckOption = "",
    rates: RatesOption = None,
    replaces: Annotated[
        str, typer.Option(metavar="DECK", help="Which live deck it replaces; else that of its name.")
    ] = "",
    plan: PlanOption = "",
    cost_deck: CostDeckOption = None,
    cost_plan: CostPlanOption = "",
    exchange: ExchangeOption = "",
    at: AtOption = "",
    currency: Annotated[str, typer.Option(help="The records in this currency, where there are several.")] = "",
    csv: TablesOption = None,
    plot: PlotOption = None,
    limit: LimitOption = 15,
    config: ConfigOption = DEFAULT_CONFIG,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Price records anew: revenue and margin by destination and customer, winners, losers, calls at a loss.

    Each record is priced by the plan that it was rated by, from where it came, by the configuration with the new deck in
    the place of the live one, or by another configuration (--rates). Bands of the week go by the record's own time,
    whatever --at says. From PostgreSQL come the records of the span; with --deck those that the live deck priced, or the
    new one prices. A file has the columns account_id, number, used, amount at least (`ocs cdr export` writes all).
    Exit status: 0 done, 78 something has to be said otherwise.

    Example: `ocs rates simulate --deck wholesale-voice-usd --cdrs last-month --cost-deck acme.csv --plot change.png`
    """
    from ocs.cli.rates_simulate_view import outcome_fields, print_outcome, write_tables
    from ocs.cli.rates_simulate_work import price_all
    from ocs.cli.rates_view import print_json

    with refusals(), tempfile.TemporaryDirectory() as scratch:
        folder = config.absolute().parent
        if bool(deck) is (rates is not None):
            raise StartRefusedError("say what to simulate: --deck NEW, or --rates DIR", EXIT_CONFIG)
        asked = _Asked(replaces, plan, at, currency)
        new = _by_folder(rates, asked) if rates is not None else _by_deck(folder, deck, asked)
        cost = _costs(folder, new, cost_deck, cost_plan)
        work = _work(new, cost, exchange, Path(scratch))
        outcome = price_all(_records(cdrs, new, Path(scratch) / "uses.csv", config, data), work)
        if not outcome.total.records and not outcome.fault_count:
            raise StartRefusedError(f"no record of {cdrs} is a matter of {new.title}", EXIT_CONFIG)
        if csv is not None:
            write_tables(csv, outcome, new.currency)
        if plot is not None:
            _plot(plot, outcome, new.currency, f"{new.title}: {Path(cdrs).name}", has_cost=cost is not None)
    if as_json:
        print_json(outcome_fields(outcome, new.currency, new.at_ms))
    else:
        print_outcome(outcome, new.currency, new.at_ms, limit, has_cost=cost is not None)


# --- what to simulate -------------------------------------------------------------------------------------------------


class _Asked(NamedTuple):
    replaces: str
    plan: str
    at: str
    currency: str

    def at_ms(self, otherwise: int | None) -> int | None:
        if self.at == OWN or (not self.at and otherwise is None):
            return None
        return instant(self.at) if self.at else otherwise


def _by_folder(folder: Path, asked: _Asked) -> Proposed:
    """Another configuration as a whole. Raises StartRefusedError."""
    from ocs.cli.rates import load

    loaded = load(folder, 0)
    assert loaded.book is not None, "load() refuses files without a book"
    plans = [asked.plan] if asked.plan else list(loaded.book.plans())
    return Proposed(
        loaded,
        _currency(loaded, plans, asked.currency),
        asked.at_ms(None),
        str(folder),
        asked.plan,
        plans[0] if len(plans) == 1 else "",
    )


def _by_deck(folder: Path, deck: str, asked: _Asked) -> Proposed:
    """The configuration with a deck in the place of the live one; or the deck alone. Raises StartRefusedError."""
    from ocs.rates.decks import deck_file, uses_of
    from ocs.rates.proposal import ALONE, deck_alone, with_deck
    from ocs.rates.report import NO_CURRENCY
    from ocs.rating.load import read_files

    text, title = _new_deck(folder, deck)
    name = asked.replaces or title
    files = read_files(folder)[0]
    plans = sorted({use.plan for use in uses_of(files, name)})
    if asked.plan and plans and asked.plan not in plans:
        raise StartRefusedError(f"plan {asked.plan} does not use the deck {name}: {', '.join(plans)} do", EXIT_CONFIG)
    if not plans:
        if asked.plan or asked.replaces:
            raise StartRefusedError(f"no plan uses a deck {name}: --replaces names the live one", EXIT_CONFIG)
        loaded = _built(deck_alone(files, name, text))
        return Proposed(loaded, NO_CURRENCY, asked.at_ms(_last_date(text)), title, ALONE, service=ALONE)
    loaded = _built(with_deck(files, name, text))
    currency = _currency(loaded, [asked.plan] if asked.plan else plans, asked.currency)
    if_unknown = plans[0] if len(plans) == 1 else ""
    at_ms = asked.at_ms(_last_date(text))
    return Proposed(loaded, currency, at_ms, title, asked.plan, if_unknown, deck="" if asked.plan else deck_file(name))


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


def _built(files: dict[str, bytes]) -> LoadResult:
    from ocs.clock import now_ms
    from ocs.rating.build import build

    loaded = build(files, now_ms())
    if loaded.book is None:
        raise StartRefusedError("the rates have faults:\n" + "\n".join(map(str, loaded.faults)), EXIT_CONFIG)
    return loaded


def _currency(loaded: LoadResult, plans: list[str], wanted: str) -> Currency:
    """In which currency all sums are. Raises StartRefusedError."""
    assert loaded.book is not None, "what has faults was refused"
    codes = {code for plan in plans if (code := loaded.book.currency_of(plan)) is not None}
    if not codes:
        raise StartRefusedError(f"there is no plan {plans[0]!r}: {', '.join(loaded.book.plans())}", EXIT_CONFIG)
    if not wanted and len(codes) > 1:
        raise StartRefusedError(f"plans are in {', '.join(sorted(codes))}: name one with --currency", EXIT_CONFIG)
    if wanted and wanted not in codes:
        raise StartRefusedError(f"no plan is in {wanted}: {', '.join(sorted(codes))}", EXIT_CONFIG)
    return loaded.currencies[wanted or codes.pop()]


def _last_date(text: str) -> int:
    """The last instant at which a price of the deck begins, or now."""
    from ocs.clock import now_ms
    from ocs.rates.sheets.merge import read_lines

    starts = (version.from_ms for versions in read_lines(text).live.values() for version in versions)
    return max(now_ms() // 1000 * 1000, *starts, 0)


# --- what it is bought for, and which records -------------------------------------------------------------------------


def _costs(folder: Path, new: Proposed, deck: Path | None, plan: str) -> Proposed | None:
    """By what the records are bought: a deck, as the plan reads it that uses it, or a plan. Raises StartRefusedError."""
    assert new.loaded.book is not None, "what has faults was refused"
    if deck is not None:
        found = _by_deck(folder, str(deck), _Asked("", plan, OWN, ""))
        by = found.plan or found.plan_if_unknown
        if not by:
            raise StartRefusedError(f"several plans use {found.title}: name one with --cost-plan", EXIT_CONFIG)
        return found._replace(plan=by)
    if not plan:
        return None
    return new._replace(currency=_currency(new.loaded, [plan], ""), plan=plan, service="")


def _work(new: Proposed, cost: Proposed | None, exchange: str, scratch: Path) -> Work:
    """What the processes are given; the books are written where they map them. Raises StartRefusedError."""
    from ocs.cli.rates_simulate_work import BookUse, Work, keep_book
    from ocs.clock import now_ms

    bought = None
    if cost is not None:
        if cost.currency.code not in {"", new.currency.code} and not exchange:
            message = (
                f"the costs are in {cost.currency.code}: say with --exchange what a unit is in {new.currency.code}"
            )
            raise StartRefusedError(message, EXIT_CONFIG)
        path = keep_book(cost.loaded, scratch, "cost")
        bought = BookUse(path, new.at_ms, now_ms(), cost.plan, service=cost.service)
    path = keep_book(new.loaded, scratch, "new")
    use = BookUse(path, new.at_ms, now_ms(), new.plan, new.plan_if_unknown, new.service)
    rate = _exchange(exchange or "1", new.currency.scale - (cost or new).currency.scale)
    return Work(use, bought, rate, new.currency.code, new.currency.scale, new.deck)


def _exchange(text: str, digits: int) -> Exchange:
    """Read --exchange; one currency may keep more digits than the other. Raises StartRefusedError."""
    from fractions import Fraction

    from ocs.rates.simulation import Exchange

    try:
        rate = Fraction(text)
    except (ValueError, ZeroDivisionError):
        rate = Fraction(0)
    if rate <= 0:
        raise StartRefusedError(f"--exchange {text}: write a decimal number such as 0.92", EXIT_CONFIG)
    rate *= Fraction(10) ** digits
    return Exchange(rate.numerator, rate.denominator)


def _records(what: str, new: Proposed, scratch: Path, config: Path, data: Path | None) -> Path:
    """The file of records; from PostgreSQL it is made first. Raises StartRefusedError."""
    import asyncio

    from balance.store import BackendUnavailable
    from ocs.billing.uses import export_uses
    from ocs.cli.rates_import_view import waiting

    if Path(what).is_file():
        return Path(what)
    since_ms, until_ms = span(what)
    if not new.currency.code:
        raise StartRefusedError(f"no plan uses a deck {new.title}: --replaces names the live one", EXIT_CONFIG)
    dsn = find_servers(read_settings(config, data)).postgres_dsn
    try:
        with waiting(f"reading the records of {what}"):
            count = asyncio.run(export_uses(dsn, scratch, since_ms, until_ms, new.currency))
    except BackendUnavailable as error:
        raise StartRefusedError(str(error)) from error
    if not count:
        raise StartRefusedError(f"there is no record of {what} in {new.currency.code}", EXIT_CONFIG)
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


def _plot(path: Path, outcome: Outcome, currency: Currency, title: str, *, has_cost: bool) -> None:
    from ocs.cli.rates_simulate_view import draw

    try:
        draw(path, outcome, currency, title, has_cost=has_cost)
    except ImportError as error:
        raise StartRefusedError("--plot needs matplotlib: pip install 'ocs[plot]'", EXIT_CONFIG) from error
    except (OSError, ValueError) as error:
        raise StartRefusedError(f"cannot draw {path}: {error}", EXIT_CONFIG) from error
