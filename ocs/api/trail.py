"""The audit log: who changed what over the API, with before and after.

An entry goes into a stream of Valkey before the answer leaves, so it does not wait for PostgreSQL; the flusher's process
carries it there (``ocs/outbox/trail.py``). What an account's journal says of a change (actor, reason, money) is part of
the posting besides.
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Annotated, Any, Final, cast

import msgspec
from litestar import Request, get
from litestar.params import QueryParameter
from litestar.types import HTTPScope, Message, Scope

from ocs.api import keys
from ocs.api.context import Context, Given, actor_of, prefix_of
from ocs.api.cursors import Cursor, Limit, position
from ocs.api.operations import NOTED, operation
from ocs.api.schemas import Instant, instant
from ocs.billing.trail import TrailEntry

KEY_HEADER: Final = "Idempotency-Key"


class TrailView(msgspec.Struct, frozen=True, kw_only=True):
    """``before`` and ``after`` hold the fields that changed; ``reference`` is the Idempotency-Key."""

    trail_id: str
    at: Instant
    actor: str
    action: str
    target: str
    reference: str
    before: dict[str, Any]
    after: dict[str, Any]


class TrailList(msgspec.Struct, frozen=True, kw_only=True):
    """Newest first. ``next_cursor`` empty: this was the last page."""

    entries: tuple[TrailView, ...]
    next_cursor: str


async def note(context: Context, request: Request[Any, Any, Any], target: str, before: object, after: object) -> None:
    """Write down what the request has changed: views of before and after, of which the fields that differ are kept."""
    old, new = _fields(before), _fields(after)
    changed = [name for name in {**old, **new} if old.get(name) != new.get(name)]
    await context.trail.note(
        TrailEntry(
            at_ms=context.clock(),
            actor=actor_of(request.auth),
            action=str(request.route_handler.name),
            target=target,
            reference=request.headers.get(KEY_HEADER, "").strip('"')[:128],
            before={name: old[name] for name in changed if name in old},
            after={name: new[name] for name in changed if name in new},
        )
    )


async def note_request(message: Message, scope: Scope) -> None:
    """Before an answer leaves: note what the request of a ``noted`` route has changed, by the body that asked for it."""
    if message["type"] != "http.response.start" or message["status"] >= HTTPStatus.MULTIPLE_CHOICES:
        return
    handler = scope.get("route_handler")
    if handler is None or not handler.opt.get(NOTED):
        return
    request: Request[Any, Any, Any] = Request(cast("HTTPScope", scope))
    if request.method == "GET":
        return
    has_body = "data" in handler.parsed_fn_signature.parameters  # the handler has read it: it is at hand
    body = await request.json() if has_body else None
    path = " ".join(f"{name.removesuffix('_id')} {value}" for name, value in request.path_params.items())
    await note(request.app.state.context, request, path or str(handler.name), None, body)


def _fields(view: object) -> Mapping[str, Any]:
    fields = msgspec.to_builtins(view) if view is not None else {}
    assert isinstance(fields, dict), "a view is an object"
    return fields


@get("/audit-log", tags=["audit"], **operation("list_audit_log", keys.Scope.AUDIT_READ, for_tenants=True))
async def list_audit_log(
    context: Given,
    request: Request[Any, Any, Any],
    limit: Limit = 100,
    cursor: Cursor = "",
    target: Annotated[str, QueryParameter(description='A kind and a name, such as "account alice"')] = "",
    actor: Annotated[str, QueryParameter(description='Such as "api:4k2m9x0a7bq1"')] = "",
) -> TrailList:
    """Every change that was made over the API or by `ocs keys`, with before and after."""
    at_ms, trail_id = position(cursor)
    found = await context.trail.list_trail(
        target=target, actor=actor, tenant=prefix_of(request.auth), before=(at_ms, trail_id), limit=limit + 1
    )
    page = found[:limit]
    last = page[-1] if len(found) > limit else None
    return TrailList(
        entries=tuple(
            TrailView(
                at=instant(entry.at_ms),
                **{name: getattr(entry, name) for name in TrailView.__struct_fields__ if name != "at"},
            )
            for entry in page
        ),
        next_cursor=f"{last.at_ms}.{last.trail_id}" if last is not None else "",
    )


ROUTES: Final[tuple[Any, ...]] = (list_audit_log,)
