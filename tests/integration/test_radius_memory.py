"""What RADIUS processes tell one another about who asks, through a real Valkey: two servers are as strict as one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
from redis.asyncio import Redis

from ocs.net.radius_memory import SIGNED_KEY, WRONG_KEY, RadiusMemory
from tests.integration.radius_standin import Running, running
from tests.integration.test_radius_access import CALL, URI, Asker, digest

pytestmark = pytest.mark.integration

LINE: dict[str, Any] = {**CALL, "Calling-Station-Id": "49151"}
LOCKED = "h323-return-code=10"


@pytest.fixture
async def redis(valkey_url: str) -> AsyncIterator[Redis]:
    async with Redis.from_url(valkey_url) as client:
        yield client


@pytest.fixture
async def servers(redis: Redis) -> AsyncIterator[list[Running]]:
    """Three processes that share what they know; each has three attempts to give."""
    async with AsyncExitStack() as stack:
        found = [
            await stack.enter_async_context(
                running(
                    radius={"attempts_max": 3}, realms=("example.net",), nonces="any",
                    require_message_authenticator="auto",
                )
            )
            for _ in range(3)
        ]  # fmt: skip
        for server in found:
            server.server.desk.memory = RadiusMemory(redis, 300_000)
        yield found


async def guess(server: Running, attempt: int) -> str:
    _, said = await Asker(server).ask({**LINE, **digest("n1", "guess", attempt)})
    return said["h323-return-code"]


async def test_r48_guesses_at_all_processes_are_counted_together(servers: list[Running], redis: Redis) -> None:
    """Three in all; each process then has to hear of one before it knows. The key bears no number and ends by itself."""
    one, two, three = servers
    for attempt, server in enumerate((one, two, three), 1):
        assert await guess(server, attempt) != LOCKED
    assert await guess(three, 4) == LOCKED
    assert await guess(one, 5) != LOCKED
    assert await guess(one, 6) == LOCKED
    (key,) = [key async for key in redis.scan_iter(match=f"{WRONG_KEY}*")]
    assert b"49151" not in key
    assert 0 < await redis.pttl(key) <= 300_000
    assert (await Asker(two).ask({**CALL, "Calling-Station-Id": "49152", **digest("n1", count=9)}))[0] == 2


async def test_r48_the_right_password_ends_the_count(servers: list[Running], redis: Redis) -> None:
    """Where a wrong one was seen; a process that has seen none does not ask for it."""
    assert await guess(servers[0], 1) != LOCKED
    assert (await Asker(servers[0]).ask({**LINE, **digest("n1", count=2)}))[0] == 2
    assert [key async for key in redis.scan_iter(match=f"{WRONG_KEY}*")] == []


async def test_r48_a_restart_forgives_nobody(servers: list[Running], redis: Redis) -> None:
    """The first guess that a new process hears is the last one."""
    for attempt in range(1, 4):
        await guess(servers[0], attempt)
    async with running(radius={"attempts_max": 3}, realms=("example.net",)) as fresh:
        fresh.server.desk.memory = RadiusMemory(redis, 300_000)
        await guess(fresh, 5)
        assert await guess(fresh, 6) == LOCKED


async def test_r82_a_digest_heard_at_one_process_is_known_at_the_others(servers: list[Running]) -> None:
    """A nonce of ours and a lower nonce-count: somebody has listened. The client's own repeat is not that."""
    one, two, _ = servers
    code, said = await Asker(one).ask({**CALL, "Digest-Method": "INVITE", "Digest-URI": URI})
    assert code == 11
    nonce, state = said["Digest-Nonce"], {"State": said["State"]}
    assert (await Asker(one).ask({**CALL, **state, **digest(nonce, count=2)}))[0] == 2
    assert (await Asker(two).ask({**CALL, **state, **digest(nonce, count=1)}))[0] == 3
    assert two.counted("access", "digest_heard_before") == 1
    assert (await Asker(two).ask({**CALL, **state, **digest(nonce, count=2)}))[0] == 2
    assert (await Asker(two).ask({**CALL, **state, **digest(nonce, count=3)}))[0] == 2


async def test_r21_a_client_that_signs_at_one_process_has_to_at_all(servers: list[Running], redis: Redis) -> None:
    """And for a day after a restart: who only heard of it does not say it on."""
    one, two, _ = servers
    assert (await Asker(one).ask({**CALL, **digest("n1")}))[0] == 2
    await RadiusMemory(redis, 1).exchange(one.server.clients)
    assert 0 < await redis.ttl(f"{SIGNED_KEY}sbc") <= 86_400
    assert [client.peer.requirement for client in two.server.clients] == ["auto"]
    memory = RadiusMemory(redis, 1)
    await memory.exchange(two.server.clients)
    assert [client.peer.requirement for client in two.server.clients] == ["yes"]
    await redis.delete(f"{SIGNED_KEY}sbc")
    await memory.exchange(two.server.clients)
    assert await redis.exists(f"{SIGNED_KEY}sbc") == 0


async def test_r36_without_the_store_a_guess_gets_no_answer(servers: list[Running], redis: Redis) -> None:
    """It could not be counted; the switch asks another server, or again. What is right and new needs nobody."""
    away = Redis.from_url("redis://127.0.0.1:1")
    async with away:
        servers[0].server.desk.memory = RadiusMemory(away, 1)
        assert await Asker(servers[0]).ask({**LINE, **digest("n1", "guess")}, expected=0) == (0, {})
        assert (await Asker(servers[0]).ask({**CALL, "Calling-Station-Id": "49153", **digest("n1", count=3)}))[0] == 2
