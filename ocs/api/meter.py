"""Around the framework: every request is counted, timed and bounded in time, known routes and unknown ones."""

from __future__ import annotations

import asyncio
import time
from typing import Final

import msgspec
from litestar import Litestar
from litestar.enums import ScopeType
from litestar.types import HTTPResponseBodyEvent, HTTPResponseStartEvent, Message, Receive, Scope, Send

from ocs.api.problems import MEDIA_TYPE, RETRY_AFTER_S, Kind, Problem, body_of
from ocs.observe.counters import Counters

# Longer than any back end's own limit: it ends bodies that trickle in and waits that should not be.
REQUEST_TIMEOUT_S: Final = 20.0


class Meter:
    """The type label is the operation's name and the result its status: both from closed sets, never the path."""

    def __init__(self, app: Litestar, counters: Counters) -> None:
        self._app = app
        self._counters = counters

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP:
            await self._app(scope, receive, send)
            return
        begun_ns = time.perf_counter_ns()
        status = 0

        async def observe_status(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            async with asyncio.timeout(REQUEST_TIMEOUT_S):
                await self._app(scope, receive, observe_status)
        except TimeoutError:
            if status:
                raise  # half an answer is out: the connection has to end
            await _send_timeout(scope["path"], observe_status)
        finally:
            handler = scope.get("route_handler")
            kind = (handler.name if handler else None) or "other"
            self._counters.count("http", kind, str(status or 500))
            self._counters.observe("http", kind, (time.perf_counter_ns() - begun_ns) // 1000)


async def _send_timeout(path: str, send: Send) -> None:
    problem = Problem(
        Kind.UNAVAILABLE, f"No outcome within {REQUEST_TIMEOUT_S:g} s. Repeat with the same Idempotency-Key."
    )
    headers = [(b"content-type", MEDIA_TYPE.encode()), (b"retry-after", str(RETRY_AFTER_S).encode())]
    start: HTTPResponseStartEvent = {
        "type": "http.response.start",
        "status": problem.kind.value.status,
        "headers": headers,
    }
    body: HTTPResponseBodyEvent = {
        "type": "http.response.body",
        "body": msgspec.json.encode(body_of(problem, path)),
        "more_body": False,
    }
    await send(start)
    await send(body)
