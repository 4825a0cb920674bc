"""CDR files of a switch in the folder that ``ocs run`` watches."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.conftest import RunningOcs

pytestmark = pytest.mark.integration

ROWS = """call_id,answered_at,seconds,from,to,account_code,disposition,release_cause
1,2026-10-01T10:00:00Z,60,4930111,300123,shop,ANSWERED,16
2,2026-10-01T10:01:00Z,0,4930111,300123,shop,BUSY,17
3,2026-10-01T10:02:00Z,60,4930111,300123,nobody,ANSWERED,16
"""


def test_a_file_in_the_folder_is_charged_and_its_faults_are_replayed(
    start_ocs: Callable[[], RunningOcs], sample_config: Path
) -> None:
    """A call of the shop at once; the call of nobody when somebody has that name."""
    mapping = sample_config.parent / "mediation.toml"
    mapping.write_text(mapping.read_text(encoding="utf-8").replace("# folder", "folder"), encoding="utf-8")
    running = start_ocs()
    running.wait_ready()
    _add(running, "shop")
    folder = running.data / "incoming" / "softswitch1"
    _until(folder.is_dir)
    (folder / "part").write_text(ROWS, encoding="utf-8")
    (folder / "part").rename(folder / "cdr.csv")
    _until((folder / "done" / "cdr.csv").exists)
    with running.client() as client:
        assert client.get("/v1/accounts/shop").json()["balance"].startswith("-")
    (fault,) = json.loads(_ocs(sample_config, running.data, "faults", "--json"))["faults"]
    assert fault["why"] == "no subscriber has the identity: name:nobody, e164:4930111"
    _add(running, "nobody")
    report = json.loads(_ocs(sample_config, running.data, "replay", "--json"))["reports"]
    assert [(each["charged"], each["faulty"]) for each in report] == [(1, 0)]
    assert running.stop() == 0


def _add(running: RunningOcs, name: str) -> None:
    with running.client() as client:
        account = {"account_id": name, "currency": "EUR", "rate_plan": "test-eur", "credit_limit": "100"}
        assert client.post("/v1/accounts", json=account).is_success
        subscriber = {"subscriber_id": name, "account_id": name, "identities": [f"name:{name}"]}
        assert client.post("/v1/subscribers", json=subscriber).is_success


def _ocs(config: Path, data: Path, *words: str) -> str:
    command = [sys.executable, "-m", "ocs", "mediate", *words, "--config", str(config), "--data", str(data)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def _until(is_so: Callable[[], bool]) -> None:
    for _ in range(600):
        if is_so():
            return
        time.sleep(0.1)
    raise AssertionError("it never happened")
