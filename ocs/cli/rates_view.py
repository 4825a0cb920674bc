"""Explanations and differences of rates on a terminal: tables for people, CSV and JSON for programs."""

from __future__ import annotations

import csv
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from balance.money import Currency
from ocs.rates.difference import Change, Quote, TariffDifference, permille
from ocs.rates.moments import moment_text
from ocs.rates.report import NO_CURRENCY, Fields, change_fields
from ocs.rates.wording import amount_text, increment_text, price_lines
from ocs.rating.price import Price
from ocs.rating.units import price_unit_name

PIPE_COLUMNS: Final = 240
_CODES_SHOWN: Final = 6
_CSV_PRICE: Final = ("prefix", "rate", "initial_rate", "per", "increments", "setup", "minimum", "round_to", "rounding")
_CSV: Final = (
    "plan",
    "service",
    "tariff",
    "change",
    "prefix",
    "origin",
    "destination",
    "from",
    "to",
    "moved_from",
    "percent",
)


def console() -> Console:
    """What is no terminal gets whole lines: codes are to be copied."""
    found = Console(highlight=False)
    return found if found.is_terminal else Console(highlight=False, width=PIPE_COLUMNS)


def print_json(fields: Fields) -> None:
    """One document on standard output."""
    print(msgspec.json.format(msgspec.json.encode(fields), indent=2).decode())


# --- explain ----------------------------------------------------------------------------------------------------


def print_trace(fields: Fields) -> None:
    """The road to a price, in the order in which it is found."""
    out = console()
    group = "" if fields["rating_group"] is None else f", rating group {fields['rating_group']}"
    number = fields["number"] or "no number"
    out.print(Text(f"{number}: plan {fields['plan']}, {fields['service']}{group}, at {fields['at']}"))
    out.print(Text(f"rates of version {fields['version']}, in {fields['currency']}"))
    print_choices(fields["tariffs"], fields["candidates"])
    if "refused" in fields:
        out.print(Text(f"no price: {fields['because']}"))
        return
    tariff = fields["tariff"]
    where = f", {tariff['destination']} ({tariff['prefix']})" if tariff["prefix"] else ""
    until = f"; until {tariff['valid_until']}" if tariff["valid_until"] else ""
    out.print(Text(f"{tariff['name']}{where}, from {tariff['source']}{until}"))
    for line in (*tariff["words"], *_use_lines(fields)):
        out.print(Text(f"  {line}"))


def print_choices(tariffs: Sequence[Fields], candidates: Sequence[Fields]) -> None:
    """What was in question, and what became of each."""
    out = console()
    _print_rows(out, "tariffs of the service", tariffs)
    _print_rows(out, "prefixes of the number, the longest first", candidates)


def _use_lines(fields: Fields) -> Sequence[str]:
    return [line for name in ("use", "time") if name in fields for line in ("", *fields[name]["words"])]


def _print_rows(out: Console, title: str, rows: Sequence[Fields]) -> None:
    if not rows:
        return
    names = [name for name in rows[0] if name != "is_chosen" and any(row[name] for row in rows)]
    table = Table("", *names, title=title, title_justify="left")
    for row in rows:
        table.add_row(">" if row["is_chosen"] else "", *(Text(str(row[name])) for name in names))
    out.print(table)


# --- diff -------------------------------------------------------------------------------------------------------


def print_difference(found: Iterable[TariffDifference], currencies: Mapping[str, Currency], limit: int) -> None:
    """One table a tariff; codes that change alike stand in one line."""
    out = console()
    is_any = False
    for each in found:
        is_any = True
        _print_tariff(out, each, currencies, limit)
    if not is_any:
        out.print("no difference in price")


def _print_tariff(out: Console, found: TariffDifference, currencies: Mapping[str, Currency], limit: int) -> None:
    key = found.key
    if found.currency_before != key.currency:
        out.print(Text(f"{key.plan}: the currency was {found.currency_before} and becomes {key.currency}"))
    counts = Counter(change.kind.value for change in found.changes)
    title = " ".join(part for part in (key.plan, key.service, key.selects, f"({key.name})") if part)
    table = Table("change", "codes", "destination", "old", "new", "%", "when", title=title, title_justify="left")
    lines = _alike(found.changes)
    for change, codes in lines[:limit]:
        table.add_row(*map(Text, _cells(change, codes, found, currencies)))
    out.print(table)
    if len(lines) > limit:
        out.print(f"and {len(lines) - limit} more lines: --limit {len(lines)}, or --csv")
    summary = ", ".join(f"{count} {kind}" for kind, count in sorted(counts.items()))
    out.print(Text(f"{summary}; {found.unchanged} unchanged"))


def _alike(changes: Iterable[Change]) -> list[tuple[Change, list[str]]]:
    """Gather codes of one destination that change alike; the largest changes of a kind first."""
    found: dict[tuple[object, ...], tuple[Change, list[str]]] = {}
    for change in changes:
        key = (
            change.kind,
            change.destination,
            change.old.price,
            change.new.price,
            change.from_ms,
            change.to_ms,
            change.moved_from_ms,
            change.origin,
        )
        found.setdefault(key, (change, []))[1].append(change.prefix)
    order = {kind: at for at, kind in enumerate(type(next(iter(found.values()))[0].kind))} if found else {}
    return sorted(
        found.values(),
        key=lambda line: (order[line[0].kind], -abs(permille(line[0].old.price, line[0].new.price) or 0)),
    )


def _cells(
    change: Change, codes: list[str], found: TariffDifference, currencies: Mapping[str, Currency]
) -> tuple[str, ...]:
    shown = ", ".join(codes[:_CODES_SHOWN]) + (f" and {len(codes) - _CODES_SHOWN} more" * (len(codes) > _CODES_SHOWN))
    by_mille = permille(change.old.price, change.new.price)
    is_increment = _increments(change.old) != _increments(change.new)
    before, after = (currencies.get(code, NO_CURRENCY) for code in (found.currency_before, found.key.currency))
    old = _quote(change.old, change.prefix, before, with_all=is_increment)
    new = _quote(change.new, change.prefix, after, with_all=is_increment)
    if old == new:  # what differs is not said by rate and increments
        old, new = _apart(_lines(change.old, before), _lines(change.new, after))
    return (
        change.kind.value,
        f"{shown or 'all'}{change.origin and f' from {change.origin}'}",
        change.destination,
        old,
        new,
        f"{by_mille / 10:+.1f}" if by_mille else "",
        _when(change),
    )


def _lines(quote: Quote, currency: Currency) -> list[str]:
    return price_lines(quote.price, currency) if isinstance(quote.price, Price) else []


def _apart(old: list[str], new: list[str]) -> tuple[str, str]:
    """What each side says that the other does not."""
    return "; ".join(line for line in old if line not in new), "; ".join(line for line in new if line not in old)


def _increments(quote: Quote) -> str:
    return increment_text(quote.price) if isinstance(quote.price, Price) else ""


def _quote(quote: Quote, prefix: str, currency: Currency, *, with_all: bool) -> str:
    price = quote.price
    if not isinstance(price, Price):
        return {"destination_barred": "barred"}.get(price.value, "-")
    parts = [f"{amount_text(price.next_rate, currency)}/{price_unit_name(price.kind, price.per)}"]
    if price.initial_rate != price.next_rate:
        parts.append(f"first {amount_text(price.initial_rate, currency)}")
    if price.setup:
        parts.append(f"+ {amount_text(price.setup, currency)}")
    if with_all:
        parts.append(increment_text(price))
    if quote.prefix != prefix:
        parts.append(f"by {quote.prefix}" if quote.prefix else "for all")
    return " ".join(parts)


def _when(change: Change) -> str:
    if change.moved_from_ms >= 0:
        return f"{moment_text(change.from_ms)}, was {moment_text(change.moved_from_ms)}"
    until = moment_text(change.to_ms)
    return moment_text(change.from_ms) + (f" to {until}" if until else "")


def print_difference_csv(found: Iterable[TariffDifference], currencies: Mapping[str, Currency]) -> None:
    """One line a code and change, with both prices in full."""
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow([*_CSV, *(f"{side}_{name}" for side in ("old", "new") for name in ("currency", *_CSV_PRICE))])
    for each in found:
        for change in each.changes:
            fields = change_fields(change, each, currencies)
            head = {"plan": each.key.plan, "service": each.key.service, "tariff": each.key.name, **fields}
            row = [head[name] for name in _CSV]
            for side, currency in (("old", each.currency_before), ("new", each.key.currency)):
                row += [currency, *(fields[side].get(name, "") for name in _CSV_PRICE)]
            writer.writerow(row)
