"""Measures the rate book: memory and load time of a large deck, time of a look-up and of the price arithmetic, and how
long a running event loop stands still while the book is swapped.

    python scripts/bench_rating.py [--prefixes 1000000]

The deck is made up: prefixes of 1 to 9 digits as in a wholesale A-Z list with a US part, 3,000 destinations and prices.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import random
import resource
import sys
import tempfile
import time
import timeit
from collections.abc import Awaitable, Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from ocs.handover import let_go, load_apart
from ocs.rating.build import LoadResult, build
from ocs.rating.price import Price, cost_of, units_within
from ocs.rating.ratebook import RateBook
from ocs.rating.tariffs import RatingFault
from ocs.rating.units import UnitKind

NOW_MS = 1_790_000_000_000
PLAN = """name = "bench"
currency = "EUR"
[[tariffs]]
service = "voice"
name = "Calls"
per = "minute"
deck = "bench"
"""


def prefixes(count: int, chance: random.Random) -> list[str]:
    """Draw distinct prefixes: all country codes of one to three digits, then mostly six to eight digits."""
    found = {str(code) for code in range(1, min(1000, count + 1))}
    while len(found) < count:
        found.add(
            str(chance.randrange(10 ** (digits := chance.choice((4, 5, 6, 6, 7, 7, 7, 8, 8, 9))) // 10, 10**digits))
        )
    return sorted(found)


def deck(codes: list[str], chance: random.Random) -> bytes:
    """Write a deck in which every row has an effective date, as carriers send them."""
    lines = ["prefix,destination,rate,initial,next,from"]
    for code in codes:
        price = chance.randrange(1, 3000)
        lines.append(f"{code},Destination {price},0.{price:04d},{chance.choice(('1,1', '60,1', '30,6'))},2026-01-01")
    return "\n".join(lines).encode()


def resident_mb() -> int:
    """Read what the process occupies now."""
    with Path("/proc/self/statm").open(encoding="ascii") as statm:
        return int(statm.read().split()[1]) * resource.getpagesize() // 1_000_000


def microseconds(work: Callable[[], object], count: int, repeats: int = 25) -> str:
    """Take the best of some repeats: the others measure the neighbours on the machine."""
    return f"{min(timeit.repeat(work, number=1, repeat=repeats)) / count * 1e6:.2f} us"


def measure_lookup(book: RateBook, numbers: list[str]) -> None:
    """Look up each number in turn: many numbers miss the processor's caches, few do not."""

    def look_up() -> None:
        for number in numbers:
            book.tariff_for("bench", "voice", 1, (), number, NOW_MS)

    missing = sum(isinstance(book.tariff_for("bench", "voice", 1, (), n, NOW_MS), RatingFault) for n in numbers)
    print(f"tariff_for, {len(numbers)} numbers ({missing} without a price): {microseconds(look_up, len(numbers))}")


async def measure_swap(files: dict[str, bytes], old: RateBook) -> None:
    """Swap the book under a loop that wants to run every millisecond, as the answering path does."""
    gaps_s: list[float] = []
    idle_s: list[float] = []

    async def tick(into: list[float]) -> None:
        last = time.perf_counter()
        while True:
            await asyncio.sleep(0.001)
            now = time.perf_counter()
            into.append(now - last)
            last = now

    async def watched(into: list[float], work: Awaitable[object]) -> object:
        ticker = asyncio.create_task(tick(into))
        try:
            return await work
        finally:
            ticker.cancel()

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for file, content in files.items():
            (folder / file).parent.mkdir(exist_ok=True)
            (folder / file).write_bytes(content)
        # As the daemon does: what was built before is not looked at by the collector.
        gc.collect()
        gc.freeze()
        gc.set_threshold(50_000, 20, 50)
        await watched(idle_s, asyncio.sleep(2))
        for what in ("made by a child", "made before, by another worker"):
            started = time.perf_counter()
            result = await watched(gaps_s, load_apart(folder, folder / "books"))
            taken_s = time.perf_counter() - started
            assert isinstance(result, LoadResult)
            assert result.book is not None
            print(f"swap, {what}: {taken_s:.2f} s; longest pause of the loop {max(gaps_s) * 1e3:.1f} ms", end="")
            print(f" (idle: {max(idle_s) * 1e3:.1f} ms)")
            gaps_s.clear()
            await watched(gaps_s, _replaced(old))
            print(f"  letting the old book go: longest pause {max(gaps_s) * 1e3:.1f} ms")
            gaps_s.clear()
            old = result.book


async def _replaced(old: RateBook) -> None:
    for _ in let_go(old):
        await asyncio.sleep(0)
    await asyncio.sleep(0.01)


def measure_price() -> None:
    """Time the closed formulas for a short and a ten-hour call."""
    price = Price(UnitKind.SECONDS, 100_000_000, 60, 6, 300_000_000, 200_000_000, 60, quantum=10_000)
    budget = cost_of(price, 1000)
    for used in (30, 36_000):
        for name, work in (
            ("cost_of", lambda used=used: cost_of(price, used)),
            ("units_within", lambda used=used: units_within(price, budget, used)),
        ):
            taken_us = min(timeit.repeat(work, number=1000, repeat=200)) / 1000 * 1e6
            print(f"{name} at {used} s: {taken_us:.2f} us")


def main() -> None:
    """Run all measurements and print them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prefixes", type=int, default=1_000_000)
    count = parser.parse_args().prefixes
    chance = random.Random(1)
    codes = prefixes(count, chance)
    files = {
        "currencies.toml": b"EUR = { numeric = 978, scale = 9, digits = 2 }\n",
        "rateplans/bench.toml": PLAN.encode(),
        "decks/bench.csv": deck(codes, chance),
    }
    numbers = [chance.choice(codes).ljust(9, "5") + f"{chance.randrange(1000):03d}" for _ in range(20_000)]
    del codes
    before_mb = resident_mb()
    result = []
    taken_s = timeit.timeit(lambda: result.append(build(files, NOW_MS)), number=1)
    book = result[0].book
    assert book is not None, result[0].faults[:3]
    print(f"{count} prefixes: loaded in {taken_s:.2f} s, {resident_mb() - before_mb} MB more resident")
    measure_lookup(book, numbers)
    measure_lookup(book, numbers[:500])
    measure_price()
    asyncio.run(measure_swap(files, book))


if __name__ == "__main__":
    main()
