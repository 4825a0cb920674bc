"""Two daemons, each a process of its own, on one Valkey and one PostgreSQL: what clients send to both at the same moment."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest

from tests.scenario.sockets import ServedOcs

pytestmark = pytest.mark.integration

EACH = 3
TRIES_MAX = 200
ACCOUNT = {"account_id": "alice", "currency": "EUR", "rate_plan": "test-eur"}
ONE, TWO = {"account_id": "alice", "identities": ["e164:49301"]}, {"account_id": "alice", "identities": ["e164:49302"]}


class Call(NamedTuple):
    """One change of the API."""

    method: str
    path: str
    body: dict[str, Any]


CHANGES = {
    "top-up": Call("POST", "/accounts/alice/top-ups", {"amount": "1.10", "currency": "EUR"}),
    "adjustment": Call("POST", "/accounts/alice/adjustments", {"amount": "-0.30", "currency": "EUR", "reason": "x"}),
    "limits": Call("PUT", "/accounts/alice/limits", {"credit_limit": "5.00", "low_balance": "0.50"}),
    "plan": Call("PUT", "/accounts/alice/plan", {"rate_plan": "retail-eur", "at": "cycle_end"}),
    "transfer": Call("POST", "/accounts/alice/transfers", {"to": "bob", "amount": "0.10", "currency": "EUR"}),
    "account": Call("POST", "/accounts", {**ACCOUNT, "account_id": "carol", "low_balance": "1.00"}),
    "subscriber": Call(
        "POST", "/subscribers", {"subscriber_id": "s9", "account_id": "alice", "identities": ["e164:9"]}
    ),
    "change of a subscriber": Call("PATCH", "/subscribers/s1", {"identities": ["e164:49301", "imsi:262011234567890"]}),
    "porting": Call("POST", "/subscribers/s1/ports", {"identity": "e164:49302", "giver": "s2"}),
    "contact": Call("PUT", "/accounts/alice/contact", {"mail": "alice@example.net"}),
    "state": Call("PUT", "/accounts/alice/state", {"state": "suspended", "block": "test"}),
}
TAGGED: dict[str, tuple[str, list[dict[str, Any]]]] = {
    "limits": ("/accounts/alice/limits", [{"credit_limit": f"{n}.00"} for n in (1, 2)]),
    "state": ("/accounts/alice/state", [{"state": "suspended", "block": name} for name in ("a", "b")]),
    "plan": ("/accounts/alice/plan", [{"rate_plan": "retail-eur", "at": at} for at in ("once", "cycle_end")]),
    "contact": ("/accounts/alice/contact", [{"mail": f"{name}@example.net"} for name in ("a", "b")]),
    "subscriber": ("/subscribers/s1", [ONE, {**ONE, "password": "other"}]),
}


class Daemons(NamedTuple):
    """A client of each process, with the same key."""

    one: httpx.AsyncClient
    two: httpx.AsyncClient

    async def send(self, place: int, call: Call, **headers: str) -> httpx.Response:
        """As docs/api.md says: after a 503 the outcome is not known, and the same key is sent again."""
        for _ in range(TRIES_MAX):
            answer = await self[place % 2].request(call.method, call.path, json=call.body, headers=headers)
            if answer.status_code != 503:
                break
            await asyncio.sleep(0.02)
        return answer


@pytest.fixture
async def daemons(tmp_path: Path, project_root: Path, valkey_url: str, billing_dsn: str) -> AsyncIterator[Daemons]:
    """Both ready; alice and bob have accounts, alice has 10.00 and two subscribers."""
    served = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        served.append(ServedOcs(tmp_path / name, project_root, valkey_url, postgres_dsn=billing_dsn))
    try:
        for each in served:
            each.wait_ready()
        first = next(each for each in served if each.has_key)
        async with first.api() as one, first.api() as two:
            one.base_url = httpx.URL(f"{served[0].url}/v1")
            two.base_url = httpx.URL(f"{served[1].url}/v1")
            both = Daemons(one, two)
            prepared = [
                Call("POST", "/accounts", ACCOUNT),
                Call("POST", "/accounts", {**ACCOUNT, "account_id": "bob"}),
                Call("POST", "/accounts/alice/top-ups", {"amount": "10.00", "currency": "EUR"}),
                Call("POST", "/subscribers", {"subscriber_id": "s1", **ONE}),
                Call("POST", "/subscribers", {"subscriber_id": "s2", **TWO}),
            ]
            for number, call in enumerate(prepared):
                answer = await both.send(0, call, **{"Idempotency-Key": f"first{number}"})
                assert answer.is_success, answer.text
            yield both
    finally:
        for each in served:
            each.stop()


async def test_one_key_sent_to_both_is_one_operation(daemons: Daemons) -> None:
    """Each change, several times to both processes at the same moment: it is done once, and all are told the same."""
    for name, call in CHANGES.items():
        key = {"Idempotency-Key": f"k {name}".replace(" ", "-")}
        answers = await asyncio.gather(*(daemons.send(place, call, **key) for place in range(2 * EACH)))
        assert {answer.is_success for answer in answers} == {True}, (name, [answer.text for answer in answers])
        replayed = [answer.headers.get("Idempotency-Replayed") for answer in answers]
        assert replayed.count(None) <= 1, name  # none: its answer was the one that a 503 has eaten
        bodies = [answer.json() for answer in answers]
        told = [body.get("entry_number", body) for body in bodies]
        assert told == [told[0]] * len(told), name
        other = call._replace(body={**call.body, **_otherwise(call.body)})
        refused = await daemons.send(1, other, **key)
        assert (refused.status_code, refused.json()["type"]) == (422, "/problems/idempotency-key-reused"), name
    account = (await daemons.two.get("/accounts/alice")).json()
    assert account["balance"] == "10.70"  # 10.00 + 1.10 - 0.30 - 0.10
    assert (await daemons.one.get("/accounts/bob")).json()["balance"] == "0.10"


def _otherwise(body: dict[str, Any]) -> dict[str, Any]:
    """Another content for the same key."""
    for field, value in (
        ("amount", "0.01"), ("credit_limit", "7.00"), ("block", "another"), ("at", "once"), ("mail", "b@example.net"),
        ("low_balance", "2.00"), ("identity", "e164:49303"), ("identities", ["e164:49309"]),
    ):  # fmt: skip
        if field in body:
            return {field: value}
    raise AssertionError(body)


async def test_of_changes_with_one_tag_one_wins(daemons: Daemons) -> None:
    """Different changes of what both clients have read, to both processes at once: one is made, the others are told (412)."""
    for name, (path, bodies) in TAGGED.items():
        tag = (await daemons.one.get(path)).headers["ETag"]
        answers = await asyncio.gather(
            *(
                daemons.send(
                    place,
                    Call("PUT", path, bodies[place % 2]),
                    **{"If-Match": tag, "Idempotency-Key": f"{name}{place}"},
                )
                for place in range(2 * EACH)
            )
        )
        statuses = sorted(answer.status_code for answer in answers)
        assert statuses == [200] + [412] * (2 * EACH - 1), (name, [answer.text for answer in answers])
        winner = next(place for place, answer in enumerate(answers) if answer.status_code == 200)
        late = Call("PUT", path, bodies[winner % 2])
        again = await daemons.send(winner + 1, late, **{"If-Match": tag, "Idempotency-Key": f"{name}{winner}"})
        assert (again.status_code, again.headers["Idempotency-Replayed"]) == (200, "true"), name
