"""The benchmark's own parts: what it writes, what it configures, and what it says when it cannot work."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import bench_report
import bench_world
import msgspec
import pytest
from bench_run import ClientReport, Latency, Run

from ocs.rating.load import load_ratebook
from ocs.rating.price import Tariff
from ocs.settings import Settings
from ocs.settings_file import read_settings


def run_of(**changes: Any) -> Run:
    latency = {"all": Latency(1000, 0.5, 1.5, 2.0)}
    report = ClientReport(1.0, 1000, 1000.4, {"ended": 200}, latency, 2000, 64, 10_000, 0, {"2001": 1000})
    return Run(msgspec.structs.replace(report, **changes), bench_world.Usage(52_000, 14_040, 9_000, 8_000))


def test_bench_json_has_the_agreed_keys() -> None:
    """Programs read build/bench.json: its names are a promise."""
    alone = Latency(1000, 0.2, 0.3, 0.4)
    sections = [bench_report.Section(kind, run_of(), "always", 200.0, alone) for kind in ("ccr", "radius")]
    content = msgspec.json.decode(bench_report.summary(sections, is_clean=True))
    expected = {
        "answers_per_s": 1000,
        "daemon_us": 52.0,
        "valkey_us": 14.0,
        "p50_ms": 0.5,
        "p99_ms": 1.5,
        "in_flight": 64,
        "accounts": 10_000,
        "appendfsync": "always",
        "audit_clean": True,
    }
    assert content == {"ccr": expected, "radius": expected}


@pytest.mark.parametrize(
    ("changes", "faults"),
    [
        ({}, []),
        ({"result_codes": {"2001": 999, "4012": 1}}, ["answers other than success: {'2001': 999, '4012': 1}"]),
        ({"sessions": {"ended": 199, "unfinished": 1}}, ["sessions unfinished: 1"]),
        ({"bad_answers": 2}, ["bad answers: 2"]),
    ],
)
def test_a_run_tells_its_faults(changes: dict[str, Any], faults: list[str]) -> None:
    """A fast wrong answer is no result."""
    assert run_of(**changes).faults == faults


@pytest.mark.parametrize("prefixes", [100, 5_000])
def test_the_configuration_rates_the_called_number(tmp_path: Path, prefixes: int) -> None:
    """The deck has as many prefixes as asked for, and no fault."""
    bench_world.write_config(tmp_path, bench_world.Ports(1, 2, 3, 4), prefixes)
    loaded = load_ratebook(tmp_path, 0)
    assert loaded.faults == ()
    assert loaded.book is not None
    tariff = loaded.book.tariff_for("bench", "voice", 100, (1000,), bench_world.CALLED, 0)
    assert isinstance(tariff, Tariff)
    assert tariff.destination == "London"
    assert isinstance(read_settings(tmp_path / "ocs.toml"), Settings)
    lines = (tmp_path / "decks" / "bench.csv").read_text(encoding="utf-8").splitlines()
    assert len({line.split(",")[0] for line in lines[1:]}) == prefixes


def test_a_missing_compiler_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the benchmark needs a compiler, and it says so."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CC", raising=False)
    with pytest.raises(bench_world.BenchError, match="make bench needs a C compiler: install gcc or clang"):
        bench_world.compile_clients(tmp_path)
