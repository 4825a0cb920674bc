"""Tiers over a period, shared by sessions at once: each unit of a tier is sold once, and a grant is always paid for."""

from __future__ import annotations

from itertools import accumulate

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from balance.account import MAIN_BUCKET, Account, AccountState, Bucket
from balance.burn import available
from ocs.charging.policy import QuotaPolicy
from ocs.charging.quota import grant, release, report
from ocs.charging.request import ChargingStatus, GroupKey, Quantity
from ocs.charging.session import CreditSession, GroupState, Seen, SessionKind, decode_session, encode_session
from ocs.rates.replay import after_count, comes_back
from ocs.rating.price import Price, Tariff, cost_of
from ocs.rating.pricing import over_period
from ocs.rating.terms import Period, Terms, Tier, Tiering, terms_of, with_terms
from ocs.rating.units import UnitKind

NOW_MS = 1_790_000_000_000
POLICY = QuotaPolicy(quota={UnitKind.SECONDS: 30})
MONTH = Period("c", "month", "UTC")


@st.composite
def prices(draw: st.DrawFn) -> Price:
    """Up to four tiers over a month, whatever their rates and fees or for volume, and increments of one to some seconds."""
    is_volume = draw(st.booleans())
    rates = draw(st.lists(st.integers(0, 3), min_size=1, max_size=4))
    if is_volume:
        rates, fees = sorted(rates, reverse=True), [draw(st.sampled_from([0, 7]))] * len(rates)
    else:
        fees = [draw(st.sampled_from([0, 0, 7])) for _ in rates]
    ends = list(accumulate(draw(st.sampled_from([20, 30, 45])) for _ in rates[1:]))
    tiers = tuple(Tier(end, rate, fee) for end, rate, fee in zip([*ends, 0], rates, fees, strict=True))
    plain = Price(
        UnitKind.SECONDS,
        setup=draw(st.integers(0, 5)),
        initial=draw(st.integers(0, 7)),
        next=draw(st.integers(1, 7)),
        initial_rate=rates[0],
        next_rate=rates[0],
        per=1,
    )
    tiering = Tiering.VOLUME if is_volume else Tiering.GRADUATED
    price, problems = over_period(with_terms(plain, Terms(tiers=tiers, tiering=tiering)), MONTH)
    assert not problems
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
        _check(account, balance, [*states.values(), *ended])
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


def _check(account: Account, balance: int, states: list[GroupState]) -> None:
    cost, counters = sum(state.cost for state in states), account.extras.counters if account.extras is not None else ()
    assert account.buckets[0].balance == balance - cost + sum(counter.given_back for counter in counters)
    assert all(state.cost == cost_of(state.tariff.price, state.used) for state in states)
    assert sum(counter.used for counter in counters) == sum(h.amount for s in states for h in s.unit_debits)
    assert sum(counter.reserved for counter in counters) == sum(h.amount for s in states for h in s.unit_reservation)
    for counter in counters:
        assert all(tier.used + tier.reserved <= tier.size for tier in counter.tiers[:-1])
        price = states[0].tariff.price
        assert isinstance(price.terms, Terms)
        rates = [tier.rate for tier in price.terms.tiers]
        setups = sum(price.setup for state in states if state.used)
        fees = sum(tier.fee for tier, places in zip(price.terms.tiers, counter.tiers, strict=True) if places.used)
        if price.terms.tiering is Tiering.VOLUME:  # all that was counted has the price of the tier that it reaches
            used = counter.used * rates[max((at for at, tier in enumerate(counter.tiers) if tier.used), default=0)]
        else:
            used = sum(tier.used * rate for tier, rate in zip(counter.tiers, rates, strict=True))
        assert cost - counter.given_back == setups + fees + used
        if not fees and rates == sorted(rates, reverse=True):  # nothing is kept, so the count alone decides
            full = [tier.used == tier.size for tier in counter.tiers]
            assert full == sorted(full, reverse=True)


@given(prices(), st.integers(0, 200), st.integers(0, 200))
def test_3_8_an_explained_use_is_the_step_of_the_whole_period(price: Price, counted: int, used: int) -> None:
    """What a use costs after a count, less what comes back, is what the period costs with it less what it cost before."""
    plain = structs.replace(price, setup=0, initial=1, next=1)
    period = structs.replace(plain, terms=structs.replace(terms_of(plain), period=None))
    cost = cost_of(after_count(plain, counted), used) - comes_back(plain, counted, used)
    assert cost == cost_of(period, counted + used) - cost_of(period, counted)
