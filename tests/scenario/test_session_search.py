"""Open sessions are found by what is known of them, page by page, on every store: each once, and none is left out."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from balance.account import Account
from ocs.charging import recharge
from ocs.charging.request import RequestKind
from ocs.charging.session_search import FIRST, Position, SessionPage, SessionQuery
from ocs.rating.units import UnitKind
from tests.scenario.traffic import access, diameter, group
from tests.scenario.world import World, amount

INITIAL = RequestKind.INITIAL
NAMES = ("A", "A.B", "acme:one", "acme:two", "acmes", "z")


async def _everybody(world: World) -> None:
    """Each account has three calls, the second one 10 s after the first; the third is data of another subscriber's group."""
    for place, name in enumerate(NAMES):
        created = await world.desk.create_account(name, "EUR", "test-eur", 0, 0, actor="test")
        assert isinstance(created, Account)
        await world.desk.subscribers.create(f"S{place}", name, (f"e164:49{place}",), "")
        await world.desk.top_up(name, amount("9.00"), "EUR", key="k", actor="test", reason="")
    begins_ms = world.clock.now_ms
    for number, service in enumerate(("voice", "voice", "data")):
        world.clock.now_ms = begins_ms + 10_000 * number
        unit = UnitKind.OCTETS if service == "data" else UnitKind.SECONDS
        for place, name in enumerate(NAMES):
            request = diameter(
                world, INITIAL, f"{name}-{number}", 0, group(ask=1, unit=unit), service=service,
                identity=f"e164:49{place}",
            )  # fmt: skip
            await world.charge(request)


async def _pages(world: World, query: SessionQuery, limit: int) -> AsyncIterator[SessionPage]:
    after: Position | None = FIRST
    while after is not None:
        page = await world.desk.find_sessions(query, after, limit)
        yield page
        after = page.after


async def _all(world: World, query: SessionQuery, limit: int) -> list[str]:
    """The keys of all pages, sorted; no page is longer than asked, and none comes twice."""
    found: list[str] = []
    async for page in _pages(world, query, limit):
        assert len(page.sessions) <= limit
        found += [session.session_key.removeprefix("gy:") for session in page.sessions]
    assert len(found) == len(set(found))
    return sorted(found)


@pytest.mark.parametrize("limit", [1, 2, 18, 1000])
async def test_each_session_is_found_once(world: World, limit: int) -> None:
    """Of all, of one account (and not of those below or beside it), of a tenant (and not of whose name begins alike)."""
    await _everybody(world)
    every = sorted(f"{name}-{number}" for name in NAMES for number in range(3))
    assert await _all(world, SessionQuery(), limit) == every
    assert await _all(world, SessionQuery("A"), limit) == ["A-0", "A-1", "A-2"]
    tenant = [name for name in every if name.startswith("acme:")]
    assert await _all(world, SessionQuery(tenant="acme:"), limit) == tenant
    assert await _all(world, SessionQuery("z", "acme:"), limit) == []
    assert await _all(world, SessionQuery("nobody"), limit) == []


async def test_what_is_asked_for_has_to_hold_together(world: World) -> None:
    """Service, protocol, peer, subscriber, and both times; an authorization is found among them, and is told as one."""
    await _everybody(world)
    await world.charge(access(world, "nas1:1", identity="e164:490"))
    begins_ms = world.clock.now_ms - 20_000
    for query, count in (
        (SessionQuery(service="data"), 6),
        (SessionQuery(protocol="gy"), 18),
        (SessionQuery(protocol="ra"), 1),
        (SessionQuery(peer="pgw.example.net", service="voice"), 12),
        (SessionQuery(peer="nobody"), 0),
        (SessionQuery("A", subscriber_id="S0"), 4),
        (SessionQuery("A", subscriber_id="S1"), 0),
        (SessionQuery(opened_before_ms=begins_ms + 10_000), 6),
        (SessionQuery(heard_before_ms=begins_ms + 10_001, service="voice"), 12),
    ):
        assert len(await _all(world, query, 5)) == count, query
    (lease,) = (await world.desk.find_sessions(SessionQuery(protocol="ra"), FIRST, 5)).sessions
    assert (lease.is_authorized, lease.account_id, lease.currency) == (True, "A", "EUR")


async def test_few_of_many_are_found(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page ends where enough has been looked through, though it is empty; the next one goes on from there."""
    monkeypatch.setattr(recharge, "SCAN_BATCH", 2)
    monkeypatch.setattr(recharge, "SCANS_MAX", 2)
    await _everybody(world)
    pages = [page async for page in _pages(world, SessionQuery(subscriber_id="S5"), 1)]
    assert sum(len(page.sessions) for page in pages) == 3
    assert [] in [page.sessions for page in pages[:-1]]
    assert await _all(world, SessionQuery(subscriber_id="S5"), 1) == ["z-0", "z-1", "z-2"]
