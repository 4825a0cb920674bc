"""What ``ocs bill`` works with: the books, the accounts, the files of the issuers; opened together, closed together."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final, TypeVar

import asyncpg
from redis.asyncio import Redis
from redis.exceptions import RedisError

from balance.money import Currency
from balance.store import BackendUnavailable
from balance.valkey.store import PartitionsMismatchError, open_store
from ocs.accountfile import account_rules
from ocs.billing.failures import FAILURES
from ocs.billing.invoices.book import InvoiceRefusedError
from ocs.billing.invoices.issuers import Issuers, load_issuers
from ocs.billing_desk import BillingDesk
from ocs.charging.policy import quota_policy
from ocs.charging.recharge import AccountDesk
from ocs.charging.rules import AccountRules
from ocs.charging.service import OnlineCharging
from ocs.cli.common import find_servers, read_settings
from ocs.clock import now_ms
from ocs.delivery.settings import load_delivery
from ocs.embedded.folder import Endpoints
from ocs.errors import EXIT_CONFIG, StartRefusedError
from ocs.invoicing import BookingRefusedError, Invoicing
from ocs.rating.load import load_currencies
from ocs.rating.ratebook import RateBook
from ocs.settings import Settings

ResultT = TypeVar("ResultT")
CONNECT_S_MAX: Final = 5


class BillWorld(BillingDesk):
    """One command's view of it all; what is refused becomes one line."""

    def line_amounts(self, texts: Sequence[str], currency: str) -> dict[int, int]:
        """``2=12.50`` as line number and net amount."""
        found = {}
        for text in texts:
            number, equals, amount = text.partition("=")
            if not equals or not number.isdigit():
                raise StartRefusedError(f"--line {text}: write it as 2=12.50", EXIT_CONFIG)
            found[int(number)] = self.minor(amount, currency)
        return found

    async def pdf(self, name: str, out: Path | None, template: Path | None, *, has_annex: bool) -> tuple[Path, bytes]:
        """The printed invoice, and where it goes."""
        from ocs.billing.invoices.printing.pdf import TemplateError, pdf_of

        found, paper = await self.paper(name, has_annex=has_annex)
        if template is None:
            return out or Path(f"{found.name}.pdf"), await self.set_in_type(found, paper)
        try:
            octets = pdf_of(paper, template)
        except TemplateError as error:
            raise StartRefusedError(f"the template cannot be set: {error}", EXIT_CONFIG) from error
        return out or Path(f"{found.name}.pdf"), octets


def read_billing(folder: Path) -> tuple[Issuers, frozenset[str]]:
    """Who issues invoices, and by which ways customers are reached. Raises StartRefusedError with every fault."""
    issuers = load_issuers(folder)
    if not isinstance(issuers, Issuers):
        raise StartRefusedError("billing.toml has faults:\n" + "\n".join(map(str, issuers)), EXIT_CONFIG)
    delivery = load_delivery(folder)
    if isinstance(delivery, list):
        raise StartRefusedError("delivery.toml has faults:\n" + "\n".join(map(str, delivery)), EXIT_CONFIG)
    return issuers, delivery.ways


def run(config: Path, data: Path | None, work: Callable[[BillWorld], Awaitable[ResultT]]) -> ResultT:
    """Open all of it, work, close it. Raises StartRefusedError for whatever does not go."""
    settings = read_settings(config, data)
    servers = find_servers(settings)
    folder = config.absolute().parent
    issuers, ways = read_billing(folder)
    currencies = load_currencies(folder / "currencies.toml")
    try:
        return asyncio.run(_work(settings, servers, issuers, currencies, account_rules(folder), ways, work))
    except (InvoiceRefusedError, BookingRefusedError, PartitionsMismatchError) as error:
        raise StartRefusedError(str(error), EXIT_CONFIG) from error
    except RedisError as error:
        raise StartRefusedError(f"cannot reach Valkey: {error}") from error
    except BackendUnavailable as error:
        raise StartRefusedError(f"{error}; what was done stays: say the same again") from error
    except FAILURES as error:
        raise StartRefusedError(f"PostgreSQL: {error or type(error).__name__}; say the same again") from error


async def _work(
    settings: Settings,
    servers: Endpoints,
    issuers: Issuers,
    currencies: Mapping[str, Currency],
    rules: AccountRules,
    ways: Collection[str],
    work: Callable[[BillWorld], Awaitable[ResultT]],
) -> ResultT:
    async with AsyncExitStack() as stack:
        redis = await stack.enter_async_context(
            Redis.from_url(servers.valkey_url, socket_connect_timeout=CONNECT_S_MAX)
        )
        store = await open_store(servers.valkey_url, settings.backends.partitions)
        stack.push_async_callback(store.close)
        connection = await asyncpg.connect(servers.postgres_dsn, timeout=CONNECT_S_MAX)
        stack.push_async_callback(connection.close)
        online = OnlineCharging(store, RateBook({}, ""), quota_policy(settings, rules), now_ms)
        desk = AccountDesk(online, store, now_ms, {})
        invoicing = Invoicing(connection, redis, desk, issuers, currencies, ways)
        return await work(BillWorld(servers.postgres_dsn, connection, invoicing, issuers, currencies))
