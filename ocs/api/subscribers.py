"""Subscribers: who is charged to which account, and how the network names them."""

from __future__ import annotations

from typing import Annotated, Any, Final

from litestar import Request, Response, get, post
from litestar.params import FromPath, JSONBody, QueryParameter

from ocs.api.context import Given, check_own, prefix_of
from ocs.api.identities import IdentityError, normalize_identity
from ocs.api.keys import Scope
from ocs.api.operations import operation
from ocs.api.problems import Kind, Problem, invalid
from ocs.api.schemas import NewSubscriber, Porting
from ocs.api.trail import note
from ocs.api.views import SubscriberView, subscriber_view
from ocs.charging.recharge import SubscriberFault
from protocols.radius.digest import HA1_MARK, stored_digests

_FAULTS: Final = {
    SubscriberFault.EXISTS: Kind.SUBSCRIBER_EXISTS,
    SubscriberFault.ACCOUNT_UNKNOWN: Kind.ACCOUNT_UNKNOWN,
    SubscriberFault.IDENTITY_TAKEN: Kind.IDENTITY_TAKEN,
}
assert _FAULTS.keys() == set(SubscriberFault)


@post(
    "/subscribers",
    tags=["subscribers"],
    **operation(
        "create_subscriber",
        Scope.ACCOUNTS_WRITE,
        Kind.ACCOUNT_UNKNOWN,
        Kind.SUBSCRIBER_EXISTS,
        Kind.IDENTITY_TAKEN,
        for_tenants=True,
    ),
)
async def create_subscriber(
    data: JSONBody[NewSubscriber], context: Given, request: Request[Any, Any, Any]
) -> Response[SubscriberView]:
    """Give identities (e164:..., sip:..., imsi:...) to an account, so that calls find it."""
    for field in ("subscriber_id", "account_id"):
        check_own(request.auth, field, getattr(data, field))
    created = await context.accounts.create_subscriber(
        data.subscriber_id, data.account_id, _identities(data.identities), _kept_password(data)
    )
    if isinstance(created, SubscriberFault):
        raise Problem(_FAULTS[created])
    view = subscriber_view(created)
    await note(context, request, f"subscriber {created.subscriber_id}", None, view)
    return Response(view, headers={"Location": f"/v1/subscribers/{created.subscriber_id}"})


@get(
    "/subscribers/{subscriber_id:str}",
    tags=["subscribers"],
    **operation("read_subscriber", Scope.ACCOUNTS_READ, Kind.SUBSCRIBER_UNKNOWN),
)
async def read_subscriber(subscriber_id: FromPath[str], context: Given) -> SubscriberView:
    """A subscriber by its id. The password is never shown."""
    subscriber = await context.accounts.subscriber(subscriber_id)
    if subscriber is None:
        raise Problem(Kind.SUBSCRIBER_UNKNOWN)
    return subscriber_view(subscriber)


@get(
    "/subscribers",
    tags=["subscribers"],
    **operation("find_subscriber", Scope.ACCOUNTS_READ, Kind.SUBSCRIBER_UNKNOWN, for_tenants=True),
)
async def find_subscriber(
    context: Given,
    request: Request[Any, Any, Any],
    identity: Annotated[str, QueryParameter(description="Such as e164:4915112345678")],
) -> SubscriberView:
    """The one subscriber who has an identity."""
    subscriber = await context.accounts.find(_identities((identity,), "identity")[0])
    if subscriber is None or not subscriber.subscriber_id.startswith(prefix_of(request.auth)):
        raise Problem(Kind.SUBSCRIBER_UNKNOWN)
    return subscriber_view(subscriber)


@post(
    "/subscribers/{subscriber_id:str}/ports",
    tags=["subscribers"],
    status_code=200,
    **operation("port_identity", Scope.ACCOUNTS_WRITE, Kind.SUBSCRIBER_UNKNOWN, Kind.NOT_PORTABLE),
)
async def port_identity(
    subscriber_id: FromPath[str], data: JSONBody[Porting], context: Given, request: Request[Any, Any, Any]
) -> SubscriberView:
    """Move a number from another subscriber to this one, in one step; open sessions stay where they began.

    A giver that has no identity left is no more. A repeat is told the same.
    """
    check_own(request.auth, "giver", data.giver)
    before = await context.accounts.subscriber(subscriber_id)
    if before is None:
        raise Problem(Kind.SUBSCRIBER_UNKNOWN)
    identity = _identities((data.identity,), "identity")[0]
    after = await context.accounts.port(identity, data.giver, subscriber_id)
    if after is None:
        raise Problem(Kind.NOT_PORTABLE)
    view = subscriber_view(after)
    await note(context, request, f"subscriber {subscriber_id}", subscriber_view(before), view)
    return view


def _kept_password(data: NewSubscriber) -> str:
    """The password, or the digests that stand for it."""
    if data.password.startswith(HA1_MARK):
        raise invalid("password", f"a password cannot begin with {HA1_MARK}; digests go into ha1")
    if data.password and data.ha1:
        raise invalid("ha1", "is what is kept instead of a password: give one of them")
    return stored_digests(data.ha1) if data.ha1 else data.password


def _identities(texts: tuple[str, ...], field: str = "identities") -> tuple[str, ...]:
    """Normalized, each once, in the order given."""
    try:
        return tuple(dict.fromkeys(normalize_identity(text) for text in texts))
    except IdentityError as error:
        raise invalid(field, str(error)) from error


ROUTES: Final = (create_subscriber, read_subscriber, find_subscriber, port_identity)
