"""The load generators, compiled once; the benchmark's modules stand beside the program that they belong to."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
sys.path.insert(0, str(SCRIPTS))

Generator = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="session")
def generator(tmp_path_factory: pytest.TempPathFactory) -> Generator:
    """A function that runs ``ccr_load`` or ``radius_load`` with options, to its end."""
    import bench_world

    build = tmp_path_factory.mktemp("build")
    bench_world.compile_clients(build)

    def run(name: str, *options: object) -> subprocess.CompletedProcess[str]:
        command = [str(build / name), *map(str, options)]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    return run


@pytest.fixture(scope="session")
def dump(generator: Generator) -> Callable[[str], dict[str, bytes]]:
    """The requests of a generator by name, as octets."""

    def read(name: str) -> dict[str, bytes]:
        lines = generator(name, "--dump").stdout.splitlines()
        return {kind: bytes.fromhex(octets) for kind, octets in map(str.split, lines)}

    return read


def report_of(result: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """What a generator printed; its words when it failed."""
    assert result.returncode == 0, result.stderr
    report: dict[str, Any] = json.loads(result.stdout)
    return report
