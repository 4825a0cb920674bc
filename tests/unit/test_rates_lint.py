"""Warnings of ``ocs config check``: lawful, and probably not meant."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from ocs.cli.app import app
from ocs.errors import EXIT_CONFIG
from ocs.rates.lint import lint
from ocs.rating.build import build
from tests.unit.test_rate_files import DECK_TARIFF, NOW_MS, files

HEAD = "prefix,destination,rate,from,to,forbidden\n"
GERMANY = "49,Germany,0.02,,,\n491,Germany Mobile,0.03,,,\n492,Germany Special,0.05,,,\n"


def warnings(deck: str, **others: str) -> list[str]:
    """The warnings of a deck that plan p uses, on 2026-09-21."""
    all_files = files(DECK_TARIFF, decks__d_csv=HEAD + deck, **others)
    return [str(warning) for warning in lint(all_files, build(all_files, NOW_MS), NOW_MS)]


@pytest.mark.parametrize(
    ("deck", "expected"),
    [
        (GERMANY, []),
        (
            GERMANY + "4915,Germany X,0.09,2026-12-01,,\n",
            [
                (
                    "decks/d.csv:5: from: 4915 is not in force yet; until then the cheaper line 3 applies"
                    " (add a line for now, or forbid the prefix until then)"
                )
            ],
        ),
        (GERMANY + "4915,Germany X,0.01,2026-12-01,,\n", []),
        (
            GERMANY + "4915,Germany X,0.09,,2026-12-01,\n4915,Germany X,0.09,2027-01-01,,\n",
            [
                (
                    "decks/d.csv:5: to: 4915 ends 2026-12-01; from then until 2027-01-01 line 3 (491) answers"
                    " (add a line from then on, or forbid the prefix)"
                )
            ],
        ),
        (
            GERMANY + "4915,Germany X,0.09,,2026-12-01,\n",
            [
                (
                    "decks/d.csv:5: to: 4915 ends 2026-12-01; from then line 3 (491) answers"
                    " (add a line from then on, or forbid the prefix)"
                )
            ],
        ),
        (GERMANY + "33,France,0.09,,2026-12-01,\n", []),
        (GERMANY + "4915,Germany X,0.09,,2026-12-01,\n4915,Germany X,,2026-12-01,,yes\n", []),
        (
            GERMANY + "4915,Germany X,0.002,,,\n",
            [
                (
                    "decks/d.csv:5: rate: Germany X is 10 times below the middle of its country's destinations"
                    " (look for a lost or added digit)"
                )
            ],
        ),
        (
            "49,Germany,0.02,2025-01-01,,\n",
            [
                (
                    "decks/d.csv:2: from: no line begins or ends after 2025-01-01, 628 days ago"
                    " (ask the supplier for the present list)"
                )
            ],
        ),
        (
            "49,Germany,0.02,2026-09-01T10:00,,\n",
            [
                (
                    "decks/d.csv:2: from, to: 2026-09-01T10:00 says no offset and is read as UTC"
                    " (write 2026-09-01T10:00Z, or the offset that is meant, such as +02:00)"
                )
            ],
        ),
        ("49,Germany,0.02,2026-09-01T10:00+02:00,,\n", []),
    ],
)
def test_deck_warnings(deck: str, expected: list[str]) -> None:
    """Gaps, fall-backs, far prices, stale decks and times without offset are told with their line and cure."""
    assert warnings(deck) == expected


def test_figures_in_two_currencies() -> None:
    """A deck that two plans read in different currencies is right for one of them at most."""
    other = DECK_TARIFF.replace('"p"', '"q"').replace('"EUR"', '"JPY"')
    (found,) = warnings(GERMANY, rateplans__q_toml=other)
    assert found == (
        "decks/d.csv:1: currency: the same figures are read in EUR by p and JPY by q"
        " (give each currency its own deck, or write currency in the tariff)"
    )
    named = other + 'currency = "EUR"\n'
    exchange = "from,to,rate,date\nEUR,JPY,160,2026-01-01\n"
    assert warnings(GERMANY, rateplans__q_toml=named, exchange_csv=exchange) == []


HEIR = 'name = "q"\ncurrency = "EUR"\nparent = "p"\n[[tariffs]]\nservice = "voice"\nname = "Q"\nper = "minute"\n'


@pytest.mark.parametrize("origin", ["", 'origin = "49"\n'])
@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (
            "4915,Special,0.09,2026-12-01,,",
            (
                "decks/e.csv:2: from: 4915 is not in force yet; until then the cheaper decks/d.csv:3 applies"
                " (add a line for now, or forbid the prefix until then)"
            ),
        ),
        ("4915,Special,0.01,2026-12-01,,", ""),
        (
            "44,UK,0.1,2024-01-01,,",
            (
                "decks/e.csv:2: from: no line begins or ends after 2024-01-01, 994 days ago"
                " (ask the supplier for the present list)"
            ),
        ),
    ],
)
def test_decks_over_others(line: str, expected: str, origin: str) -> None:
    """A deck is looked at wherever it lies: over its parent's, for an origin; what lies below answers until it begins."""
    heir = HEIR + 'deck = "e"\n' + origin
    assert warnings(GERMANY, rateplans__q_toml=heir, decks__e_csv=HEAD + line + "\n") == [expected] * bool(expected)


TARIFF = '[[tariffs]]\nservice = "sms"\nname = "SMS"\nper = "event"\nrate = "0.1"\n'


@pytest.mark.parametrize(
    ("plan", "expected"),
    [
        (TARIFF, []),
        (TARIFF + "to = 2027-01-01\n" + TARIFF + "from = 2027-01-01\n", []),
        (
            TARIFF + "to = 2027-01-01\n" + TARIFF + "from = 2027-02-01\n",
            [
                ("rateplans/p.toml:8: tariffs.to: when it ends, nothing has a price for this until line 14 begins"
                " (let the next tariff begin where this one ends)")
            ],
        ),
        (
            TARIFF + "to = 2027-01-01\n",
            [
                ("rateplans/p.toml:8: tariffs.to: when it ends, nothing has a price for this for ever"
                " (let the next tariff begin where this one ends)")
            ],
        ),
        (
            TARIFF + "to = 2027-03-01\n" + TARIFF + "from = 2027-02-01\n",
            [
                ("rateplans/p.toml:8: tariffs.to: is still in force when the tariff of line 14 begins, which then goes"
                " first (end it where the other begins)")
            ],
        ),
    ],
)  # fmt: skip
def test_tariffs_of_a_plan(plan: str, expected: list[str]) -> None:
    """Overlapping dates and gaps between the tariffs of a plan; where there is a parent, a gap is the parent's."""
    whole = DECK_TARIFF + plan
    all_files = files(whole, decks__d_csv=HEAD + GERMANY)
    assert [str(each) for each in lint(all_files, build(all_files, NOW_MS), NOW_MS)] == expected
    parent = whole.replace('currency = "EUR"', 'currency = "EUR"\nparent = "base"')
    base = DECK_TARIFF.replace('"p"', '"base"')
    all_files = files(parent, decks__d_csv=HEAD + GERMANY, rateplans__base_toml=base)
    found = [str(each) for each in lint(all_files, build(all_files, NOW_MS), NOW_MS)]
    assert [each for each in found if "nothing has a price" in each] == []


def test_days_that_begin_elsewhere() -> None:
    """A date without a time is midnight UTC: said where the tariff has a clock of its own."""
    calendar = 'zone = "{}"\n[[bands]]\nname = "day"\ntimes = ["06:00-18:00"]\n[[bands]]\nname = "night"\n'
    plan = DECK_TARIFF + 'calendar = "c"\n'
    deck = HEAD + "49,Germany,0.02,2026-09-01T00:00:00Z,,\n491,Germany Mobile,0.03,2026-09-01,,\n"
    for zone, expected in (
        ("UTC", []),
        (
            "Europe/Berlin",
            [
                (
                    "decks/d.csv:3: from, to: 2026-09-01 begins at midnight UTC, which is another hour in Europe/Berlin"
                    " (write 2026-09-01T00:00+HH:MM with the offset there)"
                )
            ],
        ),
    ):
        all_files = files(plan, decks__d_csv=deck, calendars__c_toml=calendar.format(zone))
        assert [str(each) for each in lint(all_files, build(all_files, NOW_MS), NOW_MS)] == expected


def test_warnings_do_not_fail_and_faults_do(sample_config: Path) -> None:
    """`ocs config check` lists both; only faults end with the status of a configuration error."""
    folder = sample_config.parent
    deck = folder / "decks" / "test-voice-eur.csv"
    deck.write_text("prefix,destination,rate,from\n100,A,0.01,2020-01-01T00:00Z\n", encoding="utf-8")
    check = ["config", "check", str(folder)]
    result = CliRunner().invoke(app, check)
    assert result.exit_code == 0
    assert f"{deck}:2: warning: from: no line begins or ends after 2020-01-01" in result.output
    assert f"{folder}: no faults, 1 warning" in result.output
    (folder / "suppliers").mkdir()
    (folder / "suppliers" / "acme.toml").write_text('dates = "us"\n', encoding="utf-8")
    result = CliRunner().invoke(app, check)
    assert result.exit_code == EXIT_CONFIG
    assert f"{folder}/suppliers/acme.toml:1: dates: invalid enum value 'us'" in result.output
    assert f"1 fault in {folder}, 1 warning" in result.output
