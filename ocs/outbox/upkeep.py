"""What the books need as time goes by: months for the records that come, made ahead; old ones dropped by rule."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

import asyncpg
import structlog

from balance.store import BackendUnavailable
from ocs.billing.failures import FAILURES
from ocs.billing.months import Kept, keep_months

log = structlog.get_logger()

EVERY_S: Final = 3600
AGAIN_S: Final = 30
CONNECT_S_MAX: Final = 5


async def look_after_months(dsn: str, keep: int, clock_ms: Callable[[], int]) -> None:
    """Until it is cancelled. PostgreSQL's absence is logged by the flusher; here it is only waited out."""
    while True:
        try:
            kept = await _once(dsn, clock_ms(), keep)
        except (BackendUnavailable, *FAILURES):
            await asyncio.sleep(AGAIN_S)
            continue
        if kept.made or kept.dropped:
            log.info("record_months_kept", made=kept.made, dropped=kept.dropped)
        if kept.held:
            log.warning(
                "record_months_held",
                months=kept.held,
                why="no issued invoice bears some of their records, or a feed waits for them",
            )
        await asyncio.sleep(EVERY_S)


async def _once(dsn: str, now_ms: int, keep: int) -> Kept:
    connection = await asyncpg.connect(dsn, timeout=CONNECT_S_MAX)
    try:
        return await keep_months(connection, now_ms, keep)
    finally:
        await connection.close()
