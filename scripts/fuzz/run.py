"""Throw damaged input at the decoders, in this process and without a socket, and hold what must always be true.

    python scripts/fuzz/run.py --inputs 200000 [--seed 7] [--targets diameter,radius] [--only 4711]

Well-formed packets are changed by chance, all of which comes from one seed. The seed is printed; ``--only`` repeats
one input of it. Exit status 1 means a finding: an exception, an answer that cannot be, or an input that takes longer
than its octets explain.
"""

from __future__ import annotations

import argparse
import random
import resource
import secrets
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable
from typing import Final, NamedTuple, Protocol

from fuzz_diameter import DiameterTarget
from fuzz_radius import RadiusTarget

INPUT_US_MAX: Final = 20_000  # of CPU, for any input; the slowest honest one of 64 KB takes a few milliseconds
OCTET_US_MAX: Final = 2  # of CPU per octet: what is quadratic passes this long before it passes the other
RETRIES: Final = 10  # a slow input is slow every time; a disturbed one is not
GROWTH_KB_MAX: Final = 64 * 1024
FINDINGS_SHOWN: Final = 5


class Target(Protocol):
    """One decoder. ``run`` raises when something is not as it must be, and names the outcome else."""

    def input(self, chance: random.Random) -> bytes:
        """Make one damaged input."""

    def run(self, data: bytes, chance: random.Random) -> str:
        """Decode it; ``chance`` decides how it is cut and fed."""


class Slowest(NamedTuple):
    us: int
    number: int
    octets: int


TARGETS: Final[dict[str, Callable[[], Target]]] = {"diameter": DiameterTarget, "radius": RadiusTarget}


class Hunt:
    """All inputs of one target, numbered: input n of a seed is always the same."""

    def __init__(self, name: str, seed: int) -> None:
        self._target = TARGETS[name]()
        self._name, self._seed = name, seed
        self.outcomes: Counter[str] = Counter()
        self.findings: list[int] = []
        self.slowest = Slowest(0, -1, 0)
        self.octets = 0

    def play(self, number: int) -> None:
        chance = random.Random(f"{self._name}/{self._seed}/{number}")
        data = self._target.input(chance)
        state = chance.getstate()
        self.octets += len(data)
        allowed_us = min(INPUT_US_MAX, 500 + OCTET_US_MAX * len(data))
        took_us = allowed_us
        for _ in range(RETRIES):
            chance.setstate(state)
            started_ns = time.process_time_ns()
            try:
                outcome = self._target.run(data, chance)
            except Exception:  # noqa: BLE001 - any exception is what is hunted
                self._report(number, data, traceback.format_exc())
                return
            took_us = min(took_us, (time.process_time_ns() - started_ns) // 1000)
            if took_us < allowed_us:
                break
        else:
            self._report(number, data, f"took {took_us} us for {len(data)} octets")
        self.outcomes[outcome] += 1
        self.slowest = max(self.slowest, Slowest(took_us, number, len(data)))

    def _report(self, number: int, data: bytes, why: str) -> None:
        self.findings.append(number)
        if len(self.findings) <= FINDINGS_SHOWN:
            print(
                f"FINDING {self._name} seed {self._seed} input {number}, {len(data)} octets: {data[:400].hex()}\n{why}"
            )


def resident_kb() -> int:
    """The most memory this process had so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def hunt(name: str, seed: int, numbers: range) -> bool:
    """Play the inputs of one target; True when all is well."""
    found = Hunt(name, seed)
    warm_up = min(len(numbers), 2000)
    for number in numbers[:warm_up]:
        found.play(number)
    before_kb, started_s = resident_kb(), time.process_time()
    for number in numbers[warm_up:]:
        found.play(number)
    growth_kb = resident_kb() - before_kb
    each_us = (time.process_time() - started_s) * 1e6 / max(1, len(numbers) - warm_up)
    print(
        f"{name:9} seed {seed}: {len(numbers):,} inputs, {found.octets:,} octets, {each_us:.0f} us each, slowest "
        f"{found.slowest.us} us (input {found.slowest.number}, {found.slowest.octets} octets), "
        f"memory +{growth_kb / 1024:.1f} MB, {len(found.findings)} findings"
    )
    for outcome, count in found.outcomes.most_common(12):
        print(f"          {count:9,} {outcome}")
    if growth_kb > GROWTH_KB_MAX:
        print(f"FINDING {name}: memory grew by {growth_kb // 1024} MB")
    return not found.findings and growth_kb <= GROWTH_KB_MAX


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=100_000, help="per target")
    parser.add_argument("--seed", type=int, default=None, help="default: one by chance, printed")
    parser.add_argument("--targets", default=",".join(TARGETS), help="default: %(default)s")
    parser.add_argument("--only", type=int, default=None, help="play one input of the seed")
    arguments = parser.parse_args()
    seed = secrets.randbelow(1 << 31) if arguments.seed is None else arguments.seed
    print(f"seed {seed}", flush=True)
    numbers = range(arguments.inputs) if arguments.only is None else range(arguments.only, arguments.only + 1)
    return 0 if all([hunt(name, seed, numbers) for name in arguments.targets.split(",")]) else 1  # noqa: C419 - all targets run


if __name__ == "__main__":
    sys.exit(main())
