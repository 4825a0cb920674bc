"""The flusher as a process of its own: killed and stopped while entries keep coming."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from balance.valkey import keys
from ocs.outbox.reader import STATUS_KEY
from tests.integration.test_outbox_flusher import World, session_entry, until, world

__all__ = ["world"]

pytestmark = pytest.mark.integration

PROGRAM = """
import sys
from ocs.outbox.flusher import main
from ocs.settings import Outbox, Settings
main(Settings(outbox=Outbox(batch_max=7, idle_s=0.01)), sys.argv[1], sys.argv[2])
"""

KILLS = 6


@contextmanager
def flusher_process(world: World) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([sys.executable, "-c", PROGRAM, world.valkey_url, world.dsn], stdout=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


async def arrived(world: World, flusher: subprocess.Popen[bytes], count: int) -> None:
    async def is_there() -> Any:
        assert flusher.poll() is None, f"the flusher died with status {flusher.returncode}; stderr says why"
        return await world.sql.fetchval("SELECT count(*) >= $1 FROM journal", count)

    await until(is_there)


async def test_kills_cost_no_record_and_double_none(world: World) -> None:
    """kill -9 at any moment, again and again: each entry stands in the books once, and the outbox is empty."""
    written = 0

    async def append(count: int) -> None:
        nonlocal written
        for _ in range(count):
            written += 1
            await world.append(session_entry(f"a{written % 5}", written // 5 + 1))

    for kill in range(1, KILLS + 1):
        with flusher_process(world) as process:
            await append(60)
            # Wait for a sign that it works, then kill it in the middle of what is left.
            await arrived(world, process, (kill - 1) * 60 + 1)
    with flusher_process(world) as process:
        await arrived(world, process, KILLS * 60)
        process.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(process.wait, 60) == 0
    assert len(await world.numbers()) == len(await world.numbers("cdr")) == KILLS * 60
    assert await world.left() == 0
    assert await world.buried() == []


async def test_a_stop_reports_a_last_time(world: World) -> None:
    """SIGTERM: status 0, and the sign of life says that nothing waits."""
    await world.append(session_entry("a", 1))
    with flusher_process(world) as process:
        await arrived(world, process, 1)
        process.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(process.wait, 60) == 0
    status = json.loads(await world.valkey.get(STATUS_KEY))
    assert (status["backlog"], status["flushed"], status["buried"]) == (0, 1, 0)
    assert await world.valkey.xlen(keys.outbox_key(keys.partition_of("a", 4))) == 0


async def test_cut_connections_are_made_again(world: World) -> None:
    """The servers cut every connection of the running flusher: it finds back to both, and nothing is lost."""
    with flusher_process(world) as process:
        await world.append(session_entry("a", 1))
        await arrived(world, process, 1)
        await world.sql.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        await world.append(session_entry("a", 2))
        await arrived(world, process, 2)
        await world.valkey.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        await world.append(session_entry("a", 3))
        await arrived(world, process, 3)
    assert await world.numbers() == await world.numbers("cdr") == [("a", 1), ("a", 2), ("a", 3)]
