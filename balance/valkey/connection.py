"""One pipelined connection to Valkey for the hot path: callbacks in order, one write per turn of the loop.

What was sent and not answered when the connection was lost is sent again on the next one. That is safe because a
posting names the version it expects: either it had been applied, and the repeat finds another version, or it had
not. Commands wait ``give_up_s`` at most; then their callback gets BackendUnavailable.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable
from typing import Any, Final, TypeAlias
from urllib.parse import unquote, urlsplit

import hiredis
import structlog

from balance.store import BackendUnavailable
from balance.valkey.codec import pack

log = structlog.get_logger()

ReplyDone: TypeAlias = Callable[[Any], None]

GIVE_UP_S: Final = 5.0
RECONNECT_S_MIN: Final = 0.02
RECONNECT_S_MAX: Final = 1.0
PENDING_MAX: Final = 65_536
HOLD_MAX: Final = 32
"""Commands that are enough for a write of their own while more keep coming."""


class Connection(asyncio.Protocol):
    """Sends packed commands and hands each reply to its callback; replies come in the order of the commands.

    A callback gets the decoded reply, a ``hiredis.ReplyError`` or ``BackendUnavailable``.
    """

    def __init__(self, url: str, on_connect: tuple[bytes, ...] = (), give_up_s: float = GIVE_UP_S) -> None:
        self._url = url
        self._on_connect = on_connect
        self._give_up_s = give_up_s
        self._loop = asyncio.get_running_loop()
        self._pending: deque[tuple[float, bytes, ReplyDone]] = deque()
        self._outgoing: list[bytes] = []
        self._is_flush_due = False
        self._held = 0
        self._sent_s = 0.0  # of what waits for the next flush
        self._transport: asyncio.Transport | None = None
        self._reader = hiredis.Reader()
        self._greetings = 0
        self._is_ready = False
        self._was_ready = False
        self._is_closed = False
        self._reconnecting: asyncio.Task[None] | None = None
        self._delay_s = 0.0
        self._watch: asyncio.TimerHandle | None = None
        self.ready = asyncio.Event()

    @property
    def is_ready(self) -> bool:
        return self._is_ready

    @property
    def in_flight(self) -> int:
        return len(self._pending)

    def send(self, command: bytes, done: ReplyDone) -> None:
        """Queue one packed command; it leaves with all others of this turn of the loop."""
        if self._is_closed or len(self._pending) >= PENDING_MAX:
            done(BackendUnavailable("too many commands wait for Valkey" if not self._is_closed else "closed"))
            return
        if not self._is_flush_due:
            self._sent_s = self._loop.time()
        self._pending.append((self._sent_s, command, done))
        if self._is_ready:
            self._outgoing.append(command)
            if not self._is_flush_due:
                self._is_flush_due = True
                self._held = 0
                self._loop.call_soon(self._flush_turn)

    def start(self) -> None:
        """Connect in the background and keep connected until closed."""
        self._reconnecting = self._loop.create_task(self._connect())
        self._watch = self._loop.call_later(0.25, self._give_up_on_old)

    async def close(self) -> None:
        self._is_closed = True
        if self._watch is not None:
            self._watch.cancel()
        if self._reconnecting is not None:
            self._reconnecting.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._reconnecting
        if self._transport is not None:
            self._transport.close()
        self._fail_pending("the connection was closed")

    # --- asyncio.Protocol ---------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport) or hasattr(transport, "write")
        self._transport = transport  # type: ignore[assignment]  # uvloop's transports are not asyncio.Transport
        self._reader = hiredis.Reader()
        greetings = (*_login(self._url), *self._on_connect)
        self._greetings = len(greetings)
        self._is_ready = False
        if greetings:
            self._transport.write(b"".join(greetings))  # type: ignore[union-attr]
        else:
            self._become_ready()

    def data_received(self, data: bytes) -> None:
        reader = self._reader
        reader.feed(data)
        pending = self._pending
        while True:
            try:
                reply = reader.gets()
            except hiredis.ProtocolError:
                self._abort("valkey_sent_garbage")
                return
            if reply is False:
                return
            if self._greetings:
                self._greeted(reply)
                continue
            try:
                pending.popleft()[2](reply)
            except Exception:  # a defect of ours: the replies behind this one are awaited, too
                log.exception("valkey_reply_failed")

    def connection_lost(self, exc: Exception | None) -> None:
        was_ready, self._is_ready = self._is_ready, False
        self.ready.clear()
        self._transport = None
        self._outgoing.clear()
        if self._is_closed:
            return
        if was_ready:
            log.warning("valkey_connection_lost", reason=str(exc or "closed by the server"), waiting=len(self._pending))
        else:  # a server that is still loading, or that does not want us, closes on us again and again: do not spin
            self._wait_longer()
        self._reconnecting = self._loop.create_task(self._connect())

    # --- inside -------------------------------------------------------------------------------------------------

    def _flush_turn(self) -> None:
        """Write, unless this turn brought more commands: then the next turn may, too, and one fsync pays for all."""
        waiting = len(self._outgoing)
        if self._held < waiting < HOLD_MAX:
            self._held = waiting
            self._loop.call_soon(self._flush_turn)
            return
        self._is_flush_due = False
        self._flush()

    def _flush(self) -> None:
        if self._transport is not None and self._outgoing:
            outgoing, self._outgoing = self._outgoing, []
            self._transport.write(b"".join(outgoing) if len(outgoing) > 1 else outgoing[0])

    def _greeted(self, reply: object) -> None:
        if isinstance(reply, hiredis.ReplyError):
            # LOADING while the append-only file is read again; anything else is worth saying once per attempt.
            if not str(reply).startswith("LOADING"):
                log.error("valkey_refused_greeting", reason=str(reply))
            self._abort(None)
            return
        self._greetings -= 1
        if not self._greetings:
            self._become_ready()

    def _become_ready(self) -> None:
        self._is_ready = True
        self._delay_s = 0.0
        self.ready.set()
        if self._pending:
            if self._was_ready:  # else they have only waited for the first connection
                log.info("valkey_postings_sent_again", count=len(self._pending))
            self._outgoing = [command for _, command, _ in self._pending]
            self._flush()
        self._was_ready = True

    def _abort(self, event: str | None) -> None:
        if event:
            log.error(event)
        if self._transport is not None:
            self._transport.abort()

    async def _connect(self) -> None:
        """Try at once after a good connection, then ever more rarely, until one is made (which may be lost again)."""
        while not self._is_closed:
            if self._delay_s:
                await asyncio.sleep(self._delay_s)
            try:
                await _open(self._loop, self._url, self)
            except OSError:
                self._wait_longer()
            else:
                return

    def _wait_longer(self) -> None:
        self._delay_s = min(max(2 * self._delay_s, RECONNECT_S_MIN), RECONNECT_S_MAX)

    def _give_up_on_old(self) -> None:
        if self._is_closed:
            return
        self._watch = self._loop.call_later(0.25, self._give_up_on_old)
        oldest = self._loop.time() - self._give_up_s
        if self._pending and self._pending[0][0] < oldest:
            # On a live connection the answers behind it could no longer be told apart: it has to go.
            if self._transport is not None:
                self._abort("valkey_does_not_answer")
            while self._pending and self._pending[0][0] < oldest:
                self._pending.popleft()[2](BackendUnavailable("Valkey did not answer in time"))

    def _fail_pending(self, reason: str) -> None:
        while self._pending:
            self._pending.popleft()[2](BackendUnavailable(reason))


async def _open(loop: asyncio.AbstractEventLoop, url: str, connection: Connection) -> None:
    parts = urlsplit(url)
    if parts.scheme == "unix":
        await loop.create_unix_connection(lambda: connection, unquote(parts.path))
        return
    assert parts.scheme in {"redis", "rediss", "valkey", "valkeys"}, f"{parts.scheme}:// is no Valkey URL"
    is_tls = parts.scheme in {"rediss", "valkeys"}
    await loop.create_connection(
        lambda: connection, parts.hostname or "127.0.0.1", parts.port or 6379, ssl=True if is_tls else None
    )


def _login(url: str) -> list[bytes]:
    parts = urlsplit(url)
    commands = []
    if parts.password:
        user = (unquote(parts.username),) if parts.username else ()
        commands.append(pack(("AUTH", *user, unquote(parts.password))))
    database = parts.path.lstrip("/") if parts.scheme != "unix" else ""
    if database:
        commands.append(pack(("SELECT", database)))
    return commands
