"""A client that was started anew: its older sessions are closed, whoever saw it first (statement 114; B-102, B-103)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import redis.asyncio as redis

from balance.valkey.store import open_store
from ocs.charging.request import RequestKind
from ocs.net.diameter_restarts import CLIENTS_MAX, Restarts
from protocols.diameter import avp, codes
from protocols.diameter.message import encode
from protocols.diameter.node import LocalNode
from tests.builders_gy import capabilities_request, ccr
from tests.integration.diameter_world import RawClient, running_server
from tests.scenario.traffic import diameter, group
from tests.scenario.world import Clock, World

pytestmark = pytest.mark.integration


class Followed:
    """Restarts of one process, with what it closed."""

    def __init__(self, client: Any) -> None:
        self.closed: list[tuple[str, int]] = []
        self.restarts = Restarts(lambda: 1000)
        self.restarts.use(client, self._close)

    async def _close(self, peer: str, prefix: str, heard_before_ms: int, cause: str) -> int:
        assert (prefix, cause) == ("gy:", "the client was started anew")
        self.closed.append((peer, heard_before_ms))
        return 1

    async def see(self, *state_ids: int) -> list[tuple[str, int]]:
        for state_id in state_ids:
            self.restarts.seen("PGW.example.net", state_id)
            await asyncio.gather(*self.restarts._tasks)
        closed, self.closed = self.closed, []
        return closed


@pytest.fixture
async def client(valkey_url: str) -> AsyncIterator[Any]:
    """A connection to the store."""
    connection: Any = redis.Redis.from_url(valkey_url)
    yield connection
    await connection.aclose()


async def test_b102_only_a_higher_value_is_a_restart(client: Any) -> None:
    """The first one tells nothing, the same and a lower one neither; a higher one does, once for all processes."""
    one, two = Followed(client), Followed(client)
    assert await one.see(0, 5, 5, 4, 0) == []
    assert await two.see(5) == []
    assert await two.see(6) == [("pgw.example.net", 1000)]
    assert await one.see(6) == []
    assert await Followed(client).see(7) == [("pgw.example.net", 1000)], "a server that was started anew knows, too"


async def test_b102_messages_of_one_moment_are_compared_in_any_order(client: Any) -> None:
    """The old value and the new one at once: whichever comes to the store first, the restart is seen, and once."""
    for attempt in range(20):
        one, two = Followed(client), Followed(client)
        for state_id in (10 * attempt + 1, 10 * attempt + 2):
            one.restarts.seen("PGW.example.net", state_id)
            two.restarts.seen("PGW.example.net", state_id)
        await asyncio.gather(*one.restarts._tasks, *two.restarts._tasks)
        closed = [*one.closed, *two.closed]
        # The first value may be a restart by itself, since there were attempts before.
        assert closed.count(("pgw.example.net", 1000)) in ({1} if not attempt else {1, 2})


async def test_b102_newer_value_is_compared_first(client: Any) -> None:
    """What this process knew counts, even if the store learns of the newer value first."""
    followed = Followed(client)
    await followed.restarts._compare("pgw.example.net", 3, 4, 2000)
    await followed.restarts._compare("pgw.example.net", 0, 3, 1000)
    assert followed.closed == [("pgw.example.net", 2000)]


async def test_clients_that_are_remembered_are_bounded() -> None:
    """Names are free, memory is not."""
    restarts = Restarts(lambda: 0)
    for number in range(CLIENTS_MAX + 3):
        restarts.seen(f"{number}.example.net", 1)
    assert len(restarts._known) == CLIENTS_MAX


async def test_114_sessions_from_before_are_closed_those_since_stay(valkey_url: str) -> None:
    """Reservations are released, the record is flagged; what the client used since its restart goes on."""
    store = await open_store(valkey_url, 4)
    clock = Clock()
    world = World(store, clock)
    await world.open("9.00")
    for name in ("old", "used-since"):
        await world.charge(diameter(world, RequestKind.INITIAL, name, 0, group(ask=0)))
    clock.now_ms += 5000
    restarted_ms = clock.now_ms
    await world.charge(diameter(world, RequestKind.UPDATE, "used-since", 1, group(5, 0)))
    await world.charge(diameter(world, RequestKind.INITIAL, "new", 0, group(ask=0)))
    assert await world.supervision.close_sessions_of("other.example.net", "gy:", restarted_ms, "test") == 0
    assert await world.supervision.close_sessions_of("PGW.example.net", "gy:", restarted_ms, "test") == 1
    (closed,) = [entry for entry in await world.entries() if entry.kind == "session"]
    assert closed.reference == "gy:old"
    await world.check_books()
    await store.close()


async def test_b103_cer_and_requests_tell_of_a_restart(client: Any) -> None:
    """Origin-State-Id of the peer's CER, and of a request that came through it."""
    async with running_server() as (server, port, _):
        followed = Followed(client)
        server.restarts = followed.restarts
        peer = await RawClient.connect(port)
        state, served = avp.avp_u32(codes.ORIGIN_STATE_ID, 3), avp.avp_u32(codes.AUTH_APPLICATION_ID, 4)
        peer.send(capabilities_request("client.example.net", "example.net", state, served))
        await peer.receive()
        peer.send(ccr(avp.avp_u32(codes.ORIGIN_STATE_ID, 4)) + ccr(avp.avp(codes.ORIGIN_STATE_ID, b"\0"), number=1))
        await peer.receive()
        await peer.receive()
        assert followed.restarts._known == {"client.example.net": 4}
        await asyncio.gather(*followed.restarts._tasks)
        assert followed.closed == [("client.example.net", 1000)]
        origin = LocalNode("client.example.net", "example.net").origin
        peer.send(encode(codes.REQUEST, codes.DEVICE_WATCHDOG, 0, 1, 1, origin + avp.avp_u32(codes.ORIGIN_STATE_ID, 5)))
        await peer.receive()
        await asyncio.gather(*followed.restarts._tasks)
        assert len(followed.closed) == 2, "a watchdog request says it, too"
        await peer.close()
