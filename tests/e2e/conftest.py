"""``ocs run`` as a user starts it: another process, real ports, a data folder."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import httpx
import msgspec
import psutil
import pytest

from ocs.settings import Settings, load_settings

START_LIMIT_S: Final = 60.0
STOP_LIMIT_S: Final = 60.0
_starts = itertools.count(1)


class RunningOcs:
    """One ``ocs run``; ``stop`` asks it to drain and returns its exit status."""

    def __init__(self, config: Path, data: Path) -> None:
        settings = load_settings(config)
        assert isinstance(settings, Settings), settings
        self.config, self.data, self.settings = config, data, settings
        self.url = f"http://{settings.http.listen}"
        self.output = data.parent / f"{data.name}-{next(_starts)}.out"
        with self.output.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "ocs", "run", "--config", str(config), "--data", str(data)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def words(self) -> str:
        """All it said."""
        return self.output.read_text(encoding="utf-8")

    def wait_ready(self) -> None:
        """Wait until it says that all is ready."""
        self.wait_for(lambda: "Ctrl-C drains and stops everything" in self.words(), START_LIMIT_S)

    def wait_for(self, condition: Callable[[], bool], limit_s: float = START_LIMIT_S) -> None:
        """Poll; fail with what was said when it takes too long or the process ends."""
        deadline_s = time.monotonic() + limit_s
        while not condition():
            assert self.process.poll() is None, f"it ended: {self.words()}"
            assert time.monotonic() < deadline_s, f"not within {limit_s} s: {self.words()}"
            time.sleep(0.05)

    def is_ready(self) -> bool:
        """Whether /ready says yes."""
        try:
            return httpx.get(f"{self.url}/ready", timeout=5).status_code == 200
        except httpx.HTTPError:
            return False

    def pid(self, name: str) -> int:
        """The process id of a child; 0 between its end and its next start."""
        try:
            record: dict[str, Any] = msgspec.json.decode((self.data / "run" / f"{name}.pid").read_bytes())
        except FileNotFoundError:
            return 0
        return int(record["pid"])

    def children(self) -> list[psutil.Process]:
        """All processes below the supervisor."""
        return psutil.Process(self.process.pid).children(recursive=True)

    def kill(self, name: str) -> int:
        """Kill a child by -9, and wait until another one runs in its place; the new process id."""
        old = self.pid(name)
        os.kill(old, signal.SIGKILL)
        self.wait_for(lambda: self.pid(name) not in {0, old})
        return self.pid(name)

    def client(self) -> httpx.Client:
        """An HTTP client with the first API key."""
        token = (self.data / "admin.key").read_text(encoding="utf-8").strip()
        return httpx.Client(base_url=self.url, headers={"Authorization": f"Bearer {token}"}, timeout=10)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Ask it to drain; its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            return self.process.wait(STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            raise


@pytest.fixture
def start_ocs(sample_config: Path, tmp_path: Path) -> Iterator[Callable[[], RunningOcs]]:
    """A function that starts ``ocs run`` on one configuration and data folder; all of them are stopped at the end."""
    started: list[RunningOcs] = []

    def start() -> RunningOcs:
        started.append(RunningOcs(sample_config, tmp_path / "data"))
        return started[-1]

    yield start
    for each in started:
        each.stop()


@pytest.fixture
def running_ocs(start_ocs: Callable[[], RunningOcs]) -> RunningOcs:
    """A running and ready ``ocs run``."""
    running = start_ocs()
    running.wait_ready()
    return running
