"""Notices to RADIUS calls: an account that changed, as Disconnect or CoA of the process that has a way to the gateway."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from ocs.charging.notice_stream import NoticeStream
from ocs.charging.notices import Notice, NoticeKind
from ocs.charging.session import CreditSession
from ocs.net.radius_dynamic import DynamicAuthorization


class RadiusNotices:
    """``take`` is for the reader of the stream. What no process can ask ends with the call's own limits."""

    def __init__(
        self,
        stream: NoticeStream,
        dynamic: DynamicAuthorization,
        find_session: Callable[[str], Awaitable[CreditSession | None]],
    ) -> None:
        self._stream = stream
        self._dynamic = dynamic
        self._find_session = find_session

    async def take(self, entry_id: str, notice: Notice) -> None:
        session = await self._find_session(notice.session_key)
        if session is None or not self._dynamic.can_ask(session) or not await self._stream.claim(entry_id):
            return
        tell = self._dynamic.disconnect if notice.kind is NoticeKind.ABORT else self._dynamic.reauthorize
        tell(session, notice.cause)
