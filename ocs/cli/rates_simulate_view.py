"""Simulations on a terminal, as CSV, and as a drawing."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from balance.money import Currency, format_amount
from ocs.cli.rates_view import console
from ocs.rates.moments import moment_text
from ocs.rates.report import Fields
from ocs.rates.simulation import Losing, Outcome, Sums, changed

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
        "margin_percent": percent(sums.margin, sums.new),
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


def losing_fields(losing: Losing, currency: Currency) -> Fields:
    """One record that would be sold below its cost."""
    fields = msgspec.structs.asdict(losing)
    return {
        name: format_amount(value, currency.scale, currency.digits) if name in {"loss", "new", "bought"} else value
        for name, value in fields.items()
    }


def percent(change: int, old: int) -> str:
    """How many hundredths that is, with one decimal; empty where there was nothing."""
    return f"{format_amount((1000 * change + old // 2) // old, 1, 1)}" if old > 0 else ""


def outcome_fields(outcome: Outcome, currency: Currency, at_ms: int | None) -> Fields:
    """Everything, for programs."""
    return {
        "at": "own" if at_ms is None else moment_text(at_ms),
        "currency": currency.code,
        "total": sums_fields("total", outcome.total, currency),
        "by_destination": [sums_fields(*item, currency) for item in _by_change(outcome.by_destination)],
        "by_customer": [sums_fields(*item, currency) for item in _by_change(outcome.by_account)],
        "without_price": outcome.unsold,
        "at_a_loss": [losing_fields(each, currency) for each in outcome.losing],
        "others": outcome.others,
        "faults": outcome.faults,
        "fault_count": outcome.fault_count,
    }


def _by_change(sums: Mapping[str, Sums]) -> list[tuple[str, Sums]]:
    return sorted(sums.items(), key=lambda item: (-abs(item[1].change), item[0]))


def print_outcome(outcome: Outcome, currency: Currency, at_ms: int | None, limit: int, *, has_cost: bool) -> None:
    """The sums, then where the money moves, most first."""
    out = console()
    _print_total(out, outcome, currency, at_ms, has_cost=has_cost)
    _print_table(
        out, "destinations, by change", _by_change(outcome.by_destination)[:limit], currency, has_cost=has_cost
    )
    more, less = changed(outcome.by_account, limit)
    _print_table(out, "customers who pay more", more, currency, has_cost=has_cost)
    _print_table(out, "customers who pay less", less, currency, has_cost=has_cost)
    for what, sums in (("destinations", outcome.by_destination), ("customers", outcome.by_account)):
        losing = sorted(sums.items(), key=lambda item: (-item[1].loss, item[0]))
        items = [item for item in losing if item[1].loss][:limit]
        _print_table(out, f"{what} with records at a loss", items, currency, has_cost=True)
    _print_losing(out, outcome.losing[:limit], currency)


def _print_total(out: Console, outcome: Outcome, currency: Currency, at_ms: int | None, *, has_cost: bool) -> None:
    total = outcome.total
    old, new, change, bought, margin, loss = (
        shown(amount, currency)
        for amount in (total.old, total.new, total.change, total.bought, total.margin, total.loss)
    )
    unit = f" {currency.code}".rstrip()
    when = "each at the prices of its own time" if at_ms is None else f"all at the prices of {moment_text(at_ms)}"
    out.print(Text(f"{_records(total.records)}, {when}"))
    out.print(Text(f"revenue {old} -> {new}{unit}: {change} ({percent(total.change, total.old) or '-'} %)"))
    if has_cost:
        rate = percent(total.margin, total.new) or "-"
        out.print(Text(f"bought for {bought}{unit}, margin {margin}{unit} ({rate} % of the new revenue)"))
        out.print(Text(f"sold at a loss: {_records(total.losing)}, {loss}{unit}"))
    for reason, count in sorted(outcome.unsold.items()):
        cure = ": --plan names one for all" if reason == "no plan" else ""
        out.print(Text(f"without a price ({reason}{cure}): {_records(count)}"))
    if total.unbought:
        out.print(Text(f"without a cost: {_records(total.unbought)}"))
    if outcome.others:
        out.print(Text(f"no matter of this deck, or in another currency: {_records(outcome.others)}"))
    if outcome.fault_count:
        lines = f"{outcome.fault_count:,} line{'s'[: outcome.fault_count > 1]}"
        out.print(Text(f"passed over: {lines}, such as {outcome.faults[0]}"))


def _records(count: int) -> str:
    return f"{count:,} record{'s'[: count != 1]}"


def _print_losing(out: Console, losing: Sequence[Losing], currency: Currency) -> None:
    if not losing:
        return
    columns = ("account_id", "number", "started_at", "used", "new", "bought", "loss", "source")
    table = Table(title="records that lose most", title_justify="left")
    for column in columns:
        justify: Literal["left", "right"] = "right" if column in {"used", "new", "bought", "loss"} else "left"
        table.add_column(column.replace("_", " "), justify=justify)
    for each in losing:
        table.add_row(*(Text(str(losing_fields(each, currency)[column])) for column in columns))
    out.print(table)


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
    """Write all sums, one file by destination and one by customer, and the records that lose most. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, sums in (("by-destination", outcome.by_destination), ("by-customer", outcome.by_account)):
        with (folder / f"{name}.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, sums_fields("", Sums(), currency), lineterminator="\n")
            writer.writeheader()
            writer.writerows(sums_fields(*item, currency) for item in _by_change(sums))
    with (folder / "at-a-loss.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, Losing.__struct_fields__, lineterminator="\n")
        writer.writeheader()
        writer.writerows(losing_fields(each, currency) for each in outcome.losing)


def draw(path: Path, outcome: Outcome, currency: Currency, title: str, *, has_cost: bool) -> None:
    """Draw where revenue moves, and with costs what is earned. Raises ImportError, OSError, ValueError."""
    import matplotlib as mpl

    mpl.use("Agg")
    mpl.rcParams["svg.fonttype"] = "none"  # text stays text: it can be searched
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 11 if has_cost else 6.5), layout="constrained")
    total = outcome.total
    earned = f"; margin {shown(total.margin, currency)}" if has_cost else ""
    figure.suptitle(
        f"{title}\n{total.records:,} records: revenue {shown(total.old, currency)} to {shown(total.new, currency)}"
        f" {currency.code} ({percent(total.change, total.old) or '-'} %){earned}",
        fontsize=13,
    )
    rows = figure.subplots(2 if has_cost else 1, 2, squeeze=False)
    for at, (sums, what) in enumerate(((outcome.by_destination, "destination"), (outcome.by_account, "customer"))):
        more, less = changed(sums, BARS)
        items = [(name, each.change, _label(each)) for name, each in (*less, *reversed(more))]
        _bars(rows[0][at], items, currency, f"change by {what}: {len(items) or 'none'} of {len(sums):,}")
        if has_cost:
            ordered = sorted(sums.items(), key=lambda item: (item[1].margin, item[0]))
            ends = ordered[:BARS] + ordered[max(BARS, len(ordered) - BARS) :]
            items = [(name, each.margin, _margin_label(each)) for name, each in ends]
            _bars(
                rows[1][at], items, currency, f"margin by {what}: the least and the most, {len(items)} of {len(sums):,}"
            )
    figure.savefig(path, dpi=130)


def _bars(axes: Any, items: Sequence[tuple[str, int, str]], currency: Currency, title: str) -> None:
    amounts = [amount / 10**currency.scale for _, amount, _ in items]  # a drawing, not an account
    colours = [_BLUE if amount > 0 else _ORANGE for amount in amounts]
    bars = axes.barh([name for name, _, _ in items], amounts, color=colours, height=0.7)
    axes.bar_label(bars, [label for _, _, label in items], padding=4, fontsize=9, color=_GREY)
    axes.axvline(0, color=_GREY, linewidth=0.8)
    axes.margins(x=0.2)
    axes.set_title(title, fontsize=11)
    axes.set_xlabel(currency.code or "amount")
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0)


def _label(sums: Sums) -> str:
    rate = percent(sums.change, sums.old)
    return f"{rate} %" if rate else "new"


def _margin_label(sums: Sums) -> str:
    rate = percent(sums.margin, sums.new)
    return f"{rate} %" if rate else ""
