"""Tells the clients of an account's open sessions what happened to the account; nobody waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final, Protocol, TypeAlias

import structlog

from ocs.charging.notices import Change, Notice, NoticeKind, notice_to, notices_of, notices_of_need
from ocs.charging.session import CreditSession, decode_session

log = structlog.get_logger()

WAITING_MAX: Final = 10_000
ASK_AGAIN_MS: Final = 10_000
Choose: TypeAlias = Callable[[Sequence[CreditSession], int], list[Notice]]


class SessionsOfAccount(Protocol):
    async def open_sessions(self, account_id: str) -> list[bytes]: ...


class Publishes(Protocol):
    async def publish(self, notices: Sequence[Notice]) -> None: ...


class Notifier:
    """``account_changed`` returns at once; the work is done beside. What cannot be said now is logged and left."""

    def __init__(self, store: SessionsOfAccount, stream: Publishes, clock: Callable[[], int]) -> None:
        self._store = store
        self._stream = stream
        self._clock = clock
        self._asked: dict[str, int] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def account_changed(self, account_id: str, change: Change) -> None:
        self._spawn(account_id, partial(notices_of, change))

    def short_of_money(self, account_id: str, session_key: str) -> None:
        """A session was refused for what others hold: they are asked for it, for each account once in a while (statement 72)."""
        now_ms = self._clock()
        if self._asked.get(account_id, 0) > now_ms:
            return
        while len(self._asked) >= WAITING_MAX:
            del self._asked[next(iter(self._asked))]
        self._asked[account_id] = now_ms + ASK_AGAIN_MS
        self._spawn(account_id, partial(notices_of_need, session_key))

    def _spawn(self, account_id: str, choose: Choose) -> None:
        if len(self._tasks) >= WAITING_MAX:
            log.error("notices_dropped", waiting=len(self._tasks), cure="is Valkey slow? clients come by Validity-Time")
            return
        task = asyncio.get_running_loop().create_task(self._tell(account_id, choose))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def abort(self, session: CreditSession, cause: str) -> None:
        """Ask the session's client to end it. Raises what the stream raises when Valkey is away."""
        await self._stream.publish([notice_to(session, NoticeKind.ABORT, cause, self._clock())])

    async def close(self) -> None:
        """Let what is under way end."""
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _tell(self, account_id: str, choose: Choose) -> None:
        try:
            records = [decode_session(value) for value in await self._store.open_sessions(account_id)]
            sessions = [
                record for record in records if isinstance(record, CreditSession) and record.account_id == account_id
            ]
            await self._stream.publish(choose(sessions, self._clock()))
        except Exception:  # the change itself is done and durable
            log.exception("notice_lost", account_id=account_id)
