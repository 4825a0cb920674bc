"""Subscribers and their identities over HTTP."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocs.api.identities import IdentityError, normalize_identity
from ocs.api.keys import Scope
from tests.unit.api_world import World, make_world
from tests.unit.test_api_conventions import as_tenant

BODY = {"subscriber_id": "s1", "account_id": "alice", "identities": ["e164:4915112345678", "sip:Alice@Example.NET"]}


@pytest.fixture
async def world() -> World:
    """A world where alice has an account."""
    world = make_world()
    await world.login(Scope.ADMIN)
    await world.post("/v1/accounts", {"account_id": "alice", "currency": "EUR", "rate_plan": "retail-eur"})
    return world


async def test_a_subscriber_is_found_by_id_and_by_each_identity(world: World) -> None:
    """A domain's case does not matter, and the password is never shown."""
    created = await world.post("/v1/subscribers", {**BODY, "password": "secret"})

    by_id = await world.client.get(created.headers["Location"])
    by_number = await world.client.get("/v1/subscribers", params={"identity": "e164:4915112345678"})
    by_uri = await world.client.get("/v1/subscribers", params={"identity": "SIP:Alice@EXAMPLE.net"})

    assert created.status_code == 201
    assert created.json() == by_id.json()
    assert [created.json()] == by_number.json()["subscribers"] == by_uri.json()["subscribers"]
    assert created.json() == {
        "subscriber_id": "s1",
        "account_id": "alice",
        "identities": ["e164:4915112345678", "sip:Alice@example.net"],
        "has_password": True,
        "created_at": "2026-01-01T00:00:00.000Z",
    }


async def test_r84_digests_instead_of_a_password(world: World) -> None:
    """By realm; never shown either."""
    created = await world.post("/v1/subscribers", {**BODY, "ha1": {"example.net": "A" * 32}})
    assert (created.status_code, created.json()["has_password"]) == (201, True)
    subscriber = await world.context.subscribers.read("s1")
    assert subscriber is not None
    assert subscriber.password == "{HA1}" + "a" * 32 + " example.net"


@pytest.mark.parametrize(
    ("change", "status", "slug"),
    [
        ({"ha1": {"example.net": "short"}}, 422, "invalid"),
        ({"ha1": {"example.net": "0" * 32}, "password": "x"}, 422, "invalid"),
        ({"password": "{HA1}x"}, 422, "invalid"),
        ({}, 409, "subscriber-exists"),
        ({"subscriber_id": "s2"}, 409, "identity-taken"),
        ({"subscriber_id": "s2", "account_id": "bob"}, 404, "account-unknown"),
        ({"subscriber_id": "s2", "identities": []}, 422, "invalid"),
        ({"subscriber_id": "s2", "identities": ["+4915112345678"]}, 422, "invalid"),
        ({"subscriber_id": "s2", "identities": ["e164:+4915112345678"]}, 422, "invalid"),
        ({"subscriber_id": "s2", "identities": "e164:49"}, 422, "invalid"),
        ({"subscriber_id": "s/2"}, 422, "invalid"),
    ],
)
async def test_a_subscriber_that_cannot_be(world: World, change: dict[str, Any], status: int, slug: str) -> None:
    """Every fault has its problem, and no subscriber comes of it."""
    await world.post("/v1/subscribers", BODY)

    answer = await world.post("/v1/subscribers", {**BODY, **change})

    assert (answer.status_code, answer.json()["type"]) == (status, f"/problems/{slug}")
    assert await ids(world) == ["s1"]


@pytest.mark.parametrize(
    ("path", "status", "slug"),
    [
        ("/v1/subscribers/nobody", 404, "subscriber-unknown"),
        ("/v1/subscribers?identity=49151", 422, "invalid"),
        ("/v1/subscribers?cursor=%00", 422, "invalid"),
    ],
)
async def test_a_subscriber_who_is_not_there(world: World, path: str, status: int, slug: str) -> None:
    """Unknown and misspelt are told apart."""
    answer = await world.client.get(path)

    assert (answer.status_code, answer.json()["type"]) == (status, f"/problems/{slug}")


async def ids(world: World, **query: Any) -> list[str]:
    """Of all pages."""
    found, cursor = [], ""
    while True:
        page = (await world.client.get("/v1/subscribers", params={**query, "cursor": cursor})).json()
        found += [each["subscriber_id"] for each in page["subscribers"]]
        if not (cursor := page["next_cursor"]):
            return found


async def test_subscribers_come_page_by_page(world: World) -> None:
    """In the order of their ids, those of an account, those of a tenant, the one who has an identity."""
    for number, name in enumerate(("alice", "acme:x", "acme:y")):
        await world.post("/v1/accounts", {"account_id": name, "currency": "EUR", "rate_plan": "retail-eur"})
        for place in range(3):
            body = {"subscriber_id": f"{name}{place}", "account_id": name, "identities": [f"e164:4{number}{place}"]}
            assert (await world.post("/v1/subscribers", body)).status_code == 201
    assert await ids(world, limit=2) == sorted(await ids(world))
    assert len(await ids(world)) == 9
    assert await ids(world, limit=1, account_id="acme:x") == ["acme:x0", "acme:x1", "acme:x2"]
    assert await ids(world, identity="e164:401") == ["alice1"]
    assert await ids(world, identity="e164:401", account_id="acme:x") == []
    await as_tenant(world, "acme")
    assert len(await ids(world, limit=2)) == 6
    assert await ids(world, account_id="alice") == []
    assert await ids(world, identity="e164:400") == []


async def test_a_subscriber_is_changed_in_part_and_as_a_whole(world: World) -> None:
    """PATCH leaves what is left out, PUT empties it; the one who is read again has the ETag of the change."""
    await world.post("/v1/subscribers", {**BODY, "password": "secret"})
    patched = await world.client.patch("/v1/subscribers/s1", json={"identities": ["e164:49"]})
    assert (patched.json()["identities"], patched.json()["has_password"]) == (["e164:49"], True)
    assert await ids(world, identity="e164:4915112345678") == []
    assert (await world.client.patch("/v1/subscribers/s1", json={"password": ""})).json()["has_password"] is False
    put = await world.client.put(
        "/v1/subscribers/s1", json={"account_id": "alice", "identities": ["e164:50"], "ha1": {"r": "0" * 32}}
    )
    read = await world.client.get("/v1/subscribers/s1")
    assert (put.json(), put.headers["ETag"]) == (read.json(), read.headers["ETag"])
    assert (put.json()["identities"], put.json()["has_password"]) == (["e164:50"], True)
    same = await world.client.get("/v1/subscribers/s1", headers={"If-None-Match": read.headers["ETag"]})
    assert same.status_code == 304


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "PORT"])
async def test_a_change_of_what_has_changed_is_refused(world: World, method: str) -> None:
    """412 with the tag of before; with that of now it is done, and noted with before and after."""
    await world.post("/v1/subscribers", BODY)
    await world.post("/v1/subscribers", {**BODY, "subscriber_id": "s2", "identities": ["e164:2"]})
    old = (await world.client.get("/v1/subscribers/s1")).headers["ETag"]
    await world.client.patch("/v1/subscribers/s1", json={"password": "new"})
    new = (await world.client.get("/v1/subscribers/s1")).headers["ETag"]
    path, body = "/v1/subscribers/s1", {"account_id": "alice", "identities": ["e164:1"]} if method != "DELETE" else None
    if method == "PORT":
        method, path, body = "POST", f"{path}/ports", {"identity": "e164:2", "giver": "s2"}

    async def change(tag: str) -> int:
        answer = await world.client.request(method, path, json=body, headers={"If-Match": tag})
        return answer.status_code

    world.trail.entries.clear()
    assert await change(old) == 412
    assert world.trail.entries == []
    assert await change(new) == (204 if method == "DELETE" else 200)
    (entry,) = world.trail.entries
    assert entry.target == "subscriber s1"
    assert entry.before


async def test_a_subscriber_is_created_once_for_a_key(world: World) -> None:
    """The repeat is told what is there; another one under the key is refused; so is a change."""
    first = await world.post("/v1/subscribers", BODY, "k1")
    again = await world.post("/v1/subscribers", BODY, "k1")
    other = await world.post("/v1/subscribers", {**BODY, "password": "x"}, "k1")
    assert (first.status_code, again.status_code, other.status_code) == (201, 201, 422)
    assert (again.json(), again.headers["Idempotency-Replayed"]) == (first.json(), "true")
    assert other.json()["type"] == "/problems/idempotency-key-reused"
    headers = {"Idempotency-Key": "k2"}
    await world.client.patch("/v1/subscribers/s1", json={"identities": ["e164:1"]}, headers=headers)
    await world.client.patch("/v1/subscribers/s1", json={"identities": ["e164:2"]})
    late = await world.client.patch("/v1/subscribers/s1", json={"identities": ["e164:1"]}, headers=headers)
    assert (late.json()["identities"], late.headers["Idempotency-Replayed"]) == (["e164:2"], "true")


async def test_a_subscriber_that_was_removed_is_free(world: World) -> None:
    """Its names may be given away; the second time there is nobody, without a key."""
    await world.post("/v1/subscribers", BODY)
    headers = {"Idempotency-Key": "k1"}
    assert [(await world.client.delete("/v1/subscribers/s1", headers=headers)).status_code for _ in range(2)] == [
        204
    ] * 2
    assert (await world.client.delete("/v1/subscribers/s1")).status_code == 404
    assert (await world.post("/v1/subscribers", {**BODY, "subscriber_id": "s2"})).status_code == 201


@pytest.mark.parametrize(
    ("body", "status", "slug"),
    [
        ({"account_id": "nobody"}, 404, "account-unknown"),
        ({"identities": []}, 422, "invalid"),
        ({"identities": ["e164:2"]}, 409, "identity-taken"),
        ({"password": "x", "ha1": {"r": "0" * 32}}, 422, "invalid"),
    ],
)
async def test_a_change_that_cannot_be(world: World, body: dict[str, Any], status: int, slug: str) -> None:
    """Every fault has its problem, and nothing is changed."""
    await world.post("/v1/subscribers", BODY)
    await world.post("/v1/subscribers", {**BODY, "subscriber_id": "s2", "identities": ["e164:2"]})
    before = (await world.client.get("/v1/subscribers/s1")).json()
    answer = await world.client.patch("/v1/subscribers/s1", json=body)
    assert (answer.status_code, answer.json()["type"]) == (status, f"/problems/{slug}")
    assert (await world.client.get("/v1/subscribers/s1")).json() == before


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("e164:4915112345678", "e164:4915112345678"),
        ("E164:49", "e164:49"),
        ("imsi:262011234567890", "imsi:262011234567890"),
        ("sip:a@b@example.net", None),
        ("IP:192.0.2.7", "ip:192.0.2.7"),
        ("ip:2001:DB8:0::7", "ip:2001:db8::7"),
        ("ip:192.0.2.777", None),
        ("ip:host", None),
        ("nai:Alice@example.net", "nai:Alice@example.net"),
        ("name:alice", "name:alice"),
        ("private:box-17", "private:box-17"),
        ("e164:1234567890123456", None),
        ("e164:", None),
        ("e164:\u0664\u0665", None),
        ("imsi:123", None),
        ("sip:alice", None),
        ("name:al ice", None),
        ("name:" + "x" * 249, None),
        ("tel:49", None),
        ("", None),
    ],
)
def test_identities_have_one_form(text: str, kept: str | None) -> None:
    """What the protocols look up is what is stored; what they cannot send is refused."""
    if kept is None:
        with pytest.raises(IdentityError):
            normalize_identity(text)
    else:
        assert normalize_identity(text) == kept


@given(st.text(max_size=30) | st.from_regex(r"(e164|sip|nai|imsi|name|ip):[!-~]{0,20}", fullmatch=True))
def test_normalizing_twice_changes_nothing(text: str) -> None:
    """A stored identity is found again by its own text."""
    try:
        once = normalize_identity(text)
    except IdentityError:
        return
    assert normalize_identity(once) == once
