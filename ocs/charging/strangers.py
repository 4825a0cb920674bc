"""The event that somebody was refused whom no account is known for: it has no posting to leave with, and must not flood.

Each network element is heard of once an hour for each identity, and of so many identities at most. The event's number is made of
what it says, so several processes that meet the same stranger tell of him once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from hashlib import blake2b
from typing import Any, Final

import structlog

from ocs.charging.cdr import JournalEntry, encode_entry
from ocs.charging.refused import KIND
from ocs.charging.request import ChargingRequest

log = structlog.get_logger()

WINDOW_MS: Final = 3_600_000
IDENTITIES_MAX: Final = 10
"""Of one network element in a window."""
ELEMENTS_MAX: Final = 100
WAITING_MAX: Final = 100
STREAM_KEY: Final = "ocs:strangers"
STREAM_MAX: Final = 10_000
FIELD: Final = b"e"
NUMBER_BITS: Final = 52
"""Programs that read JSON with doubles keep it."""


class Told:
    """Who was told of in this window. Pure but for what it remembers."""

    def __init__(self) -> None:
        self._window = -1
        self._identities: dict[str, set[str]] = {}

    def is_news(self, peer: str, identity: str, now_ms: int) -> bool:
        """Whether it is to be told now; then it has been."""
        window = now_ms // WINDOW_MS
        if window != self._window:
            self._window = window
            self._identities.clear()
        if peer not in self._identities and len(self._identities) >= ELEMENTS_MAX:
            return False
        known = self._identities.setdefault(peer, set())
        if identity in known or len(known) >= IDENTITIES_MAX:
            return False
        known.add(identity)
        return True


def entry_of(request: ChargingRequest, why: str, now_ms: int) -> JournalEntry:
    """As an entry of no account: no journal has it, its event alone is kept."""
    identity = request.identities[0] if request.identities else ""
    name = "\0".join((request.peer, identity, why, str(now_ms // WINDOW_MS)))
    number = int.from_bytes(blake2b(name.encode(), digest_size=8).digest()) >> (64 - NUMBER_BITS)
    facts = (
        ("why", why), ("identity", identity), ("service", request.service), ("destination", request.destination),
    )  # fmt: skip
    return JournalEntry("", number, now_ms, KIND, "", (), request.session_key, request.peer, why, facts=facts)


class Strangers:
    """Leaves the events where the flusher's process takes them up; what Valkey does not take is lost, with a line in the log."""

    def __init__(self, client: Any, clock: Callable[[], int]) -> None:
        self._client = client
        self._clock = clock
        self._told = Told()
        self._tasks: set[asyncio.Task[None]] = set()

    def met(self, request: ChargingRequest, why: str) -> None:
        """Somebody was refused; returns at once."""
        now_ms = self._clock()
        identity = request.identities[0] if request.identities else ""
        if len(self._tasks) < WAITING_MAX and self._told.is_news(request.peer, identity, now_ms):
            task = asyncio.get_running_loop().create_task(self._leave(entry_of(request, why, now_ms)))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Let what is under way end."""
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _leave(self, entry: JournalEntry) -> None:
        try:
            await self._client.xadd(STREAM_KEY, {FIELD: encode_entry(entry)}, maxlen=STREAM_MAX, approximate=True)
        except Exception:  # the refusal itself was answered
            log.exception("stranger_not_told", peer=entry.actor)
