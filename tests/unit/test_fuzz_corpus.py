"""The fuzzers' corpus, replayed: each input once reached code that no smaller one did, or was a finding."""

from __future__ import annotations

import random
import sys
import zlib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "scripts" / "fuzz"))

from fuzz_diameter import DiameterTarget  # noqa: E402 - it stands beside the program that it belongs to
from fuzz_radius import RadiusTarget  # noqa: E402

TARGETS: dict[str, Any] = {"diameter": DiameterTarget, "radius": RadiusTarget}


@pytest.mark.parametrize("name", ["diameter", "radius", "diameter-findings"])
def test_nothing_in_the_corpus_harms(name: str) -> None:
    """No exception, and an answer that can be, for every input that was kept."""
    target = TARGETS[name.partition("-")[0]]()
    inputs = [bytes.fromhex(line) for line in (ROOT / "tests" / "corpus" / f"{name}.hex").read_text().split()]
    assert inputs
    for data in inputs:
        target.run(data, random.Random(zlib.crc32(data)))


@pytest.mark.parametrize("name", TARGETS)
def test_made_inputs_do_no_harm(name: str) -> None:
    """The first of what scripts/fuzz/run.py makes of seed 1: the generator itself works."""
    target = TARGETS[name]()
    for number in range(1000):
        chance = random.Random(f"{name}/1/{number}")
        target.run(target.input(chance), chance)
