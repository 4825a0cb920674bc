"""A child program is kept running, unless it says that it cannot start."""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
from structlog.testing import capture_logs

from ocs import keeper as keeper_module
from ocs.embedded import process
from ocs.embedded.process import Program
from ocs.errors import EXIT_CONFIG, EXIT_TEMPORARY, StartRefusedError
from ocs.keeper import Keeper

pytestmark = pytest.mark.integration


def _shell(tmp_path: Path, script: str) -> Program:
    return Program(name="child", argv=("/bin/sh", "-c", script), run_dir=tmp_path)


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - another process's state is no event of ours
            await asyncio.sleep(0.02)


async def _stop(keeper: Keeper, grace_s: float = 5.0) -> None:
    await keeper.stop(grace_s, asyncio.Event())


@pytest.mark.parametrize("status", [EXIT_CONFIG, EXIT_TEMPORARY])
async def test_child_that_says_it_cannot_start(tmp_path: Path, status: int) -> None:
    """It has told the operator why: it is not started again, and its status is handed on."""
    keeper = Keeper(_shell(tmp_path, f"sleep 0.1; exit {status}"), is_ready=lambda _pid: False)
    assert await keeper.run() == status
    assert keeper.restarts == 0


async def test_child_that_never_comes_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After some attempts the whole gives up, with one line."""
    monkeypatch.setattr(keeper_module, "FIRST_START_ATTEMPTS_MAX", 2)
    keeper = Keeper(_shell(tmp_path, "exit 3"), is_ready=lambda _pid: False)
    with pytest.raises(StartRefusedError, match=r"child does not start \(exit status 3\): its last words are above"):
        await keeper.run()


async def test_child_that_dies_is_started_again(tmp_path: Path) -> None:
    """Once it was up, any end is an accident, also one with a status of refusal."""
    keeper = Keeper(_shell(tmp_path, f"sleep 0.3; exit {EXIT_TEMPORARY}"))
    running = asyncio.create_task(keeper.run())
    await _until(lambda: keeper.restarts >= 2)
    await _stop(keeper)
    assert await running == 0
    assert not keeper.program.pid_file.exists()


async def test_child_that_does_not_end_is_made_to(tmp_path: Path) -> None:
    """After its grace a deaf child is killed, with all that it started."""
    grandchild = tmp_path / "grandchild"
    keeper = Keeper(_shell(tmp_path, f"trap '' TERM; sleep 60 & echo $! > {grandchild}; wait; sleep 60"))
    running = asyncio.create_task(keeper.run())
    await _until(lambda: grandchild.exists() and bool(grandchild.read_text(encoding="ascii").strip()))
    started = psutil.Process(int(grandchild.read_text(encoding="ascii")))
    await _stop(keeper, grace_s=0.2)
    assert await running == 0
    await _until(lambda: not process.is_alive(started))


async def test_signals_are_passed_on(tmp_path: Path) -> None:
    """The supervisor's SIGHUP is the child's."""
    listens, seen = tmp_path / "listens", tmp_path / "seen"
    script = f"trap 'echo hup >> {seen}' HUP; echo > {listens}; while :; do sleep 0.05; done"
    keeper = Keeper(_shell(tmp_path, script))
    running = asyncio.create_task(keeper.run())
    await _until(listens.exists)  # before its trap stands a shell would die of it
    keeper.signal(signal.SIGHUP)
    await _until(seen.exists)
    await _stop(keeper)
    assert await running == 0


async def test_a_disk_that_is_full_for_a_while_ends_nothing(tmp_path: Path) -> None:
    """Its files cannot be written when it has to start again: that is tried once more, and once more, until it works."""
    attempts = 0

    def prepare() -> None:
        nonlocal attempts
        attempts += 1
        if attempts in {2, 3}:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    keeper = Keeper(_shell(tmp_path, "sleep 0.3; exit 1"), prepare)
    with capture_logs() as lines:
        running = asyncio.create_task(keeper.run())
        await _until(lambda: attempts >= 4)
        await _stop(keeper)
        assert await running == 0
    assert [line["last_words"] for line in lines if "No space left" in line.get("last_words", "")]


async def test_a_first_start_without_room_is_one_line(tmp_path: Path) -> None:
    """Nothing runs yet: the operator is told at once."""

    def prepare() -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(StartRefusedError, match=r"child cannot be started: .*No space left on device"):
        await Keeper(_shell(tmp_path, "exit 0"), prepare).run()


async def test_the_last_words_of_what_died_are_told(tmp_path: Path) -> None:
    """Why a server ended stands in its own log; the supervisor's line repeats the last of it."""
    program = Program(
        name="child",
        argv=("/bin/sh", "-c", "echo first; echo the disk is full; sleep 0.3; exit 1"),
        run_dir=tmp_path,
        log=tmp_path / "child.log",
    )
    keeper = Keeper(program)
    with capture_logs() as lines:
        running = asyncio.create_task(keeper.run())
        await _until(lambda: keeper.restarts >= 1)
        await _stop(keeper)
        assert await running == 0
    assert next(line["last_words"] for line in lines if line["event"] == "child_died") == "the disk is full"


def test_of_a_full_disk_no_log_can_tell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server's own last words did not fit any more: the disk is named in their place."""
    program = Program(name="child", argv=("/bin/false",), run_dir=tmp_path, log=tmp_path / "child.log")
    (tmp_path / "child.log").write_text("31838:M 25", encoding="utf-8")
    assert process.last_words(program) == "31838:M 25"
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: SimpleNamespace(free=0))
    assert process.last_words(program) == f"the disk of {tmp_path} is full: make room"
