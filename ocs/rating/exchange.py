"""Rates of exchange with their dates: ``config/exchange.csv``. Exact: a decimal rate is a fraction of integers."""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping
from io import StringIO
from typing import Final

from balance.money import Currency
from ocs.rating.dated import EVER_MS, FOREVER_MS, Version, instant_ms, settle
from ocs.rating.faults import FaultList, did_you_mean
from ocs.rating.terms import Exchange

EXCHANGE_FILE: Final = "exchange.csv"
COLUMNS: Final = ("from", "to", "rate", "date")
Rates = Mapping[tuple[str, str], tuple[Version[Exchange], ...]]

_RATE: Final = re.compile(r"(\d{1,9})(?:\.(\d{1,12}))?", re.ASCII)


def parse_exchange(text: str, faults: FaultList, currencies: Mapping[str, Currency]) -> Rates:
    """Read lines of ``from,to,rate,date``: one unit of ``from`` is so many of ``to``, from that date on.

    Before its first date a pair has its first rate: a price is never without one.
    """
    found: dict[tuple[str, str], list[Version[tuple[int, Exchange]]]] = {}
    reader = csv.reader(StringIO(text, newline=""))
    rows = [(reader.line_num, [cell.strip() for cell in row]) for row in reader if any(row) and row[0][:1] != "#"]
    if rows and tuple(rows[0][1]) != COLUMNS:
        faults.add(rows[0][0], "file", f"begins with {','.join(rows[0][1])}", f"first line: {','.join(COLUMNS)}")
        return {}
    for line, cells in rows[1:]:
        if len(cells) != len(COLUMNS):
            faults.add(line, "line", f"has {len(cells)} cells, the header {len(COLUMNS)}", "from,to,rate,date")
            continue
        source, target, rate, date = cells
        for name, code in (("from", source), ("to", target)):
            if code not in currencies:
                faults.add(line, name, f"{code!r} is not in currencies.toml", did_you_mean(code, currencies))
        match = _RATE.fullmatch(rate)
        if match is None or not int(match[1] + (match[2] or "")):
            faults.add(line, "rate", f"{rate!r} is no rate of exchange", "a decimal above 0, such as 0.9234")
            continue
        try:
            from_ms = instant_ms(date)
        except ValueError:
            faults.add(line, "date", f"{date!r} is no date", "write 2026-09-21 or 2026-09-21T18:00:00Z")
            continue
        if source in currencies and target in currencies:
            exchange = _exchange(match, currencies[source], currencies[target])
            found.setdefault((source, target), []).append(Version(from_ms, FOREVER_MS, (line, exchange)))
    rates: dict[tuple[str, str], tuple[Version[Exchange], ...]] = {}
    for pair, versions in found.items():
        settled = settle(versions)
        for clash in settled.clashes:
            faults.add(clash.later[0], "date", f"line {clash.earlier[0]} has a rate of this date", "keep one of them")
        first, *others = (Version(each.from_ms, each.to_ms, each.what[1]) for each in settled.versions)
        rates[pair] = (first._replace(from_ms=EVER_MS), *others)
    return rates


def _exchange(rate: re.Match[str], source: Currency, target: Currency) -> Exchange:
    decimals = rate[2] or ""
    return Exchange(
        source.code,
        source.scale,
        rate[0],
        int(rate[1] + decimals) * 10**target.scale,
        10 ** (len(decimals) + source.scale),
    )
