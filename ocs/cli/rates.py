"""``ocs rates``: explain a price, compare two versions, take a supplier's sheet over."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from ocs.cli.common import DEFAULT_CONFIG, ConfigOption, read_settings, refusals
from ocs.errors import EXIT_CONFIG, EXIT_DIFFERENCES, StartRefusedError

if TYPE_CHECKING:
    from balance.money import Currency
    from ocs.rates.difference import TariffDifference
    from ocs.rates.report import Fields
    from ocs.rating.build import LoadResult
    from ocs.rating.price import Price

NO_TARIFF: Final = 1  # exit status of ``explain``: the request would be refused

JsonOption = Annotated[bool, typer.Option("--json", help="For programs: JSON instead of tables.")]
CsvOption = Annotated[bool, typer.Option("--csv", help="One line per dial code, for a spreadsheet.")]
AtOption = Annotated[
    str, typer.Option("--at", metavar="TIME", help="At this instant, such as 2027-01-01T08:00+01:00; else now.")
]
LimitOption = Annotated[int, typer.Option("--limit", "-n", min=1, help="At most so many lines of a table.")]

group = typer.Typer(
    help="Look into prices, compare them and take suppliers' sheets over.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
)


def register(app: typer.Typer) -> None:
    """Add the group."""
    app.add_typer(group, name="rates", rich_help_panel="Configuration")


@group.command()
def explain(
    number: Annotated[str, typer.Argument(metavar="[NUMBER]", help="The called number, as a client writes it.")] = "",
    plan: Annotated[str, typer.Option("--plan", "-p", help="The rate plan.")] = "",
    service: Annotated[str, typer.Option(help="voice, sms, data, ...")] = "voice",
    at: AtOption = "",
    seconds: Annotated[int | None, typer.Option(min=0, help="Price a call this long.")] = None,
    octets: Annotated[int | None, typer.Option(min=0, help="Price this much data.")] = None,
    events: Annotated[int | None, typer.Option(min=0, help="Price so many events.")] = None,
    counted: Annotated[
        int | None, typer.Option(min=0, help="Of tiers over a period: what the account has used of them before.")
    ] = None,
    rating_group: Annotated[int, typer.Option(min=-1, help="The request's Rating-Group; -1: it names none.")] = -1,
    service_identifier: Annotated[list[int] | None, typer.Option(help="Its Service-Identifier; several times.")] = None,
    caller: Annotated[str, typer.Option(help="The calling number.")] = "",
    trunk: Annotated[
        str, typer.Option(help="The Diameter peer or RADIUS client that asks; numbers are read its way.")
    ] = "",
    network: Annotated[str, typer.Option(help="The network in which the user is: MCC and MNC.")] = "",
    rat: Annotated[str, typer.Option(help="The radio access: eutran, nr, wlan, ..., or its number.")] = "",
    apn: Annotated[str, typer.Option(help="The access point.")] = "",
    location: Annotated[str, typer.Option(help="Network, area and cell in hexadecimal: 26201-1a2b-0001.")] = "",
    serving: Annotated[str, typer.Option(help="The address of the node that serves the user.")] = "",
    incoming: Annotated[bool, typer.Option("--incoming", help="The one who is charged is called.")] = False,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Explain what a number costs: which tariffs and prefixes were in question, why each lost, and the price in words.

    Exit status: 0 there is a price, 1 the request would be refused, 78 the files have faults.

    Example: `ocs rates explain 4915112345678 --plan retail-eur --seconds 70`
    """
    from ocs.cli.rates_view import print_json, print_trace
    from ocs.gateways.numbering import Numbering
    from ocs.rates.report import trace_fields
    from ocs.rates.trace import Query, trace
    from ocs.rating.origins import INCOMING, origin_of
    from ocs.rating.price import Tariff
    from ocs.rating.whereabouts import moved, whereabouts_of

    with refusals():
        at_ms = instant(at)
        loaded = load(config.absolute().parent, at_ms)
        assert loaded.book is not None, "load() refuses files without a book"
        if plan not in loaded.book.plans():
            raise StartRefusedError(
                f"name a plan with --plan: {', '.join(loaded.book.plans())}"
                if not plan
                else f"there is no plan {plan!r}: {', '.join(loaded.book.plans())}",
                EXIT_CONFIG,
            )
        currency = loaded.currencies[loaded.book.currency_of(plan) or ""]
        numbering = Numbering.of(read_settings(config).numbering)
        whereabouts = whereabouts_of(network, rat, apn, location, serving)
        origin = origin_of(numbering.calling(trunk, caller), trunk, moved(whereabouts, INCOMING if incoming else ""))
        called = numbering.called(trunk, number)
        query = Query(called, plan, service, at_ms, rating_group, tuple(service_identifier or ()), origin)
        found = trace(loaded.book, currency, query)
        use = {"seconds": seconds, "octets": octets, "events": events}
        fields = trace_fields(found, currency)
        used = {name: units for name, units in use.items() if units is not None}
        if used and isinstance(found.answer, Tariff):
            price = loaded.book.lasting(found.answer.price, at_ms, seconds or 0)
            fields |= _uses(price, currency, used, counted)
    (print_json if as_json else print_trace)(fields)
    if found.refusal:
        raise typer.Exit(NO_TARIFF)


@group.command()
def diff(
    old: Annotated[Path, typer.Argument(metavar="A", help="A configuration folder, or a deck (.csv).")],
    new: Annotated[Path, typer.Argument(metavar="B", help="The other one.")],
    plan: Annotated[str, typer.Option("--plan", "-p", help="This plan alone.")] = "",
    at: AtOption = "",
    limit: LimitOption = 40,
    as_json: JsonOption = False,
    as_csv: CsvOption = False,
) -> None:
    """Compare two versions of the rates in dial codes and money: what is new, gone, dearer, cheaper, billed otherwise.

    Prices are compared from now on; what was in force before is history. Exit status: 0 all is the same, 1 there are
    differences, 78 the files have faults.

    Example: `git worktree add /tmp/live main; ocs rates diff /tmp/live/config config`
    """
    from ocs.cli.rates_view import print_difference, print_difference_csv, print_json
    from ocs.rates.report import difference_fields

    with refusals():
        found, currencies = _compared(old, new, plan, instant(at) // 1000 * 1000)
    if as_json:
        print_json({"differences": [difference_fields(each, currencies) for each in found]})
    elif as_csv:
        print_difference_csv(found, currencies)
    else:
        print_difference(found, currencies, limit)
    if found:
        raise typer.Exit(EXIT_DIFFERENCES)


def _uses(price: Price, currency: Currency, used: dict[str, int], counted: int | None) -> Fields:
    """Price what was used, and the time beside it. Raises StartRefusedError when the tariff counts something else."""
    from ocs.rates.report import use_fields
    from ocs.rating.terms import price_of_time

    unit, time = price.kind.name.lower(), price_of_time(price)
    if used.keys() - {unit, "seconds" if time else unit}:
        also = " and --seconds" if time else ""
        raise StartRefusedError(f"this tariff counts {unit}: say --{unit}{also}", EXIT_CONFIG)
    fields = {"use": use_fields(price, used[unit], currency, counted)} if unit in used else {}
    return fields | ({"time": use_fields(time, used["seconds"], currency)} if time and "seconds" in used else {})


def instant(text: str) -> int:
    """Read --at. Raises StartRefusedError."""
    from ocs.clock import now_ms
    from ocs.rating.dated import instant_ms

    try:
        return instant_ms(text) if text else now_ms()
    except ValueError as error:
        raise StartRefusedError(f"--at {text}: write 2027-01-01 or 2027-01-01T08:00+01:00", EXIT_CONFIG) from error


def load(folder: Path, at_ms: int) -> LoadResult:
    """Load the rate files of a folder. Raises StartRefusedError with every fault."""
    from ocs.rating.load import load_ratebook

    loaded = load_ratebook(folder, at_ms)
    if loaded.book is None:
        faults = "\n".join(f"{folder}/{fault}" for fault in loaded.faults)
        raise StartRefusedError(f"the rate files have faults:\n{faults}", EXIT_CONFIG)
    return loaded


def _compared(old: Path, new: Path, plan: str, at_ms: int) -> tuple[list[TariffDifference], dict[str, Currency]]:
    """Compare two folders, or two decks. Raises StartRefusedError."""
    from ocs.rates.difference import compare_plans

    if old.is_file() and new.is_file():
        return _compared_decks(old, new, at_ms), {}
    books = [load(folder, at_ms) for folder in (old, new)]
    plans = []
    for loaded in books:
        assert loaded.book is not None, "load() refuses files without a book"
        names = [name for name in loaded.book.plans() if plan in {"", name}]
        plans.append({name: rates for name in names if (rates := loaded.book.rates_of(name)) is not None})
    if plan and not any(plans):
        raise StartRefusedError(f"neither folder has a plan {plan!r}", EXIT_CONFIG)
    return list(compare_plans(plans[0], plans[1], at_ms)), books[0].currencies | books[1].currencies


def _compared_decks(old: Path, new: Path, at_ms: int) -> list[TariffDifference]:
    from ocs.rates.decks import PLAIN, read_deck
    from ocs.rates.difference import TariffDifference, TariffKey, compare_sources

    sources = []
    for path in (old, new):
        try:
            text = path.read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            raise StartRefusedError(f"cannot read {path}: {error}", EXIT_CONFIG) from error
        source, faults = read_deck(str(path), text, PLAIN, at_ms)
        if faults:
            raise StartRefusedError("the deck has faults:\n" + "\n".join(map(str, faults)), EXIT_CONFIG)
        sources.append(source)
    changes, unchanged = compare_sources(sources[0], sources[1], at_ms)
    key = TariffKey("", "", "", "", new.stem)
    return [TariffDifference(key, tuple(changes), unchanged, "")] if changes else []
