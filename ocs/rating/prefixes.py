"""The longest-prefix index: one dict per prefix length, the longest first.

Against a trie, dicts cost some memory and save time: a handful of slices and hash look-ups, whatever the number of
prefixes. The values are row numbers, so that an entry costs its key, one int and its slot. A prefix with several
versions, an end, or a start in the future holds ``~n`` instead: the n-th list of versions, looked at only then.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from typing import Final

from ocs.rating.dated import EVER_MS, FOREVER_MS, Clash, Version, settle

NOT_FOUND: Final = -1
NOT_IN_FORCE: Final = -2

Versions = tuple[Version[int], ...]


class PrefixIndex:
    """Read only; made by PrefixIndexBuilder."""

    __slots__ = ("_from_ms", "_settled_ms", "_tables", "_versions")

    def __init__(
        self,
        tables: tuple[tuple[int, dict[str, int]], ...],
        versions: tuple[Versions, ...],
        from_ms: array[int],
        settled_ms: int,
    ) -> None:
        self._tables = tables
        self._versions = versions
        self._from_ms = from_ms
        self._settled_ms = settled_ms

    def find(self, digits: str, at_ms: int) -> tuple[int, int]:
        """Find the row of the longest prefix in force, and the instant until which this answer holds.

        NOT_FOUND or NOT_IN_FORCE instead of a row. A shorter prefix answers for a longer one that is not in force:
        who wants to block, writes a forbidden row.
        """
        if at_ms >= self._settled_ms:
            for length, table in self._tables:
                row = table.get(digits[:length])
                if row is not None:
                    return (row, FOREVER_MS) if row >= 0 else self._find_dated(digits, at_ms)
            return NOT_FOUND, FOREVER_MS
        return self._find_dated(digits, at_ms)

    def _find_dated(self, digits: str, at_ms: int) -> tuple[int, int]:
        until_ms = FOREVER_MS
        missing = NOT_FOUND
        for length, table in self._tables:
            row = table.get(digits[:length])
            if row is None:
                continue
            missing = NOT_IN_FORCE
            for version in self._versions_of(row):
                if version.from_ms <= at_ms < version.to_ms:
                    return version.what, min(until_ms, version.to_ms)
                if version.from_ms > at_ms:
                    until_ms = min(until_ms, version.from_ms)
        return missing, until_ms

    def _versions_of(self, row: int) -> Versions:
        return self._versions[~row] if row < 0 else (Version(self._from_ms[row], FOREVER_MS, row),)

    def candidates(self, digits: str) -> list[tuple[str, Versions]]:
        """List every prefix of a number that the index knows, the longest first, with its versions: for explanations."""
        return [
            (digits[:length], self._versions_of(row))
            for length, table in self._tables
            if length <= len(digits) and (row := table.get(digits[:length])) is not None
        ]

    def entries(self) -> Iterator[tuple[str, Versions]]:
        """Go through all prefixes with their versions: for comparisons."""
        for _, table in self._tables:
            for prefix, row in table.items():
                yield prefix, self._versions_of(row)

    def future_prefixes(self, now_ms: int) -> list[tuple[str, int]]:
        """List the prefixes that nothing prices yet, with the row that will."""
        return [
            (prefix, self._versions[~row][0].what)
            for _, table in self._tables
            for prefix, row in table.items()
            if row < 0 and self._versions[~row][0].from_ms > now_ms
        ]


class PrefixIndexBuilder:
    """Takes the rows of a file in their order. ``now_ms`` tells rows already in force from those to come."""

    __slots__ = ("_dated", "_from_ms", "_now_ms", "_settled_ms", "_tables")

    def __init__(self, now_ms: int) -> None:
        self._now_ms = now_ms
        self._tables: dict[int, dict[str, int]] = {}
        self._dated: list[list[Version[int]]] = []
        self._from_ms = array("q")
        self._settled_ms = EVER_MS

    def add(self, prefix: str, from_ms: int, to_ms: int) -> int:
        """Add a prefix and give it the next row number."""
        row = len(self._from_ms)
        self._from_ms.append(from_ms)
        table = self._tables.get(len(prefix))
        if table is None:
            table = self._tables[len(prefix)] = {}
        known = table.get(prefix)
        if known is None and to_ms == FOREVER_MS and from_ms <= self._now_ms:
            table[prefix] = row
            self._settled_ms = max(self._settled_ms, from_ms)
        elif known is None:
            table[prefix] = self._begin([Version(from_ms, to_ms, row)])
        elif known >= 0:
            table[prefix] = self._begin(
                [Version(self._from_ms[known], FOREVER_MS, known), Version(from_ms, to_ms, row)]
            )
        else:
            self._dated[~known].append(Version(from_ms, to_ms, row))
        return row

    def _begin(self, versions: list[Version[int]]) -> int:
        self._dated.append(versions)
        return ~(len(self._dated) - 1)

    def build(self) -> tuple[PrefixIndex, list[Clash[int]]]:
        """Settle the versions of each prefix. Clashes are pairs of rows that claim the same prefix and instant."""
        clashes: list[Clash[int]] = []
        versions: list[Versions] = []
        for dated in self._dated:
            settled, found = settle(dated)
            versions.append(settled)
            clashes += found
        tables = tuple(sorted(self._tables.items(), reverse=True))
        return PrefixIndex(tables, tuple(versions), self._from_ms, self._settled_ms), clashes
