"""Accounts over HTTP: create, read, pay in, adjust, suspend; and every way to get it wrong."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from balance.account import NO_LIMIT, Bucket, Counter, Places
from balance.money import AMOUNT_MAX
from ocs.api.idempotency import REPLAYED_HEADER
from ocs.api.keys import Scope
from tests.unit.api_world import NOW_MS, World, make_world

ALICE = {"account_id": "alice", "currency": "EUR", "rate_plan": "retail-eur"}


@pytest.fixture
async def world() -> World:
    """A world where the client may do everything and alice has an empty account."""
    world = make_world()
    await world.login(Scope.ADMIN)
    assert (await world.post("/v1/accounts", ALICE)).status_code == 201
    return world


async def test_a_new_account_is_empty_and_can_be_read(world: World) -> None:
    """What was created is what is read, at the address in Location."""
    created = await world.post(
        "/v1/accounts", {**ALICE, "account_id": "bob", "credit_limit": "5", "low_balance": "1.5"}
    )

    read = await world.client.get(created.headers["Location"])

    assert read.json() == created.json()
    assert read.json() == {
        "account_id": "bob",
        "currency": "EUR",
        "rate_plan": "retail-eur",
        "state": "active",
        "balance": "0.00",
        "reserved": "0.00",
        "available": "5.00",
        "credit_limit": "5.00",
        "low_balance": "1.50",
        "buckets": [
            {
                "bucket_id": 0,
                "balance": "0.00",
                "reserved": "0.00",
                "priority": 100,
                "source": "paid",
                "expires_at": None,
                "expired": False,
            }
        ],
        "units": [],
        "counters": [],
        "subscriptions": [],
        "calls": [],
        "caps": [],
        "time_zone": "",
        "cycle_day": 0,
        "created_at": "2026-01-01T00:00:00.000Z",
        "blocks": [],
        "stage": None,
        "stage_ends_at": None,
        "next_rate_plan": None,
        "plan_changes_at": None,
        "merged_into": None,
        "reseller": None,
    }


@pytest.mark.parametrize(
    ("change", "status", "slug"),
    [
        ({"account_id": "alice"}, 409, "account-exists"),
        ({"currency": "QQQ"}, 422, "currency-unknown"),
        ({"rate_plan": "nope"}, 422, "rate-plan-unknown"),
        ({"reseller": "nobody"}, 422, "reseller-unknown"),
        ({"account_id": "a b"}, 422, "invalid"),
        ({"account_id": "a{p1}"}, 422, "invalid"),
        ({"account_id": ""}, 422, "invalid"),
        ({"account_id": "a" * 65}, 422, "invalid"),
        ({"currency": "eur"}, 422, "invalid"),
        ({"credit_limit": "-1"}, 422, "invalid"),
        ({"low_balance": "ten"}, 422, "invalid"),
        ({"credit_limt": "1"}, 422, "invalid"),
    ],
)
async def test_an_account_that_cannot_be(world: World, change: dict[str, str], status: int, slug: str) -> None:
    """Every fault has its problem, and no account comes of it."""
    answer = await world.post("/v1/accounts", {**ALICE, "account_id": "bob", **change})

    assert (answer.status_code, answer.json()["type"]) == (status, f"/problems/{slug}")
    assert list(world.accounts.accounts) == ["alice"]


async def test_a_top_up_is_paid_in_once(world: World) -> None:
    """The repeat gets the same outcome, marked as a replay, and the balance stays."""
    body = {"amount": "12.30", "currency": "EUR", "reason": "voucher 17"}

    first = await world.post("/v1/accounts/alice/top-ups", body, "k1")
    second = await world.post("/v1/accounts/alice/top-ups", body, "k1")
    quoted = await world.post("/v1/accounts/alice/top-ups", body, '"k1"')

    assert [answer.status_code for answer in (first, second, quoted)] == [200, 200, 200]
    assert REPLAYED_HEADER not in first.headers
    assert second.headers[REPLAYED_HEADER] == quoted.headers[REPLAYED_HEADER] == "true"
    assert first.json()["entry_number"] == second.json()["entry_number"] == 2
    assert [answer.json()["account"]["balance"] for answer in (first, second)] == ["12.30", "12.30"]
    assert (first.json()["replayed"], second.json()["replayed"]) == (False, True)


async def test_a_key_names_one_intent_only(world: World) -> None:
    """The same key with another amount is refused and changes nothing."""
    await world.post("/v1/accounts/alice/top-ups", {"amount": "1", "currency": "EUR"}, "k1")

    other = await world.post("/v1/accounts/alice/top-ups", {"amount": "2", "currency": "EUR"}, "k1")

    assert (other.status_code, other.json()["type"]) == (422, "/problems/idempotency-key-reused")
    assert (await world.client.get("/v1/accounts/alice")).json()["balance"] == "1.00"


@pytest.mark.parametrize("key", ["", '""', "a b", "x" * 129, "\x07"])
@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "top-ups", {"amount": "1", "currency": "EUR"}),
        ("POST", "adjustments", {"amount": "-1", "currency": "EUR", "reason": "r"}),
        ("PUT", "state", {"state": "suspended"}),
    ],
)
async def test_no_change_without_a_usable_key(
    world: World, method: str, path: str, body: dict[str, str], key: str
) -> None:
    """Whatever changes an account needs an Idempotency-Key of visible characters."""
    before = world.accounts.accounts["alice"]

    answer = await world.client.request(
        method, f"/v1/accounts/alice/{path}", json=body, headers={"Idempotency-Key": key} if key else {}
    )

    assert (answer.status_code, answer.json()["type"]) == (400, "/problems/idempotency-key-missing")
    assert world.accounts.accounts["alice"] is before


@pytest.mark.parametrize(
    ("body", "status", "slug", "words"),
    [
        ({"amount": 12.3}, 422, "invalid", "JSON string"),
        ({"amount": 12}, 422, "invalid", "JSON string"),
        ({"amount": None}, 422, "invalid", "amount"),
        ({"amount": "1e3"}, 422, "invalid", "decimal"),
        ({"amount": " 1"}, 422, "invalid", "decimal"),
        ({"amount": "1,50"}, 422, "invalid", "decimal"),
        ({"amount": "0.0000000001"}, 422, "invalid", "decimals"),
        ({"amount": "99999999999"}, 422, "invalid", "63 bits"),
        ({"amount": "9" * 41}, 422, "invalid", "amount"),
        ({"amount": "0"}, 422, "invalid", "more than zero"),
        ({"amount": "-1"}, 422, "invalid", "more than zero"),
        ({"currency": "USD"}, 422, "currency-mismatch", "EUR"),
        ({"currency": "QQQ"}, 422, "currency-unknown", "QQQ"),
        ({"bucket": {"priority": -1}}, 422, "invalid", "bucket.priority"),
        ({"bucket": {"expires_at": "2027-01-01T00:00:00"}}, 422, "invalid", "offset"),
        ({"bucket": {"expires_at": "2027-13-01T00:00:00Z"}}, 422, "invalid", "month"),
        ({"bucket": {"expires_at": 1893456000}}, 422, "invalid", "bucket.expires_at"),
        ({"amonut": "1"}, 422, "invalid", "amonut"),
    ],
)
async def test_a_top_up_that_cannot_be(world: World, body: dict[str, Any], status: int, slug: str, words: str) -> None:
    """Every fault has its problem with the words that help, and no money moves."""
    answer = await world.post("/v1/accounts/alice/top-ups", {"amount": "1", "currency": "EUR"} | body, "k1")

    problem = answer.json()
    assert (answer.status_code, problem["type"]) == (status, f"/problems/{slug}")
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert words in problem["detail"]
    assert world.accounts.accounts["alice"].buckets[0].balance == 0


async def test_the_smallest_kept_unit_is_not_lost(world: World) -> None:
    """Nine decimals go in and come out; nothing is rounded."""
    answer = await world.post("/v1/accounts/alice/top-ups", {"amount": "0.000000001", "currency": "EUR"}, "k1")

    assert answer.json()["account"]["balance"] == "0.000000001"


async def test_a_balance_beyond_63_bits_is_refused(world: World) -> None:
    """The problem says so, and the balance stays at what fits."""
    most = "9223372036.854775807"
    assert (
        await world.post("/v1/accounts/alice/top-ups", {"amount": most, "currency": "EUR"}, "k1")
    ).status_code == 200

    answer = await world.post("/v1/accounts/alice/top-ups", {"amount": "0.000000001", "currency": "EUR"}, "k2")

    assert (answer.status_code, answer.json()["type"]) == (422, "/problems/amount-too-large")
    assert world.accounts.accounts["alice"].buckets[0].balance == AMOUNT_MAX


async def test_a_currency_without_decimals_is_printed_without(world: World) -> None:
    """Yen have no sen on an invoice."""
    created = await world.post(
        "/v1/accounts", {**ALICE, "account_id": "yuki", "currency": "JPY", "credit_limit": "100"}
    )

    assert created.json()["available"] == "100"


async def test_money_with_an_expiry_goes_into_a_bucket_of_its_own(world: World) -> None:
    """Priority and expiry are kept; the offset is understood."""
    bucket = {"priority": 10, "expires_at": "2026-02-01T01:00:00+01:00"}

    answer = await world.post("/v1/accounts/alice/top-ups", {"amount": "3", "currency": "EUR", "bucket": bucket}, "k1")

    assert answer.json()["account"]["buckets"][1] == {
        "bucket_id": 1,
        "balance": "3.00",
        "reserved": "0.00",
        "priority": 10,
        "source": "paid",
        "expires_at": "2026-02-01T00:00:00.000Z",
        "expired": False,
    }


async def test_expired_money_is_shown_but_does_not_count(world: World) -> None:
    """A bucket is valid up to, and not including, its expiry; reservations and credit limit enter what is available."""
    account = world.accounts.accounts["alice"]
    world.accounts.accounts["alice"] = msgspec.structs.replace(
        account,
        credit_limit=10**9,
        buckets=(
            Bucket(0, 5 * 10**9, 2 * 10**9),
            Bucket(1, 7 * 10**9, 0, 10, NOW_MS),
            Bucket(2, 10**9, 0, 10, NOW_MS + 1),
        ),
    )

    view = (await world.client.get("/v1/accounts/alice")).json()

    assert (view["balance"], view["reserved"], view["available"]) == ("6.00", "2.00", "5.00")
    assert [bucket["expired"] for bucket in view["buckets"]] == [False, True, False]


async def test_94_counters_are_shown(world: World) -> None:
    """What is counted in a period, tier by tier, beside the account's own zone and billing cycle."""
    bob = {**ALICE, "account_id": "bob", "time_zone": "Asia/Tokyo", "cycle_day": 15}
    assert (await world.post("/v1/accounts", bob)).status_code == 201
    account = world.accounts.accounts["bob"]
    assert account.extras is not None
    counter = Counter(-1, "minutes", NOW_MS + 1000, (Places(60, 50, 10), Places(NO_LIMIT, 5, status="slow")))
    extras = msgspec.structs.replace(account.extras, counters=(counter,))
    world.accounts.accounts["bob"] = msgspec.structs.replace(account, extras=extras)

    view = (await world.client.get("/v1/accounts/bob")).json()

    assert (view["time_zone"], view["cycle_day"]) == ("Asia/Tokyo", 15)
    assert view["counters"] == [
        {
            "counter": "minutes",
            "ends_at": "2026-01-01T00:00:01.000Z",
            "used": 55,
            "reserved": 10,
            "tiers": [{"size": 60, "used": 50, "reserved": 10}, {"size": None, "used": 5, "reserved": 0}],
            "status": "slow",
        }
    ]


async def test_a_package_is_bought_and_shown(world: World) -> None:
    """Its bucket of units is in the account; no money and no such package have their own problems."""
    path = "/v1/accounts/alice/packages"
    poor = await world.post(path, {"package": "Starter"}, "k1")
    unknown = await world.post(path, {"package": "Nothing"}, "k2")
    assert [(each.status_code, each.json()["type"]) for each in (poor, unknown)] == [
        (409, "/problems/not-enough-money"),
        (422, "/problems/package-unknown"),
    ]
    await world.post("/v1/accounts/alice/top-ups", {"amount": "1", "currency": "EUR"}, "k3")
    bought = await world.post(path, {"package": "Starter", "reason": "web shop"}, "k4")
    assert bought.json()["account"]["units"] == [
        {
            "bucket_id": 7,
            "bundle": "minutes",
            "unit": "seconds",
            "balance": 60,
            "reserved": 20,
            "size": 100,
            "priority": 10,
            "source": "paid",
            "expires_at": "2026-01-01T00:00:01.000Z",
            "expired": False,
        }
    ]


async def test_an_account_is_created_once_for_a_key(world: World) -> None:
    """The repeat is told what is there now; another account under the key, and another key, are refused."""
    body = {"account_id": "bob", "currency": "EUR", "rate_plan": "retail-eur"}
    first, again = [await world.post("/v1/accounts", body, "k1") for _ in range(2)]
    other = await world.post("/v1/accounts", {**body, "low_balance": "1.00"}, "k1")
    late = await world.post("/v1/accounts", body, "k2")
    assert (first.status_code, again.status_code, again.headers["Idempotency-Replayed"]) == (201, 201, "true")
    assert (first.json(), first.headers["Location"]) == (again.json(), again.headers["Location"])
    assert (other.status_code, other.json()["type"]) == (422, "/problems/idempotency-key-reused")
    assert (late.status_code, late.json()["type"]) == (409, "/problems/account-exists")


async def test_a_state_is_changed_if_it_is_still_so(world: World) -> None:
    """412 with the tag of before; the tag of the state does not change with what is paid in."""
    path = "/v1/accounts/alice/state"
    read = await world.client.get(path)
    assert read.json() == {"state": "active", "blocks": [], "stage": None, "stage_ends_at": None}
    await world.post("/v1/accounts/alice/top-ups", {"amount": "1", "currency": "EUR"}, "k1")

    async def suspend(key: str, tag: str) -> int:
        headers = {"Idempotency-Key": key, "If-Match": tag}
        return (await world.client.put(path, json={"state": "suspended"}, headers=headers)).status_code

    assert await suspend("k2", '"00000000"') == 412
    assert await suspend("k3", read.headers["ETag"]) == 200
    assert await suspend("k4", read.headers["ETag"]) == 412
    assert (await world.client.get(path)).json()["state"] == "suspended"


async def test_a_reseller_is_changed(world: World) -> None:
    """Given, taken away, with the tag of what was read; what cannot be is told with its cure."""
    await world.post("/v1/accounts", {**ALICE, "account_id": "acme"})
    path = "/v1/accounts/alice/reseller"
    tag = (await world.client.get("/v1/accounts/alice")).headers["ETag"]
    for key, name, headers, expected in (
        ("k1", "nobody", {}, (422, "/problems/reseller-unknown")),
        ("k2", "alice", {}, (422, "/problems/reseller-in-circle")),
        ("k3", "acme", {"If-Match": tag}, (200, "acme")),
        ("k3", "acme", {"If-Match": tag}, (200, "acme")),
        ("k4", None, {"If-Match": tag}, (412, "/problems/precondition-failed")),
        ("k5", None, {}, (200, None)),
    ):
        body, sent = {"reseller": name, "reason": "contract"}, {"Idempotency-Key": key, **headers}
        answer = await world.client.put(path, json=body, headers=sent)
        told = answer.json().get("type") or answer.json()["account"]["reseller"]
        assert (answer.status_code, told) == expected, key
    noted = [each for each in world.trail.entries if each.action == "change_reseller"]
    assert [(each.before, each.after) for each in noted] == [
        ({"reseller": None}, {"reseller": "acme"}),
        ({"reseller": "acme"}, {"reseller": None}),
    ]


async def test_limits_are_set_and_shown(world: World) -> None:
    """Credit limit, calls and caps in one request; what is wrong is named."""
    path = "/v1/accounts/alice/limits"
    body = {
        "credit_limit": "20",
        "calls": [{"service": "voice", "at_once": 2}],
        "caps": [{"name": "roaming", "every": "month", "most": "50.00"}],
    }
    key = "Idempotency-Key"
    view = (await world.client.put(path, json=body, headers={key: "k1"})).json()["account"]
    assert view["credit_limit"] == "20.00"
    assert view["calls"] == [{"service": "voice", "at_once": 2, "per_second": 0, "open": 1}]
    assert [(each["name"], each["most"], each["spent"]) for each in view["caps"]] == [("roaming", "50.00", "0.00")]
    twice = {"calls": [{"service": "voice"}, {"service": "voice"}]}
    for wrong in (
        {"credit_limit": "-1"},
        twice,
        {"caps": [{"name": "a", "every": "year", "most": "1"}]},
        {"caps": [{"name": "a", "every": "day", "most": "-1"}]},
    ):
        refused = await world.client.put(path, json=wrong, headers={key: "k2"})
        assert refused.status_code in {400, 422}, wrong
        assert next(iter(wrong)) in refused.text


@pytest.mark.parametrize("wrong", [{"time_zone": "Europe/Berlinn"}, {"cycle_day": 32}, {"cycle_day": -1}])
async def test_a_period_that_nobody_knows_is_refused(world: World, wrong: dict[str, Any]) -> None:
    """A zone that does not exist, a day that no month has: the field is named."""
    refused = await world.post("/v1/accounts", {**ALICE, "account_id": "bob", **wrong})
    assert refused.status_code in {400, 422}
    assert next(iter(wrong)) in refused.text


async def test_an_adjustment_has_a_sign_and_a_reason(world: World) -> None:
    """Money can be taken away, below zero too; zero and a missing reason are refused."""
    path = "/v1/accounts/alice/adjustments"

    taken = await world.post(path, {"amount": "-2.5", "currency": "EUR", "reason": "chargeback"}, "k1")
    zero = await world.post(path, {"amount": "0.00", "currency": "EUR", "reason": "r"}, "k2")
    silent = await world.post(path, {"amount": "1", "currency": "EUR"}, "k3")
    empty = await world.post(path, {"amount": "1", "currency": "EUR", "reason": ""}, "k4")

    assert taken.json()["account"]["balance"] == "-2.50"
    assert [answer.status_code for answer in (zero, silent, empty)] == [422, 422, 422]


async def test_a_closed_account_takes_no_more_money(world: World) -> None:
    """Suspend, activate and close; then a top-up is refused, but the repeat of an old one still finds its outcome."""
    top_up = {"amount": "1", "currency": "EUR"}
    await world.post("/v1/accounts/alice/top-ups", top_up, "old")
    states = []
    for number, state in enumerate(("suspended", "active", "closed")):
        answer = await world.client.put(
            "/v1/accounts/alice/state", json={"state": state}, headers={"Idempotency-Key": f"s{number}"}
        )
        states.append(answer.json()["account"]["state"])

    late = await world.post("/v1/accounts/alice/top-ups", top_up, "new")
    repeat = await world.post("/v1/accounts/alice/top-ups", top_up, "old")

    assert states == ["suspended", "active", "closed"]
    assert (late.status_code, late.json()["type"]) == (409, "/problems/account-closed")
    assert (repeat.status_code, repeat.headers[REPLAYED_HEADER]) == (200, "true")


async def test_an_unknown_state_is_refused(world: World) -> None:
    """Only the three states exist."""
    answer = await world.client.put(
        "/v1/accounts/alice/state", json={"state": "paused"}, headers={"Idempotency-Key": "k"}
    )

    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "state")


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "", None),
        ("GET", "/sessions", None),
        ("POST", "/top-ups", {"amount": "1", "currency": "EUR"}),
        ("POST", "/adjustments", {"amount": "1", "currency": "EUR", "reason": "r"}),
        ("PUT", "/state", {"state": "closed"}),
    ],
)
async def test_an_unknown_account_is_404(world: World, method: str, path: str, body: object) -> None:
    """Whatever is asked of it."""
    answer = await world.client.request(
        method, f"/v1/accounts/nobody{path}", json=body, headers={"Idempotency-Key": "k"}
    )

    assert (answer.status_code, answer.json()["type"]) == (404, "/problems/account-unknown")


async def test_the_journal_names_the_key_that_asked(world: World) -> None:
    """The actor of a change is the API key's id, never its secret."""
    await world.post("/v1/accounts/alice/top-ups", {"amount": "1", "currency": "EUR"}, "k1")

    key_id = world.client.headers["Authorization"].split("_")[1]
    assert world.accounts.actors == [f"api:{key_id}", f"api:{key_id}"]


async def test_a_store_that_is_away_is_503(world: World) -> None:
    """The client is told to repeat with the same key, and when."""
    world.accounts.is_away = True

    answer = await world.post("/v1/accounts/alice/top-ups", {"amount": "1", "currency": "EUR"}, "k1")

    assert (answer.status_code, answer.json()["type"]) == (503, "/problems/unavailable")
    assert answer.headers["Retry-After"] == "1"
    assert "same Idempotency-Key" in answer.json()["detail"]
