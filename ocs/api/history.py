"""What has happened: CDRs and journal entries, as they stand in PostgreSQL."""

from __future__ import annotations

from typing import Annotated, Any, Final

import msgspec
from litestar import Request, get
from litestar.params import FromPath, FromQuery, QueryParameter

from balance.money import Currency, format_amount
from ocs.api.context import Context, Given, prefix_of
from ocs.api.cursors import Cursor, Limit
from ocs.api.keys import Scope
from ocs.api.operations import operation
from ocs.api.problems import Kind, Problem, invalid
from ocs.api.schemas import DecimalString, Instant, instant, milliseconds
from ocs.billing.cdrs import CdrRow, JournalRow
from ocs.billing.search import ENTRY_MAX, FAR_FUTURE_MS, CdrQuery, CursorError
from ocs.charging.cdr import CdrFlag, CdrGroup
from ocs.rates.report import price_fields
from ocs.rates.trace import Candidate, Considered, Query, trace
from ocs.rates.wording import price_lines
from ocs.rating.explain import explain, parts_of
from ocs.rating.price import billed_units
from ocs.rating.ratebook import RateBook
from ocs.rating.units import UnitKind


class CdrGroupView(msgspec.Struct, frozen=True, kw_only=True):
    """``source`` is the file and line of the rate, in the version that the CDR's ``rate_version`` names.

    A group whose price changed in mid-session stands here once for each; ``since`` is when that price began to hold, and
    ``whereabouts`` where the user was from then on, if that is why.

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
    since: Instant | None
    whereabouts: str
    explanation: tuple[str, ...]


class CdrView(msgspec.Struct, frozen=True, kw_only=True):
    """``entry_number`` is the CDR's unique number within its account; ``details`` are what the client said beside, by
    its attributes' names, as far as the client's profile keeps them. ``rate_plan`` is the account's plan when the use began,
    ``whereabouts`` where the user was then, such as ``26201 rat:eutran apn:internet``; both are empty in records older than these fields.
    """

    account_id: str
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
    rate_plan: str
    whereabouts: str
    rate_version: str
    cause: str
    flags: tuple[str, ...]
    details: dict[str, str]
    groups: tuple[CdrGroupView, ...]


class ChangeView(msgspec.Struct, frozen=True, kw_only=True):
    bucket_id: int
    amount: DecimalString


class UnitsView(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds, octets or events into a bucket of units, or with a minus sign out of it."""

    bucket_id: int
    units: int


class EntryView(msgspec.Struct, frozen=True, kw_only=True):
    entry_number: int
    at: Instant
    kind: str
    currency: str
    amount: DecimalString
    changes: tuple[ChangeView, ...]
    units: tuple[UnitsView, ...]
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
    service: Annotated[str, QueryParameter(description="Of this service alone")] = "",
    explained: Annotated[bool, QueryParameter(name="explain", description="Say each price in words")] = False,
) -> CdrList:
    """Rated CDRs whose start lies in [started_from, started_to). They arrive here a moment after the call's end."""
    since_ms, until_ms = _span(started_from, started_to)
    query = CdrQuery(account_id=account_id, service=service, since_ms=since_ms, until_ms=until_ms)
    return await _found(context, query, cursor, limit, explained)


@get("/cdrs", tags=["history"], **operation("search_cdrs", Scope.CDRS_READ, for_tenants=True))
async def search_cdrs(
    context: Given,
    request: Request[Any, Any, Any],
    limit: Limit = 100,
    cursor: Cursor = "",
    account_id: FromQuery[str] = "",
    number: Annotated[
        str, QueryParameter(description="The caller's or the called one; 4930* for all that begin so")
    ] = "",
    destination: Annotated[str, QueryParameter(description="Its name in the rates; a star at the end as above")] = "",
    session_id: FromQuery[str] = "",
    service: FromQuery[str] = "",
    started_from: FromQuery[Instant | None] = None,
    started_to: FromQuery[Instant | None] = None,
    explained: Annotated[bool, QueryParameter(name="explain", description="Say each price in words")] = False,
) -> CdrList:
    """Rated CDRs of all accounts that are as every given parameter says, newest first. A tenant's key finds its own alone."""
    since_ms, until_ms = _span(started_from, started_to)
    query = CdrQuery(
        account_id=account_id, number=number, destination=destination, session_id=session_id, service=service,
        since_ms=since_ms, until_ms=until_ms, tenant=prefix_of(request.auth),
    )  # fmt: skip
    return await _found(context, query, cursor, limit, explained)


def _span(started_from: Instant | None, started_to: Instant | None) -> tuple[int, int]:
    return milliseconds("started_from", started_from), milliseconds("started_to", started_to) or FAR_FUTURE_MS


async def _found(context: Context, query: CdrQuery, cursor: str, limit: int, is_explained: bool) -> CdrList:
    try:
        page = await context.history.find_cdrs(query, cursor, limit)
    except CursorError as error:
        raise invalid("cursor", str(error)) from error
    views = tuple(cdr_view(row, context.currencies[row.currency], is_explained) for row in page.items)
    return CdrList(cdrs=views, next_cursor=page.next_cursor)


@get("/accounts/{account_id:str}/journal", tags=["history"], **operation("list_journal", Scope.CDRS_READ))
async def list_journal(
    account_id: FromPath[str],
    context: Given,
    limit: Limit = 100,
    cursor: Cursor = "",
    kind: Annotated[str, QueryParameter(description="Of this kind alone, such as top_up")] = "",
    reference: Annotated[str, QueryParameter(description="An Idempotency-Key, or the key of a session")] = "",
    at_from: FromQuery[Instant | None] = None,
    at_to: FromQuery[Instant | None] = None,
) -> EntryList:
    """Every change of the account's money in [at_from, at_to): top-ups, adjustments, expiries, sessions."""
    since_ms, until_ms = milliseconds("at_from", at_from), milliseconds("at_to", at_to) or FAR_FUTURE_MS
    if "\x00" in kind + reference:
        raise invalid("reference", "no entry has such a character")
    try:
        page = await context.history.list_journal(
            account_id, cursor, limit, kind=kind, reference=reference, since_ms=since_ms, until_ms=until_ms
        )
    except CursorError as error:
        raise invalid("cursor", str(error)) from error
    views = tuple(_entry_view(row, context.currencies[row.currency]) for row in page.items)
    return EntryList(entries=views, next_cursor=page.next_cursor)


@get(
    "/accounts/{account_id:str}/cdrs/{entry_number:int}",
    tags=["history"],
    **operation("explain_cdr", Scope.CDRS_READ, Kind.CDR_UNKNOWN),
)
async def explain_cdr(account_id: FromPath[str], entry_number: FromPath[int], context: Given) -> ExplainedCdr:
    """One CDR with all that made its price: which rates were in question, increments, fees, rounding, buckets."""
    found = await context.history.find_cdr(account_id, entry_number) if 0 < entry_number <= ENTRY_MAX else None
    if found is None:
        raise Problem(Kind.CDR_UNKNOWN, f"entry {entry_number} of {account_id} is no record, or there is none")
    cdr, entry = found
    account = await context.accounts.account(account_id)
    plan = account.rate_plan if account is not None else ""
    return explained(cdr, entry, context.rates.book(), plan, context.currencies[cdr.currency])


def cdr_view(cdr: CdrRow, currency: Currency, is_explained: bool) -> CdrView:
    return CdrView(
        account_id=cdr.account_id,
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
        rate_plan=cdr.rate_plan,
        whereabouts=cdr.whereabouts,
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
        since=instant(group.from_ms) if group.from_ms else None,
        whereabouts=group.whereabouts,
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
        units=tuple(
            UnitsView(bucket_id=hold.bucket_id, units=hold.amount) for hold in row.units if hold.bucket_id >= 0
        ),
        reference=row.reference,
        actor=row.actor,
        reason=row.reason,
    )


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """One summand of a cost."""

    amount: DecimalString
    words: str


class BundleUseView(msgspec.Struct, frozen=True, kw_only=True):
    """What a bucket of units has paid of a use."""

    bucket_id: int
    bundle: str
    units: int


class ExplainedGroup(msgspec.Struct, frozen=True, kw_only=True):
    """``parts`` add up to the group's cost. ``tariffs`` and ``candidates`` are what was in question, each with its outcome.

    They come from the rates in force now; ``note`` says where that is another version than the one that made the price.
    """

    rating_group: int | None
    billed: int
    price: dict[str, Any]
    price_words: tuple[str, ...]
    parts: tuple[Part, ...]
    bundles: tuple[BundleUseView, ...]
    tariffs: tuple[Considered, ...]
    candidates: tuple[Candidate, ...]
    note: str


class ExplainedCdr(msgspec.Struct, frozen=True, kw_only=True):
    """``buckets`` are those that paid, as the journal has it."""

    account_id: str
    cdr: CdrView
    groups: tuple[ExplainedGroup, ...]
    buckets: tuple[ChangeView, ...]


def explained(cdr: CdrRow, entry: JournalRow, book: RateBook | None, plan: str, currency: Currency) -> ExplainedCdr:
    """Say all of a record's price. ``book`` and ``plan`` are those of now, empty where they are not known.

    The plan counts for records that do not say by which they were rated.
    """
    plan = cdr.rate_plan or plan
    return ExplainedCdr(
        account_id=cdr.account_id,
        cdr=cdr_view(cdr, currency, is_explained=True),
        groups=tuple(_explained_group(cdr, group, book, plan, currency) for group in cdr.groups),
        buckets=_entry_view(entry, currency).changes,
    )


def _explained_group(
    cdr: CdrRow, group: CdrGroup, book: RateBook | None, plan: str, currency: Currency
) -> ExplainedGroup:
    found = None
    if book is not None and plan:
        at_ms, origin = group.from_ms or cdr.started_at_ms, cdr.from_where_of(group)
        query = Query(cdr.destination, plan, cdr.service, at_ms, group.rating_group, group.service_ids, origin)
        found = trace(book, currency, query)
    if found is None:
        note = "the account's plan and the rates of now are not known here"
    elif found.version != (group.version or cdr.rate_version):
        note = f"priced by version {group.version or cdr.rate_version}; what was in question is shown as version {found.version} has it"
    else:
        note = ""
    return ExplainedGroup(
        rating_group=None if group.rating_group < 0 else group.rating_group,
        billed=billed_units(group.price, group.used),
        price=price_fields(group.price, currency),
        price_words=tuple(price_lines(group.price, currency)),
        parts=tuple(
            Part(amount=format_amount(part.amount, currency.scale, currency.digits), words=part.words)
            for part in parts_of(group.price, group.used, group.cost, currency)
        ),
        bundles=tuple(
            BundleUseView(bucket_id=taken.bucket_id, bundle=taken.bundle, units=taken.units) for taken in group.taken
        ),
        tariffs=found.tariffs if found else (),
        candidates=found.candidates if found else (),
        note=note,
    )


ROUTES: Final = (list_cdrs, search_cdrs, explain_cdr, list_journal)
