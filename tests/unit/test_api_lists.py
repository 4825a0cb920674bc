"""Lists over all accounts: pages, filters, and nothing of another tenant's."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import structs

from balance.account import Bucket, Counter, Extras, Places, Source, Subscription, UnitBucket
from ocs.api import lists
from ocs.api.keys import Scope
from ocs.api.schemas import instant
from tests.unit.api_world import NOW_MS, World, make_world
from tests.unit.test_api_conventions import as_tenant
from tests.unit.test_api_history import cdr

DAY_MS = 86_400_000
NAMES = ("acme:alice", "acme:bob", "alice", "beta:alice")


@pytest.fixture
async def world() -> World:
    """Four accounts of two tenants and of nobody, a day apart; all but the last have something of each."""
    world = make_world()
    await world.login(Scope.ADMIN)
    for at, name in enumerate(NAMES):
        body = {"account_id": name, "currency": "EUR", "rate_plan": "retail-eur"}
        assert (await world.post("/v1/accounts", body)).status_code == 201
        world.history.opened_ms[name] = NOW_MS - at * DAY_MS
        if name != "beta:alice":
            account = world.accounts.accounts[name]
            extras = Extras(
                units=(UnitBucket(3, "free", 1, 60, expires_at_ms=NOW_MS + at * DAY_MS + 1),),
                counters=(Counter(-1, "day", NOW_MS + 1, (Places(-1, at),)),),
                subscriptions=(Subscription(7, "Starter", NOW_MS + at * DAY_MS, 1, ends=name == "alice"),),
                blocks=("fraud",) if name == "alice" else (),
            )
            gift = Bucket(2, at * 10**9, expires_at_ms=NOW_MS + at * DAY_MS + 1, origin=Source.PROMOTIONAL)
            world.accounts.accounts[name] = structs.replace(account, extras=extras, buckets=(*account.buckets, gift))
    world.history.ids = list(NAMES)
    return world


async def named(world: World, path: str, part: str, **params: Any) -> list[str]:
    """The accounts of what is found, page by page."""
    found, cursor = [], ""
    while True:
        answer = await world.client.get(path, params={**params, "cursor": cursor})
        assert answer.status_code == 200, answer.text
        found += [each["account_id"] for each in answer.json()[part]]
        if not (cursor := answer.json()["next_cursor"]):
            return found


@pytest.mark.parametrize(
    ("path", "part", "params", "found"),
    [
        ("accounts", "accounts", {}, NAMES),
        ("accounts", "accounts", {"tenant": "acme"}, NAMES[:2]),
        ("accounts", "accounts", {"tenant": "acm"}, ()),
        ("accounts", "accounts", {"rate_plan": "retail-eur", "currency": "EUR", "state": "active"}, NAMES),
        ("accounts", "accounts", {"rate_plan": "wholesale-usd"}, ()),
        ("accounts", "accounts", {"block": "fraud"}, ("alice",)),
        ("accounts", "accounts", {"created_from": 1, "created_to": 0}, ("acme:bob",)),
        ("buckets", "accounts", {}, NAMES),
        ("buckets", "accounts", {"source": "promotional"}, NAMES[:3]),
        ("buckets", "accounts", {"bundle": "free"}, NAMES[:3]),
        ("buckets", "accounts", {"bundle": "paid"}, ()),
        ("buckets", "accounts", {"expires_before": -1}, NAMES[:1]),
        ("counters", "counters", {"counter": "day"}, NAMES[:3]),
        ("counters", "counters", {"counter": "month"}, ()),
        ("subscriptions", "subscriptions", {"package": "Starter"}, NAMES[:3]),
        ("subscriptions", "subscriptions", {"renews_before": -1, "tenant": "acme"}, NAMES[:1]),
        ("subscriptions", "subscriptions", {"ends": "true"}, ("alice",)),
        ("subscriptions", "subscriptions", {"ends": "false"}, NAMES[:2]),
    ],
)
@pytest.mark.parametrize("limit", [1, 3, 100])
async def test_what_is_asked_for_is_found(
    world: World, path: str, part: str, params: dict[str, Any], found: tuple[str, ...], limit: int
) -> None:
    """In the order of the accounts' names, however long the pages are; numbers stand for so many days ago."""
    said = {name: _days_ago(value) if isinstance(value, int) else value for name, value in params.items()}
    assert await named(world, f"/v1/{path}", part, limit=limit, **said) == list(found)


def _days_ago(days: int) -> str:
    return instant(NOW_MS - days * DAY_MS)


async def test_few_among_many_are_found_by_going_on(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page that has looked at enough accounts is short, even empty, and names the next one."""
    monkeypatch.setattr(lists, "SCANS_MAX", 1)
    answer = (await world.client.get("/v1/accounts", params={"block": "fraud", "limit": 1})).json()
    assert answer == {"accounts": [], "next_cursor": "acme:alice"}
    assert await named(world, "/v1/accounts", "accounts", block="fraud", limit=1) == ["alice"]


async def test_a_tenant_finds_its_own_alone(world: World) -> None:
    """Whatever tenant it names; records, too."""
    world.history.cdrs = [structs.replace(cdr(17), account_id=name) for name in ("alice", "beta:alice", "acme:bob")]
    await as_tenant(world, "acme")
    for path, part in (
        ("accounts", "accounts"),
        ("buckets", "accounts"),
        ("counters", "counters"),
        ("subscriptions", "subscriptions"),
    ):
        assert await named(world, f"/v1/{path}", part) == list(NAMES[:2]), path
        assert await named(world, f"/v1/{path}", part, tenant="acme") == list(NAMES[:2]), path
        assert await named(world, f"/v1/{path}", part, tenant="beta") == [], path
        assert (await world.client.get(f"/v1/{path}", params={"cursor": "alice"})).json()[part] == [], path
    assert await named(world, "/v1/cdrs", "cdrs") == ["acme:bob"]
    assert await named(world, "/v1/cdrs", "cdrs", account_id="alice") == []
    assert {query.tenant for query in world.history.queries} == {"acme:"}


async def test_one_account_s_parts_are_filtered_alike(world: World) -> None:
    """All of them in one answer."""
    for path, part, params, count in (
        ("buckets", "buckets", {"source": "promotional"}, 1),
        ("buckets", "units", {"bundle": "free"}, 1),
        ("buckets", "buckets", {"bundle": "free"}, 0),
        ("counters", "counters", {"counter": "month"}, 0),
        ("subscriptions", "subscriptions", {"ends": "true"}, 1),
    ):
        answer = await world.client.get(f"/v1/accounts/alice/{path}", params=params)
        assert len(answer.json()[part]) == count, (path, params)
