"""``ocs peers`` on a real Valkey: what daemons tell of their peers, and who is missing."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import pytest
import redis.asyncio
from typer.testing import CliRunner, Result

from ocs.cli.app import app
from ocs.errors import EXIT_DIFFERENCES, EXIT_TEMPORARY
from ocs.net.diameter_report import KIND
from ocs.observe.reports import Reports
from ocs.settings import DiameterPeer
from tests.builders_gy import ccr
from tests.integration.diameter_world import RawClient, running_server

pytestmark = pytest.mark.integration


async def peers(config: Path, monkeypatch: pytest.MonkeyPatch, valkey_url: str, *words: str) -> Result:
    """The command as an operator types it."""
    monkeypatch.setenv("OCS_VALKEY_URL", valkey_url)
    monkeypatch.setenv("OCS_POSTGRES_DSN", "postgresql://nobody@127.0.0.1/none")
    return await asyncio.to_thread(lambda: CliRunner().invoke(app, ["peers", "--config", str(config), *words]))


async def test_peers_of_two_daemons(sample_config: Path, valkey_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Connections with state, watchdog and figures; a declared peer without any is named, and the status says so."""
    declared = (DiameterPeer("client.example.net"), DiameterPeer("pgw9.example.net", "example.net"))
    async with running_server(peers=declared) as (server, port, _), redis.asyncio.Redis.from_url(valkey_url) as store:
        client = await RawClient.connect(port)
        await client.open()
        for number in range(3):
            client.send(ccr(number=number))
            await client.receive()
        await Reports(store, KIND, "one:1", server.reports).publish()
        await Reports(store, KIND, "two:2", list).publish()
        run = await peers(sample_config, monkeypatch, valkey_url)
        assert run.exit_code == EXIT_DIFFERENCES, run.output
        assert [line.split()[0] for line in run.output.splitlines()[-2:]] == ["client.example.net", "pgw9.example.net"]
        told = msgspec.json.decode((await peers(sample_config, monkeypatch, valkey_url, "--json")).output)
        first, second = told["one:1"]
        assert (first["state"], first["watchdog"], first["requests"], first["unanswered"]) == ("r-open", "okay", 3, 0)
        assert (first["product"], first["address"], first["transport"]) == ("test", "127.0.0.1", "tcp")
        assert (second["identity"], second["state"]) == ("pgw9.example.net", "not connected")
        assert told["two:2"] == []
        await client.close()


async def test_all_declared_peers_are_there(
    sample_config: Path, valkey_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit status 0; a peer that is connected to one daemon is missing nowhere."""
    declared = (DiameterPeer("client.example.net"),)
    async with running_server(peers=declared) as (one, port, _), running_server(peers=declared) as (two, _port, _two):
        client = await RawClient.connect(port)
        await client.open()
        async with redis.asyncio.Redis.from_url(valkey_url) as store:
            for name, server in (("one:1", one), ("two:2", two)):
                await Reports(store, KIND, name, server.reports).publish()
        run = await peers(sample_config, monkeypatch, valkey_url)
        assert run.exit_code == 0, run.output
        await client.close()


async def test_nothing_runs(sample_config: Path, valkey_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty store, or none at all: one line."""
    run = await peers(sample_config, monkeypatch, valkey_url)
    assert (run.exit_code, "no daemon runs" in run.output) == (EXIT_TEMPORARY, True), run.output
    run = await peers(sample_config, monkeypatch, "redis://127.0.0.1:1")
    assert (run.exit_code, "cannot reach Valkey" in run.output) == (EXIT_TEMPORARY, True), run.output
