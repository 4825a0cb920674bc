"""Switches' files on the disk: the mapping read, folders watched, each file taken once and put aside.

A file is taken when it has stopped growing. Its name says what became of it: ``done/`` it was taken (its faulty rows are in
the queue), ``refused/`` nothing of it was, with the reason beside it.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, NamedTuple

import structlog

from balance.store import BackendUnavailable
from ocs import tasks
from ocs.billing.failures import FAILURES
from ocs.gateways.switch_files import MEDIATION_FILE, Switch, UnreadableFileError, parse_switches
from ocs.mediation import Mediation, Report
from ocs.rate_desk import RateDesk
from ocs.rating.faults import ConfigFault, FaultList

log = structlog.get_logger()

LOOK_S: Final = 2.0
SETTLED_MS: Final = 2000
"""A file that was not written to for so long is whole. Writers that pause for longer write under another name first."""

OCTETS_MAX: Final = 512 << 20
DONE, REFUSED = "done", "refused"


def load_switches(config_dir: Path) -> dict[str, Switch] | list[ConfigFault]:
    """Read ``mediation.toml`` beside the settings; without one there are no switches."""
    faults = FaultList(MEDIATION_FILE)
    try:
        text = (config_dir / MEDIATION_FILE).read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        faults.add(1, "file", f"cannot be read: {error}", "save it as UTF-8, readable for us")
        return faults.sorted()
    switches = parse_switches(text, faults)
    return faults.sorted() or switches


def folder_of(switch: Switch, data_dir: Path) -> Path:
    """Where a switch's files arrive."""
    return data_dir / switch.folder


class Found(NamedTuple):
    """A file that waits, and whose it is."""

    switch: Switch
    path: Path


class FolderWatch:
    """Looks into the folders again and again, and takes what is whole: one file after the other, the oldest first."""

    def __init__(
        self, mediation: Mediation, switches: Mapping[str, Switch], data_dir: Path, clock: Callable[[], int]
    ) -> None:
        self._mediation = mediation
        self._switches = [switch for switch in switches.values() if switch.folder]
        self._data_dir = data_dir
        self._clock = clock
        self._stop = asyncio.Event()

    def stop(self) -> None:
        self._stop.set()

    async def run(self) -> None:
        """Until stopped. What is away is waited for."""
        for switch in self._switches:
            folder = folder_of(switch, self._data_dir)
            for name in ("", DONE, REFUSED):
                (folder / name).mkdir(parents=True, exist_ok=True)
        log.info("mediation_started", switches=[switch.name for switch in self._switches])
        while not self._stop.is_set():
            try:
                await self.look()
            except BackendUnavailable as error:
                log.warning("mediation_waits", why=str(error))
            except FAILURES as error:
                log.warning("mediation_waits", why=f"PostgreSQL: {error}")
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), LOOK_S)

    async def look(self) -> int:
        """Take all files that are whole now; how many. Raises BackendUnavailable in the middle: look again."""
        found = self._waiting()
        for each in found:
            if self._stop.is_set():
                break
            await self._take(each)
        return len(found)

    def _waiting(self) -> list[Found]:
        found = [
            Found(switch, path)
            for switch in self._switches
            for path in folder_of(switch, self._data_dir).glob(switch.files)
            if path.is_file() and self._clock() - path.stat().st_mtime_ns // 1_000_000 >= SETTLED_MS
        ]
        return sorted(found, key=lambda each: (each.path.stat().st_mtime_ns, each.path.name))

    async def _take(self, found: Found) -> None:
        switch, path = found
        report, why = None, ""
        if path.stat().st_size > OCTETS_MAX:
            why = f"has more than {OCTETS_MAX:,} octets: split it"
        else:
            try:
                report = await self._mediation.take_file(switch, path.name, path.read_bytes())
                why = "was taken before, by its content" if report.is_repeat else ""
            except UnreadableFileError as error:
                why = str(error)
        if why:
            (path.parent / REFUSED / f"{path.name}.why").write_text(f"{path.name} {why}\n", encoding="utf-8")
            log.error("mediation_file_refused", switch=switch.name, file=path.name, why=why)
        elif report is not None:
            log.info("mediation_file_taken", switch=switch.name, file=path.name, **_counts(report))
        _put(path, REFUSED if why else DONE)


def _counts(report: Report) -> dict[str, int]:
    return {name: int(getattr(report, name)) for name in Report.__struct_fields__}


def _put(path: Path, folder: str) -> None:
    """Aside, under a name that is free."""
    target, number = path.parent / folder / path.name, 1
    while target.exists():
        target, number = path.parent / folder / f"{path.stem}.{number}{path.suffix}", number + 1
    path.rename(target)


async def watch_until_stopped(watch: FolderWatch, rates: RateDesk) -> None:
    """The process: until SIGTERM or SIGINT, then the chunk in hand is finished. The rates follow the daemon's."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, watch.stop)
    following = asyncio.create_task(rates.run(), name="rates")
    try:
        await watch.run()
    finally:
        await tasks.end([following])
