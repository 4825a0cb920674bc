"""One connection of a client with many requests in flight; answers are matched by Hop-by-Hop Identifier [B-7]."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from typing import Final

from protocols.buffer import FrameBuffer
from protocols.diameter import base, codes
from protocols.diameter.message import HEADER_OCTETS, Message, encode, length_checker
from protocols.diameter.node import LocalNode
from protocols.diameter.result_codes import ResultCode
from protocols.errors import RemoteProtocolError

ANSWER_LIMIT_S: Final = 10.0  # Tx of RFC 8506, section 13
OCTETS_MAX: Final = 65_536
CHUNK_OCTETS: Final = 65_536


class ClientError(Exception):
    """The server does not answer, or not in Diameter; the message is for people."""


class Connection:
    """Made by ``connect``; ``ask`` may be called as often as one likes before the first answer."""

    def __init__(self, node: LocalNode, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.node, self._reader, self._writer = node, reader, writer
        self._buffer = FrameBuffer(HEADER_OCTETS, length_checker(OCTETS_MAX))
        self._identifier = secrets.randbits(31)
        self._waiting: dict[int, asyncio.Future[Message]] = {}
        self._task = asyncio.get_running_loop().create_task(self._read())

    @classmethod
    async def connect(cls, host: str, port: int, node: LocalNode) -> Connection:
        """Exchange capabilities. Raises ClientError when we are not let in."""
        try:
            connection = cls(node, *await asyncio.wait_for(asyncio.open_connection(host, port), ANSWER_LIMIT_S))
        except OSError as error:
            raise ClientError(f"Diameter at {host}:{port} does not answer: {error}") from error
        own_ip = connection._writer.get_extra_info("sockname")[0]
        answer = await connection._exchange(base.capabilities_request(node, own_ip, *connection._identifiers()))
        result_code = base.read_result_code(answer)
        if result_code != ResultCode.SUCCESS:
            await connection.close()
            raise ClientError(f"Diameter at {host}:{port} does not let {node.identity} in: {result_code}")
        return connection

    async def ask(self, avps: bytes) -> Message:
        """Send a CCR; its answer. Raises ClientError when there is none in time."""
        flags = codes.REQUEST | codes.PROXIABLE
        request = encode(flags, codes.CREDIT_CONTROL, codes.APPLICATION_CREDIT_CONTROL, *self._identifiers(), avps)
        return await self._exchange(request)

    async def close(self) -> None:
        """Take leave with DPR, if anybody is still there."""
        if not self._task.done():
            cause = base.DisconnectCause.DO_NOT_WANT_TO_TALK_TO_YOU
            with contextlib.suppress(ClientError):  # who hangs up first does not matter
                await self._exchange(base.disconnect_request(self.node, cause, *self._identifiers()))
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self._writer.close()

    def _identifiers(self) -> tuple[int, int]:
        self._identifier = (self._identifier + 1) & 0xFFFF_FFFF
        return self._identifier, self._identifier

    async def _exchange(self, request: bytes) -> Message:
        identifier = Message(request).hop_by_hop
        future = self._waiting[identifier] = asyncio.get_running_loop().create_future()
        try:
            if self._task.done():
                raise ClientError("the connection was closed")
            self._writer.write(request)
            return await asyncio.wait_for(future, ANSWER_LIMIT_S)
        except TimeoutError as error:
            raise ClientError(f"no answer within {ANSWER_LIMIT_S:.0f} s") from error
        finally:
            del self._waiting[identifier]

    async def _read(self) -> None:
        reason = "the connection was closed"
        try:
            while data := await self._reader.read(CHUNK_OCTETS):
                self._buffer.feed(data)
                while (frame := self._buffer.next_frame()) is not None:
                    self._take(Message(frame))
        except (OSError, RemoteProtocolError) as error:
            reason = str(error)
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(ClientError(reason))

    def _take(self, message: Message) -> None:
        if message.is_request:
            if message.command == codes.DEVICE_WATCHDOG:
                self._writer.write(base.success_answer(message, self.node))
            return
        future = self._waiting.get(message.hop_by_hop)
        if future is not None and not future.done():
            future.set_result(message)
