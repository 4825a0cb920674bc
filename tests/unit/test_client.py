"""The Python client: in step with the API, repeats that are safe, problems as one exception."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from ocs.api.app import create_litestar
from ocs.api.schemas import TopUp
from ocs.api.sessions import SessionClosure
from ocs.client.client import Client
from ocs.client.transport import ProblemError, pages
from tests.unit.api_world import make_world

ROOT = Path(__file__).parents[2]
WITHOUT = {
    "/live": "for probes, not for shops",
    "/ready": "for probes, not for shops",
    "/metrics": "Prometheus text, for its scrapers",
    "/webhooks/stripe": "for Stripe alone",
    "/problems/{slug}": "a page for people; what it says stands in the problem",
}


def test_the_client_is_current() -> None:
    """`python scripts/client.py` after a change of the routes."""
    done = subprocess.run([sys.executable, "scripts/client.py", "--check"], cwd=ROOT, check=False, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()


def test_each_operation_has_its_method() -> None:
    """Of all that OpenAPI describes; what has none has a reason."""
    paths = create_litestar(make_world().context).openapi_schema.to_schema()["paths"]
    missing = {
        path
        for path, operations in paths.items()
        for each in operations.values()
        if not hasattr(Client, each["operationId"])
    }
    assert missing == WITHOUT.keys()


class Peer:
    """Answers in the order given, and remembers what was asked."""

    def __init__(self, client: Client, *answers: httpx.Response | Exception) -> None:
        self.answers = list(answers)
        self.asked: list[httpx.Request] = []
        client._http = httpx.Client(base_url="http://ocs.test", transport=httpx.MockTransport(self._answer))

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Client:
    """One that waits for nothing."""
    monkeypatch.setattr("ocs.client.transport.time.sleep", lambda _: None)
    return Client("http://ocs.test", "ocs_x_y")


PROBLEM = {"type": "/problems/unavailable", "title": "away", "status": 503, "instance": "/v1"}
TOP_UP = TopUp(amount="1.00", currency="EUR")


@pytest.mark.parametrize("fault", [httpx.ReadTimeout("lost"), httpx.Response(503, json=PROBLEM)])
def test_a_lost_answer_is_asked_for_with_the_same_key(client: Client, fault: httpx.Response | Exception) -> None:
    """So that money is paid in once."""
    peer = Peer(client, fault, httpx.Response(409, json={**PROBLEM, "type": "/problems/account-closed", "status": 409}))
    with pytest.raises(ProblemError) as raised:
        client.top_up("alice", TOP_UP)
    assert raised.value.details.type == "/problems/account-closed"
    first, second = (each.headers["Idempotency-Key"] for each in peer.asked)
    assert first == second
    assert len(first) > 20


def test_two_intents_have_two_keys(client: Client) -> None:
    """A key is new for each call."""
    problem = {**PROBLEM, "status": 404}
    peer = Peer(client, httpx.Response(404, json=problem), httpx.Response(404, json=problem))
    for _ in range(2):
        with pytest.raises(ProblemError):
            client.top_up("alice", TOP_UP)
    assert len({each.headers["Idempotency-Key"] for each in peer.asked}) == 2


def test_a_change_without_key_is_not_repeated_blindly(client: Client) -> None:
    """After 503 its outcome is not known; after 429 it has not begun."""
    closure = SessionClosure(session_key="gy:1")
    peer = Peer(client, httpx.Response(503, json=PROBLEM))
    with pytest.raises(ProblemError):
        client.close_session("alice", closure)
    peer = Peer(client, httpx.Response(429, json=PROBLEM), httpx.Response(400, content=b"<html>"))
    with pytest.raises(ProblemError) as raised:
        client.close_session("alice", closure)
    assert (len(peer.asked), raised.value.details.status, raised.value.details.type) == (2, 400, "about:blank")


def test_a_long_wait_is_left_to_the_caller(client: Client) -> None:
    """A Retry-After of an hour is an answer, not a nap."""
    peer = Peer(client, httpx.Response(429, json={**PROBLEM, "status": 429}, headers={"Retry-After": "3600"}))
    with pytest.raises(ProblemError):
        client.read_account("alice")
    assert len(peer.asked) == 1


def test_pages_follow_the_cursor(client: Client) -> None:
    """Until a page has none; a path keeps what names are made of."""
    peer = Peer(
        client,
        httpx.Response(200, json={"events": [], "next_cursor": "17"}),
        httpx.Response(200, json={"events": [], "next_cursor": ""}),
    )
    assert len(list(pages(client.list_account_events, "acme~a/b", limit=1))) == 2
    assert [each.url.raw_path for each in peer.asked] == [
        b"/v1/accounts/acme~a%2Fb/events?limit=1&cursor=&type=",
        b"/v1/accounts/acme~a%2Fb/events?limit=1&cursor=17&type=",
    ]
