"""Re-ratings on a terminal and for programs."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence

from rich.table import Table
from rich.text import Text

from balance.money import Currency, format_amount
from ocs.billing.reratings import AccountLine, Line, Run
from ocs.cli.rates_import_view import progress_bar
from ocs.cli.rates_view import console
from ocs.rates.moments import moment_text
from ocs.rates.report import NO_CURRENCY, Fields
from ocs.rerating import Preview


@contextlib.contextmanager
def progress_count(what: str) -> Iterator[Callable[[int], None]]:
    """Count on standard error where the total is not known."""
    with progress_bar() as progress:
        yield lambda done: progress(f"{done:,} {what}", 0, 0)


def _text(amount: int, currency: Currency) -> str:
    return format_amount(amount, currency.scale, currency.digits)


def account_fields(account: AccountLine, currencies: Mapping[str, Currency]) -> Fields:
    """What a run means for an account; amounts are decimal strings, + is money back."""
    return {
        "account_id": account.account_id,
        "currency": account.currency,
        "adjustment": _text(account.amount, currencies.get(account.currency, NO_CURRENCY)),
        "records": account.records,
        "applied_entry": account.applied_entry,
        "undone_entry": account.undone_entry,
        "refusal": account.refusal,
    }


def _line_fields(line: Line, currency: Currency) -> Fields:
    return {
        "record": f"{line.account_id}/{line.entry_number}",
        "before": _text(line.cost_before, currency),
        "after": _text(line.cost_after, currency),
        "difference": _text(line.cost_after - line.cost_before, currency),
        "source": line.source,
    }


def preview_fields(found: Preview, currencies: Mapping[str, Currency]) -> Fields:
    """A preview with all its lines."""
    currency_of = {each.account_id: currencies.get(each.currency, NO_CURRENCY) for each in found.accounts}
    return {
        "run": found.run_id,
        "records": found.records,
        "unpriced": found.unpriced,
        "accounts": [account_fields(each, currencies) for each in found.accounts],
        "lines": [_line_fields(line, currency_of[line.account_id]) for line in found.lines],
    }


def run_fields(run: Run) -> Fields:
    """A run in a list."""
    return {
        "run": run.run_id,
        "state": run.state.value,
        "previewed": moment_text(run.created_at_ms),
        "selection": run.selection,
        "rates": run.rate_version,
    }


def print_preview(found: Preview, currencies: Mapping[str, Currency], limit: int) -> None:
    """The differences, the largest first, and how to go on."""
    out = console()
    out.print(Text(f"{found.records:,} records, {len(found.lines):,} cost something else"))
    for reason, count in sorted(found.unpriced.items()):
        out.print(Text(f"{count:,} have no price now ({reason}) and stay as they are"))
    if not found.run_id:
        return
    accounts = sorted(found.accounts, key=lambda each: -abs(each.amount))
    _print(out.print, "accounts", [account_fields(each, currencies) for each in accounts[:limit]])
    currency_of = {each.account_id: currencies.get(each.currency, NO_CURRENCY) for each in found.accounts}
    lines = sorted(found.lines, key=lambda line: -abs(line.cost_after - line.cost_before))[:limit]
    _print(out.print, "records", [_line_fields(line, currency_of[line.account_id]) for line in lines])
    out.print(Text(f"nothing has moved yet: ocs rerate apply {found.run_id}"))


def print_settled(run: str, accounts: Sequence[AccountLine], currencies: Mapping[str, Currency]) -> None:
    """What became of each account."""
    out = console()
    _print(out.print, f"re-rating {run}", [account_fields(each, currencies) for each in accounts])
    refused = [each for each in accounts if each.refusal]
    out.print(Text(f"{len(accounts) - len(refused)} accounts settled, {len(refused)} refused"))


def print_runs(rows: Sequence[Fields]) -> None:
    """One line a run."""
    out = console()
    if rows:
        _print(out.print, "re-ratings", rows)
    else:
        out.print("nothing was re-rated yet: ocs rerate preview")


def _print(show: Callable[[Table], None], title: str, rows: Sequence[Fields]) -> None:
    names = [name for name in rows[0] if any(row[name] not in {"", None} for row in rows)]
    table = Table(*(name.replace("_", " ") for name in names), title=title, title_justify="left")
    for row in rows:
        table.add_row(*(Text("" if row[name] is None else str(row[name])) for name in names))
    show(table)
