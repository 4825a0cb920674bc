"""The servers of a benchmark: an embedded Valkey and PostgreSQL, the daemon and the flusher, each a process of its own.

Everything lives in a folder that is thrown away afterwards, on loopback ports that were free, with a configuration
made for the occasion; nothing of the operator's is touched.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from http.client import HTTPException
from pathlib import Path
from typing import Final, NamedTuple

import psutil

from ocs.addresses import Address, why_not_free
from ocs.billing.migrate import upgrade
from ocs.embedded import process
from ocs.embedded.folder import DataFolder
from ocs.embedded.postgres import EmbeddedPostgres
from ocs.embedded.valkey import EmbeddedValkey

ROOT: Final = Path(__file__).resolve().parent.parent
BUILD: Final = ROOT / "build"
SECRET: Final = "testing123"
PARTITIONS: Final = 16
GRANT_S_MAX: Final = 36_000
CHOOSABLE_PORTS: Final = range(15_000, 32_000)
READY_LIMIT_S: Final = 120.0
STOP_GRACE_S: Final = 60.0
CALLED: Final = "442079460123"
COMPILER_FLAGS: Final = ("-std=c11", "-O2", "-Wall", "-Wextra", "-Werror")


class BenchError(Exception):
    """The benchmark cannot go on; the message is one line."""


class Ports(NamedTuple):
    diameter: int
    authentication: int
    accounting: int
    http: int


class Usage(NamedTuple):
    """CPU microseconds since the start of each process; PostgreSQL with all its backends."""

    daemon: int
    valkey: int
    flusher: int
    postgres: int

    def since(self, earlier: Usage) -> Usage:
        return Usage(*(now - before for now, before in zip(self, earlier, strict=True)))


def compile_clients(build: Path = BUILD) -> None:
    """Make ccr_load and radius_load in ``build`` where they are older than their sources."""
    sources = ROOT / "scripts" / "load"
    newest = max(path.stat().st_mtime for path in sources.iterdir())
    for name in ("ccr_load", "radius_load"):
        program = build / name
        if program.exists() and program.stat().st_mtime > newest:
            continue
        compiler = next(filter(None, map(shutil.which, (os.environ.get("CC", "cc"), "gcc", "clang"))), None)
        if compiler is None:
            raise BenchError("make bench needs a C compiler: install gcc or clang, or name one in the variable CC")
        build.mkdir(exist_ok=True)
        command = (compiler, *COMPILER_FLAGS, "-o", str(program), str(sources / f"{name}.c"))
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        if result.returncode != 0:
            raise BenchError(f"{name}.c does not compile: {result.stderr.strip()}")


def write_config(folder: Path, ports: Ports, prefixes: int) -> None:
    """A configuration with one plan, whose deck has so many prefixes; the called number matches the last of them."""
    for name in ("rateplans", "decks", "destinations"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for name in ("currencies.toml", "dictionaries", "profiles"):
        source = ROOT / "config" / name
        if source.is_dir():
            shutil.copytree(source, folder / name, dirs_exist_ok=True)
        else:
            shutil.copy(source, folder / name)
    (folder / "ocs.toml").write_text(_settings_text(ports), encoding="utf-8")
    (folder / "rateplans" / "bench.toml").write_text(
        'name = "bench"\ncurrency = "EUR"\n\n'
        '[[tariffs]]\nservice = "voice"\nname = "voice"\nper = "minute"\ndeck = "bench"\n'
        'setup = "0.05"\ninitial = 60\nnext = 1\n',
        encoding="utf-8",
    )
    (folder / "decks" / "bench.csv").write_text("\n".join(_deck_lines(prefixes)) + "\n", encoding="utf-8")


def _settings_text(ports: Ports) -> str:
    return f"""
[node]
identity = "ocs.example.net"
realm = "example.net"

[backends]
partitions = {PARTITIONS}
appendfsync = "always"

[diameter]
listen = ["127.0.0.1:{ports.diameter}"]
accept_realms = ["example.net"]

[radius]
authentication = ["127.0.0.1:{ports.authentication}"]
accounting = ["127.0.0.1:{ports.accounting}"]

[[radius.clients]]
name = "load"
networks = ["127.0.0.1/32"]
secret = "{SECRET}"
require_message_authenticator = "no"
credentials = "none"

[http]
listen = "127.0.0.1:{ports.http}"

[quota]
seconds = {GRANT_S_MAX}
validity_s = {2 * GRANT_S_MAX}
"""


def _deck_lines(prefixes: int) -> Iterator[str]:
    """Prefixes of real decks' lengths; a thousand different prices and names, as half a million lines have."""
    yield "prefix,destination,rate"
    yield f"{CALLED[:5]},London,0.0195"
    for number in range(prefixes - 1):
        # 7 is coprime to every power of ten: all prefixes are different; they have three lengths, as real decks have several.
        width = max(3, len(str(prefixes)))
        yield f"3{number * 7 % 10**width:0{width}d}{'5' * (number % 3)},Place {number % 1000},0.{10 + number % 1000:04d}"


class World:
    """The running servers. Make it with ``running_world``."""

    def __init__(self, folder: DataFolder, ports: Ports) -> None:
        self.folder = folder
        self.ports = ports
        self.valkey = EmbeddedValkey(folder)
        self.postgres = EmbeddedPostgres(folder)
        self.environment = {"OCS_VALKEY_URL": self.valkey.url, "OCS_POSTGRES_DSN": self.postgres.dsn}
        self._children: list[tuple[process.Program, subprocess.Popen[bytes]]] = []
        self._pids: dict[str, int] = {}
        self.config = Path()
        self.runs = 0

    def start(self, prefixes: int) -> None:
        """Start all four."""
        for name, server in (("valkey", self.valkey), ("postgres", self.postgres)):
            child = server.start()
            self._children.append((server.program, child))
            self._pids[name] = child.pid
        upgrade(self.postgres.dsn)
        self.start_ours("daemon", "serve", prefixes)
        self.start_ours("flusher", "flush", prefixes)
        self._wait_until_ready()

    def start_ours(self, name: str, command: str, prefixes: int) -> None:
        """Start one of our own processes with a deck of so many prefixes."""
        self.config = self.folder.path / f"config-{prefixes}"
        if not self.config.exists():
            write_config(self.config, self.ports, prefixes)
        program = process.Program(
            name=name,
            argv=(sys.executable, "-m", "ocs", command, "--config", str(self.config / "ocs.toml")),
            run_dir=self.folder.run,
            log=self.folder.log / f"{name}.log",
            environment={**self.environment, **(process.LARGE_HEAP if command == "serve" else {})},
        )
        child = process.start(program)
        self._children.append((program, child))
        self._pids[name] = child.pid

    def restart_daemon(self, prefixes: int) -> None:
        """The same daemon with another deck."""
        self._stop(next(place for place, (program, _) in enumerate(self._children) if program.name == "daemon"))
        self.start_ours("daemon", "serve", prefixes)
        self._wait_until_ready()

    def usage(self) -> Usage:
        """Read the CPU time of every process from /proc."""
        return Usage(*(_cpu_us(self._pids[name]) for name in Usage._fields))

    def rss_octets(self) -> int:
        """The daemon's memory."""
        return int(psutil.Process(self._pids["daemon"]).memory_info().rss)

    def audit(self) -> bool:
        """Whether ``ocs audit`` finds every account as the journal and the open sessions say."""
        command = (sys.executable, "-m", "ocs", "audit", "--config", str(self.config / "ocs.toml"))
        result = subprocess.run(
            command, env={**os.environ, **self.environment}, capture_output=True, text=True, check=False
        )
        if result.returncode != 0:
            print(result.stdout, result.stderr, sep="\n", file=sys.stderr)
        return result.returncode == 0

    def stop(self) -> None:
        """End all, in the reverse order of the start."""
        while self._children:
            self._stop(len(self._children) - 1)

    def _stop(self, place: int) -> None:
        program, child = self._children.pop(place)
        process.stop(program, child, STOP_GRACE_S)

    def _wait_until_ready(self) -> None:
        program, child = next(pair for pair in self._children if pair[0].name == "daemon")
        if not process.wait_until(self._is_ready, child, READY_LIMIT_S):
            assert program.log is not None, "our processes have a log"
            words = program.log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-12:]
            raise BenchError("the daemon does not get ready; its last words:\n" + "\n".join(words))

    def _is_ready(self, _pid: int) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.ports.http}/ready", timeout=1) as answer:
                return bool(answer.status == 200)
        except (OSError, HTTPException):
            return False


def _cpu_us(pid: int) -> int:
    """User and system time of a process, of the children it has and of those it had."""
    leader = psutil.Process(pid)
    times = leader.cpu_times()
    total_s = sum(times[:4])
    for child in leader.children():
        with contextlib.suppress(psutil.NoSuchProcess):
            total_s += sum(child.cpu_times()[:2])
    return round(total_s * 1e6)


def free_ports() -> Ports:
    """Four different ports that nobody uses now, for TCP and UDP alike, below those that the system gives to clients."""
    found: set[int] = set()
    while len(found) < len(Ports._fields):
        address = Address("127.0.0.1", secrets.choice(CHOOSABLE_PORTS))
        if not any(why_not_free(address, kind) for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM)):
            found.add(address.port)
    return Ports(*found)


@contextlib.contextmanager
def running_world(prefixes: int) -> Iterator[World]:
    """Start everything in a new folder under build/, hand it out, stop it and remove the folder."""
    BUILD.mkdir(exist_ok=True)
    # Under the checkout, not in /tmp: what "always" costs is the cost of a real disk's fsync.
    folder = DataFolder(Path(tempfile.mkdtemp(prefix="bench-", dir=BUILD)))
    try:
        with folder.locked():
            world = World(folder, free_ports())
            try:
                world.start(prefixes)
                yield world
            finally:
                world.stop()
    finally:
        shutil.rmtree(folder.path, ignore_errors=True)


def fsync_us(folder: Path) -> float:
    """What one fsync of a small append costs on this disk: the floor under every answer's latency."""
    rounds = 200
    with tempfile.NamedTemporaryFile(dir=folder) as file:
        start_ns = time.perf_counter_ns()
        for _ in range(rounds):
            file.write(b"x" * 1000)
            file.flush()
            os.fdatasync(file.fileno())
        return (time.perf_counter_ns() - start_ns) / rounds / 1000
