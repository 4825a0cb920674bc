"""Tasks that run beside the servers, and how they end."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any, Final

import structlog

log = structlog.get_logger()

AGAIN_S: Final = 0.5


async def end(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancel tasks until they have ended, whatever they end with.

    Once is not enough: a cancellation can be lost where it meets a time-out of a library (seen with redis-py's reads),
    and the task would go on for ever.
    """
    waiting = set(tasks)
    while waiting:
        for task in waiting:
            task.cancel()
        ended, waiting = await asyncio.wait(waiting, timeout=AGAIN_S)
        for task in ended:
            if not task.cancelled():
                task.exception()  # it has been said by whoever raised it


def say_failure(event: str, task: asyncio.Task[Any]) -> None:
    """When a task has ended that nobody waits for: what it failed with goes to the log, not into silence."""
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error(event, exc_info=error)
