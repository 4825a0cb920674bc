"""What the hot path counts, in plain integers; ``metrics`` makes Prometheus' shapes of it when somebody asks."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from typing import Final

# Upper bounds of the latency buckets: a good answer takes 0.2 to 5 ms, a client gives up after 1 to 10 s.
LATENCY_BOUNDS_US: Final = (
    100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000, 200_000, 500_000, 1_000_000, 2_000_000, 5_000_000, 10_000_000,
)  # fmt: skip


class Latency:
    """A histogram as a list of integers, one per bucket and one for what is beyond."""

    __slots__ = ("counts", "sum_us")

    def __init__(self) -> None:
        self.counts = [0] * (len(LATENCY_BOUNDS_US) + 1)
        self.sum_us = 0

    def observe(self, duration_us: int, number: int = 1) -> None:
        """So many took so long."""
        self.counts[bisect_left(LATENCY_BOUNDS_US, duration_us)] += number
        self.sum_us += duration_us * number


class Counters:
    """What the servers and the charging core increment. One per process; read at a scrape.

    ``requests`` is keyed by (protocol, type, result) and ``latency`` by (protocol, type), all from closed sets.
    """

    __slots__ = ("latency", "post_conflicts", "requests")

    def __init__(self) -> None:
        self.requests: defaultdict[tuple[str, str, str], int] = defaultdict(int)
        self.latency: defaultdict[tuple[str, str], Latency] = defaultdict(Latency)
        self.post_conflicts = 0

    def count(self, protocol: str, kind: str, result: str) -> None:
        self.requests[protocol, kind, result] += 1

    def observe(self, protocol: str, kind: str, duration_us: int) -> None:
        self.latency[protocol, kind].observe(duration_us)
