"""The store answers by callback, never by a future per request; who may wait asks it like this."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

from balance.store import BackendUnavailable

AnswerT = TypeVar("AnswerT")


async def asked(ask: Callable[[Callable[[AnswerT | BackendUnavailable], None]], None]) -> AnswerT:
    """The answer that a question to the store is called back with. Raises BackendUnavailable when that is what comes back."""
    future: asyncio.Future[AnswerT] = asyncio.get_running_loop().create_future()

    def answered(answer: AnswerT | BackendUnavailable) -> None:
        if future.done():
            return
        if isinstance(answer, BackendUnavailable):
            future.set_exception(answer)
        else:
            future.set_result(answer)

    ask(answered)
    return await future
