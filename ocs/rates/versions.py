"""Versions of a deck on disk: staged by content hash, put in place at one instant, taken back in one step.

    decks/<deck>.csv                    what is live
    versions/<deck>/<hash>.csv          each version by the hash of its content; never changed
    versions/<deck>/<hash>.json         where it came from, what it changes, what it was computed against
    versions/<deck>/state.json          what was live before the last change, and what is to become live when

Each file is written beside its name, brought to disk, then renamed: a kill at any point leaves the old file or the new
one, whole. What is live is told by the content of the deck itself, never by a note about it.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from ocs.rating.build import DECKS

VERSIONS: Final = "versions"
HASH_DIGITS: Final = 12
_STATE: Final = "state.json"
_LOCK: Final = ".lock"


class VersionError(Exception):
    """What was asked cannot be done; the text says why and what to do."""


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a staged version. ``base`` is the hash of the deck that it was computed against."""

    deck: str
    hash: str
    base: str
    supplier: str = ""
    source: str = ""
    source_hash: str = ""
    staged_at_ms: int = 0
    at_ms: int = 0
    counts: dict[str, int] = {}
    warnings: tuple[str, ...] = ()


class State(msgspec.Struct, frozen=True, kw_only=True):
    """``previous`` can be taken back to; ``scheduled`` becomes live at ``scheduled_at_ms``. Empty: none."""

    previous: str = ""
    scheduled: str = ""
    scheduled_at_ms: int = 0


def hash_of(data: bytes) -> str:
    """Name a content."""
    return hashlib.sha256(data).hexdigest()[:HASH_DIGITS]


def write_whole(path: Path, data: bytes) -> None:
    """Write a file so that it is there whole or not at all, also after a power failure."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with draft.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


class DeckVersions:
    """The versions of one deck of a configuration directory."""

    def __init__(self, config_dir: Path, deck: str) -> None:
        self.deck = deck
        self.live_path = config_dir / DECKS / f"{deck}.csv"
        self._folder = config_dir / VERSIONS / deck

    def live(self) -> bytes:
        """Read what is live; empty if the deck does not exist yet."""
        return self.live_path.read_bytes() if self.live_path.exists() else b""

    def state(self) -> State:
        """Read what was before, and what is to come."""
        path = self._folder / _STATE
        return msgspec.json.decode(path.read_bytes(), type=State) if path.exists() else State()

    def manifests(self) -> list[Manifest]:
        """List the versions, the newest first."""
        found = [msgspec.json.decode(path.read_bytes(), type=Manifest) for path in self._folder.glob("[0-9a-f]*.json")]
        return sorted(found, key=lambda manifest: -manifest.staged_at_ms)

    def content(self, version: str) -> bytes:
        """Read a version, and hold it against its name. Raises VersionError."""
        path = self._folder / f"{version}.csv"
        if not path.exists():
            known = ", ".join(manifest.hash for manifest in self.manifests()) or "none"
            raise VersionError(f"{self.deck} has no version {version!r}: {known}")
        data = path.read_bytes()
        if hash_of(data) != version:
            raise VersionError(f"{path} is not what was staged: import the sheet again")
        return data

    def stage(self, data: bytes, manifest: Manifest) -> None:
        """Keep a version, and what is live beside it. Raises OSError."""
        with self._locked():
            self._keep(self.live())
            self._keep(data)
            write_whole(self._folder / f"{manifest.hash}.json", msgspec.json.format(msgspec.json.encode(manifest)))

    def schedule(self, version: str, at_ms: int) -> None:
        """Say that a version becomes live at an instant; an empty version takes that back. Raises VersionError."""
        with self._locked():
            if version:
                self._check_base(version)
            state = msgspec.structs.replace(self.state(), scheduled=version, scheduled_at_ms=at_ms if version else 0)
            self._write_state(state)

    def activate(self, version: str) -> bool:
        """Put a version in place; False if it is live already. Raises VersionError."""
        with self._locked():
            return self._activate(version)

    def activate_due(self, now_ms: int) -> str:
        """Put in place what is due; its hash, or empty. Raises VersionError."""
        state = self.state()
        if not state.scheduled or state.scheduled_at_ms > now_ms:
            return ""
        with self._locked():
            state = self.state()  # another process may have been first
            if not state.scheduled or state.scheduled_at_ms > now_ms:
                return ""
            version = state.scheduled
            self._activate(version)
            return version

    def roll_back(self) -> str:
        """Put back what was live before; its hash. A second time takes the first back. Raises VersionError."""
        with self._locked():
            state = self.state()
            if not state.previous or state.previous == hash_of(self.live()):
                raise VersionError(f"nothing is known of what {self.deck} was before")
            self._put(state.previous)
            return state.previous

    # --- inside -----------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """One change at a time, whoever makes it: the command, or one of several daemons."""
        self._folder.mkdir(parents=True, exist_ok=True)
        with (self._folder / _LOCK).open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _keep(self, data: bytes) -> None:
        path = self._folder / f"{hash_of(data)}.csv"
        if not path.exists():
            write_whole(path, data)

    def _check_base(self, version: str) -> None:
        live = hash_of(self.live())
        manifest = next((each for each in self.manifests() if each.hash == version), None)
        if manifest is not None and live not in {manifest.base, version}:
            raise VersionError(
                f"{self.deck} has changed since {version} was staged ({manifest.base} then, {live} now): import again"
            )

    def _activate(self, version: str) -> bool:
        self.content(version)
        if hash_of(self.live()) == version:
            self._write_state(msgspec.structs.replace(self.state(), scheduled="", scheduled_at_ms=0))
            return False
        self._check_base(version)
        self._put(version)
        return True

    def _put(self, version: str) -> None:
        """First the deck, then the notes: a kill in between is told by the deck, and its predecessor is kept."""
        data = self.content(version)
        live = self.live()
        self._keep(live)
        # The note about what was before is written first: it is true as soon as the deck is renamed, and until then
        # it names what is live, which a roll-back refuses to put in its own place.
        self._write_state(State(previous=hash_of(live)))
        if data:
            write_whole(self.live_path, data)
        else:
            self.live_path.unlink(missing_ok=True)  # there was no such deck
        self._forget({version, hash_of(live)})

    def _write_state(self, state: State) -> None:
        write_whole(self._folder / _STATE, msgspec.json.format(msgspec.json.encode(state)))

    def _forget(self, kept: set[str]) -> None:
        """Remove what cannot become live any more: versions computed against decks that are gone."""
        for manifest in self.manifests():
            if manifest.hash not in kept and manifest.base not in kept:
                (self._folder / f"{manifest.hash}.json").unlink(missing_ok=True)
        known = kept | {manifest.hash for manifest in self.manifests()}
        for path in self._folder.glob("[0-9a-f]*.csv"):
            if path.stem not in known:
                path.unlink()


def scheduled_decks(config_dir: Path) -> list[str]:
    """Name the decks that have something scheduled."""
    states = sorted((config_dir / VERSIONS).glob(f"*/{_STATE}"))
    return [path.parent.name for path in states if DeckVersions(config_dir, path.parent.name).state().scheduled]
