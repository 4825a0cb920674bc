"""Records to others on real receivers: files on the disk, an HTTP server, Kafka's own protocol; each at least once."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from ocs.billing.months import keep_months
from ocs.feeds.feeder import Feeder
from ocs.feeds.receivers import ReceiverAwayError, Topic
from ocs.feeds.settings import Feed, parse_feeds
from ocs.outbox.postgres import PostgresSink
from ocs.outbox.sinks import OutboxEntry
from ocs.rating.faults import FaultList
from ocs.rating.load import load_currencies
from tests.integration.delivery_world import WebServer
from tests.integration.test_outbox_flusher import NOW_MS, session_entry

pytestmark = pytest.mark.integration

FILES = Feed(name="archive", to="file", folder="out", batch_max=2, wait_s=0)
KAFKA = Feed(
    name="stream",
    to="kafka",
    servers="unused",
    topic="cdrs",
    wait_s=0,
    timeout_s=20,
    options={"test.mock.num.brokers": "1"},
)


@pytest.fixture
async def connection(billing_dsn: str) -> AsyncIterator[Any]:
    """Books with three records that two feeds wait for, written twice as after a lost COMMIT."""
    sink = PostgresSink(billing_dsn, ("archive", "web"))
    batch = [OutboxEntry(0, f"1-{number}", session_entry("a", number), b"") for number in (1, 2, 3)]
    await sink.write(batch)
    await sink.write(batch)
    await sink.close()
    connection = await asyncpg.connect(billing_dsn)
    yield connection
    await connection.close()


def feeder_of(dsn: str, feed: Feed, data: Path, root: Path) -> Feeder:
    return Feeder(dsn, {feed.name: feed}, data, load_currencies(root / "config" / "currencies.toml"))


async def waiting(connection: Any, feed: str) -> int:
    return int(await connection.fetchval("SELECT count(*) FROM cdr_feed WHERE feed = $1", feed))


async def test_files_have_each_record_once(
    connection: Any, billing_dsn: str, tmp_path: Path, project_root: Path
) -> None:
    """Two batches, two files, whole; what was given is not given again; the other feed still waits."""
    feeder = feeder_of(billing_dsn, FILES, tmp_path, project_root)
    assert [await feeder.give_once(connection, FILES) for _ in range(3)] == [2, 1, 0]
    files = sorted((tmp_path / "out").iterdir())
    assert [path.suffix for path in files] == [".jsonl", ".jsonl"]
    records = [json.loads(line) for path in files for line in path.read_text(encoding="utf-8").splitlines()]
    assert sorted(record["id"] for record in records) == ["a/1", "a/2", "a/3"]
    assert records[0]["groups"][0]["cost"] == records[0]["cost"]
    assert (await waiting(connection, "archive"), await waiting(connection, "web")) == (0, 3)


async def test_a_batch_that_is_not_full_waits(
    connection: Any, billing_dsn: str, tmp_path: Path, project_root: Path
) -> None:
    """Up to its time; a full one goes at once."""
    patient = Feed(name="archive", to="file", folder="out", batch_max=4, wait_s=3600)
    feeder = feeder_of(billing_dsn, patient, tmp_path, project_root)
    assert await feeder.give_once(connection, patient) == 0
    await connection.execute("UPDATE cdr_feed SET queued_at = now() - interval '2 hours'")
    assert await feeder.give_once(connection, patient) == 3


async def test_http_is_given_them_again_until_it_says_yes(
    connection: Any, billing_dsn: str, tmp_path: Path, project_root: Path
) -> None:
    """A 500, and nobody there: they stay; then all come, with the same ids."""
    web = WebServer()
    server = await asyncio.start_server(web.serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/cdrs"
    feed = Feed(name="web", to="http", url=url, wait_s=0, headers={"Authorization": "Bearer x"})
    feeder = feeder_of(billing_dsn, feed, tmp_path, project_root)
    web.answers.append("500 Oops")
    with pytest.raises(ReceiverAwayError, match="answered 500"):
        await feeder.give_once(connection, feed)
    assert await waiting(connection, "web") == 3
    assert await feeder.give_once(connection, feed) == 3
    first, second = web.calls
    assert first.body == second.body, "a repeat is the same, so that the ids tell"
    assert [json.loads(line)["id"] for line in second.body.splitlines()] == ["a/1", "a/2", "a/3"]
    assert second.headers["authorization"] == "Bearer x"
    await feeder._receivers["web"].close()
    server.close()
    nobody = feeder_of(billing_dsn, feed, tmp_path, project_root)
    await connection.execute("INSERT INTO cdr_feed SELECT 'web', account_id, entry_number, started_at FROM cdr")
    with pytest.raises(ReceiverAwayError):
        await nobody.give_once(connection, feed)
    await nobody._receivers["web"].close()


WAITS = "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND relation = 'cdr_feed'::regclass)"


def _feeder_process(config: Path, dsn: str, valkey_url: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "ocs", "cdr", "feed", "--config", str(config)]
    environment = os.environ | {"OCS_POSTGRES_DSN": dsn, "OCS_VALKEY_URL": valkey_url}
    return subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


async def test_a_feeder_that_is_killed_gives_the_same_again(
    connection: Any, billing_dsn: str, valkey_url: str, sample_config: Path
) -> None:
    """kill -9 of the process after the receiver has said yes and before that is noted: nothing is lost, the ids tell."""
    web = WebServer()
    server = await asyncio.start_server(web.serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/cdrs"
    text = f'[[feed]]\nname = "web"\nto = "http"\nurl = "{url}"\nwait_s = 0\n'
    (sample_config.parent / "feeds.toml").write_text(text, encoding="utf-8")
    async with connection.transaction():
        await connection.execute("LOCK TABLE cdr_feed IN SHARE MODE")  # records may be taken, not forgotten
        killed = _feeder_process(sample_config, billing_dsn, valkey_url)
        try:
            async with asyncio.timeout(60):
                while not await connection.fetchval(WAITS):  # noqa: ASYNC110 - another process works
                    await asyncio.sleep(0.05)
        finally:
            killed.kill()
            killed.wait()
    assert len(web.calls) == 1
    again = _feeder_process(sample_config, billing_dsn, valkey_url)
    try:
        async with asyncio.timeout(60):
            while await waiting(connection, "web"):  # noqa: ASYNC110 - another process works
                await asyncio.sleep(0.05)
    finally:
        again.terminate()
        again.wait()
    first, second = web.calls
    assert first.body == second.body
    assert [json.loads(line)["id"] for line in second.body.splitlines()] == ["a/1", "a/2", "a/3"]
    server.close()


async def test_kafka_has_them_keyed_and_named(connection: Any, billing_dsn: str, project_root: Path) -> None:
    """Over Kafka's protocol to the brokers that librdkafka has for tests: acknowledged, keyed by account, with ids; one
    that nobody acknowledges is not forgotten."""
    from confluent_kafka import Consumer

    topic = Topic(KAFKA, load_currencies(project_root / "config" / "currencies.toml"))
    feeder = Feeder(billing_dsn, {}, Path(), {})
    feeder._receivers["stream"] = topic
    await connection.execute("INSERT INTO cdr_feed SELECT 'stream', account_id, entry_number, started_at FROM cdr")
    assert await feeder.give_once(connection, KAFKA) == 3
    (broker,) = topic._producer.list_topics(timeout=10).brokers.values()
    consumer = Consumer(
        {"bootstrap.servers": f"{broker.host}:{broker.port}", "group.id": "t", "auto.offset.reset": "earliest"}
    )
    consumer.subscribe(["cdrs"])
    found: list[Any] = []
    while len(found) < 3:
        message = await asyncio.to_thread(consumer.poll, 1.0)
        if message is not None and message.error() is None:
            found.append(message)
    consumer.close()
    assert [(each.key(), dict(each.headers())["id"]) for each in found] == [
        (b"a", b"a/1"), (b"a", b"a/2"), (b"a", b"a/3"),
    ]  # fmt: skip
    assert [json.loads(each.value())["entry_number"] for each in found] == [1, 2, 3]
    await topic.close()
    away = Feed(name="stream", to="kafka", servers="127.0.0.1:1", topic="cdrs", timeout_s=1)
    unheard = Topic(away, load_currencies(project_root / "config" / "currencies.toml"))
    feeder._receivers["stream"] = unheard
    await connection.execute("INSERT INTO cdr_feed SELECT 'stream', account_id, entry_number, started_at FROM cdr")
    with pytest.raises(ReceiverAwayError):
        await feeder.give_once(connection, KAFKA)
    assert await waiting(connection, "stream") == 3


async def test_a_month_stays_while_a_feed_waits_for_it(connection: Any) -> None:
    """Retention does not drop what somebody has still to be given."""
    later_ms = NOW_MS + 200 * 86_400_000
    first = await keep_months(connection, later_ms, keep=2)
    held = await keep_months(connection, later_ms, keep=2)
    assert first.made
    assert held.held
    await connection.execute("DELETE FROM cdr_feed")
    assert (await keep_months(connection, later_ms, keep=2)).dropped == held.held


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ('name = "a"\nto = "file"', "folder: is missing"),
        ('name = "a"\nto = "http"\nurl = "ftp://x"', "'ftp://x' is no address"),
        ('name = "a"\nto = "kafka"\ntopic = "t"', "and topic say where to"),
        ('name = "a"\nto = "file"\nfolder = "x"\nbatch_max = 0', "out of range"),
        ('name = "a"\nto = "mail"', "to"),
    ],
)
def test_faults_of_the_file_are_told(text: str, fault: str) -> None:
    """With place and cure."""
    faults = FaultList("feeds.toml")
    parse_feeds(f"[[feed]]\n{text}\n", faults)
    assert any(fault in str(each) for each in faults.sorted()), faults.sorted()
