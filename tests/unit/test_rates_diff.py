"""``ocs rates diff`` and ``ocs rates explain`` as an operator types them, on the sample configuration."""

from __future__ import annotations

import csv
import json
import shutil
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from ocs.cli.app import app
from ocs.errors import EXIT_CONFIG, EXIT_DIFFERENCES


def ocs(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["rates", *map(str, arguments)])


@pytest.fixture
def live(sample_config: Path) -> Path:
    """The configuration as it is; beside it lies a copy that is to be changed."""
    folder = sample_config.parent
    shutil.copytree(folder, folder.with_name("next"))
    return folder


def change(live: Path, file: str, old: str, new: str) -> Path:
    """Change the copy; give its folder."""
    path = live.with_name("next") / file
    text = path.read_text(encoding="utf-8")
    assert old in text, file
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    return live.with_name("next")


DECK = "decks/test-voice-eur.csv"
LATER = '\n[[tariffs]]\nservice = "mms"\nname = "MMS"\nper = "event"\nrate = "0.35"\nfrom = 2999-01-01\n'


@pytest.mark.parametrize(
    ("file", "old", "new", "expected"),
    [
        (DECK, "100,0.01 per second,0.01", "100,0.01 per second,0.02", ("increase", "100", "", "100.0")),
        (DECK, "0.03,1,1,,,,,trunk", "0.024,1,1,,,,,trunk", ("decrease", "600", "trunk:sbc2.example.net", "-20.0")),
        (DECK, "0.01,1,1,,,,0.02", "0.01,1,1,,,,0.04", ("increase", "500", "", "0.0")),  # in the peak band alone
        (DECK, "200,0.30 per started minute,0.005,60,60", "200,Minutes,0.005,30,6", ("increment change", "200", "", "0.0")),
        (DECK, "800,Toll-free,0", "800,Toll-free,0.01", ("increase", "800", "", None)),
        (DECK, "900,Barred,,,,,,,,,yes", "900,Opened,0.1,,,,,,,,", ("reopened", "900", "", None)),
        (DECK, "100,0.01 per second", "101,0.01 per second", ("gone", "100", "", None)),
    ],
)  # fmt: skip
def test_changes_of_a_deck(live: Path, file: str, old: str, new: str, expected: tuple[str, ...]) -> None:
    """[R] In dial codes and money: what carriers call the change, for whom, by how much; only lines that differ in price."""
    result = ocs("diff", live, change(live, file, old, new), "--json")
    assert result.exit_code == EXIT_DIFFERENCES, result.output
    changes = [each for found in json.loads(result.output)["differences"] for each in found["changes"]]
    found = [tuple(each[name] for name in ("change", "prefix", "origin", "percent")) for each in changes]
    assert expected in found
    assert len(found) == (2 if expected[0] == "gone" else 1)
    shown = ocs("diff", live, live.with_name("next")).output
    assert f"{expected[1]} from {expected[2]}" in shown if expected[2] else expected[1] in shown
    rows = list(csv.DictReader(ocs("diff", live, live.with_name("next"), "--csv").output.splitlines()))
    assert (rows[0]["change"], rows[0]["prefix"]) in {(each[0], each[1]) for each in found}


def test_a_tariff_that_follows_another(live: Path) -> None:
    """[R] A change of a plan's tariffs by date stands with its date, as one of a deck's lines does."""
    plan = "rateplans/retail-eur.toml"
    change(live, plan, 'service = "mms"', 'service = "mms"\nto = 2999-01-01')
    path = live.with_name("next") / plan
    path.write_text(path.read_text(encoding="utf-8") + LATER, encoding="utf-8")
    (found,) = json.loads(ocs("diff", live, live.with_name("next"), "--json").output)["differences"]
    (line,) = found["changes"]
    assert (found["service"], line["change"], line["from"], line["old"]["rate"], line["new"]["rate"]) == (
        "mms", "increase", "2999-01-01", "0.29", "0.35",
    )  # fmt: skip


def test_no_difference(live: Path) -> None:
    """The same prices, written otherwise, are no change; and what is no folder is said."""
    change(live, DECK, "100,0.01 per second,0.01,", "100,0.01 per second,0.0100,")
    result = ocs("diff", live, live.with_name("next"))
    assert (result.exit_code, result.output.strip()) == (0, "no difference in price")
    assert ocs("diff", live, live / "nowhere").exit_code == EXIT_CONFIG
    assert ocs("diff", live / DECK, live.with_name("next") / DECK).exit_code == 0


def explained(config: Path, *arguments: str) -> dict[str, Any]:
    fields: dict[str, Any] = json.loads(ocs("explain", *arguments, "-c", config, "--json").output)
    return fields


@pytest.mark.parametrize(
    ("arguments", "cost", "words"),
    [
        (("4915112345678", "-p", "retail-eur", "--seconds", "70"), "0.14", "70 s at 0.12 EUR per minute"),
        (("500123", "-p", "test-eur", "--seconds", "100", "--at", "2026-10-01T15:59:30Z"), "1.30", "30 s at 0.02 EUR per second, peak"),
        (("49151", "-p", "acme-usd", "--seconds", "61"), "0.0316", "rounded up to 0.0001 USD"),
        (("600123", "-p", "test-eur", "--trunk", "sbc2.example.net", "--seconds", "10"), "0.30", "10 s at 0.03 EUR per second"),
        (("--service", "stickers", "-p", "test-eur", "--events", "11"), "0.55", "all in tier 2"),
        (("--service", "data", "-p", "test-eur", "--rating-group", "56", "--seconds", "30", "--counted", "50"), "0.50", "fee of tier 2"),
        (("--service", "data", "-p", "test-eur", "--rating-group", "55", "--seconds", "40", "--counted", "50"), "0.50", "0.60 EUR come back"),
        (("400123", "-p", "test-eur", "--seconds", "5"), "0.05", "per attempt"),
        (("112", "-p", "test-eur", "--seconds", "60"), "0.00", ""),
    ],
)  # fmt: skip
def test_a_price_is_explained(sample_config: Path, arguments: tuple[str, ...], cost: str, words: str) -> None:
    """[R] Candidates and why each lost, band, increments, tiers, rounding; what is added up is the price, as text and JSON."""
    found = explained(sample_config, *arguments)
    use = found["use"]
    assert use["cost"] == cost
    assert sum(Decimal(part["amount"]) for part in use["parts"]) == Decimal(cost)
    text = ocs("explain", *arguments, "-c", sample_config)
    assert text.exit_code == 0
    assert words in text.output
    assert all(line in text.output for line in use["words"])
    assert [each["is_chosen"] for each in found["candidates"]].count(True) == bool(found["candidates"])


@pytest.mark.parametrize(
    ("number", "prefix", "outcome"),
    [
        ("4915112345678", "49", "shorter than 4915"),
        ("600123", "600", "for another origin"),
        ("900123", "900", "bars the number: nothing shorter is asked"),
    ],
)
def test_why_a_candidate_lost(sample_config: Path, number: str, prefix: str, outcome: str) -> None:
    """[R] Every prefix of the number says what became of it."""
    plan = "retail-eur" if number.startswith("49") else "test-eur"
    found = explained(sample_config, number, "-p", plan)
    assert outcome in [each["outcome"] for each in found["candidates"] if each["prefix"] == prefix]


def test_what_cannot_be_explained(sample_config: Path) -> None:
    """A refusal has its reason and its exit status; a unit that the tariff does not count is asked for."""
    barred = ocs("explain", "900123", "-p", "test-eur", "-c", sample_config)
    assert (barred.exit_code, "no price: the destination is barred" in barred.output) == (1, True)
    assert "name a plan with --plan: acme-usd, " in ocs("explain", "49", "-c", sample_config).output
    wrong = ocs("explain", "49", "-p", "retail-eur", "--octets", "5", "-c", sample_config)
    assert (wrong.exit_code, "this tariff counts seconds: say --seconds" in wrong.output) == (EXIT_CONFIG, True)


def test_volume_and_time_are_explained(sample_config: Path) -> None:
    """[R] Both uses, each with the parts that add up to it."""
    arguments = (
        "--service",
        "data",
        "--rating-group",
        "40",
        "-p",
        "test-eur",
        "--octets",
        "3000000",
        "--seconds",
        "61",
    )
    found = explained(sample_config, *arguments)
    assert (found["use"]["cost"], found["time"]["cost"], found["tariff"]["price"]["time"]["rate"]) == (
        "0.06",
        "0.02",
        "0.01",
    )
    text = ocs("explain", *arguments, "-c", sample_config).output
    assert "and for the time: 0.01 EUR per minute, billed 60/60" in text
    assert "0.02 EUR 120 s" in text
