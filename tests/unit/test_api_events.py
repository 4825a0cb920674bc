"""Events, contacts and messages over HTTP."""

from __future__ import annotations

from typing import Any

import pytest

from ocs.api.keys import Scope
from ocs.api.schemas import instant
from ocs.charging.account_events import AccountEvent
from ocs.delivery.queue import Letter, Message
from tests.unit.api_world import NOW_MS, World, make_world

BODY = {"account_id": "alice", "currency": "EUR", "rate_plan": "retail-eur"}
CONTACT = {"mail": "alice@example.net", "phone": "+4915112345678", "language": "de", "time_zone": "Europe/Berlin"}


@pytest.fixture
async def world() -> World:
    """Alice's account, and an administrator."""
    world = make_world()
    await world.login(Scope.ADMIN)
    await world.post("/v1/accounts", BODY)
    return world


async def test_a_contact_is_put_and_read(world: World) -> None:
    """Empty until somebody says; put as a whole."""
    empty = (await world.client.get("/v1/accounts/alice/contact")).json()
    texts = dict.fromkeys(("mail", "phone", "language", "time_zone", "quiet_begins", "quiet_ends"), "")
    assert empty == {"account_id": "alice", "muted": [], **texts}
    put = await world.client.put("/v1/accounts/alice/contact", json={**CONTACT, "muted": ["top_up"]})
    assert put.json() == empty | CONTACT | {"muted": ["top_up"]}
    await world.client.put("/v1/accounts/alice/contact", json=CONTACT)
    assert (await world.client.get("/v1/accounts/alice/contact")).json()["muted"] == []


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("mail", "alice"),
        ("phone", "0151"),
        ("language", "German"),
        ("time_zone", "Mars"),
        ("muted", ["rain"]),
        ("quiet_begins", "late"),
        ("quiet_ends", "07:00"),
    ],
)
async def test_a_wrong_contact_is_refused(world: World, field: str, value: Any) -> None:
    """422, and the field is named."""
    answer = await world.client.put("/v1/accounts/alice/contact", json={**CONTACT, field: value})
    assert (answer.status_code, answer.json()["errors"][0]["field"].strip(".")) == (422, field)
    assert world.deliveries.contacts == {}


async def test_a_contact_is_put_once_for_a_key(world: World) -> None:
    """A late repeat of an old change does not undo a newer one, and another change under the key is refused."""

    async def put(key: str, **fields: str) -> tuple[int, str, str]:
        headers = {"Idempotency-Key": key}
        answer = await world.client.put("/v1/accounts/alice/contact", json=CONTACT | fields, headers=headers)
        return answer.status_code, answer.json().get("mail", ""), answer.headers.get("Idempotency-Replayed", "")

    assert await put("one", mail="one@example.net") == (200, "one@example.net", "")
    assert await put("two", mail="two@example.net") == (200, "two@example.net", "")
    assert await put("one", mail="one@example.net") == (200, "two@example.net", "true")
    assert (await put("one", mail="three@example.net"))[0] == 422
    assert world.deliveries.contacts["alice"].mail == "two@example.net"


async def test_a_contact_needs_an_account(world: World) -> None:
    """404 for both."""
    assert (await world.client.put("/v1/accounts/bob/contact", json=CONTACT)).status_code == 404
    assert (await world.client.get("/v1/accounts/bob/contact")).status_code == 404


def event(account_id: str, number: int, event_type: str = "low_balance") -> AccountEvent:
    return AccountEvent(account_id, number, event_type, NOW_MS + number, "EUR", 0, {"balance": "450000000"})


async def test_events_come_page_by_page_newest_first(world: World) -> None:
    """All pages together are all events; amounts are decimal strings."""
    world.deliveries.happened = [event("alice.b:c", number) for number in range(5, 0, -1)]
    seen, cursor = [], ""
    while True:
        page = (await world.client.get("/v1/events", params={"limit": 2, "cursor": cursor})).json()
        seen += page["events"]
        if not (cursor := page["next_cursor"]):
            break
    assert [each["data"]["entry_number"] for each in seen] == [5, 4, 3, 2, 1]
    assert seen[0]["data"]["balance"] == "0.45"
    assert len({each["id"] for each in seen}) == 5


async def test_events_of_one_account_and_type(world: World) -> None:
    """Filters, and a type that there is not."""
    world.deliveries.happened = [event("alice", 3), event("bob", 2), event("alice", 1, "top_up")]
    found = (await world.client.get("/v1/accounts/alice/events", params={"type": "top_up"})).json()["events"]
    assert [each["data"]["entry_number"] for each in found] == [1]
    span = {"at_from": instant(NOW_MS + 2), "at_to": instant(NOW_MS + 3), "limit": "1"}
    found = (await world.client.get("/v1/events", params=span)).json()
    assert ([each["data"]["entry_number"] for each in found["events"]], found["next_cursor"]) == ([2], "")
    wrong = await world.client.get("/v1/events", params={"type": "rain"})
    assert (wrong.status_code, wrong.json()["errors"][0]["field"]) == (422, "type")


@pytest.mark.parametrize("cursor", ["x", "1", "1.x.alice", "99999999999999999999.1.a", "1.1\x00", "-1.1.a"])
@pytest.mark.parametrize("path", ["/v1/events"])
async def test_a_cursor_that_is_not_ours_is_refused(world: World, path: str, cursor: str) -> None:
    """422, and the field is named."""
    answer = await world.client.get(path, params={"cursor": cursor})
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "cursor")


async def test_messages_are_listed_and_replayed(world: World) -> None:
    """By state, page by page; only those that there are go out once more."""
    world.deliveries.queue = [
        Message(
            letter=Letter(message_id=f"m{number}", channel="mail", receiver="a@b.c", kind="invoice", values={}),
            state="dead" if number % 2 else "arrived",
            attempts=1,
            due_at_ms=NOW_MS,
            made_at_ms=NOW_MS + number,
            finished_at_ms=NOW_MS,
            error="550 no",
        )
        for number in range(4, 0, -1)
    ]
    first = (await world.client.get("/v1/messages", params={"state": "dead", "limit": 1})).json()
    rest = (await world.client.get("/v1/messages", params={"state": "dead", "cursor": first["next_cursor"]})).json()
    assert [each["message_id"] for each in first["messages"] + rest["messages"]] == ["m3", "m1"]
    assert (first["messages"][0]["error"], rest["next_cursor"]) == ("550 no", "")
    span = {"made_from": instant(NOW_MS + 2), "made_to": instant(NOW_MS + 4), "limit": "1"}
    first = (await world.client.get("/v1/messages", params=span)).json()
    rest = (await world.client.get("/v1/messages", params={**span, "cursor": first["next_cursor"]})).json()
    assert [each["message_id"] for each in first["messages"] + rest["messages"]] == ["m3", "m2"]
    done = await world.post("/v1/message-replays", {"message_ids": ["m1", "m9"]})
    assert (done.status_code, done.json()) == (202, {"message_ids": ["m1"]})
