"""``ocs account`` and ``ocs session`` on a real Valkey: what stands there, in words."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from redis.asyncio import Redis
from typer.testing import CliRunner, Result

from balance.valkey.keys import partition_of
from balance.valkey.store import open_store
from ocs.charging.notice_stream import NoticeStream
from ocs.charging.notices import NoticeKind
from ocs.cli.app import app
from ocs.errors import EXIT_INTERNAL, EXIT_TEMPORARY, EXIT_UNKNOWN
from tests.scenario.table import Table
from tests.scenario.world import Clock, World

pytestmark = pytest.mark.integration

PARTITIONS = 4
PARTITION = partition_of("A", PARTITIONS)


@pytest.fixture(autouse=True)
def _point_at_the_servers(valkey_url: str, monkeypatch: pytest.MonkeyPatch, project_root: Path) -> None:
    """The command line finds the test's own Valkey, and no PostgreSQL."""
    monkeypatch.setenv("OCS_VALKEY_URL", valkey_url)
    monkeypatch.setenv("OCS_POSTGRES_DSN", "postgresql://nobody@127.0.0.1:1/none")
    monkeypatch.setenv("OCS_CONFIG", str(project_root / "config" / "ocs.toml"))


@pytest.fixture
async def table(valkey_url: str) -> AsyncIterator[Table]:
    """A world on the store."""
    store = await open_store(valkey_url, PARTITIONS)
    clock = Clock()
    yield Table(World(store, clock))
    await store.close()


async def run(*arguments: str) -> Result:
    """The command in a thread: it has an event loop of its own."""
    return await asyncio.to_thread(CliRunner().invoke, app, list(arguments))


async def fields_of(*arguments: str) -> dict[str, Any]:
    result = await run(*arguments, "--json")
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = msgspec.json.decode(result.stdout)
    return found


OPEN = """
    balance 1.00
    I s1 T3 ask             -> 30
    U s1 used 10 ask        -> 30       | B 0.80 R 0.30
"""


async def test_account_as_fields(table: Table) -> None:
    """Amounts are decimal strings, times are RFC 3339, and the key in Valkey is named."""
    await table.play(OPEN)
    found = await fields_of("account", "show", "A")
    assert (found["balance"], found["reserved"], found["available"]) == ("0.80", "0.30", "0.50")
    assert (found["state"], found["currency"], found["rate_plan"]) == ("active", "EUR", "test-eur")
    assert found["created_at"] == "2026-09-21T14:13:20.000Z"
    assert found["open_sessions"] == 1
    assert (found["partition"], found["key"]) == (PARTITION, f"{{p{PARTITION}}}a:A")
    (bucket,) = found["buckets"]
    assert (bucket["bucket_id"], bucket["balance"], bucket["reserved"]) == (0, "0.80", "0.30")


async def test_account_as_a_table(table: Table) -> None:
    """The same for people."""
    await table.play(OPEN)
    result = await run("account", "show", "A")
    lines = [line.split() for line in result.stdout.splitlines()]
    assert result.exit_code == 0
    for words in (["balance", "0.80"], ["reserved", "0.30"], ["open", "sessions", "1"], ["buckets"]):
        assert words in lines


async def test_session_as_fields(table: Table) -> None:
    """An open session is found by its key and by its Session-Id; its price and its last answers are told."""
    await table.play(OPEN)
    found = await fields_of("session", "show", "gy:s1")
    assert found == await fields_of("session", "show", "s1")
    assert (found["state"], found["account_id"], found["destination"]) == ("open", "A", "300")
    assert (found["reserved"], found["cost"]) == ("0.30", "0.20")
    assert found["deadline_at"] == "2026-09-21T14:23:20.000Z"
    (group,) = found["groups"]
    assert (group["used"], group["granted"], group["cost"]) == ("10 s", "30 s", "0.20")
    assert (group["plan"], group["prefix"], group["source"]) == ("test-eur", "300", "decks/test-voice-eur.csv:4")
    assert [answer["request"] for answer in found["answers"]] == ["initial", "update"]
    assert found["answers"][1]["groups"] == ["the only one: 30 s, valid 300 s"]


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ("balance 0.15\nI s1 T1 ask -> 15 final", "the only one: 15 s, final (terminate), valid 300 s"),
        ("balance 1.00\nI s1 D1 ask -> 1048576", "rating group 10: 1 MiB, valid 300 s"),
        ("balance 1.00\nI s1 nowhere ask -> RATING_FAILED", "the only one: rating_failed"),
    ],
)
async def test_answers_in_words(table: Table, events: str, expected: str) -> None:
    """Grants, final units and refusals of a group are said in a line each."""
    await table.play(events)
    result = await run("session", "show", "s1")
    assert result.exit_code == 0
    assert expected in result.stdout


async def test_a_closed_session_is_a_tombstone(table: Table) -> None:
    """It tells when it was closed, what was answered last, and for how long it stays."""
    await table.play(OPEN + "T s1 used 5 -> ok | B 0.75 R 0")
    found = await fields_of("session", "show", "s1")
    assert (found["state"], found["account_id"], found["highest_request_number"]) == ("closed", "A", 2)
    assert found["answers"][-1]["cost"] == "0.25"
    assert 86_000 < found["expires_in_s"] <= 86_400
    assert (await fields_of("session", "list")) == {"sessions": [], "truncated": False}


async def test_an_authorization_that_waits_for_its_start(table: Table) -> None:
    """A RADIUS reservation is no call yet."""
    await table.play("balance 1.00")
    request = table.request(["I", "s1", "T1", "ask"])
    request.lease_ms = 60_000
    await table.world.charge(request)
    assert (await fields_of("session", "show", "s1"))["state"] == "authorized"


async def test_an_operation_under_its_key(table: Table) -> None:
    """What an Idempotency-Key has done can be looked up, too."""
    await table.play("balance 1.00")
    found = await fields_of("session", "show", "op:A:k1")
    assert (found["state"], found["account_id"], found["entry_number"]) == ("done", "A", 2)


async def test_list_of_sessions(table: Table) -> None:
    """Those first whose time runs out first; bounded, and it says so; one account's alone."""
    await table.play("""
        balance 5.00
        I s1 T1 ask             -> 30
        wait 10
        I s2 T2 ask             -> 30
        wait 10
        I s3 S1 ask             -> 1
    """)
    found = await fields_of("session", "list", "--account", "A")
    assert [session["session_key"] for session in found["sessions"]] == ["gy:s1", "gy:s2", "gy:s3"]
    assert [session["reserved"] for session in found["sessions"]] == ["0.30", "0.30", "0.08"]
    assert found["truncated"] is False
    assert (await fields_of("session", "list", "-a", "nobody"))["sessions"] == []
    for filters, keys in (
        (("--service", "sms"), ["gy:s3"]),
        (("--protocol", "ra"), []),
        (("--older-than-s", "15"), ["gy:s1", "gy:s2", "gy:s3"]),  # the calls are of a day long ago
    ):
        listed = await fields_of("session", "list", *filters)
        assert [session["session_key"] for session in listed["sessions"]] == keys
    shown = await run("session", "list", "--limit", "2")
    assert "gy:s2" in shown.stdout
    assert "gy:s3" not in shown.stdout
    assert "there are more than these 2: name a higher --limit" in shown.stdout


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (
            ("account", "show", "B"),
            "ocs: there is no account 'B' on this Valkey; --config and --data say which one that is\n",
        ),
        (("session", "show", "s9"), "ocs: there is no session 's9': see `ocs session list`\n"),
    ],
)
async def test_what_is_not_there_is_one_line(table: Table, arguments: tuple[str, ...], expected: str) -> None:
    """Not known is said in one line, with a status of its own."""
    await table.play(OPEN)
    result = await run(*arguments)
    assert (result.exit_code, result.stderr) == (EXIT_UNKNOWN, expected)


async def test_an_empty_valkey_stays_empty(valkey_url: str) -> None:
    """Looking creates nothing: no store, no number of partitions, no server function."""
    for arguments in (("account", "show", "A"), ("session", "show", "s1")):
        assert (await run(*arguments)).exit_code == EXIT_UNKNOWN
    assert "no open sessions" in (await run("session", "list")).stdout
    async with Redis.from_url(valkey_url) as client:
        assert await client.dbsize() == 0


async def test_octets_of_another_version(table: Table, valkey_url: str) -> None:
    """A record that cannot be read is our bug, said in one line."""
    await table.play(OPEN)
    async with Redis.from_url(valkey_url) as client:
        await client.set(f"{{p{PARTITION}}}s:gy:s8", b"\x93\x01\x02\x03")
    result = await run("session", "show", "s8")
    assert result.exit_code == EXIT_INTERNAL
    assert result.stderr.startswith("ocs: the record is none of this version: ")


async def test_valkey_out_of_reach(monkeypatch: pytest.MonkeyPatch) -> None:
    """One line, and the status that says: try again later."""
    monkeypatch.setenv("OCS_VALKEY_URL", "redis://127.0.0.1:1")
    result = await run("session", "list")
    assert result.exit_code == EXIT_TEMPORARY
    assert result.stderr.startswith("ocs: cannot reach Valkey: ")


async def test_g103_close_asks_the_client_to_end_the_session(table: Table, valkey_url: str) -> None:
    """``ocs session close`` leaves a notice for the servers, and says whom it asks."""
    await table.play(OPEN)
    result = await run("session", "close", "gy:s1", "--reason", "fraud")
    assert (result.exit_code, "to end gy:s1" in result.output) == (0, True), result.output
    client: Any = Redis.from_url(valkey_url)
    async with client:
        ((_, notice),) = await NoticeStream(client, "test").read("0")
    assert notice is not None
    assert (notice.kind, notice.session_key, notice.cause) == (NoticeKind.ABORT, "gy:s1", "operator: fraud")
    none = await run("session", "close", "gy:none")
    assert (none.exit_code, "there is no open session" in none.output) == (EXIT_UNKNOWN, True)
