"""What has happened: CDRs and journal entries, as they stand in PostgreSQL."""

from __future__ import annotations

from typing import Annotated, Final, TypeAlias

import msgspec
from litestar import get
from litestar.params import FromPath, FromQuery, QueryParameter

from balance.money import Currency, format_amount
from ocs.api.context import Given
from ocs.api.keys import Scope
from ocs.api.operations import operation
from ocs.api.problems import invalid
from ocs.api.schemas import DecimalString, Instant, instant, milliseconds
from ocs.billing.cdrs import FAR_FUTURE_MS, PAGE_MAX, CdrRow, CursorError, JournalRow
from ocs.charging.cdr import CdrFlag, CdrGroup
from ocs.rating.explain import explain
from ocs.rating.units import UnitKind

Limit: TypeAlias = Annotated[int, QueryParameter(ge=1, le=PAGE_MAX)]
Cursor: TypeAlias = Annotated[str, QueryParameter(description="next_cursor of the page before; empty to begin")]


class CdrGroupView(msgspec.Struct, frozen=True, kw_only=True):
    """``source`` is the file and line of the rate, in the version that the CDR's ``rate_version`` names.

    ``explanation`` is the price in words, if it was asked for; its amounts add up to ``cost``.
    """

    rating_group: int | None
    service_ids: tuple[int, ...]
    unit: str
    used: int
    cost: DecimalString
    tariff: str
    destination: str
    prefix: str
    source: str
    explanation: tuple[str, ...]


class CdrView(msgspec.Struct, frozen=True, kw_only=True):
    """``entry_number`` is the CDR's unique number within its account; ``details`` are what the client said beside, by
    its attributes' names, as far as the client's profile keeps them.
    """

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
    details: dict[str, str]
    groups: tuple[CdrGroupView, ...]


class ChangeView(msgspec.Struct, frozen=True, kw_only=True):
    bucket_id: int
    amount: DecimalString


class EntryView(msgspec.Struct, frozen=True, kw_only=True):
    entry_number: int
    at: Instant
    kind: str
    currency: str
    amount: DecimalString
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
    explained: Annotated[bool, QueryParameter(name="explain", description="Say each price in words")] = False,
) -> CdrList:
    """Rated CDRs whose start lies in [started_from, started_to). They arrive here a moment after the call's end."""
    since_ms, until_ms = milliseconds("started_from", started_from), milliseconds("started_to", started_to)
    try:
        page = await context.history.list_cdrs(
            account_id, cursor, limit, since_ms=since_ms, until_ms=until_ms or FAR_FUTURE_MS
        )
    except CursorError as error:
        raise invalid("cursor", str(error)) from error
    views = tuple(_cdr_view(row, context.currencies[row.currency], explained) for row in page.items)
    return CdrList(cdrs=views, next_cursor=page.next_cursor)


@get("/accounts/{account_id:str}/journal", tags=["history"], **operation("list_journal", Scope.CDRS_READ))
async def list_journal(account_id: FromPath[str], context: Given, limit: Limit = 100, cursor: Cursor = "") -> EntryList:
    """Every change of the account's money: top-ups, adjustments, expiries, sessions."""
    try:
        page = await context.history.list_journal(account_id, cursor, limit)
    except CursorError as error:
        raise invalid("cursor", str(error)) from error
    views = tuple(_entry_view(row, context.currencies[row.currency]) for row in page.items)
    return EntryList(entries=views, next_cursor=page.next_cursor)


def _cdr_view(cdr: CdrRow, currency: Currency, is_explained: bool) -> CdrView:
    return CdrView(
        entry_number=cdr.entry_number,
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
        currency=cdr.currency,
        rate_version=cdr.rate_version,
        cause=cdr.cause,
        flags=tuple((flag.name or "").lower() for flag in CdrFlag(cdr.flags)),
        details=cdr.details,
        groups=tuple(_group_view(group, currency, is_explained) for group in cdr.groups),
    )


def _group_view(group: CdrGroup, currency: Currency, is_explained: bool) -> CdrGroupView:
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
        explanation=tuple(explain(group.price, group.used, group.cost, currency)) if is_explained else (),
    )


def _entry_view(row: JournalRow, currency: Currency) -> EntryView:
    return EntryView(
        entry_number=row.entry_number,
        at=instant(row.at_ms),
        kind=row.kind,
        currency=row.currency,
        amount=format_amount(row.amount, currency.scale, currency.digits),
        changes=tuple(
            ChangeView(bucket_id=hold.bucket_id, amount=format_amount(hold.amount, currency.scale, currency.digits))
            for hold in row.changes
        ),
        reference=row.reference,
        actor=row.actor,
        reason=row.reason,
    )


ROUTES: Final = (list_cdrs, list_journal)
