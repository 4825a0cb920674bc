"""Open credit-control sessions: of one account, or of all; and those that network elements are asked to end."""

from __future__ import annotations

import base64
import binascii
from typing import Annotated, Any, Final, Literal, TypeAlias

import msgspec
from litestar import Request, get, post
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter
from msgspec import Meta

from balance.money import Currency, format_amount
from ocs.api.accounts import existing
from ocs.api.context import Context, Given, actor_of, check_own, prefix_of
from ocs.api.cursors import Cursor, Limit, is_number, not_ours
from ocs.api.keys import Scope
from ocs.api.operations import operation
from ocs.api.problems import Kind, Problem
from ocs.api.schemas import AccountId, Body, DecimalString, Instant, Reason, instant, milliseconds
from ocs.api.trail import note
from ocs.charging.session_search import FIRST, Position, SessionQuery, SessionView

Protocol: TypeAlias = Annotated[
    Literal["", "gy", "rf", "ra"],
    QueryParameter(description="gy: Diameter credit control, rf: Diameter accounting, ra: RADIUS"),
]
Service: TypeAlias = Annotated[str, QueryParameter(description="Of this service alone, such as voice")]
Peer: TypeAlias = Annotated[str, QueryParameter(description="Of this Diameter peer or RADIUS client alone")]
Subscriber: TypeAlias = Annotated[str, QueryParameter(description="Of this subscriber_id alone")]
Began: TypeAlias = Annotated[Instant | None, QueryParameter(description="Those that began before this instant")]
Heard: TypeAlias = Annotated[
    Instant | None, QueryParameter(description="Those of which the client was heard last before this instant")
]


class OpenSession(msgspec.Struct, frozen=True, kw_only=True):
    """``state`` is open, or authorized: it was let through, and its call has not begun. ``cost`` is what it has cost so far."""

    session_key: str
    account_id: str
    subscriber_id: str
    state: Literal["open", "authorized"]
    protocol: str
    peer: str
    service: str
    origin: str
    destination: str
    started_at: Instant
    last_at: Instant
    currency: str
    reserved: DecimalString
    cost: DecimalString


class OpenSessionList(msgspec.Struct, frozen=True, kw_only=True):
    """``next_cursor`` empty: this was the last page. A page may have fewer than ``limit``, even none, and not be the last."""

    sessions: tuple[OpenSession, ...]
    next_cursor: str


class SessionClosure(Body, frozen=True):
    """``session_key`` as the list of open sessions says it."""

    session_key: Annotated[str, Meta(min_length=1, max_length=1100, examples=["gy:pgw.example.net;1;42"])]
    reason: Reason = ""


class SessionName(Body, frozen=True):
    """One session as the list says it."""

    account_id: AccountId
    session_key: Annotated[str, Meta(min_length=1, max_length=1100, examples=["gy:pgw.example.net;1;42"])]


class SessionClosures(Body, frozen=True):
    """Up to 500 sessions of whatever accounts."""

    sessions: Annotated[tuple[SessionName, ...], Meta(min_length=1, max_length=500)]
    reason: Reason = ""


class SessionClosing(msgspec.Struct, frozen=True, kw_only=True):
    """The network element has been, or is being, asked to end it."""

    session_key: str


class SessionsClosing(msgspec.Struct, frozen=True, kw_only=True):
    """``asked``: their network elements have been, or are being, asked to end them. ``unknown``: not open by now."""

    asked: tuple[SessionName, ...]
    unknown: tuple[SessionName, ...]


@get("/sessions", tags=["sessions"], **operation("list_open_sessions", Scope.ACCOUNTS_READ, for_tenants=True))
async def list_open_sessions(
    context: Given,
    request: Request[Any, Any, Any],
    limit: Limit = 100,
    cursor: Cursor = "",
    account_id: FromQuery[str] = "",
    service: Service = "",
    protocol: Protocol = "",
    peer: Peer = "",
    subscriber_id: Subscriber = "",
    started_before: Began = None,
    last_before: Heard = None,
) -> OpenSessionList:
    """The open sessions of all accounts, of which all that is given holds; in an order of the store's own."""
    query = SessionQuery(account_id, prefix_of(request.auth), service, protocol, peer, subscriber_id)
    return await _page(context, _before(query, started_before, last_before), cursor, limit)


@get(
    "/accounts/{account_id:str}/sessions",
    tags=["sessions"],
    **operation("list_sessions", Scope.ACCOUNTS_READ, Kind.ACCOUNT_UNKNOWN),
)
async def list_sessions(
    account_id: FromPath[str],
    context: Given,
    limit: Limit = 100,
    cursor: Cursor = "",
    service: Service = "",
    protocol: Protocol = "",
    peer: Peer = "",
    subscriber_id: Subscriber = "",
    started_before: Began = None,
    last_before: Heard = None,
) -> OpenSessionList:
    """The account's open credit-control sessions, with what each has reserved and cost so far."""
    await existing(context, account_id)
    query = SessionQuery(account_id, "", service, protocol, peer, subscriber_id)
    return await _page(context, _before(query, started_before, last_before), cursor, limit)


@post(
    "/accounts/{account_id:str}/session-closures",
    tags=["sessions"],
    status_code=202,
    **operation("close_session", Scope.ACCOUNTS_WRITE, Kind.ACCOUNT_UNKNOWN, Kind.SESSION_UNKNOWN),
)
async def close_session(
    account_id: FromPath[str], data: JSONBody[SessionClosure], context: Given, request: Request[Any, Any, Any]
) -> SessionClosing:
    """Ask the network element to end a session (Diameter: Abort-Session-Request).

    It ends with its last report, which is charged; if none comes, by supervision after twice its Validity-Time.
    Asking twice is no harm.
    """
    await existing(context, account_id)
    actor = actor_of(request.auth)
    if not await context.accounts.abort_session(account_id, data.session_key, actor=actor, reason=data.reason):
        raise Problem(Kind.SESSION_UNKNOWN, f"{account_id} has none open under the key {data.session_key}")
    await note(context, request, f"account {account_id}", None, data)
    return SessionClosing(session_key=data.session_key)


@post(
    "/session-closures",
    tags=["sessions"],
    status_code=202,
    **operation("close_sessions", Scope.ACCOUNTS_WRITE, for_tenants=True),
)
async def close_sessions(
    data: JSONBody[SessionClosures], context: Given, request: Request[Any, Any, Any]
) -> SessionsClosing:
    """Ask the network elements to end several sessions, such as all of a peer that has gone mad. Each as `close_session` does."""
    for each in data.sessions:
        check_own(request.auth, "sessions.account_id", each.account_id)
    actor = actor_of(request.auth)
    asked: list[SessionName] = []
    unknown: list[SessionName] = []
    for each in dict.fromkeys(data.sessions):
        is_open = await context.accounts.abort_session(
            each.account_id, each.session_key, actor=actor, reason=data.reason
        )
        (asked if is_open else unknown).append(each)
    for account_id in dict.fromkeys(each.account_id for each in asked):
        keys = [each.session_key for each in asked if each.account_id == account_id]
        after = {"session_keys": keys, "reason": data.reason}
        await note(context, request, f"account {account_id}", None, after)
    return SessionsClosing(asked=tuple(asked), unknown=tuple(unknown))


def _before(query: SessionQuery, started_before: Instant | None, last_before: Instant | None) -> SessionQuery:
    return query._replace(
        opened_before_ms=milliseconds("started_before", started_before),
        heard_before_ms=milliseconds("last_before", last_before),
    )


async def _page(context: Context, query: SessionQuery, cursor: str, limit: int) -> OpenSessionList:
    page = await context.accounts.find_sessions(query, _position(cursor), limit)
    return OpenSessionList(
        sessions=tuple(_view(session, context.currencies[session.currency]) for session in page.sessions),
        next_cursor=_cursor(page.after) if page.after is not None else "",
    )


def _cursor(after: Position) -> str:
    return f"{after.partition}.{base64.urlsafe_b64encode(after.member.encode()).decode()}"


def _position(cursor: str) -> Position:
    if not cursor:
        return FIRST
    partition, _, member = cursor.partition(".")
    if not is_number(partition):
        raise not_ours()
    try:
        return Position(int(partition), base64.b64decode(member, b"-_", validate=True).decode())
    except (binascii.Error, ValueError) as error:
        raise not_ours() from error


def _view(session: SessionView, currency: Currency) -> OpenSession:
    return OpenSession(
        session_key=session.session_key,
        account_id=session.account_id,
        subscriber_id=session.subscriber_id,
        state="authorized" if session.is_authorized else "open",
        protocol=session.protocol,
        peer=session.peer,
        service=session.service,
        origin=session.origin,
        destination=session.destination,
        started_at=instant(session.started_at_ms),
        last_at=instant(session.last_at_ms),
        currency=session.currency,
        reserved=format_amount(session.reserved, currency.scale, currency.digits),
        cost=format_amount(session.cost, currency.scale, currency.digits),
    )


ROUTES: Final = (list_open_sessions, list_sessions, close_session, close_sessions)
