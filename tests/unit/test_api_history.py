"""CDRs and journal over HTTP: what billing wrote, in words and decimals, page by page."""

from __future__ import annotations

import msgspec
import pytest

from balance.account import Account, AccountState, Bucket, Hold
from ocs.api.keys import Scope
from ocs.billing.cdrs import CdrRow, JournalRow
from ocs.billing.search import FAR_FUTURE_MS, CdrQuery
from ocs.charging.cdr import CdrFlag, CdrGroup
from ocs.rating.price import Price
from ocs.rating.units import UnitKind
from tests.unit.api_world import NOW_MS, World, make_world

PER_MINUTE = Price(UnitKind.SECONDS, 0, 60, 60, 300_000_000, 300_000_000, 60)


def cdr(number: int) -> CdrRow:
    """A call of 90 s to Germany."""
    group = CdrGroup(-1, (), UnitKind.SECONDS, 90, 600_000_000, "voice", "Germany", "49", "decks/r.csv:3", PER_MINUTE)
    return CdrRow(
        account_id="alice",
        entry_number=number,
        session_id=f"s{number}",
        protocol="gy",
        peer="sbc1",
        subscriber="s1",
        service="voice",
        origin="",
        destination="4930",
        started_at_ms=NOW_MS,
        ended_at_ms=NOW_MS + 90_000,
        cost=600_000_000,
        currency="EUR",
        rate_version="abc",
        flags=int(CdrFlag.OVERUSED | CdrFlag.CLOCK_ADJUSTED),
        cause="16",
        groups=(group,),
        details={"release-source": "2"},
        rate_plan="retail-eur",
        whereabouts="26202",
    )


def entry(number: int) -> JournalRow:
    """A top-up of ten."""
    return JournalRow(
        account_id="alice",
        entry_number=number,
        at_ms=NOW_MS,
        kind="top_up",
        currency="EUR",
        amount=10**10,
        changes=(Hold(0, 10**10),),
        reference="k1",
        actor="api:abc",
        reason="voucher",
    )


def account(account_id: str) -> Account:
    """A subscriber's account on the sample's plan."""
    return Account(account_id, 1, "EUR", "retail-eur", AccountState.ACTIVE, 0, 0, 1, (Bucket(0, 0),), NOW_MS)


@pytest.fixture
async def world() -> World:
    """A world with five CDRs and five entries, and a key that may read them."""
    world = make_world()
    world.history.cdrs = [cdr(number) for number in range(1, 6)]
    world.history.journal = [entry(number) for number in range(1, 6)]
    await world.login(Scope.CDRS_READ)
    return world


async def test_a_cdr_says_how_its_price_came_about(world: World) -> None:
    """Amounts as decimals, flags as words, and the explanation only when it is asked for."""
    plain = (await world.client.get("/v1/accounts/alice/cdrs?limit=1")).json()["cdrs"][0]
    explained = (await world.client.get("/v1/accounts/alice/cdrs?limit=1&explain=true")).json()["cdrs"][0]

    groups = plain.pop("groups")
    assert plain == {
        "account_id": "alice",
        "entry_number": 5,
        "session_id": "s5",
        "protocol": "gy",
        "peer": "sbc1",
        "subscriber": "s1",
        "service": "voice",
        "origin": "",
        "destination": "4930",
        "started_at": "2026-01-01T00:00:00.000Z",
        "ended_at": "2026-01-01T00:01:30.000Z",
        "cost": "0.60",
        "currency": "EUR",
        "rate_plan": "retail-eur",
        "whereabouts": "26202",
        "rate_version": "abc",
        "cause": "16",
        "flags": ["overused", "clock_adjusted"],
        "details": {"release-source": "2"},
    }
    assert groups == [
        {
            "rating_group": None,
            "service_ids": [],
            "unit": "seconds",
            "used": 90,
            "cost": "0.60",
            "tariff": "voice",
            "destination": "Germany",
            "prefix": "49",
            "source": "decks/r.csv:3",
            "since": None,
            "whereabouts": "",
            "explanation": [],
        }
    ]
    assert explained["groups"][0]["explanation"][-1] == "0.60 EUR in all"


async def test_a_journal_entry_says_who_did_what(world: World) -> None:
    """With the change per bucket and the caller's key as reference."""
    page = (await world.client.get("/v1/accounts/alice/journal?limit=1")).json()

    assert page["entries"] == [
        {
            "entry_number": 5,
            "at": "2026-01-01T00:00:00.000Z",
            "kind": "top_up",
            "currency": "EUR",
            "amount": "10.00",
            "changes": [{"bucket_id": 0, "amount": "10.00"}],
            "units": [],
            "reference": "k1",
            "actor": "api:abc",
            "reason": "voucher",
        }
    ]


@pytest.mark.parametrize(("what", "items"), [("cdrs", "cdrs"), ("journal", "entries")])
async def test_pages_follow_each_other_without_gap(world: World, what: str, items: str) -> None:
    """The cursor of each page leads to the next, until it is empty."""
    numbers, cursor = [], ""
    while True:
        page = (await world.client.get(f"/v1/accounts/alice/{what}", params={"limit": 2, "cursor": cursor})).json()
        numbers += [item["entry_number"] for item in page[items]]
        cursor = page["next_cursor"]
        if not cursor:
            break

    assert numbers == [5, 4, 3, 2, 1]


@pytest.mark.parametrize("what", ["cdrs", "journal"])
async def test_a_cursor_of_somebody_else_is_refused(world: World, what: str) -> None:
    """With the field's name."""
    answer = await world.client.get(f"/v1/accounts/alice/{what}?cursor=x")

    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "cursor")


@pytest.mark.parametrize(
    ("query", "asked"),
    [
        ("", (0, FAR_FUTURE_MS)),
        ("?started_from=2026-01-01T00:00:00Z", (NOW_MS, FAR_FUTURE_MS)),
        ("?started_to=2026-01-01t01:00:00.0005%2B01:00", (0, NOW_MS)),
    ],
)
async def test_the_interval_is_passed_on_in_milliseconds(world: World, query: str, asked: tuple[int, int]) -> None:
    """Open ends are open; offsets are understood; what is finer than a millisecond is cut."""
    assert (await world.client.get(f"/v1/accounts/alice/cdrs{query}")).status_code == 200

    assert world.history.asked == [asked]


async def test_one_cdr_is_explained(world: World) -> None:
    """[R] Price, parts that add up, buckets that paid, and what was in question by the rates of now."""
    world.accounts.accounts["alice"] = account("alice")
    found = (await world.client.get("/v1/accounts/alice/cdrs/3")).json()

    (group,) = found["groups"]
    assert [part["amount"] for part in group["parts"]] == ["0.60"]
    assert (group["billed"], group["price"]["rate"], group["rating_group"]) == (120, "0.30", None)
    assert "billed is every started 60 s" in group["price_words"]
    assert found["buckets"] == [{"bucket_id": 0, "amount": "10.00"}]
    assert found["cdr"]["groups"][0]["explanation"][-1] == "0.60 EUR in all"
    assert group["candidates"][0]["outcome"] == "applies: the longest prefix in force"
    assert group["note"].startswith("priced by version abc; what was in question is shown as version ")


async def test_a_cdr_is_explained_by_its_own_plan(world: World) -> None:
    """[R] The plan that it was rated by, whatever the account has by now, and even if there is no account."""
    (group,) = (await world.client.get("/v1/accounts/alice/cdrs/3")).json()["groups"]
    assert group["candidates"][0]["is_chosen"]


async def test_an_old_cdr_of_an_unknown_account_is_explained_without_candidates(world: World) -> None:
    """The price is in the record; only what else was in question is not known."""
    world.history.cdrs = [msgspec.structs.replace(each, rate_plan="") for each in world.history.cdrs]
    (group,) = (await world.client.get("/v1/accounts/alice/cdrs/3")).json()["groups"]
    assert (group["candidates"], group["note"]) == ([], "the account's plan and the rates of now are not known here")


@pytest.mark.parametrize("number", ["99", "0", "-1", str(2**63)])
async def test_a_cdr_that_is_not_there(world: World, number: str) -> None:
    """404 with a problem of its own."""
    answer = await world.client.get(f"/v1/accounts/alice/cdrs/{number}")
    assert (answer.status_code, answer.json()["type"]) == (404, "/problems/cdr-unknown")


async def test_records_are_searched_by_all_that_is_said(world: World) -> None:
    """Each parameter reaches the query, a page has its cursor, and a cursor that is not ours is refused."""
    answer = await world.client.get(
        "/v1/cdrs?number=4930*&destination=Germany&session_id=s1&service=voice&account_id=alice&limit=2"
        "&started_from=2026-01-01T00:00:00Z"
    )
    page = answer.json()
    assert [(each["account_id"], each["entry_number"]) for each in page["cdrs"]] == [("alice", 5), ("alice", 4)]
    assert world.history.queries == [
        CdrQuery(
            account_id="alice", number="4930*", destination="Germany", session_id="s1", service="voice", since_ms=NOW_MS
        )
    ]
    assert len((await world.client.get(f"/v1/cdrs?cursor={page['next_cursor']}")).json()["cdrs"]) == 3
    assert (await world.client.get("/v1/cdrs?cursor=x")).status_code == 422
