"""Coverage-guided fuzzing: libFuzzer, by atheris, looks for inputs that reach code no other input has reached.

    pip install -e '.[fuzz]'
    python scripts/fuzz/guided.py diameter -max_total_time=600
    python scripts/fuzz/guided.py radius --keep

What was found interesting stays in build/fuzz/TARGET and is where the next run begins. Options with one dash are
libFuzzer's (``-help=1``). ``--keep`` fuzzes nothing: it chooses the smallest inputs that reach all that the corpus
reaches, and writes them into tests/corpus/TARGET.hex, which `make test` replays. A finding ends the run with a
traceback and the input in a file ``crash-...``.
"""

from __future__ import annotations

import random
import sys
import zlib
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from run import Target

ROOT: Final = Path(__file__).resolve().parents[2]
BUILD: Final = ROOT / "build" / "fuzz"
KEPT: Final = ROOT / "tests" / "corpus"
INPUT_OCTETS_MAX: Final = 8192
KEPT_OCTETS_MAX: Final = 1200
SEEDS: Final = 200
INSTRUMENTED: Final = ("protocols", "ocs.gateways", "ocs.charging.request")
ROOMS: Final = (str(ROOT / "protocols"), str(ROOT / "ocs" / "gateways"))


def target_of(name: str) -> Target:
    """The decoder, as ``run.py`` drives it."""
    from fuzz_diameter import DiameterTarget
    from fuzz_radius import RadiusTarget

    return DiameterTarget() if name == "diameter" else RadiusTarget()


def chance_of(data: bytes) -> random.Random:
    """Whatever is decided by chance is decided by the input, so that an input always does the same."""
    return random.Random(zlib.crc32(data))


def fuzz(name: str, options: list[str]) -> None:
    """Let libFuzzer run; it never returns."""
    import atheris

    with atheris.instrument_imports(include=list(INSTRUMENTED)):
        target = target_of(name)
    corpus = BUILD / name
    corpus.mkdir(parents=True, exist_ok=True)
    if not any(corpus.iterdir()):
        for number in range(SEEDS):
            (corpus / f"seed-{number}").write_bytes(target.input(random.Random(number)))

    def once(data: bytes) -> None:
        target.run(data, chance_of(data))

    def mutate(data: bytes, size_max: int, seed: int) -> bytes:
        """Half of the time libFuzzer's own way, else ours: with sound lengths, and signed where that is due."""
        if seed % 2:
            mutated: bytes = atheris.Mutate(data, size_max)
            return mutated
        return target.input(random.Random(seed))[:size_max]

    usual = [f"-max_len={INPUT_OCTETS_MAX}", "-timeout=5", "-rss_limit_mb=2048"]
    atheris.Setup([sys.argv[0], *usual, *options, str(corpus)], once, custom_mutator=mutate)
    atheris.Fuzz()


def lines_reached(target: Target, data: bytes) -> set[tuple[str, int]]:
    """Which lines of the decoders' code an input runs."""
    reached: set[tuple[str, int]] = set()

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        if not frame.f_code.co_filename.startswith(ROOMS):
            return None
        if event == "line":
            reached.add((frame.f_code.co_filename, frame.f_lineno))
        return trace

    sys.settrace(trace)
    try:
        target.run(data, chance_of(data))
    finally:
        sys.settrace(None)
    return reached


def keep(name: str) -> None:
    """Choose, smallest first, the inputs that reach something new."""
    target = target_of(name)
    inputs = sorted((path.read_bytes() for path in (BUILD / name).iterdir()), key=lambda data: (len(data), data))
    reached: set[tuple[str, int]] = set()
    chosen = []
    for data in inputs:
        if len(data) <= KEPT_OCTETS_MAX and (lines := lines_reached(target, data)) - reached:
            reached |= lines
            chosen.append(data)
    KEPT.mkdir(exist_ok=True)
    (KEPT / f"{name}.hex").write_text("".join(f"{data.hex()}\n" for data in chosen), encoding="ascii")
    print(f"{name}: {len(chosen)} of {len(inputs)} inputs reach {len(reached)} lines; they are kept")


def main() -> int:
    name, *options = [*sys.argv[1:], ""]
    if name not in {"diameter", "radius"}:
        print(__doc__)
        return 2
    options = [option for option in options if option]
    if options == ["--keep"]:
        keep(name)
    else:
        fuzz(name, options)
    return 0


if __name__ == "__main__":
    sys.exit(main())
