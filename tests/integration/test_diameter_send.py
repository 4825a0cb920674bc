"""``ocs diameter send`` against a real server over a real socket, with a stand-in for the charging core."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from ocs.charging.request import EventAction, Quantity, RequestKind
from ocs.cli.app import app
from ocs.errors import EXIT_CONFIG, EXIT_DIFFERENCES, EXIT_TEMPORARY
from ocs.rating.units import UnitKind
from tests.conftest import find_free_port
from tests.integration.diameter_world import GRANTED_S, running_server

pytestmark = pytest.mark.integration


async def send(port: int, config: Path, *words: str) -> Result:
    """The command as a user types it, in a thread of its own."""
    arguments = ["diameter", "send", *words, "--to", f"127.0.0.1:{port}", "--config", str(config)]
    return await asyncio.to_thread(lambda: CliRunner().invoke(app, arguments))


async def test_a_session_is_told_step_by_step(sample_config: Path) -> None:
    """CCR-I, two CCR-U that report what was granted, CCR-T; each with its grant, and the cost in the end."""
    async with running_server() as (server, port, charging):
        run = await send(port, sample_config, "4915112345", "--called", "442079460123", "-g", "100", "--updates", "2")
        assert run.exit_code == 0, run.output
        lines = [line for line in run.output.splitlines() if line.startswith("CCR")]  # among the server's own log
        assert [line.split("  ")[0] for line in lines] == ["CCR-I #0", "CCR-U #1", "CCR-U #2", "CCR-T #3"]
        assert f"group 100: granted {GRANTED_S}, valid 600 s" in lines[0]
        assert "cost 0.3" in lines[3]
        first, second, _, last = charging.requests
        assert (first.identities, first.destination) == (("e164:4915112345",), "442079460123")
        assert second.groups[0].used == (Quantity(UnitKind.SECONDS, GRANTED_S),)
        assert (last.kind, last.groups[0].requested) == (RequestKind.TERMINATION, None)
        assert server.counters.requests["diameter", "connection", "opened"] == 1


@pytest.mark.parametrize(
    ("words", "kind", "groups"),
    [
        (["--context", "data", "-g", "10", "-g", "20", "--ask", "5000", "--updates", "0"], UnitKind.OCTETS, 2),
        (["--context", "sms", "--event", "--ask", "1", "--called", "4930"], UnitKind.EVENTS, 1),
    ],
)
async def test_other_services(sample_config: Path, words: list[str], kind: UnitKind, groups: int) -> None:
    """The unit follows from the context; several groups in one request; an event is one request."""
    async with running_server() as (_, port, charging):
        run = await send(port, sample_config, "4915112345", *words)
        assert run.exit_code == 0, run.output
        request = charging.requests[0]
        asked: Any = request.groups[0].requested
        assert asked[0].kind is kind
        assert len(request.groups) == groups
        if "--event" in words:
            assert (request.kind, request.action) == (RequestKind.EVENT, EventAction.DIRECT_DEBITING)
            assert len(charging.requests) == 1


async def test_load_with_progress_and_a_summary(sample_config: Path) -> None:
    """Two hundred sessions over two connections and ten numbers: all counted, in units, results and latency."""
    async with running_server() as (server, port, charging):
        run = await send(port, sample_config, "4915112340", "--count", "200", "--connections", "2", "--msisdns", "10")
        assert run.exit_code == 0, run.output
        assert re.search(r"200 of 200 sessions, 600 answers, \d+ a second", run.output)
        assert re.search(r"^ +600  2001 SUCCESS$", run.output, re.MULTILINE)
        assert re.search(rf"^ +{400 * GRANTED_S}  units granted in all$", run.output, re.MULTILINE)
        assert "latency: half within" in run.output
        opened = [request for request in charging.requests if request.kind is RequestKind.INITIAL]
        assert len({request.identities for request in opened}) == 10
        assert server.counters.requests["diameter", "connection", "opened"] == 2


async def test_refusals_are_told_and_counted(sample_config: Path) -> None:
    """An unknown subscriber: the session ends with the first answer, and the exit status says so."""
    async with running_server() as (_, port, charging):
        run = await send(port, sample_config, "404")
        assert (run.exit_code, "5030 USER_UNKNOWN" in run.output) == (EXIT_DIFFERENCES, True), run.output
        assert len(charging.requests) == 1


async def test_nobody_answers(sample_config: Path) -> None:
    """One line, and the status of something that may work later."""
    run = await send(find_free_port(), sample_config, "4915112345")
    assert (run.exit_code, "does not answer" in run.output) == (EXIT_TEMPORARY, True), run.output


async def test_a_stranger_is_not_let_in(sample_config: Path) -> None:
    """The server refuses the identity: the result is in the line."""
    async with running_server() as (_, port, _charging):
        run = await send(port, sample_config, "4915112345", "--origin-host", "gw.elsewhere.org")
        assert (run.exit_code, "does not let gw.elsewhere.org in: 3010" in run.output) == (EXIT_TEMPORARY, True)


def test_one_identity_is_one_connection(sample_config: Path) -> None:
    """Two connections of one peer would take each other's place."""
    words = ["diameter", "send", "1", "--origin-host", "a.example.net", "--connections", "2", "-c", str(sample_config)]
    run = CliRunner().invoke(app, words)
    assert run.exit_code == EXIT_CONFIG
