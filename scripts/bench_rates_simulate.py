"""How long a simulation of a month's records takes: the command itself, from the file to the tables and the plot.

python scripts/bench_rates_simulate.py --records 1000000
"""

from __future__ import annotations

import argparse
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench_rates_import import rows


def write_decks(folder: Path, codes: list[tuple[str, str]]) -> None:
    lines = [f"{code},{name},0.{50 + at % 97:04d}\n" for at, (code, name) in enumerate(codes)]
    (folder / "new.csv").write_text("prefix,destination,rate\n" + "".join(lines), encoding="utf-8")
    (folder / "cost.csv").write_text("prefix,destination,rate\n1,US,0.0065\n", encoding="utf-8")


def write_records(path: Path, codes: list[tuple[str, str]], count: int) -> None:
    chance = random.Random(1)
    with path.open("w", encoding="utf-8") as file:
        file.write("account_id,number,used,amount\n")
        for _ in range(count):
            code, _ = codes[chance.randrange(len(codes))]
            number, used, cost = chance.randrange(10_000), chance.randrange(600), chance.randrange(1000)
            file.write(f"customer-{chance.randrange(2000)},{code}{number:04d},{used},0.{cost:04d}\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--codes", type=int, default=200_000)
    options = parser.parse_args()
    codes = [(code, name) for code, name, *_ in rows(options.codes, 0)]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_decks(folder, codes)
        write_records(folder / "records.csv", codes, options.records)
        command = [sys.executable, "-m", "ocs", "rates", "simulate", "--deck", str(folder / "new.csv")]
        command += ["--cdrs", str(folder / "records.csv"), "--cost-deck", str(folder / "cost.csv")]
        command += ["--csv", str(folder / "tables"), "--plot", str(folder / "plot.png")]
        begin_s = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        taken_s = time.perf_counter() - begin_s
        cpu_s = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    print(f"{options.records:,} records by {options.codes:,} codes in {taken_s:.1f} s, {cpu_s:.1f} s of CPU time")


if __name__ == "__main__":
    main()
