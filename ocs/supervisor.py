"""``ocs run``: servers, schema, daemon and flusher as child processes, from the first start to the last drain.

    lock the folder -> stop leftovers -> ports free? -> servers up -> daemon up
                                                                  \\-> schema -> flusher, deliverer (if delivery.toml names receivers), collector (if there is a payment gateway)
    first signal:  daemon drains -> flusher finishes its batch -> servers stop;    second signal: now

PostgreSQL may be away: the daemon does not wait for it, only the flusher does.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Callable, Coroutine
from http.client import HTTPException
from pathlib import Path
from typing import Any, Final
from urllib.request import urlopen

import structlog

from ocs import limits
from ocs.addresses import Address, parse_address, why_not_free
from ocs.delivery.settings import load_delivery
from ocs.embedded import process
from ocs.embedded.folder import DataFolder, Endpoints
from ocs.embedded.postgres import EmbeddedPostgres
from ocs.embedded.process import LARGE_HEAP, Program
from ocs.embedded.valkey import EmbeddedValkey
from ocs.errors import EXIT_CONFIG, EXIT_INTERNAL, EXIT_TEMPORARY, StartRefusedError
from ocs.feeds.settings import load_feeds
from ocs.keeper import POLL_S, Keeper
from ocs.mediation_files import load_switches
from ocs.settings import Settings
from ocs.settings_sense import listening
from ocs.workers import worker_http, worker_numbers

log = structlog.get_logger()

MIGRATE_PAUSE_S: Final = 2.0
MIGRATE_PAUSE_S_MAX: Final = 30.0
FLUSHER_PATIENCE_S: Final = 30.0
READY_PROBE_S: Final = 2.0
SAME_REQUEST_S: Final = 0.5  # `timeout` and some terminals signal the process and then its group
ANYWHERE: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - to connect to, not to listen on


class Supervisor:
    """Everything that runs for one data folder. ``on_ready`` is told once, when the whole answers."""

    def __init__(
        self,
        settings: Settings,
        config: Path,
        on_ready: Callable[[Settings, DataFolder, Endpoints], None] = lambda _settings, _folder, _endpoints: None,
    ) -> None:
        self._settings = settings
        self._config = config
        self._on_ready = on_ready
        self._folder = DataFolder(Path(settings.node.data_dir))
        self._force = asyncio.Event()
        self._asked_s = 0.0
        self._tasks: set[asyncio.Task[int]] = set()

    async def run(self) -> int:
        """Run until a signal; the exit status. Raises StartRefusedError with one line that names the cure."""
        self._end: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        with self._folder.locked():
            self._build()
            for keeper in (self._daemon, *self._workers, *self._mediation, *self._carriers, *self._servers):
                if process.stop_leftover(keeper.program):
                    log.warning("leftover_stopped", child=keeper.program.name)
            self._check_ports()
            self._listen_to_signals()
            self._spawn(self._start())
            try:
                return await self._end
            finally:
                await self._drain()

    def _build(self) -> None:
        backends, folder = self._settings.backends, self._folder
        self._servers: list[Keeper] = []
        valkey_url, postgres_dsn = backends.valkey_url, backends.postgres_dsn
        if not valkey_url:
            valkey = EmbeddedValkey(folder, backends.appendfsync, backends.valkey_octets_max)
            self._servers.append(Keeper(valkey.program, valkey.prepare, valkey.is_ready))
            valkey_url = valkey.url
        if not postgres_dsn:
            postgres = EmbeddedPostgres(folder)
            self._servers.append(Keeper(postgres.program, postgres.prepare, postgres.is_ready))
            postgres_dsn = postgres.dsn
        http_url = f"http://{reachable(parse_address(self._settings.http.listen))}"
        self._endpoints = Endpoints(valkey_url, postgres_dsn, http_url, os.getpid())
        self._daemon = Keeper(self._ours("daemon", "serve"), is_ready=lambda _pid: answers(f"{http_url}/ready"))
        self._flusher = Keeper(self._ours("flusher", "flush"))
        self._deliverer = Keeper(self._ours("deliverer", "deliver")) if self._is_delivering() else None
        self._collector = Keeper(self._ours("collector", "collect")) if self._settings.stripe.success_url else None
        self._feeder = Keeper(self._ours("feeder", "cdr feed")) if self._is_feeding() else None
        self._mediation = [Keeper(self._ours("mediation", "mediate watch"))] if self._has_folders() else []
        self._workers = [self._worker(number) for number in worker_numbers(self._settings.radius)]

    @property
    def _carriers(self) -> list[Keeper]:
        """Who carries away what the daemons leave behind."""
        return [self._flusher, *self._others]

    @property
    def _others(self) -> list[Keeper]:
        """Those of them that the settings ask for."""
        return [keeper for keeper in (self._collector, self._deliverer, self._feeder) if keeper is not None]

    def _is_delivering(self) -> bool:
        delivery = load_delivery(self._config.parent)
        if isinstance(delivery, list):
            faults = "\n".join(map(str, delivery))
            raise StartRefusedError(f"delivery.toml has faults:\n{faults}", EXIT_CONFIG)
        return delivery.is_needed

    def _is_feeding(self) -> bool:
        feeds = load_feeds(self._config.parent)
        if isinstance(feeds, list):
            faults = "\n".join(map(str, feeds))
            raise StartRefusedError(f"feeds.toml has faults:\n{faults}", EXIT_CONFIG)
        return bool(feeds)

    def _has_folders(self) -> bool:
        """Whether switches lay their CDR files down somewhere."""
        switches = load_switches(self._config.parent)
        if isinstance(switches, list):
            faults = "\n".join(map(str, switches))
            raise StartRefusedError(f"mediation.toml has faults:\n{faults}", EXIT_CONFIG)
        return any(switch.folder for switch in switches.values())

    def _worker(self, number: int) -> Keeper:
        url = f"http://{reachable(parse_address(worker_http(self._settings, number)))}/ready"
        program = self._ours(f"worker-{number}", "serve", "--worker", str(number))
        return Keeper(program, is_ready=lambda _pid: answers(url))

    def _ours(self, name: str, command: str, *options: str) -> Program:
        """One of our own commands. The addresses go by the environment: a password must not show in a process list."""
        return Program(
            name=name,
            argv=(
                sys.executable,
                "-m",
                "ocs",
                *command.split(),
                "--config",
                str(self._config),
                "--data",
                str(self._folder.path),
                *options,
            ),
            run_dir=self._folder.run,
            environment={
                **(LARGE_HEAP if command == "serve" else {}),
                "OCS_VALKEY_URL": self._endpoints.valkey_url,
                "OCS_POSTGRES_DSN": self._endpoints.postgres_dsn,
            },
        )

    def _check_ports(self) -> None:
        lines = []
        for path, kind, text in listening(self._settings):
            if kind == "sctp":  # the daemon says what the kernel lacks
                continue
            address = parse_address(text)
            assert address is not None, "checked when the settings were read"
            reason = why_not_free(address, socket.SOCK_STREAM if kind == "tcp" else socket.SOCK_DGRAM)
            if reason:
                name = ".".join(map(str, path))
                lines.append(f"{kind} {text} {reason}: free it, or change {name} in {self._config}")
        if lines:
            raise StartRefusedError("\n".join(lines))

    def _listen_to_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._stop_or_force)
        has_terminal = os.isatty(0)
        loop.add_signal_handler(signal.SIGHUP, self._reload_or_stop, has_terminal)

    def _stop_or_force(self) -> None:
        now_s = asyncio.get_running_loop().time()
        if self._end.done():
            if now_s - self._asked_s > SAME_REQUEST_S:
                self._force.set()
        else:
            self._asked_s = now_s
            log.info("drain_begins", hint="a second Ctrl-C forces")
            self._end.set_result(0)

    def _reload_or_stop(self, had_terminal: bool) -> None:
        """SIGHUP means "read the rate files again"; but when our terminal was closed it means "good-bye"."""
        if had_terminal and not os.isatty(0):
            self._stop_or_force()
        else:
            for keeper in (self._daemon, *self._workers, *([self._collector] if self._collector is not None else [])):
                keeper.signal(signal.SIGHUP)

    def _spawn(self, work: Coroutine[Any, Any, int]) -> None:
        """Run a part; when it fails, or says by its status that it cannot go on, everything ends."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[int]) -> None:
        self._tasks.discard(task)
        if task.cancelled():
            return
        error = task.exception()
        if self._end.done():
            if error is not None:
                log.error("part_failed", error=str(error))
        elif error is not None:
            self._end.set_exception(error)
        elif task.result():
            self._end.set_result(task.result())

    async def _start(self) -> int:
        for server in self._servers:
            self._spawn(server.run())
        await asyncio.gather(*(server.ready.wait() for server in self._servers))
        self._folder.write_endpoints(self._endpoints)
        daemons = (self._daemon, *self._workers)
        for keeper in daemons:
            self._spawn(keeper.run())
        self._spawn(self._migrate_then_flush())
        await asyncio.gather(*(keeper.ready.wait() for keeper in daemons))
        try:
            await asyncio.wait_for(self._flusher.ready.wait(), FLUSHER_PATIENCE_S)
        except TimeoutError:
            log.warning("flusher_waits", why="PostgreSQL is away; records wait in Valkey")
        self._on_ready(self._settings, self._folder, self._endpoints)
        return 0

    async def _migrate_then_flush(self) -> int:
        pause_s = MIGRATE_PAUSE_S
        while (status := await self._migrate()) == EXIT_TEMPORARY:
            log.warning("schema_waits", why="PostgreSQL is away", again_in_s=pause_s)
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, MIGRATE_PAUSE_S_MAX)
        if status != 0:
            raise StartRefusedError(
                "the schema could not be brought up to date: the reason is above",
                EXIT_CONFIG if status == EXIT_CONFIG else EXIT_INTERNAL,
            )
        for keeper in (*self._others, *self._mediation):
            self._spawn(keeper.run())
        return await self._flusher.run()

    async def _migrate(self) -> int:
        program = self._ours("migrate", "migrate")
        child = process.start(program)
        try:
            while (status := child.poll()) is None:  # noqa: ASYNC110 - a child's end is no event of ours
                await asyncio.sleep(POLL_S)
            return status
        finally:
            process.stop(program, child, grace_s=0.5)

    async def _drain(self) -> None:
        """First who takes in work, then who carries it away, then what both stand on."""
        daemons = [self._daemon, *self._workers]
        intakes = [*daemons, *self._mediation]
        for name, keepers in (("daemon", intakes), ("carriers", self._carriers), ("servers", self._servers)):
            log.info("stopping", part=name)
            await asyncio.gather(*(keeper.stop(limits.STOP_GRACE_S, self._force) for keeper in keepers))
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        log.info("stopped")


def reachable(address: Address | None) -> Address:
    """Where to connect to what listens there."""
    assert address is not None, "checked when the settings were read"
    return Address(ANYWHERE.get(address.host, address.host), address.port)


def answers(url: str) -> bool:
    """Whether a GET is answered with 200."""
    try:
        with urlopen(url, timeout=READY_PROBE_S) as response:  # noqa: S310 - our own address
            return bool(response.status == 200)
    except (OSError, HTTPException):  # nobody there, or somebody who speaks something else
        return False
