"""``ocs rates import``, ``staged``, ``activate``, ``rollback``: a supplier's sheet on its way into the traffic."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from ocs.cli.common import DEFAULT_CONFIG, ConfigOption, DataOption, read_settings, refusals
from ocs.cli.rates import AtOption, JsonOption, LimitOption, group, instant
from ocs.errors import EXIT_CONFIG, StartRefusedError

if TYPE_CHECKING:
    from ocs.rates.intake import Intake
    from ocs.rates.sheets.supplier import Supplier
    from ocs.rating.faults import ConfigFault

SupplierOption = Annotated[
    str,
    typer.Option("--supplier", "-s", metavar="NAME", help="Whose sheet; suppliers/NAME.toml keeps what was settled."),
]
DeckOption = Annotated[str, typer.Option("--deck", metavar="NAME", help="The deck of ours; else the supplier's.")]
ColumnOption = Annotated[
    list[str] | None, typer.Option("--column", metavar="FIELD=TITLE", help="Which column is what; several times.")
]
OriginOption = Annotated[
    list[str] | None,
    typer.Option(
        "--origin", metavar="WORD=ORIGIN", help='What a word of an origin column means: EEA=zone:EEA, "Other=".'
    ),
]
HeaderlessOption = Annotated[
    bool, typer.Option("--headerless", help="The sheet has no header: --column code=1 names columns by number.")
]
ActivateOption = Annotated[bool, typer.Option("--activate", help="Put it in place at once.")]
DryOption = Annotated[bool, typer.Option("--dry-run", help="Show the difference and keep nothing.")]
DeckArgument = Annotated[str, typer.Argument(metavar="DECK", help="The deck.")]
VersionArgument = Annotated[
    str, typer.Argument(metavar="[HASH]", help="Which version; else the newest that was staged.")
]

_CHOICES: Final[dict[str, str]] = {
    "currency": "ISO 4217 code of the prices.",
    "kind": "What a missing code means: full (withdrawn), country (withdrawn in its country), partial (unchanged).",
    "sheet": "Which sheet of the workbook.",
    "dates": "day-first or month-first.",
    "zone": "The time zone of the sheet's dates, such as Europe/Berlin; else UTC.",
    "decimal": "point or comma.",
    "hyphen": "range (44-46 is 44, 45, 46) or join (44-46 is 4446).",
    "per": "Prices are per minute, second or increment.",
    "prepend": "Digits before each code, such as 1.",
    "increments": "Where the sheet names none, such as 60/1.",
    "withdrawn": "A withdrawn code is barred (forbid) or a shorter one answers (fall-back).",
}


def register(_app: typer.Typer) -> None:
    """Add the commands to ``ocs rates``."""
    group.command("import")(import_)
    for command in (staged, activate, rollback):
        group.command()(command)


def _option(name: str) -> Any:
    return typer.Option(f"--{name}", help=_CHOICES[name])


def import_(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The supplier's file: CSV or XLSX.")],
    supplier: SupplierOption,
    deck: DeckOption = "",
    column: ColumnOption = None,
    origin: OriginOption = None,
    headerless: HeaderlessOption = False,
    currency: Annotated[str, _option("currency")] = "",
    kind: Annotated[str, _option("kind")] = "",
    sheet: Annotated[str, _option("sheet")] = "",
    dates: Annotated[str, _option("dates")] = "",
    zone: Annotated[str, _option("zone")] = "",
    decimal: Annotated[str, _option("decimal")] = "",
    hyphen: Annotated[str, _option("hyphen")] = "",
    per: Annotated[str, _option("per")] = "",
    prepend: Annotated[str, _option("prepend")] = "",
    increments: Annotated[str, _option("increments")] = "",
    withdrawn: Annotated[str, _option("withdrawn")] = "",
    at: AtOption = "",
    activate_now: ActivateOption = False,
    dry_run: DryOption = False,
    limit: LimitOption = 40,
    config: ConfigOption = DEFAULT_CONFIG,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take a supplier's rate sheet over: find its table, expand its codes, compare it with the live deck, stage it.

    Nothing is guessed: what can be read in two ways stops the import with sheet, row, column and the option that
    answers. Answers are kept in suppliers/NAME.toml. --at is when ASAP is. Exit status: 0 staged, 78 to be answered.

    Example: `ocs rates import acme-2026-09.xlsx --supplier acme --deck wholesale-voice-usd --kind full`

    Then: `ocs rates activate wholesale-voice-usd`
    """
    options = {
        "deck": deck, "currency": currency, "kind": kind, "sheet": sheet, "dates": dates, "zone": zone,
        "decimal": decimal, "hyphen": hyphen, "per": per, "prepend": prepend, "increments": increments,
        "withdrawn": withdrawn,
    }  # fmt: skip
    from ocs.cli.rates_import_view import intake_fields, print_intake
    from ocs.cli.rates_view import print_json

    folder = config.absolute().parent
    with refusals():
        tables = {"columns": column or [], "origins": origin or []}
        known = _supplier(folder, supplier, options, tables, is_headerless=headerless)
        at_ms = instant(at) // 1000 * 1000
        found = _taken_over(folder, file, supplier, known, at_ms)
        if as_json:
            print_json(intake_fields(found))
        else:
            print_intake(found, limit)
        if not dry_run:
            is_new = _stage(folder, supplier, found)
            if not as_json:
                print(
                    f"staged: {found.manifest.hash}" if is_new else "nothing to stage: the deck says all this already"
                )
            if activate_now and is_new:
                _activate(folder, found.manifest.deck, found.manifest.hash, config, data)


def staged(
    deck: Annotated[str, typer.Argument(metavar="[DECK]", help="This deck alone.")] = "",
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """List the versions of decks: which is live, which was before, which is to come.

    Example: `ocs rates staged wholesale-voice-usd`
    """
    from ocs.cli.rates_import_view import print_versions, version_rows
    from ocs.cli.rates_view import print_json
    from ocs.rates.versions import VERSIONS, DeckVersions

    folder = config.absolute().parent
    names = [deck] if deck else sorted(path.name for path in (folder / VERSIONS).glob("*") if path.is_dir())
    rows = [row for name in names for row in version_rows(DeckVersions(folder, name))]
    if as_json:
        print_json({"versions": rows})
    else:
        print_versions(rows)


def activate(
    deck: DeckArgument,
    version: VersionArgument = "",
    at: AtOption = "",
    config: ConfigOption = DEFAULT_CONFIG,
    data: DataOption = None,
) -> None:
    """Put a staged version in place, and tell the server that runs; with --at it does so itself at that instant.

    What was live is kept: `ocs rates rollback` takes one step back. Calls that run keep their price.

    Example: `ocs rates activate wholesale-voice-usd --at 2027-01-01`
    """
    from ocs.rates.moments import moment_text
    from ocs.rates.versions import DeckVersions, VersionError

    folder = config.absolute().parent
    with refusals():
        versions = DeckVersions(folder, deck)
        newest = next((manifest.hash for manifest in versions.manifests()), "")
        if not version and not newest:
            raise StartRefusedError(f"nothing is staged for {deck}: ocs rates import", EXIT_CONFIG)
        if not at:
            _activate(folder, deck, version or newest, config, data)
            return
        try:
            versions.content(version or newest)
            versions.schedule(version or newest, instant(at))
        except VersionError as error:
            raise StartRefusedError(str(error), EXIT_CONFIG) from error
        print(f"{deck}: {version or newest} becomes live at {moment_text(instant(at))}, by the server that runs then")


def rollback(deck: DeckArgument, config: ConfigOption = DEFAULT_CONFIG, data: DataOption = None) -> None:
    """Put back what was live before the last activation, and tell the server that runs. Again: forward.

    Example: `ocs rates rollback wholesale-voice-usd`
    """
    from ocs.rates.versions import DeckVersions, VersionError

    with refusals():
        try:
            version = DeckVersions(config.absolute().parent, deck).roll_back()
        except VersionError as error:
            raise StartRefusedError(str(error), EXIT_CONFIG) from error
        print(f"{deck}: {version} is live again; {_tell(config, data)}")


# --- inside ---------------------------------------------------------------------------------------------------------


def _supplier(
    folder: Path, name: str, options: dict[str, str], tables: dict[str, list[str]], *, is_headerless: bool
) -> Supplier:
    """What is known of the supplier, under what the command line says. Raises StartRefusedError."""
    import msgspec

    from ocs.rates.sheets.header import FIELDS, is_field
    from ocs.rates.sheets.supplier import Supplier, read_supplier, supplier_file
    from ocs.rating.faults import did_you_mean

    path = folder / supplier_file(name)
    known = Supplier()
    faults: list[ConfigFault] = []
    if path.exists():
        known, faults = read_supplier(supplier_file(name), path.read_text(encoding="utf-8"))
    if faults:
        raise StartRefusedError("\n".join(f"{folder}/{fault}" for fault in faults), EXIT_CONFIG)
    said: dict[str, Any] = {field: value for field, value in options.items() if value}
    said |= {"headerless": True} if is_headerless else {}
    for field, pairs in tables.items():
        said[field] = {**getattr(known, field), **dict(pair.partition("=")[::2] for pair in pairs)}
    for field in filter(lambda name: not is_field(name), said["columns"]):
        raise StartRefusedError(f"--column {field}=: {did_you_mean(field, FIELDS)}", EXIT_CONFIG)
    try:
        known = msgspec.convert({**msgspec.to_builtins(known), **said}, Supplier)
    except msgspec.ValidationError as error:
        raise StartRefusedError(f"{error}: see `ocs rates import --help`", EXIT_CONFIG) from error
    if not known.deck:
        raise StartRefusedError(f"which deck is {name}'s? --deck NAME makes decks/NAME.csv", EXIT_CONFIG)
    return known


def _taken_over(folder: Path, file: Path, name: str, known: Supplier, at_ms: int) -> Intake:
    import gc

    from ocs.cli.rates_import_view import progress_bar
    from ocs.clock import now_ms
    from ocs.rates.intake import Source, take_over
    from ocs.rates.sheets.faults import SheetFaultsError
    from ocs.rating.load import read_files

    files, faults = read_files(folder)
    if faults:
        raise StartRefusedError("\n".join(map(str, faults)), EXIT_CONFIG)
    gc.disable()  # millions of cells, none in a cycle: the collector would look at all of them again and again
    try:
        source = Source(file.name, file.read_bytes(), name)
        with progress_bar() as progress:
            return take_over(files, source, known, at_ms, now_ms(), progress)
    except OSError as error:
        raise StartRefusedError(f"cannot read {file}: {error.strerror}", EXIT_CONFIG) from error
    except SheetFaultsError as error:
        count = f"{error.count} thing{'s'[: error.count > 1]} to settle"
        raise StartRefusedError(f"{file.name} is not taken over, {count}:\n{error}", EXIT_CONFIG) from error


def _stage(folder: Path, name: str, found: Intake) -> bool:
    """Keep the version first, then what was learned. False if the live deck is the same."""
    from ocs.rates.sheets.supplier import supplier_file, write_supplier
    from ocs.rates.versions import DeckVersions, write_whole

    try:
        if found.manifest.hash != found.manifest.base:
            DeckVersions(folder, found.manifest.deck).stage(found.text.encode(), found.manifest)
        write_whole(folder / supplier_file(name), write_supplier(found.supplier).encode())
    except OSError as error:
        raise StartRefusedError(f"cannot write below {folder}: {error.strerror}") from error
    return found.manifest.hash != found.manifest.base


def _activate(folder: Path, deck: str, version: str, config: Path, data: Path | None) -> None:
    from ocs.rates.versions import DeckVersions, VersionError

    try:
        is_new = DeckVersions(folder, deck).activate(version)
    except VersionError as error:
        raise StartRefusedError(str(error), EXIT_CONFIG) from error
    print(f"{deck}: {version} is live{'' if is_new else ' already'}; {_tell(config, data)}")


def _tell(config: Path, data: Path | None) -> str:
    """Let the running instance read its rates again; what was done, in words."""
    from ocs.embedded.folder import DataFolder

    folder = DataFolder(Path(read_settings(config, data).node.data_dir))
    running = folder.endpoints() if folder.is_locked() else None
    if running is None or not running.pid:
        return "nothing runs on the data folder: send SIGHUP to your daemons, or POST /v1/rates/reload"
    os.kill(running.pid, signal.SIGHUP)
    return "the server reads its rates again"
