"""Whether a Valkey (or Redis) is configured to keep what it acknowledges: the operator's own one may not be."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from redis.exceptions import ResponseError

EVICTS_ACCOUNTS = "allkeys-"


class Examination(NamedTuple):
    """``unfit``: why nothing may be charged on it; ``lax``: which promise is weaker. Each is a sentence with its cure."""

    unfit: tuple[str, ...] = ()
    lax: tuple[str, ...] = ()


async def examine(client: Any) -> Examination:
    """Ask the server. One that does not tell its configuration (a managed service) is taken at its word."""
    try:
        found = await client.config_get("append*", "maxmemory*", "cluster-enabled")
    except ResponseError:
        return Examination()
    return judge({_text(name): _text(value) for name, value in found.items()})


def judge(config: Mapping[str, str]) -> Examination:
    """The same on what it told."""
    unfit, lax = [], []
    policy = config.get("maxmemory-policy", "")
    if config.get("maxmemory", "0") != "0" and policy.startswith(EVICTS_ACCOUNTS):
        unfit.append(f"its maxmemory-policy {policy} would drop accounts: set volatile-ttl, or noeviction")
    if config.get("cluster-enabled", "no") == "yes":
        unfit.append("it runs in cluster mode, which is not supported yet: name a server that does not")
    if config.get("appendonly", "yes") != "yes":
        lax.append("appendonly is off, so a restart loses what was acknowledged: set appendonly yes")
    elif config.get("appendfsync", "always") != "always":
        lax.append(
            f"appendfsync is {config['appendfsync']}, so a power failure loses the last second or more: set appendfsync always"
        )
    return Examination(tuple(unfit), tuple(lax))


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
