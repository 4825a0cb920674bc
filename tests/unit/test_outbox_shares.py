"""How a batch is divided among the partitions that have something to give."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ocs.outbox.reader import shares


@given(st.lists(st.integers(0, 5000), max_size=20), st.integers(1, 3000))
def test_a_batch_is_filled_and_nobody_waits(lengths: list[int], limit: int) -> None:
    """The batch is as full as it can be; each partition gets its even share or all it has."""
    given_out = shares(lengths, limit)
    assert sum(given_out) == min(limit, sum(lengths))
    assert all(0 <= count <= length for count, length in zip(given_out, lengths, strict=True))
    waiting = sum(1 for length in lengths if length)
    assert all(
        count >= min(length, limit // waiting) for count, length in zip(given_out, lengths, strict=True) if length
    )


def test_one_busy_partition_gets_the_whole_batch() -> None:
    """A wholesale account fills its partition: the batch is not left three quarters empty."""
    assert shares([0, 9000, 0, 3], 100) == [0, 97, 0, 3]
