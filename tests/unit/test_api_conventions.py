"""What holds for all of the API: tenants kept apart, an audit log with before and after, entity tags, pages."""

from __future__ import annotations

import inspect
import json
import re
from pathlib import Path
from typing import Any, cast

import pytest
from redis.asyncio import Redis

from balance.account import Hold
from ocs.api.app import create_litestar
from ocs.api.keys import Scope, new_token, rotate_key, store_key
from ocs.api.operations import NOTED
from ocs.billing.cdrs import JournalRow
from tests.unit.api_world import NOW_MS, World, make_world, open_session

HOUR_MS = 3_600_000
OPEN_TO_TENANTS = {
    "create_account", "list_accounts", "create_subscriber", "list_subscribers", "list_events", "list_messages",
    "replay_messages", "list_audit_log", "read_rates", "explain_rate", "list_open_sessions", "close_sessions",
    "search_cdrs", "find_buckets", "find_counters", "find_subscriptions",
}  # fmt: skip


@pytest.fixture
async def world() -> World:
    """Accounts of two tenants and of nobody; an administrator is logged in."""
    world = make_world()
    await world.login(Scope.ADMIN)
    for name in ("acme:alice", "acme:bob", "beta:alice", "alice"):
        body = {"account_id": name, "currency": "EUR", "rate_plan": "retail-eur", "credit_limit": "1.00"}
        assert (await world.post("/v1/accounts", body)).status_code == 201
    world.history.ids = sorted(world.accounts.accounts)
    return world


async def as_tenant(world: World, tenant: str, *scopes: Scope) -> None:
    token = new_token()
    await store_key(cast(Redis, world.redis), token, "portal", scopes or (Scope.ADMIN,), world.now_ms, tenant)
    world.client.headers["Authorization"] = f"Bearer {token}"


async def test_what_is_not_its_own_does_not_exist_for_a_tenant(world: World) -> None:
    """Every route whose path names an account or a subscriber: 404, as for one that there is not."""
    await as_tenant(world, "acme")
    assert (await world.client.get("/v1/accounts/acme:alice")).status_code == 200
    paths = create_litestar(world.context).openapi_schema.to_schema()["paths"]
    asked = 0
    for path, item in paths.items():
        for method in item:
            if "{account_id}" in path or "{subscriber_id}" in path:
                address = re.sub(r"\{(account|subscriber)_id\}", "beta:alice", path).replace("{entry_number}", "17")
                answer = await world.client.request(method, address, content=b"{")
                assert answer.status_code == 404, (method, path)
                asked += 1
    assert asked > 20
    assert (await world.client.get("/v1/accounts/acmes:alice")).status_code == 404
    assert (await world.client.get("/v1/accounts/acme")).status_code == 404


async def test_what_is_nobodys_alone_is_closed_to_tenants(world: World) -> None:
    """403 on every route that did not say how it keeps tenants apart."""
    await as_tenant(world, "acme")
    paths = create_litestar(world.context).openapi_schema.to_schema()["paths"]
    for path, item in paths.items():
        for method, operation in item.items():
            if not path.startswith("/v1/") or "_id}" in path:
                continue
            answer = await world.client.request(method, path.replace("{deck}", "acme-usd"), content=b"{")
            is_open = operation["operationId"] in OPEN_TO_TENANTS
            assert (answer.status_code != 403) == is_open, (method, path, answer.status_code)


async def test_a_tenant_makes_and_lists_its_own(world: World) -> None:
    """New names begin with the tenant; lists hold nothing else."""
    await as_tenant(world, "acme")
    body = {"account_id": "beta:eve", "currency": "EUR", "rate_plan": "retail-eur"}
    refused = await world.post("/v1/accounts", body)
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "account_id")
    assert (await world.post("/v1/accounts", {**body, "account_id": "acme:eve"})).status_code == 201
    listed = (await world.client.get("/v1/accounts")).json()["accounts"]
    assert [each["account_id"] for each in listed] == ["acme:alice", "acme:bob"]
    subscriber = {"subscriber_id": "acme:s", "account_id": "beta:alice", "identities": ["e164:4915112345678"]}
    refused = await world.post("/v1/subscribers", subscriber)
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "account_id")
    assert (await world.post("/v1/subscribers", {**subscriber, "account_id": "acme:bob"})).status_code == 201
    found = await world.client.get("/v1/subscribers", params={"identity": "e164:4915112345678"})
    await as_tenant(world, "beta")
    unknown = await world.client.get("/v1/subscribers", params={"identity": "e164:4915112345678"})
    assert ([each["account_id"] for each in found.json()["subscribers"]], unknown.json()["subscribers"]) == (
        ["acme:bob"],
        [],
    )


async def test_a_tenant_charges_no_account_of_another_along(world: World) -> None:
    """Neither when an account is made nor later; its own it may name."""
    await as_tenant(world, "acme")
    body = {"account_id": "acme:eve", "currency": "EUR", "rate_plan": "retail-eur", "reseller": "beta:alice"}
    refused = await world.post("/v1/accounts", body)
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "reseller")
    path, sent = "/v1/accounts/acme:bob/reseller", {"Idempotency-Key": "k1"}
    refused = await world.client.put(path, json={"reseller": "beta:alice", "reason": "x"}, headers=sent)
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "reseller")
    given = await world.client.put(path, json={"reseller": "acme:alice", "reason": "x"}, headers=sent)
    assert (given.status_code, given.json()["account"]["reseller"]) == (200, "acme:alice")


async def test_a_tenant_reads_its_own_audit_log(world: World) -> None:
    """And nothing of the others' changes."""
    await as_tenant(world, "beta")
    found = (await world.client.get("/v1/audit-log")).json()["entries"]
    assert [each["target"] for each in found] == ["account beta:alice"]


async def test_a_rotated_key_and_its_successor_are_good_for_a_while(world: World) -> None:
    """Both may do the same; after the grace time only the new one may; it cannot be rotated then."""
    redis, token = cast(Redis, world.redis), new_token()
    old = await store_key(redis, token, "shop", (Scope.ACCOUNTS_READ,), NOW_MS, "acme")
    successor = new_token()
    assert await rotate_key(redis, old.key_id, successor, world.now_ms, HOUR_MS) is not None

    async def statuses() -> list[int]:
        headers = [{"Authorization": f"Bearer {each}"} for each in (token, successor)]
        return [(await world.client.get("/v1/accounts/acme:bob", headers=each)).status_code for each in headers]

    assert await statuses() == [200, 200]
    world.now_ms += HOUR_MS
    assert await statuses() == [401, 200]
    assert await rotate_key(redis, old.key_id, new_token(), world.now_ms, HOUR_MS) is None


async def test_every_change_is_in_the_audit_log_once(project_root: Path) -> None:
    """Each call of docs/api.md that changes something adds one entry; repeats and refusals add none."""
    world = make_world()
    await world.login(Scope.ADMIN)
    world.accounts.sessions = [open_session("gy:pgw.example.net;1;42")]
    world.history.journal.append(
        JournalRow(
            account_id="alice", entry_number=17, at_ms=NOW_MS, kind="session", currency="EUR", amount=-(10**9),
            changes=(Hold(0, -(10**9)),), reference="gy:1", actor="", reason="",
        )
    )  # fmt: skip
    page = (project_root / "docs" / "api.md").read_text(encoding="utf-8")
    calls = re.findall(r"curl ((?:[^\n]|\\\n)*?)\$OCS(/v1/\S+) --json \\\n\s+'(\{.*\})'", page)
    assert len(calls) > 10
    for number, (options, path, body) in enumerate(calls):
        before = len(world.trail.entries)
        method = named[1] if (named := re.search(r"-X (\w+)", options)) else "POST"
        headers = {"Idempotency-Key": f"k{number}"} if "Idempotency-Key" in options else {}
        for _ in range(2 if headers else 1):
            answer = await world.client.request(method, path, json=json.loads(body), headers=headers)
            assert answer.is_success, (path, answer.text)
        assert len(world.trail.entries) == before + 1, path
    actors = {entry.actor for entry in world.trail.entries}
    assert len(actors) == 1
    assert actors.pop().startswith("api:")
    count = len(world.trail.entries)
    assert (await world.post("/v1/accounts/alice/top-ups", {"amount": "-1", "currency": "EUR"}, key="x")).is_error
    assert len(world.trail.entries) == count


async def test_an_entry_has_before_and_after_of_what_changed(world: World) -> None:
    """A state, a limit, a contact: the fields that differ, and no others."""
    await world.client.put("/v1/accounts/alice/state", json={"state": "suspended"}, headers={"Idempotency-Key": '"k1"'})
    await world.client.put(
        "/v1/accounts/alice/limits", json={"credit_limit": "2.00"}, headers={"Idempotency-Key": "k2"}
    )
    await world.client.put("/v1/accounts/alice/contact", json={"mail": "a@example.net"})
    found = (await world.client.get("/v1/audit-log", params={"target": "account alice", "limit": 3})).json()
    assert [(each["action"], each["reference"], each["before"], each["after"]) for each in found["entries"]] == [
        ("set_contact", "", {"mail": ""}, {"mail": "a@example.net"}),
        (
            "set_limits",
            "k2",
            {"available": "1.00", "credit_limit": "1.00"},
            {"available": "2.00", "credit_limit": "2.00"},
        ),
        (
            "set_state",
            "k1",
            {"state": "active", "blocks": []},
            {"state": "suspended", "blocks": ["operator"]},
        ),
    ]
    rest = (await world.client.get("/v1/audit-log", params={"cursor": found["next_cursor"]})).json()["entries"]
    assert {each["action"] for each in rest} == {"create_account"}


async def test_a_change_of_what_somebody_else_changed_is_refused(world: World) -> None:
    """Limits, plan and contact: If-Match with the ETag that was read; without it, or with a star, nothing is compared."""
    for path, first, second in (
        ("limits", {"credit_limit": "5.00"}, {"credit_limit": "6.00"}),
        (
            "plan",
            {"rate_plan": "hours-eur", "at": "cycle_end"},
            {"rate_plan": "retail-eur", "at": "cycle_end"},
        ),
        ("contact", {"mail": "a@example.net"}, {"mail": "b@example.net"}),
    ):
        address = f"/v1/accounts/alice/{path}"
        tag = (await world.client.get(address)).headers["ETag"]
        statuses = []
        for number, (body, match) in enumerate(
            ((first, tag), (second, tag), (second, "*"), (second, "x"), (second, None))
        ):
            headers = {"Idempotency-Key": f"{path}{number}", **({"If-Match": match} if match else {})}
            statuses.append((await world.client.put(address, json=body, headers=headers)).status_code)
        assert statuses == [200, 412, 200, 400, 200], path
        assert (await world.client.get(address)).headers["ETag"] != tag


async def test_an_account_that_is_known_is_not_sent_again(world: World) -> None:
    """304 with If-None-Match, until something changes."""
    first = await world.client.get("/v1/accounts/alice")
    known = {"If-None-Match": first.headers["ETag"]}
    again = await world.client.get("/v1/accounts/alice", headers=known)
    assert (again.status_code, again.content) == (304, b"")
    await world.post("/v1/accounts/alice/top-ups", {"amount": "1.00", "currency": "EUR"}, key="t")
    assert (await world.client.get("/v1/accounts/alice", headers=known)).status_code == 200


async def test_accounts_come_page_by_page(world: World) -> None:
    """In the order of their names."""
    seen, cursor = [], ""
    while True:
        page = (await world.client.get("/v1/accounts", params={"limit": 3, "cursor": cursor})).json()
        seen += [each["account_id"] for each in page["accounts"]]
        if not (cursor := page["next_cursor"]):
            break
    assert seen == ["acme:alice", "acme:bob", "alice", "beta:alice"]
    closed: dict[str, Any] = (await world.client.get("/v1/accounts", params={"state": "closed"})).json()
    assert closed == {"accounts": [], "next_cursor": ""}
    assert (await world.client.get("/v1/accounts", params={"state": "lost"})).status_code == 422


async def test_parts_of_an_account(world: World) -> None:
    """Buckets, counters, subscriptions, limits, a price: each as in the whole."""
    for part in ("buckets", "counters", "subscriptions", "limits", "plan"):
        answer = await world.client.get(f"/v1/accounts/alice/{part}")
        whole = (await world.client.get("/v1/accounts/alice")).json()
        assert answer.json() == {name: whole[name] for name in answer.json()}, part
    params: dict[str, str | int] = {"number": "4915112345678", "used": 70}
    price = (await world.client.get("/v1/accounts/alice/price", params=params)).json()
    by_plan = (await world.client.get("/v1/rates/explanation", params={"plan": "retail-eur", **params})).json()
    now = price.pop("now")
    assert price == by_plan
    assert price["use"]
    assert (now["begins"], now["why"], now["unit"], now["cost"]) == (True, "", "seconds", price["use"]["cost"])
    assert now["granted"] > 0
    later = await world.client.get("/v1/accounts/alice/price", params={**params, "at": "2030-01-01T00:00:00Z"})
    assert "now" not in later.json()


_NOTES = tuple(f"await {call}(" for call in ("note", "_note", "_settled", "respond", "_act", "_changed", "_check"))


def test_no_change_is_left_out_of_the_audit_log(world: World) -> None:
    """Each route that changes something notes it by itself, or is one of those that are noted with their body."""
    for route in create_litestar(world.context).routes:
        for handler in getattr(route, "route_handlers", ()):
            if handler.name == "stripe_webhook":
                continue  # nobody's key: the journal entry names Stripe
            if handler.http_methods & {"POST", "PUT", "DELETE", "PATCH"}:
                source = inspect.getsource(handler.fn)
                by_itself = any(call in source for call in _NOTES)
                assert by_itself != handler.opt.get(NOTED, False), handler.name
