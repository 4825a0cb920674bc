"""Every error is a problem that a stranger can understand: RFC 9457."""

from __future__ import annotations

import asyncio
import re

import pytest
from litestar.exceptions import HTTPException
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError

from balance.store import BackendUnavailable
from ocs.api import meter
from ocs.api.app import BODY_OCTETS_MAX
from ocs.api.keys import Scope
from ocs.api.problems import Kind
from tests.unit.api_world import World, make_world


@pytest.fixture
async def world() -> World:
    """A world where the client may do everything."""
    world = make_world()
    await world.login(Scope.ADMIN)
    return world


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "slug"),
    [
        ("GET", "/", b"", 404, "no-such-route"),
        ("GET", "/v1/nothing", b"", 404, "no-such-route"),
        ("GET", "/openapi/nothing", b"", 404, "no-such-route"),
        ("GET", "/problems/nothing", b"", 404, "no-such-route"),
        ("GET", "/v1/accounts/../../etc/passwd", b"", 404, "no-such-route"),
        ("DELETE", "/v1/accounts", b"", 405, "method-not-allowed"),
        ("PATCH", "/v1/accounts", b"", 405, "method-not-allowed"),
        ("POST", "/v1/accounts", b"", 400, "bad-request"),
        ("POST", "/v1/accounts", b"{", 400, "bad-request"),
        ("POST", "/v1/accounts", b"\xff\xfe", 400, "bad-request"),
        ("POST", "/v1/accounts", b"[]", 422, "invalid"),
        ("POST", "/v1/accounts", b"null", 422, "invalid"),
        ("POST", "/v1/accounts", b"{}", 422, "invalid"),
        ("POST", "/v1/accounts", b" " * (BODY_OCTETS_MAX + 1), 413, "too-large"),
        ("GET", "/v1/accounts/a/sessions?limit=many", b"", 422, "invalid"),
        ("GET", "/v1/accounts/a/cdrs?limit=1001", b"", 422, "invalid"),
        ("GET", "/v1/accounts/a/cdrs?started_from=2026", b"", 422, "invalid"),
        ("GET", "/v1/accounts/a/cdrs?started_to=yesterday", b"", 422, "invalid"),
    ],
)
async def test_whatever_is_wrong_is_a_problem(
    world: World, method: str, path: str, body: bytes, status: int, slug: str
) -> None:
    """The media type, the members and the kind are right, whoever found the fault: we or the framework."""
    answer = await world.client.request(method, path, content=body)

    problem = answer.json()
    assert (answer.status_code, problem["type"]) == (status, f"/problems/{slug}")
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert problem["status"] == status
    assert problem["title"]
    assert problem["cure"]
    assert problem["instance"] == answer.request.url.path


async def test_a_body_of_unknown_length_is_cut_off(world: World) -> None:
    """Chunked bodies announce nothing; they are counted."""

    async def chunks():  # type: ignore[no-untyped-def]  # noqa: ANN202 - an async generator for httpx
        for _ in range(100):
            yield b" " * 1024

    answer = await world.client.post("/v1/accounts", content=chunks())  # type: ignore[no-untyped-call]

    assert (answer.status_code, answer.json()["type"]) == (413, "/problems/too-large")


@pytest.mark.parametrize("kind", list(Kind))
async def test_each_type_leads_to_its_explanation(world: World, kind: Kind) -> None:
    """GET the type of a problem: what it means and what to do."""
    answer = await world.client.get(f"/problems/{kind.value.slug}")

    assert answer.status_code == 200
    assert kind.value.title in answer.text
    assert kind.value.cure in answer.text


def test_the_kinds_are_told_apart() -> None:
    """One slug each, in words of lower case."""
    slugs = [kind.value.slug for kind in Kind]

    assert len(set(slugs)) == len(slugs)
    assert all(re.fullmatch("[a-z]+(-[a-z]+)*", slug) for slug in slugs)
    assert all(400 <= kind.value.status < 600 for kind in Kind)


@pytest.mark.parametrize(
    ("error", "status", "slug"),
    [
        (RuntimeError("secret words"), 500, "internal-error"),
        (HTTPException("secret words", status_code=502), 500, "internal-error"),
        (HTTPException("", status_code=418), 400, "client-error"),
    ],
)
async def test_our_bugs_keep_their_words_to_themselves(
    world: World, monkeypatch: pytest.MonkeyPatch, error: Exception, status: int, slug: str
) -> None:
    """The client gets a number to report, not the exception's text."""

    async def fail(account_id: str) -> None:
        raise error

    monkeypatch.setattr(world.accounts, "account", fail)

    answer = await world.client.get("/v1/accounts/a")

    assert (answer.status_code, answer.json()["type"]) == (status, f"/problems/{slug}")
    assert "secret words" not in answer.text


@pytest.mark.parametrize("error", [BackendUnavailable("away"), RedisConnectionError("away"), ResponseError("MISCONF")])
async def test_a_store_that_cannot_is_503(world: World, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    """Whichever way the store's absence is told: the client may try again."""

    async def fail(account_id: str) -> None:
        raise error

    monkeypatch.setattr(world.accounts, "account", fail)

    answer = await world.client.get("/v1/accounts/a")

    assert (answer.status_code, answer.json()["type"]) == (503, "/problems/unavailable")
    assert answer.headers["Retry-After"] == "1"


async def test_no_request_lasts_for_ever(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A back end that says nothing ends as a problem, and is counted as such."""

    async def hang(account_id: str) -> None:
        await asyncio.sleep(3600)

    monkeypatch.setattr(world.accounts, "account", hang)
    monkeypatch.setattr(meter, "REQUEST_TIMEOUT_S", 0.01)

    answer = await world.client.get("/v1/accounts/a")

    assert (answer.status_code, answer.json()["type"]) == (503, "/problems/unavailable")
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert world.counters.requests["http", "read_account", "503"] == 1
