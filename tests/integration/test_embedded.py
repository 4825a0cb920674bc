"""The embedded servers are real, durable, closed to others, and come back after a kill -9 of everything."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import asyncpg
import psutil
import pytest
import redis

from ocs.embedded import folder as folder_module
from ocs.embedded import process
from ocs.embedded.folder import DataFolder, Endpoints
from ocs.embedded.postgres import EmbeddedPostgres
from ocs.embedded.valkey import EmbeddedValkey
from ocs.errors import StartRefusedError

pytestmark = pytest.mark.integration


def test_valkey_keeps_what_it_acknowledges(valkey_server: EmbeddedValkey) -> None:
    """The running server has the append-only file on, synced before each answer, and gives up tombstones only."""
    with redis.Redis.from_url(valkey_server.url, decode_responses=True) as client:
        wanted = {"appendonly": "yes", "appendfsync": "always", "maxmemory-policy": "volatile-ttl", "port": "0"}
        assert {name: client.config_get(name)[name] for name in wanted} == wanted


async def test_postgres_keeps_what_it_commits(postgres_dsn: str) -> None:
    """The running server syncs its log at commit, and a fresh database is there for the asking."""
    connection = await asyncpg.connect(postgres_dsn)
    try:
        for name in ("fsync", "synchronous_commit", "full_page_writes"):
            assert await connection.fetchval(f"SHOW {name}") == "on"
        assert await connection.fetchval("SHOW listen_addresses") == ""
    finally:
        await connection.close()


def test_servers_listen_to_their_own_user_only(
    valkey_server: EmbeddedValkey, postgres_server: EmbeddedPostgres
) -> None:
    """No other user of the machine can reach a socket: the folders are closed."""
    assert valkey_server.socket.parent.stat().st_mode & 0o077 == 0
    assert postgres_server.socket_dir.stat().st_mode & 0o077 == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has to become somebody else")
def test_postgres_does_not_run_as_root(postgres_server: EmbeddedPostgres) -> None:
    """Started by root it runs as an unprivileged user whose only right is to pass through closed folders."""
    record = process.leftover(postgres_server.program.pid_file)
    assert record is not None
    assert record.uids().effective != 0
    status = Path(f"/proc/{record.pid}/status").read_text(encoding="ascii")
    effective = next(int(line.split()[1], 16) for line in status.splitlines() if line.startswith("CapEff:"))
    assert effective in {0, 1 << 1, 1 << 2}


CRASHING_PARENT = """
    import os, signal, sys
    from pathlib import Path
    import redis
    from ocs.embedded import process
    from ocs.embedded.folder import DataFolder
    from ocs.embedded.postgres import EmbeddedPostgres
    from ocs.embedded.valkey import EmbeddedValkey
    if sys.argv[2] == "orphans":  # as on a system that has no death signal
        process._follow_options = lambda program: []
    folder = DataFolder(Path(sys.argv[1]))
    with folder.locked():
        valkey, postgres = EmbeddedValkey(folder), EmbeddedPostgres(folder)
        children = valkey.start(), postgres.start()
        redis.Redis.from_url(valkey.url).set("money", "kept")
        if sys.argv[2] == "killed":
            for child in children:
                os.kill(child.pid, signal.SIGKILL)
        print(*(child.pid for child in children), flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
"""


def _crash(data: Path, end: str) -> list[int]:
    """Let a parent start both servers and die by kill -9; return their process ids."""
    command = [sys.executable, "-c", textwrap.dedent(CRASHING_PARENT), str(data), end]
    ended = subprocess.run(command, check=False, stdout=subprocess.PIPE)
    assert ended.returncode == -signal.SIGKILL
    pids = [int(word) for word in ended.stdout.split()]
    assert len(pids) == 2
    return pids


@pytest.mark.parametrize("end", ["orphans", "killed"])
async def test_second_start_after_kill_9_of_everything(tmp_path: Path, end: str) -> None:
    """Stale process files, stale sockets and servers that still run do not keep the next start from working."""
    _crash(tmp_path / "data", end)
    folder = DataFolder(tmp_path / "data")
    with folder.locked():
        valkey, postgres = EmbeddedValkey(folder), EmbeddedPostgres(folder)
        left = [process.leftover(each.program.pid_file) for each in (valkey, postgres)]
        assert all(left) == (end == "orphans")
        children = valkey.start(), postgres.start()
        with redis.Redis.from_url(valkey.url) as client:
            assert client.get("money") == b"kept"
        connection = await asyncpg.connect(postgres.dsn)
        assert await connection.fetchval("SELECT 1") == 1
        await connection.close()
        valkey.stop(children[0])
        postgres.stop(children[1])
    assert not any(each is not None and process.is_alive(each) for each in left)


def test_children_follow_a_killed_parent(tmp_path: Path) -> None:
    """On Linux the servers stop by themselves when the process that started them is killed."""
    pids = _crash(tmp_path / "data", "follow")
    deadline_s = time.monotonic() + 20
    while any(psutil.pid_exists(pid) and process.is_alive(psutil.Process(pid)) for pid in pids):
        assert time.monotonic() < deadline_s, "a server outlived its parent"
        time.sleep(0.05)


def test_second_instance_is_refused_in_one_line(tmp_path: Path) -> None:
    """Two processes never share a data folder; the second one is told who has it."""
    first, second = DataFolder(tmp_path), DataFolder(tmp_path)
    assert not second.is_locked()
    with first.locked():
        assert second.is_locked()
        with pytest.raises(StartRefusedError, match=rf"in use by process {os.getpid()}: .*--data"), second.locked():
            pass
    with second.locked():
        pass


def test_full_disk_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Too little room is said before anything is half written."""
    monkeypatch.setattr(folder_module, "FREE_OCTETS_MIN", 1 << 62)
    with pytest.raises(StartRefusedError, match=r"is full: .* make room"), DataFolder(tmp_path).locked():
        pass


def test_long_path_gets_a_short_socket_folder(tmp_path: Path) -> None:
    """A socket's path is limited to some hundred octets; a deep data folder works all the same."""
    folder = DataFolder(tmp_path / ("deep-" * 20) / "data")
    with folder.locked():
        server = EmbeddedValkey(folder)
        child = server.start()
        assert server.is_ready()
        assert server.socket.parent.stat().st_mode & 0o077 == 0
        server.stop(child)
        server.socket.parent.rmdir()


def test_endpoints_are_private_and_survive(tmp_path: Path) -> None:
    """Where the servers listen is on file for the other commands, for our user only."""
    folder = DataFolder(tmp_path)
    assert folder.endpoints() is None
    endpoints = Endpoints(
        valkey_url="unix:///v", postgres_dsn="postgresql://ocs:secret@/ocs", http_url="http://h", pid=7
    )
    with folder.locked():
        folder.write_endpoints(endpoints)
    assert folder.endpoints() == endpoints
    assert (folder.run / "endpoints.json").stat().st_mode & 0o077 == 0
