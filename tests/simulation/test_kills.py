"""kill -9 of every process under load, as ``make kill`` does it: once each here, fifty times in the long run."""

from __future__ import annotations

from pathlib import Path

import bench_world
import kill_run
import pytest
from kill_clients import Accounts
from kill_run import Plan
from kill_world import VICTIMS, new_folder

pytestmark = pytest.mark.integration


@pytest.fixture(scope="session")
def clients() -> None:
    """The load generators, compiled."""
    bench_world.compile_clients()


async def test_each_process_once(tmp_path: Path, clients: None) -> None:
    """Each of the five dies once, and Valkey stands still once; the audit is clean, every acknowledged answer is true, no record is missing or double (statements 5, 8, 9) [B-94]."""
    plan = Plan(
        kills=len(VICTIMS),
        seed=2,
        freezes=1,
        accounts=Accounts(rich=4, poor=6),
        calm_s=1.0,
        warm_up_s=1.0,
        freeze_s_max=6.5,
    )
    summary = await kill_run.run(plan, new_folder(tmp_path), print)
    kill_run.show(summary, print)
    assert summary.kills == dict.fromkeys(VICTIMS, 1)
    assert summary.faults == []
    assert summary.is_good
    figures = summary.figures
    assert figures.records >= figures.sessions > 0
    assert figures.unfinished == 0
    assert figures.payments > plan.accounts.rich + plan.accounts.poor, "more than the opening ones"


@pytest.mark.long
async def test_fifty_kills(tmp_path: Path, clients: None) -> None:
    """The long run: in turn, in changing order, some of them while the one before is still starting (statements 5, 8, 9)."""
    summary = await kill_run.run(Plan(kills=50, seed=3, freezes=10, in_flight=8), new_folder(tmp_path), print)
    kill_run.show(summary, print)
    assert sum(summary.kills.values()) == 50
    assert summary.faults == []
    assert summary.is_good
