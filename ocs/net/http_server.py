"""HTTP: uvicorn inside the daemon's own loop. Bytes, admission and the end; the application comes from outside.

uvicorn's manner of a program (signal handlers, log configuration, exit codes) is switched off: the daemon has its own.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import structlog
import uvicorn

from ocs.addresses import Address, parse_address
from ocs.settings import Http

log = structlog.get_logger()

CONNECTIONS_MAX: Final = 1024
BACKLOG: Final = 512
KEEP_ALIVE_S: Final = 30
HEADERS_OCTETS_MAX: Final = 16_384
FORCED_END_S: Final = 2.0


class _Server(uvicorn.Server):
    """A uvicorn that leaves signals alone and says when it listens."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = asyncio.Event()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listening.set()


class HttpServer:
    """``start`` returns the address bound (port 0 chooses a free one); ``close`` lets running requests finish."""

    def __init__(self, settings: Http, app: Any) -> None:
        self._settings = settings
        self._server = _Server(
            uvicorn.Config(
                app,
                http="h11",
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                backlog=BACKLOG,
                limit_concurrency=CONNECTIONS_MAX,
                timeout_keep_alive=KEEP_ALIVE_S,
                h11_max_incomplete_event_size=HEADERS_OCTETS_MAX,
            )
        )
        self._task: asyncio.Task[None] | None = None

    @property
    def connections(self) -> int:
        return len(self._server.server_state.connections)

    async def start(self) -> list[str]:
        """Listen. Raises OSError if the address cannot be bound."""
        bound = _bind(self._settings.listen)
        address = str(Address(*bound.getsockname()[:2]))
        self._task = asyncio.create_task(self._server.serve([bound]), name="http-server")
        listening = asyncio.create_task(self._server.listening.wait())
        await asyncio.wait({self._task, listening}, return_when=asyncio.FIRST_COMPLETED)
        if not self._server.listening.is_set():
            listening.cancel()
            await self._task  # raises what went wrong
        log.info("http_listening", address=address)
        return [address]

    async def close(self, drain_s: float) -> None:
        """Stop accepting, wait up to ``drain_s`` for running requests, then cancel what is left."""
        if self._task is None:
            return
        self._server.config.timeout_graceful_shutdown = max(1, round(drain_s))
        self._server.should_exit = True
        try:
            await asyncio.wait_for(self._task, drain_s + FORCED_END_S)
        except TimeoutError:
            log.warning("http_drain_cut_short", connections=self.connections)
        self._task = None


def _bind(listen: str) -> socket.socket:
    address = parse_address(listen)
    assert address is not None, "the settings were checked when they were read"
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((address.host, address.port))
    except OSError:
        bound.close()
        raise
    bound.setblocking(False)
    return bound
