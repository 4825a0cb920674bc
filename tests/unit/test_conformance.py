"""The conformance table: no requirement without a test or a reason, and never out of date."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[2] / "scripts"
sys.path.insert(0, str(SCRIPTS))

from conformance import (  # noqa: E402 - it stands beside the program that it belongs to
    PAGES,
    Page,
    Place,
    faults,
    find_tests,
    labels_in_name,
    labels_in_prose,
    labels_of_scenario,
    prune,
    table,
)


def test_the_table_has_no_gap_and_is_current() -> None:
    """What `make conformance` would write is what stands in docs/conformance.md; each label has a test or a reason."""
    command = [sys.executable, str(SCRIPTS / "conformance.py"), "--check"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        ("Echoed in order [B-76].", {"B-76"}),
        ("B-70 to B-72: ours by host or realm.", {"B-70", "B-71", "B-72"}),
        ("[G-26 to G-28] [R-5]", {"G-26", "G-27", "G-28", "R-5"}),
        ("A repeat is a repeat (statements 11, 12 and 14).", {"11", "12", "14"}),
        ("Behaviour 64: refused.", {"64"}),
        ("RFC 6733, 7.1 and TB-5: none of ours.", set()),
        ("[R-3.9] is of prices, [R-3].", {"R-3"}),
    ],
)
def test_labels_in_prose(text: str, labels: set[str]) -> None:
    """Labels in brackets or bare, spans, and numbers of statements after their word."""
    assert labels_in_prose(text) == labels


@pytest.mark.parametrize(
    ("name", "labels"),
    [
        ("test_b43_who_may_connect", {"B-43"}),
        ("test_r21_r22_policy", {"R-21", "R-22"}),
        ("test_119_one_cut", {"119"}),
        ("test_74_75_76_redirect", {"74", "75", "76"}),
        ("test_82_to_84_split", {"82", "83", "84"}),
        ("test_3_an_authorization", {"3"}),
        ("test_statement_25_a_stop", {"25"}),
        ("test_3_8_longest_prefix", set()),
        ("test_rfc2865_password", set()),
    ],
)
def test_labels_in_names(name: str, labels: set[str]) -> None:
    """Letters and number for a requirement, the number alone for a statement."""
    assert labels_in_name(name) == labels


def test_labels_of_scenarios() -> None:
    """The statements' numbers in front, any other label in the words."""
    assert labels_of_scenario("29-31 a grant is covered [G-24]") == {"29", "30", "31", "G-24"}
    assert labels_of_scenario("a barred destination is refused") == set()


def test_every_kind_of_fault_is_said(tmp_path: Path) -> None:
    """A gap, a reason that has come to nothing, a remark on nothing, a stranger: each is a line."""
    (tmp_path / "tests").mkdir()
    content = '"""T."""\n\n\ndef test_b1_answers() -> None:\n    """Also B-99."""\n\n\nSTEPS = {"7 words": "I s1 ask -> 30"}\n'
    (tmp_path / "tests" / "test_one.py").write_text(content, encoding="utf-8")
    tests = find_tests(tmp_path)
    assert tests["7"] == [Place("tests/test_one.py", '"7 words"')]
    labels = {"B-1": "shown", "B-2": "gap", "7": "shown"}
    page = Page("Base", "RFC", labels, {"B-1": "not built yet", "B-3": "which?"}, {"B-2": "all of it"})
    assert faults([page], tests) == [
        "B-2: neither a test nor a reason",
        "B-1: has tests now: take its reason away",
        "B-2: has no test: what is open is all of it",
        "B-3: a reason for a label that is in no list",
        "B-99: carried by tests/test_one.py test_b1_answers, but in no list",
    ]
    assert "| B-1 | shown | [test_b1_answers](../tests/test_one.py) |" in table([page], tests)


def test_a_reason_goes_when_its_test_comes(tmp_path: Path) -> None:
    """Writing the table takes it out of its list, and nothing else."""
    lists = tmp_path / "docs" / "conformance"
    lists.mkdir(parents=True)
    for name in PAGES:
        content = (
            '[labels]\nB-1 = "x"\nB-2 = "y"\n\n[reasons]\nB-1 = "not yet"\nB-2 = "nor this"\n\n[open]\nB-1 = "z"\n'
        )
        (lists / f"{name}.toml").write_text(content, encoding="utf-8")
    assert prune(tmp_path, {"B-1": [Place("tests/test_one.py", "test_b1")]}) == ["B-1"] * len(PAGES)
    left = (lists / "radius.toml").read_text(encoding="utf-8")
    assert left == '[labels]\nB-1 = "x"\nB-2 = "y"\n\n[reasons]\nB-2 = "nor this"\n\n[open]\nB-1 = "z"\n'
