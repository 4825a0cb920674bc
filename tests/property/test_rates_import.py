"""Importing keeps its word: what a sheet says is what numbers cost, and saying it again changes nothing."""

from __future__ import annotations

import contextlib

from hypothesis import given, settings
from hypothesis import strategies as st

from ocs.rates.decks import PLAIN, read_deck
from ocs.rates.moments import moment_text
from ocs.rates.sheets.faults import SheetFaultsError
from ocs.rates.sheets.merge import merge
from ocs.rates.sheets.reader import read_file
from ocs.rates.sheets.supplier import Supplier
from ocs.rating.price import Price

NOW_MS = 1_790_000_000_000
DAY_MS = 86_400_000
SUPPLIER = Supplier(deck="d", currency="EUR")

codes = st.text("123", min_size=1, max_size=3)
lines = st.dictionaries(codes, st.tuples(st.integers(0, 9), st.integers(-3, 3), st.booleans()), max_size=12)
histories = st.lists(lines.filter(bool), min_size=1, max_size=4)


def sheet_of(drawn: dict[str, tuple[int, int, bool]]) -> bytes:
    """Rows of code, price in cents, date in days from now, and whether the code is closed."""
    rows = [
        f"{code},X{code[0]},{'' if closed else f'0.0{cents}'},{moment_text(NOW_MS // DAY_MS * DAY_MS + days * DAY_MS)},"
        f"{'Closed' if closed else ''}\n"
        for code, (cents, days, closed) in drawn.items()
    ]
    return ("Code,Destination,Rate,Effective,Status\n" + "".join(rows)).encode()


def taken_over(deck: str, data: bytes, at_ms: int) -> str:
    """The deck after the sheet; it has no faults."""
    merged = merge(deck, read_file(data, SUPPLIER, 9), at_ms, "full", "forbid").text
    assert read_deck("d", merged, PLAIN, at_ms)[1] == []
    return merged


@settings(max_examples=60, deadline=None)
@given(histories)
def test_after_an_import_codes_cost_what_the_sheet_says(drawn: list[dict[str, tuple[int, int, bool]]]) -> None:
    """[R] From its date on each code has the sheet's price, a closed or missing one none, whatever the deck was before."""
    deck = "prefix,destination,rate\n"
    for step, sheet in enumerate(drawn):
        at_ms = NOW_MS + step * 1000
        before = read_deck("d", deck, PLAIN, at_ms)[0]
        deck = taken_over(deck, sheet_of(sheet), at_ms)
        after = read_deck("d", deck, PLAIN, at_ms)[0]
        for code, (cents, days, closed) in sheet.items():
            row, _ = after.codes.index.find(code, max(NOW_MS // DAY_MS * DAY_MS + days * DAY_MS, at_ms))
            price = after.price_of_row(row)
            assert isinstance(price, Price) is not closed
            assert not isinstance(price, Price) or price.next_rate == cents * 10_000_000
        for code, _ in before.codes.index.entries():
            if code not in sheet:
                row, _ = after.codes.index.find(code, at_ms)
                assert not isinstance(after.price_of_row(row), Price), "what a full list does not name is withdrawn"
            # Nothing is charged otherwise for what is over.
            for past_ms in (NOW_MS - 10 * DAY_MS, at_ms - 1):
                was, is_ = (side.tariff(code, past_ms) for side in (before, after))
                assert getattr(was, "price", was) == getattr(is_, "price", is_)


@settings(max_examples=40, deadline=None)
@given(histories)
def test_the_same_sheet_again_changes_nothing(drawn: list[dict[str, tuple[int, int, bool]]]) -> None:
    """[R] An import that is repeated leaves the deck as it is, octet by octet."""
    deck = "prefix,destination,rate\n"
    for sheet in drawn:
        deck = taken_over(deck, sheet_of(sheet), NOW_MS)
    assert taken_over(deck, sheet_of(drawn[-1]), NOW_MS) == deck


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=200), st.sampled_from(["", "Code,Rate\n", "Code;Area Code;Rate\n44;", "PK\x03\x04"]))
def test_no_file_breaks_the_reader(data: bytes, head: str) -> None:
    """Whatever is sent is read, or refused with reasons; nothing else."""
    with contextlib.suppress(SheetFaultsError):
        read_file(head.encode() + data, SUPPLIER, 9)
