"""Open sessions over HTTP: those of one account, those of all, and those that are to end."""

from __future__ import annotations

import pytest

from ocs.api.keys import Scope
from ocs.charging.session_search import SessionQuery
from tests.unit.api_world import NOW_MS, World, make_world, open_session
from tests.unit.test_api_conventions import as_tenant


@pytest.fixture
async def world() -> World:
    """Alice's and a tenant's account with a few calls, and an administrator."""
    world = make_world()
    await world.login(Scope.ADMIN)
    for name in ("alice", "acme:bob"):
        await world.post("/v1/accounts", {"account_id": name, "currency": "EUR", "rate_plan": "retail-eur"})
    world.accounts.sessions = [open_session(f"gy:s{number}") for number in range(3)]
    return world


@pytest.mark.parametrize("path", ["/v1/sessions", "/v1/accounts/alice/sessions"])
async def test_open_sessions_come_page_by_page(world: World, path: str) -> None:
    """Each with what it has reserved and cost; all pages together are all sessions."""
    seen, cursor = [], ""
    while True:
        page = (await world.client.get(path, params={"limit": 2, "cursor": cursor})).json()
        seen += page["sessions"]
        if not (cursor := page["next_cursor"]):
            break
    assert [each["session_key"] for each in seen] == ["gy:s0", "gy:s1", "gy:s2"]
    assert seen[0] == {
        "session_key": "gy:s0",
        "account_id": "alice",
        "subscriber_id": "s1",
        "state": "open",
        "protocol": "gy",
        "peer": "pgw",
        "service": "voice",
        "origin": "49151",
        "destination": "4930",
        "started_at": "2026-01-01T00:00:00.000Z",
        "last_at": "2026-01-01T00:00:01.500Z",
        "currency": "EUR",
        "reserved": "1.00",
        "cost": "0.50",
    }


async def test_filters_reach_the_store(world: World) -> None:
    """All that is given has to hold; a tenant's key asks for its own alone."""
    filters = {"service": "data", "protocol": "ra", "peer": "nas1", "subscriber_id": "s1"}
    times = {"started_before": "2026-01-01T00:00:00Z", "last_before": "2026-01-01T00:00:01Z"}
    await world.client.get("/v1/accounts/alice/sessions", params={**filters, **times})
    assert world.accounts.asked.pop() == SessionQuery("alice", "", "data", "ra", "nas1", "s1", NOW_MS, NOW_MS + 1000)
    await as_tenant(world, "acme", Scope.ACCOUNTS_READ)
    await world.client.get("/v1/sessions")
    assert world.accounts.asked.pop() == SessionQuery("", "acme:")


@pytest.mark.parametrize(
    ("query", "field"),
    [("limit=0", "limit"), ("cursor=x", "cursor"), ("cursor=0.%3F", "cursor"), ("protocol=sip", "protocol"),
     ("started_before=today", "started_before")],
)  # fmt: skip
async def test_wrong_questions_are_named(world: World, query: str, field: str) -> None:
    """422, with the parameter that is wrong."""
    answer = await world.client.get(f"/v1/sessions?{query}")
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, field)


async def test_g103_operator_closes_a_session(world: World) -> None:
    """202: the network element is being asked; 404 for a session that is not there."""
    asked = await world.client.post("/v1/accounts/alice/session-closures", json={"session_key": "gy:s0"})
    none = await world.client.post("/v1/accounts/alice/session-closures", json={"session_key": "gy:s9"})
    nobody = await world.client.post("/v1/accounts/bob/session-closures", json={"session_key": "gy:s0"})

    assert (asked.status_code, asked.json()) == (202, {"session_key": "gy:s0"})
    assert (none.status_code, none.json()["type"]) == (404, "/problems/session-unknown")
    assert (nobody.status_code, nobody.json()["type"]) == (404, "/problems/account-unknown")


async def test_g103_operator_closes_several_sessions(world: World) -> None:
    """Whosever they are; what is not open by now is said; each account has a line in the audit log."""
    names = [{"account_id": "alice", "session_key": key} for key in ("gy:s0", "gy:s1", "gy:s9")]
    world.trail.entries.clear()
    answer = await world.client.post("/v1/session-closures", json={"sessions": names, "reason": "mad peer"})
    assert (answer.status_code, answer.json()) == (202, {"asked": names[:2], "unknown": names[2:]})
    (entry,) = world.trail.entries
    assert (entry.target, entry.after["session_keys"]) == ("account alice", ["gy:s0", "gy:s1"])


async def test_a_tenant_closes_its_own_sessions_alone(world: World) -> None:
    """One foreign name among them, and nobody is asked to end anything."""
    await as_tenant(world, "acme", Scope.ACCOUNTS_WRITE)
    world.trail.entries.clear()
    names = [{"account_id": name, "session_key": "gy:s0"} for name in ("acme:bob", "alice")]
    answer = await world.client.post("/v1/session-closures", json={"sessions": names})
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "sessions.account_id")
    assert world.trail.entries == []
