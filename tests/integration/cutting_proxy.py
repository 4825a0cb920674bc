"""A TCP proxy in front of a real Valkey that cuts the connection at one posting: before it, or between it and its reply."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from enum import Enum
from urllib.parse import unquote, urlsplit

POSTING = b"\r\nFCALL\r\n"  # as RESP writes the command's name; the library's own text holds no such line


class Cut(Enum):
    """Where: Valkey never sees the posting, or has applied it and its reply is lost."""

    BEFORE_POSTING = "before the posting"
    BEFORE_REPLY = "after the posting, before its reply"


class CuttingProxy:
    """Forwards everything. Armed with a cut, it breaks all connections at the next posting and stays away until healed."""

    def __init__(self, valkey_url: str) -> None:
        self._path = unquote(urlsplit(valkey_url).path)
        self._armed: Cut | None = None
        self._left = 0
        self._is_away = False
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.has_cut = asyncio.Event()
        self.url = ""

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[CuttingProxy]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        try:
            yield self
        finally:
            server.close()
            self._is_away = True
            await asyncio.sleep(0)  # who was accepted just now is sent away, too
            self._break()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def arm(self, cut: Cut, after: int = 0) -> None:
        """At the next posting, or when so many have gone through."""
        self.has_cut.clear()
        self._armed, self._left = cut, after

    def heal(self) -> None:
        self._is_away = False

    def _break(self) -> None:
        for writer in self._writers:
            writer.transport.abort()

    def _leave_if_away(self) -> None:
        if self._is_away:
            self._break()

    def _cut(self) -> None:
        self._armed = None
        self._is_away = True
        self._break()
        self.has_cut.set()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None, "a connection is served by a task"
        self._tasks.add(task)
        if self._is_away:
            writer.transport.abort()
            return
        there_reader, there_writer = await asyncio.open_unix_connection(self._path)
        self._writers |= {writer, there_writer}
        self._leave_if_away()
        try:
            await asyncio.gather(self._requests(reader, there_writer), self._replies(there_reader, writer))
        finally:
            for each in (writer, there_writer):
                self._writers.discard(each)
                each.transport.abort()

    def _is_due(self, data: bytes) -> bool:
        if self._armed is None or POSTING not in data:
            return False
        self._left -= 1
        return self._left < 0

    async def _requests(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(1 << 16):
                if self._is_due(data):
                    if self._armed is Cut.BEFORE_POSTING:
                        self._cut()
                        return
                    self._waits_for_reply = True
                writer.write(data)
        writer.transport.abort()

    _waits_for_reply = False

    async def _replies(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(1 << 16):
                if self._waits_for_reply:  # one request at a time: what comes now is the reply to the posting
                    self._waits_for_reply = False
                    self._cut()
                    return
                writer.write(data)
        writer.transport.abort()
