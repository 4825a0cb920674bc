"""What commands that charge by themselves work with: the store, the rates as the daemons have them, the core on both."""

from __future__ import annotations

from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Final, NamedTuple

from redis.asyncio import Redis

from balance.money import Currency
from balance.valkey.store import ValkeyStore, open_store
from ocs.charging.policy import quota_policy
from ocs.charging.rules import NO_RULES, AccountRules
from ocs.charging.service import OnlineCharging
from ocs.cli.common import find_servers
from ocs.clock import now_ms
from ocs.embedded.folder import Endpoints
from ocs.errors import EXIT_CONFIG, StartRefusedError
from ocs.handover import load_apart
from ocs.rate_desk import RateDesk
from ocs.settings import Settings

CONNECT_S_MAX: Final = 5


class ChargingWorld(NamedTuple):
    """``rates`` follows the daemons', for who runs long."""

    servers: Endpoints
    redis: Any
    store: ValkeyStore
    online: OnlineCharging
    rates: RateDesk
    currencies: dict[str, Currency]


async def open_charging(
    stack: AsyncExitStack, settings: Settings, folder: Path, rules: AccountRules = NO_RULES
) -> ChargingWorld:
    """Open it all until the stack closes. Raises StartRefusedError, and what Valkey raises when it is away."""
    servers = find_servers(settings)
    books = Path(settings.node.data_dir) / "rates"
    loaded = await load_apart(folder, books)
    if loaded.book is None:
        raise StartRefusedError("the rate files have faults:\n" + "\n".join(map(str, loaded.faults)), EXIT_CONFIG)
    redis = await stack.enter_async_context(Redis.from_url(servers.valkey_url, socket_connect_timeout=CONNECT_S_MAX))
    store = await open_store(servers.valkey_url, settings.backends.partitions)
    stack.push_async_callback(store.close)
    online = OnlineCharging(store, loaded.book, quota_policy(settings, rules), now_ms)
    rates = RateDesk(folder, online, now_ms, lambda: load_apart(folder, books), books / "in_force")
    return ChargingWorld(servers, redis, store, online, rates, loaded.currencies)
