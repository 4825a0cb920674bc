"""Rates over HTTP: explained, read again, put in place."""

from __future__ import annotations

import pytest

from ocs.api.keys import Scope
from ocs.rating.faults import ConfigFault
from tests.unit.api_world import World, make_world

FAULT = ConfigFault("decks/d.csv", 3, "rate", "is empty", "write the price")


@pytest.fixture
async def world() -> World:
    """A world with a key for rates."""
    world = make_world()
    await world.login(Scope.RATES_READ, Scope.RATES_WRITE)
    return world


async def test_a_number_is_explained_as_the_command_does(world: World) -> None:
    """[R] Candidates with why each lost, the price in words, and what a use costs."""
    query = {"plan": "retail-eur", "number": "+49 151 12345678", "used": "70"}
    found = (await world.client.get("/v1/rates/explanation", params=query)).json()
    assert [each["prefix"] for each in found["candidates"] if each["is_chosen"]] == [found["tariff"]["prefix"]]
    assert any(each["outcome"].startswith("shorter than") for each in found["candidates"])
    assert found["use"]["used"] == 70
    assert found["use"]["words"][-1].endswith(f"{found['use']['cost']} EUR in all")


@pytest.mark.parametrize(
    ("query", "rate", "cost"),
    [
        ({"number": "600123"}, "0.01", "0.10"),
        ({"number": "600123", "trunk": "sbc2.example.net"}, "0.03", "0.30"),
        ({"number": "500123", "at": "2026-10-01T15:59:55Z"}, "0.02", "0.15"),
    ],
)
async def test_explained_from_where_it_comes(world: World, query: dict[str, str], rate: str, cost: str) -> None:
    """[R] Trunk, caller, network and instant as the command has them."""
    asked = {"plan": "test-eur", "used": "10", **query}
    found = (await world.client.get("/v1/rates/explanation", params=asked)).json()
    assert (found["tariff"]["price"]["rate"], found["use"]["cost"]) == (rate, cost)


async def test_volume_and_time_are_explained(world: World) -> None:
    """[R] Both uses of data that pays for both."""
    query = {"plan": "test-eur", "service": "data", "rating_group": "40", "used": "1", "seconds": "61"}
    found = (await world.client.get("/v1/rates/explanation", params=query)).json()
    assert (found["use"]["cost"], found["time"]["cost"]) == ("0.02", "0.02")


@pytest.mark.parametrize(
    ("query", "status", "said"),
    [
        ({"plan": "nobody's"}, 422, "/problems/rate-plan-unknown"),
        ({"plan": "retail-eur", "at": "yesterday"}, 422, "/problems/invalid"),
        ({}, 400, "/problems/bad-request"),
    ],
)
async def test_questions_that_cannot_be_answered(world: World, query: dict[str, str], status: int, said: str) -> None:
    """Each is a problem of its kind."""
    answer = await world.client.get("/v1/rates/explanation", params=query)
    assert (answer.status_code, answer.json()["type"]) == (status, said)


async def test_a_refusal_is_an_answer(world: World) -> None:
    """A destination without a price is explained, too."""
    found = (
        await world.client.get("/v1/rates/explanation", params={"plan": "retail-eur", "number": "88812345"})
    ).json()
    assert found["refused"] == "no_destination"


async def test_reload(world: World) -> None:
    """The version in force is answered; faults are listed, and nothing was swapped."""
    good = await world.client.post("/v1/rates/reload")
    assert (good.status_code, good.json()) == (200, (await world.client.get("/v1/rates")).json())
    world.rates.faults = (FAULT,)
    bad = await world.client.post("/v1/rates/reload")
    assert (bad.status_code, bad.json()["type"]) == (409, "/problems/rates-refused")
    assert bad.json()["errors"] == [{"field": "decks/d.csv:3: rate", "detail": "is empty"}]


async def test_activation(world: World) -> None:
    """A staged version now or at an instant; what is not staged is refused, and so are names that lead elsewhere."""
    body = {"version": "494421f43d60"}
    assert (await world.post("/v1/rates/decks/acme-usd/activations", body)).status_code == 200
    later = await world.post("/v1/rates/decks/acme-usd/activations", {**body, "at": "2030-01-01T00:00:00Z"})
    assert later.status_code == 200
    assert world.rates.activated == [("acme-usd", "494421f43d60", 0), ("acme-usd", "494421f43d60", 1_893_456_000_000)]
    assert (await world.post("/v1/rates/decks/unknown/activations", body)).status_code == 409
    assert (await world.post("/v1/rates/decks/..%5Cx/activations", body)).status_code == 422
    assert (await world.post("/v1/rates/decks/d/activations", {"version": "../../etc"})).status_code == 422
