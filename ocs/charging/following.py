"""Rates have changed, and open sessions follow them: those that it concerns are asked to come, at a bounded pace.

One process does it for all. Nothing waits for it, and no money moves by it: whoever is not asked is charged by the new rates
when he comes at his Validity-Time.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, Final, Protocol

import msgspec
import structlog

from ocs import tasks
from ocs.charging.choice import is_concerned
from ocs.charging.decision import Rates
from ocs.charging.notices import Notice, NoticeKind, notice_to
from ocs.charging.service import OnlineCharging
from ocs.charging.session import CreditSession, SessionKind, decode_session

log = structlog.get_logger()

PREFIX: Final = "gy:"  # RADIUS calls hold a grant for all that they can pay
PAGE: Final = 200
CAUSE: Final = "the rates have changed"


class OpenSessions(Protocol):
    def pages_of(self, prefix: str, size: int) -> AsyncIterator[list[bytes]]: ...


class Stream(Protocol):
    async def publish(self, notices: Sequence[Notice]) -> None: ...

    async def claim(self, entry_id: str) -> bool: ...


class Following:
    """``rates`` are those in force: whoever sets them swaps them for all requests to come."""

    def __init__(self, charging: OnlineCharging, store: OpenSessions, clock: Callable[[], int], per_s: int) -> None:
        self._charging = charging
        self._store = store
        self._clock = clock
        self._per_s = per_s
        self._stream: Stream | None = None
        self._tasks: set[asyncio.Task[Any]] = set()

    def use(self, stream: Stream) -> None:
        self._stream = stream

    @property
    def is_telling(self) -> bool:
        """Whether sessions are being looked through."""
        return bool(self._tasks)

    @property
    def rates(self) -> Rates:
        return self._charging.rates

    @rates.setter
    def rates(self, rates: Rates) -> None:
        self._charging.use_rates(rates)
        if not self._charging.policy.follows_rates or self._stream is None:
            return
        for task in self._tasks:
            task.cancel()  # what these rates concern is looked for from the beginning
        task = asyncio.get_running_loop().create_task(self._tell(self._stream, rates), name="rates followed")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        await tasks.end(self._tasks)

    async def _tell(self, stream: Stream, rates: Rates) -> None:
        try:
            if not await stream.claim(f"rates:{rates.version}"):
                return
            looked = told = 0
            async for page in self._store.pages_of(PREFIX, PAGE):
                looked += len(page)
                notices = [notice for value in page if (notice := self._notice(rates, value)) is not None]
                for start in range(0, len(notices), self._per_s):
                    batch = notices[start : start + self._per_s]
                    await stream.publish(batch)
                    told += len(batch)
                    await asyncio.sleep(len(batch) / self._per_s)
            log.info("rates_followed", version=rates.version, sessions=looked, told=told)
        except Exception:  # advice is lost, nothing else
            log.exception("notices_lost", version=rates.version)

    def _notice(self, rates: Rates, value: bytes) -> Notice | None:
        try:
            session = decode_session(value)
        except msgspec.MsgspecError:
            return None  # supervision says so
        if not isinstance(session, CreditSession) or session.kind is not SessionKind.CALL:
            return None
        now_ms = self._clock()
        if not is_concerned(rates, session, now_ms):
            return None
        return notice_to(session, NoticeKind.REAUTHORIZE, CAUSE, now_ms)
