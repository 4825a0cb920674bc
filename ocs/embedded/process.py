"""One child program: start it, know it again after a crash of ours, stop it.

A child runs in a process group of its own, so that Ctrl-C in the terminal reaches the supervisor alone, and on Linux it
is told when its parent dies (launch.py). Its process id and start time are on file: after a kill -9 of everything the
next start finds what is left over and stops it. Stopping, not adopting: a process that is not our child can be neither
waited for nor restarted in time, and it may run with yesterday's settings.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import msgspec
import psutil

from ocs.native import is_compiled

LAUNCHER: Final = Path(__file__).with_name("launch.py")
LEFTOVER_STOP_S: Final = 15.0
LAST_WORDS_OCTETS_MAX: Final = 4096
FULL_OCTETS: Final = 1 << 20
STARTED_TOLERANCE_S: Final = 0.05  # psutil derives the start from clock ticks


@dataclass(frozen=True)
class User:
    """Who a program runs as when we are root."""

    name: str
    uid: int
    gid: int


LARGE_HEAP: Final = {
    **({} if is_compiled() else {"PYTHONMALLOC": "malloc"}),
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1:glibc.malloc.arena_max=1:glibc.malloc.tcache_count=2000"
    ":glibc.malloc.tcache_max=4096:glibc.malloc.top_pad=67108864:glibc.malloc.trim_threshold=268435456"
    ":glibc.malloc.mmap_threshold=268435456",
}
"""For a Python process that remembers many accounts: its heap in huge pages. Python's own allocator asks for them through
``ocs.native``; where that is not built, malloc serves small objects, too.

With 10,000 open sessions the processor finds the pages sooner. No effect without glibc."""


@dataclass(frozen=True)
class Program:
    """What to run. ``log`` None: the child's output goes where ours goes."""

    name: str
    argv: tuple[str, ...]
    run_dir: Path
    stop_signal: signal.Signals = signal.SIGTERM
    log: Path | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    user: User | None = None
    passing_closed_folders: bool = False

    @property
    def pid_file(self) -> Path:
        """Where its process id is kept."""
        return self.run_dir / f"{self.name}.pid"


class _Record(msgspec.Struct, frozen=True):
    pid: int
    started_at_s: float


def start(program: Program) -> subprocess.Popen[bytes]:
    """Start the program and put its process id on file. Call it from a thread that lives as long as the child may."""
    program.run_dir.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        output = None
        if program.log is not None:
            program.log.parent.mkdir(parents=True, exist_ok=True)
            output = stack.enter_context(program.log.open("ab"))
        child = subprocess.Popen(  # noqa: S603 - our own argument lists
            command_of(program, program.argv, _follow_options(program)),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT if output else None,
            env={**os.environ, **program.environment},
            process_group=0,
        )
    record = _Record(child.pid, psutil.Process(child.pid).create_time())
    whole = program.pid_file.with_suffix(".new")
    try:
        whole.write_bytes(msgspec.json.encode(record))
        whole.replace(program.pid_file)
    except OSError:
        kill(child)  # one that is not on file could not be found again
        raise
    return child


def last_words(program: Program) -> str:
    """Why it ended, as far as can be told: a full disk, on which it could not write why, or the last line of its log."""
    if program.log is None:
        return ""
    if shutil.disk_usage(program.run_dir).free < FULL_OCTETS:
        return f"the disk of {program.run_dir} is full: make room"
    with contextlib.suppress(OSError), program.log.open("rb") as log:
        log.seek(max(0, log.seek(0, os.SEEK_END) - LAST_WORDS_OCTETS_MAX))
        lines = log.read().decode("utf-8", "replace").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "")
    return ""


def _follow_options(program: Program) -> list[str]:
    return ["--death-signal", str(int(program.stop_signal)), "--parent", str(os.getpid())]


def command_of(program: Program, argv: Sequence[str], launch_options: Sequence[str] = ()) -> list[str]:
    """``argv`` under the program's user, through the launcher."""
    options = list(launch_options)
    if program.user is not None:
        options += ["--uid", str(program.user.uid), "--gid", str(program.user.gid)]
    if program.passing_closed_folders:
        options.append("--pass-closed-folders")
    return [sys.executable, "-I", "-S", str(LAUNCHER), *options, "--", *argv]


def stop(program: Program, child: subprocess.Popen[bytes], grace_s: float) -> None:
    """Ask it to end, wait, then make it end."""
    if child.poll() is None:
        child.send_signal(program.stop_signal)
        try:
            child.wait(grace_s)
        except subprocess.TimeoutExpired:
            kill(child)
    forget(program)


def kill(child: subprocess.Popen[bytes]) -> None:
    """End it and its process group now."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()


def forget(program: Program) -> None:
    """The program has ended: nothing is left over."""
    program.pid_file.unlink(missing_ok=True)


def leftover(pid_file: Path) -> psutil.Process | None:
    """The process that a former start left running, if it still is that process and no later one with its number."""
    try:
        record = msgspec.json.decode(pid_file.read_bytes(), type=_Record)
        process = psutil.Process(record.pid)
        is_same = abs(process.create_time() - record.started_at_s) <= STARTED_TOLERANCE_S
    except (FileNotFoundError, msgspec.DecodeError, psutil.NoSuchProcess):
        return None
    return process if is_same and is_alive(process) else None


def stop_leftover(program: Program) -> bool:
    """Stop what a former start left running; True if there was something."""
    process = leftover(program.pid_file)
    if process is not None:
        end(process, program.stop_signal)
    forget(program)
    return process is not None


def end(process: psutil.Process, stop_signal: signal.Signals) -> None:
    """Ask a process that is not our child to end, then make it end."""
    with contextlib.suppress(psutil.NoSuchProcess):
        process.send_signal(stop_signal)
        if not _has_ended(process, LEFTOVER_STOP_S):
            process.kill()
            _has_ended(process, LEFTOVER_STOP_S)


def _has_ended(process: psutil.Process, limit_s: float) -> bool:
    """Wait for a process that is not our child."""
    deadline_s = time.monotonic() + limit_s
    while is_alive(process):
        if time.monotonic() > deadline_s:
            return False
        time.sleep(0.05)
    return True


def is_alive(process: psutil.Process) -> bool:
    """Whether it still runs. In a container nobody may reap an orphan: a zombie has ended, too."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def wait_until(is_ready: Callable[[int], bool], child: subprocess.Popen[bytes], limit_s: float) -> bool:
    """Poll ``is_ready(pid)`` until it holds; False when the child ended or the time is over."""
    deadline_s = time.monotonic() + limit_s
    while child.poll() is None and time.monotonic() < deadline_s:
        if is_ready(child.pid):
            return True
        time.sleep(0.02)
    return False
