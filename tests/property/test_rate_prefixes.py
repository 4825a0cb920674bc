"""The prefix index against the plainest search there is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocs.rating.dated import FOREVER_MS
from ocs.rating.origins import NOWHERE, Origin, parse_rule
from ocs.rating.prefixes import KEY_DIGITS, NOT_FOUND, NOT_IN_FORCE, PrefixIndexBuilder

digits = st.text("12", min_size=1, max_size=4)
instants = st.integers(0, 6)
origins = st.sampled_from(["", "3", "31", "trunk:t"])
rows = st.lists(
    st.tuples(digits, instants, st.one_of(instants, st.just(FOREVER_MS)), origins, st.integers(0, 1)), max_size=12
)

Row = tuple[str, int, int, str, int]


def plain_search(table: list[Row], number: str, at_ms: int, origin: Origin) -> int:
    """Try every row: the longest prefix in force, then the best origin, the last start, the highest priority."""
    rules = [parse_rule(row[3], {}) for row in table]
    ranks = [rule.rank(origin) if rule.text else 0 for rule in rules]
    matching = [at for at, row in enumerate(table) if number.startswith(row[0]) and ranks[at] >= 0]
    found = []
    for at in matching:
        prefix, from_ms, to_ms, text, priority = table[at]
        later = [row[1] for row in table if (row[0], row[3]) == (prefix, text) and row[1] > from_ms]
        end_ms = min(later, default=FOREVER_MS) if to_ms == FOREVER_MS else to_ms
        if from_ms <= at_ms < end_ms:
            found.append((len(prefix), ranks[at], from_ms, priority, at))
    return max(found)[-1] if found else NOT_IN_FORCE if matching else NOT_FOUND


@given(
    rows, instants, instants, st.text("123", max_size=6), st.sampled_from([NOWHERE, Origin("3"), Origin("312", "t")])
)
def test_find_agrees_with_trying_every_row(
    drawn: list[Row], now_ms: int, at_ms: int, number: str, origin: Origin
) -> None:
    """Whenever the files were loaded, a look-up for any instant finds what a search over all rows finds (statement 91)."""
    table = [row for row in drawn if row[1] < row[2]]
    builder = PrefixIndexBuilder(now_ms)
    for prefix, from_ms, to_ms, text, priority in table:
        builder.add(prefix, from_ms, to_ms, parse_rule(text, {}), priority)
    index, clashes = builder.build()
    if clashes:
        return
    row, until_ms = index.find(number, at_ms, origin)
    assert row == plain_search(table, number, at_ms, origin)
    for later_ms in range(at_ms, min(until_ms, 8)):
        assert plain_search(table, number, later_ms, origin) == row
    if until_ms == FOREVER_MS:
        assert plain_search(table, number, 100, origin) == row


@given(st.sets(st.text("0123456789", min_size=1, max_size=KEY_DIGITS), max_size=40), st.text("0123456789", max_size=20))
def test_the_longest_prefix_of_any_length_is_found(prefixes: set[str], number: str) -> None:
    """Prefixes up to the longest that the index takes, numbers shorter than some of them, and every first digit."""
    table = sorted(prefixes)
    builder = PrefixIndexBuilder(0)
    for prefix in table:
        builder.add(prefix, 0, FOREVER_MS)
    index, _ = builder.build()
    matching = [prefix for prefix in table if number.startswith(prefix)]
    assert index.find(number, 0)[0] == (table.index(max(matching, key=len)) if matching else NOT_FOUND)
    assert [prefix for prefix, _ in index.candidates(number)] == sorted(matching, key=len, reverse=True)
    assert sorted(prefix for prefix, _ in index.entries()) == table


@pytest.mark.parametrize("number", ["", "alice", "+49", "4 9", "4_9", "\u0664\u0669", "49a"])
def test_what_is_no_number_has_no_prefix(number: str) -> None:
    """A SIP user, a sign or another script's digits are not read as a number."""
    builder = PrefixIndexBuilder(0)
    builder.add("4", 0, FOREVER_MS)
    assert builder.build()[0].find(number, 0) == (NOT_FOUND, FOREVER_MS)
