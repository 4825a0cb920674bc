"""Tasks that nobody waits for."""

from __future__ import annotations

import asyncio
from functools import partial

from structlog.testing import capture_logs

from ocs.tasks import say_failure


async def _fail() -> None:
    raise LookupError("a module that is not there any more")


async def test_what_a_task_failed_with_is_in_the_log() -> None:
    """Else who sent SIGHUP sees nothing at all; one that was cancelled has nothing to say."""
    with capture_logs() as lines:
        for work in (_fail(), asyncio.sleep(60)):
            task = asyncio.get_running_loop().create_task(work)
            task.add_done_callback(partial(say_failure, "reload_failed"))
            await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
            await asyncio.sleep(0)
    ((line),) = lines
    assert (line["event"], line["log_level"], type(line["exc_info"])) == ("reload_failed", "error", LookupError)
