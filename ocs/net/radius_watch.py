"""Calls whose grant runs out without the gateway asking again: noticed when it is over, looked up, and cut off.

Each process watches the calls that it answered. What it knows may be stale, since another process may have answered
later: before anything is asked of a gateway the session is read from the store. After a restart nothing is watched;
then the session's own supervision finds it, and asks the gateway as well.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import structlog

from balance.store import BackendUnavailable
from ocs.charging.session import CreditSession
from ocs.gateways.radius_dynamic import CUT_OFF_MARGIN_MS, grant_ends_ms

log = structlog.get_logger()

ROUND_S: Final = 1.0
ROUND_MS: Final = 1000
AGAIN_ROUNDS: Final = 5  # while the store is away
WATCHED_MAX: Final = 500_000


class GrantWatch:
    """``granted`` and ``ended`` cost a look into a dictionary each; the rest happens once a second."""

    def __init__(
        self,
        find_session: Callable[[str], Awaitable[CreditSession | None]],
        cut_off: Callable[[CreditSession], None],
        clock: Callable[[], int],
    ) -> None:
        self._find_session = find_session
        self._cut_off = cut_off
        self._clock = clock
        self._ends_ms: dict[str, int] = {}
        self._rounds: dict[int, list[str]] = {}

    def __len__(self) -> int:
        return len(self._ends_ms)

    def granted(self, session_key: str, ends_ms: int) -> int:
        """The call may go on until then; the end that was known before, or 0. A call that is known already is looked at
        again when its old time is over, unless it ends sooner now: its money may have gone elsewhere.
        """
        known_ms = self._ends_ms.get(session_key, 0)
        if not known_ms and len(self._ends_ms) >= WATCHED_MAX:
            return 0
        if not known_ms or ends_ms < known_ms - CUT_OFF_MARGIN_MS:
            self._file(session_key, ends_ms)
        self._ends_ms[session_key] = ends_ms
        return known_ms

    def ended(self, session_key: str) -> None:
        self._ends_ms.pop(session_key, None)

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await asyncio.sleep(ROUND_S)
            try:
                await self.round()
            except Exception:
                log.exception("grant_watch_round_failed")

    async def round(self) -> int:
        """Cut off what has run out; how many calls that were."""
        now_ms = self._clock()
        count = 0
        for number in [number for number in self._rounds if number <= now_ms // ROUND_MS]:
            for key in self._rounds.pop(number):
                count += await self._look_at(key, now_ms)
        return count

    async def _look_at(self, key: str, now_ms: int) -> bool:
        ends_ms = self._ends_ms.get(key)
        if ends_ms is None:
            return False
        if ends_ms + CUT_OFF_MARGIN_MS > now_ms:
            self._file(key, ends_ms)
            return False
        try:
            session = await self._find_session(key)
        except BackendUnavailable:
            self._rounds.setdefault(now_ms // ROUND_MS + AGAIN_ROUNDS, []).append(key)
            return False
        if session is not None:
            ends_ms = grant_ends_ms(session)
            if ends_ms + CUT_OFF_MARGIN_MS > now_ms:
                self._ends_ms[key] = ends_ms
                self._file(key, ends_ms)
                return False
        self.ended(key)
        if session is None:
            return False
        self._cut_off(session)
        return True

    def _file(self, key: str, ends_ms: int) -> None:
        self._rounds.setdefault((ends_ms + CUT_OFF_MARGIN_MS) // ROUND_MS + 1, []).append(key)
