"""TM Forum's Prepay Balance Management on the same operations."""

from __future__ import annotations

from typing import Any, cast

import pytest
from redis.asyncio import Redis

from ocs.api.keys import Scope, new_token, store_key
from ocs.billing.cdrs import JournalRow
from tests.unit.api_world import NOW_MS, World, make_world

BASE = "/tmf-api/prepayBalanceManagement/v4"


@pytest.fixture
async def world() -> World:
    """Alice's account with a bundle, and an administrator."""
    world = make_world()
    await world.login(Scope.ADMIN)
    await world.post("/v1/accounts", {"account_id": "alice", "currency": "EUR", "rate_plan": "retail-eur"})
    await world.post("/v1/accounts/alice/top-ups", {"amount": "5.00", "currency": "EUR"}, key="first")
    await world.post("/v1/accounts/alice/packages", {"package": "Starter"}, key="package")
    return world


def action(amount: str, account: str = "alice", **more: Any) -> bytes:
    """A body whose amount is a JSON number, digit by digit."""
    reason = f', "reason": "{more["reason"]}"' if "reason" in more else ""
    return (
        f'{{"amount": {{"amount": {amount}, "units": "EUR"}}, "partyAccount": {{"id": "{account}"}}{reason}}}'.encode()
    )


async def post(world: World, resource: str, body: bytes, key: str) -> Any:
    return await world.client.post(f"{BASE}/{resource}", content=body, headers={"Idempotency-Key": key})


async def test_a_top_up_is_one_of_ours(world: World) -> None:
    """201 with the entry's name; a repeat pays nothing in again; the audit log and the journal's actor are the same."""
    first = await post(world, "topupBalance", action("10.50"), "k")
    again = await post(world, "topupBalance", action("10.50"), "k")
    assert (first.status_code, again.status_code, again.headers["Idempotency-Replayed"]) == (201, 201, "true")
    done = first.json()
    assert (done["@type"], done["status"], done["amount"]) == (
        "TopupBalance",
        "completed",
        {"amount": 10.5, "units": "EUR"},
    )
    assert done["id"] == again.json()["id"]
    assert done["id"].startswith("alice.")
    balance = (await world.client.get("/v1/accounts/alice")).json()["balance"]
    assert balance == "15.50"
    assert world.trail.entries[-1].action == "tmf_top_up"


async def test_amounts_are_exact_although_they_are_json_numbers(world: World) -> None:
    """Nine decimals of a large amount: no binary fraction on the way in or out."""
    answer = await post(world, "topupBalance", action("1234567890.123456789"), "k")
    assert b'"amount":1234567890.123456789' in answer.content
    assert (await world.client.get("/v1/accounts/alice")).json()["balance"] == "1234567895.123456789"


@pytest.mark.parametrize(
    ("resource", "body", "status", "slug"),
    [
        ("topupBalance", action("0"), 422, "invalid"),
        ("topupBalance", action("-1"), 422, "invalid"),
        ("topupBalance", action("1e300"), 422, "invalid"),
        ("topupBalance", action("0.0000000001"), 422, "invalid"),
        ("topupBalance", action("1", "bob"), 404, "account-unknown"),
        ("topupBalance", action("1").replace(b"EUR", b"XXX"), 422, "currency-unknown"),
        ("adjustBalance", action("-1"), 422, "invalid"),
        ("adjustBalance", action("0", reason="x"), 422, "invalid"),
    ],
)
async def test_what_cannot_be_is_a_problem(world: World, resource: str, body: bytes, status: int, slug: str) -> None:
    """As on our own routes."""
    answer = await post(world, resource, body, "k")
    assert (answer.status_code, answer.json()["type"]) == (status, f"/problems/{slug}")


async def test_an_adjustment_has_a_sign_and_a_reason(world: World) -> None:
    """Down by 2.50."""
    answer = await post(world, "adjustBalance", action("-2.5", reason="chargeback"), "k")
    assert (answer.status_code, answer.json()["description"]) == (201, "chargeback")
    assert (await world.client.get("/v1/accounts/alice")).json()["balance"] == "2.50"


async def test_buckets_of_money_and_of_units(world: World) -> None:
    """Each with what is left, what is reserved, and until when; one by its id."""
    buckets = (await world.client.get(f"{BASE}/bucket", params={"partyAccount.id": "alice"})).json()
    assert [(each["id"], each["usageType"], each["remainingValue"], each["status"]) for each in buckets] == [
        ("alice.0", "monetary", {"amount": 5.0, "units": "EUR"}, "active"),
        ("alice.7", "voice", {"amount": 60, "units": "seconds"}, "active"),
    ]
    assert buckets[1]["validFor"]["endDateTime"]
    assert (await world.client.get(f"{BASE}/bucket/alice.7")).json() == buckets[1]
    for unknown in ("alice.8", "alice", "bob.0", "alice.x"):
        assert (await world.client.get(f"{BASE}/bucket/{unknown}")).status_code == 404


async def test_top_ups_are_listed_from_the_journal(world: World) -> None:
    """Those alone, newest first."""
    for number, kind in ((1, "opened"), (2, "top_up"), (3, "adjustment"), (4, "top_up")):
        row = JournalRow(
            account_id="alice", entry_number=number, at_ms=NOW_MS, kind=kind, currency="EUR", amount=10**9 * number,
            changes=(), reference="", actor="", reason="",
        )  # fmt: skip
        world.history.journal.append(row)
    found = (await world.client.get(f"{BASE}/topupBalance", params={"partyAccount.id": "alice"})).json()
    assert [(each["id"], each["amount"]["amount"]) for each in found] == [("alice.4", 4.0), ("alice.2", 2.0)]
    found = (await world.client.get(f"{BASE}/adjustBalance", params={"partyAccount.id": "alice"})).json()
    assert [each["id"] for each in found] == ["alice.3"]


async def test_tenants_are_kept_apart_here_too(world: World) -> None:
    """Another's account: no bucket, no top-up, no list."""
    token = new_token()
    await store_key(cast(Redis, world.redis), token, "x", (Scope.ADMIN,), NOW_MS, "acme")
    world.client.headers["Authorization"] = f"Bearer {token}"
    statuses = [
        (await world.client.get(f"{BASE}/bucket", params={"partyAccount.id": "alice"})).status_code,
        (await world.client.get(f"{BASE}/bucket/alice.0")).status_code,
        (await world.client.get(f"{BASE}/topupBalance", params={"partyAccount.id": "alice"})).status_code,
        (await post(world, "topupBalance", action("1"), "k")).status_code,
    ]
    assert statuses == [404, 404, 422, 422]


@pytest.mark.parametrize(
    ("method", "path", "scope"),
    [
        ("GET", "/bucket?partyAccount.id=a", Scope.ACCOUNTS_READ),
        ("GET", "/bucket/a.0", Scope.ACCOUNTS_READ),
        ("POST", "/topupBalance", Scope.TOPUP),
        ("POST", "/adjustBalance", Scope.ACCOUNTS_WRITE),
        ("GET", "/topupBalance?partyAccount.id=a", Scope.CDRS_READ),
        ("GET", "/adjustBalance?partyAccount.id=a", Scope.CDRS_READ),
    ],
)
async def test_each_route_wants_its_scope(world: World, method: str, path: str, scope: Scope) -> None:
    """All others together do not open it; no key opens nothing."""
    await world.login(*(other for other in Scope if other not in (scope, Scope.ADMIN)))
    assert (await world.client.request(method, BASE + path)).status_code == 403
    await world.login(scope)
    assert (await world.client.request(method, BASE + path)).status_code not in {401, 403}
    del world.client.headers["Authorization"]
    assert (await world.client.request(method, BASE + path)).status_code == 401


def moved(amount: str, payee: str) -> bytes:
    """A transfer from alice."""
    return action(amount)[:-1] + f', "receiverPartyAccount": {{"id": "{payee}"}}}}'.encode()


async def test_a_transfer_is_one_of_ours(world: World) -> None:
    """Once for its key, with the payer's entry as its id; digits as they were written."""
    await world.post("/v1/accounts", {"account_id": "bob", "currency": "EUR", "rate_plan": "retail-eur"})
    first = await post(world, "transferBalance", moved("2.000000001", "bob"), "k")
    again = await post(world, "transferBalance", moved("2.000000001", "bob"), "k")
    assert (first.status_code, again.status_code, again.headers["Idempotency-Replayed"]) == (201, 201, "true")
    assert (first.json()["@type"], first.json()["id"]) == ("TransferBalance", again.json()["id"])
    assert b'"amount":2.000000001' in first.content
    assert (await world.client.get("/v1/accounts/alice")).json()["balance"] == "2.999999999"
    assert world.trail.entries[-1].action == "tmf_transfer"


@pytest.mark.parametrize(
    ("amount", "payee", "slug"),
    [("1", "alice", "invalid"), ("0", "bob", "invalid"), ("-1", "bob", "invalid"), ("1", "bob", "payee-unknown")],
)
async def test_a_transfer_that_cannot_be_is_a_problem(world: World, amount: str, payee: str, slug: str) -> None:
    """To itself, of nothing, to nobody."""
    answer = await post(world, "transferBalance", moved(amount, payee), "k")
    assert (answer.status_code, answer.json()["type"]) == (422, f"/problems/{slug}")


async def test_a_tenant_pays_its_own_alone(world: World) -> None:
    """The payee's name has to begin with the key's tenant, as the payer's."""
    token = new_token()
    await store_key(cast(Redis, world.redis), token, "shop", (Scope.ACCOUNTS_WRITE,), NOW_MS, "acme")
    headers = {"Authorization": f"Bearer {token}", "Idempotency-Key": "k"}
    body = moved("1", "bob").replace(b'"alice"', b'"acme:alice"')
    answer = await world.client.post(f"{BASE}/transferBalance", content=body, headers=headers)
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "receiverPartyAccount.id")
