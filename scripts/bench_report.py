"""What a benchmark found: tables for people, build/bench.json for programs."""

from __future__ import annotations

import os
import platform
from typing import Any, Final, NamedTuple

import msgspec
from bench_run import Kind, Latency, Run
from rich.console import Console
from rich.table import Table

PROCESSES: Final = ("daemon", "valkey", "flusher", "postgres", "client")
BUDGET_US: Final = {"daemon": 60, "valkey": 20}  # per CCR at 10,000 accounts, 64 in flight, appendfsync always
IDLE_ACCOUNT_OCTETS_MAX: Final = 1024
OPEN_SESSION_OCTETS_MAX: Final = 2048
OTHERS_SHARE_MAX: Final = 0.05  # a shared core makes even the CPU time of a request grow: caches, turbo, hyperthreads


class Section(NamedTuple):
    """A main run. ``closed_octets`` is what one closed session leaves behind; ``alone`` with nothing else under way."""

    kind: Kind
    run: Run
    appendfsync: str
    closed_octets: float
    alone: Latency


class Memory(NamedTuple):
    idle_account_octets: int
    open_session_octets: int
    keys: dict[str, int]


class Variation(NamedTuple):
    """The CPU of one process per request under two loads: medians, and the median ratio of runs that were neighbours."""

    title: str
    process: str
    names: tuple[str, str]
    values_us: tuple[float, float]
    ratio: float


class Machine(NamedTuple):
    fsync_us: float
    daemon_rss_octets: int


class Summary(msgspec.Struct, frozen=True):
    """One protocol's part of bench.json."""

    answers_per_s: int
    daemon_us: float
    valkey_us: float
    p50_ms: float
    p99_ms: float
    in_flight: int
    accounts: int
    appendfsync: str
    audit_clean: bool


def summary(sections: list[Section], *, is_clean: bool) -> bytes:
    """The content of bench.json."""
    parts: dict[str, Any] = {}
    for section in sections:
        run = section.run
        parts[section.kind] = Summary(
            answers_per_s=round(run.report.answers_per_s),
            daemon_us=round(run.per_request_us("daemon"), 1),
            valkey_us=round(run.per_request_us("valkey"), 1),
            p50_ms=run.report.latency["all"].p50_ms,
            p99_ms=run.report.latency["all"].p99_ms,
            in_flight=run.report.in_flight,
            accounts=run.report.accounts,
            appendfsync=section.appendfsync,
            audit_clean=is_clean,
        )
    return msgspec.json.encode(parts)


def show(
    console: Console,
    sections: list[Section],
    memory: Memory,
    variations: list[Variation],
    machine: Machine,
    *,
    is_clean: bool,
) -> None:
    """Print everything."""
    python = f"{platform.python_implementation()} {platform.python_version()}"
    console.print(
        f"\n{os.cpu_count()} CPUs, {python}, one fsync {machine.fsync_us:.0f} us, "
        f"appendfsync {sections[0].appendfsync}, daemon {machine.daemon_rss_octets / 2**20:.0f} MB"
    )
    for section in sections:
        if section.run.others > OTHERS_SHARE_MAX:
            console.print(
                f"{section.kind}: other programs took {section.run.others:.0%} of this machine meanwhile; "
                "repeat it on an idle one",
                style="bold yellow",
            )
        report = section.run.report
        console.print(
            f"\n{section.kind}: {report.answers_per_s:,.0f} answers/s, {report.in_flight} in flight, "
            f"{report.accounts:,} accounts",
            style="bold",
        )
        console.print(_costs(section))
        console.print(_latencies(section))
    console.print("\nValkey's memory", style="bold")
    console.print(_memory(memory, sections))
    if variations:
        console.print("\nDoes the CPU per CCR grow?", style="bold")
        console.print(_variations(variations))
    console.print(f"audit: {'clean' if is_clean else 'DIFFERENCES'}", style="bold green" if is_clean else "bold red")


def _costs(section: Section) -> Table:
    table = Table()
    table.add_column("CPU per request")
    table.add_column("us", justify="right")
    table.add_column("budget", justify="right")
    for process in PROCESSES:
        budget = str(BUDGET_US.get(process, "")) if section.kind == "ccr" else ""
        table.add_row(process, f"{section.run.per_request_us(process):.1f}", budget)
    return table


def _latencies(section: Section) -> Table:
    table = Table()
    for name, justify in (
        ("request", "left"),
        ("count", "right"),
        ("p50 ms", "right"),
        ("p99 ms", "right"),
        ("max ms", "right"),
    ):
        table.add_column(name, justify="left" if justify == "left" else "right")
    rows = section.run.report.latency | {"one at a time": section.alone}
    for name, latency in rows.items():
        table.add_row(
            name, f"{latency.count:,}", *(f"{ms:.2f}" for ms in (latency.p50_ms, latency.p99_ms, latency.max_ms))
        )
    return table


def _memory(memory: Memory, sections: list[Section]) -> Table:
    table = Table()
    table.add_column("for one")
    table.add_column("octets", justify="right")
    table.add_column("budget", justify="right")
    table.add_row("idle account, all its keys", str(memory.idle_account_octets), str(IDLE_ACCOUNT_OCTETS_MAX))
    for name, octets in memory.keys.items():
        table.add_row(f"  its key {name}", str(octets), "")
    table.add_row("open session", str(memory.open_session_octets), str(OPEN_SESSION_OCTETS_MAX))
    for section in sections:
        table.add_row(f"closed session, {section.kind}", f"{section.closed_octets:.0f}", "")
    return table


def _variations(variations: list[Variation]) -> Table:
    table = Table()
    for name in ("", "process", "from", "us", "to", "us", "ratio"):
        table.add_column(name, justify="right" if name in {"us", "ratio"} else "left")
    for each in variations:
        first, second = each.values_us
        table.add_row(
            each.title, each.process, each.names[0], f"{first:.1f}", each.names[1], f"{second:.1f}", f"{each.ratio:.2f}"
        )
    return table
