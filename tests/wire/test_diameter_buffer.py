"""Framing: messages cut from a stream, whatever the reads look like (diameter-base 1)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.buffer import FrameBuffer
from protocols.diameter.message import HEADER_OCTETS, MessageTooLargeError, length_checker
from protocols.errors import RemoteProtocolError

OCTETS_MAX = 65_536


def buffer() -> FrameBuffer:
    return FrameBuffer(HEADER_OCTETS, length_checker(OCTETS_MAX))


def frame(octets: int, fill: int = 0) -> bytes:
    return b"\1" + octets.to_bytes(3, "big") + bytes([fill]) * (octets - 4)


frames = st.lists(st.builds(frame, st.integers(5, 60).map(lambda words: words * 4), st.integers(0, 255)), max_size=12)


@given(frames, st.lists(st.integers(1, 70), min_size=1))
def test_any_split_gives_the_same_frames(messages: list[bytes], reads: list[int]) -> None:
    """Several messages in one read, or one in many: what comes out is what went in."""
    stream, framing = b"".join(messages), buffer()
    taken: list[bytes] = []
    position = turn = 0
    while position < len(stream):
        size = reads[turn % len(reads)]
        framing.feed(stream[position : position + size])
        taken += framing.frames()
        position, turn = position + size, turn + 1
    assert taken == messages
    assert len(framing) == 0


@given(frames, st.integers(0, 40))
def test_untaken_frames_are_kept(messages: list[bytes], cut: int) -> None:
    """Who takes one frame and then feeds on loses nothing."""
    stream, framing = b"".join(messages), buffer()
    framing.feed(stream[:cut])
    first = framing.next_frame()
    framing.feed(stream[cut:])
    assert [*([] if first is None else [first]), *framing.frames()] == messages


def test_octet_by_octet_is_linear() -> None:
    """A large message fed octet by octet is joined twice (its header, its end), not with every octet."""
    joins = 0

    class Counting(bytearray):
        def __bytes__(self) -> bytes:
            nonlocal joins
            joins += 1
            return bytes(memoryview(self))

    framing = buffer()
    framing._rest = Counting()
    message = frame(60_000)
    for octet in message:
        framing.feed(bytes([octet]))
        taken = framing.next_frame()
    assert taken == message
    assert joins == 2


@pytest.mark.parametrize("length", [0, 4, 19, 21, 22, 23, 65_535])
def test_b10_impossible_lengths(length: int) -> None:
    """B-10: a length below the header's, or no multiple of four, is 5015."""
    framing = buffer()
    framing.feed(frame(24)[:1] + length.to_bytes(3, "big") + bytes(16))
    with pytest.raises(RemoteProtocolError) as caught:
        framing.next_frame()
    assert caught.value.reply_hint == 5015
    assert len(framing.peek(HEADER_OCTETS)) == HEADER_OCTETS


def test_b12_too_large_is_refused_before_it_is_kept() -> None:
    """B-12: the header is enough to refuse a message; its octets are never collected."""
    framing = buffer()
    framing.feed(b"\1" + (OCTETS_MAX + 4).to_bytes(3, "big") + bytes(16))
    with pytest.raises(MessageTooLargeError):
        framing.next_frame()
