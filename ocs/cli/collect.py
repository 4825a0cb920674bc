"""``ocs collect``: the collector alone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import typer

from ocs.cli.common import DEFAULT_CONFIG, ConfigOption, DataOption, read_settings, refusals
from ocs.errors import EXIT_CONFIG, StartRefusedError

if TYPE_CHECKING:
    from ocs.settings import Settings

CONNECTIONS_MAX: Final = 8
CONNECT_S_MAX: Final = 5
STATEMENT_S_MAX: Final = 60


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(rich_help_panel="Processes")(collect)


def collect(config: ConfigOption = DEFAULT_CONFIG, data: DataOption = None) -> None:
    """Run the collector alone: automatic top-ups of accounts whose balance is low, and invoices that are due, by stored
    payment methods.

    `ocs run` starts it for you where [stripe] is set. Any number of them may run, on any machine. SIGHUP reads payments.toml
    again; SIGTERM finishes what is in hand and stops.

    Example: `ocs collect --config /etc/ocs/ocs.toml`
    """
    from balance.store import BackendUnavailable
    from balance.valkey.store import PartitionsMismatchError
    from ocs.observe.logging import configure_logging

    with refusals():
        settings = read_settings(config, data)
        configure_logging("collector")
        try:
            asyncio.run(_collect(settings, config.absolute().parent))
        except PartitionsMismatchError as error:
            raise StartRefusedError(str(error), EXIT_CONFIG) from error
        except BackendUnavailable as error:
            raise StartRefusedError(str(error)) from error


async def _collect(settings: Settings, folder: Path) -> None:
    import asyncpg

    from ocs.accountfile import account_rules
    from ocs.api.postgres import PostgresHistory
    from ocs.billing_desk import BillingDesk
    from ocs.charging.notice_stream import NoticeStream
    from ocs.charging.notifier import Notifier
    from ocs.charging.recharge import AccountDesk
    from ocs.cli.bill_world import read_billing
    from ocs.cli.charging_world import open_charging
    from ocs.clock import now_ms
    from ocs.invoicing import Invoicing
    from ocs.observe.reports import process_name
    from ocs.payments.collector import Collector, run_until_stopped
    from ocs.payments.payments import open_payments
    from ocs.payments.secrets import open_gateway
    from ocs.payments.settings import read_payments

    async with AsyncExitStack() as stack:
        gateway = open_gateway(settings.stripe, folder)
        if gateway is None:
            raise StartRefusedError(
                "there is no payment gateway: set [stripe] in ocs.toml (docs/payments.md)", EXIT_CONFIG
            )
        stack.push_async_callback(gateway.close)
        world = await open_charging(stack, settings, folder, account_rules(folder))
        notifier = Notifier(world.store, NoticeStream(world.store.client, process_name()), now_ms)
        stack.push_async_callback(notifier.close)
        desk = AccountDesk(world.online, world.store, now_ms, world.currencies, notifier)
        pool = await stack.enter_async_context(
            asyncpg.create_pool(
                world.servers.postgres_dsn, min_size=0, max_size=CONNECTIONS_MAX, timeout=CONNECT_S_MAX,
                command_timeout=STATEMENT_S_MAX,
            )
        )  # fmt: skip
        issuers, ways = read_billing(folder)

        @asynccontextmanager
        async def billing() -> AsyncIterator[BillingDesk]:
            async with pool.acquire() as connection:
                invoicing = Invoicing(connection, world.redis, desk, issuers, world.currencies, ways)
                yield BillingDesk(world.servers.postgres_dsn, connection, invoicing, issuers, world.currencies)

        payments = open_payments(
            gateway, pool, world.redis, desk, PostgresHistory(pool), world.currencies, read_payments(folder),
            world.online, billing, now_ms,
        )  # fmt: skip
        following = asyncio.create_task(world.rates.run(), name="rates")
        await run_until_stopped(Collector(payments), [following], partial(payments.reload, folder))
