"""``ocs voucher`` on a real Valkey: a batch as CSV, redeemed once, listed, withdrawn."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest

from balance.valkey.store import open_store
from ocs.vouchers import VoucherDesk, VoucherFault
from tests.scenario.world import Clock, World

pytestmark = pytest.mark.integration


async def test_a_batch_from_file_to_account(valkey_url: str, project_root: Path, tmp_path: Path) -> None:
    """What the file says pays in, once; the same name, an amount of nothing and an unknown batch are refused in words."""
    out = tmp_path / "codes.csv"

    def ocs(*words: str) -> subprocess.CompletedProcess[str]:
        config = str(project_root / "config" / "ocs.toml")
        command = [sys.executable, "-m", "ocs", "voucher", *words, "--config", config, "--data", str(tmp_path)]
        servers = {"OCS_VALKEY_URL": valkey_url, "OCS_POSTGRES_DSN": "postgresql://nobody@127.0.0.1:1/none"}
        return subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, **servers})

    create = ("create", "spring", "--count", "3", "--amount", "10.00", "--currency", "EUR", "--out")
    assert ocs(*create, str(out)).returncode == 0
    rows = list(csv.DictReader(out.read_text(encoding="utf-8").splitlines()))
    assert [(row["serial"], row["amount"], row["currency"]) for row in rows] == [
        (str(serial), "10.00", "EUR") for serial in (1, 2, 3)
    ]
    assert len({row["code"] for row in rows}) == 3
    store = await open_store(valkey_url, 16)
    try:
        clock = Clock()
        world = World(store, clock)
        await world.open("1.00")
        desk = VoucherDesk(store.client, world.desk, clock)
        assert not isinstance(await desk.redeem("A", rows[0]["code"], actor="test"), VoucherFault)
        assert (await world.figures())[0] == 11 * 10**9
        assert "redeemed by A, entry" in ocs("show", rows[0]["code"]).stdout
        assert "free" in ocs("show", rows[1]["code"]).stdout
        assert '"redeemed": 1' in ocs("list", "--json").stdout
        assert ocs("void", "spring").returncode == 0
        assert await desk.redeem("A", rows[1]["code"], actor="test") is VoucherFault.VOID
    finally:
        await store.close()
    taken = ocs(*create, str(tmp_path / "more.csv"))
    assert (taken.returncode, "already" in taken.stderr) == (78, True)
    assert ocs("void", "nobody").returncode == 66
    nothing = ocs("create", "none", "--count", "1", "--amount", "0", "--currency", "EUR", "--out", "-")
    assert (nothing.returncode, "more than zero" in nothing.stderr) == (78, True)
