"""A rate book that another process made gives the same prices, is shared, and is never half there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ocs.errors import EXIT_CONFIG
from ocs.handover import book_file, let_go, load_apart, main, make, read_book, write_book
from ocs.rating.build import build
from ocs.rating.dated import instant_ms
from ocs.rating.load import load_ratebook, read_files
from ocs.rating.origins import Origin
from ocs.rating.ratebook import RateBook
from ocs.rating.tariffs import DeckRate

CONFIG = Path(__file__).parents[2] / "config"
NOW_MS = instant_ms("2026-09-21T12:00:00Z")
NUMBERS = ("100", "2001234", "5001", "600123", "112", "900", "777", "", "alice", "4915112345678", "12125551234")


def answers(book: RateBook) -> list[object]:
    return [
        book.tariff_for(plan, service, -1, (), number, at_ms, origin)
        for plan in ("test-eur", "retail-eur", "wholesale-usd", "hours-eur")
        for service in ("voice", "sms", "data")
        for number in NUMBERS
        for at_ms in (NOW_MS, instant_ms("2030-01-05T03:00:00Z"))
        for origin in (Origin(), Origin("", "sbc2.example.net"))
    ]


def sample_book() -> RateBook:
    result = load_ratebook(CONFIG, NOW_MS)
    assert result.book is not None
    return result.book


async def test_the_child_s_book_gives_the_same_prices(tmp_path: Path) -> None:
    """Whatever is asked, the mapped book answers as the one that was built here."""
    result = await load_apart(CONFIG, tmp_path / "rates")
    assert result.book is not None
    assert result.book.digest == sample_book().digest
    assert answers(result.book) == answers(sample_book())
    assert set(result.currencies) >= {"EUR", "USD"}


def test_the_file_may_go_while_the_book_is_used(tmp_path: Path) -> None:
    """A map outlives its name: tidying up takes nothing from a worker."""
    path = tmp_path / "a.book"
    write_book(load_ratebook(CONFIG, NOW_MS), path)
    book = read_book(path).book
    path.unlink()
    assert book is not None
    assert answers(book) == answers(sample_book())


def test_the_same_files_are_read_once(tmp_path: Path) -> None:
    """The second worker finds the book ready; a change of a file makes another one; the oldest go."""
    config = tmp_path / "config"
    (config / "rateplans").mkdir(parents=True)
    (config / "currencies.toml").write_bytes((CONFIG / "currencies.toml").read_bytes())
    (tmp_path / "rates").mkdir()
    made = []
    for rate in ("0.1", "0.2", "0.3", "0.4", "0.4"):
        plan = f'name = "p"\ncurrency = "EUR"\n[[tariffs]]\nservice = "x"\nname = "X"\nper = "event"\nrate = "{rate}"\n'
        (config / "rateplans" / "p.toml").write_text(plan, encoding="utf-8")
        made.append(make(config, tmp_path / "rates"))
        os.utime(made[-1], (len(made), len(made)))
    assert made[3] == made[4]
    assert len(set(made)) == 4
    assert [path.exists() for path in made[:4]] == [False, True, True, True]


async def test_faults_of_the_files_are_told(tmp_path: Path) -> None:
    """What the child complains of is what ``ocs config check`` says, and no file is left."""
    (tmp_path / "currencies.toml").write_text("EUR = 3\n", encoding="utf-8")
    result = await load_apart(tmp_path, tmp_path / "rates")
    assert result.book is None
    assert result.faults == load_ratebook(tmp_path, NOW_MS).faults
    assert "currencies.toml:1: EUR: has to be a table" in str(result.faults[0])
    assert list((tmp_path / "rates").glob("*.book")) == []


async def test_a_folder_that_cannot_be_written_is_done_without(tmp_path: Path) -> None:
    """A daemon without a data folder of its own takes new rates all the same."""
    (tmp_path / "rates").write_text("no folder", encoding="utf-8")
    result = await load_apart(CONFIG, tmp_path / "rates")
    assert result.book is not None
    assert answers(result.book) == answers(sample_book())


def test_a_book_that_cannot_be_written_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The operator reads a line, not a traceback."""
    monkeypatch.setattr("sys.argv", ["handover", str(CONFIG), str(tmp_path / "gone")])
    monkeypatch.setattr("os.nice", lambda _: 0)
    assert main() == EXIT_CONFIG
    assert "the rate book cannot be written to" in capsys.readouterr().err


def test_names_of_book_files_say_what_made_them(tmp_path: Path) -> None:
    """Another version of the program or of Python does not read what it cannot."""
    files, _ = read_files(CONFIG)
    digest = build(files, NOW_MS).book
    assert digest is not None
    assert book_file(tmp_path, digest.digest).name.startswith(digest.digest[:32])


def test_an_old_book_is_let_go_by_and_by() -> None:
    """What was made when asked for is forgotten in steps."""
    book = sample_book()
    answers(book)
    kept = [source for source in book.sources() if isinstance(source, DeckRate)]
    assert any(source._kept for source in kept)
    assert list(let_go(book))
    assert not any(source._kept for source in kept)
