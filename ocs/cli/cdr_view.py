"""Records on a terminal: one explained, many in a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
from rich.table import Table
from rich.text import Text

from balance.money import Currency
from ocs.api.history import CdrView, ExplainedCdr, ExplainedGroup, cdr_view
from ocs.billing.cdrs import CdrRow
from ocs.billing.months import Part
from ocs.cli.rates_view import console, print_choices, print_json


def print_explained(found: ExplainedCdr) -> None:
    """The record, then the road to each group's price, then who paid."""
    out = console()
    cdr = found.cdr
    out.print(
        Text(
            f"{found.account_id}/{cdr.entry_number}: {cdr.service} to {cdr.destination or 'no number'}, {cdr.protocol}"
        )
    )
    plan = f"plan {cdr.rate_plan}, " if cdr.rate_plan else ""
    out.print(
        Text(f"{cdr.started_at} to {cdr.ended_at}; {cdr.cost} {cdr.currency} by {plan}version {cdr.rate_version}")
    )
    came_from = [f"caller {cdr.origin}"] if cdr.origin else []
    came_from += [f"user in {cdr.whereabouts}"] if cdr.whereabouts else []
    if came_from:
        out.print(Text(f"from {', '.join([*came_from, f'trunk {cdr.peer}'])}"))
    if cdr.flags:
        out.print(Text(f"flags: {', '.join(cdr.flags)}"))
    for view, group in zip(cdr.groups, found.groups, strict=True):
        name = "" if group.rating_group is None else f"rating group {group.rating_group}: "
        where = f", {view.destination} ({view.prefix})" if view.prefix else ""
        since = f", since {view.since}{f' in {view.whereabouts}' if view.whereabouts else ''}" if view.since else ""
        out.print(Text(f"\n{name}{view.tariff}{where}, from {view.source}{since}"))
        _print_choice(group)
        for line in (*group.price_words, "", *view.explanation):
            out.print(Text(f"  {line}"))
        for taken in group.bundles:
            out.print(Text(f"  bucket {taken.bucket_id}, bundle {taken.bundle}: {taken.units} {view.unit}"))
    for change in found.buckets:
        out.print(Text(f"bucket {change.bucket_id}: {change.amount} {cdr.currency}"))


def _print_choice(group: ExplainedGroup) -> None:
    if group.note:
        out = console()
        out.print(Text(f"  ({group.note})"))
    print_choices(msgspec.to_builtins(group.tariffs), msgspec.to_builtins(group.candidates))


def print_records(
    rows: Sequence[CdrRow], currencies: Mapping[str, Currency], *, as_json: bool, has_more: bool = False
) -> None:
    """Found records, one line each; all of them as JSON."""
    views = [cdr_view(row, currencies[row.currency], is_explained=False) for row in rows]
    if as_json:
        print_json({"cdrs": msgspec.to_builtins(views)})
        return
    table = Table("id", "began", "service", "from", "to", "destination", "used", "cost", box=None, header_style="bold")
    for each in views:
        table.add_row(*_cells(each))
    out = console()
    out.print(table if views else Text("there is no such record"))
    if has_more:
        out.print(Text("there are more: name a span, or a greater --limit"))


def _cells(view: CdrView) -> tuple[str, ...]:
    used = " ".join(f"{group.used} {group.unit}" for group in view.groups)
    names = ", ".join(dict.fromkeys(group.destination for group in view.groups if group.destination))
    return (
        f"{view.account_id}/{view.entry_number}", view.started_at, view.service, view.origin or view.subscriber,
        view.destination, names, used, f"{view.cost} {view.currency}",
    )  # fmt: skip


def print_months(parts: Sequence[Part], *, as_json: bool) -> None:
    """The parts of the table of records."""
    if as_json:
        print_json({"months": [part._asdict() for part in parts]})
        return
    table = Table("part", "records", "MB", box=None, header_style="bold")
    for part in parts:
        table.add_row(part.name, f"{part.records:,}", f"{part.octets / 1e6:,.1f}")
    console().print(table)
