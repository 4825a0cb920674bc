"""One child program kept running: started, started again when it dies, stopped when asked."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
from collections.abc import Callable
from typing import Final, NamedTuple

import structlog

from ocs.embedded import process
from ocs.embedded.process import Program
from ocs.errors import EXIT_CONFIG, EXIT_TEMPORARY, StartRefusedError

log = structlog.get_logger()

POLL_S: Final = 0.1  # how late a death is seen; a wait costs some microseconds
BACK_OFF_S_MIN: Final = 0.2
BACK_OFF_S_MAX: Final = 10.0
STEADY_S: Final = 30.0  # who lived so long starts again at once
FIRST_START_ATTEMPTS_MAX: Final = 6


class Ended(NamedTuple):
    """How a life of the program ended. ``words``: the last line of its log, or why it could not be started."""

    lived_s: float
    status: int
    words: str = ""


class Keeper:
    """Runs ``program`` until ``stop``. ``prepare`` comes before each start, in a thread; ``ready`` is set once it is up."""

    def __init__(
        self,
        program: Program,
        prepare: Callable[[], None] = lambda: None,
        is_ready: Callable[[int], bool] = lambda _pid: True,
    ) -> None:
        self.program = program
        self.ready = asyncio.Event()
        self.restarts = 0
        self._prepare = prepare
        self._is_ready = is_ready
        self._child: subprocess.Popen[bytes] | None = None
        self._stopping = asyncio.Event()

    async def run(self) -> int:
        """Return 0 when stopped, or the exit status of a program that says it cannot start.

        Raises StartRefusedError when it never comes up.
        """
        delay_s = BACK_OFF_S_MIN
        while not self._stopping.is_set():
            lived_s, status, words = await self._attempt()
            if self._stopping.is_set():
                break
            if not self.ready.is_set():
                self._check_first_start(status)
                if status in {EXIT_CONFIG, EXIT_TEMPORARY}:
                    return status
            delay_s = BACK_OFF_S_MIN if lived_s > STEADY_S else delay_s
            self.restarts += 1
            log.error(
                "child_died",
                child=self.program.name,
                status=status,
                lived_s=round(lived_s, 1),
                last_words=words,
                again_in_s=delay_s,
            )
            await self._pause(delay_s)
            delay_s = min(delay_s * 2, BACK_OFF_S_MAX)
        return 0

    def _check_first_start(self, status: int) -> None:
        if self.restarts + 1 < FIRST_START_ATTEMPTS_MAX:
            return
        words = f"its last words are in {self.program.log}" if self.program.log else "its last words are above"
        raise StartRefusedError(f"{self.program.name} does not start (exit status {status}): {words}")

    async def _attempt(self) -> Ended:
        """Prepare it, start it and wait for its end. Raises StartRefusedError when the first start is not possible."""
        try:
            await asyncio.to_thread(self._prepare)
            return await self._live() if not self._stopping.is_set() else Ended(0.0, 0)
        except OSError as error:
            # A full disk, for one. What was up before is not given up for it.
            if not self.ready.is_set():
                raise StartRefusedError(f"{self.program.name} cannot be started: {error}") from error
            return Ended(0.0, EXIT_TEMPORARY, str(error))

    async def _live(self) -> Ended:
        loop = asyncio.get_running_loop()
        started_s = loop.time()
        # In this thread, the loop's: the child is told when the thread that made it ends (launch.py).
        self._child = process.start(self.program)
        is_up = False
        while (status := self._child.poll()) is None:
            if not is_up and await asyncio.to_thread(self._is_ready, self._child.pid):
                is_up = True
                log.info(
                    "child_up", child=self.program.name, pid=self._child.pid, after_s=round(loop.time() - started_s, 2)
                )
                self.ready.set()
            await asyncio.sleep(POLL_S)
        return Ended(loop.time() - started_s, status, process.last_words(self.program))

    async def _pause(self, delay_s: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), delay_s)

    def signal(self, number: int) -> None:
        """Pass a signal on."""
        if self._child is not None and self._child.poll() is None:
            self._child.send_signal(number)

    async def stop(self, grace_s: float, force: asyncio.Event) -> None:
        """Ask it to end; make it end after ``grace_s``, or as soon as ``force`` is set."""
        self._stopping.set()
        child = self._child
        if child is not None and child.poll() is None:
            child.send_signal(self.program.stop_signal)
            loop = asyncio.get_running_loop()
            give_up_s = loop.time() + grace_s
            while child.poll() is None:
                if force.is_set() or loop.time() > give_up_s:
                    log.warning("child_killed", child=self.program.name, pid=child.pid)
                    process.kill(child)
                await asyncio.sleep(POLL_S / 4)
        process.forget(self.program)
