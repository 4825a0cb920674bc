"""The longest-prefix index: compact arrays, so that a million prefixes are some sixty megabytes and no objects.

A prefix is an interval of the numbers that begin with it, written with KEY_DIGITS digits. Cut at all their borders, the
intervals lie beside each other, each belonging to its longest prefix: one binary search finds it, in a part of the
array that the number's first digits name. Arrays are made, handed to another process and dropped without touching a
million objects, so a server that swaps them does not stand still.

A *node* is a distinct prefix; a *row* is a line's prefix. Most nodes have one row that is in force. Others (dates to
come, ends, origins) have ``~n``: the n-th list of rows, looked at only then.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Final, NamedTuple

from ocs.rating.dated import EVER_MS, FOREVER_MS, Clash, Version, settle
from ocs.rating.origins import ANY_LENGTH, EVERYWHERE, NO_MATCH, NOWHERE, Origin, OriginRule, is_contradiction

NOT_FOUND: Final = -1
NOT_IN_FORCE: Final = -2

KEY_DIGITS: Final = 18
"""What a 64-bit word holds; a number of E.164 has fifteen digits, so a routing prefix of three fits, too."""

_ZEROS: Final = "0" * KEY_DIGITS
_FIRST_DIGITS_MAX: Final = 5
_NO_NODE: Final = 0xFFFF_FFFF

Versions = tuple[Version[int], ...]


class PrefixArrays(NamedTuple):
    """The index as arrays, or as views of a file that other processes share. They are never changed.

    ``starts`` are the intervals' first keys, ``owners`` their nodes. By node: ``keys`` and ``lengths`` say its prefix,
    ``parents`` the next shorter one, ``rows`` its row or ``~n``. ``first`` says by a number's first digits in which part of
    ``starts`` its interval is. By row: ``from_ms``. The n-th list of rows is from ``lists[n]`` to ``lists[n + 1]`` in
    ``list_from_ms``, ``list_to_ms``, ``list_rows``, and ``list_rules`` says which of the rules of origin each has.
    """

    starts: Sequence[int]
    owners: Sequence[int]
    first: Sequence[int]
    keys: Sequence[int]
    lengths: Sequence[int]
    parents: Sequence[int]
    rows: Sequence[int]
    from_ms: Sequence[int]
    lists: Sequence[int]
    list_from_ms: Sequence[int]
    list_to_ms: Sequence[int]
    list_rows: Sequence[int]
    list_rules: Sequence[int]


class PrefixIndex:
    """Read only; made by PrefixIndexBuilder."""

    __slots__ = ("_arrays", "_first", "_first_unit", "_lengths", "_owners", "_rows", "_rules", "_settled_ms", "_starts")

    def __init__(self, arrays: PrefixArrays, rules: tuple[OriginRule, ...], settled_ms: int) -> None:
        self._arrays = arrays
        # The fast road's own names: one look-up less for each.
        self._starts, self._owners, self._first = arrays.starts, arrays.owners, arrays.first
        self._lengths, self._rows = arrays.lengths, arrays.rows
        self._first_unit = 10**KEY_DIGITS // (len(arrays.first) - 1)
        self._rules = rules
        self._settled_ms = settled_ms

    def __reduce__(self) -> tuple[object, ...]:
        """How it is handed to another process; the arrays go by themselves."""
        return PrefixIndex, (self._arrays, self._rules, self._settled_ms)

    @property
    def origins(self) -> tuple[OriginRule, ...]:
        """The rules of origin that some row has."""
        return self._rules

    def find(self, digits: str, at_ms: int, origin: Origin = NOWHERE) -> tuple[int, int]:
        """Find the row of the longest prefix in force, and the instant until which this answer holds.

        NOT_FOUND or NOT_IN_FORCE instead of a row. A shorter prefix answers for a longer one that is not in force, or
        not for this origin or a number of this length: who wants to block, writes a forbidden row.
        """
        node = self._node(digits)
        if node == _NO_NODE:
            return NOT_FOUND, FOREVER_MS
        row = self._rows[node]
        if row >= 0 and at_ms >= self._settled_ms:
            return row, FOREVER_MS
        return self._find_dated(node, at_ms, origin, len(digits))

    def find_for(self, prefix: str, at_ms: int, origin: Origin = NOWHERE, length: int = ANY_LENGTH) -> tuple[int, int]:
        """The same for numbers that begin so and have so many digits: for comparisons and checks."""
        node = self._node(prefix)
        return (NOT_FOUND, FOREVER_MS) if node == _NO_NODE else self._find_dated(node, at_ms, origin, length)

    def as_at(self, at_ms: int) -> PrefixIndex:
        """Give the index as it is at one instant, whenever it is asked: for simulations."""
        return _IndexAsAt(self._arrays, self._rules, self._settled_ms, at_ms)

    def _node(self, digits: str) -> int:
        """Find the longest prefix that the digits begin with, whatever is in force."""
        if not (digits.isdigit() and digits.isascii()):
            return _NO_NODE
        key = int((digits + _ZEROS)[:KEY_DIGITS])
        part = key // self._first_unit
        first = self._first
        node = self._owners[bisect_right(self._starts, key, first[part], first[part + 1]) - 1]
        if len(digits) < KEY_DIGITS:
            # A short number is no longer one filled up with zeros: 4 does not begin with 40.
            while node != _NO_NODE and self._lengths[node] > len(digits):
                node = self._arrays.parents[node]
        return node

    def _find_dated(self, node: int, at_ms: int, origin: Origin, length: int) -> tuple[int, int]:
        until_ms = FOREVER_MS
        missing = NOT_FOUND
        while node != _NO_NODE:
            best, row, ends_ms = NO_MATCH, NOT_FOUND, FOREVER_MS
            for version, rule in self._versions_of(node):
                rank = rule.rank(origin) if rule.members else 0
                if rank == NO_MATCH or not rule.is_as_long(length):
                    continue
                rank = 2 * rank + bool(rule.digits_max)
                missing = NOT_IN_FORCE
                if version.from_ms > at_ms:
                    until_ms = min(until_ms, version.from_ms)
                elif at_ms < version.to_ms and rank >= best:
                    best, row, ends_ms = rank, version.what, version.to_ms
            if row >= 0:
                return row, min(until_ms, ends_ms)
            node = self._arrays.parents[node]
        return missing, until_ms

    def _versions_of(self, node: int) -> Iterator[tuple[Version[int], OriginRule]]:
        """Go through the rows of a prefix, the earlier first, with the origin that each is for."""
        arrays = self._arrays
        row = arrays.rows[node]
        if row >= 0:
            yield Version(arrays.from_ms[row], FOREVER_MS, row), EVERYWHERE
            return
        for at in range(arrays.lists[~row], arrays.lists[~row + 1]):
            version = Version(arrays.list_from_ms[at], arrays.list_to_ms[at], arrays.list_rows[at])
            yield version, self._rules[arrays.list_rules[at]]

    @property
    def origin_rules(self) -> tuple[OriginRule, ...]:
        """The origins that rows are for; the first is everywhere."""
        return self._rules

    @property
    def has_origins(self) -> bool:
        return len(self._rules) > 1

    def rules(self, digits: str) -> dict[int, OriginRule]:
        """Say of every row of a number's prefixes for which origin it is: for explanations."""
        return {version.what: rule for node in self._nodes(digits) for version, rule in self._versions_of(node)}

    def candidates(self, digits: str) -> list[tuple[str, Versions]]:
        """List every prefix of a number that the index knows, the longest first, with its versions: for explanations."""
        return [(self._prefix(node), self._plain_versions(node)) for node in self._nodes(digits)]

    def entries(self) -> Iterator[tuple[str, Versions]]:
        """Go through all prefixes with their versions: for comparisons."""
        return ((self._prefix(node), self._plain_versions(node)) for node in range(len(self._arrays.keys)))

    def future_prefixes(self, now_ms: int) -> list[tuple[str, int]]:
        """List the prefixes that have no price yet: each with the row of its first version."""
        found = []
        for node, row in enumerate(self._arrays.rows):
            if row < 0:
                first, _ = next(self._versions_of(node))
                if first.from_ms > now_ms:
                    found.append((self._prefix(node), first.what))
        return found

    def _nodes(self, digits: str) -> Iterator[int]:
        node = self._node(digits)
        while node != _NO_NODE:
            yield node
            node = self._arrays.parents[node]

    def _plain_versions(self, node: int) -> Versions:
        return tuple(version for version, _ in self._versions_of(node))

    def _prefix(self, node: int) -> str:
        return f"{self._arrays.keys[node]:0{KEY_DIGITS}d}"[: self._arrays.lengths[node]]


class _IndexAsAt(PrefixIndex):
    """An index at which the time stands still."""

    __slots__ = ("_at_ms",)

    def __init__(self, arrays: PrefixArrays, rules: tuple[OriginRule, ...], settled_ms: int, at_ms: int) -> None:
        super().__init__(arrays, rules, settled_ms)
        self._at_ms = at_ms

    def find(self, digits: str, at_ms: int, origin: Origin = NOWHERE) -> tuple[int, int]:  # noqa: ARG002 - it stands
        """Find the row that is in force at the one instant."""
        return super().find(digits, self._at_ms, origin)[0], FOREVER_MS


class PrefixIndexBuilder:
    """Takes the rows of a file in their order. ``now_ms`` tells rows already in force from those to come."""

    __slots__ = ("_from_ms", "_now_ms", "_priorities", "_rules", "_sortable", "_to_ms", "cuts")

    def __init__(self, now_ms: int) -> None:
        self._now_ms = now_ms
        self._sortable: list[int] = []  # key, length, row in one number
        self._from_ms = array("q")
        self._to_ms: dict[int, int] = {}
        self._rules: dict[int, OriginRule] = {}
        self._priorities: dict[int, int] = {}
        self.cuts: list[Clash[int]] = []

    def add(self, prefix: str, from_ms: int, to_ms: int, rule: OriginRule = EVERYWHERE, priority: int = 0) -> int:
        """Add a prefix of up to KEY_DIGITS digits and give it the next row number."""
        row = len(self._from_ms)
        self._sortable.append((int((prefix + _ZEROS)[:KEY_DIGITS]) * 32 + len(prefix) << 32) + row)
        self._from_ms.append(from_ms)
        if to_ms != FOREVER_MS:
            self._to_ms[row] = to_ms
        if rule is not EVERYWHERE:
            self._rules[row] = rule
        if priority:
            self._priorities[row] = priority
        return row

    def build(self) -> tuple[PrefixIndex, list[Clash[int]]]:
        """Settle the versions of each prefix. Clashes are pairs of rows that claim the same prefix and instant."""
        self._sortable.sort()
        made = _Arrays()
        clashes: list[Clash[int]] = []
        settled_ms = EVER_MS
        for packed, group in groupby(self._sortable, key=lambda each: each >> 32):
            rows = [each & 0xFFFF_FFFF for each in group]
            row = rows[0]
            made.keys.append(packed >> 5)
            made.lengths.append(packed & 31)
            if len(rows) == 1 and self._is_plain(row):
                settled_ms = max(settled_ms, self._from_ms[row])
                made.rows.append(row)
                continue
            made.rows.append(~(len(made.lists) - 1))
            made.add_list(
                [(version, self._rules.get(version.what, EVERYWHERE)) for version in self._settle(rows, clashes)]
            )
        self._sortable = []
        _cut(made)
        return PrefixIndex(made.finished(self._from_ms), tuple(made.rules), settled_ms), clashes

    def _is_plain(self, row: int) -> bool:
        return row not in self._to_ms and row not in self._rules and self._from_ms[row] <= self._now_ms

    def _settle(self, rows: list[int], clashes: list[Clash[int]]) -> Versions:
        """Settle the rows of one prefix, those of each origin and length for themselves."""
        by_rule: dict[OriginRule, list[int]] = {}
        for row in rows:
            by_rule.setdefault(self._rules.get(row, EVERYWHERE), []).append(row)
        found: list[Version[int]] = []
        for same in by_rule.values():
            settled = settle(
                (Version(self._from_ms[row], self._to_ms.get(row, FOREVER_MS), row) for row in same),
                lambda row: self._priorities.get(row, 0),
            )
            found += settled.versions
            clashes += settled.clashes
            self.cuts += settled.cuts
        found.sort(key=lambda version: (version.from_ms, self._priorities.get(version.what, 0)))
        if len(by_rule) > 1:
            clashes += self._contradictions(found)
        return tuple(found)

    def _contradictions(self, found: list[Version[int]]) -> list[Clash[int]]:
        """Find rows of two zones that share a member, or of two lengths, that begin at one instant with one priority."""
        clashes: list[Clash[int]] = []
        ranks = groupby(found, key=lambda version: (version.from_ms, self._priorities.get(version.what, 0)))
        for _, group in ranks:
            rows = [version.what for version in group]
            for at, row in enumerate(rows):
                rule = self._rules.get(row, EVERYWHERE)
                others = (other for other in rows[:at] if is_contradiction(rule, self._rules.get(other, EVERYWHERE)))
                clashes += [Clash(other, row) for other in others]
        return clashes


class _Arrays:
    """The arrays while they grow."""

    def __init__(self) -> None:
        self.starts, self.owners, self.first = array("Q"), array("I"), array("I")
        self.keys, self.lengths, self.parents, self.rows = array("Q"), array("B"), array("I"), array("i")
        self.lists, self.list_rows, self.list_rules = array("I", [0]), array("I"), array("I")
        self.list_from_ms, self.list_to_ms = array("q"), array("q")
        self.rules: dict[OriginRule, int] = {EVERYWHERE: 0}

    def add_list(self, rows: list[tuple[Version[int], OriginRule]]) -> None:
        for version, rule in rows:
            self.list_from_ms.append(version.from_ms)
            self.list_to_ms.append(version.to_ms)
            self.list_rows.append(version.what)
            self.list_rules.append(self.rules.setdefault(rule, len(self.rules)))
        self.lists.append(len(self.list_rows))

    def finished(self, from_ms: array[int]) -> PrefixArrays:
        by_name = {name: getattr(self, name) for name in PrefixArrays._fields if name != "from_ms"}
        return PrefixArrays(**by_name, from_ms=from_ms)


def _cut(arrays: _Arrays) -> None:
    """Cut the prefixes, sorted by key and length, at their borders; say whose each piece is, and each node's parent."""
    starts, owners, parents = arrays.starts, arrays.owners, arrays.parents
    starts.append(0)
    owners.append(_NO_NODE)
    around: list[tuple[int, int]] = []  # (first key after it, node): the prefixes that are open, the longest last
    for node, (key, length) in enumerate(zip(arrays.keys, arrays.lengths, strict=True)):
        while around and around[-1][0] <= key:
            end, _ = around.pop()
            _border(starts, owners, end, around[-1][1] if around else _NO_NODE)
        parents.append(around[-1][1] if around else _NO_NODE)
        _border(starts, owners, key, node)
        around.append((key + 10 ** (KEY_DIGITS - length), node))
    while around:
        end, _ = around.pop()
        _border(starts, owners, end, around[-1][1] if around else _NO_NODE)
    # As many parts as there are intervals, roughly: a small table needs no large index.
    digits = min(_FIRST_DIGITS_MAX, len(str(len(starts))) - 1)
    at = 0
    for part in range(10**digits + 1):
        at = bisect_right(starts, part * 10 ** (KEY_DIGITS - digits), at)
        arrays.first.append(at)


def _border(starts: array[int], owners: array[int], key: int, owner: int) -> None:
    if starts[-1] == key:
        owners[-1] = owner
    else:
        starts.append(key)
        owners.append(owner)
