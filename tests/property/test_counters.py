"""Tiers over a period, shared by sessions at once: each unit of a tier is sold once, and a grant is always paid for."""

from __future__ import annotations

from itertools import accumulate

import msgspec
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from balance.account import MAIN_BUCKET, Account, AccountState, Bucket
from balance.burn import available
from ocs.charging.policy import QuotaPolicy
from ocs.charging.quota import grant, release, report
from ocs.charging.request import ChargingStatus, GroupKey, Quantity
from ocs.charging.session import CreditSession, GroupState, Seen, SessionKind, decode_session, encode_session
from ocs.rating.price import Price, Tariff, cost_of
from ocs.rating.pricing import over_period
from ocs.rating.terms import Period, Terms, Tier, with_terms
from ocs.rating.units import UnitKind

NOW_MS = 1_790_000_000_000
POLICY = QuotaPolicy(quota={UnitKind.SECONDS: 30})
MONTH = Period("c", "month", "UTC")


@st.composite
def prices(draw: st.DrawFn) -> Price:
    """Up to four tiers over a month, and increments of one to some seconds."""
    rates = draw(st.lists(st.integers(0, 3), min_size=1, max_size=4))
    ends = list(accumulate(draw(st.sampled_from([20, 30, 45])) for _ in rates[1:]))
    tiers = tuple(Tier(end, rate) for end, rate in zip([*ends, 0], rates, strict=True))
    plain = Price(
        UnitKind.SECONDS,
        setup=draw(st.integers(0, 5)),
        initial=draw(st.integers(0, 7)),
        next=draw(st.integers(1, 7)),
        initial_rate=rates[0],
        next_rate=rates[0],
        per=1,
    )
    price, problems = over_period(with_terms(plain, Terms(tiers=tiers)), MONTH)
    assume(not problems)
    return price


steps = st.lists(
    st.tuples(st.sampled_from(["ask", "ask", "use", "use", "end"]), st.integers(0, 2), st.sampled_from([40, 20, 1])),
    min_size=10,
    max_size=30,
)


@settings(max_examples=200, deadline=None)
@given(prices(), st.sampled_from([0, 60]), steps)
def test_94_4_sessions_at_once_fill_the_tiers_in_order_and_overdraw_nothing(
    price: Price, balance: int, traffic: list[tuple[str, int, int]]
) -> None:
    """Whatever sessions use of what they were granted: nothing is overdrawn, and the sum of their prices is exactly what
    the units of each tier cost (statements 3, 4, 94).
    """
    account = Account("A", 1, "EUR", "p", AccountState.ACTIVE, 0, 0, 0, (Bucket(MAIN_BUCKET, balance),))
    begun = GroupState(GroupKey(), Tariff(price, "p", "t", "", "", "", ""))
    states = dict.fromkeys(range(3), begun)
    ended: list[GroupState] = []
    for kind, name, units in traffic:
        state = states[name]
        if kind == "ask":
            account, state = release(account, state, NOW_MS)
            account, state, answer = grant(account, state, (Quantity(UnitKind.SECONDS, units),), POLICY, NOW_MS, 0)
            assert answer.granted or answer.status is ChargingStatus.CREDIT_LIMIT_REACHED
        elif kind == "use":
            used = report(account, state, state.used + min(units, state.granted), NOW_MS)
            assert used is not None
            account, state = used
        else:
            account, state = release(account, state, NOW_MS)
            ended.append(state)
            state = begun
        states[name] = state
        assert available(account, NOW_MS) >= 0
        _check(account, [*states.values(), *ended])
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(account), type=Account) == account
    session = CreditSession(
        "A",
        "gy:s",
        SessionKind.CALL,
        "S",
        "",
        "voice",
        "",
        "",
        NOW_MS,
        NOW_MS,
        0,
        0,
        "EUR",
        Seen(),
        tuple(states.values()),
    )
    assert decode_session(encode_session(session)) == session


def _check(account: Account, states: list[GroupState]) -> None:
    assert account.buckets[0].balance + sum(state.cost for state in states) >= 0
    assert all(state.cost == cost_of(state.tariff.price, state.used) for state in states)
    counters = account.extras.counters if account.extras is not None else ()
    assert sum(counter.used for counter in counters) == sum(h.amount for s in states for h in s.unit_debits)
    assert sum(counter.reserved for counter in counters) == sum(h.amount for s in states for h in s.unit_reservation)
    for counter in counters:
        assert all(tier.used + tier.reserved <= tier.size for tier in counter.tiers[:-1])
        price = states[0].tariff.price
        assert isinstance(price.terms, Terms)
        rates = [tier.rate for tier in price.terms.tiers]
        setups = sum(price.setup for state in states if state.used)
        assert sum(state.cost for state in states) == setups + sum(
            tier.used * rate for tier, rate in zip(counter.tiers, rates, strict=True)
        )
        if rates == sorted(rates, reverse=True):  # nothing is kept, so the count alone decides
            full = [tier.used == tier.size for tier in counter.tiers]
            assert full == sorted(full, reverse=True)
