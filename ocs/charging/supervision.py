"""Sessions whose client went silent: found by the deadline index, closed with a record (Tcc, RFC 8506 section 13).

The index is lazy: a session that was heard of again keeps its old place in it until that comes due; then it is filed
anew. After a start, and when the wall clock has jumped, nothing is closed for a grace time (statements 119, 120).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, Protocol

import msgspec
import structlog

from balance.store import BackendUnavailable, Due, Store
from ocs.charging.levels import is_above
from ocs.charging.request import ChargingAnswer, ChargingRequest, ChargingStatus, RequestKind
from ocs.charging.service import OnlineCharging
from ocs.charging.session import CreditSession, Merger, Step, Timer, Transfer, decode_session
from ocs.charging.work import Dues

log = structlog.get_logger()

ROUND_S: Final = 1.0
BATCH_MAX: Final = 500
CLOCK_JUMP_MS: Final = 120_000
ENDING_MAX: Final = 1000
UNREADABLE_AGAIN_MS: Final = 3_600_000


class SupervisedStore(Store, Protocol):
    async def due(self, until_ms: int, limit: int) -> list[Due]: ...

    async def file_deadline(self, due: Due, deadline_ms: int) -> None: ...

    async def sessions_of(self, prefix: str) -> list[tuple[str, bytes]]: ...

    async def open_sessions(self, account_id: str) -> list[bytes]: ...


async def _nobody(way: Transfer | Merger) -> None:
    log.error("money_waits", account_id=way.account_id, cure="the desk for money takes it up")


class Supervision:
    """Runs beside the servers, once a second."""

    def __init__(
        self,
        charging: OnlineCharging,
        store: SupervisedStore,
        clock: Callable[[], int],
        grace_s: float = 60.0,
        on_silent: Callable[[CreditSession], None] = lambda _: None,
    ) -> None:
        """``on_silent`` is told of each session that is given up, so that a client that can be asked ends it, too."""
        self._charging = charging
        self._store = store
        self._clock = clock
        self._grace_s = grace_s
        self.on_silent = on_silent
        self.on_transfer: Callable[[Transfer], Awaitable[object]] = _nobody
        self.on_merger: Callable[[Merger], Awaitable[object]] = _nobody
        self.closed = 0
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Until cancelled. A store that is away is tried again in the next round."""
        loop = asyncio.get_running_loop()
        quiet_until = loop.time() + self._grace_s
        seen_at, seen_ms = loop.time(), self._clock()
        while True:
            await asyncio.sleep(ROUND_S)
            passed_ms = (loop.time() - seen_at) * 1000
            seen_at, before_ms, seen_ms = loop.time(), seen_ms, self._clock()
            if abs(seen_ms - before_ms - passed_ms) > CLOCK_JUMP_MS:
                log.error("clock_jumped", by_ms=int(seen_ms - before_ms - passed_ms), supervision_waits_s=self._grace_s)
                quiet_until = loop.time() + self._grace_s
            if loop.time() >= quiet_until:
                await self._round()

    async def close_due(self) -> int:
        """One round: how many silent sessions were closed."""
        now_ms = self._clock()
        count = 0
        for due in await self._store.due(now_ms, BATCH_MAX):
            try:
                session = decode_session(due.value) if due.value is not None else None
            except msgspec.MsgspecError:
                # It must not keep the others waiting, and what it holds is not ours to guess.
                log.exception("session_unreadable", session=due.key)
                await self._store.file_deadline(due, now_ms + UNREADABLE_AGAIN_MS)
                continue
            if isinstance(session, Timer):
                count += await self._look_at(session)
            elif isinstance(session, Transfer):
                await self.on_transfer(session)
            elif isinstance(session, Merger):
                await self.on_merger(session)
            elif isinstance(session, Step):
                await self._repeat(session)
            elif not isinstance(session, CreditSession):
                await self._store.file_deadline(due, 0)
            elif session.deadline_ms > now_ms:
                await self._store.file_deadline(due, session.deadline_ms)
            else:
                count += await self._close(session, "no sign of the client", is_forced=False)
                if not is_above(session.session_key):  # the client has one session, at whatever levels it is charged
                    self.on_silent(session)
        self.closed += count
        return count

    async def close_sessions(
        self, prefix: str, before_ms: int, cause: str, is_meant: Callable[[CreditSession], bool] = lambda _: True
    ) -> int:
        """Close all open sessions whose key starts so, that began before that instant [R-70], and that are meant.

        Raises BackendUnavailable when one of them could not be closed: ask again.
        """
        count = 0
        for _, value in await self._store.sessions_of(prefix):
            session = decode_session(value)
            if isinstance(session, CreditSession) and session.opened_at_ms < before_ms and is_meant(session):
                if not await self._close(session, cause, is_forced=True):
                    raise BackendUnavailable("a session could not be closed")
                count += 1
        return count

    def end_subs(self, account_id: str, session_key: str) -> None:
        """End what remains of a session's sub-sessions, beside; what is not ended so ends at its deadline [G-9]."""
        if len(self._tasks) < ENDING_MAX:
            task = asyncio.get_running_loop().create_task(self._end_subs(account_id, session_key))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _end_subs(self, account_id: str, session_key: str) -> None:
        try:
            for value in await self._store.open_sessions(account_id):
                session = decode_session(value)
                if isinstance(session, CreditSession) and session.session_key.startswith(f"{session_key}#"):
                    await self._close(session, "its main session ended", is_forced=True)
        except Exception:
            log.exception("sub_sessions_wait", session=session_key)

    async def close_sessions_of(self, peer: str, prefix: str, heard_before_ms: int, cause: str) -> int:
        """Close a client's open sessions, those it has not used since: it has forgotten them (statement 114)."""
        count = 0
        name = peer.lower()
        for _, value in await self._store.sessions_of(prefix):
            session = decode_session(value)
            if not isinstance(session, CreditSession) or session.peer.lower() != name:
                continue
            if session.heard_at_ms < heard_before_ms:
                count += await self._close(session, cause, is_forced=True)
        return count

    async def _round(self) -> None:
        try:
            while await self.close_due() >= BATCH_MAX // 2:
                pass
        except Exception:
            log.exception("supervision_round_failed")

    async def _close(self, session: CreditSession, cause: str, *, is_forced: bool) -> bool:
        """Whether it is closed now; if not, its deadline brings it up again."""
        future: asyncio.Future[ChargingAnswer] = asyncio.get_running_loop().create_future()
        request = ChargingRequest(
            RequestKind.EXPIRY,
            session.session_key,
            -1,
            (),
            session.service,
            self._clock(),
            (),
            cause=cause,
            is_forced=is_forced,
        )
        self._charging.submit_for(session.account_id, request, future.set_result)
        return (await future).status is ChargingStatus.SUCCESS

    async def _repeat(self, step: Step) -> None:
        """Have a request that was charged to a reseller charged to the account below; it is due until it is."""
        future: asyncio.Future[ChargingAnswer] = asyncio.get_running_loop().create_future()
        self._charging.repeat(step, future.set_result, takes_back=True)
        answer = await future
        log.info("step_repeated", session=step.request.session_key, reseller=step.account_id, status=answer.status.name)

    async def _look_at(self, timer: Timer) -> bool:
        """Have an account do what is due, and set its timer anew; the store being away, it is due again."""
        future: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._charging.lanes.submit(timer.account_id, Dues(self._charging, timer.account_id, future.set_result))
        return await future

    async def find_session(self, key: str) -> CreditSession | None:
        """The open session of that key, as it stands in the store. Raises BackendUnavailable."""
        future: asyncio.Future[list[bytes] | BackendUnavailable] = asyncio.get_running_loop().create_future()
        self._store.locate(key, future.set_result)
        found = await future
        if isinstance(found, BackendUnavailable):
            raise found
        records = (decode_session(value) for value in found)
        return next((record for record in records if isinstance(record, CreditSession)), None)
