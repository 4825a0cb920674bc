"""One run of a load generator against the world, and what it cost each process."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal, NamedTuple, TypeAlias

import msgspec
from bench_accounts import Memory, memory
from bench_world import BUILD, CALLED, PARTITIONS, SECRET, BenchError, Usage, World

DRAIN_LIMIT_S = 300.0
Kind: TypeAlias = Literal["ccr", "radius"]


class Latency(msgspec.Struct, frozen=True):
    count: int
    p50_ms: float
    p99_ms: float
    max_ms: float


class ClientReport(msgspec.Struct, frozen=True):
    """What the load generators print. RADIUS has no result codes: it is answered or it is not."""

    seconds: float
    answers: int
    answers_per_s: float
    sessions: dict[str, int]
    latency: dict[str, Latency]
    client_cpu_us: int
    in_flight: int
    accounts: int
    retransmissions: int
    result_codes: dict[str, int] = {}
    group_codes: dict[str, int] = {}
    bad_answers: int = 0


class Load(NamedTuple):
    """What a run does. ``requested_s`` is the grant asked for (CCR) or the step between records (RADIUS)."""

    seconds: int
    accounts: int
    in_flight: int = 64
    connections: int = 4
    requested_s: int = 60
    seed: int = 1


class Run(NamedTuple):
    """``others`` is the share of the machine that processes other than ours (or the host) took meanwhile."""

    report: ClientReport
    usage: Usage
    others: float = 0.0

    def per_request_us(self, process: str) -> float:
        spent = self.report.client_cpu_us if process == "client" else getattr(self.usage, process)
        return float(spent / max(1, self.report.answers))

    @property
    def faults(self) -> list[str]:
        """What a benchmark of a sound server never shows."""
        report = self.report
        codes = [each for each in (report.result_codes, report.group_codes) if set(each) - {"2001"}]
        found = [f"answers other than success: {each}" for each in codes]
        ends = {name: report.sessions.get(name, 0) for name in ("refused", "unfinished", "lost")}
        found += [f"sessions {name}: {count}" for name, count in ends.items() if count]
        if report.bad_answers:
            found.append(f"bad answers: {report.bad_answers}")
        return found


def run_load(world: World, kind: Kind, load: Load, tick: Callable[[], None] = lambda: None) -> Run:
    """Run the generator to its end and read the processes' CPU before and after.

    The flusher's and PostgreSQL's share of this run may end after it; ``wait_until_flushed`` first, then ask anew.
    """
    before, busy_before_us, start_s = world.usage(), _busy_us(), time.monotonic()
    report = run_client(world, kind, options_of(world, kind, load), tick)
    usage = world.usage().since(before)
    foreign_us = _busy_us() - busy_before_us - sum(usage) - report.client_cpu_us
    machine_us = (time.monotonic() - start_s) * 1e6 * (os.cpu_count() or 1)
    return Run(report, usage, max(0.0, foreign_us / machine_us))


def _busy_us() -> float:
    """What all CPUs did since the start of the machine, time stolen by the host included (proc(5), /proc/stat)."""
    with Path("/proc/stat").open(encoding="ascii") as stat:
        user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, stat.readline().split()[1:9])
    return (user + nice + system + irq + softirq + steal) * 1e6 / os.sysconf("SC_CLK_TCK")


def options_of(world: World, kind: Kind, load: Load) -> list[str]:
    common: dict[str, int | str] = {
        "--accounts": load.accounts,
        "--in-flight": load.in_flight,
        "--connections": load.connections,
        "--seconds": load.seconds,
        "--seed": load.seed,
    }
    own: dict[str, int | str]
    if kind == "ccr":
        own = {"--port": world.ports.diameter, "--requested": load.requested_s}
    else:
        own = {"--port": world.ports.accounting, "--step": load.requested_s, "--secret": SECRET, "--called": CALLED}
    return [str(part) for option in (common | own).items() for part in option]


def run_client(world: World, kind: Kind, options: list[str], tick: Callable[[], None]) -> ClientReport:
    """Run one load generator; the run number is unique in this world, whatever the clock says."""
    world.runs += 1
    command = [str(BUILD / f"{kind}_load"), *options, "--run", str(world.runs)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
        while child.poll() is None:
            tick()
            time.sleep(0.1)
        output, words = child.communicate()
    if not output:
        raise BenchError(f"{kind}_load: {words.strip() or f'ended with {child.returncode}'}")
    return msgspec.json.decode(output, type=ClientReport)


def wait_until_flushed(world: World) -> Memory:
    """Wait until every CDR is in PostgreSQL and the streams are empty."""
    deadline_s = time.monotonic() + DRAIN_LIMIT_S
    while (now := memory(world.valkey.url, PARTITIONS)).backlog:
        if time.monotonic() > deadline_s:
            raise BenchError(f"{now.backlog} entries are still not flushed after {DRAIN_LIMIT_S:.0f} s")
        time.sleep(0.1)
    return now
