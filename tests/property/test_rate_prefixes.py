"""The prefix index against the plainest search there is."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from ocs.rating.dated import FOREVER_MS
from ocs.rating.prefixes import NOT_FOUND, NOT_IN_FORCE, PrefixIndexBuilder

digits = st.text("12", min_size=1, max_size=4)
instants = st.integers(0, 6)
rows = st.lists(st.tuples(digits, instants, st.one_of(instants, st.just(FOREVER_MS))), max_size=12)


def plain_search(table: list[tuple[str, int, int]], number: str, at_ms: int) -> int:
    """Try every row: the longest prefix in force, where a row ends at the latest when the next of its prefix begins."""
    matching = [(prefix, from_ms, row) for row, (prefix, from_ms, _) in enumerate(table) if number.startswith(prefix)]
    latest = {
        prefix: max(begins for other, begins, _ in matching if other == prefix and begins <= at_ms)
        for prefix, from_ms, _ in matching
        if from_ms <= at_ms
    }
    found = [
        (len(prefix), row)
        for prefix, from_ms, row in matching
        if latest.get(prefix) == from_ms and at_ms < table[row][2]
    ]
    return max(found)[1] if found else NOT_IN_FORCE if matching else NOT_FOUND


@given(rows, instants, instants, st.text("123", max_size=6))
@example([("1", 0, FOREVER_MS), ("1", 1, 2)], 0, 2, "1")  # the first ends for good where the second begins
def test_find_agrees_with_trying_every_row(
    drawn: list[tuple[str, int, int]], now_ms: int, at_ms: int, number: str
) -> None:
    """Whenever the files were loaded, a look-up for any instant finds what a search over all rows finds."""
    table = [row for row in drawn if row[1] < row[2]]
    builder = PrefixIndexBuilder(now_ms)
    for prefix, from_ms, to_ms in table:
        builder.add(prefix, from_ms, to_ms)
    index, clashes = builder.build()
    if clashes:
        return
    row, until_ms = index.find(number, at_ms)
    assert row == plain_search(table, number, at_ms)
    for later_ms in range(at_ms, min(until_ms, 8)):
        assert plain_search(table, number, later_ms) == row
    if until_ms == FOREVER_MS:
        assert plain_search(table, number, 100) == row
