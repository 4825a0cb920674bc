"""All Prometheus metrics, declared here and nowhere else.

The hot path never touches prometheus_client: servers increment plain integers in ``Counters``, and a collector turns
them into metrics when somebody scrapes. Labels come from closed sets only, never from a subscriber or a peer.
"""

from __future__ import annotations

import asyncio
import platform
from collections.abc import Callable, Iterator
from enum import Enum
from importlib.metadata import version
from typing import Final

import msgspec
from prometheus_client import CollectorRegistry, GCCollector, ProcessCollector, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector
from redis.asyncio import Redis
from redis.exceptions import RedisError

from ocs.observe.counters import LATENCY_BOUNDS_US, Counters, Latency

CONTENT_TYPE: Final = "text/plain; version=0.0.4"
FLUSHER_KEY: Final = "ocs:flusher"
SCRAPE_TIMEOUT_S: Final = 1.0


class Gauge(Enum):
    """Figures of now, read from whoever knows them: (name, help)."""

    CONNECTIONS = ("ocs_connections", "Open connections of clients and peers.")
    IN_FLIGHT = ("ocs_requests_in_flight", "Requests taken in and not answered yet.")
    SESSIONS_OPEN = ("ocs_sessions_open", "Credit-control sessions that are open.")


class FlusherState(msgspec.Struct, frozen=True):
    """The flusher's sign of life, as it writes it to the store under FLUSHER_KEY."""

    at_ms: int
    backlog: int
    oldest_age_ms: int = 0
    flushed: int = 0
    buried: int = 0
    sink_up: bool = True


class Metrics:
    """The process's metrics: ``counters`` to increment, ``watch`` to add a gauge, ``render`` for the scrape."""

    def __init__(self, counters: Counters, redis: Redis, clock: Callable[[], int]) -> None:
        self.counters = counters
        self._redis = redis
        self._clock = clock
        self._registry = CollectorRegistry()
        self._collector = _OcsCollector(counters, clock)
        self._registry.register(self._collector)
        ProcessCollector(registry=self._registry)
        GCCollector(registry=self._registry)

    def watch(self, gauge: Gauge, protocol: str, read: Callable[[], int]) -> None:
        """Read a gauge at each scrape; ``protocol`` is its label."""
        self._collector.gauges[gauge, protocol] = read

    async def render(self) -> bytes:
        """The text of a scrape. It never fails because the store is away: that is when it is needed most."""
        try:
            data = await asyncio.wait_for(self._redis.get(FLUSHER_KEY), SCRAPE_TIMEOUT_S)
            self._collector.is_store_up = True
        except (RedisError, OSError, TimeoutError):
            data = None
            self._collector.is_store_up = False
        self._collector.flusher = _decode_flusher(data)
        return generate_latest(self._registry)


def _decode_flusher(data: object) -> FlusherState | None:
    if not isinstance(data, bytes):
        return None
    try:
        return msgspec.json.decode(data, type=FlusherState, strict=False)
    except msgspec.DecodeError:
        return None  # an older or newer flusher: no figure is better than a wrong one


class _OcsCollector(Collector):
    def __init__(self, counters: Counters, clock: Callable[[], int]) -> None:
        self._counters = counters
        self._clock = clock
        self.gauges: dict[tuple[Gauge, str], Callable[[], int]] = {}
        self.flusher: FlusherState | None = None
        self.is_store_up = False

    def collect(self) -> Iterator[Metric]:
        yield InfoMetricFamily(
            "ocs_build",
            "What runs here.",
            value={"version": version("ocs"), "python": platform.python_version()},
        )
        yield from self._requests()
        yield from self._gauges()
        yield from self._outbox()
        yield GaugeMetricFamily("ocs_store_up", "1 if Valkey answered during this scrape.", value=self.is_store_up)

    def _requests(self) -> Iterator[Metric]:
        requests = CounterMetricFamily(
            "ocs_requests", "Requests answered, by outcome.", labels=["protocol", "type", "result"]
        )
        for labels, number in sorted(self._counters.requests.items()):
            requests.add_metric(labels, number)
        yield requests
        seconds = HistogramMetricFamily(
            "ocs_request_seconds", "From the request's last byte to its answer.", labels=["protocol", "type"]
        )
        for pair, latency in sorted(self._counters.latency.items()):
            seconds.add_metric(pair, *_cumulated(latency))
        yield seconds
        yield CounterMetricFamily(
            "ocs_post_conflicts",
            "Postings that found another version of the account and were decided again.",
            value=self._counters.post_conflicts,
        )

    def _gauges(self) -> Iterator[Metric]:
        families: dict[Gauge, GaugeMetricFamily] = {}
        for (gauge, protocol), read in self.gauges.items():
            name, text = gauge.value
            family = families.setdefault(gauge, GaugeMetricFamily(name, text, labels=["protocol"]))
            family.add_metric([protocol], read())
        yield from families.values()

    def _outbox(self) -> Iterator[Metric]:
        """Nothing if the flusher never reported; a dead one shows as a lag that grows with the clock."""
        if self.flusher is None:
            return
        silence_ms = max(0, self._clock() - self.flusher.at_ms)
        yield GaugeMetricFamily(
            "ocs_outbox_backlog_entries",
            "Entries waiting for PostgreSQL, when the flusher last reported.",
            value=self.flusher.backlog,
        )
        yield GaugeMetricFamily(
            "ocs_outbox_lag_seconds",
            "The most that the oldest entry not yet in PostgreSQL can be old.",
            value=(self.flusher.oldest_age_ms + silence_ms) / 1000,
        )
        yield CounterMetricFamily(
            "ocs_outbox_flushed_entries",
            "Entries written to PostgreSQL since the flusher started.",
            value=self.flusher.flushed,
        )
        yield CounterMetricFamily(
            "ocs_outbox_buried_entries",
            "Entries that cannot be written and were put aside since the flusher started: look at each.",
            value=self.flusher.buried,
        )
        yield GaugeMetricFamily(
            "ocs_outbox_sink_up", "1 if PostgreSQL took the flusher's last batch.", value=self.flusher.sink_up
        )


def _cumulated(latency: Latency) -> tuple[list[tuple[str, float]], float]:
    total = 0
    buckets: list[tuple[str, float]] = []
    for bound_us, count in zip((*LATENCY_BOUNDS_US, None), latency.counts, strict=True):
        total += count
        buckets.append(("+Inf" if bound_us is None else str(bound_us / 1_000_000), total))
    return buckets, latency.sum_us / 1_000_000
