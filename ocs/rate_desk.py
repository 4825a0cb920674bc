"""The rates of a running daemon: what is in force, reading the files again, staged decks at their instant.

A book is made by another process beside the one in force, and swapped by one assignment: a request sees the old rates or
the new ones. Where the new files have faults nothing is swapped, and a deck that was just put in place goes back.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final, NamedTuple

import structlog

from ocs.errors import StartRefusedError
from ocs.handover import let_go
from ocs.rates.versions import DeckVersions, VersionError, hash_of, scheduled_decks
from ocs.rating.build import LoadResult
from ocs.rating.faults import ConfigFault
from ocs.rating.ratebook import RateBook

log = structlog.get_logger()

SCHEDULE_POLL_S: Final = 1.0


class _Due(NamedTuple):
    """``put``: the deck that was put in place now. ``is_changed``: the files have to be read again.

    ``next_ms`` is when something is due next; 0: nothing is scheduled.
    """

    put: DeckVersions | None
    is_changed: bool
    next_ms: int


class RateDesk:
    """``charging`` has the rates as its attribute; whoever prices reads them there anew for each request.

    ``load`` reads the rate files, all of them. ``in_force`` is a file that the daemons of one data folder share: in it
    stands what the last of them that was told to read the files has found.
    """

    def __init__(
        self,
        config_dir: Path,
        charging: Any,
        clock: Callable[[], int],
        load: Callable[[], Awaitable[LoadResult]],
        in_force: Path | None = None,
    ) -> None:
        self._config_dir = config_dir
        self._charging = charging
        self._clock = clock
        self._load = load
        self._in_force = in_force
        self._followed = ""
        self._turn = asyncio.Lock()
        self._awaited: dict[str, str] = {}

    def book(self) -> RateBook | None:
        """What requests are priced by now."""
        rates = self._charging.rates
        return rates if isinstance(rates, RateBook) else None

    async def reload(self) -> tuple[ConfigFault, ...]:
        """Read the files again; swap whole, or keep what is there and give every fault."""
        async with self._turn:
            return await self._reload()

    async def activate(self, deck: str, version: str, at_ms: int) -> tuple[ConfigFault, ...]:
        """Put a staged version in place, now or at an instant to come. Raises VersionError."""
        versions = DeckVersions(self._config_dir, deck)
        async with self._turn:
            await asyncio.to_thread(versions.content, version)
            if at_ms > self._clock():
                await asyncio.to_thread(versions.schedule, version, at_ms)
                log.info("deck_scheduled", deck=deck, version=version, at_ms=at_ms)
                return ()
            is_new = await asyncio.to_thread(versions.activate, version)
            return await self._reload_or_take_back(versions if is_new else None)

    async def run(self) -> None:
        """Put scheduled decks in place when they are due; whichever of several daemons is first does it for all."""
        while True:  # noqa: ASYNC110 - files that other processes write are no event of ours
            await asyncio.sleep(await self.step())

    async def step(self) -> float:
        """Do what is due; for how many seconds nothing is."""
        try:
            async with self._turn:
                due = await asyncio.to_thread(self._put_due)
                if due.is_changed or await asyncio.to_thread(self._is_behind):
                    await self._reload_or_take_back(due.put)
        except (OSError, VersionError, ValueError) as error:
            log.warning("schedule_not_read", reason=str(error))
            return SCHEDULE_POLL_S
        return min(max((due.next_ms - self._clock()) / 1000, 0), SCHEDULE_POLL_S) if due.next_ms else SCHEDULE_POLL_S

    # --- inside -----------------------------------------------------------------------------------------------------

    async def _reload(self) -> tuple[ConfigFault, ...]:
        try:
            loaded = await self._load()
        except StartRefusedError as error:  # not the files are at fault, but where the book is kept
            log.warning("rates_kept", reason=str(error), version=getattr(self.book(), "version", ""))
            return (ConfigFault(".", 0, "node.data_dir", str(error)),)
        if loaded.book is None:
            reason = "\n".join(map(str, loaded.faults))
            log.warning("rates_kept", reason=reason, version=getattr(self.book(), "version", ""))
            return loaded.faults
        old, self._charging.rates = self.book(), loaded.book
        gc.freeze()
        log.info("rates_swapped", version=loaded.book.version)
        if self._in_force is not None:
            await asyncio.to_thread(self._tell_others, self._in_force, loaded.book.version)
        for _ in let_go(old) if old is not None else ():
            await asyncio.sleep(0)
        return ()

    async def _reload_or_take_back(self, put: DeckVersions | None) -> tuple[ConfigFault, ...]:
        faults = await self._reload()
        if faults and put is not None:
            await asyncio.to_thread(put.roll_back)
            log.error("deck_taken_back", deck=put.deck, faults=len(faults))
        return faults

    def _is_behind(self) -> bool:
        """Whether another daemon has read other files since; asked once for each of their versions, faulty or not."""
        try:
            version = self._in_force.read_text(encoding="utf-8") if self._in_force is not None else ""
        except FileNotFoundError:
            return False
        if version in ("", self._followed, getattr(self.book(), "version", "")):
            return False
        self._followed = version
        return True

    def _tell_others(self, in_force: Path, version: str) -> None:
        self._followed = version
        partial = in_force.with_suffix(f".{os.getpid()}")
        with contextlib.suppress(OSError):  # a folder that cannot be written is shared by nobody
            partial.write_text(version, encoding="utf-8")
            partial.replace(in_force)

    def _put_due(self) -> _Due:
        """Put one due deck in place, and see whether another daemon has put one."""
        now_ms, next_ms = self._clock(), 0
        awaited, self._awaited = self._awaited, {}
        for deck in scheduled_decks(self._config_dir):
            versions = DeckVersions(self._config_dir, deck)
            if self._is_put(versions, now_ms):
                self._awaited |= {name: version for name, version in awaited.items() if name != deck}
                return _Due(versions, True, now_ms)
            state = versions.state()
            if state.scheduled:
                self._awaited[deck] = state.scheduled
                next_ms = min(next_ms or state.scheduled_at_ms, state.scheduled_at_ms)
        gone = ((deck, version) for deck, version in awaited.items() if deck not in self._awaited)
        is_changed = any(hash_of(DeckVersions(self._config_dir, deck).live()) == version for deck, version in gone)
        return _Due(None, is_changed, next_ms)

    def _is_put(self, versions: DeckVersions, now_ms: int) -> bool:
        try:
            return bool(versions.activate_due(now_ms))
        except VersionError as error:
            log.warning("deck_not_activated", deck=versions.deck, reason=str(error))
            versions.schedule("", 0)
            return False
