"""Subscribers: who is charged to which account, and how the network names them."""

from __future__ import annotations

from typing import Annotated, Any, Final

import msgspec
from litestar import Request, Response, delete, get, patch, post, put
from litestar.params import FromPath, JSONBody, QueryParameter

from balance.store import Subscriber
from ocs.api.context import Context, Given, check_own, prefix_of
from ocs.api.cursors import Cursor, Limit, not_ours
from ocs.api.etags import IfMatch, IfNoneMatch, expected, is_known, quoted
from ocs.api.idempotency import OptionalKey, key_if_any, replayed_header
from ocs.api.identities import IdentityError, normalize_identity
from ocs.api.keys import Scope
from ocs.api.operations import operation
from ocs.api.problems import Kind, Problem, invalid
from ocs.api.schemas import Ha1, NewSubscriber, Porting, Realm, SubscriberPatch, WholeSubscriber
from ocs.api.trail import note
from ocs.api.views import SubscriberView, subscriber_view
from ocs.charging.subscribers import SubscriberChange, SubscriberResult, SubscriberStatus
from protocols.radius.digest import HA1_MARK, stored_digests

PROBLEMS: Final = {
    SubscriberStatus.KEY_REUSED: Kind.KEY_REUSED,
    SubscriberStatus.UNKNOWN: Kind.SUBSCRIBER_UNKNOWN,
    SubscriberStatus.EXISTS: Kind.SUBSCRIBER_EXISTS,
    SubscriberStatus.ACCOUNT_UNKNOWN: Kind.ACCOUNT_UNKNOWN,
    SubscriberStatus.IDENTITY_TAKEN: Kind.IDENTITY_TAKEN,
    SubscriberStatus.NOT_PORTABLE: Kind.NOT_PORTABLE,
    SubscriberStatus.CHANGED_MEANWHILE: Kind.PRECONDITION_FAILED,
}
assert PROBLEMS.keys() | {SubscriberStatus.DONE, SubscriberStatus.REPLAYED} == set(SubscriberStatus)

_CHANGE: Final = (Kind.KEY_MISSING, Kind.SUBSCRIBER_UNKNOWN, Kind.PRECONDITION_FAILED, Kind.KEY_REUSED)


class SubscriberList(msgspec.Struct, frozen=True, kw_only=True):
    """In the order of their ids. ``next_cursor`` empty: this was the last page."""

    subscribers: tuple[SubscriberView, ...]
    next_cursor: str


@post(
    "/subscribers",
    tags=["subscribers"],
    **operation(
        "create_subscriber",
        Scope.ACCOUNTS_WRITE,
        Kind.KEY_MISSING,
        Kind.ACCOUNT_UNKNOWN,
        Kind.SUBSCRIBER_EXISTS,
        Kind.IDENTITY_TAKEN,
        Kind.KEY_REUSED,
        for_tenants=True,
    ),
)
async def create_subscriber(
    data: JSONBody[NewSubscriber],
    context: Given,
    request: Request[Any, Any, Any],
    idempotency_key: OptionalKey = None,
) -> Response[SubscriberView]:
    """Give identities (e164:..., sip:..., imsi:...) to an account, so that calls find it."""
    for field in ("subscriber_id", "account_id"):
        check_own(request.auth, field, getattr(data, field))
    result = await context.subscribers.create(
        data.subscriber_id,
        data.account_id,
        _identities(data.identities),
        _kept_password(data.password, data.ha1),
        key=key_if_any(idempotency_key),
    )
    return await _changed(context, request, data.subscriber_id, result)


@get(
    "/subscribers/{subscriber_id:str}",
    tags=["subscribers"],
    **operation("read_subscriber", Scope.ACCOUNTS_READ, Kind.SUBSCRIBER_UNKNOWN),
)
async def read_subscriber(
    subscriber_id: FromPath[str], context: Given, if_none_match: IfNoneMatch = None
) -> Response[SubscriberView | None]:
    """A subscriber by its id. The password is never shown. Its ETag changes with each of its changes."""
    subscriber = await context.subscribers.read(subscriber_id)
    if subscriber is None:
        raise Problem(Kind.SUBSCRIBER_UNKNOWN)
    if is_known(if_none_match, subscriber.tag):
        return Response(None, status_code=304, headers={"ETag": quoted(subscriber.tag)})
    return Response(subscriber_view(subscriber), headers={"ETag": quoted(subscriber.tag)})


@get("/subscribers", tags=["subscribers"], **operation("list_subscribers", Scope.ACCOUNTS_READ, for_tenants=True))
async def list_subscribers(
    context: Given,
    request: Request[Any, Any, Any],
    limit: Limit = 100,
    cursor: Cursor = "",
    account_id: Annotated[str, QueryParameter(description="Of this account alone")] = "",
    identity: Annotated[str, QueryParameter(description="The one who has it, such as e164:4915112345678")] = "",
) -> SubscriberList:
    """All subscribers in the order of their ids; those of an account, or the one who has an identity."""
    prefix = prefix_of(request.auth)
    if "\x00" in cursor:
        raise not_ours()
    if identity:
        owner = await context.subscribers.find(_identities((identity,), "identity")[0])
        is_asked_for = owner is not None and owner.subscriber_id.startswith(prefix) and owner.subscriber_id > cursor
        found = [owner] if owner is not None and is_asked_for and account_id in {"", owner.account_id} else []
    else:
        found = await context.subscribers.page(account_id, prefix, cursor, limit + 1)
    page = found[:limit]
    return SubscriberList(
        subscribers=tuple(subscriber_view(each) for each in page),
        next_cursor=page[-1].subscriber_id if len(found) > limit else "",
    )


@put(
    "/subscribers/{subscriber_id:str}",
    tags=["subscribers"],
    **operation("set_subscriber", Scope.ACCOUNTS_WRITE, *_CHANGE, Kind.ACCOUNT_UNKNOWN, Kind.IDENTITY_TAKEN),
)
async def set_subscriber(
    subscriber_id: FromPath[str],
    data: JSONBody[WholeSubscriber],
    context: Given,
    request: Request[Any, Any, Any],
    if_match: IfMatch = None,
    idempotency_key: OptionalKey = None,
) -> Response[SubscriberView]:
    """Put a subscriber as a whole: what is left out is empty. Open sessions stay with the account that they began with."""
    check_own(request.auth, "account_id", data.account_id)
    change = SubscriberChange(data.account_id, _identities(data.identities), _kept_password(data.password, data.ha1))
    result = await context.subscribers.change(
        subscriber_id, change, key=key_if_any(idempotency_key), expects=expected(if_match)
    )
    return await _changed(context, request, subscriber_id, result)


@patch(
    "/subscribers/{subscriber_id:str}",
    tags=["subscribers"],
    **operation("change_subscriber", Scope.ACCOUNTS_WRITE, *_CHANGE, Kind.ACCOUNT_UNKNOWN, Kind.IDENTITY_TAKEN),
)
async def change_subscriber(
    subscriber_id: FromPath[str],
    data: JSONBody[SubscriberPatch],
    context: Given,
    request: Request[Any, Any, Any],
    if_match: IfMatch = None,
    idempotency_key: OptionalKey = None,
) -> Response[SubscriberView]:
    """Change a part of a subscriber: what is left out stays; identities are put as a whole, `"password": ""` takes it away."""
    if data.account_id is not None:
        check_own(request.auth, "account_id", data.account_id)
    has_password = data.password is not None or data.ha1 is not None
    change = SubscriberChange(
        data.account_id,
        None if data.identities is None else _identities(data.identities),
        _kept_password(data.password or "", data.ha1 or {}) if has_password else None,
    )
    result = await context.subscribers.change(
        subscriber_id, change, key=key_if_any(idempotency_key), expects=expected(if_match)
    )
    return await _changed(context, request, subscriber_id, result)


@delete(
    "/subscribers/{subscriber_id:str}",
    tags=["subscribers"],
    **operation("remove_subscriber", Scope.ACCOUNTS_WRITE, *_CHANGE),
)
async def remove_subscriber(
    subscriber_id: FromPath[str],
    context: Given,
    request: Request[Any, Any, Any],
    if_match: IfMatch = None,
    idempotency_key: OptionalKey = None,
) -> None:
    """Take a subscriber away: its identities are nobody's then. Open sessions go on to their end."""
    result = await context.subscribers.remove(
        subscriber_id, key=key_if_any(idempotency_key), expects=expected(if_match)
    )
    await _check(context, request, subscriber_id, result)


@post(
    "/subscribers/{subscriber_id:str}/ports",
    tags=["subscribers"],
    status_code=200,
    **operation("port_identity", Scope.ACCOUNTS_WRITE, *_CHANGE, Kind.NOT_PORTABLE),
)
async def port_identity(
    subscriber_id: FromPath[str],
    data: JSONBody[Porting],
    context: Given,
    request: Request[Any, Any, Any],
    if_match: IfMatch = None,
    idempotency_key: OptionalKey = None,
) -> Response[SubscriberView]:
    """Move a number from another subscriber to this one, in one step; open sessions stay where they began.

    A giver that has no identity left is no more. A repeat is told that it was done; the ETag is that of the one who takes.
    """
    check_own(request.auth, "giver", data.giver)
    if data.giver == subscriber_id:
        raise invalid("giver", "is the subscriber itself")
    identity = _identities((data.identity,), "identity")[0]
    result = await context.subscribers.port(
        identity, data.giver, subscriber_id, key=key_if_any(idempotency_key), expects=expected(if_match)
    )
    return await _changed(context, request, subscriber_id, result)


async def _changed(
    context: Context, request: Request[Any, Any, Any], subscriber_id: str, result: SubscriberResult
) -> Response[SubscriberView]:
    """What was written, with its ETag; a repeat is told what is there now."""
    await _check(context, request, subscriber_id, result)
    if result.subscriber is None:
        raise Problem(Kind.SUBSCRIBER_UNKNOWN)  # it was taken away since what the key has done
    headers = {"ETag": quoted(result.subscriber.tag), **replayed_header(result.status is SubscriberStatus.REPLAYED)}
    if request.route_handler.name == "create_subscriber":
        headers["Location"] = f"/v1/subscribers/{subscriber_id}"
    return Response(subscriber_view(result.subscriber), headers=headers)


async def _check(
    context: Context, request: Request[Any, Any, Any], subscriber_id: str, result: SubscriberResult
) -> None:
    """Raise the problem that the outcome is, if it is one; note what was changed now."""
    kind = PROBLEMS.get(result.status)
    if kind is not None:
        raise Problem(kind)
    if result.status is SubscriberStatus.DONE:
        await note(context, request, f"subscriber {subscriber_id}", _noted(result.before), _noted(result.subscriber))


def _noted(subscriber: Subscriber | None) -> SubscriberView | None:
    return subscriber_view(subscriber) if subscriber is not None else None


def _kept_password(password: str, ha1: dict[Realm, Ha1]) -> str:
    """The password, or the digests that stand for it."""
    if password.startswith(HA1_MARK):
        raise invalid("password", f"a password cannot begin with {HA1_MARK}; digests go into ha1")
    if password and ha1:
        raise invalid("ha1", "is what is kept instead of a password: give one of them")
    return stored_digests(ha1) if ha1 else password


def _identities(texts: tuple[str, ...], field: str = "identities") -> tuple[str, ...]:
    """Normalized, each once, in the order given."""
    try:
        return tuple(dict.fromkeys(normalize_identity(text) for text in texts))
    except IdentityError as error:
        raise invalid(field, str(error)) from error


ROUTES: Final = (
    create_subscriber,
    read_subscriber,
    list_subscribers,
    set_subscriber,
    change_subscriber,
    remove_subscriber,
    port_identity,
)
