"""Billing for the daemon: a desk for each request on a connection of the pool, and bill runs as processes of their own.

A run works for minutes and would hold up the calls in the daemon's loop, so another process does it; what it has done so
far stands in the books (``bill_run``), where whoever asks finds it, also after the daemon has been started anew.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import date
from pathlib import Path
from typing import Any, Final

import asyncpg
import structlog

from balance.money import Currency
from ocs import tasks
from ocs.billing.failures import FAILURES, unavailable
from ocs.billing.invoices.bill_runs import begin_run
from ocs.billing.invoices.issuers import Issuers, load_issuers
from ocs.billing_desk import BillingDesk
from ocs.charging.recharge import AccountDesk
from ocs.charging.service import OnlineCharging
from ocs.delivery.settings import Delivery, load_delivery
from ocs.feeds.settings import Feed, load_feeds
from ocs.gateways.numbering import Numbering
from ocs.gateways.switch_files import Switch
from ocs.invoicing import Invoicing
from ocs.mediation import Mediation
from ocs.mediation_files import load_switches

log = structlog.get_logger()

CONNECTIONS_MAX: Final = 4
CONNECT_S_MAX: Final = 3
STATEMENT_S_MAX: Final = 30
REAP_S: Final = 0.5


class BillingService:
    """Open with ``open``, in the loop it will serve. ``config`` is the settings' file, ``environment`` names the servers."""

    def __init__(
        self,
        pool: Any,
        config: Path,
        data_dir: Path,
        environment: Mapping[str, str],
        redis: Any,
        accounts: AccountDesk,
        online: OnlineCharging,
        currencies: Mapping[str, Currency],
        numbering: Numbering,
        clock: Callable[[], int],
    ) -> None:
        self._pool = pool
        self._config = config
        self._environment = dict(environment)
        self.data_dir = data_dir
        self._redis = redis
        self._accounts = accounts
        self._online = online
        self._currencies = currencies
        self._numbering = numbering
        self._clock = clock
        self._runs: set[asyncio.Task[None]] = set()
        self.issuers = Issuers({}, {}, {}, {})
        self.switches: dict[str, Switch] = {}
        self.ways: frozenset[str] = frozenset()
        self.feeds: dict[str, Feed] = {}
        self.reload()

    @classmethod
    async def open(cls, dsn: str, **named: Any) -> BillingService:
        """No connection is made yet: the daemon starts without PostgreSQL."""
        pool = await asyncpg.create_pool(
            dsn, min_size=0, max_size=CONNECTIONS_MAX, timeout=CONNECT_S_MAX, command_timeout=STATEMENT_S_MAX
        )
        return cls(pool, **named)

    def reload(self) -> None:
        """Read billing.toml, mediation.toml, delivery.toml and feeds.toml anew; a file with faults leaves what there is."""
        folder = self._config.parent
        feeds = load_feeds(folder)
        if isinstance(feeds, list):
            log.error("billing_files_kept", faults=[str(fault) for fault in feeds])
        else:
            self.feeds = feeds
        for loaded in (load_issuers(folder), load_switches(folder), load_delivery(folder)):
            if isinstance(loaded, list):
                log.error("billing_files_kept", faults=[str(fault) for fault in loaded])
            elif isinstance(loaded, Issuers):
                self.issuers = loaded
            elif isinstance(loaded, Delivery):
                self.ways = loaded.ways
            else:
                self.switches = loaded

    async def close(self) -> None:
        """Bill runs go on by themselves; only their end is not awaited any more."""
        await tasks.end(self._runs)
        await self._pool.close()

    @asynccontextmanager
    async def desk(self) -> AsyncIterator[BillingDesk]:
        """For one request. Raises BackendUnavailable."""
        async with self._connection() as connection:
            invoicing = Invoicing(connection, self._redis, self._accounts, self.issuers, self._currencies, self.ways)
            yield BillingDesk("", connection, invoicing, self.issuers, self._currencies)

    @asynccontextmanager
    async def mediation(self) -> AsyncIterator[tuple[Any, Mediation]]:
        """The queue of faults, and what charges it; for one request. Raises BackendUnavailable."""
        async with self._connection() as connection:
            yield connection, Mediation(connection, self._redis, self._online, self._numbering, self._clock)

    async def start_run(self, until: date, *, is_issuing: bool) -> int:
        """Have all customers billed by another process; the run's id. Raises BackendUnavailable."""
        async with self._connection() as connection:
            run_id = await begin_run(connection, until, is_issuing=is_issuing)
        command = [
            sys.executable, "-m", "ocs", "bill", "run", "--config", str(self._config), "--data", str(self.data_dir),
            "--until", until.isoformat(), "--run", str(run_id), "--json", *(("--issue",) if is_issuing else ()),
        ]  # fmt: skip
        # In a session of its own: it outlives us, and a Ctrl-C in our terminal is not for it.
        nowhere = [(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)]
        environment = {**os.environ, **self._environment}
        pid = os.posix_spawn(command[0], command, environment, file_actions=nowhere, setsid=True)  # noqa: ASYNC221
        task = asyncio.get_running_loop().create_task(_reap(pid, run_id), name="bill run")
        self._runs.add(task)
        task.add_done_callback(self._runs.discard)
        return run_id

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[Any]:
        try:
            async with self._pool.acquire() as connection:
                yield connection
        except FAILURES as error:
            raise unavailable(error) from error


async def _reap(pid: int, run_id: int) -> None:
    while not (ended := os.waitpid(pid, os.WNOHANG))[0]:  # noqa: ASYNC110, ASYNC222 - a child's end is no event of ours
        await asyncio.sleep(REAP_S)
    log.info("bill_run_ended", run_id=run_id, status=os.waitstatus_to_exitcode(ended[1]))
