"""The process that gives records to receivers: each feed by itself, so that who is away holds up nobody else."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import asyncpg
import structlog

from balance.money import Currency
from ocs.billing.failures import FAILURES
from ocs.feeds import queue
from ocs.feeds.receivers import Receiver, ReceiverAwayError, receiver_of
from ocs.feeds.settings import Feed

log = structlog.get_logger()

IDLE_S: Final = 1.0
BACK_OFF_S_MIN: Final = 1.0
BACK_OFF_S_MAX: Final = 300.0


class Feeder:
    """Gives until stopped."""

    def __init__(self, dsn: str, feeds: Mapping[str, Feed], data_dir: Path, currencies: Mapping[str, Currency]) -> None:
        self._dsn = dsn
        self._feeds = feeds
        self._receivers = {name: receiver_of(feed, data_dir, currencies) for name, feed in feeds.items()}
        self._stop = asyncio.Event()

    def stop(self) -> None:
        self._stop.set()

    async def run(self) -> None:
        log.info("feeds_started", feeds=sorted(self._feeds))
        async with asyncpg.create_pool(self._dsn, min_size=0, max_size=len(self._feeds) + 1) as pool:
            await asyncio.gather(*(self._keep_giving(pool, feed) for feed in self._feeds.values()))
        for receiver in self._receivers.values():
            await receiver.close()
        log.info("feeds_stopped")

    async def give_once(self, connection: Any, feed: Feed) -> int:
        """A batch, if it is full or old enough; how many records. Raises ReceiverAwayError."""
        count, age_s = await queue.waiting(connection, feed.name, feed.batch_max)
        if not count or (count < feed.batch_max and age_s < feed.wait_s):
            return 0
        receiver: Receiver = self._receivers[feed.name]
        async with connection.transaction():
            records = await queue.take(connection, feed.name, feed.batch_max)
            if records:
                await receiver.give(records)
                await queue.forget(connection, feed.name, records)
        return len(records)

    async def _keep_giving(self, pool: Any, feed: Feed) -> None:
        back_off_s = BACK_OFF_S_MIN
        while not self._stop.is_set():
            try:
                async with pool.acquire() as connection:
                    given = await self.give_once(connection, feed)
                wait_s, back_off_s = (0.0 if given else IDLE_S), BACK_OFF_S_MIN
            except ReceiverAwayError as error:
                log.warning("feed_waits", feed=feed.name, why=str(error), again_in_s=back_off_s)
                wait_s, back_off_s = back_off_s, min(back_off_s * 2, BACK_OFF_S_MAX)
            except FAILURES as error:
                log.warning("feed_waits", feed=feed.name, why=f"PostgreSQL: {error}", again_in_s=back_off_s)
                wait_s, back_off_s = back_off_s, min(back_off_s * 2, BACK_OFF_S_MAX)
            if wait_s:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._stop.wait(), wait_s)


async def serve(dsn: str, feeds: Mapping[str, Feed], data_dir: Path, currencies: Mapping[str, Currency]) -> None:
    """The process: until SIGTERM or SIGINT, then the batch in hand is finished."""
    feeder = Feeder(dsn, feeds, data_dir, currencies)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, feeder.stop)
    await feeder.run()
