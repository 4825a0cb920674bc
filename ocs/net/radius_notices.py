"""What happened to an account, told to the gateways of its calls: from the stream of notices, by one process each.

A gateway that has a connection here, or an address at all, can be asked from here; else another process may have its
connection, and this one only speaks up when that did not.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import structlog
from redis.exceptions import RedisError

from balance.store import BackendUnavailable
from ocs.charging.notice_stream import NoticeStream
from ocs.charging.notices import Notice, NoticeKind
from ocs.charging.session import CreditSession
from ocs.net.radius_dynamic import DynamicAuthorization

log = structlog.get_logger()

PREFIX: Final = "ra:"
LIFE_MS: Final = 60_000
NO_LINE_S: Final = 3.0
RETRY_STORE_S: Final = 1.0


class RadiusNotices:
    """``run`` beside the server."""

    def __init__(
        self,
        stream: NoticeStream,
        dynamic: DynamicAuthorization,
        find_session: Callable[[str], Awaitable[CreditSession | None]],
        clock: Callable[[], int],
    ) -> None:
        self._stream = stream
        self._dynamic = dynamic
        self._find_session = find_session
        self._clock = clock
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Until cancelled. What was said in the last minute before the start is looked at, too."""
        after = f"{max(0, self._clock() - LIFE_MS)}-0"
        try:
            while True:
                try:
                    for entry_id, notice in await self._stream.read(after):
                        if notice is not None and notice.session_key.startswith(PREFIX):
                            self._spawn(entry_id, notice)
                        after = entry_id
                except (RedisError, OSError) as error:  # Valkey is away: the stream stays, and so does our place in it
                    log.warning("notices_wait", reason=str(error) or type(error).__name__)
                    await asyncio.sleep(RETRY_STORE_S)
        finally:
            for task in tuple(self._tasks):
                task.cancel()

    def _spawn(self, entry_id: str, notice: Notice) -> None:
        task = asyncio.get_running_loop().create_task(self._take(entry_id, notice))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _take(self, entry_id: str, notice: Notice) -> None:
        try:
            session = await self._find_session(notice.session_key)
            if session is None:
                return
            if not self._dynamic.can_ask(session):
                await asyncio.sleep(NO_LINE_S)
            if await self._stream.claim(entry_id):
                self._tell(notice, session)
        except (RedisError, OSError, BackendUnavailable) as error:
            log.warning("notice_lost", session=notice.session_key, reason=str(error) or type(error).__name__)

    def _tell(self, notice: Notice, session: CreditSession) -> None:
        if notice.kind is NoticeKind.ABORT:
            self._dynamic.disconnect(session, notice.cause)
        else:
            self._dynamic.reauthorize(session, notice.cause)
