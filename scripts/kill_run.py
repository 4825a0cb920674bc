"""Kill the daemons, the flusher, Valkey and PostgreSQL by -9 under load, many times; then prove that nothing was lost.

Starts everything by ``ocs run`` and a second daemon on the same Valkey, drives Diameter, RADIUS and top-ups by clients
that retry as real ones do, kills in turn, drains, runs ``ocs audit`` and holds the clients' ledgers against the books.
See docs/durability.md.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import random
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
from bench_run import ClientReport
from bench_world import BUILD, BenchError, compile_clients
from kill_books import read_books, wait_until_flushed
from kill_clients import Accounts, Generator, Payer, start_generators
from kill_proof import Figures, Proof, price_of
from kill_world import SECOND, VICTIMS, KillWorld, new_folder, running_kill_world

from ocs.errors import StartRefusedError

PAYERS: Final = 4
FREEZE_S_MIN: Final = 6.0
FROZEN: Final = ("daemon", "valkey", SECOND, "valkey")
AUDIT_LIMIT_S: Final = 300.0
Say = Callable[[str], None]


class Plan(NamedTuple):
    """``calm_s``: how long the load runs, at most, between two kills. One of ``freezes`` comes after each round."""

    kills: int
    seed: int
    freezes: int = 0
    in_flight: int = 4
    accounts: Accounts = Accounts(rich=10, poor=20)
    calm_s: float = 2.0
    freeze_s_max: float = 12.0
    warm_up_s: float = 2.0


class Summary(msgspec.Struct):
    """What a run came to. It is good when there is no fault and the audit is clean."""

    kills: dict[str, int]
    freezes: int
    figures: Figures
    reports: list[ClientReport]
    conflicts: int
    payments_sent: int
    payments_repeated: int
    payment_outcomes: dict[str, int]
    audit_clean: bool
    faults: list[str]
    fault_count: int
    seconds: float

    @property
    def is_good(self) -> bool:
        return self.audit_clean and not self.fault_count


class Storm:
    """The kills, in turn, in an order that chance shuffles anew each round."""

    def __init__(self, world: KillWorld, plan: Plan, say: Say) -> None:
        self._world = world
        self._plan = plan
        self._say = say
        self._chance = random.Random(plan.seed)

    async def run(self, generators: Sequence[Generator]) -> None:
        await asyncio.sleep(self._plan.warm_up_s)
        started_s = time.monotonic()
        for number, name in enumerate(self._order(), 1):
            await self._one(name)
            lost = [each.ledger.stem for each in generators if each.process.poll() is not None]
            if lost:
                raise BenchError(f"after the kill of {name} these clients gave up: {', '.join(lost)}")
            self._say(f"  {time.monotonic() - started_s:6.1f} s  kill {number:3d} of {self._plan.kills}: {name}")
            if number % len(VICTIMS) == 0 and number // len(VICTIMS) <= self._plan.freezes:
                await self._freeze(number // len(VICTIMS))
        for name in VICTIMS:
            await self._world.wait_up(name)
        await asyncio.sleep(self._plan.warm_up_s)

    async def _freeze(self, number: int) -> None:
        """Longer than a posting waits for Valkey, and now and then longer than a client waits for its answer (Tx)."""
        name = FROZEN[number % len(FROZEN)]
        seconds = self._chance.uniform(FREEZE_S_MIN, self._plan.freeze_s_max)
        self._say(f"            {name} stands still for {seconds:.1f} s")
        await self._world.freeze(name, seconds)

    def _order(self) -> list[str]:
        order: list[str] = []
        while len(order) < self._plan.kills:
            order += self._chance.sample(VICTIMS, len(VICTIMS))
        return order[: self._plan.kills]

    async def _one(self, name: str) -> None:
        """Mostly wait until it is back and some more; sometimes not, so that the next one dies while it starts."""
        killed = await self._world.kill(name)
        if self._chance.random() < 0.75:
            await self._world.wait_up(name, but=killed)
        await asyncio.sleep(self._chance.random() * self._plan.calm_s)


async def run(plan: Plan, folder: Path, say: Say) -> Summary:
    """Start, load, kill, drain, prove. Raises BenchError when it cannot go on."""
    started_s = time.monotonic()
    async with running_kill_world(folder) as world:
        say(f"everything runs after {time.monotonic() - started_s:.1f} s")
        payer = Payer(world.daemons, world.admin_key, plan.accounts, random.Random(plan.seed + 1))
        reports: list[ClientReport] = []
        try:
            await payer.open_accounts()
            reports = await _load_and_kill(world, plan, payer, say)
        finally:
            await payer.close()
        summary = await _prove(world, plan, payer, reports, say)
        summary.seconds = time.monotonic() - started_s
        return summary


async def _load_and_kill(world: KillWorld, plan: Plan, payer: Payer, say: Say) -> list[ClientReport]:
    generators = start_generators(world.folder, world.daemons, plan.accounts, plan.in_flight)
    paying = asyncio.create_task(payer.run(PAYERS), name="payments")
    try:
        await Storm(world, plan, say).run(generators)
        say("the clients end their sessions")
        reports = list(await asyncio.gather(*(generator.stop() for generator in generators)))
        payer.stop()
        await paying
        return reports
    finally:
        for generator in generators:
            generator.kill()
        paying.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await paying


async def _prove(world: KillWorld, plan: Plan, payer: Payer, reports: list[ClientReport], say: Say) -> Summary:
    valkey_url, postgres_dsn = world.endpoints.valkey_url, world.endpoints.postgres_dsn
    for name in ("daemon", SECOND):
        await world.count_conflicts(name)
    await wait_until_flushed(valkey_url)
    say("the outbox is empty; ocs audit")
    is_clean = await _audit(world, say)
    say("the ledgers against the books")
    proof = Proof(price_of(world.daemons[0].config))
    for generator in ("ccr-1", "ccr-2", "ccr-3"):
        with (world.folder / f"{generator}.ledger").open(encoding="ascii") as lines:
            proof.read_ccr_ledger(lines)
    with (world.folder / "radius.ledger").open(encoding="ascii") as lines:
        proof.read_radius_ledger(lines)
    proof.compare(await read_books(valkey_url, postgres_dsn, plan.accounts.all), payer.acknowledged)
    faults = [*proof.faults, *payer.faults]
    faults += [f"bad answers: {report.bad_answers}" for report in reports if report.bad_answers]
    count = proof.fault_count + len(faults) - len(proof.faults)
    return Summary(
        world.kills,
        world.freezes,
        proof.figures,
        reports,
        world.conflicts,
        payer.attempts,
        payer.repeats,
        dict(payer.statuses),
        is_clean,
        faults,
        count,
        0.0,
    )


async def _audit(world: KillWorld, say: Say) -> bool:
    """``ocs audit`` as an operator runs it."""
    command = (sys.executable, "-m", "ocs", "audit", "--config", str(world.daemons[0].config))
    child = await asyncio.create_subprocess_exec(
        *command,
        "--data",
        str(world.data.path),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await asyncio.wait_for(child.communicate(), AUDIT_LIMIT_S)
    if child.returncode != 0:
        say(output.decode(errors="replace"))
    return child.returncode == 0


def show(summary: Summary, say: Say) -> None:
    """The figures, then the faults."""
    figures = summary.figures
    kills = ", ".join(f"{number} {name}" for name, number in summary.kills.items())
    say(f"kills: {sum(summary.kills.values())} ({kills}); stood still: {summary.freezes}")
    say(
        f"acknowledged: {figures.answers:,} answers, {figures.sessions:,} sessions ended, "
        f"{figures.refused:,} refused, {figures.unfinished} unfinished"
    )
    again = sum(report.retransmissions for report in summary.reports)
    longest_ms = max(report.latency["all"].max_ms for report in summary.reports)
    say(f"sent again by the clients: {again:,} requests; the longest wait for an answer: {longest_ms / 1000:.1f} s")
    say(
        f"top-ups: {figures.payments:,} acknowledged in {summary.payments_sent:,} attempts, "
        f"{summary.payments_repeated:,} answers were repeats"
    )
    say(f"top-up attempts by outcome: {summary.payment_outcomes}")
    say(f"records in the books: {figures.records:,}; postings that met another version: at least {summary.conflicts:,}")
    say(f"ocs audit: {'clean' if summary.audit_clean else 'NOT CLEAN'}")
    for fault in summary.faults:
        say(f"fault: {fault}")
    say(f"{'every acknowledged answer is true' if not summary.fault_count else f'{summary.fault_count} FAULTS'}")
    say(f"{summary.seconds:.0f} s")


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50, help="how many (%(default)s)")
    parser.add_argument("--freezes", type=int, default=5, help="how often a process stands still (%(default)s)")
    parser.add_argument("--in-flight", type=int, default=4, help="requests under way by each client (%(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="chance (%(default)s)")
    return parser.parse_args()


def main() -> int:
    """0: all is true. 1: it is not, and the folder is kept. 75: it could not run here."""
    options = read_options()
    folder = new_folder()
    try:
        compile_clients()
        summary = asyncio.run(run(Plan(options.kills, options.seed, options.freezes, options.in_flight), folder, _say))
    except (BenchError, StartRefusedError) as error:
        print(f"kill_run: {error}", file=sys.stderr)
        print(f"kept: {folder}", file=sys.stderr)
        return 75
    except KeyboardInterrupt:
        shutil.rmtree(folder, ignore_errors=True)
        return 130
    show(summary, _say)
    BUILD.joinpath("kill.json").write_bytes(msgspec.json.format(msgspec.json.encode(summary)) + b"\n")
    if not summary.is_good:
        print(f"kept: {folder}", file=sys.stderr)
        return 1
    shutil.rmtree(folder, ignore_errors=True)
    return 0


def _say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    os.chdir(BUILD.parent)
    sys.exit(main())
