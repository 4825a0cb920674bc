"""A child program is kept running, unless it says that it cannot start."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

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
    seen = tmp_path / "seen"
    keeper = Keeper(_shell(tmp_path, f"trap 'echo hup >> {seen}' HUP; while :; do sleep 0.05; done"))
    running = asyncio.create_task(keeper.run())
    await keeper.ready.wait()

    def is_seen() -> bool:
        assert keeper._child is not None
        if psutil.Process(keeper._child.pid).exe() != psutil.Process().exe():  # the launcher has become the shell
            keeper.signal(signal.SIGHUP)
        return seen.exists()

    await _until(is_seen)
    await _stop(keeper)
    assert await running == 0
