"""Who may do what, how often, and how keys are kept."""

from __future__ import annotations

import re
import stat
from pathlib import Path
from typing import cast

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.asyncio import Redis

from ocs.api import keys
from ocs.api.app import create_litestar
from ocs.api.keys import Scope, Token, ensure_admin_key, list_keys, new_token, parse_token, revoke_key
from ocs.api.limiter import BURST_S, KEYS_MAX, RateLimiter
from tests.unit.api_world import NOW_MS, World, make_world
from tests.unit.fake_redis import FakeRedis

ROUTES = [
    ("POST", "/v1/accounts", Scope.ACCOUNTS_WRITE),
    ("GET", "/v1/accounts", Scope.ACCOUNTS_READ),
    ("GET", "/v1/accounts/alice", Scope.ACCOUNTS_READ),
    ("GET", "/v1/accounts/alice/balances", Scope.ACCOUNTS_READ),
    ("GET", "/v1/buckets", Scope.ACCOUNTS_READ),
    ("GET", "/v1/counters", Scope.ACCOUNTS_READ),
    ("GET", "/v1/subscriptions", Scope.ACCOUNTS_READ),
    ("GET", "/v1/accounts/alice/limits", Scope.ACCOUNTS_READ),
    ("GET", "/v1/accounts/alice/buckets", Scope.ACCOUNTS_READ),
    ("GET", "/v1/accounts/alice/counters", Scope.ACCOUNTS_READ),
    ("GET", "/v1/accounts/alice/subscriptions", Scope.ACCOUNTS_READ),
    ("GET", "/v1/accounts/alice/price", Scope.ACCOUNTS_READ),
    ("POST", "/v1/accounts/alice/top-ups", Scope.TOPUP),
    ("POST", "/v1/accounts/alice/adjustments", Scope.ACCOUNTS_WRITE),
    ("POST", "/v1/accounts/alice/packages", Scope.ACCOUNTS_WRITE),
    ("POST", "/v1/accounts/alice/subscription-ends", Scope.ACCOUNTS_WRITE),
    ("GET", "/v1/accounts/alice/plan", Scope.ACCOUNTS_READ),
    ("PUT", "/v1/accounts/alice/plan", Scope.ACCOUNTS_WRITE),
    ("PUT", "/v1/accounts/alice/reseller", Scope.ACCOUNTS_WRITE),
    ("PUT", "/v1/accounts/alice/limits", Scope.ACCOUNTS_WRITE),
    ("PUT", "/v1/accounts/alice/state", Scope.ACCOUNTS_WRITE),
    ("GET", "/v1/accounts/alice/state", Scope.ACCOUNTS_READ),
    ("GET", "/v1/accounts/alice/velocity", Scope.ACCOUNTS_READ),
    ("GET", "/v1/accounts/alice/sessions", Scope.ACCOUNTS_READ),
    ("GET", "/v1/sessions", Scope.ACCOUNTS_READ),
    ("POST", "/v1/session-closures", Scope.ACCOUNTS_WRITE),
    ("POST", "/v1/accounts/alice/session-closures", Scope.ACCOUNTS_WRITE),
    ("GET", "/v1/accounts/alice/cdrs", Scope.CDRS_READ),
    ("GET", "/v1/accounts/alice/cdrs/17", Scope.CDRS_READ),
    ("GET", "/v1/accounts/alice/journal", Scope.CDRS_READ),
    ("GET", "/v1/rates", Scope.RATES_READ),
    ("GET", "/v1/rates/explanation?plan=retail-eur&number=49", Scope.RATES_READ),
    ("POST", "/v1/rates/reload", Scope.RATES_WRITE),
    ("POST", "/v1/rates/decks/acme-usd/activations", Scope.RATES_WRITE),
    ("GET", "/v1/diameter/peers", Scope.PEERS_READ),
    ("GET", "/v1/accounts/alice/contact", Scope.ACCOUNTS_READ),
    ("PUT", "/v1/accounts/alice/contact", Scope.ACCOUNTS_WRITE),
    ("GET", "/v1/accounts/alice/events", Scope.EVENTS_READ),
    ("GET", "/v1/events", Scope.EVENTS_READ),
    ("GET", "/v1/messages", Scope.EVENTS_READ),
    ("POST", "/v1/message-replays", Scope.EVENTS_WRITE),
    ("GET", "/v1/audit-log", Scope.AUDIT_READ),
    ("POST", "/v1/subscribers", Scope.ACCOUNTS_WRITE),
    ("POST", "/v1/subscribers/s1/ports", Scope.ACCOUNTS_WRITE),
    ("GET", "/v1/subscribers/s1", Scope.ACCOUNTS_READ),
    ("PUT", "/v1/subscribers/s1", Scope.ACCOUNTS_WRITE),
    ("PATCH", "/v1/subscribers/s1", Scope.ACCOUNTS_WRITE),
    ("DELETE", "/v1/subscribers/s1", Scope.ACCOUNTS_WRITE),
    ("GET", "/v1/subscribers?identity=e164:49", Scope.ACCOUNTS_READ),
    ("GET", "/v1/cdrs", Scope.CDRS_READ),
    ("POST", "/v1/accounts/alice/transfers", Scope.ACCOUNTS_WRITE),
    ("POST", "/v1/accounts/alice/mergers", Scope.ACCOUNTS_WRITE),
    ("POST", "/v1/accounts/alice/redemptions", Scope.TOPUP),
    ("POST", "/v1/accounts/alice/reversals", Scope.ACCOUNTS_WRITE),
    ("POST", "/v1/accounts/alice/checkouts", Scope.TOPUP),
    ("POST", "/v1/accounts/alice/card-refunds", Scope.ACCOUNTS_WRITE),
    ("POST", "/v1/accounts/alice/payment-method-setups", Scope.TOPUP),
    ("GET", "/v1/accounts/alice/payment-methods", Scope.ACCOUNTS_READ),
    ("PUT", "/v1/accounts/alice/payment-methods/pm_1/default", Scope.ACCOUNTS_WRITE),
    ("DELETE", "/v1/accounts/alice/payment-methods/pm_1", Scope.ACCOUNTS_WRITE),
    ("PUT", "/v1/accounts/alice/automatic-top-up", Scope.ACCOUNTS_WRITE),
    ("GET", "/v1/accounts/alice/automatic-top-up", Scope.ACCOUNTS_READ),
    ("DELETE", "/v1/accounts/alice/automatic-top-up", Scope.ACCOUNTS_WRITE),
    ("GET", "/v1/accounts/alice/automatic-top-ups", Scope.ACCOUNTS_READ),
    ("POST", "/v1/customers/bakery/payment-method-setups", Scope.BILLING_WRITE),
    ("GET", "/v1/customers/bakery/payment-methods", Scope.BILLING_READ),
    ("PUT", "/v1/customers/bakery/payment-methods/pm_1/default", Scope.BILLING_WRITE),
    ("DELETE", "/v1/customers/bakery/payment-methods/pm_1", Scope.BILLING_WRITE),
    ("POST", "/v1/customers", Scope.BILLING_WRITE),
    ("GET", "/v1/customers", Scope.BILLING_READ),
    ("GET", "/v1/customers/bakery", Scope.BILLING_READ),
    ("GET", "/v1/customers/bakery/charges", Scope.BILLING_READ),
    ("POST", "/v1/customers/bakery/charges", Scope.BILLING_WRITE),
    ("POST", "/v1/customers/bakery/charges/bakery-line/end", Scope.BILLING_WRITE),
    ("GET", "/v1/customers/bakery/invoice-preview", Scope.BILLING_READ),
    ("GET", "/v1/customers/bakery/payments", Scope.BILLING_READ),
    ("POST", "/v1/customers/bakery/payments", Scope.BILLING_WRITE),
    ("POST", "/v1/customers/bakery/refunds", Scope.BILLING_WRITE),
    ("GET", "/v1/customers/bakery/notes", Scope.BILLING_READ),
    ("POST", "/v1/customers/bakery/notes", Scope.BILLING_WRITE),
    ("PUT", "/v1/customers/bakery/leniency", Scope.BILLING_WRITE),
    ("GET", "/v1/invoices", Scope.BILLING_READ),
    ("GET", "/v1/invoices/R-2026-000001", Scope.BILLING_READ),
    ("DELETE", "/v1/invoices/17", Scope.BILLING_WRITE),
    ("GET", "/v1/invoices/R-2026-000001/pdf", Scope.BILLING_READ),
    ("GET", "/v1/invoices/R-2026-000001/ubl", Scope.BILLING_READ),
    ("GET", "/v1/invoices/R-2026-000001/records", Scope.BILLING_READ),
    ("POST", "/v1/invoices/17/issue", Scope.BILLING_WRITE),
    ("POST", "/v1/invoices/17/review", Scope.BILLING_WRITE),
    ("PUT", "/v1/invoices/17/hold", Scope.BILLING_WRITE),
    ("POST", "/v1/invoices/R-2026-000001/send", Scope.BILLING_WRITE),
    ("POST", "/v1/invoices/R-2026-000001/credit-notes", Scope.BILLING_WRITE),
    ("POST", "/v1/bank/statements", Scope.BILLING_WRITE),
    ("GET", "/v1/bank/entries", Scope.BILLING_READ),
    ("POST", "/v1/bank/entries/17/assign", Scope.BILLING_WRITE),
    ("POST", "/v1/bank/entries/17/ignore", Scope.BILLING_WRITE),
    ("GET", "/v1/bookkeeping?from=2026-10-01&until=2026-11-01", Scope.BILLING_READ),
    ("GET", "/v1/feeds", Scope.BILLING_READ),
    ("POST", "/v1/feeds/warehouse/replays", Scope.BILLING_WRITE),
    ("POST", "/v1/dunning/runs", Scope.BILLING_WRITE),
    ("POST", "/v1/invoices/R-2026-000001/void", Scope.BILLING_WRITE),
    ("PUT", "/v1/invoices/R-2026-000001/dispute", Scope.BILLING_WRITE),
    ("GET", "/v1/customers/bakery/collection", Scope.BILLING_READ),
    ("PUT", "/v1/customers/bakery/collection", Scope.BILLING_WRITE),
    ("GET", "/v1/invoices/R-2026-000001/collections", Scope.BILLING_READ),
    ("POST", "/v1/bill-runs", Scope.BILLING_WRITE),
    ("GET", "/v1/bill-runs", Scope.BILLING_READ),
    ("GET", "/v1/bill-runs/1", Scope.BILLING_READ),
    ("POST", "/v1/payments/12/reverse", Scope.BILLING_WRITE),
    ("GET", "/v1/dunning", Scope.BILLING_READ),
    ("POST", "/v1/mediation/softswitch1/files", Scope.BILLING_WRITE),
    ("GET", "/v1/mediation/files", Scope.BILLING_READ),
    ("GET", "/v1/mediation/faults", Scope.BILLING_READ),
    ("POST", "/v1/mediation/faults/17/replay", Scope.BILLING_WRITE),
    ("POST", "/v1/mediation/faults/17/dismiss", Scope.BILLING_WRITE),
]


@pytest.fixture
def world() -> World:
    """A world where nobody is logged in."""
    return make_world()


@pytest.mark.parametrize(("method", "path", "scope"), ROUTES)
async def test_each_route_wants_its_scope(world: World, method: str, path: str, scope: Scope) -> None:
    """All other scopes together do not open it; its own does, and so does admin."""
    await world.login(*(other for other in Scope if other not in (scope, Scope.ADMIN)))
    without = await world.client.request(method, path)
    await world.login(scope)
    with_it = await world.client.request(method, path)
    await world.login(Scope.ADMIN)
    as_admin = await world.client.request(method, path)

    assert (without.status_code, without.json()["required_scope"]) == (403, scope)
    assert {with_it.status_code, as_admin.status_code}.isdisjoint({401, 403})


@pytest.mark.parametrize(("method", "path", "scope"), ROUTES)
async def test_no_route_without_a_key(world: World, method: str, path: str, scope: Scope) -> None:
    """The answer says which scheme is wanted, before the body is looked at."""
    answer = await world.client.request(method, path, content=b"{")

    assert (answer.status_code, answer.json()["type"]) == (401, "/problems/unauthenticated")
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")


def test_the_table_above_knows_every_route(world: World) -> None:
    """A route that is added must be added to the table of scopes."""
    paths = create_litestar(world.context).openapi_schema.to_schema()["paths"]
    guarded = {(method.upper(), path) for path, item in paths.items() for method in item if path.startswith("/v1/")}
    asked = [(method, path.partition("?")[0]) for method, path, _ in ROUTES]
    leads_to = [
        [place for place in guarded if place[0] == method and re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", place[1]), path)]
        for method, path in asked
    ]
    assert all(leads_to), "every line is a route"
    assert {place for found in leads_to for place in found} == guarded


async def test_a_wrong_secret_and_an_unknown_id_look_the_same(world: World) -> None:
    """Neither answer tells whether the id exists."""
    token = parse_token(await world.token(Scope.ADMIN))
    assert token is not None
    tokens = (Token(token.key_id, "0" * 64), new_token())

    answers = [
        await world.client.get("/v1/accounts/a", headers={"Authorization": f"Bearer {token}"}) for token in tokens
    ]

    assert [answer.status_code for answer in answers] == [401, 401]
    assert answers[0].json() == answers[1].json()


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer ", "Bearer x", "Basic abc", "bearer ocs_short_00", "ocs_"])
async def test_a_header_that_is_no_token(world: World, header: str) -> None:
    """Whatever stands there, the answer is 401 and the store is not asked."""
    answer = await world.client.get("/v1/accounts/a", headers={"Authorization": header})

    assert answer.status_code == 401
    assert world.redis.reads == 0


async def test_a_key_is_read_once_and_forgotten_soon(world: World) -> None:
    """Many requests cost one read; a revoked key works no longer than the cache lives."""
    await world.login(Scope.ACCOUNTS_READ)
    statuses = [(await world.client.get("/v1/accounts/a")).status_code for _ in range(5)]
    reads = world.redis.reads
    key_id = world.client.headers["Authorization"].split("_")[1]
    await revoke_key(cast(Redis, world.redis), key_id, world.now_ms)

    world.now_ms += keys.CACHE_TTL_MS
    after = await world.client.get("/v1/accounts/a")

    assert (statuses, reads) == ([404] * 5, 1)
    assert after.status_code == 401


async def test_keys_cannot_be_checked_while_the_store_is_away(world: World) -> None:
    """503, not 401: the client's key may be good."""
    await world.login(Scope.ACCOUNTS_READ)
    world.redis.is_away = True

    answer = await world.client.get("/v1/accounts/a")

    assert (answer.status_code, answer.json()["type"]) == (503, "/problems/unavailable")


async def test_too_many_requests_wait() -> None:
    """60 a minute are 10 at once, then one each second; another key is not affected."""
    world = make_world(requests_per_minute=60)
    await world.login(Scope.ACCOUNTS_READ)
    statuses = [(await world.client.get("/v1/accounts/a")).status_code for _ in range(10)]
    refused = await world.client.get("/v1/accounts/a")
    world.now_ms += 1000
    later = await world.client.get("/v1/accounts/a")
    await world.login(Scope.ACCOUNTS_READ)
    other = await world.client.get("/v1/accounts/a")

    assert statuses == [404] * 10
    assert (refused.status_code, refused.headers["Retry-After"]) == (429, "1")
    assert refused.json()["type"] == "/problems/rate-limited"
    assert (later.status_code, other.status_code) == (404, 404)


async def test_guessing_ids_is_slowed_down(world: World) -> None:
    """Unknown ids cost a read each; after the allowance of the address they cost nothing."""
    statuses = [
        (await world.client.get("/v1/accounts/a", headers={"Authorization": f"Bearer {new_token()}"})).status_code
        for _ in range(110)
    ]

    assert statuses == [401] * 100 + [429] * 10
    assert world.redis.reads == 100


@given(st.integers(1, 100_000), st.lists(st.integers(0, 20_000), min_size=1, max_size=200))
def test_a_limiter_never_gives_more_than_it_says(per_minute: int, pauses_ms: list[int]) -> None:
    """In any history: at most the burst and what the time brought; and who waits as told gets through."""
    limiter, now_ms, taken = RateLimiter(per_minute), NOW_MS, 0
    for pause_ms in pauses_ms:
        now_ms += pause_ms
        wait_s = limiter.wait_s("k", now_ms)
        if wait_s:
            now_ms += wait_s * 1000
            assert limiter.wait_s("k", now_ms) == 0
        taken += 1
    burst = max(1, per_minute * BURST_S // 60)
    interval_us = max(1, 60_000_000 // per_minute)
    assert taken <= burst + 2 + (now_ms - NOW_MS) * 1000 // interval_us


def test_a_clock_set_back_locks_nobody_out() -> None:
    """After a step back of a day a key waits seconds, not a day."""
    limiter = RateLimiter(60)
    for _ in range(11):
        limiter.wait_s("k", NOW_MS)

    day_ms = 86_400_000
    assert limiter.wait_s("k", NOW_MS - day_ms) <= 1
    assert limiter.wait_s("k", NOW_MS - day_ms + 1000) == 0


def test_the_limiter_forgets_before_it_grows() -> None:
    """Memory is bounded by KEYS_MAX, busy keys or idle ones."""
    limiter = RateLimiter(6)
    for number in range(KEYS_MAX * 2 + 10):
        limiter.wait_s(f"k{number}", NOW_MS)

    assert len(limiter._full_at_us) <= KEYS_MAX


async def test_only_a_hash_is_stored(world: World) -> None:
    """Nothing in the store contains the secret."""
    token = parse_token(await world.token(Scope.TOPUP))

    assert token is not None
    stored = b"".join(world.redis.values.values())
    assert token.secret.encode() not in stored
    assert bytes.fromhex(token.secret) not in stored
    assert keys.hash_secret(token.secret) in stored


async def test_keys_are_listed_and_revoked(world: World) -> None:
    """A revoked key stays in the list; revoking twice keeps the first time; an unknown id is None."""
    redis = cast(Redis, world.redis)
    token = parse_token(await world.token(Scope.TOPUP, Scope.CDRS_READ))
    assert token is not None

    first = await revoke_key(redis, token.key_id, 17)
    second = await revoke_key(redis, token.key_id, 18)

    assert first == second
    assert await list_keys(redis) == [first]
    assert first is not None
    assert (first.disabled_at_ms, first.scopes) == (17, (Scope.TOPUP, Scope.CDRS_READ))
    assert await revoke_key(redis, "a" * 12, 19) is None


def test_tokens_are_of_one_form() -> None:
    """What is made can be read; nothing else is."""
    token = new_token()

    assert parse_token(str(token)) == token
    assert len(token.key_id) == keys.ID_LENGTH
    for text in ("", str(token)[:-1], str(token) + "0", str(token).upper(), str(token).replace("ocs", "key")):
        assert parse_token(text) is None


async def test_the_first_admin_key_is_made_once(tmp_path: Path) -> None:
    """On an empty store a key is made and kept for the owner's eyes; a second start finds it again."""
    redis, path = cast(Redis, FakeRedis()), tmp_path / "data" / "admin.key"

    first = await ensure_admin_key(redis, path)
    second = await ensure_admin_key(redis, path)

    assert first == second == path.read_text().strip()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [key.scopes for key in await list_keys(redis)] == [(Scope.ADMIN,)]
    assert [entry.name for entry in path.parent.iterdir()] == ["admin.key"]


async def test_a_file_without_a_record_is_registered(tmp_path: Path) -> None:
    """A crash between file and record leaves a token that the next start makes valid."""
    redis, path, token = cast(Redis, FakeRedis()), tmp_path / "admin.key", new_token()
    path.write_text(f"{token}\n")

    assert await ensure_admin_key(redis, path) == str(token)
    assert [key.key_id for key in await list_keys(redis)] == [token.key_id]


async def test_a_removed_file_makes_no_new_admin(world: World, tmp_path: Path) -> None:
    """Where keys exist already, the operator is in charge of them."""
    await world.token(Scope.TOPUP)

    assert await ensure_admin_key(cast(Redis, world.redis), tmp_path / "admin.key") == ""
    assert not (tmp_path / "admin.key").exists()


async def test_a_record_of_another_shape_is_our_bug_not_a_key(world: World) -> None:
    """A record that cannot be read answers 500 with a number to report, never access."""
    token = new_token()
    world.redis.values[keys.record_key(token.key_id)] = msgspec.msgpack.encode({"hash": "no"})

    answer = await world.client.get("/v1/accounts/a", headers={"Authorization": f"Bearer {token}"})

    assert (answer.status_code, answer.json()["type"]) == (500, "/problems/internal-error")
    assert len(answer.json()["error_id"]) == 16
