"""An explained record on a terminal."""

from __future__ import annotations

import msgspec
from rich.text import Text

from ocs.api.history import ExplainedCdr, ExplainedGroup
from ocs.cli.rates_view import console, print_choices


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
