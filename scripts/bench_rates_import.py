"""How long a large supplier's sheet takes from the file to the staged deck: CSV and XLSX, first import and update.

    python scripts/bench_rates_import.py --rows 200000

Each import is the command itself in a process of its own, with everything that an operator waits for: start, reading,
merging, comparing, printing the difference, staging with fsync.
"""

from __future__ import annotations

import argparse
import csv
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

HEADER = ("code", "destination", "duration", "increment", "interrate", "effective_date")


def rows(count: int, cents: int) -> Iterator[tuple[str, str, int, int, str, str]]:
    """A US deck by seven digits; the update has other prices for every tenth code."""
    for at in range(count):
        area, exchange = 200 + at // 1000 % 800, at % 1000
        extra = f"{at // 800_000}" if count > 800_000 else ""
        price = 50 + at % 97 + (cents if at % 10 == 0 else 0)
        yield f"1{area}{exchange:03d}{extra}", f"US {area}", 6, 6, f"0.{price:04d}", "8/16/2026"


def write_csv(path: Path, count: int, cents: int) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(HEADER)
        writer.writerows(rows(count, cents))


def write_xlsx(path: Path, count: int, cents: int) -> None:
    import openpyxl

    book = openpyxl.Workbook(write_only=True)
    sheet = book.create_sheet("Rates")
    sheet.append(HEADER)
    for code, name, initial, following, price, day in rows(count, cents):
        sheet.append((int(code), name, initial, following, float(price), day))
    book.save(path)


def seconds(*arguments: str) -> float:
    begin_s = time.perf_counter()
    subprocess.run([sys.executable, "-m", "ocs", "rates", *arguments], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - begin_s


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=200_000)
    options = parser.parse_args()
    sample = Path(__file__).parents[1] / "config"
    for suffix, write in (("csv", write_csv), ("xlsx", write_xlsx)):
        with tempfile.TemporaryDirectory() as folder:
            config = Path(folder) / "config"
            (config / "decks").mkdir(parents=True)
            for name in ("ocs.toml", "currencies.toml"):
                (config / name).write_bytes((sample / name).read_bytes())
            common = ("--supplier", "us", "--deck", "us", "--currency", "USD", "--kind", "full", "--data", folder)
            for what, cents in (("first import", 0), ("update", 5)):
                sheet = Path(folder) / f"{what}.{suffix}"
                write(sheet, options.rows, cents)
                taken_s = seconds("import", str(sheet), *common, "--activate", "-c", str(config / "ocs.toml"))
                print(f"{suffix:5} {what:13} {options.rows:,} rows in {taken_s:.1f} s", flush=True)


if __name__ == "__main__":
    main()
