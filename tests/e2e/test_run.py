"""``ocs run`` from start to drain, as an operator sees it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from ocs.addresses import parse_address
from ocs.embedded import process
from ocs.errors import EXIT_CONFIG, EXIT_TEMPORARY
from tests.e2e.conftest import RunningOcs

pytestmark = pytest.mark.integration

Start = Callable[[], RunningOcs]


def _top_up(running: RunningOcs, amount: str, key: str) -> None:
    with running.client() as client:
        answer = client.post(
            "/v1/accounts/acme/top-ups", json={"amount": amount, "currency": "EUR"}, headers={"Idempotency-Key": key}
        )
        assert answer.is_success, answer.text


def _create_account(running: RunningOcs) -> None:
    with running.client() as client:
        body = {"account_id": "acme", "currency": "EUR", "rate_plan": "retail-eur"}
        answer = client.post("/v1/accounts", json=body)
        assert answer.is_success, answer.text


def _balance(running: RunningOcs) -> str:
    with running.client() as client:
        return str(client.get("/v1/accounts/acme").json()["balance"])


def _ends(config: Path, data: Path) -> tuple[int, list[str]]:
    """Run where it cannot; the exit status and what it said."""
    command = [sys.executable, "-m", "ocs", "run", "--config", str(config), "--data", str(data)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ended.stdout == ""
    return ended.returncode, [line for line in ended.stderr.splitlines() if not line.startswith("{")]


def test_start_use_stop_start_again(start_ocs: Start) -> None:
    """Everything listens, the table says where; after a drain nothing is left, and the next start has all balances."""
    first = start_ocs()
    first.wait_ready()
    for words in ("Diameter", "RADIUS", "HTTP API", "ocs demo", "ocs audit", "curl", first.url):
        assert words in first.words()
    for address in map(parse_address, first.settings.diameter.listen):
        assert address is not None
        socket.create_connection(address, timeout=5).close()
    _create_account(first)
    _top_up(first, "12.30", "k1")
    children = first.children()
    assert len(children) >= 4
    assert first.stop(signal.SIGINT) == 0
    assert not any(process.is_alive(each) for each in children)

    second = start_ocs()
    second.wait_ready()
    assert _balance(second) == "12.30"
    assert second.stop() == 0


def test_what_dies_is_started_again(running_ocs: RunningOcs) -> None:
    """kill -9 of each child in turn: it comes back, and what was acknowledged is there."""
    _create_account(running_ocs)
    _top_up(running_ocs, "1.00", "k1")
    for name in ("daemon", "flusher", "valkey", "postgres"):
        running_ocs.kill(name)
        running_ocs.wait_for(running_ocs.is_ready)
    assert _balance(running_ocs) == "1.00"
    assert running_ocs.words().count('"event":"child_died"') >= 4


def test_start_after_kill_9_of_the_supervisor(start_ocs: Start) -> None:
    """Nobody drains; the next start works all the same."""
    first = start_ocs()
    first.wait_ready()
    _create_account(first)
    _top_up(first, "5.00", "k1")
    first.process.kill()
    first.process.wait()

    second = start_ocs()
    second.wait_ready()
    assert _balance(second) == "5.00"


def test_second_instance_is_one_line(running_ocs: RunningOcs) -> None:
    """The same data folder twice: the second says who has it, and the first goes on."""
    status, lines = _ends(running_ocs.config, running_ocs.data)
    assert status == EXIT_TEMPORARY
    assert len(lines) == 1
    assert f"in use by process {running_ocs.process.pid}" in lines[0]
    running_ocs.wait_for(running_ocs.is_ready)


def test_second_signal_forces(running_ocs: RunningOcs) -> None:
    """A child that does not end by itself does not keep a hurried operator waiting."""
    os.kill(running_ocs.pid("daemon"), signal.SIGSTOP)
    running_ocs.process.send_signal(signal.SIGINT)
    running_ocs.wait_for(lambda: "drain_begins" in running_ocs.words())
    with pytest.raises(subprocess.TimeoutExpired):
        running_ocs.process.wait(0.8)
    children = running_ocs.children()
    assert running_ocs.stop(signal.SIGINT) == 0
    assert "child_killed" in running_ocs.words()
    assert not any(process.is_alive(each) for each in children)


def test_sighup_reads_the_rates_again(running_ocs: RunningOcs) -> None:
    """A signal to the supervisor reaches the daemon: good files are swapped in, bad ones are refused and named."""
    plan = next((running_ocs.config.parent / "rateplans").glob("*.toml"))
    good = plan.read_text(encoding="utf-8")
    plan.write_text(f"{good}\n# a remark\n", encoding="utf-8")
    running_ocs.process.send_signal(signal.SIGHUP)
    running_ocs.wait_for(lambda: "rates_swapped" in running_ocs.words())
    plan.write_text("nonsense", encoding="utf-8")
    running_ocs.process.send_signal(signal.SIGHUP)
    running_ocs.wait_for(lambda: "rates_kept" in running_ocs.words())
    running_ocs.wait_for(running_ocs.is_ready)


def _set_backends(config: Path, valkey_url: str, postgres_dsn: str) -> None:
    text = config.read_text(encoding="utf-8")
    text = text.replace('valkey_url = ""', f'valkey_url = "{valkey_url}"')
    config.write_text(text.replace('postgres_dsn = ""', f'postgres_dsn = "{postgres_dsn}"'), encoding="utf-8")


def test_own_servers_are_used_and_none_is_started(
    start_ocs: Start, sample_config: Path, valkey_url: str, postgres_dsn: str
) -> None:
    """With both addresses set, the same command runs the daemon and the flusher alone."""
    _set_backends(sample_config, valkey_url, postgres_dsn)
    running = start_ocs()
    running.wait_ready()
    assert {each.name() for each in running.children()}.isdisjoint({"valkey-server", "postgres"})
    assert not (running.data / "valkey").exists()
    _create_account(running)
    _top_up(running, "3.00", "k1")
    assert _balance(running) == "3.00"


def test_postgresql_away_at_the_start(
    start_ocs: Start, sample_config: Path, valkey_url: str, tmp_path: Path, postgres_dsn: str
) -> None:
    """Charging does not wait for the billing database; the flusher starts when it is there."""
    socket_dir = tmp_path / "pg"
    _set_backends(sample_config, valkey_url, f"{postgres_dsn.split('=', maxsplit=1)[0]}={socket_dir}")
    running = start_ocs()
    running.wait_for(lambda: "schema_waits" in running.words())
    running.wait_for(running.is_ready)
    assert "flusher_started" not in running.words()
    socket_dir.symlink_to(postgres_dsn.split("=")[1])
    running.wait_for(lambda: "flusher_started" in running.words())


def test_ports_taken_are_one_line_each(sample_config: Path, tmp_path: Path) -> None:
    """Each port that is taken is named with the setting that moves it; nothing was started."""
    text = sample_config.read_text(encoding="utf-8").splitlines()
    diameter = next(line for line in text if line.startswith("listen = ["))
    accounting = next(line for line in text if line.startswith("accounting = ["))
    with socket.socket() as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
        for taken, line in ((tcp, diameter), (udp, accounting)):
            taken.bind(("127.0.0.1", int(line.split(":")[1].split('"')[0])))
        tcp.listen()
        status, lines = _ends(sample_config, tmp_path / "data")
    assert status == EXIT_TEMPORARY
    assert len(lines) == 2
    assert "is taken by another process: free it, or change diameter.listen in" in lines[0]
    assert "is taken by another process: free it, or change radius.accounting in" in lines[1]
    assert not (tmp_path / "data" / "valkey").exists()


@pytest.mark.parametrize(
    ("file", "old", "new", "expected"),
    [
        ("ocs.toml", "watchdog_s = 30", "watchdog_s = 1", "diameter.watchdog_s: is 1 (choose 6 to 3600)"),
        ("rateplans/retail-eur.toml", "currency", "curency", "curency"),
    ],
)
def test_faults_of_the_files_are_lines(
    sample_config: Path, tmp_path: Path, file: str, old: str, new: str, expected: str
) -> None:
    """Faults of settings and of rate files end the start with status 78 and say where they are."""
    path = sample_config.parent / file
    path.write_text(path.read_text(encoding="utf-8").replace(old, new, 1), encoding="utf-8")
    status, lines = _ends(sample_config, tmp_path / "data")
    assert status == EXIT_CONFIG
    assert any(expected in line for line in lines), lines


def test_optimized_python_is_refused() -> None:
    """Without asserts the money is not guarded."""
    ended = subprocess.run([sys.executable, "-O", "-m", "ocs"], capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert "asserts" in ended.stderr


def test_no_process_of_a_stranger_is_stopped(tmp_path: Path) -> None:
    """A process number on file that belongs to another process by now is nobody's leftover."""
    record = tmp_path / "daemon.pid"
    record.write_text(f'{{"pid":{os.getpid()},"started_at_s":{psutil.Process().create_time() - 60}}}', encoding="utf-8")
    assert process.leftover(record) is None
