"""Faults in rate files: all of them at once, each with its place and its cure."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Final, NamedTuple

import msgspec

# A deck exported with the wrong delimiter has a fault on each of 500,000 lines; the first ones tell it all.
FAULTS_PER_FILE_MAX: Final = 50


class ConfigFault(msgspec.Struct, frozen=True, order=True):
    """What is wrong where. ``file`` is relative to the configuration directory; ``line`` 0 is the file as a whole."""

    file: str
    line: int
    field: str
    message: str
    cure: str = ""

    def __str__(self) -> str:
        cure = f" ({self.cure})" if self.cure else ""
        return f"{self.file}:{self.line}: {self.field}: {self.message}{cure}"


class ConfigFaultsError(Exception):
    """The files cannot be used; ``faults`` says why, one line each."""

    def __init__(self, faults: Iterable[ConfigFault]) -> None:
        self.faults = tuple(faults)
        super().__init__("\n".join(map(str, self.faults)))


class Problem(NamedTuple):
    """A fault of one value, found where file and line are not known."""

    field: str
    message: str
    cure: str = ""


class FaultList:
    """Collects the faults of one file, each once, up to FAULTS_PER_FILE_MAX."""

    def __init__(self, file: str) -> None:
        self.file = file
        self._faults: dict[ConfigFault, None] = {}
        self._more = 0

    def add(self, line: int, field: str, message: str, cure: str = "") -> None:
        fault = ConfigFault(self.file, line, field, message, cure)
        if fault in self._faults:
            return
        if len(self._faults) < FAULTS_PER_FILE_MAX:
            self._faults[fault] = None
        else:
            self._more += 1

    def sorted(self) -> list[ConfigFault]:
        """List the faults by line; the last one says how many more there are."""
        found = sorted(self._faults)
        if self._more:
            found.append(ConfigFault(self.file, 0, "file", f"{self._more} more faults", "repair these first"))
        return found


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Name the nearest of what is known, else all of it."""
    names = sorted(known)
    near = get_close_matches(name, names, n=1)
    if near:
        return f"did you mean {near[0]}?"
    return f"known: {', '.join(names[:20])}" if names else "none is known"
