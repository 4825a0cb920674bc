"""Versions of a deck: staged, put in place at one instant, taken back, and whole whenever a process is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from ocs.rates.versions import DeckVersions, Manifest, VersionError, hash_of, scheduled_decks, write_whole

OLD, NEW, NEWER = (f"prefix,destination,rate\n49,Germany,0.0{digit}\n".encode() for digit in (2, 3, 4))


def deck(folder: Path, live: bytes = OLD) -> DeckVersions:
    (folder / "decks").mkdir(exist_ok=True)
    versions = DeckVersions(folder, "d")
    if live:
        versions.live_path.write_bytes(live)
    return versions


def staged(versions: DeckVersions, data: bytes = NEW) -> str:
    manifest = Manifest(deck="d", hash=hash_of(data), base=hash_of(versions.live()), staged_at_ms=1)
    versions.stage(data, manifest)
    return manifest.hash


def test_staging_touches_nothing_that_is_live(tmp_path: Path) -> None:
    """A staged version waits until it is activated; activating it twice does it once."""
    versions = deck(tmp_path)
    version = staged(versions)
    assert versions.live() == OLD
    assert (versions.activate(version), versions.live()) == (True, NEW)
    assert versions.activate(version) is False


def test_one_step_back_and_forward(tmp_path: Path) -> None:
    """What was live before the last activation can be put back, and that can be taken back, too."""
    versions = deck(tmp_path)
    versions.activate(staged(versions))
    assert (versions.roll_back(), versions.live()) == (hash_of(OLD), OLD)
    assert (versions.roll_back(), versions.live()) == (hash_of(NEW), NEW)


def test_a_first_deck_can_be_taken_back(tmp_path: Path) -> None:
    """Where there was no deck, a step back removes it again."""
    versions = deck(tmp_path, b"")
    versions.activate(staged(versions))
    versions.roll_back()
    assert not versions.live_path.exists()


def test_nothing_to_take_back(tmp_path: Path) -> None:
    """A deck that was never activated has nothing before it."""
    with pytest.raises(VersionError, match="nothing is known of what d was before"):
        deck(tmp_path).roll_back()


def test_a_deck_that_changed_meanwhile_is_not_overwritten(tmp_path: Path) -> None:
    """A version computed against another deck would undo what was done since: it is refused."""
    versions = deck(tmp_path)
    version = staged(versions)
    versions.live_path.write_bytes(NEWER)
    with pytest.raises(VersionError, match=r"has changed since .* import again"):
        versions.activate(version)
    assert versions.live() == NEWER


def test_a_version_that_was_touched_is_not_put_in_place(tmp_path: Path) -> None:
    """The hash is held against the content, so what was shown is what becomes live."""
    versions = deck(tmp_path)
    version = staged(versions)
    (tmp_path / "versions" / "d" / f"{version}.csv").write_bytes(NEWER)
    with pytest.raises(VersionError, match="is not what was staged"):
        versions.activate(version)


def test_a_scheduled_version_becomes_live_at_its_instant(tmp_path: Path) -> None:
    """Not a millisecond before, and once, whoever asks first."""
    versions = deck(tmp_path)
    version = staged(versions)
    versions.schedule(version, 1000)
    assert scheduled_decks(tmp_path) == ["d"]
    assert (versions.activate_due(999), versions.live()) == ("", OLD)
    assert (versions.activate_due(1000), versions.live()) == (version, NEW)
    assert (versions.activate_due(1000), scheduled_decks(tmp_path)) == ("", [])


def test_old_versions_do_not_pile_up(tmp_path: Path) -> None:
    """Kept are the live one, the one before, and what is staged against them."""
    versions = deck(tmp_path)
    for data in (NEW, NEWER, NEW + b"# 1\n", NEW + b"# 2\n"):
        versions.activate(staged(versions, data))
    kept = {path.stem for path in (tmp_path / "versions" / "d").glob("*.csv")}
    assert kept == {hash_of(NEW + b"# 1\n"), hash_of(NEW + b"# 2\n")}


KILLED_AT = """
import os, signal, sys
from pathlib import Path
from ocs.rates import versions
folder, version, step = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
steps = 0
def counted(real):
    def call(*arguments, **named):
        global steps
        steps += 1
        if steps == step:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*arguments, **named)
    return call
os.fsync = counted(os.fsync)
os.replace = counted(os.replace)
Path.replace = counted(Path.replace)
Path.unlink = counted(Path.unlink)
versions.DeckVersions(folder, "d").activate(version)
print(steps)
"""


def test_a_kill_at_any_step_leaves_the_old_deck_or_the_new_one(tmp_path: Path) -> None:
    """kill -9 before each sync, rename and removal: the deck is whole, and the activation can be repeated."""
    for step in range(1, 40):
        folder = tmp_path / str(step)
        folder.mkdir()
        versions = deck(folder)
        version = staged(versions)
        argv = [sys.executable, "-c", KILLED_AT, str(folder), version, str(step)]
        status = subprocess.run(argv, check=False, capture_output=True, cwd=Path(__file__).parents[2]).returncode
        assert versions.live() in {OLD, NEW}
        versions.activate(version)
        assert versions.live() == NEW
        if status == 0:
            break
        assert status == -signal.SIGKILL
    else:
        pytest.fail("the activation never came to its end")
    assert step > 6, "each file is synced and renamed"
    assert (versions.roll_back(), versions.live()) == (hash_of(OLD), OLD)


def test_a_write_that_fails_leaves_what_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk does not cost the file that was there, nor leaves drafts behind."""
    path = tmp_path / "file"
    path.write_bytes(OLD)

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_whole(path, NEW)
    assert [(each.name, each.read_bytes()) for each in tmp_path.iterdir()] == [("file", OLD)]
