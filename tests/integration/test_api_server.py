"""The API as clients meet it: real sockets, the real core, Valkey and PostgreSQL behind it."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from redis.asyncio import Redis

from balance.valkey.store import ValkeyStore, open_store
from ocs.api.app import create_app
from ocs.api.context import Context
from ocs.api.keys import KeyRing, Scope, new_token, store_key
from ocs.api.ports import PeerView
from ocs.api.postgres import ApiTrail, PostgresDeliveries, PostgresHistory
from ocs.billing.trail import FIELD, STREAM_KEY
from ocs.charging.money_desk import MoneyDesk
from ocs.charging.notice_stream import NoticeStream
from ocs.charging.notifier import Notifier
from ocs.charging.policy import quota_policy
from ocs.charging.recharge import AccountDesk
from ocs.charging.request import (
    ChargingAnswer,
    ChargingRequest,
    ChargingStatus,
    GroupKey,
    GroupRequest,
    Quantity,
    RequestKind,
)
from ocs.charging.service import OnlineCharging
from ocs.clock import now_ms
from ocs.net.http_server import HttpServer
from ocs.observe.counters import Counters
from ocs.observe.metrics import Metrics
from ocs.outbox.flusher import Flusher
from ocs.outbox.postgres import PostgresSink
from ocs.outbox.reader import OutboxReader, connect
from ocs.outbox.trail import TrailMover
from ocs.rate_desk import RateDesk
from ocs.rating.load import LoadResult, load_ratebook
from ocs.rating.units import UnitKind
from ocs.settings import Http, Settings
from ocs.vouchers import VoucherDesk
from tests.integration.books import flush_all
from tests.unit.away_billing import AwayBilling

pytestmark = pytest.mark.integration

ACCOUNT = {"account_id": "alice", "currency": "EUR", "rate_plan": "retail-eur"}
PARTITIONS = 4
SECONDS = UnitKind.SECONDS


def _loader(folder: Path) -> Callable[[], Awaitable[LoadResult]]:
    """What reads the rate files, without a process of its own."""

    async def load() -> LoadResult:
        return load_ratebook(folder, now_ms())

    return load


@dataclass
class World:
    """A running API, what stands behind it, and a client with an admin key."""

    client: httpx.AsyncClient
    server: HttpServer
    address: str
    online: OnlineCharging
    store: ValkeyStore
    valkey_url: str
    billing_dsn: str
    context: Context

    async def change(self, method: str, path: str, body: dict[str, Any], key: str = "") -> httpx.Response:
        headers = {"Idempotency-Key": key} if key else {}
        return await self.client.request(method, path, json=body, headers=headers)

    async def charge(self, kind: RequestKind, number: int, used_s: int | None = None) -> ChargingAnswer:
        """One interrogation of a call to 200 (0.30 per started minute)."""
        done: asyncio.Future[ChargingAnswer] = asyncio.get_running_loop().create_future()
        used = (Quantity(SECONDS, used_s),) if used_s is not None else None
        wanted = (Quantity(SECONDS, 60),) if kind is not RequestKind.TERMINATION else None
        self.online.submit(
            ChargingRequest(
                kind=kind,
                session_key="gy:call-1",
                request_number=number,
                identities=("e164:4915112345678",),
                service="voice",
                event_at_ms=now_ms(),
                groups=(GroupRequest(GroupKey(), wanted, used),),
                destination="20012345",
                fingerprint=number,
            ),
            done.set_result,
        )
        return await done

    async def flush(self) -> int:
        """Bring everything from the outbox to PostgreSQL."""
        sink, reader = PostgresSink(self.billing_dsn), OutboxReader(connect(self.valkey_url), "postgres", "test")
        try:
            await reader.open()
            return await Flusher(reader, sink, batch_max=100, idle_s=0.01).flush_all()
        finally:
            await sink.close()
            await reader.close()


async def no_peers() -> list[PeerView]:
    return []


@pytest.fixture
async def world(valkey_url: str, billing_dsn: str, project_root: Path) -> AsyncIterator[World]:
    """Everything real, on a free port of the loopback."""
    async with running(valkey_url, billing_dsn, project_root) as one:
        yield one


@contextlib.asynccontextmanager
async def running(valkey_url: str, billing_dsn: str, project_root: Path) -> AsyncIterator[World]:
    """One API with a core and connections of its own; several may stand on the same Valkey."""
    result = load_ratebook(project_root / "config", now_ms())
    assert result.book is not None
    store = await open_store(valkey_url, PARTITIONS)
    online = OnlineCharging(store, result.book, quota_policy(Settings()), now_ms)
    history = await PostgresHistory.open(billing_dsn)
    counters = Counters()
    notifier = Notifier(store, NoticeStream(store.client, "test"), now_ms)
    desk = AccountDesk(online, store, now_ms, result.currencies, notifier)
    context = Context(
        accounts=desk,
        subscribers=desk.subscribers,
        history=history,
        deliveries=PostgresDeliveries(history.pool, now_ms),
        money=MoneyDesk(desk, now_ms),
        vouchers=VoucherDesk(store.client, desk, now_ms),
        trail=ApiTrail(store.client, history.pool),
        keys=KeyRing(store.client, now_ms),
        metrics=Metrics(counters, store.client, now_ms),
        currencies=result.currencies,
        rates=RateDesk(project_root / "config", online, now_ms, _loader(project_root / "config")),
        billing=AwayBilling(),
        clock=now_ms,
        checks={},
        peers=no_peers,
    )
    token = new_token()
    await store_key(store.client, token, "test", (Scope.ADMIN,), now_ms())
    server = HttpServer(Http(listen="127.0.0.1:0"), create_app(context))
    (address,) = await server.start()
    headers = {"Authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(base_url=f"http://{address}", headers=headers, trust_env=False, timeout=60) as client:
        yield World(client, server, address, online, store, valkey_url, billing_dsn, context)
    await server.close(1.0)
    await history.close()
    await store.close()


async def open_alice(world: World) -> None:
    """An account with a subscriber who can call."""
    account = {"account_id": "alice", "currency": "EUR", "rate_plan": "test-eur"}
    subscriber = {"subscriber_id": "s1", "account_id": "alice", "identities": ["e164:4915112345678"]}
    created = await world.change("POST", "/v1/accounts", account)
    assert created.status_code == 201
    assert created.json() == (await world.client.get(created.headers["Location"])).json()
    assert (await world.change("POST", "/v1/subscribers", subscriber)).status_code == 201


async def test_a_call_is_paid_for_and_seen_from_every_side(world: World) -> None:
    """Top up, call, look at balance and session in the middle, and at CDR and journal in the end."""
    await open_alice(world)
    await world.change("POST", "/v1/accounts/alice/top-ups", {"amount": "1.00", "currency": "EUR"}, "k1")

    first = await world.charge(RequestKind.INITIAL, 0)
    during = (await world.client.get("/v1/accounts/alice")).json()
    sessions = (await world.client.get("/v1/accounts/alice/sessions")).json()["sessions"]
    last = await world.charge(RequestKind.TERMINATION, 1, used_s=61)
    after = (await world.client.get("/v1/accounts/alice")).json()
    flushed = await world.flush()
    cdrs = (await world.client.get("/v1/accounts/alice/cdrs?explain=true")).json()["cdrs"]
    journal = (await world.client.get("/v1/accounts/alice/journal")).json()["entries"]

    assert (first.status, last.status) == (ChargingStatus.SUCCESS, ChargingStatus.SUCCESS)
    assert (during["balance"], during["reserved"], during["available"]) == ("1.00", "0.30", "0.70")
    assert [(one["session_key"], one["reserved"], one["cost"]) for one in sessions] == [("gy:call-1", "0.30", "0.00")]
    assert (after["balance"], after["reserved"]) == ("0.40", "0.00")
    assert flushed == 3
    assert [(one["session_id"], one["cost"], one["groups"][0]["used"]) for one in cdrs] == [("call-1", "0.60", 61)]
    assert cdrs[0]["groups"][0]["explanation"][-1] == "0.60 EUR in all"
    assert [(one["kind"], one["amount"]) for one in journal] == [
        ("session", "-0.60"),
        ("top_up", "1.00"),
        ("opened", "0.00"),
    ]


async def test_repeats_at_the_same_moment_pay_once(world: World) -> None:
    """Twenty clients who all send the same top-up at once: one is applied, the rest are replays."""
    await open_alice(world)
    body = {"amount": "2.50", "currency": "EUR"}

    answers = await asyncio.gather(
        *(world.change("POST", "/v1/accounts/alice/top-ups", body, "once") for _ in range(20))
    )
    other = await world.change("POST", "/v1/accounts/alice/top-ups", {**body, "amount": "2.51"}, "once")
    account = (await world.client.get("/v1/accounts/alice")).json()

    assert [answer.status_code for answer in answers] == [200] * 20
    assert sorted(answer.json()["replayed"] for answer in answers) == [False] + [True] * 19
    assert {answer.json()["entry_number"] for answer in answers} == {2}
    assert other.json()["type"] == "/problems/idempotency-key-reused"
    assert account["balance"] == "2.50"


async def test_every_change_has_its_entry(world: World) -> None:
    """Adjust, expire-able money, suspend, close: all in the journal, with who and why."""
    await open_alice(world)
    bucket = {"priority": 5, "expires_at": "2099-01-01T00:00:00Z"}
    steps: list[tuple[str, str, dict[str, Any]]] = [
        ("POST", "top-ups", {"amount": "3", "currency": "EUR", "bucket": bucket, "reason": "gift"}),
        ("POST", "adjustments", {"amount": "-0.5", "currency": "EUR", "reason": "fee"}),
        ("PUT", "state", {"state": "suspended", "reason": "fraud?"}),
        ("PUT", "state", {"state": "closed"}),
    ]
    answers = [
        await world.change(method, f"/v1/accounts/alice/{path}", body, f"k{number}")
        for number, (method, path, body) in enumerate(steps)
    ]
    closed = await world.change("POST", "/v1/accounts/alice/top-ups", {"amount": "1", "currency": "EUR"}, "late")
    await world.flush()
    journal = (await world.client.get("/v1/accounts/alice/journal")).json()["entries"]

    assert [answer.status_code for answer in answers] == [200] * 4
    assert closed.json()["type"] == "/problems/account-closed"
    assert answers[-1].json()["account"]["state"] == "closed"
    assert answers[-1].json()["account"]["balance"] == "2.50"
    assert [(one["kind"], one["amount"], one["reference"]) for one in reversed(journal)] == [
        ("opened", "0.00", ""),
        ("top_up", "3.00", "k0"),
        ("adjustment", "-0.50", "k1"),
        ("state", "0.00", "k2"),
        ("state", "0.00", "k3"),
    ]
    assert "fraud?" in journal[1]["reason"]
    assert {one["actor"].split(":")[0] for one in journal} == {"api"}


@pytest.mark.parametrize(
    ("body", "slug"),
    [
        ({"account_id": "alice", "currency": "EUR", "rate_plan": "test-eur"}, "account-exists"),
        ({"account_id": "bob", "currency": "EUR", "rate_plan": "none"}, "rate-plan-unknown"),
        ({"account_id": "bob", "currency": "USD", "rate_plan": "test-eur"}, "rate-plan-unknown"),
        ({"account_id": "bob", "currency": "QQQ", "rate_plan": "test-eur"}, "currency-unknown"),
    ],
)
async def test_the_core_s_faults_are_problems(world: World, body: dict[str, str], slug: str) -> None:
    """What the core refuses is told in the API's words."""
    await open_alice(world)

    answer = await world.change("POST", "/v1/accounts", body)

    assert answer.json()["type"] == f"/problems/{slug}"


async def test_a_long_history_is_read_page_by_page(world: World) -> None:
    """Cursors of the real queries, up to the end, without gap or repeat."""
    await open_alice(world)
    for number in range(7):
        await world.change("POST", "/v1/accounts/alice/top-ups", {"amount": "1", "currency": "EUR"}, f"k{number}")
    await world.flush()

    numbers, cursor = [], ""
    while True:
        page = (await world.client.get("/v1/accounts/alice/journal", params={"limit": 3, "cursor": cursor})).json()
        numbers += [entry["entry_number"] for entry in page["entries"]]
        if not (cursor := page["next_cursor"]):
            break
    bad = await world.client.get("/v1/accounts/alice/cdrs?cursor=1.2")

    assert numbers == [8, 7, 6, 5, 4, 3, 2, 1]
    assert (bad.status_code, bad.json()["errors"][0]["field"]) == (422, "cursor")


async def test_history_without_postgres_is_503(world: World, free_port: Any) -> None:
    """The rest of the API goes on."""
    away = await PostgresHistory.open(f"postgresql://nobody@127.0.0.1:{free_port()}/none")
    desk = AccountDesk(world.online, world.store, now_ms, {})
    context = Context(
        accounts=desk,
        subscribers=desk.subscribers,
        history=away,
        deliveries=PostgresDeliveries(away.pool, now_ms),
        money=MoneyDesk(desk, now_ms),
        vouchers=VoucherDesk(world.store.client, desk, now_ms),
        trail=ApiTrail(world.store.client, away.pool),
        keys=KeyRing(world.store.client, now_ms),
        metrics=Metrics(Counters(), world.store.client, now_ms),
        currencies={},
        rates=RateDesk(Path(), world.online, now_ms, _loader(Path())),
        billing=AwayBilling(),
        clock=now_ms,
        checks={},
        peers=no_peers,
    )
    transport = httpx.ASGITransport(app=create_app(context))  # type: ignore[arg-type]  # Litestar types ASGI stricter
    async with httpx.AsyncClient(transport=transport, base_url="http://t", headers=world.client.headers) as client:
        cdrs = await client.get("/v1/accounts/alice/cdrs")
        account = await client.get("/v1/accounts/alice")
        events = await client.get("/v1/events")
    await away.close()

    assert events.status_code == 503
    assert (cdrs.status_code, cdrs.json()["type"]) == (503, "/problems/unavailable")
    assert account.status_code == 404


async def _lets_in(address: str) -> bool:
    """Whether a new client is served."""
    async with httpx.AsyncClient(trust_env=False, timeout=60) as other:
        try:
            await other.get(f"http://{address}/live")
        except httpx.ConnectError:
            return False
    return True


async def test_a_running_request_is_answered_before_the_end(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Closing stops new connections at once and lets what runs finish."""
    started, go_on = asyncio.Event(), asyncio.Event()

    async def slow(desk: AccountDesk, account_id: str) -> None:
        started.set()
        await go_on.wait()

    monkeypatch.setattr(AccountDesk, "account", slow)
    request = asyncio.create_task(world.client.get("/v1/accounts/alice"))
    await started.wait()

    closing = asyncio.create_task(world.server.close(5.0))
    while await _lets_in(world.address):  # until its door is closed
        pass
    go_on.set()
    answer = await request
    await closing

    assert answer.status_code == 404
    assert world.server.connections == 0


async def test_a_request_that_never_ends_does_not_hold_the_end_up(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the drain time what is left is cut off."""
    started = asyncio.Event()

    async def hang(desk: AccountDesk, account_id: str) -> None:
        started.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(AccountDesk, "account", hang)
    request = asyncio.create_task(world.client.get("/v1/accounts/alice"))
    await started.wait()

    await world.server.close(0.1)

    with pytest.raises(httpx.HTTPError):
        (await request).raise_for_status()


async def test_a_port_that_is_taken_is_said_at_the_start(world: World) -> None:
    """As the system's own error, for the daemon to turn into one line."""
    with pytest.raises(OSError, match="in use"):
        await HttpServer(Http(listen=world.address), create_app).start()


@pytest.mark.parametrize("data", [b"\x16\x03\x01\x00\xa5", b"GET / HTTP/9\r\n\r\n", b"GET /" + b"x" * 70_000])
async def test_noise_on_the_port_ends_one_connection(world: World, data: bytes) -> None:
    """TLS to a plain port, nonsense, endless lines: refused, and the next client is served."""
    loop = asyncio.get_running_loop()
    with socket.create_connection(tuple(world.address.rsplit(":", 1))) as noise:  # type: ignore[arg-type]
        noise.setblocking(False)
        await loop.sock_sendall(noise, data)
        answer = await asyncio.wait_for(loop.sock_recv(noise, 4096), 60)

    assert answer.startswith(b"HTTP/1.1 400")
    assert (await world.client.get("/live")).status_code == 200


async def test_the_audit_log_is_read_where_the_flusher_has_put_it(
    world: World, valkey_url: str, billing_dsn: str
) -> None:
    """A change is noted in Valkey before its answer, carried to PostgreSQL once by whoever comes, and read page by page."""
    await world.client.post("/v1/accounts", json=ACCOUNT)
    change: dict[str, Any] = {"headers": {"Idempotency-Key": "k1"}, "json": {"credit_limit": "7.00"}}
    assert (await world.client.put("/v1/accounts/alice/limits", **change)).status_code == 200
    assert (await world.client.put("/v1/accounts/alice/limits", **change)).headers["Idempotency-Replayed"] == "true"
    tag = (await world.client.get("/v1/accounts/alice/limits")).headers["ETag"]
    late: dict[str, Any] = {
        "headers": {"Idempotency-Key": "k2", "If-Match": '"00000000"'},
        "json": {"credit_limit": "8.00"},
    }
    assert (await world.client.put("/v1/accounts/alice/limits", **late)).status_code == 412
    late["headers"] = {"Idempotency-Key": "k3", "If-Match": tag}
    assert (await world.client.put("/v1/accounts/alice/limits", **late)).status_code == 200
    redis = Redis.from_url(valkey_url)
    await redis.xadd(STREAM_KEY, {FIELD: b"no entry"})
    movers = [TrailMover(redis, billing_dsn) for _ in range(2)]
    await asyncio.gather(*[mover.move() for mover in movers])
    assert await redis.xlen(STREAM_KEY) == 0
    await redis.aclose()
    found = (await world.client.get("/v1/audit-log", params={"target": "account alice"})).json()["entries"]
    assert [(each["action"], each["before"].get("credit_limit"), each["after"]["credit_limit"]) for each in found] == [
        ("set_limits", "7.00", "8.00"),
        ("set_limits", "0.00", "7.00"),
        ("create_account", None, "0.00"),
    ]
    assert found[0]["reference"] == "k3"


async def test_accounts_and_contacts_are_in_postgres(world: World, valkey_url: str, billing_dsn: str) -> None:
    """The list of accounts is that of the journal; of two who change a contact at once with one ETag, one is refused."""
    for name in ("b", "a", "C"):
        await world.client.post("/v1/accounts", json={**ACCOUNT, "account_id": name})
    await flush_all(valkey_url, billing_dsn)
    page = (await world.client.get("/v1/accounts", params={"limit": 2})).json()
    rest = (await world.client.get("/v1/accounts", params={"cursor": page["next_cursor"]})).json()
    assert [each["account_id"] for each in page["accounts"] + rest["accounts"]] == ["C", "a", "b"]
    tag = (await world.client.get("/v1/accounts/a/contact")).headers["ETag"]
    answers = await asyncio.gather(
        *[
            world.client.put("/v1/accounts/a/contact", json={"mail": f"{n}@example.net"}, headers={"If-Match": tag})
            for n in range(3)
        ]
    )
    assert sorted(answer.status_code for answer in answers) == [200, 412, 412]
    kinds = (await world.client.get("/v1/accounts/a/journal", params={"kind": "opened"})).json()["entries"]
    none = (await world.client.get("/v1/accounts/a/journal", params={"kind": "top_up"})).json()["entries"]
    assert (len(kinds), len(none)) == (1, 0)
    events = (await world.client.get("/v1/events", params={"type": "account_opened", "limit": 1})).json()
    assert len(events["events"]) == 1
    assert events["next_cursor"]
    assert (await world.client.get("/v1/messages", params={"state": "dead"})).json()["messages"] == []
