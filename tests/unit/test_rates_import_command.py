"""``ocs rates import`` and what follows it, as an operator types it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from ocs.cli.app import app
from ocs.errors import EXIT_CONFIG

SHEET = "Destination,Code,Rate,Effective\nUnited Kingdom,44,0.0050,ASAP\nFrance,33,0.0051,ASAP\n"


@pytest.fixture(autouse=True)
def _wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")


def run(config: Path, *arguments: str) -> Result:
    """Run ``ocs rates`` on a configuration, with a data folder on which nothing runs."""
    return CliRunner().invoke(app, ["rates", *arguments, "--config", str(config)])


@pytest.fixture
def sheet(tmp_path: Path) -> Path:
    """A supplier's file."""
    path = tmp_path / "acme.csv"
    path.write_text(SHEET, encoding="utf-8")
    return path


def test_from_the_sheet_to_the_traffic_and_back(sample_config: Path, sheet: Path) -> None:
    """Ask, settle, stage, activate, look, take back: the supplier's file remembers what was settled."""
    deck = sample_config.parent / "decks" / "wholesale-voice-usd.csv"
    before = deck.read_bytes()
    first = run(sample_config, "import", str(sheet), "-s", "acme", "--deck", "wholesale-voice-usd")
    assert first.exit_code == EXIT_CONFIG
    assert "codes of the deck are not in the sheet" in first.output
    settled = run(
        sample_config, "import", str(sheet), "-s", "acme", "--deck", "wholesale-voice-usd", "--kind", "partial"
    )
    assert settled.exit_code == 0, settled.output
    assert "44" in settled.output
    assert "increase" in settled.output
    assert deck.read_bytes() == before
    again = run(sample_config, "import", str(sheet), "-s", "acme", "--json", "--dry-run")
    assert json.loads(again.output)["difference"]["counts"] == {"increase": 1}
    version = json.loads(run(sample_config, "staged", "--json").output)["versions"][0]
    assert (version["state"], version["supplier"]) == ("staged", "acme")
    activated = run(sample_config, "activate", "wholesale-voice-usd")
    assert "is live; nothing runs on the data folder" in activated.output
    assert CliRunner().invoke(app, ["config", "check", str(sample_config.parent)]).exit_code == 0
    assert run(sample_config, "rollback", "wholesale-voice-usd").exit_code == 0
    assert deck.read_bytes() == before


def test_an_activation_can_wait_for_its_instant(sample_config: Path, sheet: Path) -> None:
    """With --at the deck stays as it is until the server puts the version in place."""
    run(sample_config, "import", str(sheet), "-s", "acme", "--deck", "acme-new-usd", "--currency", "USD")
    waiting = run(sample_config, "activate", "acme-new-usd", "--at", "2999-01-01")
    assert "becomes live at 2999-01-01" in waiting.output
    assert "scheduled" in run(sample_config, "staged", "acme-new-usd").output
    assert not (sample_config.parent / "decks" / "acme-new-usd.csv").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("import", "nowhere.csv", "-s", "x", "--deck", "d"), "cannot read nowhere.csv"),
        (("import", "nowhere.csv", "-s", "x"), "which deck is x's?"),
        (("import", "nowhere.csv", "-s", "x", "--deck", "d", "--dates", "us"), "Invalid enum value 'us'"),
        (("activate", "nothing"), "nothing is staged for nothing"),
        (("activate", "nothing", "abc"), "nothing has no version 'abc': none"),
        (("rollback", "nothing"), "nothing is known of what nothing was before"),
    ],
)
def test_refusals(sample_config: Path, arguments: tuple[str, ...], said: str) -> None:
    """What cannot be done is one clear line with the status of a configuration error."""
    result = run(sample_config, *arguments)
    assert result.exit_code == EXIT_CONFIG
    assert said in result.output
