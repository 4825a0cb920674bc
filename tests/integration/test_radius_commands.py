"""``ocs radius decode``, ``ocs radius send``, ``ocs clients``: packets in words, and what came of the clients."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import msgspec
import pytest
from redis.asyncio import Redis
from structlog.testing import capture_logs
from typer.testing import CliRunner, Result

from ocs.cli.app import app
from ocs.errors import EXIT_CONFIG, EXIT_DIFFERENCES, EXIT_TEMPORARY
from ocs.net.radius_report import KIND
from ocs.observe.logging import mask_event
from ocs.observe.reports import Reports
from tests.integration.radius_standin import Running, running
from tests.wire.radius_packets import access_request, accounting_request, attributes_of, named

pytestmark = pytest.mark.integration

START = "04070034d1773436ab15924206fb38d993a713842806000000012c076162632d31010d37343935313233343536370406c000020a"


@pytest.fixture(autouse=True)
def _settings(sample_config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sample's one client; no servers."""
    for name in ("OCS_VALKEY_URL", "OCS_POSTGRES_DSN", "OCS_DATA", "OCS_RADIUS_SECRET"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OCS_CONFIG", str(sample_config))
    monkeypatch.setenv("COLUMNS", "200")


def run(*arguments: str, given: str | None = None) -> Result:
    return CliRunner().invoke(app, list(arguments), input=given)


def test_decode_says_what_is_in_it_who_made_it_and_how_it_is_read() -> None:
    """The known answer of the protocol tests, in words."""
    result = run("radius", "decode", "--secret", "s3cret", START)
    assert result.exit_code == 0, result.output
    assert result.output.splitlines() == [
        "Accounting-Request",
        "    Acct-Status-Type = Start",
        '    Acct-Session-Id = "abc-1"',
        '    User-Name = "74951234567"',
        "    NAS-IP-Address = 192.0.2.10",
        "# identifier 7, 52 octets, authenticator d1773436ab15924206fb38d993a71384",
        "# Request Authenticator: right",
        "# what the profile generic reads of it:",
        "#   account         74951234567",
        "#   session         abc-1",
        "#   nas             192.0.2.10",
        "#   looked up as    e164:74951234567, name:74951234567",
    ]


@pytest.mark.parametrize(
    ("octets", "expected"),
    [
        (accounting_request(attributes_of({40: 1})), "# Request Authenticator: right"),
        (accounting_request(attributes_of({40: 1}), secret=b"guess"), "# Request Authenticator: WRONG"),
        (access_request(attributes_of({1: "a"})), "# Message-Authenticator: right"),
        (access_request(attributes_of({1: "a"}), secret=b"guess"), "# Message-Authenticator: WRONG"),
        (access_request(attributes_of({2: bytes(16)})), "# User-Password: not readable with this secret"),
        (bytes((2, 1, 0, 20)) + bytes(16), "Access-Accept"),
    ],
)
def test_decode_tells_a_wrong_secret(octets: bytes, expected: str) -> None:
    """The most common fault of a new switch."""
    spaced = ":".join(f"{octet:02x}" for octet in octets)
    assert expected in run("radius", "decode", "-", "--secret", "s3cret", given=spaced).output


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (("0102",), EXIT_DIFFERENCES, "no RADIUS packet: shorter than a header; it would get no answer"),
        (("xyz",), EXIT_CONFIG, "that is no hex"),
        (("--profile", "cisko", START), EXIT_CONFIG, "there is no profile cisko"),
        (("--client", "nobody", START), EXIT_CONFIG, "there is no radius.clients entry nobody; known: demo"),
    ],
)
def test_decode_refuses_in_one_line(arguments: tuple[str, ...], status: int, message: str) -> None:
    """With what is wrong."""
    result = run("radius", "decode", *arguments)
    assert (result.exit_code, message in result.output) == (status, True), result.output


async def send(server: Running, text: str, *arguments: str, port: int = 0) -> Result:
    to = f"127.0.0.1:{server.ports[port]}"
    return await asyncio.to_thread(run, "radius", "send", "-", "--to", to, "--secret", "s3cret", *arguments, given=text)


async def test_send_shows_the_reply_and_its_sense_as_exit_status() -> None:
    """An accepted call, a wrong password, a record, a sign of life."""
    call = 'Access-Request\n# a call\nUser-Name = "alice"\n  Called-Station-Id = 442012345\nUser-Password = "{}"\n'
    async with running() as server:
        result = await send(server, call.format("wonder"))
        assert result.exit_code == 0, result.output
        assert result.output.splitlines()[0] == "Access-Accept"
        assert "    Session-Timeout = 540" in result.output.splitlines()
        result = await send(server, call.format("guess"))
        assert (result.exit_code, result.output.splitlines()[0]) == (EXIT_DIFFERENCES, "Access-Reject")
        result = await send(server, "Status-Server\n")
        assert (result.exit_code, result.output.splitlines()[0]) == (0, "Access-Accept")
        record = "accounting-request\nAcct-Status-Type = Stop\nAcct-Session-Id = s1\nUser-Name = alice\n"
        result = await send(server, record, port=1)
        assert (result.exit_code, result.output) == (0, "Accounting-Response\n")


async def test_what_decode_shows_can_be_sent() -> None:
    """Comments and all."""
    shown = run("radius", "decode", "--secret", "s3cret", START).output
    async with running() as server:
        result = await send(server, shown, port=1)
        assert result.exit_code == 0, result.output
        assert server.core.requests[0].session_key == "ra:sbc:192.0.2.10:abc-1"


@pytest.mark.parametrize(
    ("text", "status", "message"),
    [
        ("", EXIT_CONFIG, "the first line names the packet"),
        ("Access-Accept\n", EXIT_CONFIG, "the first line names the packet"),
        ("Access-Request\nUser-Nmae = x\n", EXIT_CONFIG, "line 2: User-Nmae is in no dictionary"),
        ("Access-Request\n\nUser-Name\n", EXIT_CONFIG, "line 3: 'User-Name' is no attribute"),
        (f"Access-Request\nUser-Password = {'x' * 129}\n", EXIT_CONFIG, "at most 128 octets"),
    ],
)
def test_send_refuses_in_one_line(text: str, status: int, message: str) -> None:
    """With the line and what is wrong."""
    result = run("radius", "send", "-", given=text)
    assert (result.exit_code, message in result.output) == (status, True), result.output


async def test_send_says_when_nobody_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrong secret is the likeliest reason."""
    monkeypatch.setattr("ocs.radius_exchange.TIMEOUT_S", 0.1)
    async with running() as server:
        result = await send(server, "Status-Server\n", "--secret", "guess")
        assert result.exit_code == EXIT_TEMPORARY
        assert "is this machine one of radius.clients, with the same secret?" in result.output


def test_clients_without_a_daemon_shows_the_settings() -> None:
    """And says so."""
    result = run("clients")
    assert result.exit_code == 0, result.output
    assert re.search(r"demo +│ 127\.0\.0\.1/32 +│ generic", result.output)
    assert "no daemon runs here" in result.output


async def test_clients_adds_up_what_the_daemons_had(valkey_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of all of them: each leaves its figures in Valkey."""
    monkeypatch.setenv("OCS_VALKEY_URL", valkey_url)
    monkeypatch.setenv("OCS_POSTGRES_DSN", "postgresql://nobody@127.0.0.1:1/none")
    async with running(name="demo", require_message_authenticator="auto", credentials="none") as server:
        body = attributes_of({1: "alice", 30: "44"})
        await server.raw(access_request(body, 1, sign=False), 0)
        await server.raw(access_request(body, 2), 0)
        await server.raw(accounting_request(body, 3, secret=b"guess"), 1, expected=0)
        async with Redis.from_url(valkey_url) as redis:
            for process in ("one:1", "two:2"):
                await Reports(redis, KIND, process, server.server.reports).publish()
            result = await asyncio.to_thread(run, "clients", "--json")
    (row,) = msgspec.json.decode(result.stdout)
    assert (row["daemons"], row["requests"], row["insecure"]) == (2, 4, 2)
    assert (row["message_authenticator"], row["discarded"]) == ("yes", {"wrong_authenticator": 2})


async def test_requests_are_logged_by_the_names_of_their_attributes(monkeypatch: pytest.MonkeyPatch) -> None:
    """With OCS_LOG_LEVEL=debug: vendors' names, values in words, subscribers' numbers and passwords masked."""
    monkeypatch.setenv("OCS_LOG_LEVEL", "debug")
    body = named(
        {"User-Name": "4915112345678", "h323-conf-id": "1 2 3 4", "Acct-Status-Type": "Stop", "User-Password": "secret"}
    )
    async with running() as server:
        with capture_logs(processors=[mask_event]) as lines:
            await server.raw(accounting_request(body), 1)
    (line,) = [line for line in lines if line["event"] == "radius_request"]
    assert (line["client"], line["code"]) == ("sbc", "Accounting-Request")
    assert line["attributes"] == {
        "User-Name": "4915*******78", "h323-conf-id": "1 2 3 4", "Acct-Status-Type": "Stop", "User-Password": "***",
    }  # fmt: skip
