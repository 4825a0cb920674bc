"""``ocs demo`` in a second terminal: every figure as expected, loud when one is not, one line when nothing runs."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from ocs.errors import EXIT_CONFIG, EXIT_DIFFERENCES, EXIT_TEMPORARY
from tests.conftest import find_free_port
from tests.e2e.conftest import RunningOcs

pytestmark = pytest.mark.integration

Start = Callable[[], RunningOcs]

LIMIT_S = 120


def _ocs(command: str, config: Path, data: Path, *more: str) -> subprocess.CompletedProcess[str]:
    arguments = [*command.split(), "--config", str(config), "--data", str(data), *more]
    return subprocess.run(
        [sys.executable, "-m", "ocs", *arguments], capture_output=True, text=True, timeout=LIMIT_S, check=False
    )


def _demo(running: RunningOcs, *more: str) -> subprocess.CompletedProcess[str]:
    return _ocs("demo", running.config, running.data, *more)


def _account_of(played: subprocess.CompletedProcess[str]) -> str:
    found = re.match(r"account (demo-[0-9a-f]{8}), ", played.stdout)
    assert found is not None, played
    return found[1]


def _shown(running: RunningOcs, account_id: str) -> tuple[str, str]:
    """Balance and reserved, as ``ocs account show`` says."""
    shown = _ocs("account show", running.config, running.data, account_id, "--json")
    assert shown.returncode == 0, shown.stderr
    fields = msgspec.json.decode(shown.stdout)
    return fields["balance"], fields["reserved"]


def test_demo_plays_and_its_balances_outlive_a_restart(start_ocs: Start) -> None:
    """Two runs, each with its own account; all is as expected, the ledger balances, and a second start knows it all."""
    first = start_ocs()
    first.wait_ready()
    runs = [_demo(first) for _ in range(2)]
    for played in runs:
        assert (played.returncode, played.stderr) == (0, ""), played
        assert "all 13 steps and 3 records are as expected" in played.stdout
        for words in (
            "CCR-T used 25 s",
            "Access-Request voice",
            "1.25 EUR in all",
            "0.90 EUR in all",
            "0.08 EUR in all",
        ):
            assert words in played.stdout
    accounts = {_account_of(played) for played in runs}
    assert len(accounts) == 2
    audited = _ocs("audit", first.config, first.data)
    assert audited.returncode == 0, audited.stdout
    assert first.stop(signal.SIGINT) == 0

    second = start_ocs()
    second.wait_ready()
    assert {_shown(second, account) for account in accounts} == {("0.77", "0.00")}
    assert _demo(second).returncode == 0
    assert second.stop(signal.SIGINT) == 0


def test_a_wrong_figure_is_loud(running_ocs: RunningOcs) -> None:
    """With another price in the deck, each figure that differs is a line, and the status says so."""
    deck = running_ocs.config.parent / "decks" / "test-voice-eur.csv"
    text = deck.read_text(encoding="utf-8")
    assert "0.01,1,1,0.10" in text
    deck.write_text(text.replace("0.01,1,1,0.10", "0.01,1,1,0.11"), encoding="utf-8")
    running_ocs.process.send_signal(signal.SIGHUP)
    running_ocs.wait_for(lambda: "rates_swapped" in running_ocs.words())
    played = _demo(running_ocs)
    assert played.returncode == EXIT_DIFFERENCES
    assert "DIFFERENT: CCR-I voice, asks 60 s: reserved is '0.71', expected '0.70'" in played.stdout
    assert "DIFFERENT: CCR-T used 25 s: result is '2001 SUCCESS, cost 1.26'" in played.stdout
    assert "are as expected" not in played.stdout


def test_what_cannot_be_played_is_one_line(running_ocs: RunningOcs) -> None:
    """A closed port, a stranger's name, a wrong key, another machine's secret: each is named with its cure."""
    nobody = f"127.0.0.1:{find_free_port()}"
    refused = {
        ("--diameter", nobody): f"Diameter at {nobody} does not answer: ",
        ("--origin-host", "demo.example.org"): "does not let demo.example.org in: 3010 UNKNOWN_PEER; let its realm in",
        ("--key", "ocs_wrong"): "refused: 401 A valid API key is required",
        ("--api", f"http://{nobody}"): f"the HTTP API at http://{nobody} does not answer: ",
        ("--api", "nonsense"): "'nonsense' is no address of an HTTP API",
    }
    for arguments, expected in refused.items():
        played = _demo(running_ocs, *arguments)
        assert (played.returncode, played.stdout) == (EXIT_TEMPORARY, ""), played
        assert played.stderr.startswith("ocs: ")
        assert played.stderr.count("\n") == 1
        assert expected in played.stderr
    played = _demo(running_ocs, "--secret", "not-the-secret")
    assert played.returncode == EXIT_DIFFERENCES
    assert "DIFFERENT: RADIUS at " in played.stdout or "DIFFERENT: the reply of RADIUS at " in played.stdout


def test_nothing_runs(sample_config: Path, tmp_path: Path) -> None:
    """One line that says what to start."""
    played = _ocs("demo", sample_config, tmp_path / "data")
    assert (played.returncode, played.stdout) == (EXIT_TEMPORARY, "")
    assert played.stderr.count("\n") == 1
    assert "nothing runs on the data folder" in played.stderr
    assert "start `ocs run`" in played.stderr


def test_wrong_arguments_are_one_line(sample_config: Path, tmp_path: Path) -> None:
    """No API key, no address, no such client: the cure is named, and no server is asked."""
    url = ("--api", "http://127.0.0.1:1")
    played = _ocs("demo", sample_config, tmp_path, *url)
    assert (played.returncode, played.stderr.count("\n")) == (EXIT_CONFIG, 1)
    assert "there is no API key in" in played.stderr
    played = _ocs("demo", sample_config, tmp_path, *url, "--key", "k", "--diameter", "here")
    assert played.stderr == "ocs: --diameter: 'here' is no address; write 127.0.0.1:3868\n"
    text = sample_config.read_text(encoding="utf-8")
    sample_config.write_text(text.replace('"127.0.0.1/32"', '"192.0.2.1/32"'), encoding="utf-8")
    played = _ocs("demo", sample_config, tmp_path, *url, "--key", "k")
    assert played.stderr == "ocs: no radius.clients entry holds 127.0.0.1, from where the demo would call: add one\n"
