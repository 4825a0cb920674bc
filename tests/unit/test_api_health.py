"""Health, metrics and the description of the API."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from ocs.api import health
from ocs.api.keys import Scope
from ocs.observe.counters import LATENCY_BOUNDS_US, Latency
from ocs.observe.metrics import FLUSHER_KEY, Gauge
from tests.unit.api_world import NOW_MS, World, make_world


@pytest.fixture
def world() -> World:
    """A world where nobody is logged in."""
    return make_world()


async def test_a_process_is_live_even_when_its_store_is_away(world: World) -> None:
    """Restarting us would not bring the store back."""
    world.redis.is_away = True

    answer = await world.client.get("/live")

    assert (answer.status_code, answer.json()) == (200, {"status": "live"})


async def test_ready_needs_the_store_and_the_rates(world: World) -> None:
    """Each missing part is named; when it is back, so are we."""
    ready = await world.client.get("/ready")
    world.redis.is_away, world.rate_version = True, ""
    missing = await world.client.get("/ready")
    world.redis.is_away, world.rate_version = False, "abc"
    again = await world.client.get("/ready")

    assert ready.json() == again.json() == {"status": "ready", "checks": {"valkey": "ok", "rates": "ok"}}
    assert (missing.status_code, missing.json()["type"]) == (503, "/problems/not-ready")
    assert missing.json()["checks"] == {"valkey": "connection refused", "rates": "no rate book is loaded"}


async def test_a_check_that_hangs_is_not_ready(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that accepts and says nothing is as good as away."""

    async def hang() -> bool:
        await asyncio.sleep(3600)
        return True

    monkeypatch.setattr(health, "CHECK_TIMEOUT_S", 0.01)
    monkeypatch.setattr(world.redis, "ping", hang)

    answer = await world.client.get("/ready")

    assert answer.status_code == 503
    assert "no answer" in answer.json()["checks"]["valkey"]


async def test_requests_are_counted_by_operation_and_status(world: World) -> None:
    """The path, which holds an account's name, is never a label; unknown routes count as other."""
    await world.login(Scope.ADMIN)
    await world.client.get("/v1/accounts/alice-4915112345678")
    await world.client.get("/nowhere/4915112345678")
    await world.client.get("/live")

    text = (await world.client.get("/metrics")).text

    assert 'ocs_requests_total{protocol="http",result="404",type="read_account"} 1.0' in text
    assert 'ocs_requests_total{protocol="http",result="404",type="other"} 1.0' in text
    assert 'ocs_request_seconds_count{protocol="http",type="live"} 1.0' in text
    assert "4915112345678" not in text


async def test_the_outbox_shows_in_the_metrics(world: World) -> None:
    """Backlog as reported; the lag grows with the clock when the flusher is silent."""
    state = {"at_ms": NOW_MS - 4000, "backlog": 17, "oldest_age_ms": 2500, "flushed": 99, "sink_up": False, "later": 1}
    world.redis.values[FLUSHER_KEY] = msgspec.json.encode(state)

    text = (await world.client.get("/metrics")).text

    assert "ocs_outbox_backlog_entries 17.0" in text
    assert "ocs_outbox_lag_seconds 6.5" in text
    assert "ocs_outbox_flushed_entries_total 99.0" in text
    assert "ocs_outbox_sink_up 0.0" in text


@pytest.mark.parametrize("value", [None, b"", b"{}", b"\xff", b'{"at_ms": "soon"}'])
async def test_no_figure_is_better_than_a_wrong_one(world: World, value: bytes | None) -> None:
    """A flusher that never reported, or in words we do not know, has no lag."""
    if value is not None:
        world.redis.values[FLUSHER_KEY] = value

    answer = await world.client.get("/metrics")

    assert answer.status_code == 200
    assert "ocs_outbox_lag_seconds" not in answer.text


async def test_metrics_are_there_when_the_store_is_not(world: World) -> None:
    """That is when they are needed most."""
    up = (await world.client.get("/metrics")).text
    world.redis.is_away = True
    down = await world.client.get("/metrics")

    assert "ocs_store_up 1.0" in up
    assert down.status_code == 200
    assert "ocs_store_up 0.0" in down.text


async def test_counters_and_gauges_of_the_servers_show(world: World) -> None:
    """What the hot path counted in plain integers is there at the next scrape."""
    world.counters.count("gy", "update", "2001")
    world.counters.count("gy", "update", "2001")
    world.counters.observe("gy", "update", 350)
    world.counters.post_conflicts += 3
    world.context.metrics.watch(Gauge.CONNECTIONS, "gy", lambda: 5)
    world.context.metrics.watch(Gauge.CONNECTIONS, "http", lambda: 2)

    text = (await world.client.get("/metrics")).text

    assert 'ocs_requests_total{protocol="gy",result="2001",type="update"} 2.0' in text
    assert 'ocs_request_seconds_bucket{le="0.0002",protocol="gy",type="update"} 0.0' in text
    assert 'ocs_request_seconds_bucket{le="0.0005",protocol="gy",type="update"} 1.0' in text
    assert 'ocs_request_seconds_sum{protocol="gy",type="update"} 0.00035' in text
    assert "ocs_post_conflicts_total 3.0" in text
    assert 'ocs_connections{protocol="gy"} 5.0' in text
    assert 'ocs_connections{protocol="http"} 2.0' in text
    assert 'ocs_build_info{python="3.' in text


@pytest.mark.parametrize(
    ("duration_us", "bucket"), [(0, 0), (100, 0), (101, 1), (10_000_000, 15), (10_000_001, 16), (10**12, 16)]
)
def test_a_latency_falls_into_its_bucket(duration_us: int, bucket: int) -> None:
    """Bounds are inclusive, as Prometheus wants them; what is beyond has a bucket too."""
    latency = Latency()

    latency.observe(duration_us)

    assert latency.counts[bucket] == 1
    assert sum(latency.counts) == 1
    assert len(latency.counts) == len(LATENCY_BOUNDS_US) + 1


async def test_the_description_is_openapi_3_1(world: World) -> None:
    """Every guarded operation names its scope, its problems and, where money moves, the key."""
    description = (await world.client.get("/openapi.json")).json()

    assert description["openapi"].startswith("3.1")
    top_up = description["paths"]["/v1/accounts/{account_id}/top-ups"]["post"]
    assert top_up["security"] == [{"apiKey": ["topup"]}]
    assert {"200", "400", "401", "403", "404", "409", "422", "429", "503"} <= top_up["responses"].keys()
    assert list(top_up["responses"]["422"]["content"]) == ["application/problem+json"]
    assert ("Idempotency-Key", "header", True) in {
        (one["name"], one["in"], one["required"]) for one in top_up["parameters"]
    }
    amount = description["components"]["schemas"]["TopUp"]["properties"]["amount"]
    assert amount["type"] == "string"
    ids = [operation["operationId"] for item in description["paths"].values() for operation in item.values()]
    assert len(ids) == len(set(ids))
