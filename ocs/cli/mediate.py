"""``ocs mediate``: CDR files of switches through the rating engine, and the queue of rows that have faults."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeVar

import typer

from ocs.cli.common import DEFAULT_CONFIG, ConfigOption, DataOption, read_settings, refusals
from ocs.errors import EXIT_CONFIG, EXIT_DIFFERENCES, StartRefusedError

if TYPE_CHECKING:
    from ocs.gateways.switch_files import Switch
    from ocs.mediation import Mediation
    from ocs.rate_desk import RateDesk
    from ocs.settings import Settings

ResultT = TypeVar("ResultT")
CONNECT_S_MAX: Final = 5

group = typer.Typer(help="Charge CDR files of switches.", no_args_is_help=True, rich_markup_mode="markdown")
SwitchArgument = Annotated[str, typer.Argument(metavar="SWITCH", help="Its name in mediation.toml.")]
SwitchOption = Annotated[str, typer.Option("--switch", metavar="NAME", help="This switch's alone.")]
JsonOption = Annotated[bool, typer.Option("--json", help="For programs: JSON instead of a table.")]
FaultArgument = Annotated[int, typer.Argument(metavar="FAULT", help="Its id, as `ocs mediate faults` shows it.")]


def register(app: typer.Typer) -> None:
    """Add the group."""
    app.add_typer(group, name="mediate", rich_help_panel="Billing")


class MediationWorld:
    """One command's view: the switches, the books, the charging core."""

    def __init__(
        self, settings: Settings, switches: dict[str, Switch], connection: Any, mediation: Mediation, rates: RateDesk
    ) -> None:
        self.settings = settings
        self.rates = rates
        self.switches = switches
        self.connection = connection
        self.mediation = mediation

    def switch(self, name: str) -> Switch:
        from ocs.rating.faults import did_you_mean

        if name not in self.switches:
            cure = did_you_mean(name, self.switches)
            raise StartRefusedError(f"mediation.toml has no switch {name!r} ({cure})", EXIT_CONFIG)
        return self.switches[name]


@group.command()
def load(
    switch: SwitchArgument,
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="CSV files of the switch.", exists=True)],
    config: ConfigOption = DEFAULT_CONFIG,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Charge the rows of files. A file or a row that was charged before is told and not charged again.

    Exit status: 0 all rows are charged, 1 rows with faults are in the queue, 78 a file cannot be read.

    Example: `ocs mediate load softswitch1 cdr-2026-10-05.csv`
    """
    from ocs.cli.mediate_view import print_reports
    from ocs.cli.rerate_view import progress_count
    from ocs.gateways.switch_files import UnreadableFileError

    async def work(world: MediationWorld) -> bool:
        reports = []
        for path in files:
            with progress_count("rows") as progress:
                try:
                    octets = path.read_bytes()
                    report = await world.mediation.take_file(world.switch(switch), path.name, octets, progress)
                except (UnreadableFileError, OSError) as error:
                    raise StartRefusedError(f"{path} {error}", EXIT_CONFIG) from error
            reports.append((path.name, report))
        print_reports(reports, as_json=as_json)
        return any(report.faulty for _, report in reports)

    if with_mediation(config, data, work):
        raise typer.Exit(EXIT_DIFFERENCES)


@group.command()
def watch(config: ConfigOption = DEFAULT_CONFIG, data: DataOption = None) -> None:
    """Watch the folders of all switches, and charge what arrives. `ocs run` starts this where a switch has a folder.

    Example: `ocs mediate watch --config /etc/ocs/ocs.toml`
    """
    from ocs.clock import now_ms
    from ocs.mediation_files import FolderWatch, watch_until_stopped
    from ocs.observe.logging import configure_logging

    configure_logging("mediation")

    async def work(world: MediationWorld) -> None:
        folder = Path(world.settings.node.data_dir)
        await watch_until_stopped(FolderWatch(world.mediation, world.switches, folder, now_ms), world.rates)

    with_mediation(config, data, work)


@group.command()
def files(
    switch: SwitchOption = "",
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="At most so many, the newest.")] = 50,
    config: ConfigOption = DEFAULT_CONFIG,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the files that were taken, and what became of their rows.

    Example: `ocs mediate files --switch softswitch1`
    """
    from ocs.billing.mediated import files_of
    from ocs.cli.mediate_view import print_files

    async def work(world: MediationWorld) -> None:
        print_files(await files_of(world.connection, switch, limit), as_json=as_json)

    with_mediation(config, data, work)


@group.command()
def faults(
    switch: SwitchOption = "",
    state: Annotated[str, typer.Option(help="open, replayed or dismissed.")] = "open",
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="At most so many, the oldest.")] = 100,
    config: ConfigOption = DEFAULT_CONFIG,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """List rows that were not charged, and why.

    Example: `ocs mediate faults`
    """
    from ocs.billing.mediated import FaultState, faults_of
    from ocs.cli.mediate_view import print_faults

    async def work(world: MediationWorld) -> None:
        if state not in set(FaultState):
            raise StartRefusedError(f"--state {state}: open, replayed or dismissed", EXIT_CONFIG)
        print_faults(await faults_of(world.connection, switch, FaultState(state), limit), as_json=as_json)

    with_mediation(config, data, work)


@group.command()
def replay(
    fault: Annotated[
        list[int] | None, typer.Argument(metavar="FAULT...", help="Their ids; none: all open ones.")
    ] = None,
    switch: SwitchOption = "",
    put: Annotated[
        list[str] | None, typer.Option("--set", metavar="COLUMN=TEXT", help="Mend this cell first; for one fault.")
    ] = None,
    config: ConfigOption = DEFAULT_CONFIG,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Charge rows of the queue: mended by --set, or because subscriber, plan or mapping have been mended meanwhile.

    Exit status: 0 all are charged, 1 some still have a fault.

    Example: `ocs mediate replay 17 --set from=4930111`
    """
    from ocs.billing.mediated import faults_of, mend
    from ocs.cli.mediate_view import print_reports

    if put and len(fault or ()) != 1:
        raise typer.BadParameter("--set mends one fault: name it")
    changes = dict(each.partition("=")[::2] for each in put or ())

    async def work(world: MediationWorld) -> bool:
        found = [await _fault(world, each) for each in fault or ()] or await faults_of(world.connection, switch)
        if changes:
            if unknown := changes.keys() - found[0].cells.keys():
                known = ", ".join(found[0].cells)
                raise StartRefusedError(f"--set {min(unknown)}: the row has {known}", EXIT_CONFIG)
            await mend(world.connection, found[0], changes)
            found = [await _fault(world, found[0].fault_id)]
        reports = []
        for name in dict.fromkeys(each.switch for each in found):
            mine = [each for each in found if each.switch == name]
            reports.append((name, await world.mediation.replay(world.switch(name), mine)))
        print_reports(reports, as_json=as_json)
        return any(report.faulty for _, report in reports)

    if with_mediation(config, data, work):
        raise typer.Exit(EXIT_DIFFERENCES)


@group.command()
def dismiss(
    fault: FaultArgument,
    reason: Annotated[str, typer.Option("--reason", "-r", help="Why it is not to be charged; kept with it.")],
    config: ConfigOption = DEFAULT_CONFIG,
    data: DataOption = None,
) -> None:
    """Leave a row uncharged for good. It stays in the list of the dismissed.

    Example: `ocs mediate dismiss 17 --reason "test call"`
    """
    from ocs.billing.mediated import FaultState, set_state

    async def work(world: MediationWorld) -> None:
        found = await _fault(world, fault)
        await set_state(world.connection, found.fault_id, FaultState.DISMISSED, f"{found.why}; dismissed: {reason}")

    with_mediation(config, data, work)


# --- inside ---------------------------------------------------------------------------------------------------------


async def _fault(world: MediationWorld, fault_id: int) -> Any:
    from ocs.billing.mediated import FaultState, find_fault

    found = await find_fault(world.connection, fault_id)
    if found is None or found.state is not FaultState.OPEN:
        raise StartRefusedError(f"there is no open fault {fault_id}: ocs mediate faults", EXIT_CONFIG)
    return found


def with_mediation(config: Path, data: Path | None, work: Callable[[MediationWorld], Awaitable[ResultT]]) -> ResultT:
    """Do something with switches, books and rates; refusals become one line and an exit status."""
    from redis.exceptions import RedisError

    from balance.store import BackendUnavailable
    from balance.valkey.store import PartitionsMismatchError
    from ocs.billing.failures import FAILURES
    from ocs.mediation_files import load_switches

    with refusals():
        settings = read_settings(config, data)
        switches = load_switches(config.absolute().parent)
        if isinstance(switches, list):
            raise StartRefusedError("mediation.toml has faults:\n" + "\n".join(map(str, switches)), EXIT_CONFIG)
        try:
            return asyncio.run(_work(settings, config.absolute().parent, switches, work))
        except PartitionsMismatchError as error:
            raise StartRefusedError(str(error), EXIT_CONFIG) from error
        except (BackendUnavailable, RedisError) as error:
            raise StartRefusedError(f"{error}; what was charged stays: say the same again") from error
        except FAILURES as error:
            raise StartRefusedError(f"PostgreSQL: {error or type(error).__name__}; say the same again") from error
    raise AssertionError("refusals() ends the program")


async def _work(
    settings: Settings, folder: Path, switches: dict[str, Switch], work: Callable[[MediationWorld], Awaitable[ResultT]]
) -> ResultT:
    import asyncpg

    from ocs.cli.charging_world import open_charging
    from ocs.clock import now_ms
    from ocs.gateways.numbering import Numbering
    from ocs.mediation import Mediation

    async with AsyncExitStack() as stack:
        world = await open_charging(stack, settings, folder)
        connection = await asyncpg.connect(world.servers.postgres_dsn, timeout=CONNECT_S_MAX)
        stack.push_async_callback(connection.close)
        mediation = Mediation(connection, world.redis, world.online, Numbering.of(settings.numbering), now_ms)
        return await work(MediationWorld(settings, switches, connection, mediation, world.rates))
