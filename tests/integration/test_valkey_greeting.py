"""A server that lets us connect and then does not want us: we ask ever more rarely, and are there when it does."""

from __future__ import annotations

import asyncio
import contextlib

from structlog.testing import capture_logs

from balance.valkey.codec import pack
from balance.valkey.connection import RECONNECT_S_MIN, Connection

ATTEMPTS = 6


async def test_a_refused_greeting_is_no_storm() -> None:
    """Each attempt waits twice as long as the one before and is one line in the log; then the server takes us after all."""
    attempts = 0
    is_willing = False
    handlers: list[asyncio.Task[None] | None] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal attempts
        attempts += 1
        handlers.append(asyncio.current_task())
        with contextlib.closing(writer), contextlib.suppress(ConnectionError):
            while await reader.read(1000):
                writer.write(b"+OK\r\n" if is_willing else b"-NOAUTH Authentication required.\r\n")

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    connection = Connection(f"redis://127.0.0.1:{port}", on_connect=(pack(("FUNCTION", "LOAD")),))
    loop = asyncio.get_running_loop()
    started_s = loop.time()
    with capture_logs() as lines:
        connection.start()
        while attempts < ATTEMPTS:  # noqa: ASYNC110 - whatever the machine's load, an attempt never comes early
            await asyncio.sleep(0.01)
    assert loop.time() - started_s >= RECONNECT_S_MIN * (2 ** (ATTEMPTS - 1) - 1)
    refusals = [line for line in lines if line["event"] == "valkey_refused_greeting"]
    assert len(refusals) <= ATTEMPTS
    is_willing = True
    await asyncio.wait_for(connection.ready.wait(), 30)
    await connection.close()
    server.close()
    await server.wait_closed()
    await asyncio.gather(*(handler for handler in handlers if handler is not None))
    await asyncio.sleep(0)  # the transports close one turn later


async def test_a_reply_whose_handler_fails_costs_no_other_reply(valkey_url: str) -> None:
    """A defect of ours in the first of three handlers: the other two are called, on the same connection."""
    loop = asyncio.get_running_loop()
    connection = Connection(valkey_url)
    connection.start()
    await asyncio.wait_for(connection.ready.wait(), 30)

    def fail(_reply: object) -> None:
        raise RuntimeError("a defect")

    replies = [loop.create_future() for _ in range(2)]
    with capture_logs() as lines:
        for done in (fail, *[future.set_result for future in replies]):
            connection.send(pack(("PING",)), done)
        assert await asyncio.wait_for(asyncio.gather(*replies), 30) == [b"PONG", b"PONG"]
    assert [line["event"] for line in lines] == ["valkey_reply_failed"]
    await connection.close()
