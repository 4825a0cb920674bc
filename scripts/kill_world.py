"""The world of the kill tests: ``ocs run`` as an operator starts it, and a second daemon on the same Valkey.

Whoever dies is started again by those who look after it: the supervisor's keepers for the four, a keeper of our own
for the second daemon. What stands here only finds processes, kills them and sees whether they are up again.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Final, NamedTuple

import httpx
import msgspec
import psutil
from bench_accounts import appendfsync
from bench_world import BUILD, BenchError, Ports, free_ports, write_config

from ocs.embedded.folder import DataFolder, Endpoints
from ocs.embedded.process import Program
from ocs.embedded.valkey import EmbeddedValkey
from ocs.keeper import Keeper

PREFIXES: Final = 100
READY_WORDS: Final = "Ctrl-C drains and stops everything"
START_LIMIT_S: Final = 120.0
UP_LIMIT_S: Final = 90.0
STOP_LIMIT_S: Final = 60.0
POLL_S: Final = 0.05
SECOND: Final = "second daemon"
VICTIMS: Final = ("daemon", "flusher", "valkey", "postgres", SECOND)
CONFLICTS: Final = re.compile(r"^ocs_post_conflicts_total (\S+)$", re.MULTILINE)


class Daemon(NamedTuple):
    """One way in: where it listens, and its configuration."""

    ports: Ports
    config: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.ports.http}"


class KillWorld:
    """The running system. Make it with ``running_kill_world``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data = DataFolder(folder / "data")
        self.daemons = tuple(Daemon(free_ports(), folder / f"config-{number}" / "ocs.toml") for number in (1, 2))
        self.output = folder / "ocs-run.out"
        self.endpoints = Endpoints("", "")
        self.conflicts = 0
        self.kills: dict[str, int] = dict.fromkeys(VICTIMS, 0)
        self.freezes = 0
        self._supervisor: subprocess.Popen[bytes] | None = None
        self._keeper: Keeper | None = None
        self._kept: asyncio.Task[int] | None = None

    async def start(self) -> None:
        for daemon in self.daemons:
            write_config(daemon.config.parent, daemon.ports, PREFIXES)
        first, second = self.daemons
        with self.output.open("ab") as output:
            self._supervisor = subprocess.Popen(  # noqa: ASYNC220 - it starts at once
                [sys.executable, "-m", "ocs", "run", "--config", str(first.config), "--data", str(self.data.path)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        await self.wait_for(lambda: READY_WORDS in self.words(), START_LIMIT_S, "ocs run is ready")
        found = self.data.endpoints()
        assert found is not None, "ocs run writes it before it says that it is ready"
        self.endpoints = found
        if (durability := await asyncio.to_thread(appendfsync, found.valkey_url)) != "always":
            raise BenchError(f"appendfsync is {durability}: nothing was promised for that")
        await self._start_second(second)

    async def _start_second(self, daemon: Daemon) -> None:
        program = Program(
            name="daemon",
            argv=(sys.executable, "-m", "ocs", "serve", "--config", str(daemon.config)),
            run_dir=self.folder / "run-2",
            log=self.folder / "second.log",
            environment={
                "OCS_VALKEY_URL": self.endpoints.valkey_url,
                "OCS_POSTGRES_DSN": self.endpoints.postgres_dsn,
            },
        )
        self._keeper = Keeper(program)
        self._kept = asyncio.create_task(self._keeper.run(), name="second daemon")
        await self.wait_up(SECOND)

    async def stop(self) -> int:
        """Ask all to drain; the exit status of ``ocs run``."""
        if self._keeper is not None and self._kept is not None:
            await self._keeper.stop(STOP_LIMIT_S, asyncio.Event())
            await self._kept
        supervisor = self._supervisor
        if supervisor is None:
            return 0
        if supervisor.poll() is None:
            supervisor.send_signal(signal.SIGTERM)
        try:
            return await asyncio.to_thread(supervisor.wait, STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            os.killpg(supervisor.pid, signal.SIGKILL)
            return supervisor.wait()

    def words(self) -> str:
        """All that ``ocs run`` and its daemon and flusher said."""
        return self.output.read_text(encoding="utf-8", errors="replace")

    @property
    def admin_key(self) -> str:
        return (self.data.path / "admin.key").read_text(encoding="utf-8").strip()

    # --- killing ----------------------------------------------------------------------------------------------------

    async def kill(self, name: str) -> int:
        """Kill the process that now bears this name; its id. Waits for one, if it is being started again."""
        if name in {"daemon", SECOND}:
            await self.count_conflicts(name)
        await self.wait_for(lambda: self._alive(name) is not None, UP_LIMIT_S, f"{name} runs")
        victim = self._alive(name)
        if victim is None:
            return await self.kill(name)
        victim.kill()
        self.kills[name] += 1
        return victim.pid

    async def freeze(self, name: str, seconds: float) -> None:
        """Stop a process in the middle of what it does and let it go on later, with what it remembers: a zombie."""
        victim = self._alive(name)
        if victim is None:
            return
        victim.suspend()
        self.freezes += 1
        try:
            await asyncio.sleep(seconds)
        finally:
            victim.resume()

    def _alive(self, name: str) -> psutil.Process | None:
        run = self.folder / "run-2" if name == SECOND else self.data.run
        with contextlib.suppress(OSError, msgspec.DecodeError, psutil.NoSuchProcess):
            record = msgspec.json.decode((run / f"{'daemon' if name == SECOND else name}.pid").read_bytes())
            found = psutil.Process(record["pid"])
            if found.status() != psutil.STATUS_ZOMBIE:
                return found
        return None

    async def wait_up(self, name: str, but: int = 0) -> None:
        """Wait until another process than ``but`` has the name and does its work."""

        def is_up() -> bool:
            found = self._alive(name)
            return found is not None and found.pid != but and self._is_serving(name)

        await self.wait_for(is_up, UP_LIMIT_S, f"{name} is up again")

    def _is_serving(self, name: str) -> bool:
        first, second = self.daemons
        match name:
            case "valkey":
                return EmbeddedValkey(self.data).is_ready()
            case "daemon":
                return _answers(f"{first.url}/ready")
            case "postgres":
                # The server's own word (LOCK_FILE_LINE_PM_STATUS); its prepare() removed the file of the one before.
                status = self.data.path / "postgres" / "postmaster.pid"
                return status.exists() and status.read_text(encoding="utf-8").rstrip().endswith("ready")
            case "second daemon":
                return _answers(f"{second.url}/ready")
            case _:
                return True

    async def count_conflicts(self, name: str) -> None:
        """A daemon's counters die with it."""
        daemon = self.daemons[name == SECOND]
        with contextlib.suppress(httpx.HTTPError):
            async with httpx.AsyncClient(timeout=2) as client:
                found = CONFLICTS.search((await client.get(f"{daemon.url}/metrics")).text)
            self.conflicts += int(float(found[1])) if found else 0

    async def wait_for(self, condition: Callable[[], bool], limit_s: float, what: str) -> None:
        """Poll in a thread; say what did not come about."""
        deadline_s = time.monotonic() + limit_s
        while not await asyncio.to_thread(condition):
            if self._supervisor is not None and self._supervisor.poll() is not None:
                raise BenchError(f"ocs run ended: {self._last_words()}")
            if time.monotonic() > deadline_s:
                raise BenchError(f"not within {limit_s:.0f} s: {what}; {self._last_words()}")
            await asyncio.sleep(POLL_S)

    def _last_words(self) -> str:
        return "its last words:\n" + "\n".join(self.words().splitlines()[-15:])


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=3).status_code == httpx.codes.OK
    except httpx.HTTPError:
        return False


def new_folder(parent: Path = BUILD) -> Path:
    """Under the checkout, not in /tmp: the disk is a real one. PostgreSQL's own user must pass when we are root."""
    parent.mkdir(exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="kill-", dir=parent))
    folder.chmod(0o711)
    return folder


@contextlib.asynccontextmanager
async def running_kill_world(folder: Path) -> AsyncIterator[KillWorld]:
    """Start everything in an empty folder, hand it out, stop it. The folder stays: it holds the evidence."""
    world = KillWorld(folder)
    try:
        await world.start()
        yield world
    finally:
        await world.stop()
