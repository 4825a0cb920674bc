"""What a posting costs Valkey: CPU of the server per posting, in turns with another checkout or other settings.

    python scripts/bench_post.py                               # this checkout
    python scripts/bench_post.py --against /path/to/checkout   # in turns with the balance/ of another one
    python scripts/bench_post.py --set hz=1 --set maxmemory=0  # in turns with other settings of the server

Sessions as the daemon posts them, 64 at once, ``appendfsync always``: one opens (account, session, deadline), three
updates (account, session), one closes (account, tombstone, deadline, entry). Compare the ratio, not the figures: a
machine's speed changes by the minute, and either side has its turn in each round.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import msgspec
import redis
import uvloop

from balance.account import Account, AccountState, Bucket
from balance.store import Posting, PostingResult, PostingStatus, SessionWrite
from balance.valkey.store import ValkeyStore, open_store
from ocs.embedded import valkey as embedded
from ocs.embedded.folder import DataFolder

ROOT: Final = Path(__file__).resolve().parent.parent
PARTITIONS: Final = 16
ACCOUNTS: Final = 10_000
UPDATES: Final = 3
TOMBSTONE_MS: Final = 86_400_000
DEADLINE_MS: Final = 2_000_000_000_000
# Of INFO: getrusage(2) to the microsecond, where /proc counts in hundredths of a second.
GROWING: Final = ("used_cpu_user", "used_cpu_sys", "eventloop_cycles", "aof_current_size")
SESSION, TOMBSTONE, ENTRY = b"s" * 330, b"t" * 140, b"e" * 350


class Result(msgspec.Struct):
    """One turn, per posting. ``per_cycle`` is how many shared one turn of the server's loop, and so one fsync."""

    valkey_us: float
    system_us: float
    function_us: float
    per_cycle: float
    aof_octets: float
    client_us: float


class Load:
    """``in_flight`` callers, each with one session after the other, until ``limit`` postings were made."""

    def __init__(self, store: ValkeyStore, in_flight: int) -> None:
        self.store = store
        self.in_flight = in_flight
        self.versions: dict[int, int] = {}
        self.made = 0
        self.limit = 0
        self.at_work = 0
        self.done = asyncio.Event()
        self.callers = [self.postings(number) for number in range(in_flight)]

    async def run(self, count: int) -> None:
        self.limit = self.made + count
        self.at_work = self.in_flight
        self.done.clear()
        for caller in self.callers:
            self.post(caller)
        await self.done.wait()

    def post(self, caller: Iterator[Posting]) -> None:
        def posted(result: PostingResult) -> None:
            assert result.status is PostingStatus.APPLIED, result
            self.made += 1
            if self.made < self.limit:
                self.post(caller)
                return
            self.at_work -= 1
            if not self.at_work:
                self.done.set()

        self.store.post(next(caller), posted)

    def postings(self, number: int) -> Iterator[Posting]:
        while True:
            key = f"gy:pgw1.example.net;1876543210;{number}"
            place = number % ACCOUNTS
            yield self.posting(place, SessionWrite(key, SESSION, deadline_ms=DEADLINE_MS + number, must_be_new=True))
            for _ in range(UPDATES):
                yield self.posting(place, SessionWrite(key, SESSION))
            yield self.posting(place, SessionWrite(key, TOMBSTONE, TOMBSTONE_MS, 0), ENTRY)
            number += self.in_flight

    def posting(self, place: int, write: SessionWrite, *entries: bytes) -> Posting:
        version = self.versions.get(place, 0)
        self.versions[place] = version + 1
        bucket = Bucket(0, 10**12, 10**9, 100, 0, 1_700_000_000_000)
        account = Account(f"acc-{place:07d}", version + 1, "EUR", "retail", AccountState.ACTIVE, 0, 0, 1, (bucket,))
        return Posting(account, version, (write,), entries)


async def turn(url: str, count: int, in_flight: int) -> Result:
    store = await open_store(url, PARTITIONS)
    client: Any = redis.Redis.from_url(url)
    load = Load(store, in_flight)
    await load.run(count // 4)
    client.config_resetstat()
    before, client_before_s = client.info("everything"), time.process_time()
    await load.run(count)
    client_s, after = time.process_time() - client_before_s, client.info("everything")
    await store.close()
    grown = {name: after[name] - before[name] for name in GROWING}
    return Result(
        (grown["used_cpu_user"] + grown["used_cpu_sys"]) / count * 1e6,
        grown["used_cpu_sys"] / count * 1e6,
        after["cmdstat_fcall"]["usec"] / count,
        count / max(1, grown["eventloop_cycles"]),
        grown["aof_current_size"] / count,
        client_s / count * 1e6,
    )


def one_turn(count: int, in_flight: int, changes: dict[str, str]) -> Result:
    """A server of its own, on the disk of the checkout: what "always" costs is a real disk's fsync."""
    ROOT.joinpath("build").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=ROOT / "build") as temporary:
        folder = DataFolder(Path(temporary))
        with folder.locked():
            server = embedded.EmbeddedValkey(folder)
            server._text += "".join(f"{name} {value}\n" for name, value in changes.items())  # noqa: SLF001
            child = server.start()
            try:
                return uvloop.run(turn(server.url, count, in_flight))
            finally:
                server.stop(child)


def turn_elsewhere(options: argparse.Namespace, checkout: Path, changes: list[str]) -> Result:
    """The turn in a process of its own, which finds ``balance`` in that checkout."""
    command = [sys.executable, __file__, "--one", "--postings", str(options.postings)]
    command += ["--in-flight", str(options.in_flight), *(part for change in changes for part in ("--set", change))]
    environment = {**os.environ, "PYTHONPATH": str(checkout)}
    output = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True).stdout
    return msgspec.json.decode(output.splitlines()[-1], type=Result)


def compare(options: argparse.Namespace) -> None:
    sides: list[tuple[str, Path, list[str]]] = [("this", ROOT, [])]
    if options.against or options.set:
        sides.append(("other", Path(options.against or ROOT).resolve(), options.set))
    found: dict[str, list[Result]] = {name: [] for name, _, _ in sides}
    for _ in range(options.rounds):
        for name, checkout, changes in sides:
            found[name].append(turn_elsewhere(options, checkout, changes))
    print(f"{'':8}" + "".join(f"{name:>14}" for name in Result.__struct_fields__))
    for name, results in found.items():
        medians = [statistics.median(getattr(each, field) for each in results) for field in Result.__struct_fields__]
        print(f"{name:8}" + "".join(f"{median:14.2f}" for median in medians))
    if len(sides) > 1:
        ratios = [a.valkey_us / b.valkey_us for a, b in zip(found["this"], found["other"], strict=True)]
        print(f"this : other = {statistics.median(ratios):.3f} (each round: {', '.join(f'{r:.2f}' for r in ratios)})")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--against", help="a checkout whose balance/ is the other side")
    parser.add_argument("--set", action="append", default=[], help="NAME=VALUE: a setting of the other side's server")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--postings", type=int, default=40_000)
    parser.add_argument("--in-flight", type=int, default=64)
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        changes = dict(change.split("=", 1) for change in options.set)
        print(msgspec.json.encode(one_turn(options.postings, options.in_flight, changes)).decode())
    else:
        compare(options)


if __name__ == "__main__":
    main()
