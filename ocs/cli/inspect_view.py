"""Records of the store as fields that people and programs can read: amounts as decimals, times as RFC 3339."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from balance.account import NEVER_MS
from balance.burn import total_of
from balance.money import Amount, Currency, format_amount
from ocs.api.schemas import instant
from ocs.api.views import account_view
from ocs.charging.cdr import CdrFlag, CdrGroup
from ocs.charging.request import ChargingStatus, FinalUnitAction, GroupAnswer, GroupKey, RequestKind
from ocs.charging.session import (
    CreditSession,
    GroupState,
    Merger,
    OperationRecord,
    SessionKind,
    Step,
    StoredAnswer,
    Timer,
    Tombstone,
    Transfer,
)
from ocs.inspection import FoundAccount, FoundRecord
from ocs.rating.units import UnitKind, quantity_text

Currencies = Mapping[str, Currency]
Fields = dict[str, Any]

PIPE_COLUMNS: Final = 240
_UNKNOWN_CURRENCY: Final = Currency("", 0, 9, 2)


# --- fields -----------------------------------------------------------------------------------------------------


def account_fields(found: FoundAccount, currencies: Currencies, now_ms: int) -> Fields:
    """The account as the API shows it, and what only the store knows of it."""
    account = found.account
    fields: Fields = msgspec.to_builtins(account_view(account, _currency(currencies, account.currency), now_ms))
    return {
        **fields,
        "open_sessions": found.open_sessions,
        "version": account.version,
        "entry_number": account.entry_number,
        "partition": found.partition,
        "key": found.key,
    }


def session_summary(session: CreditSession, currencies: Currencies) -> Fields:
    """One line of a list."""
    currency = _currency(currencies, session.currency)
    return {
        "session_key": session.session_key,
        "account_id": session.account_id,
        "service": session.service,
        "destination": session.destination,
        "opened_at": instant(session.opened_at_ms),
        "heard_at": instant(session.heard_at_ms),
        "deadline_at": _instant(session.deadline_ms),
        "reserved": _text(total_of(session.reservation), currency),
        "cost": _text(session.cost, currency),
        "currency": session.currency,
    }


def record_fields(found: FoundRecord, currencies: Currencies) -> Fields:
    """A session, the tombstone of one, or an account operation that was done under a key."""
    record = found.record
    place: Fields = {"key": found.key}
    if found.expires_in_ms >= 0:
        place["expires_in_s"] = found.expires_in_ms // 1000
    match record:
        case CreditSession():
            return {**_session_fields(record, currencies), **place}
        case Tombstone():
            return {
                "session_key": found.session_key,
                "state": "closed",
                "account_id": record.account_id,
                "closed_at": instant(record.closed_at_ms),
                "highest_request_number": record.seen.highest,
                "answers": [_answer_fields(answer, currencies) for answer in record.answers],
                **place,
            }
        case Timer():
            return {
                "session_key": found.session_key,
                "state": "timer",
                "account_id": record.account_id,
                "due_at": instant(record.due_at_ms),
                **place,
            }
        case Step():
            return {
                "session_key": found.session_key,
                "state": "on its way",
                "account_id": record.account_id,
                "below": record.below,
                "request": f"{record.request.session_key} {record.request.kind.name} {record.request.request_number}",
                **place,
            }
        case Merger():
            return {
                "session_key": found.session_key,
                "state": "on its way",
                "account_id": record.account_id,
                "into": record.into,
                **place,
            }
        case Transfer():
            return {
                "session_key": found.session_key,
                "state": "on its way",
                "account_id": record.account_id,
                "payee": record.payee,
                "amount": _text(record.amount, _currency(currencies, record.currency)),
                "currency": record.currency,
                "began_at": instant(record.at_ms),
                **place,
            }
        case OperationRecord():
            return {
                "session_key": found.session_key,
                "state": "done",
                "account_id": record.account_id,
                "done_at": instant(record.at_ms),
                "entry_number": record.entry_number,
                **place,
            }


def _session_fields(session: CreditSession, currencies: Currencies) -> Fields:
    currency = _currency(currencies, session.currency)
    return {
        **session_summary(session, currencies),
        "state": "open" if session.kind is SessionKind.CALL else "authorized",
        "subscriber": session.subscriber_id,
        "peer": session.peer,
        "origin": session.origin,
        "highest_request_number": session.seen.highest,
        "flags": _flags(session.flags),
        "groups": [_group_fields(group, currency) for group in session.groups],
        "answers": [_answer_fields(answer, currencies) for answer in session.answers],
    }


def _group_fields(group: GroupState, currency: Currency) -> Fields:
    tariff = group.tariff
    kind = tariff.price.kind
    return {
        "group": _group_name(group.key),
        "used": quantity_text(kind, group.used),
        "granted": quantity_text(kind, group.granted) if group.granted else "",
        "reserved": _text(total_of(group.reservation), currency),
        "cost": _text(group.cost, currency),
        "plan": tariff.plan,
        "tariff": tariff.name,
        "destination": tariff.destination,
        "prefix": tariff.prefix,
        "source": tariff.source,
        "rate_version": tariff.version,
        "before": [_part_text(part, currency) for part in group.course.parts] if group.course is not None else [],
        "flags": _flags(group.flags),
    }


def _part_text(part: CdrGroup, currency: Currency) -> str:
    """What was used at an earlier price, such as ``30 s at Home: 0.40``."""
    used = quantity_text(UnitKind(part.unit_kind), part.used)
    return f"{used} at {part.tariff}: {_text(part.cost, currency)}"


def _answer_fields(stored: StoredAnswer, currencies: Currencies) -> Fields:
    answer = stored.answer
    currency = _currency(currencies, answer.currency)
    return {
        "request_number": stored.request_number,
        "request": RequestKind(stored.kind).name.lower(),
        "status": ChargingStatus(answer.status).name.lower(),
        "groups": [_granted_text(group, currency) for group in answer.groups],
        "cost": _text(answer.cost, currency),
    }


def _granted_text(group: GroupAnswer, currency: Currency) -> str:
    """Such as ``rating group 10: 30 s, final (terminate), valid 300 s``."""
    parts = [] if group.status == ChargingStatus.SUCCESS else [ChargingStatus(group.status).name.lower()]
    if group.granted and group.kind == UnitKind.MONEY:
        parts.append(f"{_text(group.granted, currency)} {currency.code}")
    elif group.granted:
        parts.append(quantity_text(UnitKind(group.kind), group.granted))
    if group.final >= 0:
        parts.append(f"final ({FinalUnitAction(group.final).name.lower()})")
    if group.validity_s:
        parts.append(f"valid {group.validity_s} s")
    if group.change_at_ms:
        parts.append(f"price changes at {instant(group.change_at_ms)}")
    return f"{_group_name(group.key)}: {', '.join(parts) or 'no grant'}"


def _group_name(key: GroupKey) -> str:
    parts = [f"rating group {key.rating_group}"] if key.rating_group >= 0 else []
    parts += [f"service {service_id}" for service_id in key.service_ids]
    return ", ".join(parts) or "the only one"


def _flags(flags: int) -> list[str]:
    return [(flag.name or "").lower() for flag in CdrFlag(flags)]


def _currency(currencies: Currencies, code: str) -> Currency:
    return currencies.get(code, _UNKNOWN_CURRENCY)


def _text(amount: Amount, currency: Currency) -> str:
    return format_amount(amount, currency.scale, currency.digits)


def _instant(at_ms: int) -> str | None:
    return None if at_ms == NEVER_MS else instant(at_ms)


# --- on the screen ----------------------------------------------------------------------------------------------


def print_json(fields: Fields) -> None:
    """One document on standard output."""
    print(msgspec.json.format(msgspec.json.encode(fields), indent=2).decode())


def print_account(fields: Fields) -> None:
    print_fields(fields)
    _print_rows("buckets", fields["buckets"])
    _print_rows("units", fields["units"])
    _print_rows("calls", fields["calls"])
    _print_rows("caps", fields["caps"])
    _print_rows("subscriptions", fields["subscriptions"])
    _print_rows("counters", [{**counter, "tiers": _tier_texts(counter["tiers"])} for counter in fields["counters"]])


def _tier_texts(tiers: Sequence[Fields]) -> list[str]:
    return [f"{tier['used']} of {tier['size']}" if tier["size"] else f"{tier['used']} beyond" for tier in tiers]


def print_session(fields: Fields) -> None:
    print_fields(fields)
    for name in ("groups", "answers"):
        _print_rows(name, fields.get(name, []))


def print_sessions(rows: Sequence[Fields], *, truncated: bool) -> None:
    """A line each; ``deadline_at`` is for programs, which may read a wide line."""
    if not rows:
        print("no open sessions")
    _print_rows("", [{name: row[name] for name in row if name != "deadline_at"} for row in rows])
    if truncated:
        print(f"there are more than these {len(rows)}: name a higher --limit")


def print_fields(fields: Fields) -> None:
    """What is no list of records, a line each."""
    table = Table(show_header=False, box=None, pad_edge=False)
    for name, value in fields.items():
        if name not in {"buckets", "units", "calls", "caps", "counters", "subscriptions", "groups", "answers"}:
            table.add_row(name.replace("_", " "), _cell(value))
    _console().print(table)


def _print_rows(title: str, rows: Sequence[Fields]) -> None:
    if not rows:
        return
    table = Table(title=title or None, title_justify="left", box=None, pad_edge=False)
    for name in rows[0]:
        table.add_column(name.replace("_", " "), overflow="fold")
    for row in rows:
        table.add_row(*(_cell(value) for value in row.values()))
    out = _console()
    if title:
        out.print()
    out.print(table)


def _cell(value: object) -> Text:
    """Plain text: what peers and operators wrote is never markup."""
    if isinstance(value, (list, tuple)):
        return Text("\n".join(map(str, value)))
    return Text("" if value is None else str(value).lower() if isinstance(value, bool) else str(value))


def _console() -> Console:
    """What is no terminal gets whole lines: keys and sources are to be copied."""
    found = Console(highlight=False)
    return found if found.is_terminal else Console(highlight=False, width=PIPE_COLUMNS)
