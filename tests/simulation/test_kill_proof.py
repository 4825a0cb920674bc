"""Who judges the judge: each kind of loss, put into sound books by hand, has to be found by the proof."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import bench_world
import pytest
from kill_clients import Payment
from kill_proof import Books, Proof, Record, Standing, price_of

from ocs.rating.price import Price, cost_of

EURO = 10**9
LEDGER = """\
s1\tA\t1\t0\t3004\t0\t0\t0\t1
s1\tA\t1\t0\t2001\t2001\t0\t60\t2
s1\tA\t2\t1\t2001\t2001\t60\t60\t1
s1\tA\t3\t2\t2001\t2001\t60\t0\t3
s2\tA\t1\t0\t4012\t4012\t0\t0\t1
"""
RADIUS = """\
0000000009-0000000000\tA\t1\t0\t1
0000000009-0000000000\tA\t3\t60\t1
0000000009-0000000000\tA\t2\t180\t2
"""
RADIUS_ID = "load:127.0.0.1:0000000009-0000000000"
PAYMENTS = {Payment("A", "opening", "5.00"): 2, Payment("A", "pay-1", "0.25"): 4}
OPEN = "s3\tA\t1\t0\t2001\t2001\t0\t60\t1\n"


@pytest.fixture(scope="module")
def price(tmp_path_factory: pytest.TempPathFactory) -> Price:
    """The price of the load's calls, from its own rate files."""
    folder = tmp_path_factory.mktemp("config")
    bench_world.write_config(folder, bench_world.Ports(1, 2, 3, 4), 100)
    return price_of(folder / "ocs.toml")


def sound(price: Price) -> Books:
    """The books that belong to the ledgers above."""
    first, second = cost_of(price, 120), cost_of(price, 180)
    return Books(
        records=[Record("s1", "A", "session", 120, first, 0), Record(RADIUS_ID, "A", "session", 180, second, 0)],
        entries=[
            ("A", 1, "opened", 0, ""),
            ("A", 2, "top_up", 5 * EURO, "opening"),
            ("A", 3, "session", -first, "gy:s1"),
            ("A", 4, "top_up", EURO // 4, "pay-1"),
            ("A", 5, "session", -second, f"ra:{RADIUS_ID}"),
        ],
        accounts={"A": Standing(5 * EURO + EURO // 4 - first - second, 0, 0, 5)},
        open_sessions=set(),
        buried=0,
    )


def proof_of(price: Price, books: Books, ledger: str = LEDGER) -> Proof:
    proof = Proof(price)
    proof.read_ccr_ledger(ledger.splitlines(keepends=True))
    proof.read_radius_ledger(RADIUS.splitlines(keepends=True))
    proof.compare(books, PAYMENTS)
    return proof


def test_sound_books_have_no_fault(price: Price) -> None:
    """And the price is what the plan says: 0.05, and 0.0195 per minute by the second after the first."""
    assert cost_of(price, 120) == 50_000_000 + 39_000_000
    proof = proof_of(price, sound(price))
    assert proof.faults == []
    assert (proof.figures.sessions, proof.figures.refused, proof.figures.unfinished) == (2, 1, 0)


def _account(books: Books, **changes: int) -> Books:
    return books._replace(accounts={"A": books.accounts["A"]._replace(**changes)})


def _first(books: Books, **changes: object) -> Books:
    return books._replace(records=[books.records[0]._replace(**changes), books.records[1]])  # type: ignore[arg-type]


LOSSES: dict[str, tuple[Callable[[Books], Books], str]] = {
    "a record is missing": (lambda b: b._replace(records=b.records[1:]), "s1 was ended: 0 records"),
    "a RADIUS record is missing": (lambda b: b._replace(records=b.records[:1]), "was ended: 0 records"),
    "a record is double": (lambda b: b._replace(records=[*b.records, b.records[0]]), "s1 was ended: 2 records"),
    "an ended call is open": (lambda b: b._replace(open_sessions={"s1"}), "s1 was ended: 1 records, open"),
    "a refused call is open": (lambda b: b._replace(open_sessions={"s2"}), "s2 was refused"),
    "a refused call has a record": (
        lambda b: b._replace(records=[*b.records, Record("s2", "A", "session", 0, 0, 0)]),
        "s2 was refused: 1 records",
    ),
    "a report was lost": (lambda b: _first(b, used_s=60), "120 s were reported and acknowledged"),
    "a report was counted twice": (lambda b: _first(b, used_s=180), "120 s were reported and acknowledged"),
    "the price is wrong": (lambda b: _first(b, cost=1), "120 s cost"),
    "a record has a flag": (lambda b: _first(b, flags=2), "s1 of A: Record"),
    "a record is on another account": (lambda b: _first(b, account_id="B"), "s1 of A: Record"),
    "a record is an orphan": (lambda b: _first(b, kind="orphan"), "s1 of A: Record"),
    "a top-up was lost": (lambda b: b._replace(entries=[*b.entries[:3], b.entries[4]]), "acknowledged and not in"),
    "a top-up is another": (
        lambda b: b._replace(entries=[*b.entries[:3], ("A", 4, "top_up", 1, "pay-1"), b.entries[4]]),
        "in the journal and never acknowledged",
    ),
    "a top-up was made twice": (
        lambda b: b._replace(entries=[*b.entries, ("A", 6, "top_up", EURO // 4, "pay-1")]),
        "paid twice: ('A', 'pay-1')",
    ),
    "an entry is double": (lambda b: b._replace(entries=[*b.entries, b.entries[0]]), "has gaps"),
    "the last entry is missing": (lambda b: _account(b, entry_number=6), "goes not up to 6"),
    "an entry is of a strange kind": (
        lambda b: b._replace(entries=[("A", 1, "orphan", 0, ""), *b.entries[1:]]),
        "is of kind orphan",
    ),
    "money is gone": (lambda b: _account(b, balance=b.accounts["A"].balance - 1), "its clients were told"),
    "a reservation stayed": (lambda b: _account(b, reserved=1), "nothing reserved"),
    "the account is oversold": (lambda b: _account(b, balance=-1), "A is oversold"),
    "an entry was buried": (lambda b: b._replace(buried=1), "1 entries were buried"),
    "a stranger's record is double": (
        lambda b: b._replace(records=[*b.records, *[Record("s9", "A", "session", 0, 0, 0)] * 2]),
        "2 records of a call that no client was told of",
    ),
}


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_is_found(price: Price, name: str) -> None:
    """Each loss by itself is a fault that says what and where."""
    spoil, words = LOSSES[name]
    assert any(words in fault for fault in proof_of(price, spoil(sound(price))).faults)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("s1\tA\t2\t1\t2001\t2001\t60\t60\t1", "decided twice"),
        ("s3\tA\t2\t1\t5002\t0\t60\t0\t1", "was answered 5002"),
        ("s3\tA\t1\t0\t5012\t0\t0\t0\t1", "was answered 5012"),
        ("s3\tA\t1\t0\t2001\t5031\t0\t0\t1", "group 5031"),
        ("s3\tA\t2\t1\t2001\t4012\t60\t60\t1", "was refused and granted"),
    ],
)
def test_an_answer_that_must_not_be_is_found(price: Price, line: str, words: str) -> None:
    """What no sound server answers is a fault whatever the books say."""
    assert any(words in fault for fault in proof_of(price, sound(price), f"{LEDGER}{line}\n").faults)


def test_an_unfinished_call_may_be_open_or_closed_but_not_both(price: Price) -> None:
    """Its end was not acknowledged: it stands in the store, or once in the books."""
    books = sound(price)
    record = Record("s3", "A", "session", 60, cost_of(price, 60), 0)
    assert proof_of(price, books._replace(open_sessions={"s3"}), LEDGER + OPEN).faults == []
    closed = books._replace(records=[*books.records, record])
    assert proof_of(price, closed, LEDGER + OPEN).faults == []
    both = closed._replace(open_sessions={"s3"})
    assert "s3: 1 records, open" in proof_of(price, both, LEDGER + OPEN).faults


def test_faults_are_counted_beyond_what_is_kept(price: Price) -> None:
    """A thousand losses are a thousand, though fifty are named."""
    books = sound(price)
    ledger = LEDGER + "".join(f"x{number}\tA\t3\t0\t2001\t0\t0\t0\t1\n" for number in range(1000))
    proof = proof_of(price, books, ledger)
    assert (len(proof.faults), proof.fault_count) == (50, 1000)


def test_the_rate_files_give_the_price(tmp_path: Path) -> None:
    """Another price in the files is another price in the proof."""
    bench_world.write_config(tmp_path, bench_world.Ports(1, 2, 3, 4), 100)
    plan = tmp_path / "rateplans" / "bench.toml"
    plan.write_text(plan.read_text(encoding="utf-8").replace('"0.05"', '"0.06"'), encoding="utf-8")
    assert cost_of(price_of(tmp_path / "ocs.toml"), 60) == 60_000_000 + 19_500_000
