"""From the call to the webhook and the SMS: the charging core, Valkey, the flusher, PostgreSQL, the deliverer."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner

from balance.account import Account
from ocs.charging.money_desk import MoneyDesk
from ocs.charging.strangers import STREAM_KEY, Strangers
from ocs.cli.app import app
from ocs.clock import now_ms
from ocs.delivery import queue
from ocs.delivery.contacts import Contact, contacts_of, put_contact
from ocs.delivery.routing import list_events, replay_events
from ocs.delivery.settings import Tell
from ocs.outbox.trail import StrangerMover
from tests.integration import delivery_world
from tests.integration.books import flush_all
from tests.integration.delivery_world import EUR, SECRET, open_world
from tests.integration.invoice_world import World, close_world
from tests.integration.invoice_world import open_world as open_charging

pytestmark = pytest.mark.integration

BERLIN = "Europe/Berlin"


@pytest.fixture
async def charging(sample_config: Path, valkey_url: str, billing_dsn: str) -> AsyncIterator[World]:
    """An account with 1.00 and a threshold of 0.50, whose subscriber wants German SMS and no news of top-ups."""
    world = await open_charging(sample_config, valkey_url, billing_dsn)
    created = await world.desk.create_account("alice", "EUR", "test-eur", 0, 500_000_000, actor="test")
    assert isinstance(created, Account)
    await world.desk.subscribers.create("alice", "alice", ("name:alice",), "")
    await world.desk.top_up("alice", 10**9, "EUR", key="1", actor="test", reason="cash")
    await put_contact(
        world.connection,
        Contact(account_id="alice", phone="+4915112345678", mail="a@example.net", language="de", muted=("top_up",)),
    )
    yield world
    await close_world(world)


async def test_a_contact_follows_a_merger(charging: World) -> None:
    """Written down with the journal, whoever asked for the merger; who has a contact of his own keeps it."""
    for name in ("bob", "carl"):
        await charging.desk.create_account(name, "EUR", "test-eur", 0, 0, actor="test")
    await put_contact(charging.connection, Contact(account_id="carl", mail="carl@example.net"))
    money = MoneyDesk(charging.desk, lambda: charging.now_ms)
    for giver, taker in (("alice", "bob"), ("bob", "carl")):
        await money.merge(giver, taker, key="m", actor="test", reason="")
    for _ in range(2):
        await charging.flush()
        found = await contacts_of(charging.connection, ["alice", "bob", "carl"])
        mails = {name: each.mail for name, each in found.items()}
        assert mails == {"alice": "a@example.net", "bob": "a@example.net", "carl": "carl@example.net"}
    assert found["bob"] == msgspec.structs.replace(found["alice"], account_id="bob")


async def test_a_stranger_reaches_the_operator(charging: World, sample_config: Path) -> None:
    """Met at two processes, carried by two: one event, one webhook; no tenant sees it, nobody has an account that it could be of."""
    met = [Strangers(charging.redis, lambda: charging.now_ms) for _ in range(2)]
    for process in met:
        charging.online.on_stranger = process.met
        for _ in range(2):
            await charging.call("nobody", "2026-09-10T10:00", BERLIN, 1)
        await process.close()
    assert await charging.redis.xlen(STREAM_KEY) == 2
    movers = [StrangerMover(charging.redis, charging.dsn) for _ in range(2)]
    await asyncio.gather(*[mover.move() for mover in movers])
    assert await charging.redis.xlen(STREAM_KEY) == 0
    await charging.flush()
    async with open_world(sample_config.parent, charging.dsn, late_hours=10**6) as delivery:
        delivery.now_ms = charging.now_ms
        await delivery.settle()
        hooks = [call.json for call in delivery.web.calls if call.path == "/hook"]
    (told,) = [each for each in hooks if each["type"] == "session_refused"]
    assert told["data"]["why"] == "unknown_subscriber"
    assert (told["data"]["identity"], told["data"]["account_id"], told["data"]["amount"]) == ("name:nobody", "", "0")
    listed = [
        len(
            await list_events(
                charging.connection, types=("session_refused",), before=(10**14, "", 0), limit=9, tenant=each
            )
        )
        for each in ("", "acme:")
    ]
    assert listed == [1, 0]


async def test_a_low_balance_reaches_the_shop_and_the_subscriber(charging: World, sample_config: Path) -> None:
    """One call over the threshold: one webhook with the facts, one SMS; again nothing after another flush and another look."""
    tell = (Tell(events=("low_balance", "top_up"), by=("sms",), urgent=True),)
    async with open_world(sample_config.parent, charging.dsn, tell=tell, late_hours=10**6) as delivery:
        delivery.now_ms = charging.now_ms
        await charging.call("alice", "2026-09-10T10:00", BERLIN, 60)
        for _ in range(2):
            await charging.flush()
            await delivery.settle()
        hooks = [call.json for call in delivery.web.calls if call.path == "/hook"]
        assert [hook["type"] for hook in hooks] == ["account_opened", "top_up", "low_balance"]
        assert (hooks[1]["data"]["amount"], hooks[1]["data"]["balance"]) == ("1.00", "1.00")
        low = hooks[2]["data"]
        assert (low["balance"], low["threshold"], low["account_id"]) == ("0.40", "0.50", "alice")
        texts = [call.json["text"] for call in delivery.web.calls if call.path == "/sms"]
        assert texts == ["Ihr Guthaben beträgt 0,40 €. Bitte laden Sie auf."]

        delivery.web.calls.clear()
        hook = delivery.delivery.webhooks["crm"]
        again = await replay_events(charging.connection, hook, {"EUR": EUR}, 0, 10**13, delivery.now_ms)
        await delivery.settle()
        assert again == 3
        assert [call.json for call in delivery.web.calls] == hooks, "the same ids and contents"


async def test_events_that_are_too_old_are_told_nobody(charging: World, sample_config: Path) -> None:
    """A deliverer that is switched on after months does not wake anybody up."""
    async with open_world(sample_config.parent, charging.dsn) as delivery:
        delivery.now_ms = charging.now_ms + 49 * 3_600_000
        await charging.flush()
        await delivery.settle()
        assert delivery.web.calls == []
        assert await charging.connection.fetchval("SELECT count(*) FROM account_event WHERE routed_at IS NULL") == 0


async def test_a_flusher_that_is_killed_makes_no_event_twice(charging: World) -> None:
    """The batch comes again after COMMIT was not acknowledged: the event is in the books once."""
    entries = await charging.redis.xrange("{p0}outbox")
    await flush_all(charging.valkey_url, charging.dsn)
    for _, fields in entries:
        await charging.redis.xadd("{p0}outbox", fields)
    await flush_all(charging.valkey_url, charging.dsn)
    assert await charging.connection.fetchval("SELECT count(*) FROM account_event") == 2


@pytest.fixture
def operated(sample_config: Path) -> Path:
    """The settings of an operator who has a webhook at a port that a test fills in."""
    path = sample_config.parent / "delivery.toml"
    path.write_text(f'[[webhook]]\nname = "crm"\nurl = "URL"\nsecrets = ["{SECRET}"]\n', encoding="utf-8")
    return path


def point(file: Path, url: str) -> None:
    """Let the operator's webhook be there."""
    file.write_text(file.read_text(encoding="utf-8").replace("URL", url), encoding="utf-8")


def start(world: World, config: Path) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "OCS_POSTGRES_DSN": world.dsn, "OCS_VALKEY_URL": world.valkey_url}
    command = [sys.executable, "-m", "ocs", "deliver", "--config", str(config)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)


async def test_the_process_delivers_until_it_is_told_to_stop(
    charging: World, operated: Path, sample_config: Path
) -> None:
    """`ocs deliver`: two of them at once; SIGTERM ends each with status 0."""
    web = delivery_world.WebServer()
    server = await asyncio.start_server(web.serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hook"
    point(operated, url)
    await flush_all(charging.valkey_url, charging.dsn)
    await charging.connection.execute("UPDATE account_event SET at = now()")
    workers = [start(charging, sample_config) for _ in range(2)]
    try:
        async with asyncio.timeout(60):
            while len(web.calls) < 2 or await charging.connection.fetchval(
                "SELECT count(*) FROM message WHERE state <> 'arrived'"
            ):
                assert all(worker.poll() is None for worker in workers)
                await asyncio.sleep(0.05)
        for worker in workers:
            worker.send_signal(signal.SIGTERM)
        assert [await asyncio.to_thread(worker.wait, 30) for worker in workers] == [0, 0]
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()
        server.close()
    assert sorted(call.json["type"] for call in web.calls) == ["account_opened", "top_up"]


async def test_the_operator_sees_what_happened_and_replays_it(
    charging: World, operated: Path, sample_config: Path
) -> None:
    """`ocs events list`, `messages`, `dead`, `replay`: by id, all dead ones, and all since an instant."""
    point(operated, "http://127.0.0.1:1/")
    await flush_all(charging.valkey_url, charging.dsn)

    async def says(*words: str, status: int = 0) -> str:
        environment = {"OCS_POSTGRES_DSN": charging.dsn, "OCS_VALKEY_URL": charging.valkey_url}
        options = [] if words[1] == "secret" else ["--config", str(sample_config)]
        result = await asyncio.to_thread(CliRunner().invoke, app, [*words, *options], env=environment)
        assert result.exit_code == status, result.output
        return result.output

    events = json.loads(await says("events", "list", "--account", "alice", "--json"))["events"]
    assert [event["type"] for event in events] == ["top_up", "account_opened"]
    assert "1.00 EUR" in await says("events", "list", "--type", "top_up")
    assert "2 messages" in await says("events", "replay", "--webhook", "crm", "--since", "2026-01-01T00:00:00Z")
    listed = json.loads(await says("events", "messages", "--state", "waiting", "--json"))["messages"]
    assert {message["to"] for message in listed} == {"webhook crm"}
    assert "1 messages" in await says("events", "replay", listed[0]["id"])
    claimed = await queue.claim(charging.connection, "webhook", "crm", now_ms() + 1000, 1)
    await queue.died(charging.connection, claimed[0], now_ms(), "answered 500")
    assert "answered 500" in await says("events", "dead")
    assert "1 messages" in await says("events", "replay", "--dead", "--webhook", "crm")
    assert "no message" in await says("events", "replay", "nothing", status=78)
    for wrong in (("--dead", "x"), ("--webhook", "other", "--since", "2026-01-01T00:00:00Z"), ("--since", "today")):
        await says("events", "replay", *wrong, status=78)
    await says("events", "messages", "--state", "lost", status=78)
    assert (await says("events", "secret")).startswith("whsec_")
