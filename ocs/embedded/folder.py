"""The data folder: who may use it, whether it has room, and where the servers of the running instance listen."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from ocs.errors import StartRefusedError

FREE_OCTETS_MIN: Final = 256 * 1024 * 1024  # a fresh PostgreSQL takes 40 MB, its write-ahead log up to 80 more
SOCKET_PATH_OCTETS_MAX: Final = 100  # sun_path holds 108 on Linux, 104 on BSD and macOS


class Endpoints(msgspec.Struct, frozen=True):
    """Where the running instance keeps its state: what ``ocs demo``, ``ocs audit`` and the like connect to."""

    valkey_url: str
    postgres_dsn: str
    http_url: str = ""
    pid: int = 0


class DataFolder:
    """``data/``: lock, run (process ids), log, valkey, postgres."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self.run = self.path / "run"
        self.log = self.path / "log"
        self._endpoints = self.run / "endpoints.json"

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder for this process alone; the system lets go of it when the process ends, however it ends."""
        self._create()
        with (self.path / "lock").open("a+b") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                lock.seek(0)
                holder = lock.read().decode("ascii", "replace").strip() or "another process"
                raise StartRefusedError(
                    f"the data folder {self.path} is in use by process {holder}: stop that one, or name another with --data"
                ) from None
            lock.truncate(0)
            lock.write(str(os.getpid()).encode())
            lock.flush()
            self._check_room()
            yield

    def _create(self) -> None:
        try:
            # Others may pass (PostgreSQL's user must, when we are root) but see nothing: all inside is 0700 or 0600.
            self.path.mkdir(mode=0o711, parents=True, exist_ok=True)
            self.run.mkdir(mode=0o700, exist_ok=True)
            self.log.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise refusal_of(error, self.path) from error

    def _check_room(self) -> None:
        free = shutil.disk_usage(self.path).free
        if free < FREE_OCTETS_MIN:
            raise StartRefusedError(
                f"the disk of {self.path} is full: {free >> 20} MB are free and {FREE_OCTETS_MIN >> 20} MB are needed; "
                "make room, or name another folder with --data"
            )

    def socket_folder(self, wanted: Path, name_octets: int) -> Path:
        """``wanted``, or a short private folder when a socket's path in there would be too long for the system."""
        if len(os.fsencode(wanted)) + 1 + name_octets <= SOCKET_PATH_OCTETS_MAX:
            return wanted
        digest = f"{self.path.stat().st_dev:x}-{self.path.stat().st_ino:x}"
        base = Path(os.environ.get("XDG_RUNTIME_DIR") or "/tmp")  # noqa: S108 - checked below
        short = base / f"ocs-{os.getuid()}-{digest}"
        with contextlib.suppress(FileExistsError):
            short.mkdir(mode=0o700)
        if short.is_symlink() or short.stat().st_uid != os.getuid() or short.stat().st_mode & 0o077:
            raise StartRefusedError(
                f"{short} is not a private folder of ours: remove it, or choose a shorter data folder"
            )
        return short

    def write_endpoints(self, endpoints: Endpoints) -> None:
        """Say where we are; whole or not at all, and readable by our own user only (the DSN may hold a password)."""
        new = self._endpoints.with_suffix(".new")
        new.touch(mode=0o600)
        new.write_bytes(msgspec.json.encode(endpoints))
        new.replace(self._endpoints)

    def endpoints(self) -> Endpoints | None:
        """Where the instance of this folder is, or was when it stopped last."""
        try:
            return msgspec.json.decode(self._endpoints.read_bytes(), type=Endpoints)
        except (OSError, msgspec.DecodeError):
            return None

    def is_locked(self) -> bool:
        """Whether an instance runs on this folder."""
        try:
            with (self.path / "lock").open("rb") as lock:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except FileNotFoundError:
            pass
        return False


def refusal_of(error: OSError, path: Path) -> StartRefusedError:
    """One clear line for what the file system said."""
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return StartRefusedError(f"the disk of {path} is full: make room, or name another folder with --data")
    return StartRefusedError(
        f"{path} cannot be the data folder: {error.strerror}; give this user the right, or name another with --data"
    )
