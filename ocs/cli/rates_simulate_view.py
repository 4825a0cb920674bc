"""Simulations on a terminal, as CSV, and as a drawing."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from balance.money import Currency, format_amount
from ocs.cli.rates_view import console
from ocs.rates.moments import moment_text
from ocs.rates.report import Fields
from ocs.rates.simulation import Outcome, Sums, changed

BARS: Final = 8  # each way
_BLUE, _ORANGE, _GREY = "#2f6f9f", "#d1663a", "#8a8a8a"


def sums_fields(name: str, sums: Sums, currency: Currency) -> Fields:
    """One group's sums; amounts are decimal strings."""

    def text(amount: int) -> str:
        return format_amount(amount, currency.scale, currency.digits)

    return {
        "name": name,
        "records": sums.records,
        "used": sums.used,
        "old": text(sums.old),
        "new": text(sums.new),
        "change": text(sums.change),
        "percent": percent(sums.change, sums.old),
        "bought": text(sums.bought),
        "margin": text(sums.margin),
        "losing_records": sums.losing,
        "loss": text(sums.loss),
        "without_price": sums.unsold,
        "without_cost": sums.unbought,
    }


def shown(amount: int, currency: Currency) -> str:
    """Write an amount for a screen: rounded to the digits of an invoice, thousands apart. Files have it exactly."""
    unit = 10 ** (currency.scale - currency.digits)
    rounded = (2 * abs(amount) + unit) // (2 * unit)
    whole, _, fraction = format_amount(rounded, currency.digits, currency.digits).partition(".")
    sign = "-" if amount < 0 and rounded else ""
    return f"{sign}{int(whole):,}{fraction and '.'}{fraction}"


def percent(change: int, old: int) -> str:
    """By how many hundredths, with one decimal; empty where there was nothing."""
    return f"{format_amount((1000 * change + old // 2) // old, 1, 1)}" if old > 0 else ""


def outcome_fields(outcome: Outcome, currency: Currency, at_ms: int) -> Fields:
    """Everything, for programs."""
    return {
        "at": moment_text(at_ms),
        "currency": currency.code,
        "total": sums_fields("total", outcome.total, currency),
        "by_destination": [sums_fields(*item, currency) for item in _by_change(outcome.by_destination)],
        "by_customer": [sums_fields(*item, currency) for item in _by_change(outcome.by_account)],
        "faults": outcome.faults,
        "fault_count": outcome.fault_count,
    }


def _by_change(sums: Mapping[str, Sums]) -> list[tuple[str, Sums]]:
    return sorted(sums.items(), key=lambda item: (-abs(item[1].change), item[0]))


def print_outcome(outcome: Outcome, currency: Currency, at_ms: int, limit: int, *, has_cost: bool) -> None:
    """The sums, then where the money moves, most first."""
    out = console()
    total = outcome.total
    old, new, change, bought, margin, loss = (
        shown(amount, currency)
        for amount in (total.old, total.new, total.change, total.bought, total.margin, total.loss)
    )
    unit = f" {currency.code}".rstrip()
    out.print(Text(f"{total.records:,} records, all at the prices of {moment_text(at_ms)}"))
    out.print(Text(f"revenue {old} -> {new}{unit}: {change} ({percent(total.change, total.old) or '-'} %)"))
    if has_cost:
        out.print(Text(f"bought for {bought}{unit}, margin {margin}{unit}"))
        out.print(Text(f"{total.losing:,} records lose {loss}{unit}"))
    for count, words in ((total.unsold, "have no price"), (total.unbought, "have no cost")):
        if count and (has_cost or words == "have no price"):
            out.print(Text(f"{count:,} records {words}"))
    if outcome.fault_count:
        out.print(Text(f"{outcome.fault_count:,} lines were passed over, such as {outcome.faults[0]}"))
    _print_table(
        out, "destinations, by change", _by_change(outcome.by_destination)[:limit], currency, has_cost=has_cost
    )
    more, less = changed(outcome.by_account, limit)
    _print_table(out, "customers who pay more", more, currency, has_cost=has_cost)
    _print_table(out, "customers who pay less", less, currency, has_cost=has_cost)
    losing = sorted(outcome.by_destination.items(), key=lambda item: -item[1].loss)
    _print_table(
        out, "destinations at a loss", [item for item in losing if item[1].loss][:limit], currency, has_cost=True
    )


def _print_table(
    out: Console, title: str, items: list[tuple[str, Sums]], currency: Currency, *, has_cost: bool
) -> None:
    if not items:
        return
    columns = ["name", "records", "used", "old", "new", "change", "percent"]
    columns += ["bought", "margin", "losing", "loss"] if has_cost else []
    table = Table(title=title, title_justify="left")
    for column in columns:
        table.add_column(column.replace("_", " "), justify="left" if column == "name" else "right")
    for name, sums in items:
        table.add_row(*(Text(_cell(column, name, sums, currency)) for column in columns))
    out.print(table)


def _cell(column: str, name: str, sums: Sums, currency: Currency) -> str:
    if column in {"name", "percent"}:
        return name if column == "name" else percent(sums.change, sums.old)
    if column in {"records", "used", "losing"}:
        return f"{getattr(sums, column):,}"
    return shown(getattr(sums, column), currency)


def write_tables(folder: Path, outcome: Outcome, currency: Currency) -> None:
    """Write all sums: one file by destination, one by customer. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, sums in (("by-destination", outcome.by_destination), ("by-customer", outcome.by_account)):
        with (folder / f"{name}.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, sums_fields("", Sums(), currency), lineterminator="\n")
            writer.writeheader()
            writer.writerows(sums_fields(*item, currency) for item in _by_change(sums))


def draw(path: Path, outcome: Outcome, currency: Currency, title: str) -> None:
    """Draw where revenue moves, by destination and by customer. Raises ImportError, OSError, ValueError."""
    import matplotlib as mpl

    mpl.use("Agg")
    mpl.rcParams["svg.fonttype"] = "none"  # text stays text: it can be searched
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 6.5), layout="constrained")
    total = outcome.total
    figure.suptitle(
        f"{title}\n{total.records:,} records: revenue {shown(total.old, currency)} to {shown(total.new, currency)}"
        f" {currency.code} ({percent(total.change, total.old) or '-'} %)",
        fontsize=13,
    )
    left, right = figure.subplots(1, 2)
    for axes, sums, what in ((left, outcome.by_destination, "destination"), (right, outcome.by_account, "customer")):
        more, less = changed(sums, BARS)
        items = [*less, *reversed(more)]
        changes = [item[1].change / 10**currency.scale for item in items]  # a drawing, not an account
        colours = [_BLUE if change > 0 else _ORANGE for change in changes]
        bars = axes.barh([item[0] for item in items], changes, color=colours, height=0.7)
        axes.bar_label(bars, [_label(item[1]) for item in items], padding=4, fontsize=9, color=_GREY)
        axes.axvline(0, color=_GREY, linewidth=0.8)
        axes.margins(x=0.2)
        axes.set_title(f"change by {what}" + (f": {len(items)} of {len(sums):,}" if items else ": none"), fontsize=11)
        axes.set_xlabel(currency.code or "amount")
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.tick_params(axis="y", length=0)
    figure.savefig(path, dpi=130)


def _label(sums: Sums) -> str:
    rate = percent(sums.change, sums.old)
    return f"{rate} %" if rate else "new"
