"""A supplier's sheet on its way into a running ``ocs run``: at once, at an instant, back, and never by half."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from ocs.clock import now_ms
from tests.e2e.conftest import RunningOcs

pytestmark = pytest.mark.integration

DECK = "retail-voice-eur"
NUMBER = {"plan": "retail-eur", "number": "33123456"}


def _rates(running: RunningOcs, *arguments: str) -> str:
    """Run ``ocs rates`` beside the instance, as an operator would in a second terminal."""
    where = ("--config", str(running.config), *(() if arguments[0] == "staged" else ("--data", str(running.data))))
    command = [sys.executable, "-m", "ocs", "rates", *arguments, *where]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def _price(running: RunningOcs) -> str:
    """What a minute to France costs now, as the running daemon says."""
    with running.client() as client:
        found: dict[str, Any] = client.get("/v1/rates/explanation", params=NUMBER).json()
        return str(found["tariff"]["price"]["rate"])


def _stage(running: RunningOcs, folder: Path, rate: str) -> str:
    sheet = folder / f"{rate}.csv"
    sheet.write_text(f"Code,Destination,Rate\n33,France,{rate}\n", encoding="utf-8")
    shown = _rates(running, "import", str(sheet), "-s", "acme", "--deck", DECK, "--kind", "partial", "--json")
    return str(json.loads(shown)["hash"])


def test_a_sheet_goes_live_and_back(running_ocs: RunningOcs, tmp_path: Path) -> None:
    """[R] Staged: nothing changes. Activated, scheduled and rolled back: the daemon's price follows, without a restart."""
    daemon = running_ocs.pid("daemon")
    before = _price(running_ocs)
    _stage(running_ocs, tmp_path, "0.061")
    assert _price(running_ocs) == before
    assert "the server reads its rates again" in _rates(running_ocs, "activate", DECK)
    running_ocs.wait_for(lambda: _price(running_ocs) == "0.061")

    version = _stage(running_ocs, tmp_path, "0.062")
    at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=now_ms() + 2000)
    _rates(running_ocs, "activate", DECK, "--at", at.isoformat())
    running_ocs.wait_for(lambda: _price(running_ocs) == "0.062")
    versions = json.loads(_rates(running_ocs, "staged", DECK, "--json"))["versions"]
    assert [each["state"] for each in versions if each["version"] == version] == ["live"]

    _rates(running_ocs, "rollback", DECK)
    running_ocs.wait_for(lambda: _price(running_ocs) == "0.061")

    with running_ocs.client() as client:
        forward = client.post(f"/v1/rates/decks/{DECK}/activations", json={"version": version})
        assert (forward.status_code, _price(running_ocs)) == (200, "0.062")
        (running_ocs.config.parent / "rateplans" / "retail-eur.toml").write_text("nonsense", encoding="utf-8")
        refused = client.post("/v1/rates/reload")
    assert (refused.status_code, refused.json()["type"]) == (409, "/problems/rates-refused")
    assert (_price(running_ocs), running_ocs.pid("daemon")) == ("0.062", daemon)
