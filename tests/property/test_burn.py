"""Money is conserved by every rule of the account, whatever its buckets."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from balance.account import MAIN_BUCKET, Account, Hold
from balance.burn import add_holds, available, burn_order, expire, give_back, is_expired, reserve, settle, total_of
from tests.strategies import NOW_MS, accounts, amounts


def _booked(account: Account) -> int:
    return sum(bucket.balance for bucket in account.buckets)


def _reserved(account: Account) -> int:
    return sum(bucket.reserved for bucket in account.buckets)


@given(accounts(), amounts)
def test_a_reservation_is_whole_or_none(account: Account, amount: int) -> None:
    """What is promised is held in full, no more than there is, and books nothing."""
    before = available(account, NOW_MS)
    result = reserve(account, amount, NOW_MS)
    assert (result is None) == (amount > before and amount > 0)
    if result is not None:
        after, holds = result
        assert total_of(holds) == amount
        assert available(after, NOW_MS) == before - amount
        assert _booked(after) == _booked(account)
        assert _reserved(after) == _reserved(account) + amount


@given(accounts(), amounts, amounts)
def test_settling_debits_the_cost_and_releases_the_rest(account: Account, amount: int, cost: int) -> None:
    """Booked falls by the cost and reserved by the reservation, however the two compare."""
    held = reserve(account, amount, NOW_MS)
    if held is None:
        return
    after, holds = held
    settled, debits = settle(after, holds, cost, NOW_MS)
    assert total_of(debits) == cost
    assert _booked(settled) == _booked(account) - cost
    assert _reserved(settled) == _reserved(account)


@given(accounts(), amounts, amounts, st.data())
def test_what_comes_back_was_debited(account: Account, held: int, cost: int, data: st.DataObject) -> None:
    """Booked rises by what comes back, and the debits that are left say what the account has paid."""
    paid, debits = settle(account, (), cost, NOW_MS)
    held_now = reserve(paid, held, NOW_MS)
    after, holds = held_now if held_now is not None else (paid, ())
    amount = data.draw(st.integers(0, cost))
    gone = data.draw(st.sampled_from([0, *(b.bucket_id for b in after.buckets if b.bucket_id != MAIN_BUCKET)]))
    if any(hold.bucket_id == gone for hold in holds):
        gone = 0
    rest = msgspec.structs.replace(after, buckets=tuple(b for b in after.buckets if b.bucket_id != gone or not gone))
    back, left = give_back(rest, holds, debits, amount)
    assert total_of(left) == cost - amount
    assert _booked(back) == _booked(rest) + amount
    assert _reserved(back) == _reserved(rest) - total_of(holds)
    for bucket in back.buckets:
        was = next(each.balance for each in account.buckets if each.bucket_id == bucket.bucket_id)
        assert bucket.balance == was - sum(hold.amount for hold in left if hold.bucket_id == bucket.bucket_id)


@given(accounts(), amounts, amounts)
def test_cover_is_used_before_anything_else(account: Account, amount: int, cost: int) -> None:
    """A cost within the reservation touches only the buckets that were reserved (statement 104)."""
    held = reserve(account, amount, NOW_MS)
    if held is None or cost > amount:
        return
    _, debits = settle(held[0], held[1], cost, NOW_MS)
    reserved = {hold.bucket_id: hold.amount for hold in held[1]}
    assert all(debit.amount <= reserved[debit.bucket_id] for debit in debits)


@given(accounts(), amounts)
def test_only_the_main_bucket_goes_into_debt(account: Account, cost: int) -> None:
    """Over-use drives the main bucket negative, never another one (statement 105)."""
    settled, _ = settle(account, (), cost, NOW_MS)
    for before, after in zip(account.buckets, settled.buckets, strict=True):
        assert after.bucket_id == MAIN_BUCKET or after.balance >= min(0, before.balance)


@given(accounts())
def test_expiry_writes_off_what_nobody_reserved(account: Account) -> None:
    """What is written off is what falls away; a reserved part stays for its session (statement 105)."""
    after, written_off = expire(account, NOW_MS)
    assert _booked(account) - _booked(after) == total_of(written_off)
    assert _reserved(after) == _reserved(account)
    assert available(after, NOW_MS) == available(account, NOW_MS)
    assert all(bucket.balance == bucket.reserved for bucket in after.buckets if is_expired(bucket, NOW_MS))


@given(accounts())
def test_the_order_is_total_and_ends_with_main(account: Account) -> None:
    """The same order every time, main last, nothing expired in it (statement 106)."""
    order = burn_order(account, NOW_MS)
    assert order[-1].bucket_id == MAIN_BUCKET
    assert not any(is_expired(bucket, NOW_MS) for bucket in order)
    keys = [(bucket.priority, bucket.expires_at_ms or 2**62) for bucket in order[:-1]]
    assert keys == sorted(keys)


@given(st.lists(st.tuples(st.integers(0, 3), amounts), max_size=4), st.lists(st.tuples(st.integers(0, 3), amounts)))
def test_holds_add_up_per_bucket(first: list[tuple[int, int]], second: list[tuple[int, int]]) -> None:
    """The sum of two lists of holds is the sum per bucket."""
    left = add_holds((), tuple(Hold(*pair) for pair in dict(first).items()))
    right = tuple(Hold(*pair) for pair in dict(second).items())
    total = {hold.bucket_id: hold.amount for hold in add_holds(left, right)}
    for bucket_id, sum_of_both in total.items():
        assert sum_of_both == dict(first).get(bucket_id, 0) + dict(second).get(bucket_id, 0)
