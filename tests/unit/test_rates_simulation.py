"""What a month would have brought at other prices: sums that a biller can add up."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from balance.money import Currency
from ocs.cli import rates_simulate_work
from ocs.cli.app import app
from ocs.cli.rates_simulate import span
from ocs.cli.rates_simulate_view import percent, shown
from ocs.clock import now_ms
from ocs.errors import EXIT_CONFIG, StartRefusedError
from ocs.rates.moments import moment_text
from ocs.rates.records import columns_of, parts_of, rows_of

NEW = "prefix,destination,rate,from,forbidden\n44,United Kingdom,0.60,,\n44,United Kingdom,1.20,2999-01-01,\n49,Germany,0.60,,\n39,Italy,,,yes\n"
COST = "prefix,destination,rate\n44,United Kingdom,0.90\n49,Germany,1.80\n"
RECORDS = """\
account_id,number,used,amount
a,44123,60,1.00
a,44124,120,2.50
b,49123,60,0.70
b,39123,60,0.50
b,33123,60,0.25
b,nonsense
b,44125,many,0.1
"""
EUR = Currency("EUR", 978, 9, 2)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The decks, and the records as CSV and as JSON lines."""
    for name, text in (("new", NEW), ("cost", COST), ("records", RECORDS)):
        (tmp_path / f"{name}.csv").write_text(text, encoding="utf-8")
    rows = list(csv.DictReader(RECORDS.splitlines()))
    lines = [
        json.dumps(
            {"customer": row["account_id"], "number": row["number"], "seconds": row["used"], "cost": row["amount"]}
        )
        for row in rows
    ]
    (tmp_path / "records.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return tmp_path


def simulate(folder: Path, *more: str, records: str = "records.csv") -> Result:
    """Run the command on the folder's files."""
    files = [
        "--deck",
        str(folder / "new.csv"),
        "--cdrs",
        str(folder / records),
        "--cost-deck",
        str(folder / "cost.csv"),
    ]
    return CliRunner().invoke(app, ["rates", "simulate", *files, *more])


@pytest.mark.parametrize("records", ["records.csv", "records.jsonl"])
def test_sums_by_destination_and_customer(folder: Path, records: str) -> None:
    """All records at the last announced prices: what was paid, what it would be, what it is bought for, what is lost."""
    found = json.loads(simulate(folder, "--json", records=records).output)
    assert found["at"] == "2999-01-01"
    total = found["total"]
    assert [total[name] for name in ("records", "old", "new", "bought", "margin")] == [
        5,
        "4.95",
        "4.20",
        "4.50",
        "-0.30",
    ]
    assert [total[name] for name in ("losing_records", "loss", "without_price", "without_cost")] == [1, "1.20", 2, 0]
    by_destination = {each["name"]: (each["old"], each["new"], each["loss"]) for each in found["by_destination"]}
    assert by_destination == {
        "United Kingdom": ("3.50", "3.60", "0.00"),
        "Germany": ("0.70", "0.60", "1.20"),
        "(barred)": ("0.50", "0.00", "0.00"),
        "(no price)": ("0.25", "0.00", "0.00"),
    }
    assert {each["name"]: each["change"] for each in found["by_customer"]} == {"a": "0.10", "b": "-0.85"}
    assert found["fault_count"] == 2


def test_at_another_instant_and_in_another_currency(folder: Path) -> None:
    """--at chooses the prices; --exchange converts the cost."""
    found = json.loads(simulate(folder, "--json", "--at", "2026-11-01", "--exchange", "0.5").output)
    assert (found["total"]["new"], found["total"]["bought"]) == ("2.40", "2.25")


def test_tables_files_and_plot(folder: Path) -> None:
    """On the screen rounded, in the files exact, in the drawing who moves most."""
    result = simulate(folder, "--csv", str(folder / "out"), "--plot", str(folder / "plot.svg"))
    assert result.exit_code == 0, result.output
    assert "revenue 4.95 -> 4.20: -0.75 (-15.2 %)" in result.output
    assert "customers who pay less" in result.output
    assert "passed over: 2 lines, such as 'b,nonsense': has too few or too many cells" in result.output
    written = (folder / "out" / "by-customer.csv").read_text(encoding="utf-8")
    rows = list(csv.DictReader(written.splitlines()))
    assert [(row["name"], row["change"], row["percent"]) for row in rows] == [
        ("b", "-0.85", "-58.6"),
        ("a", "0.10", "2.9"),
    ]
    drawing = (folder / "plot.svg").read_text(encoding="utf-8")
    assert all(words in drawing for words in ("change by customer: 2 of 2", "Germany", "(barred)", "-15.2 %"))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--deck", "nowhere.csv", "--cdrs", "x"), "cannot read nowhere.csv"),
        (("--deck", "unknown", "--cdrs", "x"), "unknown has no version ''"),
        (("--deck", "{folder}/new.csv", "--cdrs", "sometime"), "sometime is no file and no span: write last-month"),
        (("--deck", "{folder}/new.csv", "--cdrs", "{folder}/new.csv"), "has no column account_id and used and amount"),
        (("--deck", "{folder}/records.csv", "--cdrs", "{folder}/records.csv"), "the rates have faults"),
        (("--deck", "{folder}/new.csv", "--cdrs", "{folder}/records.csv", "--exchange", "0"), "write a decimal number"),
        (("--deck", "{folder}/new.csv", "--cdrs", "2026-10"), "no plan uses a deck new: --replaces names the live one"),
    ],
)
def test_refusals(folder: Path, arguments: tuple[str, ...], said: str) -> None:
    """What cannot be simulated is said with its cure."""
    result = CliRunner().invoke(app, ["rates", "simulate", *(text.format(folder=folder) for text in arguments)])
    assert result.exit_code == EXIT_CONFIG
    assert said in result.output


@pytest.mark.parametrize("count", [1, 2, 3, 7, 50])
def test_parts_are_the_whole(folder: Path, count: int) -> None:
    """However a file is cut, each row is read once."""
    for name in ("records.csv", "records.jsonl"):
        path = folder / name
        columns = columns_of(path)
        whole = [list(row) for part in parts_of(path, 1) for row in rows_of(part, columns)]
        assert [list(row) for part in parts_of(path, count) for row in rows_of(part, columns)] == whole
        assert len(whole) == 7
        assert whole[0][:4] == ["a", "44123", "60", "1.00"]


def test_several_processes_come_to_the_same(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """[R] However the work is shared out, the sums are the same."""
    alone = simulate(folder, "--json").output
    monkeypatch.setattr(rates_simulate_work, "PART_OCTETS", 40)
    shared = simulate(folder, "--json").output
    assert json.loads(shared)["total"] == json.loads(alone)["total"]
    assert json.loads(shared)["by_customer"] == json.loads(alone)["by_customer"]


def test_spans() -> None:
    """A month, a range, and the month before this one, half open in UTC."""
    assert [moment_text(at) for at in span("2026-12")] == ["2026-12-01", "2027-01-01"]
    assert [moment_text(at) for at in span("2026-10-01..2026-10-15")] == ["2026-10-01", "2026-10-15"]
    first, last = map(moment_text, span("last-month"))
    assert (last[:7], first[-3:]) == (moment_text(now_ms())[:7], "-01")
    with pytest.raises(StartRefusedError, match="2026-13 is no file and no span"):
        span("2026-13")


@pytest.mark.parametrize(
    ("amount", "text"),
    [(1_234_567_895_000_000, "1,234,567.90"), (-4_000_000, "0.00"), (-5_000_000, "-0.01"), (0, "0.00")],
)
def test_amounts_on_the_screen(amount: int, text: str) -> None:
    """Rounded half away from zero, thousands apart."""
    assert shown(amount, EUR) == text
    assert percent(5, 0) == ""
