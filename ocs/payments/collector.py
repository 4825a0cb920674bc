"""The process that collects: it looks at accounts whose balance is low, asks the gateway, and brings charges and refunds
to their end.

Its whole state is in PostgreSQL, in Valkey and at the gateway; any number of them may run, and each may be killed anywhere.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Awaitable, Callable
from typing import Any, Final

import structlog

from balance.store import BackendUnavailable
from ocs import clock, tasks
from ocs.billing.failures import FAILURES
from ocs.payments import charges
from ocs.payments.charges import KeptCharge
from ocs.payments.gateway import Charged, ChargeState, Gateway, GatewayRefusedError
from ocs.payments.payments import Payments

log = structlog.get_logger()

IDLE_S: Final = 0.5
AWAY_S: Final = 5.0
INVOICES_S: Final = 60.0
REFUNDS_S: Final = 5.0
SIDE_BY_SIDE: Final = 4
"""So many charges are asked for at the same time: the gateway takes a second or two for each."""

Step = Callable[[], Awaitable[bool]]


class Collector:
    """Works until told to stop."""

    def __init__(
        self, payments: Payments, *, idle_s: float = IDLE_S, clock_ms: Callable[[], int] = clock.now_ms
    ) -> None:
        self._payments = payments
        self._idle_s = idle_s
        self._clock_ms = clock_ms
        self._stop = asyncio.Event()

    def stop(self) -> None:
        """Finish what is in hand, then return from ``run``."""
        self._stop.set()

    async def run(self) -> None:
        log.info("collector_started")
        steps: list[tuple[Step, float]] = [
            (self._payments.top_ups.look, self._idle_s),
            (self.begin, INVOICES_S),
            (self._payments.refunds.resume, REFUNDS_S),
        ]
        async with asyncio.TaskGroup() as group:
            for step, pause_s in [*steps, *[(self.charge, self._idle_s)] * SIDE_BY_SIDE]:
                group.create_task(self._again_and_again(step, pause_s))
        log.info("collector_stopped")

    async def begin(self) -> bool:
        """Write down which invoices are to be collected now."""
        await self._payments.begin_invoices()
        return False

    async def charge(self) -> bool:
        """Ask the gateway for one charge that is due, and do what follows; False: none is."""
        pool: Any = self._payments.pool
        async with pool.acquire() as connection:
            charge = await charges.claim(connection, self._clock_ms())
        if charge is None:
            return False
        await self._payments.settle(charge, await ask(self._payments.gateway, charge))
        return True

    async def settle_all(self) -> None:
        """Look and charge until nothing is due (tests and tools)."""
        while await self._payments.top_ups.look():
            pass
        while await self.charge():
            pass

    async def _again_and_again(self, step: Step, pause_s: float) -> None:
        is_up = True
        while not self._stop.is_set():
            try:
                wait_s = 0.0 if await step() else pause_s
                is_up = True
            except (BackendUnavailable, *FAILURES) as error:
                if is_up:
                    log.error("collector_waits", why=str(error))  # noqa: TRY400 - a state, no fault
                is_up, wait_s = False, AWAY_S
            if wait_s:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._stop.wait(), wait_s)


async def ask(gateway: Gateway, charge: KeptCharge) -> Charged:
    """What the gateway says of a charge. Raises BackendUnavailable."""
    try:
        if charge.state == "pending":
            return await gateway.find_charge(charge.payment)
        return await gateway.charge(charge.asked, key=charge.key, is_repeat=charge.tries > 1)
    except GatewayRefusedError as error:  # no decline of a bank: it will not have this request, now or later
        return Charged(charge.payment, ChargeState.FAILED, str(error)[:200], is_final=True)


async def run_until_stopped(
    collector: Collector, beside: list[asyncio.Task[Any]], reload: Callable[[], None] = lambda: None
) -> None:
    """The process: until SIGTERM or SIGINT, then what is in hand is finished. ``beside`` ends with it; SIGHUP is ``reload``."""
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGHUP, reload)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, collector.stop)
    try:
        await collector.run()
    finally:
        await tasks.end(beside)
