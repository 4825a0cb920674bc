"""What the commands about delivery work with: the file, the words, the queue."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final, TypeVar

import asyncpg

from balance.money import Currency
from ocs.billing.failures import FAILURES
from ocs.cli.common import find_servers, read_settings
from ocs.delivery.check import read_delivery
from ocs.delivery.settings import Delivery
from ocs.delivery.words import Dictionary
from ocs.errors import EXIT_CONFIG, StartRefusedError
from ocs.rating.currencies import CURRENCIES_FILE
from ocs.rating.faults import ConfigFaultsError
from ocs.rating.load import load_currencies

ResultT = TypeVar("ResultT")
CONNECT_S_MAX: Final = 5


def delivery_or_refusal(config_dir: Path) -> tuple[Delivery, Dictionary]:
    """The file and the words. Raises StartRefusedError with every fault."""
    read = read_delivery(config_dir)
    if isinstance(read, list):
        faults = "\n".join(f"{config_dir}/{fault}" for fault in read)
        raise StartRefusedError(f"delivery has {len(read)} fault{'s'[: len(read) > 1]}:\n{faults}", EXIT_CONFIG)
    return read


def read_currencies(config_dir: Path) -> dict[str, Currency]:
    """The currencies by code. Raises StartRefusedError with every fault."""
    try:
        return load_currencies(config_dir / CURRENCIES_FILE)
    except ConfigFaultsError as error:
        raise StartRefusedError(str(error), EXIT_CONFIG) from error


def with_books(config: Path, data: Path | None, work: Callable[[Any], Awaitable[ResultT]]) -> ResultT:
    """Do something on a connection to PostgreSQL. Raises StartRefusedError when it is away."""
    dsn = find_servers(read_settings(config, data)).postgres_dsn

    async def run() -> ResultT:
        connection = await asyncpg.connect(dsn, timeout=CONNECT_S_MAX)
        try:
            return await work(connection)
        finally:
            await connection.close()

    try:
        return asyncio.run(run())
    except FAILURES as error:
        raise StartRefusedError(f"cannot work with PostgreSQL: {error or type(error).__name__}") from error
