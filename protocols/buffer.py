"""Cuts a stream into frames that name their own length, in time linear in the octets received.

The usual read holds whole frames: they are cut from the chunk itself and nothing is copied twice. Only the
unfinished rest is kept. It is joined when the frame is complete, not with every read, so that a large frame fed
octet by octet costs no more than its octets.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeAlias

LengthOf: TypeAlias = Callable[[bytes, int], int]
"""Length of the frame that starts at an offset of which ``header_octets`` are there. It may raise
RemoteProtocolError, and has to refuse a length beyond the limit: nothing is allocated before it is asked."""


class FrameBuffer:
    """``feed`` chunks, then take ``frames``; an error of ``length_of`` leaves the buffer at the faulty frame."""

    __slots__ = ("_chunk", "_header_octets", "_length_of", "_missing_octets", "_position", "_rest")

    def __init__(self, header_octets: int, length_of: LengthOf) -> None:
        assert header_octets > 0
        self._header_octets = header_octets
        self._length_of = length_of
        self._chunk = b""
        self._position = 0
        self._rest = bytearray()  # the start of a frame that is not complete
        self._missing_octets = 0  # how many octets the rest needs before it is worth another look

    def __len__(self) -> int:
        """Octets that were received and not yet taken as a frame."""
        return len(self._rest) + len(self._chunk) - self._position

    def feed(self, data: bytes) -> None:
        if self._position < len(self._chunk):  # frames were left untaken: rare, and still linear per call of feed
            self._chunk = self._chunk[self._position :] + data
            self._position = 0
        elif len(self._rest) == 0:
            self._chunk, self._position = data, 0
        else:
            self._rest += data
            self._missing_octets -= len(data)
            if self._missing_octets <= 0:
                self._chunk, self._position = bytes(self._rest), 0
                self._rest.clear()

    def next_frame(self) -> bytes | None:
        """Take one whole frame, or None when more octets are needed."""
        chunk, start = self._chunk, self._position
        available = len(chunk) - start
        if available == 0:
            return None
        needed = self._header_octets
        if available >= needed:
            needed = self._length_of(chunk, start)
            assert needed >= self._header_octets, "a frame holds its own header"
            if available >= needed:
                self._position = end = start + needed
                if needed == len(chunk):
                    return chunk
                return chunk[start:end]
        self._missing_octets = needed - available
        self._rest += chunk[start:] if start else chunk
        self._chunk, self._position = b"", 0
        return None

    def frames(self) -> Iterator[bytes]:
        """Take all whole frames."""
        while (frame := self.next_frame()) is not None:
            yield frame

    def peek(self, octets: int) -> bytes:
        """Look at the next octets without taking them (to answer a frame whose length is wrong)."""
        return (bytes(self._rest) + self._chunk[self._position :])[:octets]
