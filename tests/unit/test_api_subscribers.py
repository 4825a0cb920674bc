"""Subscribers and their identities over HTTP."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocs.api.identities import IdentityError, normalize_identity
from ocs.api.keys import Scope
from tests.unit.api_world import World, make_world

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
    assert created.json() == by_id.json() == by_number.json() == by_uri.json()
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
    subscriber = await world.accounts.subscriber("s1")
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
    assert list(world.accounts.subscribers) == ["s1"]


@pytest.mark.parametrize(
    ("path", "status", "slug"),
    [
        ("/v1/subscribers/nobody", 404, "subscriber-unknown"),
        ("/v1/subscribers?identity=e164:1", 404, "subscriber-unknown"),
        ("/v1/subscribers?identity=49151", 422, "invalid"),
        ("/v1/subscribers", 400, "bad-request"),
    ],
)
async def test_a_subscriber_who_is_not_there(world: World, path: str, status: int, slug: str) -> None:
    """Unknown, misspelt and missing are told apart."""
    answer = await world.client.get(path)

    assert (answer.status_code, answer.json()["type"]) == (status, f"/problems/{slug}")


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
