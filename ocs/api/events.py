"""What happened to accounts, who is told of it, and the messages that do: events, contacts, messages."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal, NamedTuple, TypeAlias

import msgspec
from litestar import Request, Response, get, post, put
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter
from msgspec import Meta

from ocs.api.accounts import existing
from ocs.api.context import Given, prefix_of
from ocs.api.cursors import Cursor, Limit, is_number, not_ours, position
from ocs.api.etags import IfMatch, expected, quoted
from ocs.api.idempotency import OptionalKey, key_if_any, replayed_header
from ocs.api.keys import Scope
from ocs.api.operations import operation
from ocs.api.problems import Kind, Problem, invalid
from ocs.api.schemas import AccountId, Body, Instant, instant, milliseconds
from ocs.api.trail import note
from ocs.charging.account_events import EVENT_TYPES
from ocs.delivery.contacts import Contact, ContactStatus, contact_tag, faults_of
from ocs.delivery.queue import Message
from ocs.delivery.routing import body_of, currency_of

StateName: TypeAlias = Literal["", "waiting", "arrived", "dead"]


class ContactChange(Body, frozen=True):
    """The whole contact; what is left out is empty: then it is not reached by this way, or as ``delivery.toml`` says."""

    mail: Annotated[str, Meta(max_length=254, examples=["alice@example.net"])] = ""
    phone: Annotated[str, Meta(max_length=16, examples=["+4915112345678"])] = ""
    language: Annotated[str, Meta(max_length=6, examples=["de"])] = ""
    time_zone: Annotated[str, Meta(max_length=64, examples=["Europe/Berlin"])] = ""
    muted: Annotated[tuple[str, ...], Meta(max_length=50, description="Events not to be told of")] = ()
    quiet_begins: Annotated[str, Meta(max_length=8, examples=["22:00"], description="By the contact's clock")] = ""
    quiet_ends: Annotated[
        str, Meta(max_length=8, examples=["07:00"], description="The same as begins: never quiet")
    ] = ""


class ContactView(msgspec.Struct, frozen=True, kw_only=True):
    """Where an account's subscriber is told of events."""

    account_id: str
    mail: str
    phone: str
    language: str
    time_zone: str
    muted: tuple[str, ...]
    quiet_begins: str
    quiet_ends: str


class EventView(msgspec.Struct, frozen=True, kw_only=True):
    """As a webhook is told of it. ``data`` has the account, the entry's number, currency and amount, and the event's facts."""

    id: str
    type: str
    timestamp: Instant
    data: dict[str, Any]


class EventList(msgspec.Struct, frozen=True, kw_only=True):
    """Newest first. ``next_cursor`` empty: this was the last page."""

    events: tuple[EventView, ...]
    next_cursor: str


class MessageView(msgspec.Struct, frozen=True, kw_only=True):
    """``state`` is waiting, arrived or dead; ``error`` says why the last attempt failed."""

    message_id: str
    channel: str
    receiver: str
    kind: str
    account_id: str
    state: str
    attempts: int
    made_at: Instant
    due_at: Instant
    finished_at: Instant | None
    error: str


class MessageList(msgspec.Struct, frozen=True, kw_only=True):
    """Newest first. ``next_cursor`` empty: this was the last page."""

    messages: tuple[MessageView, ...]
    next_cursor: str


class Replay(Body, frozen=True):
    """Messages to be sent once more, by their ids."""

    message_ids: Annotated[tuple[str, ...], Meta(min_length=1, max_length=1000)]


class Replayed(msgspec.Struct, frozen=True, kw_only=True):
    """Those of them that there are."""

    message_ids: tuple[str, ...]


_CONTACT_PROBLEMS: Final = {
    ContactStatus.KEY_REUSED: Kind.KEY_REUSED,
    ContactStatus.CHANGED_MEANWHILE: Kind.PRECONDITION_FAILED,
}


@get(
    "/accounts/{account_id:str}/contact",
    tags=["events"],
    **operation("read_contact", Scope.ACCOUNTS_READ, Kind.ACCOUNT_UNKNOWN),
)
async def read_contact(account_id: FromPath[AccountId], context: Given) -> Response[ContactView]:
    """Where the account's subscriber is told of events; all empty if nobody said."""
    await existing(context, account_id)
    return _contact_response(await context.deliveries.contact(account_id) or Contact(account_id=account_id))


@put(
    "/accounts/{account_id:str}/contact",
    tags=["events"],
    **operation(
        "set_contact",
        Scope.ACCOUNTS_WRITE,
        Kind.KEY_MISSING,
        Kind.ACCOUNT_UNKNOWN,
        Kind.PRECONDITION_FAILED,
        Kind.KEY_REUSED,
    ),
)
async def set_contact(
    account_id: FromPath[AccountId],
    data: JSONBody[ContactChange],
    context: Given,
    request: Request[Any, Any, Any],
    if_match: IfMatch = None,
    idempotency_key: OptionalKey = None,
) -> Response[ContactView]:
    """Say where the account's subscriber is told of events, in which language, by which clock and at which hours not."""
    contact = Contact(account_id=account_id, **msgspec.structs.asdict(data))
    for fault in faults_of(contact):
        raise invalid(fault.field, f"{fault.message}: {fault.cure}")
    await existing(context, account_id)
    done = await context.deliveries.put_contact(contact, expected(if_match), key_if_any(idempotency_key))
    if done.status in _CONTACT_PROBLEMS:
        raise Problem(_CONTACT_PROBLEMS[done.status])
    is_replay = done.status is ContactStatus.REPLAYED
    if not is_replay:
        await note(context, request, f"account {account_id}", done.before, contact)
    return _contact_response(done.after, is_replay=is_replay)


@get("/accounts/{account_id:str}/events", tags=["events"], **operation("list_account_events", Scope.EVENTS_READ))
async def list_account_events(
    account_id: FromPath[AccountId],
    context: Given,
    limit: Limit = 100,
    cursor: Cursor = "",
    event_type: Annotated[str, QueryParameter(name="type", description="Of this type alone")] = "",
    at_from: FromQuery[Instant | None] = None,
    at_to: FromQuery[Instant | None] = None,
) -> EventList:
    """What happened to one account in [at_from, at_to)."""
    asked = _Asked(account_id, event_type, "", milliseconds("at_from", at_from), milliseconds("at_to", at_to))
    return await _events(context, asked, cursor, limit)


@get("/events", tags=["events"], **operation("list_events", Scope.EVENTS_READ, for_tenants=True))
async def list_events(
    context: Given,
    request: Request[Any, Any, Any],
    limit: Limit = 100,
    cursor: Cursor = "",
    event_type: Annotated[str, QueryParameter(name="type", description="Of this type alone")] = "",
    at_from: FromQuery[Instant | None] = None,
    at_to: FromQuery[Instant | None] = None,
) -> EventList:
    """What happened to all accounts in [at_from, at_to)."""
    tenant = prefix_of(request.auth)
    asked = _Asked("", event_type, tenant, milliseconds("at_from", at_from), milliseconds("at_to", at_to))
    return await _events(context, asked, cursor, limit)


@get("/messages", tags=["events"], **operation("list_messages", Scope.EVENTS_READ, for_tenants=True))
async def list_messages(
    context: Given,
    request: Request[Any, Any, Any],
    limit: Limit = 100,
    cursor: Cursor = "",
    message_state: Annotated[
        StateName, QueryParameter(name="state", description="waiting, arrived or dead; empty: all")
    ] = "",
    account_id: Annotated[str, QueryParameter(description="Of this account alone")] = "",
    made_from: FromQuery[Instant | None] = None,
    made_to: FromQuery[Instant | None] = None,
) -> MessageList:
    """Webhooks, mails and SMS that were made in [made_from, made_to): on their way, arrived, or given up."""
    made_ms, message_id = position(cursor)
    since_ms, until_ms = milliseconds("made_from", made_from), milliseconds("made_to", made_to)
    before = (until_ms, "") if 0 < until_ms < made_ms else (made_ms, message_id)
    tenant = prefix_of(request.auth)
    found = await context.deliveries.messages(message_state, account_id, before, limit + 1, tenant, since_ms)
    page = found[:limit]
    last = page[-1] if len(found) > limit else None
    return MessageList(
        messages=tuple(_message_view(message) for message in page),
        next_cursor=f"{last.made_at_ms}.{last.letter.message_id}" if last is not None else "",
    )


@post(
    "/message-replays",
    tags=["events"],
    status_code=202,
    **operation("replay_messages", Scope.EVENTS_WRITE, for_tenants=True),
)
async def replay_messages(data: JSONBody[Replay], context: Given, request: Request[Any, Any, Any]) -> Replayed:
    """Send messages once more, under their ids. Asking twice sends them once more than once: receivers know the ids."""
    if any("\x00" in each for each in data.message_ids):
        raise invalid("message_ids", "no id has such a character")
    done = Replayed(message_ids=tuple(await context.deliveries.replay(data.message_ids, prefix_of(request.auth))))
    await note(context, request, "messages", None, done)
    return done


class _Asked(NamedTuple):
    account_id: str
    event_type: str
    tenant: str
    since_ms: int
    until_ms: int


async def _events(context: Given, asked: _Asked, cursor: str, limit: int) -> EventList:
    event_type = asked.event_type
    if event_type and event_type not in EVENT_TYPES:
        raise invalid("type", f"is none of {', '.join(sorted(EVENT_TYPES))}")
    at_ms, rest = position(cursor)
    number, _, after = rest.partition(".")
    if cursor and not is_number(number):
        raise not_ours()
    before = (at_ms, after, int(number or 0))
    if 0 < asked.until_ms < at_ms:
        before = (asked.until_ms, "", 0)  # nothing has such a name: what is of that very instant is left out
    types = (event_type,) if event_type else ()
    found = await context.deliveries.events(asked.account_id, types, before, limit + 1, asked.tenant, asked.since_ms)
    page = found[:limit]
    last = page[-1] if len(found) > limit else None
    shown = [(each, currency_of(each, context.currencies)) for each in page]
    return EventList(
        events=tuple(EventView(**body_of(each, currency)) for each, currency in shown if currency is not None),
        next_cursor=f"{last.at_ms}.{last.entry_number}.{last.account_id}" if last is not None else "",
    )


def _contact_response(contact: Contact, *, is_replay: bool = False) -> Response[ContactView]:
    view = ContactView(**msgspec.structs.asdict(contact))
    return Response(view, headers={"ETag": quoted(contact_tag(contact)), **replayed_header(is_replay)})


def _message_view(message: Message) -> MessageView:
    letter = message.letter
    return MessageView(
        message_id=letter.message_id,
        channel=letter.channel,
        receiver=letter.receiver,
        kind=letter.kind,
        account_id=letter.account_id,
        state=message.state,
        attempts=message.attempts,
        made_at=instant(message.made_at_ms),
        due_at=instant(message.due_at_ms),
        finished_at=instant(message.finished_at_ms) if message.finished_at_ms else None,
        error=message.error,
    )


ROUTES: Final = (
    read_contact,
    set_contact,
    list_account_events,
    list_events,
    list_messages,
    replay_messages,
)
