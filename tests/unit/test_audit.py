"""The audit's rule for one account, difference by difference."""

from __future__ import annotations

from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from balance.account import Account, AccountState, Bucket, Counter, Extras, Hold, Places, Reservation
from ocs.audit import audit_account


class Session(NamedTuple):
    """The part of a session that the audit looks at."""

    reservation: Reservation = ()
    debits: Reservation = ()
    unit_reservation: Reservation = ()
    unit_debits: Reservation = ()


def account_with(*buckets: Bucket, entry_number: int = 2) -> Account:
    return Account("a", 7, "EUR", "retail", AccountState.ACTIVE, 0, 0, entry_number, buckets)


SESSIONS = (Session((Hold(0, 30), Hold(1, 5)), (Hold(0, 60),)), Session((Hold(0, 10),), (Hold(0, 40), Hold(1, 20))))
RIGHT = account_with(Bucket(0, 900, 40), Bucket(1, 80, 5))
SUMS = {0: 1000, 1: 100}


def test_an_account_that_is_right_has_no_differences() -> None:
    """Journal less debits of open sessions is the balance; the reserved sum is what the sessions hold."""
    assert audit_account(RIGHT, SUMS, 2, 2, SESSIONS) == []


def test_a_bucket_that_is_gone_and_came_to_nothing_is_right() -> None:
    """An expired bucket was written off in the journal and dropped from the account."""
    assert audit_account(account_with(Bucket(0, 5)), {0: 5, 1: 0}, 2, 2, ()) == []


CASES = {
    "too much money": (
        account_with(Bucket(0, 901, 40), Bucket(1, 80, 5)),
        SUMS,
        2,
        2,
        SESSIONS,
        "bucket 0: the balance is 901",
    ),
    "a debit that the session forgot": (RIGHT, SUMS, 2, 2, (*SESSIONS[:1], Session((Hold(0, 10),))), "bucket 0"),
    "a reservation without a session": (RIGHT, SUMS, 2, 2, SESSIONS[:1], "reserved"),
    "a session without its reservation": (
        account_with(Bucket(0, 900, 0), Bucket(1, 80, 5)),
        SUMS,
        2,
        2,
        SESSIONS,
        "-40",
    ),
    "money in a bucket that is gone": (account_with(Bucket(0, 900, 40)), SUMS, 2, 2, SESSIONS, "bucket 1"),
    "a bucket that no entry made": (account_with(Bucket(0, 5), Bucket(9, 7)), {0: 5}, 2, 2, (), "bucket 9"),
    "a bucket twice": (account_with(Bucket(0, 5), Bucket(0, 5)), {0: 5}, 2, 2, (), "twice"),
    "a missing entry": (account_with(Bucket(0, 5)), {0: 5}, 1, 2, (), "1 are missing"),
    "the last entry missing": (account_with(Bucket(0, 5)), {0: 5}, 1, 1, (), "1 are missing"),
    "an entry too many": (account_with(Bucket(0, 5)), {0: 5}, 3, 3, (), "goes up to entry 3"),
}


@pytest.mark.parametrize(("account", "sums", "count", "highest", "sessions", "words"), CASES.values(), ids=CASES.keys())
def test_each_difference_is_named(
    account: Account, sums: dict[int, int], count: int, highest: int, sessions: tuple[Session, ...], words: str
) -> None:
    """One fault, and the words that tell it."""
    differences = audit_account(account, sums, count, highest, sessions)
    assert differences
    assert words in " ".join(differences)


@pytest.mark.parametrize(("used", "reserved", "differences"), [(70, 12, 0), (71, 12, 1), (70, 11, 1)])
def test_94_a_counter_is_what_sessions_have_counted(used: int, reserved: int, differences: int) -> None:
    """In the journal 50, in an open session 20 more and 12 kept for its grant; a count of last month's is nobody's."""
    counter = Counter(-3, "minutes", 1, (Places(60, used, reserved),))
    account = structs.replace(account_with(Bucket(0, 0)), extras=Extras((counter,)))
    session = Session(unit_reservation=(Hold(-3, 12),), unit_debits=(Hold(-3, 20),))
    assert len(audit_account(account, {0: 0, -3: -50, -2: -99}, 2, 2, (session,))) == differences


amounts = st.integers(-(2**62), 2**62)
holds = st.lists(st.builds(Hold, st.integers(0, 3), st.integers(0, 2**40)), max_size=3).map(tuple)


@given(
    st.dictionaries(st.integers(0, 3), amounts, min_size=1),
    st.lists(st.builds(Session, holds, holds, holds, holds), max_size=4),
    st.integers(-3, 3),
)
def test_only_the_exact_balance_passes(sums: dict[int, int], sessions: list[Session], error: int) -> None:
    """Whatever the history, the derived balance passes and one that is off by any unit does not."""
    debited = dict.fromkeys(range(4), 0)
    reserved = dict.fromkeys(range(4), 0)
    for session in sessions:
        for hold in (*session.debits, *session.unit_debits):
            debited[hold.bucket_id] += hold.amount
        for hold in (*session.reservation, *session.unit_reservation):
            reserved[hold.bucket_id] += hold.amount
    buckets = [Bucket(number, sums.get(number, 0) - debited[number], reserved[number]) for number in range(4)]
    buckets[0] = Bucket(0, buckets[0].balance + error, buckets[0].reserved)
    differences = audit_account(account_with(*buckets), sums, 2, 2, sessions)
    assert bool(differences) == bool(error)
