"""Clients that were started anew and have forgotten their sessions: Origin-State-Id says so (RFC 6733, section 8.16)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final, Protocol

import structlog

from ocs import tasks

log = structlog.get_logger()

STATES_KEY: Final = "ocs:diameter:restarts"  # a sorted set: clients by their highest Origin-State-Id
CLIENTS_MAX: Final = 10_000
SESSIONS: Final = "gy:"
CAUSE: Final = "the client was started anew"


class ClosesSessions(Protocol):
    def __call__(self, peer: str, prefix: str, heard_before_ms: int, cause: str) -> Awaitable[int]: ...


class Restarts:
    """The highest Origin-State-Id of each client, here and, for all processes, in Valkey.

    A higher one than the last means that sessions from before are dead; a lower one is a late message, and 0 or none
    says nothing [B-102].
    """

    def __init__(self, clock: Callable[[], int]) -> None:
        self._clock = clock
        self._known: dict[str, int] = {}
        self._client: Any = None
        self._close_sessions: ClosesSessions | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def use(self, client: Any, close_sessions: ClosesSessions) -> None:
        """``client`` is a redis-py client."""
        self._client = client
        self._close_sessions = close_sessions

    def seen(self, host: str, state_id: int) -> None:
        """A message of ``host`` had this Origin-State-Id."""
        name = host.lower()
        known = self._known.get(name, 0)
        if state_id <= known:
            return
        if not known and len(self._known) >= CLIENTS_MAX:
            del self._known[next(iter(self._known))]
        self._known[name] = state_id
        if self._client is not None:
            task = asyncio.get_running_loop().create_task(self._compare(name, known, state_id, self._clock()))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        await tasks.end(self._tasks)

    async def _compare(self, name: str, known: int, state_id: int, now_ms: int) -> None:
        """With what any process knew; the one that raises it does the work.

        In one step, and with what was ``known`` here: messages of one moment may be compared in any order.
        """
        assert self._close_sessions is not None, "use() gives both"
        try:
            async with self._client.pipeline(transaction=True) as pipeline:
                pipeline.zscore(STATES_KEY, name)
                pipeline.zadd(STATES_KEY, {name: state_id}, gt=True, ch=True)
                before, raised = await pipeline.execute()
            if raised and (before is not None or known):
                closed = await self._close_sessions(name, SESSIONS, now_ms, CAUSE)
                log.warning("diameter_client_restarted", peer=name, origin_state_id=state_id, sessions_closed=closed)
        except Exception:  # the sessions end by supervision
            self._known.pop(name, None)
            log.exception("diameter_restart_not_followed", peer=name)
