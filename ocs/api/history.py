"""What has happened: CDRs and journal entries, as they stand in PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Final, TypeAlias

import msgspec
from litestar import get
from litestar.params import FromPath, FromQuery, QueryParameter

from balance.money import Currency, format_amount
from ocs.api.context import Context, Given
from ocs.api.keys import Scope
from ocs.api.operations import operation
from ocs.api.problems import invalid
from ocs.api.schemas import DecimalString, Instant, instant, milliseconds
from ocs.charging.cdr import Cdr, CdrFlag, CdrGroup, JournalEntry
from ocs.rating.units import UnitKind

PAGE_MAX: Final = 1000

Limit: TypeAlias = Annotated[int, QueryParameter(ge=1, le=PAGE_MAX)]
Cursor: TypeAlias = Annotated[str, QueryParameter(description="next_cursor of the page before; empty to begin")]


class CdrGroupView(msgspec.Struct, frozen=True, kw_only=True):
    """``source`` is the file and line of the rate, in the version that the CDR's ``rate_version`` names."""

    rating_group: int | None
    service_ids: tuple[int, ...]
    unit: str
    used: int
    cost: DecimalString
    tariff: str
    destination: str
    prefix: str
    source: str


class CdrView(msgspec.Struct, frozen=True, kw_only=True):
    """``entry_number`` is the CDR's unique number within its account."""

    entry_number: int
    session_id: str
    protocol: str
    peer: str
    subscriber: str
    service: str
    origin: str
    destination: str
    started_at: Instant
    ended_at: Instant
    cost: DecimalString
    currency: str
    rate_version: str
    cause: str
    flags: tuple[str, ...]
    groups: tuple[CdrGroupView, ...]


class ChangeView(msgspec.Struct, frozen=True, kw_only=True):
    bucket_id: int
    amount: DecimalString


class EntryView(msgspec.Struct, frozen=True, kw_only=True):
    entry_number: int
    at: Instant
    kind: str
    currency: str
    changes: tuple[ChangeView, ...]
    reference: str
    actor: str
    reason: str


class CdrList(msgspec.Struct, frozen=True, kw_only=True):
    """Newest first. ``next_cursor`` empty: this was the last page."""

    cdrs: tuple[CdrView, ...]
    next_cursor: str


class EntryList(msgspec.Struct, frozen=True, kw_only=True):
    """Newest first. ``next_cursor`` empty: this was the last page."""

    entries: tuple[EntryView, ...]
    next_cursor: str


@get("/accounts/{account_id:str}/cdrs", tags=["history"], **operation("list_cdrs", Scope.CDRS_READ))
async def list_cdrs(
    account_id: FromPath[str],
    context: Given,
    limit: Limit = 100,
    cursor: Cursor = "",
    started_from: FromQuery[Instant | None] = None,
    started_to: FromQuery[Instant | None] = None,
) -> CdrList:
    """Rated CDRs whose start lies in [started_from, started_to). They arrive here a moment after the call's end."""
    found = await context.history.cdrs(
        account_id,
        limit + 1,
        before=_before(cursor),
        from_ms=milliseconds("started_from", started_from),
        to_ms=milliseconds("started_to", started_to),
    )
    views = tuple(
        _cdr_view(entry, entry.cdr, context.currencies[entry.currency]) for entry in found[:limit] if entry.cdr
    )
    return CdrList(cdrs=views, next_cursor=_next_cursor(found, limit))


@get("/accounts/{account_id:str}/journal", tags=["history"], **operation("list_journal", Scope.CDRS_READ))
async def list_journal(account_id: FromPath[str], context: Given, limit: Limit = 100, cursor: Cursor = "") -> EntryList:
    """Every change of the account's money: top-ups, adjustments, expiries, sessions."""
    found = await context.history.journal(account_id, limit + 1, before=_before(cursor))
    views = tuple(_entry_view(entry, context) for entry in found[:limit])
    return EntryList(entries=views, next_cursor=_next_cursor(found, limit))


def _before(cursor: str) -> int:
    if not cursor:
        return 0
    if not (cursor.isascii() and cursor.isdigit() and 0 < len(cursor) <= 18):
        raise invalid("cursor", "take next_cursor of the page before, as it is")
    return int(cursor)


def _next_cursor(found: Sequence[JournalEntry], limit: int) -> str:
    return str(found[limit - 1].entry_number) if len(found) > limit else ""


def _cdr_view(entry: JournalEntry, cdr: Cdr, currency: Currency) -> CdrView:
    return CdrView(
        entry_number=entry.entry_number,
        session_id=cdr.session_id,
        protocol=cdr.protocol,
        peer=cdr.peer,
        subscriber=cdr.subscriber,
        service=cdr.service,
        origin=cdr.origin,
        destination=cdr.destination,
        started_at=instant(cdr.started_at_ms),
        ended_at=instant(cdr.ended_at_ms),
        cost=format_amount(cdr.cost, currency.scale, currency.digits),
        currency=entry.currency,
        rate_version=cdr.rate_version,
        cause=cdr.cause,
        flags=tuple((flag.name or "").lower() for flag in CdrFlag(cdr.flags)),
        groups=tuple(_group_view(group, currency) for group in cdr.groups),
    )


def _group_view(group: CdrGroup, currency: Currency) -> CdrGroupView:
    return CdrGroupView(
        rating_group=None if group.rating_group < 0 else group.rating_group,
        service_ids=group.service_ids,
        unit=UnitKind(group.unit_kind).name.lower(),
        used=group.used,
        cost=format_amount(group.cost, currency.scale, currency.digits),
        tariff=group.tariff,
        destination=group.destination,
        prefix=group.prefix,
        source=group.source,
    )


def _entry_view(entry: JournalEntry, context: Context) -> EntryView:
    currency = context.currencies[entry.currency]
    return EntryView(
        entry_number=entry.entry_number,
        at=instant(entry.at_ms),
        kind=entry.kind,
        currency=entry.currency,
        changes=tuple(
            ChangeView(bucket_id=hold.bucket_id, amount=format_amount(hold.amount, currency.scale, currency.digits))
            for hold in entry.changes
        ),
        reference=entry.reference,
        actor=entry.actor,
        reason=entry.reason,
    )


ROUTES: Final = (list_cdrs, list_journal)
