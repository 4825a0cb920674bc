"""Workers: what they serve, where they tell of themselves, and which of them there are."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from ocs.cli.app import app
from ocs.errors import EXIT_CONFIG
from ocs.settings import Diameter, DiameterPeer, Http, Radius, Settings
from ocs.settings_sense import listening
from ocs.workers import worker_http, worker_settings

RADIUS = Radius(workers=3, radsec=("127.0.0.1:2083",), tcp=("127.0.0.1:2084",))
SETTINGS = Settings(
    radius=RADIUS, diameter=Diameter(listen_tls=("[::]:5868",), peers=(DiameterPeer("a.b"),)), http=Http("[::1]:8080")
)


def test_a_worker_serves_radius_over_udp_alone() -> None:
    """Diameter, RadSec and TCP are the daemon's; its page of figures is its own."""
    found = [(".".join(map(str, path)), text) for path, _, text in listening(worker_settings(SETTINGS, 2))]
    assert found[:3] == [
        ("radius.authentication", "127.0.0.1:1812"),
        ("radius.accounting", "127.0.0.1:1813"),
        ("http.listen", "[::1]:8082"),
    ]
    assert worker_settings(SETTINGS, 2).diameter.peers == ()


def test_what_workers_listen_on_is_looked_at_too() -> None:
    """So that `ocs run` and `ocs config check` find a port that is taken twice."""
    assert [text for path, _, text in listening(SETTINGS) if path[1] == "workers"] == ["[::1]:8081", "[::1]:8082"]


@pytest.mark.parametrize("listen", ["127.0.0.1:65535", "127.0.0.1:0", "nowhere"])
def test_no_port_is_left_for_a_worker(listen: str) -> None:
    """That is a fault of the settings, not a port somewhere else."""
    assert not worker_http(Settings(http=Http(listen)), 1)


@pytest.mark.parametrize(("workers", "number", "cure"), [(1, 1, "set radius.workers to 2"), (3, 3, "choose 1 to 2")])
def test_a_worker_that_is_not_set_does_not_start(workers: int, number: int, cure: str, tmp_path: Path) -> None:
    """One line says which there are."""
    config = tmp_path / "ocs.toml"
    config.write_text(
        f'[radius]\nworkers = {workers}\n[backends]\nvalkey_url = "redis://127.0.0.1:1"\n'
        'postgres_dsn = "postgresql://nobody@127.0.0.1/x"\n',
        encoding="utf-8",
    )
    result = CliRunner().invoke(app, ["serve", "--config", str(config), "--worker", str(number)])
    assert (result.exit_code, cure in result.stderr) == (EXIT_CONFIG, True)
