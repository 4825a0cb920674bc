"""``ocs cdr`` and ``ocs rates simulate`` on records in a real PostgreSQL."""

from __future__ import annotations

import asyncio
import csv
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from balance.account import Hold
from balance.money import parse_amount
from ocs.charging.cdr import Cdr, CdrGroup, JournalEntry
from ocs.cli.app import app
from ocs.clock import now_ms
from ocs.errors import EXIT_CONFIG
from ocs.outbox.postgres import PostgresSink
from ocs.outbox.sinks import OutboxEntry
from ocs.rating.load import load_ratebook
from ocs.rating.price import Price, Tariff, Terms, cost_of
from ocs.rating.terms import Carried, with_terms
from ocs.rating.units import UnitKind

pytestmark = pytest.mark.integration

OCTOBER_MS = 1_791_000_000_000  # 2026-10-03
NUMBERS = ("33612345678", "4915112345678", "39061234567")


@pytest.fixture
async def books(sample_config: Path, valkey_url: str, billing_dsn: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three calls of October by the sample's retail deck; the settings name the servers."""
    monkeypatch.setenv("OCS_VALKEY_URL", valkey_url)
    monkeypatch.setenv("OCS_POSTGRES_DSN", billing_dsn)
    monkeypatch.setenv("COLUMNS", "200")
    book = load_ratebook(sample_config.parent, now_ms()).book
    assert book is not None
    entries = []
    for number, called in enumerate(NUMBERS, start=1):
        tariff = book.tariff_for("retail-eur", "voice", -1, (), called, OCTOBER_MS)
        assert isinstance(tariff, Tariff)
        cost = cost_of(tariff.price, 70)
        group = CdrGroup(
            -1,
            (),
            int(tariff.price.kind),
            70,
            cost,
            tariff.name,
            tariff.destination,
            tariff.prefix,
            tariff.source,
            tariff.price,
        )
        cdr = Cdr(
            f"call;{number}", "gy", "pgw", "alice", "voice", "4930", called, OCTOBER_MS, OCTOBER_MS + 70_000, cost,
            tariff.version, (group,),
        )  # fmt: skip
        entries.append(JournalEntry("alice", number, OCTOBER_MS, "session", "EUR", (Hold(0, -cost),), cdr=cdr))
    sink = PostgresSink(billing_dsn)
    await sink.write([OutboxEntry(0, f"1-{at}", entry, b"") for at, entry in enumerate(entries)])
    await sink.close()
    return sample_config


def ocs(config: Path, *arguments: str) -> Result:
    """Run a command on the books."""
    return CliRunner().invoke(app, [*arguments, "--config", str(config)])


@pytest.mark.parametrize("record", ["alice/1", "call;1"])
def test_a_record_is_explained(books: Path, record: str) -> None:
    """[R] By account and entry, or by Session-Id: the price in words, its parts, and the bucket that paid."""
    text = ocs(books, "cdr", "explain", record).output
    assert "France Mobile (336), from decks/retail-voice-eur.csv:" in text
    assert "billed are the first 60 s, then every started 1 s" in text
    assert "used 70 s, billed 70 s" in text
    (group,) = json.loads(ocs(books, "cdr", "explain", record, "--json").output)["groups"]
    parts = sum(parse_amount(part["amount"], 9) for part in group["parts"])
    assert f"bucket 0: -{parts / 10**9:.9f}".rstrip("0") in text


def test_a_record_that_is_not_there(books: Path) -> None:
    """One line that says how records are named."""
    result = ocs(books, "cdr", "explain", "alice/99")
    assert (result.exit_code, "there is no record 'alice/99'" in result.output) == (EXIT_CONFIG, True)


def test_records_are_exported_and_simulated_alike(books: Path, tmp_path: Path) -> None:
    """A simulation on PostgreSQL and one on the exported file come to the same, to the last digit."""
    file = tmp_path / "october.csv"
    assert ocs(books, "cdr", "export", "2026-10", str(file), "--currency", "EUR").output.startswith("3 lines")
    rows = list(csv.DictReader(file.read_text(encoding="utf-8").splitlines()))
    assert sorted(row["number"] for row in rows) == sorted(NUMBERS)
    new = tmp_path / "retail-voice-eur.csv"
    new.write_text(
        "prefix,destination,rate\n336,France Mobile,0.26\n49,Germany,0.05\n39,Italy,0.05\n", encoding="utf-8"
    )
    common = ("rates", "simulate", "--deck", str(new), "--json", "--cdrs")
    by_books, by_file = (json.loads(ocs(books, *common, what).output) for what in ("2026-10", str(file)))
    assert by_books == {**by_file, "at": by_books["at"]}
    assert by_books["total"]["records"] == 3
    assert {each["name"]: each["percent"] for each in by_books["by_destination"]}["France Mobile"] == "100.0"


def test_a_span_without_records(books: Path) -> None:
    """It is said, and no empty table is shown."""
    result = ocs(
        books, "rates", "simulate", "--deck", str(books.parent / "decks" / "retail-voice-eur.csv"), "--cdrs", "2026-09"
    )
    assert (result.exit_code, "there is no record of 2026-09 in EUR" in result.output) == (
        EXIT_CONFIG,
        True,
    )


async def test_a_part_after_a_change_of_price_is_exported_as_one(books: Path, billing_dsn: str, tmp_path: Path) -> None:
    """When it began, where the user roamed then, and what was paid ahead: enough to price it anew by itself."""
    whole = Price(UnitKind.SECONDS, 0, 1, 1, 10_000_000, 10_000_000, 1)
    rest = with_terms(whole, Terms(carried=Carried(37, 0)))
    first = CdrGroup(-1, (), 1, 60, 600_000_000, "Calls", "X", "1", "decks/d.csv:2", whole)
    then = CdrGroup(-1, (), 1, 70, 330_000_000, "Calls", "X", "1", "decks/d.csv:3", rest, OCTOBER_MS + 60_000, "26202")
    cdr = Cdr(
        "call;9", "gy", "pgw", "alice", "voice", "4930", "100", OCTOBER_MS, OCTOBER_MS + 130_000, 930_000_000, "v",
        (first, then), rate_plan="test-eur", whereabouts="20801",
    )  # fmt: skip
    sink = PostgresSink(billing_dsn)
    entry = JournalEntry("alice", 9, OCTOBER_MS, "session", "EUR", (Hold(0, -930_000_000),), cdr=cdr)
    await sink.write([OutboxEntry(0, "9-9", entry, b"")])
    await sink.close()
    file = tmp_path / "october.csv"
    await asyncio.to_thread(ocs, books, "cdr", "export", "2026-10", str(file), "--currency", "EUR")
    rows = [row for row in csv.DictReader(file.read_text(encoding="utf-8").splitlines()) if row["number"] == "100"]
    assert [(row["used"], row["goes_on"], row["whereabouts"], row["started_at"][14:19]) for row in rows] == [
        ("60", "", "20801", "00:00"), ("70", "37", "26202", "01:00"),
    ]  # fmt: skip
