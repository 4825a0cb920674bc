"""Hypothesis strategies for accounts, kept apart so that every property test draws from the same world."""

from __future__ import annotations

from hypothesis import strategies as st

from balance.account import MAIN_BUCKET, Account, AccountState, Bucket

NOW_MS = 1_790_000_000_000

amounts = st.integers(min_value=0, max_value=10**12)


@st.composite
def buckets(draw: st.DrawFn, bucket_id: int) -> Bucket:
    balance = draw(amounts)
    return Bucket(
        bucket_id,
        balance,
        draw(st.integers(0, balance)),
        draw(st.sampled_from([1, 50, 100])),
        draw(st.sampled_from([0, NOW_MS - 1, NOW_MS, NOW_MS + 10_000, NOW_MS + 86_400_000])),
        draw(st.sampled_from([NOW_MS - 5, NOW_MS - 9])),
    )


@st.composite
def accounts(draw: st.DrawFn) -> Account:
    """An account with a main bucket, which may be in debt, and up to three others."""
    count = draw(st.integers(0, 3))
    main = Bucket(MAIN_BUCKET, draw(st.integers(-(10**10), 10**12)), draw(st.integers(0, 10**10)))
    others = [draw(buckets(number + 1)) for number in range(count)]
    return Account(
        "A", 1, "EUR", "test-eur", AccountState.ACTIVE, draw(st.sampled_from([0, 10**10])), 0, 1, (main, *others)
    )
