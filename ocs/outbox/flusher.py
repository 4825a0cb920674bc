"""The flusher process: takes batches from the outbox, writes them to the sink, then forgets them.

Its whole state is in Valkey and in the sink. It may be killed anywhere: what was not acknowledged comes again, and
the sink takes it once.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Callable, Sequence
from typing import Final

import msgspec
import structlog
import uvloop

from balance.store import BackendUnavailable
from ocs import clock, tasks
from ocs.charging.cdr import decode_entry
from ocs.outbox.postgres import PostgresSink
from ocs.outbox.reader import OutboxReader, Taken, connect
from ocs.outbox.sinks import EntryRefused, OutboxEntry, Sink
from ocs.outbox.trail import StrangerMover, TrailMover
from ocs.outbox.upkeep import look_after_months
from ocs.settings import Settings

log = structlog.get_logger()

REPORT_MS: Final = 1000
CLAIM_MS: Final = 30_000
BACK_OFF_S_MIN: Final = 0.1
BACK_OFF_S_MAX: Final = 5.0


class Status(msgspec.Struct):
    """The sign of life, as JSON. ``backlog`` counts entries, ``oldest_age_ms`` says how late the oldest one is."""

    at_ms: int
    backlog: int
    oldest_age_ms: int
    flushed: int
    buried: int
    sink_up: bool


class Presence:
    """Whether a back end is there: one log line when that changes, none while it stays."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._away_since_ms = 0
        self._back_off_s = BACK_OFF_S_MIN

    @property
    def is_up(self) -> bool:
        return not self._away_since_ms

    def went_away(self, error: BackendUnavailable, now_ms: int) -> float:
        """How long to wait before the next attempt."""
        if self.is_up:
            self._away_since_ms = now_ms
            log.error("back_end_lost", back_end=self._name, reason=str(error))
        wait_s, self._back_off_s = self._back_off_s, min(self._back_off_s * 2, BACK_OFF_S_MAX)
        return wait_s

    def came_back(self, now_ms: int) -> None:
        if not self.is_up:
            log.info("back_end_returned", back_end=self._name, away_s=(now_ms - self._away_since_ms) // 1000)
        self._away_since_ms = 0
        self._back_off_s = BACK_OFF_S_MIN


class Flusher:
    """Moves entries until told to stop. ``flushed`` counts what the sink has, since the start of the process."""

    def __init__(
        self,
        reader: OutboxReader,
        sink: Sink,
        *,
        batch_max: int,
        idle_s: float,
        clock_ms: Callable[[], int] = clock.now_ms,
    ) -> None:
        self._reader = reader
        self._sink = sink
        self._batch_max = batch_max
        self._idle_s = idle_s
        self._clock_ms = clock_ms
        self._stop = asyncio.Event()
        self._valkey = Presence("valkey")
        self._sink_presence = Presence(sink.name)
        self._reported_ms = 0
        self._claimed_ms = 0
        self.flushed = 0
        self.buried = 0

    def stop(self) -> None:
        """Finish the batch in hand, then return from ``run``."""
        self._stop.set()

    async def run(self) -> None:
        log.info("flusher_started", sink=self._sink.name, batch_max=self._batch_max)
        while not self._stop.is_set():
            try:
                moved = await self._round()
                self._valkey.came_back(self._clock_ms())
                # Each round costs both back ends as much as many entries do: a small one is not worth haste.
                wait_s = 0.0 if moved >= self._batch_max else self._idle_s
            except BackendUnavailable as error:
                wait_s = self._valkey.went_away(error, self._clock_ms())
            if wait_s:
                await self._pause(wait_s)
        with contextlib.suppress(BackendUnavailable):
            await self._report(is_due=True)
        log.info("flusher_stopped", flushed=self.flushed, buried=self.buried)

    async def flush_all(self) -> int:
        """Until the outbox is empty (tests and tools); the number of entries delivered."""
        before = self.flushed
        while not self._stop.is_set() and await self._round():
            pass
        return self.flushed - before

    async def _round(self) -> int:
        """One batch; how many entries there were to move. Raises BackendUnavailable for Valkey alone."""
        taken = await self._reader.take(self._batch_max)
        if taken:
            finished = await self._deliver(taken)
            if finished:
                await self._reader.acknowledge(finished)
        await self._report()
        now_ms = self._clock_ms()
        if now_ms - self._claimed_ms >= CLAIM_MS:
            self._claimed_ms = now_ms
            return len(taken) + await self._reader.claim()
        return len(taken)

    async def _deliver(self, taken: Sequence[Taken]) -> list[Taken]:
        """What may be acknowledged now: all but what was buried or could not be written before we had to stop."""
        finished = [item for item in taken if item.raw is None]
        batch: list[tuple[Taken, OutboxEntry]] = []
        for item in taken:
            if item.raw is not None:
                try:
                    batch.append((item, OutboxEntry(item.partition, item.stream_id, decode_entry(item.raw), item.raw)))
                except msgspec.MsgspecError as error:
                    await self._bury(item, f"not an entry: {error}")
        finished += await self._write(batch) if batch else []
        return finished

    async def _write(self, batch: list[tuple[Taken, OutboxEntry]]) -> list[Taken]:
        """Halve a batch that is refused until the one entry is found: it must not hold up the others."""
        while True:
            try:
                written = await self._sink.write([entry for _, entry in batch])
                break
            except BackendUnavailable as error:
                wait_s = self._sink_presence.went_away(error, self._clock_ms())
                await self._report()
                await self._pause(wait_s)
                if self._stop.is_set():
                    return []
            except EntryRefused as error:
                if len(batch) == 1:
                    await self._bury(batch[0][0], f"refused: {error}")
                    return []
                middle = len(batch) // 2
                return [*await self._write(batch[:middle]), *await self._write(batch[middle:])]
        self._sink_presence.came_back(self._clock_ms())
        self.flushed += written.added
        if not written.contradicted:
            return [item for item, _ in batch]
        for item, entry in batch:
            if entry.name in written.contradicted:
                await self._bury(item, "the back end holds another entry of this number")
        return [item for item, entry in batch if entry.name not in written.contradicted]

    async def _bury(self, item: Taken, why: str) -> None:
        await self._reader.bury(item, why)
        self.buried += 1
        log.error("outbox_entry_buried", partition=item.partition, stream_id=item.stream_id, why=why)

    async def _report(self, is_due: bool = False) -> None:
        now_ms = self._clock_ms()
        if not is_due and now_ms - self._reported_ms < REPORT_MS:
            return
        self._reported_ms = now_ms
        backlog = await self._reader.backlog(with_age=True)
        age_ms = max(0, now_ms - backlog.oldest_ms) if backlog.oldest_ms else 0
        status = Status(now_ms, backlog.total, age_ms, self.flushed, self.buried, self._sink_presence.is_up)
        await self._reader.report(msgspec.json.encode(status))

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stop.wait(), seconds)


def main(settings: Settings, valkey_url: str, postgres_dsn: str, feeds: Sequence[str] = ()) -> None:
    """The process: runs until SIGTERM or SIGINT, then finishes its batch. New records wait for the ``feeds``, too."""
    uvloop.run(_serve(settings, valkey_url, postgres_dsn, feeds))


async def _serve(settings: Settings, valkey_url: str, postgres_dsn: str, feeds: Sequence[str]) -> None:
    sink = PostgresSink(postgres_dsn, feeds)
    # A consumer's name outlives the process: after a crash the next one finds at once what was in hand.
    reader = OutboxReader(connect(valkey_url), sink.name, settings.node.identity)
    flusher = Flusher(reader, sink, batch_max=settings.outbox.batch_max, idle_s=settings.outbox.idle_s)
    trail = connect(valkey_url)
    carrying = [
        asyncio.create_task(mover(trail, postgres_dsn).run(), name=name)
        for name, mover in (("audit log", TrailMover), ("strangers", StrangerMover))
    ]
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, flusher.stop)
    keep = settings.retention.cdr_months
    upkeep = asyncio.create_task(look_after_months(postgres_dsn, keep, clock.now_ms), name="months of records")
    try:
        await flusher.run()
    finally:
        await tasks.end([upkeep, *carrying])
        await trail.aclose()
        await sink.close()
        await reader.close()
