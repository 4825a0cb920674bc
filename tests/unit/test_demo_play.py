"""The demo's performance with a stage of cardboard: what is shown, and what the exit status says."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from ocs.demo import play
from ocs.demo.errors import PlayError
from ocs.demo.play import perform
from ocs.demo.report import differences
from ocs.demo.script import RECORDS, STEPS, Record, Shown, Step
from ocs.demo.stage import Outcome
from ocs.errors import EXIT_DIFFERENCES


class Cardboard:
    """A stage on which nothing moves."""

    account_id, number = "demo-1", "49151"

    def __init__(self, *cdrs: dict[str, Any]) -> None:
        self._cdrs = cdrs

    def money(self) -> tuple[str, str]:
        return "1.00", "0.00"

    def cdrs(self) -> list[dict[str, Any]]:
        return list(self._cdrs)


PAID = Step("HTTP", "top up", lambda _: Outcome("", "paid in"), Shown("", "paid in", "1.00", "0.00"))
MESSAGE = Record("gy", "sms", "1 event", "0.08")


def _fail(_: Any) -> Outcome:
    raise PlayError("Diameter at 127.0.0.1:3868 does not answer: closed")


BROKEN = Step("Diameter", "CCR-I", _fail, Shown("60 s", "2001 SUCCESS", "1.00", "0.70"))


def _cdr(**changes: Any) -> dict[str, Any]:
    group = {"used": 1, "unit": "events", "source": "rateplans/test-eur.toml:12", "explanation": ["0.08 EUR in all"]}
    usual = {"session_id": "s", "protocol": "gy", "service": "sms", "destination": "49", "cost": "0.08"}
    more = {"currency": "EUR", "started_at": "2026-01-31T12:00:00.000Z", "flags": [], "groups": [group]}
    return {**usual, **more, **changes}


def _play(stage: Cardboard, *steps: Step) -> tuple[int, str]:
    out = Console(file=io.StringIO(), width=200)
    status = perform(stage, out, steps, (MESSAGE,))  # type: ignore[arg-type]
    assert isinstance(out.file, io.StringIO)
    return status, out.file.getvalue()


def test_all_as_written() -> None:
    """Status 0, the record with its explanation and its source, and a line that says so."""
    status, text = _play(Cardboard(_cdr()), PAID)
    assert status == 0
    for words in ("top up", "0.08 EUR in all", "by rateplans/test-eur.toml:12", "12:00:00 gy", "all 1 steps and 1 rec"):
        assert words in text
    assert "DIFFERENT" not in text


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"cost": "0.09"}, "DIFFERENT: CDR s: cost is '0.09', expected '0.08'"),
        ({"protocol": "ra"}, "DIFFERENT: CDR s: protocol is 'ra', expected 'gy'"),
        ({"flags": ["overused"]}, "DIFFERENT: CDR s: flags is ('overused',), expected ()"),
        ({"groups": []}, "DIFFERENT: CDR s: used is '', expected '1 event'"),
        ({"currency": "USD"}, "the explanation ends with ['0.08 EUR in all'], expected 0.08 USD in all"),
    ],
)
def test_a_record_that_differs(changes: dict[str, Any], expected: str) -> None:
    """Each field that is not the expected one has a line of its own."""
    status, text = _play(Cardboard(_cdr(**changes)), PAID)
    assert status == EXIT_DIFFERENCES
    assert expected in text


def test_a_record_that_does_not_come(monkeypatch: pytest.MonkeyPatch) -> None:
    """The wait is bounded, and the likely cause is named."""
    monkeypatch.setattr(play, "CDR_WAIT_S", 0.0)
    status, text = _play(Cardboard(), PAID)
    assert status == EXIT_DIFFERENCES
    assert "DIFFERENT: 0 of 1 CDRs are in PostgreSQL after 0 s: does the flusher run?" in text


def test_a_server_that_goes_away_in_the_middle() -> None:
    """What was played is shown; the rest is one line."""
    status, text = _play(Cardboard(), PAID, BROKEN)
    assert status == EXIT_DIFFERENCES
    assert "top up" in text
    assert "DIFFERENT: Diameter at 127.0.0.1:3868 does not answer: closed" in text
    assert "CDRs in PostgreSQL" not in text


def test_nothing_could_be_played() -> None:
    """Then there is no table, only the reason."""
    with pytest.raises(PlayError, match="does not answer"):
        _play(Cardboard(), BROKEN)


def test_each_figure_that_differs_is_a_line() -> None:
    """Nothing is hidden behind the first difference."""
    shown = Shown("30 s", "4012 CREDIT_LIMIT_REACHED", "1.00", "0.00")
    assert differences([(BROKEN, shown)]) == [
        "CCR-I: granted is '30 s', expected '60 s'",
        "CCR-I: result is '4012 CREDIT_LIMIT_REACHED', expected '2001 SUCCESS'",
        "CCR-I: reserved is '0.00', expected '0.70'",
    ]


def test_the_script_adds_up() -> None:
    """What was paid in, less what the records cost, is what the last step leaves; nothing stays reserved."""
    cents = sum(round(100 * float(record.cost)) for record in RECORDS)
    last = STEPS[-1].expected
    assert (300 - cents, last.reserved) == (round(100 * float(last.balance)), "0.00")
