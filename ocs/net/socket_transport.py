"""A transport over any stream socket, for those that the event loop's own cannot carry (SCTP, RFC 6733 section 2.1)."""

from __future__ import annotations

import asyncio
import socket
from struct import Struct
from typing import Any, Final

READ_OCTETS: Final = 65_536
WRITE_OCTETS_HIGH: Final = 65_536
_SCTP: Final = 132
# Linux, linux/sctp.h: struct sctp_sndrcvinfo, and the option that makes one the default of each message.
_SCTP_DEFAULT_SEND_PARAM: Final = 10
_SEND_PARAM: Final = Struct("=HHHxxIIIIIi")
_PAYLOAD_DIAMETER: Final = 46  # RFC 6733, section 11.5: Diameter in clear


class SocketTransport(asyncio.Transport):
    """Reads and writes when the socket is ready; the protocol sees what any transport shows it."""

    def __init__(self, sock: socket.socket, protocol: asyncio.Protocol) -> None:
        super().__init__({"socket": sock, "peername": _name(sock.getpeername), "sockname": _name(sock.getsockname)})
        self._loop = asyncio.get_running_loop()
        self._sock = sock
        self._protocol = protocol
        self._buffer = bytearray()
        self._high = WRITE_OCTETS_HIGH
        self._is_closing = False
        self._is_over = False
        self._is_paused = False  # the protocol was asked to stop writing
        self._is_reading = True
        sock.setblocking(False)
        if sock.proto == _SCTP:
            payload = socket.htonl(_PAYLOAD_DIAMETER)
            sock.setsockopt(_SCTP, _SCTP_DEFAULT_SEND_PARAM, _SEND_PARAM.pack(0, 0, 0, payload, 0, 0, 0, 0, 0))
        protocol.connection_made(self)
        if not self._is_over:
            self._loop.add_reader(sock, self._read)

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:  # noqa: ARG002
        self._high = WRITE_OCTETS_HIGH if high is None else high

    def get_write_buffer_size(self) -> int:
        return len(self._buffer)

    def is_closing(self) -> bool:
        return self._is_closing

    def is_reading(self) -> bool:
        return self._is_reading and not self._is_closing

    def pause_reading(self) -> None:
        if self.is_reading():
            self._is_reading = False
            self._loop.remove_reader(self._sock)

    def resume_reading(self) -> None:
        if not self._is_reading and not self._is_closing:
            self._is_reading = True
            self._loop.add_reader(self._sock, self._read)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if self._is_closing or not data:
            return
        was_empty = not self._buffer
        self._buffer += data
        if was_empty:
            self._send()

    def close(self) -> None:
        if self._is_closing:
            return
        self._is_closing = True
        self._loop.remove_reader(self._sock)
        if not self._buffer:
            self._end(None)

    def abort(self) -> None:
        self._buffer.clear()
        self.close()
        self._end(None)

    def _read(self) -> None:
        try:
            data = self._sock.recv(READ_OCTETS)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._lose(error)
            return
        if data:
            self._protocol.data_received(data)
        else:
            self.close()

    def _send(self) -> None:
        try:
            sent = self._sock.send(self._buffer)
        except (BlockingIOError, InterruptedError):
            sent = 0
        except OSError as error:
            self._lose(error)
            return
        del self._buffer[:sent]
        if self._buffer:
            self._loop.add_writer(self._sock, self._send)
        else:
            self._loop.remove_writer(self._sock)
        self._tell_protocol()
        if not self._buffer and self._is_closing:
            self._end(None)

    def _tell_protocol(self) -> None:
        """Ask it to stop above the limit, and to go on below a quarter of it."""
        if not self._is_paused and len(self._buffer) > self._high:
            self._is_paused = True
            self._protocol.pause_writing()
        elif self._is_paused and len(self._buffer) <= self._high // 4:
            self._is_paused = False
            self._protocol.resume_writing()

    def _lose(self, error: OSError) -> None:
        self._buffer.clear()
        self._is_closing = True
        self._end(error)

    def _end(self, error: OSError | None) -> None:
        if self._is_over:
            return
        self._is_over = True
        self._loop.remove_reader(self._sock)
        self._loop.remove_writer(self._sock)
        self._sock.close()
        self._loop.call_soon(self._protocol.connection_lost, error)


def _name(ask: Any) -> Any:
    try:
        return ask()
    except OSError:  # gone before we could look
        return None
