"""What an operator sees of an audit, and the exit status that a watchdog reads."""

from __future__ import annotations

import asyncio
import io
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from ocs.auditor import AuditReport, Finding
from ocs.cli import audit_view as command
from ocs.cli.app import app
from ocs.errors import EXIT_DIFFERENCES, EXIT_TEMPORARY
from tests.integration.test_audit_run import World, world

__all__ = ["world"]

pytestmark = pytest.mark.integration


def console() -> Console:
    return Console(file=io.StringIO(), width=120)


def text_of(out: Console) -> str:
    assert isinstance(out.file, io.StringIO)
    return out.file.getvalue()


async def test_a_clean_ledger_is_said_and_is_status_0(world: World) -> None:
    """The table counts what was looked at."""
    out = console()
    assert await asyncio.to_thread(command.run_audit, world.valkey_url, world.dsn, "", out) == 0
    assert "the ledger balances" in text_of(out)
    assert "30" in text_of(out)


async def test_a_difference_is_named_and_is_status_1(world: World) -> None:
    """For the one account that was asked for, too."""
    await world.sql.execute("DELETE FROM journal WHERE account_id = 'a1' AND entry_number = 1")
    for account_id in ("", "a1"):
        out = console()
        status = await asyncio.to_thread(command.run_audit, world.valkey_url, world.dsn, account_id, out)
        assert status == EXIT_DIFFERENCES
        assert "a1: bucket 0: the balance is" in text_of(out)
        assert "does NOT balance" in text_of(out)


def test_a_server_out_of_reach_is_status_75(capsys: pytest.CaptureFixture[str]) -> None:
    """One line on stderr that names the server."""
    assert command.run_audit("redis://127.0.0.1:1", "postgresql://nobody@127.0.0.1:1/none") == EXIT_TEMPORARY
    assert "PostgreSQL" in capsys.readouterr().err


def test_long_lists_are_cut_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """A broken store does not scroll the summary away."""
    report = AuditReport(accounts=99, differing=70, in_motion=["busy"], buried=2, passes=8)
    report.findings = [Finding(f"a{number}", ("off",)) for number in range(70)]

    async def found(*_: object) -> AuditReport:
        return report

    monkeypatch.setattr(command, "audit", found)
    out = console()
    assert command.run_audit("", "", "", out) == EXIT_DIFFERENCES
    assert "and 20 more accounts" in text_of(out)
    assert "in all 8 passes (not judged): busy" in text_of(out)
    assert "outbox-dead" in text_of(out)


async def test_the_command_line_finds_the_servers(
    world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """``ocs audit`` takes the addresses from the environment and ends with the audit's status."""
    monkeypatch.setenv("OCS_VALKEY_URL", world.valkey_url)
    monkeypatch.setenv("OCS_POSTGRES_DSN", world.dsn)
    settings = tmp_path / "ocs.toml"
    settings.write_text("")
    arguments = ["audit", "--config", str(settings), "--data", str(tmp_path / "data"), "--account", "a1"]
    result = await asyncio.to_thread(CliRunner().invoke, app, arguments)
    assert (result.exit_code, "the ledger balances" in result.output) == (0, True)
    await world.sql.execute("DELETE FROM journal WHERE account_id = 'a1' AND entry_number = 1")
    result = await asyncio.to_thread(CliRunner().invoke, app, arguments)
    assert result.exit_code == EXIT_DIFFERENCES
