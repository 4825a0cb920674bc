"""How many requests a second, at what cost in CPU and memory, and does the cost grow with anything?

Starts its own servers, drives CCR-I/U/U/U/T and RADIUS accounting from cheap clients, reads the CPU time of each
process from /proc, audits every account at the end, and writes build/bench.json. See docs/bench.md.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, NamedTuple

import bench_report as report
import msgspec
from bench_accounts import appendfsync, create_accounts, key_octets, memory
from bench_run import Kind, Load, Run, run_client, run_load, wait_until_flushed
from bench_world import (
    BUILD,
    GRANT_S_MAX,
    PARTITIONS,
    BenchError,
    Usage,
    World,
    compile_clients,
    fsync_us,
    running_world,
)
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from ocs.errors import StartRefusedError

SMALL_PREFIXES: Final = 100
FEW_ACCOUNTS: Final = 1_000


class Plan(NamedTuple):
    """How long and how large. A variation of size 0 is left out."""

    seconds: int
    warm_up_s: int
    variation_s: int
    rounds: int
    accounts: int
    in_flight: int
    connections: int
    many_accounts: int
    many_prefixes: int


class Bench:
    """The steps, in the order in which the store grows."""

    def __init__(self, world: World, plan: Plan, progress: Progress) -> None:
        self.world = world
        self.plan = plan
        self.progress = progress
        self.accounts = 0
        self.faults: list[str] = []
        self.variations: list[report.Variation] = []

    @contextmanager
    def step(self, title: str, total: float) -> Iterator[Callable[[float], None]]:
        """One line of the progress bar; what is over is a line of the log."""
        task = self.progress.add_task(title, total=total)
        start_s = time.monotonic()
        yield lambda amount: self.progress.advance(task, amount)
        self.progress.remove_task(task)
        self.progress.console.print(f"  {title}: {time.monotonic() - start_s:.1f} s", style="dim")

    def grow_to(self, accounts: int) -> None:
        """Create the accounts that are missing."""
        missing = accounts - self.accounts
        if missing <= 0:
            return
        with self.step(f"create {missing:,} accounts", missing) as advance:
            asyncio.run(create_accounts(self.world.valkey.url, PARTITIONS, self.accounts, missing, advance))
            self.accounts = accounts
        with self.step("flush the journal", 1):
            wait_until_flushed(self.world)

    def load(self, title: str, kind: Kind, load: Load) -> Run:
        """One run of a generator, with its bar, and what went wrong in it."""
        with self.step(title, load.seconds) as advance:
            run = run_load(self.world, kind, load, lambda: advance(0.1))
        self.faults += [f"{title}: {fault}" for fault in run.faults]
        return run

    def default_load(self, seconds: int) -> Load:
        return Load(seconds, self.plan.accounts, self.plan.in_flight, self.plan.connections)

    def main_run(self, kind: Kind) -> report.Section:
        """Warm up, measure, and wait for the flusher: its cost belongs to the run that made its work."""
        load = self.default_load(self.plan.seconds)
        self.load(f"{kind}: warm-up", kind, load._replace(seconds=self.plan.warm_up_s))
        wait_until_flushed(self.world)
        before = self.world.usage()
        used_before = memory(self.world.valkey.url, PARTITIONS).used
        run = self.load(f"{kind}: {load.in_flight} in flight, {load.accounts:,} accounts", kind, load)
        with self.step("flush", 1):
            used = wait_until_flushed(self.world).used
        behind = self.world.usage().since(before)
        whole = Usage(run.usage.daemon, run.usage.valkey, behind.flusher, behind.postgres)
        closed = (used - used_before) / max(1, run.report.sessions["ended"])
        alone = self.load(f"{kind}: one at a time", kind, load._replace(seconds=1, in_flight=1, connections=1))
        return report.Section(
            kind, run._replace(usage=whole), appendfsync(self.world.valkey.url), closed, alone.report.latency["all"]
        )

    def idle_octets(self, before_accounts: int) -> float:
        """Octets per idle account, all its keys, as the growth of used_memory."""
        return (memory(self.world.valkey.url, PARTITIONS).used - before_accounts) / self.plan.accounts

    def memory(self, idle: float) -> report.Memory:
        """The same per open session. What it opens stays open, and makes later requests a little dearer."""
        count = self.plan.accounts
        before = wait_until_flushed(self.world).used
        options = ["--open-only", "--accounts", str(count), "--sessions", str(count)]
        options += ["--port", str(self.world.ports.diameter), "--requested", "60", "--seconds", "600"]
        with self.step(f"open {count:,} sessions", 1):
            opened = run_client(self.world, "ccr", options, lambda: None)
            after = wait_until_flushed(self.world).used
        if opened.sessions["ended"] != count:
            self.faults.append(f"open sessions: {opened.sessions}")
        return report.Memory(
            round(idle), round((after - before) / count), key_octets(self.world.valkey.url, PARTITIONS, 0)
        )

    def compare(self, title: str, names: tuple[str, str], runs: tuple[Callable[[], Run], Callable[[], Run]]) -> None:
        """Two loads in turn, so that whatever else the machine does falls on both."""
        pairs = [(runs[0](), runs[1]()) for _ in range(self.plan.rounds)]
        for process in ("daemon", "valkey"):
            first, second = ([pair[at].per_request_us(process) for pair in pairs] for at in (0, 1))
            ratio = statistics.median(later / max(0.001, earlier) for earlier, later in zip(first, second, strict=True))
            medians = (statistics.median(first), statistics.median(second))
            self.variations.append(report.Variation(title, process, names, medians, ratio))

    def compare_grants(self) -> None:
        def with_grant(requested_s: int) -> Run:
            load = self.default_load(self.plan.variation_s)._replace(requested_s=requested_s)
            return self.load(f"grants of {requested_s:,} s", "ccr", load)

        names = ("1 minute", "10 hours")
        self.compare("grant", names, (lambda: with_grant(60), lambda: with_grant(GRANT_S_MAX)))

    def compare_prefixes(self) -> None:
        def with_prefixes(prefixes: int) -> Run:
            with self.step(f"restart with {prefixes:,} prefixes", 1):
                self.world.restart_daemon(prefixes)
            self.load("warm-up", "ccr", self.default_load(self.plan.warm_up_s))
            return self.load(f"{prefixes:,} prefixes", "ccr", self.default_load(self.plan.variation_s))

        many = self.plan.many_prefixes
        names = (f"{SMALL_PREFIXES:,}", f"{many:,}")
        self.compare("prefixes", names, (lambda: with_prefixes(SMALL_PREFIXES), lambda: with_prefixes(many)))
        self.world.restart_daemon(SMALL_PREFIXES)

    def compare_accounts(self) -> None:
        def with_accounts(accounts: int) -> Run:
            load = self.default_load(self.plan.variation_s)._replace(accounts=accounts)
            return self.load(f"{accounts:,} accounts", "ccr", load)

        many = self.plan.many_accounts
        self.grow_to(many)
        names = (f"{FEW_ACCOUNTS:,}", f"{many:,}")
        self.compare("accounts", names, (lambda: with_accounts(FEW_ACCOUNTS), lambda: with_accounts(many)))

    def audit(self) -> bool:
        with self.step("flush", 1):
            wait_until_flushed(self.world)
        with self.step(f"audit {self.accounts:,} accounts", 1):
            return self.world.audit()


def run(plan: Plan, progress: Progress) -> int:
    """All steps; 0 when every answer was a success and the audit is clean."""
    with running_world(SMALL_PREFIXES) as world:
        bench = Bench(world, plan, progress)
        before_accounts = memory(world.valkey.url, PARTITIONS).used
        bench.grow_to(plan.accounts)
        idle = bench.idle_octets(before_accounts)
        sections = [bench.main_run("ccr"), bench.main_run("radius")]
        used = bench.memory(idle)
        bench.compare_grants()
        if plan.many_prefixes:
            bench.compare_prefixes()
        if plan.many_accounts:
            bench.compare_accounts()
        is_clean = bench.audit()
        machine = report.Machine(fsync_us(BUILD), world.rss_octets())
    report.show(progress.console, sections, used, bench.variations, machine, is_clean=is_clean)
    BUILD.joinpath("bench.json").write_bytes(msgspec.json.format(report.summary(sections, is_clean=is_clean)) + b"\n")
    progress.console.print(f"written: {BUILD / 'bench.json'}", style="dim")
    for fault in bench.faults:
        progress.console.print(f"fault: {fault}", style="bold red")
    return 0 if is_clean and not bench.faults else 1


def read_plan() -> Plan:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--quick", action="store_true", help="under a minute: the main figures and the grants")
    size.add_argument("--full", action="store_true", help="1,000,000 accounts and 500,000 prefixes: some ten minutes")
    parser.add_argument("--accounts", type=int, default=10_000, help="of the main runs (%(default)s)")
    parser.add_argument("--in-flight", type=int, default=64, help="requests under way (%(default)s)")
    parser.add_argument("--connections", type=int, default=4, help="TCP connections, or UDP sockets (%(default)s)")
    parser.add_argument("--seconds", type=int, default=0, help="of the main runs")
    options = parser.parse_args()
    plan = Plan(
        10,
        5,  # long enough for every account to be read once
        3,
        3,
        options.accounts,
        options.in_flight,
        options.connections,
        many_accounts=100_000,
        many_prefixes=50_000,
    )
    if options.quick:
        plan = plan._replace(seconds=5, warm_up_s=4, variation_s=2, rounds=2, many_accounts=0, many_prefixes=0)
    if options.full:
        plan = plan._replace(seconds=20, variation_s=5, many_accounts=1_000_000, many_prefixes=500_000)
    return plan._replace(seconds=options.seconds) if options.seconds else plan


def main() -> int:
    """Run, or say in one line why not."""
    plan = read_plan()
    columns = (TextColumn("  {task.description}"), BarColumn(), TimeElapsedColumn())
    try:
        compile_clients()
        with Progress(*columns, transient=True) as progress:
            return run(plan, progress)
    except (BenchError, StartRefusedError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 75
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
