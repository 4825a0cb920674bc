"""The process that delivers: events become letters, letters go out by their channels, each channel at its own pace.

A lane for each webhook, one for mail, one for SMS: who is slow or away holds up nobody else. Its whole state is in
PostgreSQL; any number of them may run, and each may be killed anywhere.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, NamedTuple

import asyncpg
import httpx
import structlog
import uvloop

from balance.money import Currency
from ocs import clock
from ocs.billing.failures import FAILURES
from ocs.delivery import mail, queue, sms, webhooks
from ocs.delivery.attempts import Attempt, Outcome
from ocs.delivery.queue import Channel, Message
from ocs.delivery.routing import BATCH_MAX, HOUR_MS, route
from ocs.delivery.settings import TIMEOUT_S_MAX, Delivery, Webhook
from ocs.delivery.timing import out_of_quiet_ms, quiet_of, wait_ms
from ocs.delivery.words import Dictionary, WordsError

log = structlog.get_logger()

IDLE_S: Final = 0.5
AWAY_S: Final = 5.0
CLAIM_MAX: Final = 20
CONNECT_S_MAX: Final = 5
DAY_MS: Final = 24 * HOUR_MS

Send = Callable[[Message, int], Awaitable[Attempt]]


class Lane(NamedTuple):
    """One channel, or one webhook of it (``receiver``); ``is_quiet``: people sleep there."""

    channel: Channel
    receiver: str
    send: Send
    is_quiet: bool = False


class Deliverer:
    """Delivers until told to stop. ``delivered`` counts what arrived since the start."""

    def __init__(
        self,
        pool: Any,
        delivery: Delivery,
        words: Dictionary,
        currencies: Mapping[str, Currency],
        *,
        idle_s: float = IDLE_S,
        clock_ms: Callable[[], int] = clock.now_ms,
    ) -> None:
        self._pool = pool
        self._delivery = delivery
        self._words = words
        self._currencies = currencies
        self._idle_s = idle_s
        self._clock_ms = clock_ms
        self._stop = asyncio.Event()
        self._client = httpx.AsyncClient(follow_redirects=False)
        self.delivered = 0

    def stop(self) -> None:
        """Finish what is being sent, then return from ``run``."""
        self._stop.set()

    async def run(self) -> None:
        lanes = self.lanes()
        log.info("deliverer_started", lanes=[f"{lane.channel} {lane.receiver}".rstrip() for lane in lanes])
        work = [self._route, self._tidy, *[lambda lane=lane: self.deliver(lane) for lane in lanes]]
        try:
            async with asyncio.TaskGroup() as group:
                for step in work:
                    group.create_task(self._again_and_again(step))
        finally:
            await self._client.aclose()
        log.info("deliverer_stopped", delivered=self.delivered)

    def lanes(self) -> list[Lane]:
        """What there is to deliver by."""
        found = [Lane("webhook", hook.name, self._by_webhook(hook)) for hook in self._delivery.webhooks.values()]
        if "mail" in self._delivery.ways:
            found.append(Lane("mail", "", self._by_mail, is_quiet=True))
        if "sms" in self._delivery.ways:
            found.append(Lane("sms", "", self._by_sms, is_quiet=True))
        return found

    async def deliver(self, lane: Lane) -> int:
        """One claim's worth of messages, at the same time; how many there were."""
        async with self._pool.acquire() as connection:
            claimed = await queue.claim(connection, lane.channel, lane.receiver, self._clock_ms(), CLAIM_MAX)
        await asyncio.gather(*[self._deliver(lane, message) for message in claimed])
        return len(claimed)

    async def settle(self) -> None:
        """Route and deliver until nothing is due (tests and tools)."""
        while await self._route():
            pass
        for lane in self.lanes():
            while await self.deliver(lane):
                pass

    async def close(self) -> None:
        await self._client.aclose()

    # --- inside -----------------------------------------------------------------------------------------------------

    async def _again_and_again(self, step: Callable[[], Awaitable[int]]) -> None:
        is_up = True
        while not self._stop.is_set():
            try:
                wait_s = 0.0 if await step() else self._idle_s
                is_up = True
            except FAILURES as error:
                if is_up:
                    log.error("back_end_lost", back_end="postgres", reason=str(error))  # noqa: TRY400 - a state, no fault
                is_up, wait_s = False, AWAY_S
            if wait_s:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._stop.wait(), wait_s)

    async def _route(self) -> int:
        async with self._pool.acquire() as connection:
            number = await route(connection, self._delivery, self._currencies, self._clock_ms())
        return number if number == BATCH_MAX else 0

    async def _tidy(self) -> int:
        """Once in a while: forget what has arrived long ago, bury what waits for nobody."""
        now_ms = self._clock_ms()
        async with self._pool.acquire() as connection:
            await queue.bury_strays(connection, self._delivery.webhooks, now_ms)
            await queue.forget(connection, now_ms - self._delivery.file.keep_days * DAY_MS)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stop.wait(), HOUR_MS // 1000)
        return 0

    async def _deliver(self, lane: Lane, message: Message) -> None:
        now_ms = self._clock_ms()
        letter = message.letter
        until_ms = now_ms
        if lane.is_quiet and not letter.is_urgent:
            zone = letter.time_zone or self._delivery.file.quiet.time_zone
            quiet = quiet_of(letter.quiet_begins, letter.quiet_ends, self._delivery.quiet)
            until_ms = out_of_quiet_ms(now_ms, quiet, zone)
        if until_ms > now_ms:
            async with self._pool.acquire() as connection:
                await queue.postpone(connection, message, until_ms)
            return
        try:
            attempt = await lane.send(message, now_ms)
        except (WordsError, ValueError) as error:
            attempt = Attempt(Outcome.NEVER, str(error))
        async with self._pool.acquire() as connection:
            await self._note(connection, message, attempt)

    async def _note(self, connection: Any, message: Message, attempt: Attempt) -> None:
        now_ms, letter = self._clock_ms(), message.letter
        if attempt.outcome is Outcome.ARRIVED:
            self.delivered += 1
            await queue.arrived(connection, message, now_ms)
            return
        pause_ms = wait_ms(self._delivery.patience, message.attempts, letter.message_id)
        if attempt.outcome is Outcome.NEVER or pause_ms is None:
            log.error("message_dead", message=letter.message_id, channel=letter.channel, why=attempt.why)
            await queue.died(connection, message, now_ms, attempt.why)
            return
        await queue.tried(connection, message, now_ms, max(pause_ms, attempt.after_s * 1000), attempt.why)

    def _by_webhook(self, hook: Webhook) -> Send:
        async def send(message: Message, now_ms: int) -> Attempt:
            return await webhooks.send(self._client, hook, message.letter.values, now_ms)

        return send

    async def _by_mail(self, message: Message, now_ms: int) -> Attempt:
        letter, settings = message.letter, self._delivery.file.mail
        said = self._words.mail(letter.kind, *self._manner(message))
        return await mail.send(settings, mail.message_of(settings, letter, said, now_ms))

    async def _by_sms(self, message: Message, now_ms: int) -> Attempt:
        letter = message.letter
        said = self._words.sms(letter.kind, *self._manner(message))
        return await sms.send(
            self._client, self._delivery.file.sms, letter.receiver, said.text, letter.message_id, now_ms
        )

    def _manner(self, message: Message) -> tuple[str, dict[str, Any], str]:
        letter, file = message.letter, self._delivery.file
        return letter.language or file.language, letter.values, letter.time_zone or file.quiet.time_zone


def main(dsn: str, delivery: Delivery, words: Dictionary, currencies: Mapping[str, Currency]) -> None:
    """The process: runs until SIGTERM or SIGINT, then finishes what is being sent."""
    uvloop.run(_serve(dsn, delivery, words, currencies))


async def _serve(dsn: str, delivery: Delivery, words: Dictionary, currencies: Mapping[str, Currency]) -> None:
    async with asyncpg.create_pool(
        dsn, min_size=0, max_size=8, timeout=CONNECT_S_MAX, command_timeout=TIMEOUT_S_MAX
    ) as pool:
        deliverer = Deliverer(pool, delivery, words, currencies)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, deliverer.stop)
        await deliverer.run()
