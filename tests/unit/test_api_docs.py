"""docs/api.md says what the API does: every route, scope, problem and limit."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from balance.account import Hold
from ocs.api.app import BODY_OCTETS_MAX, create_litestar
from ocs.api.keys import Scope
from ocs.api.problems import Kind
from ocs.billing.cdrs import JournalRow
from tests.unit.api_world import NOW_MS, make_world, open_session

_EXAMPLES = {
    "account_id": "alice", "subscriber_id": "s1", "entry_number": "17", "deck": "acme-usd", "customer_id": "bakery",
    "charge_id": "bakery-line", "invoice": "R-2026-000001", "run_id": "1", "payment_id": "12", "switch": "softswitch1",
    "fault_id": "17", "method_id": "pm_1", "entry_id": "17", "feed": "warehouse",
}  # fmt: skip


@pytest.fixture
def page(project_root: Path) -> str:
    """The page's text."""
    return (project_root / "docs" / "api.md").read_text(encoding="utf-8")


def test_the_page_knows_every_problem(page: str) -> None:
    """With its status and its title, and no others."""
    rows = re.findall(r"^\| `/problems/([a-z-]+)` \| (\d+) \| (.*) \|$", page, re.MULTILINE)

    assert rows == [(kind.value.slug, str(kind.value.status), kind.value.title) for kind in Kind]


def test_the_page_knows_every_scope(page: str) -> None:
    """One row each, in the order of the enum."""
    assert re.findall(r"^\| `([a-z:]+)` \| ", page, re.MULTILINE) == [scope.value for scope in Scope]


def test_the_page_has_a_call_for_every_route(page: str) -> None:
    """No route is left to be guessed."""
    paths = create_litestar(make_world().context).openapi_schema.to_schema()["paths"]
    missing = [
        path
        for path in paths
        if path.startswith("/v1/") and re.sub(r"\{(\w+)\}", lambda name: _EXAMPLES[name[1]], path) not in page
    ]

    assert missing == []


async def test_the_examples_are_accepted(page: str) -> None:
    """Each body on the page, sent in order to the address before it, is answered with success."""
    world = make_world()
    await world.login(Scope.ADMIN)
    world.accounts.sessions = [open_session("gy:pgw.example.net;1;42")]
    world.history.journal.append(
        JournalRow(
            account_id="alice", entry_number=17, at_ms=NOW_MS, kind="session", currency="EUR", amount=-(10**9),
            changes=(Hold(0, -(10**9)),), reference="gy:1", actor="", reason="",
        )
    )  # fmt: skip
    calls = re.findall(r"curl ((?:[^\n]|\\\n)*?)\$OCS(/v1/\S+) --json \\\n\s+'(\{.*\})'", page)

    refused = []
    for number, (options, path, body) in enumerate(calls):
        method = named[1] if (named := re.search(r"-X (\w+)", options)) else "POST"
        headers = {"Idempotency-Key": f"k{number}"} if "Idempotency-Key" in options else {}
        answer = await world.client.request(method, path, json=json.loads(body), headers=headers)
        if not answer.is_success:
            refused.append((method, path, answer.text))

    assert len(calls) > 20
    assert refused == []


def test_the_page_names_the_limits(page: str) -> None:
    """The figures are those of the code."""
    assert f"{BODY_OCTETS_MAX:,} octets" in page
